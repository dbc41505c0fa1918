//! The ledger of each format: its table, its locks, its rows. The SQL that reads and writes it is in `postgres::ledger`.

use sha2::{Digest, Sha256};

use super::hexadecimal;
use crate::api::Format;

/// Sluice's own advisory lock: the letters `sluice`.
const LOCK_SLUICE: i64 = 0x736c_7569_6365;
/// The lock that every Prisma engine takes.
const LOCK_PRISMA: i64 = 72_707_369;

/// Where a format keeps its history, and which locks keep its tools apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerContract {
    /// The schema of the table.
    pub schema: String,
    /// The table.
    pub table: &'static str,
    /// The advisory locks, in the order in which they are taken.
    pub locks: Vec<i64>,
}

impl LedgerContract {
    /// The contract of a format. `schema` is where Prisma's table is; Sluice's own is in the schema `sluice`.
    pub fn of(format: Format, schema: &str) -> Self {
        match format {
            Format::Prisma => Self { schema: schema.to_owned(), table: "_prisma_migrations", locks: vec![LOCK_SLUICE, LOCK_PRISMA] },
            Format::Sql => Self { schema: "sluice".to_owned(), table: "migrations", locks: vec![LOCK_SLUICE] },
        }
    }

    /// The table, qualified and quoted.
    pub fn qualified(&self) -> String {
        format!("\"{}\".\"{}\"", self.schema.replace('"', "\"\""), self.table)
    }
}

/// One row of the ledger, as Prisma writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
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
    /// Somebody declared it undone.
    pub rolled_back: bool,
    /// It is Sluice's own, half way: its steps are in the journal.
    pub resumable: bool,
}

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// The migration is applied.
    Applied,
    /// Somebody declared it undone; the row does not count.
    RolledBack,
    /// Sluice began it and can go on.
    Resumable,
    /// It failed, or somebody is at it right now.
    Failed,
}

impl LedgerRow {
    /// What the row says.
    pub const fn state(&self) -> RowState {
        match (self.rolled_back, self.finished, self.resumable) {
            (true, _, _) => RowState::RolledBack,
            (false, true, _) => RowState::Applied,
            (false, false, true) => RowState::Resumable,
            (false, false, false) => RowState::Failed,
        }
    }

    /// The digest of a ledger: equal digests mean that nobody wrote to it.
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
