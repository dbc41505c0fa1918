//! The texts of migrations that were applied before Sluice kept texts, or by another tool. Where the file is
//! still the one that was applied, its text is the text of then, and Sluice keeps it. Nothing depends on one:
//! where it cannot be kept, the run goes on.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{
    Context,
    custody::{in_transaction, trust},
    error::MigrateError,
};
use crate::{
    migrations::{HistoryRow, Migration, RowState, SourceTree},
    postgres::{HistoryTable, OwnTable, QueryError, Session, connect, keep_texts, not_kept, prepare_texts},
};

/// What is applied exactly as its file says, and whose text could be kept and is not.
pub(super) async fn missing<'a>(
    connection: &mut PgConnection,
    texts: OwnTable,
    source: &'a SourceTree,
    rows: &[HistoryRow],
) -> Result<Vec<&'a Migration>, QueryError> {
    let applied = rows.iter().filter(|row| row.state() == RowState::Applied);
    let applied: BTreeMap<&str, &str> =
        applied.map(|row| (row.name.as_str(), row.checksum.as_str())).collect();
    let is_the_same =
        |migration: &&Migration| applied.get(migration.name.as_str()) == Some(&migration.checksum.as_str());
    not_kept(connection, texts, source.migrations.iter().filter(is_the_same)).await
}

/// Keeps them in a session of its own, where nothing else is to do.
pub(super) async fn keep_alone(context: &Context) -> Result<usize, MigrateError> {
    let source = context.source().map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let url = context.url().map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let connection = connect(url, &context.application())
        .await
        .map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let session =
        Session::new(connection, context.manifest.lock_timeout, context.manifest.statement_timeout).await;
    let mut session = session.map_err(MigrateError::Query)?;
    let kept = keep(&mut session, &context.history_table(), source).await;
    session.close().await;
    kept
}

/// Keeps them, in a transaction of its own; answers how many.
pub(super) async fn keep(
    session: &mut Session,
    history_table: &HistoryTable,
    source: &SourceTree,
) -> Result<usize, MigrateError> {
    trust(session, history_table).await?;
    let kept = in_transaction(session, history_table, async |session| {
        let connection = session.trusted().await?;
        let rows = history_table.rows(&mut *connection).await?;
        if !prepare_texts(&mut *connection).await? {
            return Ok(0);
        }
        let migrations = missing(&mut *connection, OwnTable::There, source, &rows).await?;
        keep_texts(connection, &migrations).await?;
        Ok(migrations.len())
    })
    .await;
    if kept.is_err() {
        session.rollback().await;
    }
    kept
}

/// What to say of it, behind another sentence. Where it did not work, the next run does it.
pub(super) fn told(kept: Result<usize, MigrateError>) -> String {
    match kept {
        Ok(0) => String::new(),
        Ok(kept) => {
            format!("; the texts of {kept} migration(s) that were applied before are kept from now on")
        }
        Err(error) => {
            tracing::warn!(error = %error, "the texts of applied migrations could not be kept");
            String::new()
        }
    }
}
