//! Before CONCURRENTLY. What has begun waits for older transactions in its middle: a build while its index, not valid
//! yet, slows writers; a drop when no query uses the index any more; a detached partition neither attached nor gone.
//! What is given up there stays so. So those transactions are named and waited for first.

use super::{attempt::Release, error::describe};
use crate::{
    migrations::{Migration, Statement, StatementKind},
    postgres::{Session, SqlError, SqlErrorKind, WaitsFor, Watcher},
    sql::{Verb, concurrent_relations},
};

/// Waits for the transactions that this statement would wait for, until the deadline.
pub(super) async fn wait_for_older(
    session: &mut Session,
    watcher: &Watcher,
    release: &Release<'_>,
    migration: &Migration,
    statement: &Statement,
) -> Result<(), SqlError> {
    let (waits_for, names) = match &statement.kind {
        StatementKind::BuildIndex(index) => (WaitsFor::SnapshotsAndWriters, vec![index.table.clone()]),
        StatementKind::Autocommit { concurrently: true } => {
            let rebuilds = statement.verb == Verb::Reindex;
            let waits_for = if rebuilds { WaitsFor::SnapshotsAndUsers } else { WaitsFor::Users };
            (waits_for, concurrent_relations(statement.sql()))
        }
        _ => return Ok(()),
    };
    let mut relations = Vec::new();
    for name in names {
        relations.extend(session.resolve(&name).await?);
    }
    let older = watcher.older(waits_for, &relations).await?;
    let who: Vec<String> = older.sessions().map(describe).collect();
    if who.is_empty() {
        return Ok(());
    }
    tracing::info!(migration = %migration.name, line = statement.line, older = %who.join(", "), "waiting for older \
        transactions before CONCURRENTLY begins");
    let left = watcher.wait_for_older(older, release.context.until).await?;
    if left.is_empty() {
        return Ok(());
    }
    let who: Vec<String> = left.iter().map(describe).collect();
    Err(SqlError::other(
        SqlErrorKind::Deadline,
        format!(
            "the deadline of the run has passed before this began, because CONCURRENTLY waits for older \
                transactions: it waited for {}",
            who.join(", ")
        ),
    ))
}
