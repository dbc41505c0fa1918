//! Before CONCURRENTLY. A build that has begun waits for every older transaction while its index, not valid yet,
//! slows writers; one that is given up leaves it behind. So those transactions are named and waited for first.

use super::{attempt::Release, error::describe};
use crate::{
    migrations::{Migration, Statement, StatementKind},
    postgres::{Session, SqlError, SqlErrorKind, Watcher},
    sql::Verb,
};

/// Waits for the transactions that this statement would wait for, until the deadline. What drops or detaches waits
/// by itself: nothing is half done before.
pub(super) async fn wait_for_older(
    session: &mut Session,
    watcher: &Watcher,
    release: &Release<'_>,
    migration: &Migration,
    statement: &Statement,
) -> Result<(), SqlError> {
    let table = match &statement.kind {
        StatementKind::BuildIndex(index) => session.resolve(&index.table).await?,
        StatementKind::Autocommit { concurrently: true } if statement.verb == Verb::Reindex => None,
        _ => return Ok(()),
    };
    let older = watcher.older(table).await?;
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
            "the deadline of the run has passed before this began, because CONCURRENTLY waits for every older \
                transaction: it waited for {}",
            who.join(", ")
        ),
    ))
}
