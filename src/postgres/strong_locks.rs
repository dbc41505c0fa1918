//! Which relations a session has locked so that writers wait, and which tables those are.

use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use super::{QueryContext, QueryError, holds::SeenLock, query_as};
use crate::sql::LockMode;

/// The strong modes, by the names that `pg_locks` has for them, in a list of SQL.
pub(super) fn strong_modes() -> String {
    LockMode::strong().map(|mode| format!("'{}'", mode.lock())).collect::<Vec<_>>().join(", ")
}

#[derive(FromRow)]
struct LockRow {
    transaction: String,
    relation: i64,
    mode: String,
}

#[derive(FromRow)]
struct TableRow {
    relation: i64,
    name: String,
}

/// Those of another session. It reads the table of locks and no catalog: it runs fifty times a second.
pub(super) async fn strong_locks(
    connection: &mut PgConnection,
    pid: i32,
) -> Result<Vec<SeenLock>, QueryError> {
    let text = format!(
        "SELECT virtualtransaction AS transaction, relation::bigint, mode FROM pg_catalog.pg_locks \
         WHERE pid = $1 AND granted AND locktype = 'relation' AND mode IN ({})",
        strong_modes()
    );
    let rows: Vec<LockRow> = query_as(AssertSqlSafe(text))
        .bind(pid)
        .fetch_all(connection)
        .await
        .context("read which relations are locked")?;
    let seen = |row: LockRow| {
        let mode = LockMode::of_lock(&row.mode)?;
        Some(SeenLock { transaction: row.transaction, relation: row.relation, mode })
    };
    Ok(rows.into_iter().filter_map(seen).collect())
}

/// The tables of relations that are committed: what an open transaction has made, no other session sees. An index
/// is one of its table; what is temporary, or TOAST of a table that is locked itself, keeps no session waiting.
pub(super) async fn tables_of(
    connection: &mut PgConnection,
    relations: &[i64],
) -> Result<Vec<(i64, String)>, QueryError> {
    let rows: Vec<TableRow> = query_as(
        "SELECT c.oid::bigint AS relation, pg_catalog.concat(n.nspname, '.', t.relname) AS name \
         FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid \
         JOIN pg_catalog.pg_class t ON t.oid = COALESCE(i.indrelid, c.oid) \
         JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
         WHERE c.oid = ANY ($1::bigint[]::pg_catalog.oid[]) AND t.relpersistence <> 't' AND t.relkind <> 't'",
    )
    .bind(relations)
    .fetch_all(connection)
    .await
    .context("read which tables are locked")?;
    Ok(rows.into_iter().map(|row| (row.relation, row.name)).collect())
}

/// The same relations, queried by the session itself between two statements of a file, whose search path holds.
pub(super) fn own_strong_locks() -> String {
    format!(
        "SELECT l.relation::pg_catalog.int8::pg_catalog.text FROM pg_catalog.pg_locks l WHERE l.granted \
            AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.locktype \
            OPERATOR(pg_catalog.=) 'relation' AND l.mode OPERATOR(pg_catalog.=) ANY \
            (ARRAY[{}]::pg_catalog.text[])",
        strong_modes()
    )
}
