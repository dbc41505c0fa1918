//! Whom a session waits for.

use std::time::Instant;

use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use super::{QueryContext, QueryError, query_as, query_scalar, strong_locks::strong_modes};
use crate::api::{Blocker, Blockers, Terminate};

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

const SEEN: &str = "SELECT a.pid, COALESCE(a.application_name, '') AS application, \
    COALESCE(a.usename::text, '') AS user, COALESCE(a.state, a.backend_type, '') AS state, \
    COALESCE(EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.xact_start), 0)::bigint AS age, \
    (SELECT l.virtualtransaction FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.granted LIMIT 1) AS \
    transaction \
    FROM pg_catalog.pg_stat_activity a";

impl SeenRow {
    fn seen(self) -> Seen {
        let Self { pid, application, user, state, age, transaction } = self;
        let age_seconds = u64::try_from(age).unwrap_or_default();
        Seen {
            blocker: Blocker { pid, application, user, state, age_seconds },
            at: Instant::now(),
            transaction,
        }
    }
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
    let text = format!("{SEEN} WHERE a.pid = ANY ($1) ORDER BY a.pid");
    let rows: Vec<SeenRow> = query_as(AssertSqlSafe(text))
        .bind(pids)
        .fetch_all(connection)
        .await
        .context("read which sessions block")?;
    Ok(rows.into_iter().map(SeenRow::seen).collect())
}

/// Whose transactions a statement waits for that says CONCURRENTLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// CREATE INDEX: those that have a snapshot, and those that have written to the table.
    SnapshotsAndWriters,
    /// REINDEX: those that have a snapshot, and those that use the table in any way.
    SnapshotsAndUsers,
    /// DROP INDEX, DETACH PARTITION: those that use the table in any way.
    Users,
}

/// Those whose transactions such a statement by the session with this process id would wait for. The relations are
/// tables, or indexes of the tables that count. PostgreSQL shows snapshots and locks of every role. It waits neither
/// for VACUUM nor for another build.
pub(super) async fn older(
    connection: &mut PgConnection,
    pid: i32,
    waits_for: WaitsFor,
    relations: &[i64],
) -> Result<Vec<Seen>, QueryError> {
    let text = format!(
        "{SEEN} WHERE a.pid <> $1 AND a.pid <> pg_catalog.pg_backend_pid() AND a.usesysid IS NOT NULL \
           AND a.datname = pg_catalog.current_database() \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_vacuum v WHERE v.pid = a.pid) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index i WHERE i.pid = a.pid) \
           AND ($3 AND a.backend_xmin IS NOT NULL OR EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE \
             l.pid = a.pid AND l.granted AND l.locktype = 'relation' AND l.relation = ANY (ARRAY(\
               SELECT COALESCE(i.indrelid, r.oid) FROM pg_catalog.unnest($2::bigint[]::pg_catalog.oid[]) AS r (oid) \
               LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = r.oid)) \
             AND ($4 OR l.mode IN ('RowExclusiveLock', {})))) ORDER BY a.pid",
        strong_modes()
    );
    let rows: Vec<SeenRow> = query_as(AssertSqlSafe(text))
        .bind(pid)
        .bind(relations)
        .bind(waits_for != WaitsFor::Users)
        .bind(waits_for != WaitsFor::SnapshotsAndWriters)
        .fetch_all(connection)
        .await
        .context("read which transactions are older")?;
    Ok(rows.into_iter().map(SeenRow::seen).collect())
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

/// What came of the wish to end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Termination {
    /// The server ends it.
    Ended,
    /// It is not one of those that the manifest names, or not for long enough yet.
    Spared,
    /// The migration role may not end it, or may not see what it does.
    Forbidden,
}

/// Ends a session that blocks, if it is one of those that the manifest names and still in the transaction that
/// was seen. What is not known of it counts against ending it. In one statement, so that nothing changes between
/// the decision and the deed.
pub(super) async fn end(
    connection: &mut PgConnection,
    seen: &Seen,
    policy: Blockers,
) -> Result<Termination, QueryError> {
    let Some(transaction) = seen.transaction.as_ref().filter(|_| policy.terminate != Terminate::Never) else {
        return Ok(Termination::Spared);
    };
    if seen.blocker.state.is_empty() {
        return Ok(Termination::Forbidden);
    }
    let ended: Result<Option<bool>, sqlx::Error> = query_scalar(
        "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a \
         WHERE a.pid = $1 AND a.backend_type = 'client backend' AND a.application_name !~ '^sluice( |$)' \
           AND EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.virtualtransaction = $2) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND NOT l.granted) \
           AND ($3 OR a.state IN ('idle in transaction', 'idle in transaction (aborted)')) \
           AND a.xact_start <= pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $4)",
    )
    .bind(seen.blocker.pid)
    .bind(transaction)
    .bind(policy.terminate == Terminate::Any)
    .bind(policy.after.duration().as_secs_f64())
    .fetch_optional(connection)
    .await;
    match ended {
        Ok(Some(true)) => Ok(Termination::Ended),
        Ok(_) => Ok(Termination::Spared),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => {
            Ok(Termination::Forbidden)
        }
        Err(error) => Err(error).context("end a session that blocks"),
    }
}
