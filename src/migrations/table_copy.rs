//! `-- sluice: copy key=id batch=10000 pause=100ms max-lag=5s`: what the ALTER TABLE that follows makes of
//! the table, Sluice makes of a copy beside it, and swaps the two. To Prisma it is a comment.

use super::backfill::Batches;
use crate::sql::Altered;

/// A statement that is done by copy and swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableCopy {
    /// Along which key the rows are copied, and how fast.
    pub batches: Batches,
    /// What becomes of the table.
    pub altered: Altered,
}

impl Batches {
    /// Of this statement, by copy; an error says why not.
    pub(super) fn of_copy(self, sql: &str) -> Result<TableCopy, String> {
        Ok(TableCopy { batches: self, altered: Altered::read(sql)? })
    }
}
