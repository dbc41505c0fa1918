//! Why statements did not run through, where in the text, and what to do about it.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition, PgSeverity};

use super::{
    QueryError,
    said::{log_whole, said_of},
};

/// Statements did not run through.
#[derive(Clone, Debug)]
pub struct SqlError {
    /// What kind of trouble.
    pub kind: SqlErrorKind,
    /// How many statements of the text had run.
    pub completed: usize,
    /// Where in the text, in bytes, when PostgreSQL says.
    pub offset: Option<usize>,
    /// PostgreSQL's code.
    pub sqlstate: String,
    /// What PostgreSQL says, without values of rows.
    pub message: String,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlErrorKind {
    /// Another session held a lock, or two sessions waited for each other: run the transaction again.
    Lock,
    /// The statement itself is at fault.
    Statement,
    /// A statement of the file ended the transaction, whatever it looked like: part of what was done may be
    /// committed.
    Escaped,
    /// Others were kept waiting for longer than the manifest allows, and the statement was at work.
    Held,
    /// The time is up, and the statement waited for another session.
    Deadline,
    /// The time is up, and the statement was at work.
    Overrun,
    /// The connection broke: only the history knows what happened.
    Connection,
}

impl SqlErrorKind {
    /// What kind of trouble an error of the driver is.
    pub fn of(error: &sqlx::Error) -> Self {
        let database = match error {
            sqlx::Error::Database(database) => database,
            sqlx::Error::RowNotFound | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
                return Self::Statement;
            }
            _ => return Self::Connection,
        };
        // After these PostgreSQL ends the session, whatever the code: the server goes down, another session
        // ended it, a limit of the session. The same codes as errors are a statement's: of RAISE, of another
        // server that it queried.
        let severity = database.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
        if matches!(severity, None | Some(PgSeverity::Fatal | PgSeverity::Panic)) {
            return Self::Connection;
        }
        match database.code().as_deref().unwrap_or_default() {
            // No lock in time, a deadlock, or a transaction that could not be put in line with another.
            "55P03" | "40P01" | "40001" => Self::Lock,
            _ => Self::Statement,
        }
    }
}

impl From<QueryError> for SqlError {
    /// A query of Sluice's own, between those of a file.
    fn from(error: QueryError) -> Self {
        let code = error.cause.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let sqlstate = code.unwrap_or_default().into_owned();
        Self { sqlstate, ..Self::other(SqlErrorKind::of(&error.cause), error.to_string()) }
    }
}

impl SqlError {
    /// Not about a statement of the text.
    pub fn other(kind: SqlErrorKind, message: String) -> Self {
        Self { kind, completed: 0, offset: None, sqlstate: String::new(), message }
    }

    pub(super) fn of(error: &sqlx::Error, completed: usize, text: &str) -> Self {
        let kind = SqlErrorKind::of(error);
        let sqlx::Error::Database(database) = error else {
            return Self { completed, ..Self::other(kind, said_of(error, text)) };
        };
        let postgres = database.downcast_ref::<PgDatabaseError>();
        let sqlstate = postgres.code().to_owned();
        let offset = match postgres.position() {
            // PostgreSQL counts characters; one past the last says that the text ended too early.
            Some(PgErrorPosition::Original(position)) => Some(
                text.char_indices()
                    .nth(position.saturating_sub(1))
                    .map_or_else(|| text.trim_end().len(), |(at, _)| at),
            ),
            _ => None,
        };
        log_whole(error);
        Self { kind, completed, offset, sqlstate, message: said_of(error, text) }
    }
}
