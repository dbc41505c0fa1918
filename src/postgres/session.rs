//! The one session that migrates: limits, transactions, and where exactly a statement failed.

use std::time::{Duration, Instant};

use futures::StreamExt;
use sqlx::{AssertSqlSafe, Connection, Either, PgConnection, postgres::PgErrorPosition};

use super::{Asked, QueryError};
use crate::api::Span;

/// A session with limits on how long it may wait and work.
pub struct Session {
    /// The connection; checks run on it too, inside the transaction.
    pub connection: PgConnection,
    /// Its process id on the server.
    pub pid: i32,
    lock_timeout: Span,
    statement_timeout: Span,
}

/// Statements did not run through.
#[derive(Debug)]
pub struct SqlError {
    /// What kind of trouble.
    pub trouble: Trouble,
    /// How many statements of the text had run.
    pub completed: usize,
    /// Where in the text, in bytes, when PostgreSQL says.
    pub offset: Option<usize>,
    /// PostgreSQL's code.
    pub sqlstate: String,
    /// What PostgreSQL says, with its detail and hint.
    pub message: String,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Somebody held a lock, or two sessions waited for each other: run the transaction again.
    Lock,
    /// The statement itself is at fault.
    Statement,
    /// The time is up.
    Deadline,
    /// The connection broke: only the ledger knows what happened.
    Connection,
}

impl Session {
    /// Takes over a connection.
    pub async fn new(mut connection: PgConnection, lock_timeout: Span, statement_timeout: Span) -> Result<Self, QueryError> {
        let pid = sqlx::query_scalar("SELECT pg_catalog.pg_backend_pid()").fetch_one(&mut connection).await.asked("read the process id")?;
        Ok(Self { connection, pid, lock_timeout, statement_timeout })
    }

    /// The limits of one transaction, in one message.
    fn begin_text(&self) -> String {
        format!("BEGIN; {}", self.limits("SET LOCAL"))
    }

    fn limits(&self, set: &str) -> String {
        format!(
            "{set} lock_timeout = '{}ms'; {set} statement_timeout = '{}ms'; {set} idle_in_transaction_session_timeout = '60s'",
            self.lock_timeout.duration().as_millis(),
            self.statement_timeout.duration().as_millis()
        )
    }

    /// Begins a transaction with the limits of the manifest.
    pub async fn begin(&mut self) -> Result<(), SqlError> {
        let text = self.begin_text();
        self.run(&text, None).await
    }

    /// Puts back every setting that a file changed, and the limits of the transaction with them.
    pub async fn reset(&mut self) -> Result<(), SqlError> {
        let text = format!("RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; {}", self.limits("SET LOCAL"));
        self.run(&text, None).await
    }

    /// The same outside a transaction, without limits: what runs alone is watched, not timed out.
    pub async fn reset_alone(&mut self) -> Result<(), SqlError> {
        self.run("RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL", None).await
    }

    /// Commits.
    pub async fn commit(&mut self) -> Result<(), SqlError> {
        self.run("COMMIT", None).await
    }

    /// Rolls back; a broken connection has done so already.
    pub async fn rollback(&mut self) {
        if let Err(error) = self.run("ROLLBACK", None).await {
            tracing::debug!(message = %error.message, "the connection is gone, and its transaction with it");
        }
    }

    /// Runs a text of one or more statements, and says where it stopped.
    pub async fn run(&mut self, text: &str, until: Option<Instant>) -> Result<(), SqlError> {
        let mut completed = 0;
        let connection = &mut self.connection;
        let work = async {
            let mut results = sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(connection);
            while let Some(result) = results.next().await {
                match result {
                    Ok(Either::Left(_)) => completed += 1,
                    Ok(Either::Right(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        let ended = match until {
            Some(until) => tokio::time::timeout(until.saturating_duration_since(Instant::now()), work).await,
            None => Ok(work.await),
        };
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(SqlError::of(&error, completed, text)),
            Err(_) => {
                let message = "the deadline of the run has passed".to_owned();
                Err(SqlError { trouble: Trouble::Deadline, completed, offset: None, sqlstate: String::new(), message })
            }
        }
    }

    /// Says good-bye, so that the server need not find out.
    pub async fn close(self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.connection.close()).await;
    }
}

impl SqlError {
    fn of(error: &sqlx::Error, completed: usize, text: &str) -> Self {
        let sqlx::Error::Database(database) = error else {
            return Self { trouble: Trouble::Connection, completed, offset: None, sqlstate: String::new(), message: error.to_string() };
        };
        let postgres = database.downcast_ref::<sqlx::postgres::PgDatabaseError>();
        let sqlstate = postgres.code().to_owned();
        let trouble = match sqlstate.as_str() {
            "55P03" | "40P01" => Trouble::Lock,
            // Class 57P: the server goes down or somebody ended the session. 08: the connection broke.
            code if code.starts_with("57P") || code.starts_with("08") => Trouble::Connection,
            _ => Trouble::Statement,
        };
        let offset = match postgres.position() {
            Some(PgErrorPosition::Original(position)) => text.char_indices().nth(position.saturating_sub(1)).map(|(at, _)| at),
            _ => None,
        };
        let mut message = postgres.message().to_owned();
        for more in [postgres.detail(), postgres.hint()].into_iter().flatten() {
            message.push_str("; ");
            message.push_str(more);
        }
        Self { trouble, completed, offset, sqlstate, message }
    }
}
