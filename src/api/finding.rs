//! What a plan or a verification objects to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CheckId;

/// Something a plan or a verification objects to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The stable id of the check.
    pub check: CheckId,
    /// What it is about: a table, an index, a migration.
    pub object: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    /// How a message begins that says what was not tried, or proves nothing.
    pub const UNPROVEN: &'static str = "unproven: ";
    /// What a message says before the tables on which nothing was tried.
    pub const UNTRIED: &'static str = "nothing was tried on ";

    /// Something was not tried, or proves nothing.
    pub fn is_unproven(&self) -> bool {
        self.message.starts_with(Self::UNPROVEN) || self.message.contains(Self::UNTRIED)
    }

    /// Of a finding that something was not tried: whether it may concern this table of those that there are.
    /// One that does not name all of its tables concerns every one.
    pub fn leaves_unproven<'t>(&self, table: &str, mut tables: impl Iterator<Item = &'t str>) -> bool {
        match self.message.split_once(Self::UNTRIED) {
            Some((_, named)) => named.ends_with(" more") || named.contains(table),
            // What the check that tries says of something that is no table concerns every table.
            None if self.check != CheckId::TenantIsolation => self.object == table,
            None => {
                self.object == table
                    || self.message.contains(table)
                    || tables.all(|other| other != self.object)
            }
        }
    }
}

/// How bad a finding is. Only errors keep Ready off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Severity {
    /// Ready stays off.
    Error,
    /// Worth mending.
    Warning,
    /// Worth knowing.
    Information,
}
