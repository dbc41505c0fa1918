//! A second session that sees whom the first one waits for: a session that waits cannot query.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{FromRow, PgConnection};
use tokio::task::JoinHandle;

use super::{
    ConnectError, ConnectionUrl, QueryContext, QueryError, connect::connect_with, query, query_as,
    query_scalar, said, startup::SILENT,
};
use crate::api::Blocker;

/// How often it polls. Well below the lock timeout, so that no wait goes unseen.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A session that was seen longer ago than this does not block any more.
const STALE: Duration = Duration::from_secs(1);

/// Watches one back end.
pub struct Watcher {
    connection: Arc<tokio::sync::Mutex<PgConnection>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug)]
struct Seen {
    blocker: Blocker,
    at: Instant,
    /// Its virtual transaction, which tells one transaction of a session from the next. `pg_locks` shows it
    /// to every role; `xact_start` shows only to members of the other role.
    transaction: Option<String>,
}

/// A session that blocks, as the server tells it.
#[derive(FromRow)]
struct SeenRow {
    pid: i32,
    application: String,
    user: String,
    state: String,
    /// Of its transaction, in seconds.
    age: i64,
    transaction: Option<String>,
}

impl Watcher {
    /// Begins to watch the back end with this process id.
    pub async fn start(url: &ConnectionUrl, application: &str, pid: i32) -> Result<Self, ConnectError> {
        let connection = Arc::new(tokio::sync::Mutex::new(
            connect_with(url, &format!("{application} watcher"), &[SILENT]).await?,
        ));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (watched, noted) = (Arc::clone(&connection), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            loop {
                if let Ok(blockers) = blockers(&mut *watched.lock().await, pid).await
                    && !blockers.is_empty()
                {
                    *noted.lock().unwrap_or_else(PoisonError::into_inner) = blockers;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Ok(Self { connection, seen, task })
    }

    /// The sessions that were seen blocking just now.
    pub fn blockers(&self) -> Vec<Blocker> {
        self.seen().into_iter().map(|seen| seen.blocker).collect()
    }

    fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|seen| seen.at.elapsed() < STALE).cloned().collect()
    }

    /// Waits until every session last seen blocking has ended that transaction; false when the time is up.
    pub async fn wait_until_clear(&self, until: Instant) -> Result<bool, QueryError> {
        let seen = self.seen();
        loop {
            let mut clear = true;
            for one in &seen {
                clear &= !self.still_there(one).await?;
            }
            if clear {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn still_there(&self, seen: &Seen) -> Result<bool, QueryError> {
        let Some(transaction) = &seen.transaction else { return Ok(false) };
        query_scalar(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE pid = $1 AND virtualtransaction = $2)",
        )
        .bind(seen.blocker.pid)
        .bind(transaction)
        .fetch_one(&mut *self.connection.lock().await)
        .await
        .context("poll the blocking session")
    }

    /// Asks the server to cancel what the back end is doing.
    pub async fn cancel(&self, pid: i32) {
        let cancelled = query("SELECT pg_catalog.pg_cancel_backend($1)")
            .bind(pid)
            .execute(&mut *self.connection.lock().await)
            .await;
        if let Err(error) = cancelled {
            tracing::warn!(
                error = said(&error),
                "could not cancel the statement; its session ends with this process"
            );
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn blockers(connection: &mut PgConnection, pid: i32) -> Result<Vec<Seen>, QueryError> {
    // Polled fifty times a second, so the cheap query first.
    let pids: Vec<i32> = query_scalar("SELECT pg_catalog.pg_blocking_pids($1)")
        .bind(pid)
        .fetch_one(&mut *connection)
        .await
        .context("read which sessions block")?;
    if pids.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<SeenRow> = query_as(
        "SELECT a.pid, COALESCE(a.application_name, '') AS application, COALESCE(a.usename::text, \
        '') AS user, COALESCE(a.state, \
            a.backend_type, '') AS state, \
                COALESCE(EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.xact_start), 0)::bigint AS age, \
                (SELECT l.virtualtransaction FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.granted \
                LIMIT 1) AS transaction \
         FROM pg_catalog.unnest($1) AS b(pid) JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid ORDER BY \
         a.pid",
    )
    .bind(pids)
    .fetch_all(connection)
    .await
    .context("read which sessions block")?;
    Ok(rows
        .into_iter()
        .map(|SeenRow { pid, application, user, state, age, transaction }| Seen {
            blocker: Blocker {
                pid,
                application,
                user,
                state,
                age_seconds: u64::try_from(age).unwrap_or_default(),
            },
            at: Instant::now(),
            transaction,
        })
        .collect())
}
