//! The history of each format: its table, its locks, its rows. The SQL that reads and writes it is in
//! `postgres::history_table`.

use sha2::{Digest, Sha256};

use super::{FormatRules, hexadecimal, phase_of};
use crate::api::Format;

/// Sluice's own advisory lock: the letters `sluice`.
const LOCK_SLUICE: i64 = 0x736c_7569_6365;

/// The schema of what is Sluice's own.
const SCHEMA: &str = "sluice";

fn quoted(schema: &str, table: &str) -> String {
    let quote = |name: &str| name.replace('"', "\"\"");
    format!("\"{}\".\"{}\"", quote(schema), quote(table))
}

/// Where a format keeps its history, and which locks keep its tools apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryContract {
    /// The schema of the table.
    pub schema: String,
    /// The table.
    pub table: &'static str,
    /// The table of the phases beside it, in the schema `sluice`: one for each history, because two services
    /// may share a database.
    pub phases: String,
    /// The advisory locks, in the order in which they are taken.
    pub locks: Vec<i64>,
}

impl HistoryContract {
    /// The contract of a format. `schema` is where Prisma's table is; Sluice's own is in the schema `sluice`.
    pub fn of(format: Format, schema: &str) -> Self {
        let rules = FormatRules::of(format);
        let schema = rules.schema.unwrap_or(schema);
        Self {
            schema: schema.to_owned(),
            table: rules.table,
            phases: format!("phases_{schema}"),
            locks: std::iter::once(LOCK_SLUICE).chain(rules.locks.iter().copied()).collect(),
        }
    }

    /// The table, qualified and quoted.
    pub fn qualified(&self) -> String {
        quoted(&self.schema, self.table)
    }

    /// The table of the phases, qualified and quoted.
    pub fn qualified_phases(&self) -> String {
        quoted(SCHEMA, &self.phases)
    }

    /// The table in which this migration is recorded, qualified and quoted.
    pub fn table_of(&self, migration: &str) -> String {
        if phase_of(migration).is_some() { self.qualified_phases() } else { self.qualified() }
    }
}

/// One row of the history, as Prisma writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// A UUID.
    pub id: String,
    /// Of the file when it was applied.
    pub checksum: String,
    /// The migration.
    pub name: String,
    /// When it began, as text for messages.
    pub started_at: String,
    /// It ended well.
    pub finished: bool,
    /// A person declared it undone.
    pub rolled_back: bool,
    /// It is Sluice's own, half done: its steps are in the journal.
    pub resumable: bool,
    /// When it ended, in milliseconds since 1970; 0 while it did not. Sluice writes the server's time here,
    /// also when a writer's clock runs wrong.
    pub finished_at: i64,
}

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// The migration is applied.
    Applied,
    /// A person declared it undone; the row does not count.
    RolledBack,
    /// Sluice began it and can go on.
    Resumable,
    /// It failed, or another session applies it right now.
    Failed,
}

impl HistoryRow {
    /// What the row says.
    pub const fn state(&self) -> RowState {
        match (self.rolled_back, self.finished, self.resumable) {
            (true, _, _) => RowState::RolledBack,
            (false, true, _) => RowState::Applied,
            (false, false, true) => RowState::Resumable,
            (false, false, false) => RowState::Failed,
        }
    }

    /// The digest of a history: equal digests mean that no session wrote to it.
    pub fn digest(rows: &[Self]) -> String {
        let mut hash = Sha256::new();
        for row in rows {
            hash.update(row.id.as_bytes());
            hash.update(row.checksum.as_bytes());
            hash.update([u8::from(row.finished), u8::from(row.rolled_back)]);
        }
        hexadecimal(&hash.finalize())
    }
}
