//! What really ended a statement that was cancelled: a lock that it held for too long, or the deadline. What is
//! said of the lock, and what shortens it.

use super::error::describe;
use crate::{
    migrations::{Migration, Script, Statement},
    postgres::{HeldTooLong, Session, SqlError, SqlErrorKind, Unsealed, Watcher},
    redact,
    sql::Verb,
};

/// PostgreSQL's code for a statement that was cancelled, or whose session was ended.
const CANCELLED: [&str; 2] = ["57014", "57P01"];
/// Counts as completed when no statement of a file is at work any more.
const ALL: usize = usize::MAX;
/// The most characters of a statement that took a lock.
const SHOWN: usize = 120;

/// What takes a lock, as the message names it.
pub(super) fn place(migration: &Migration, statement: &Statement) -> String {
    format!("{}:{} ({})", migration.file, statement.line, redact::statement(statement.sql(), SHOWN))
}

/// Why a statement really ended: it was cancelled because it kept others waiting, or by the deadline.
pub(super) async fn cause(session: &Session, watcher: &Watcher, error: SqlError) -> SqlError {
    if error.kind == SqlErrorKind::Held {
        return error;
    }
    let cancelled = CANCELLED.contains(&error.sqlstate.as_str()) || error.kind == SqlErrorKind::Connection;
    match watcher.held_too_long().await {
        Some(over) if cancelled => SqlError { offset: None, ..ended(&over, error.completed) },
        _ => end_at_deadline(session, watcher, error).await,
    }
}

/// Ends on the server what the deadline hit: it would go on for as long as the statement timeout lets it.
/// Tells a statement that waited, which Sluice may retry automatically, from one that was at work, which it
/// does not start again before a person has inspected it.
async fn end_at_deadline(session: &Session, watcher: &Watcher, error: SqlError) -> SqlError {
    if error.kind != SqlErrorKind::Overrun {
        return error;
    }
    let blockers = watcher.blockers();
    watcher.cancel(session.pid).await;
    if blockers.is_empty() {
        return error;
    }
    let who = blockers.iter().map(describe).collect::<Vec<_>>().join(", ");
    SqlError {
        kind: SqlErrorKind::Deadline,
        message: format!("{}; it waited for {who}", error.message),
        ..error
    }
}

/// What ended a check before COMMIT, where that was a lock.
pub(super) async fn cause_of_check(watcher: &Watcher) -> Option<SqlError> {
    watcher.held_too_long().await.map(|over| ended(&over, ALL))
}

/// Nothing more is cancelled, so that COMMIT can follow; or why it must not.
pub(super) async fn seal(watcher: &Watcher) -> Result<(), SqlError> {
    watcher.seal().await.map_err(|unsealed| match unsealed {
        Unsealed::Held(over) => ended(&over, ALL),
        Unsealed::Unknown(why) => SqlError::other(
            SqlErrorKind::Connection,
            format!("for how long locks were held could not be seen, so nothing is committed: {why}"),
        ),
    })
}

/// A session that waited for another one hurt by waiting: it waits again, without the lock.
fn ended(over: &HeldTooLong, completed: usize) -> SqlError {
    let kind = if over.waited { SqlErrorKind::Lock } else { SqlErrorKind::Held };
    SqlError { completed, ..SqlError::other(kind, message(over)) }
}

fn message(over: &HeldTooLong) -> String {
    let taken_by = over.taken_by.as_deref().unwrap_or("the statement that was at work");
    format!(
        "{:?} was locked against {} ({}) for {:.1} s, and spec.apply.lockHeld allows {}; {taken_by} took the \
            lock, and Sluice cancelled what was at work",
        over.table,
        over.mode.keeps_waiting(),
        over.mode.words(),
        over.held.as_secs_f64(),
        over.limit
    )
}

/// What was at work, where no statement of the file was.
pub(super) fn at_the_end(error: &SqlError) -> Option<&'static str> {
    (error.completed == ALL).then_some("the checks before COMMIT")
}

/// What would shorten it: by the statement that was at work.
pub(super) fn remedy(error: &SqlError, script: &Script) -> &'static str {
    let Some(statement) = script.statements.get(error.completed) else {
        return "; to hold it for less, put what takes the lock in a migration behind the others, or in a \
            release of its own, or raise spec.apply.lockHeld";
    };
    let builds_index = || statement.sql().to_ascii_uppercase().contains("INDEX");
    match statement.verb {
        Verb::Create | Verb::Reindex if builds_index() => {
            "; to hold it for less, build the index CONCURRENTLY, or raise spec.apply.lockHeld"
        }
        Verb::Alter => {
            "; to hold it for less, let ALTER TABLE change the catalog alone: a constraint NOT VALID, validated \
                in a migration of its own; a new column that batches fill, in place of another type; or raise \
                spec.apply.lockHeld"
        }
        _ => {
            "; to hold it for less, put this statement in a migration before the one that takes the lock, with \
                spec.apply.atomicity: Migration, or let it work in batches, or raise spec.apply.lockHeld"
        }
    }
}
