//! How large the tables of a database are, as PostgreSQL estimates it. Reads the catalog alone.

use sqlx::{FromRow, PgConnection};

use crate::postgres::{QueryContext, QueryError, query_as};

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

/// A table that was analyzed is as large as PostgreSQL noted then, which needs no lock. Of one that never was, the
/// pages are counted, unless a session has locked it, or an index of it, against readers, or waits to; 226 rows of
/// one byte each fit into a page.
const SQL: &str = "\
    WITH held AS (SELECT l.relation FROM pg_catalog.pg_locks l WHERE l.locktype = 'relation' \
        AND l.mode = 'AccessExclusiveLock' AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d \
          WHERE d.datname = pg_catalog.current_database())), \
      locked AS (SELECT h.relation FROM held h UNION SELECT i.indrelid FROM pg_catalog.pg_index i \
        JOIN held h ON h.relation = i.indexrelid), \
      leaf AS (SELECT c.oid AS root, c.oid, c.reltuples, c.relpages, c.reltoastrelid \
        FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'm') \
        UNION ALL SELECT c.oid, p.oid, p.reltuples, p.relpages, p.reltoastrelid \
        FROM pg_catalog.pg_class c, pg_catalog.pg_partition_tree(c.oid) t \
          JOIN pg_catalog.pg_class p ON p.oid = t.relid WHERE c.relkind = 'p' AND t.isleaf), \
      sized AS (SELECT l.root, \
        CASE WHEN l.reltuples >= 0 THEN l.reltuples::int8 WHEN k.relation IS NULL \
          THEN pg_catalog.pg_relation_size(l.oid) / b.size * 226 END AS rows, \
        CASE WHEN l.reltuples >= 0 THEN b.size * (l.relpages + (SELECT coalesce(sum(x.relpages), 0) \
            FROM pg_catalog.pg_class x WHERE x.oid = l.reltoastrelid OR x.oid IN (SELECT i.indexrelid \
              FROM pg_catalog.pg_index i WHERE i.indrelid IN (l.oid, l.reltoastrelid)))) \
          WHEN k.relation IS NULL THEN pg_catalog.pg_total_relation_size(l.oid) END AS bytes \
        FROM leaf l LEFT JOIN locked k ON k.relation = l.oid, \
          (SELECT pg_catalog.current_setting('block_size')::int8 AS size) b) \
    SELECT n.nspname::text AS schema, c.relname::text AS name, coalesce(sum(s.rows), 0)::int8 AS rows, \
      coalesce(sum(s.bytes), 0)::int8 AS bytes \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
      LEFT JOIN sized s ON s.root = c.oid \
    WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
    GROUP BY 1, 2 HAVING NOT coalesce(bool_or(s.root IS NOT NULL AND s.rows IS NULL), false)";

/// Every table of the database, with or without partitions, and every materialized view, other than those whose size
/// cannot be told without waiting for a lock.
///
/// # Errors
/// The server does not answer.
pub async fn table_sizes(connection: &mut PgConnection) -> Result<Vec<TableSize>, QueryError> {
    query_as(SQL).fetch_all(connection).await.context("read how large the tables are")
}
