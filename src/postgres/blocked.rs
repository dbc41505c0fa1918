//! Whom a session waits for.

use std::time::Instant;

use sqlx::{FromRow, PgConnection};

use super::{QueryContext, QueryError, query_as, query_scalar};
use crate::api::Blocker;

/// A session that was seen blocking.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) blocker: Blocker,
    pub(super) at: Instant,
    /// Its virtual transaction, which tells one transaction of a session from the next. `pg_locks` shows it
    /// to every role; `xact_start` shows only to members of the other role.
    pub(super) transaction: Option<String>,
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

/// Those that block the session with this process id.
pub(super) async fn blockers(connection: &mut PgConnection, pid: i32) -> Result<Vec<Seen>, QueryError> {
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

/// Whether it still is in that transaction.
pub(super) async fn still_there(connection: &mut PgConnection, seen: &Seen) -> Result<bool, QueryError> {
    let Some(transaction) = &seen.transaction else { return Ok(false) };
    query_scalar("SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE pid = $1 AND virtualtransaction = $2)")
        .bind(seen.blocker.pid)
        .bind(transaction)
        .fetch_one(connection)
        .await
        .context("poll the blocking session")
}
