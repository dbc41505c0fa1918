//! How far a back end is with the index that it builds.

use sqlx::{FromRow, PgConnection};

use super::{QueryContext, QueryError, query_as};

/// How far PostgreSQL is with an index.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct IndexPhase {
    /// PostgreSQL's word for what it does.
    pub phase: String,
    /// How much of this phase is done, in percent; none where PostgreSQL does not count.
    pub percent: Option<i32>,
}

/// Reads it; none where that back end builds none. A phase that scans counts blocks, any other tuples; one that
/// waits counts neither.
pub(super) async fn index_phase(
    connection: &mut PgConnection,
    pid: i32,
) -> Result<Option<IndexPhase>, QueryError> {
    query_as(
        "SELECT phase, CASE WHEN total > 0 THEN LEAST(100, done * 100 / total)::integer END AS percent FROM ( \
           SELECT phase, CASE WHEN phase ~ '^waiting' THEN 0 WHEN phase ~ 'scanning' THEN blocks_done ELSE \
             tuples_done END AS done, CASE WHEN phase ~ '^waiting' THEN 0 WHEN phase ~ 'scanning' THEN \
             blocks_total ELSE tuples_total END AS total \
           FROM pg_catalog.pg_stat_progress_create_index WHERE pid = $1 AND phase IS NOT NULL) AS found",
    )
    .bind(pid)
    .fetch_optional(connection)
    .await
    .context("read how far the index is")
}
