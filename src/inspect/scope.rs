//! What is checked: the manifest's part of it, and what the run knows.

use std::collections::BTreeMap;

use super::{Began, RowsBefore};
use crate::{
    api::{IndexVerification, RowLevelSecurity},
    postgres::{ConnectionUrl, InvalidUrl},
    validate::{Assertions, ValidatedMigration},
};

/// What is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The schemas every check reads.
    pub schemas: Vec<String>,
    /// Tenant isolation, where the manifest asks for it.
    pub row_level_security: Option<RowLevelSecurity>,
    /// Index checks.
    pub indexes: IndexVerification,
    /// Everything else.
    pub assertions: Assertions,
    /// The names of the migrations in the source.
    pub migrations: Vec<String>,
    /// How many rows there were before the transaction that is judged; nothing where no transaction is.
    pub rows_before: Option<RowsBefore>,
    /// When the release that is verified began; nothing where no release is.
    pub began: Option<Began>,
    /// The other databases by their names, for code that may connect to them.
    pub elsewhere: BTreeMap<String, Result<ConnectionUrl, InvalidUrl>>,
}

impl Scope {
    /// What a manifest asks for.
    pub fn of(manifest: &ValidatedMigration) -> Self {
        Self {
            schemas: manifest.schemas.clone(),
            row_level_security: manifest.row_level_security.clone(),
            indexes: manifest.indexes.clone(),
            assertions: manifest.assertions.clone(),
            ..Self::default()
        }
    }

    /// With the names of the migrations in the source.
    #[must_use]
    pub fn with_migrations<'a>(mut self, names: impl Iterator<Item = &'a String>) -> Self {
        self.migrations = names.cloned().collect();
        self
    }
}
