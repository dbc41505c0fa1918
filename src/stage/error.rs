//! Why the stage `migrate` could not do its work, where no statement of a migration is to blame.

use super::outcome::Outcome;
use crate::{
    api::{Blocker, Reason},
    postgres::QueryError,
};

/// What the stage could not do.
#[derive(Debug, thiserror::Error)]
pub(super) enum MigrateError {
    #[error("{message}")]
    Stopped { reason: Reason, message: String },
    #[error("{message}")]
    Waiting { message: String, blockers: Vec<Blocker> },
    #[error("{}", .0.message)]
    Refused(Box<Outcome>),
    #[error(transparent)]
    Query(QueryError),
}

impl MigrateError {
    pub(super) fn stopped(reason: Reason, error: &dyn std::fmt::Display) -> Self {
        Self::Stopped { reason, message: error.to_string() }
    }
}

/// Somebody else holds an advisory lock.
pub(super) fn lock_message(holder: Option<Blocker>) -> MigrateError {
    let who = holder.as_ref().map_or_else(|| "another session".to_owned(), describe);
    MigrateError::Waiting {
        message: format!("another migration tool holds the migration lock of this database: {who}; Sluice tries again"),
        blockers: holder.into_iter().collect(),
    }
}

/// A blocker in words. PostgreSQL shows state and age to members of the same role only.
pub(super) fn describe(blocker: &Blocker) -> String {
    let application = if blocker.application.is_empty() { "an unnamed application" } else { &blocker.application };
    let state = if blocker.state.is_empty() { String::new() } else { format!(", {}, for {} s", blocker.state, blocker.age_seconds) };
    format!("pid {} ({application}, role {}{state})", blocker.pid, blocker.user)
}
