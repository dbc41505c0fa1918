//! Why the stage `migrate` could not do its work, where no statement of a migration is to blame.

use crate::{
    api::{Blocker, Reason},
    contract::Outcome,
    postgres::{Holder, QueryError},
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

/// A migration let go of the locks, and what another tool did meanwhile is not known.
pub(super) fn unfenced(migration: &str) -> MigrateError {
    let message = format!(
        "{migration:?} gave up the lock that keeps other migration tools away (pg_advisory_unlock or \
            pg_advisory_unlock_all), so the plan is \
         made again; remove that call"
    );
    MigrateError::Stopped { reason: Reason::HistoryChanged, message }
}

/// Another session holds an advisory lock.
pub(super) fn lock_message(holder: Option<Holder>) -> MigrateError {
    let message = match &holder {
        Some(Holder { blocker, same_object: true, ends_by }) => format!(
            "an earlier run of this DatabaseMigration still holds its migration lock: {}; if its Pod is \
                gone, the server ends its session by \
             {ends_by} UTC",
            describe(blocker)
        ),
        Some(Holder { blocker, .. }) => {
            format!("another migration tool holds the migration lock of this database: {}", describe(blocker))
        }
        None => "another session held the migration lock of this database until just now".to_owned(),
    };
    MigrateError::Waiting { message, blockers: holder.into_iter().map(|holder| holder.blocker).collect() }
}

/// A blocker in words. PostgreSQL shows state and age to members of the same role only.
pub(super) fn describe(blocker: &Blocker) -> String {
    let application =
        if blocker.application.is_empty() { "an unnamed application" } else { &blocker.application };
    let state = if blocker.state.is_empty() {
        String::new()
    } else {
        format!(", {}, for {} s", blocker.state, blocker.age_seconds)
    };
    format!("pid {} ({application}, role {}{state})", blocker.pid, blocker.user)
}
