//! How large the tables of a database are, as PostgreSQL estimates it. Reads the catalog alone.

use sqlx::{FromRow, PgConnection};

use super::{CheckError, QueryContext};
use crate::postgres::query_as;

/// A table and its size.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct TableSize {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Estimated. Of a table that was never analyzed, as many as fit into its pages.
    pub rows: i64,
    /// With its indexes and what lies out of line, of all partitions.
    pub bytes: i64,
}

/// Rows that fit into a page of 8 KiB, should they hold next to nothing: 226 with one byte each.
const SQL: &str = "\
    SELECT n.nspname::text AS schema, c.relname::text AS name, \
      coalesce(sum(CASE WHEN l.reltuples >= 0 THEN l.reltuples::int8 \
        ELSE pg_catalog.pg_relation_size(l.oid) / pg_catalog.current_setting('block_size')::int8 * 226 END), 0)::int8 AS rows, \
      coalesce(sum(pg_catalog.pg_total_relation_size(l.oid)), 0)::int8 AS bytes \
    FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN LATERAL (SELECT p.oid, p.reltuples FROM pg_catalog.pg_partition_tree(c.oid) t \
        JOIN pg_catalog.pg_class p ON p.oid = t.relid WHERE t.isleaf AND c.relkind = 'p' \
      UNION ALL SELECT c.oid, c.reltuples WHERE c.relkind <> 'p') l ON true \
    WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
    GROUP BY 1, 2";

/// Every table of the database, with or without partitions, and every materialized view.
///
/// # Errors
/// The server does not answer.
pub async fn table_sizes(connection: &mut PgConnection) -> Result<Vec<TableSize>, CheckError> {
    query_as(SQL).fetch_all(connection).await.context("read how large the tables are")
}
