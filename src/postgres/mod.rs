//! Everything that talks to PostgreSQL and is not a check: connecting, locking, executing. Only `stage`, `check` and
//! `snapshot` may import it.

mod advisory;
mod connect;
mod index_build;
mod journal;
mod ledger;
mod preflight;
mod session;
mod watcher;

pub use advisory::acquire as acquire_advisory_locks;
pub use connect::{ConnectError, ConnectionUrl, InvalidUrl, connect};
pub use index_build::{Build, LeftOver, build_index};
pub use journal::{Journal, JournalStep};
pub use ledger::Ledger;
pub use preflight::{Objection, ServerFacts, preflight};
pub use session::{Session, SqlError, Trouble};
pub use watcher::Watcher;

/// A question to the catalog or the ledger that PostgreSQL could not answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {cause}")]
pub struct QueryError {
    /// What was asked.
    pub action: &'static str,
    /// What went wrong.
    #[source]
    pub cause: sqlx::Error,
}

/// Adds what was asked to an error of the driver.
pub(crate) trait Asked<T> {
    /// Names what was asked, verb first.
    fn asked(self, action: &'static str) -> Result<T, QueryError>;
}

impl<T> Asked<T> for Result<T, sqlx::Error> {
    fn asked(self, action: &'static str) -> Result<T, QueryError> {
        self.map_err(|cause| QueryError { action, cause })
    }
}
