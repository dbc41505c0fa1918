//! What lint has to know of the tables of a database: how large they are, and what a release would meet in them.

use std::time::Duration;

use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use super::{
    error::CheckError,
    sql,
    trial::{self, answer},
};
use crate::{
    lint::{Column, Large, Size, TablePlace, Tables, required_columns},
    migrations::Migration,
    postgres::{QueryContext, QueryError, Transaction, query_as, query_scalar},
};

/// What of it the manifest says.
#[derive(Clone, Copy, Debug)]
pub struct TableScope<'s> {
    /// The schema of a name without one.
    pub schema: &'s str,
    /// From which size on a table is large.
    pub large: Large,
    /// Tables whose rows are protected.
    pub protected: &'s [String],
}

/// A table and its size.
#[derive(FromRow)]
struct TableSize {
    schema: String,
    name: String,
    /// Rows, as PostgreSQL estimates them; of a table that was never analyzed, as many as fit into its pages.
    rows: i64,
    /// Bytes, with indexes and what lies out of line.
    bytes: i64,
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
/// cannot be told without waiting for a lock; and what this release would meet in them.
///
/// # Errors
/// The server does not answer.
pub async fn tables(
    connection: &mut PgConnection,
    release: &[&Migration],
    scope: TableScope<'_>,
) -> Result<Tables, QueryError> {
    let sizes: Vec<TableSize> =
        query_as(SQL).fetch_all(&mut *connection).await.context("read how large the tables are")?;
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    let sizes = sizes.into_iter().map(|table| {
        let size = Size { rows: number(table.rows), bytes: number(table.bytes) };
        ((table.schema, table.name), size)
    });
    let tables = Tables::of(sizes, scope.schema, scope.large).protecting(scope.protected);
    let hidden: Vec<TablePlace> =
        query_as(HIDDEN).fetch_all(&mut *connection).await.context("read what policies hide")?;
    let cascades: Vec<(String, String, String)> = query_as(CASCADES)
        .bind(scope.protected)
        .fetch_all(&mut *connection)
        .await
        .context("read which tables lead to a protected one")?;
    let cascades = cascades.into_iter().map(|(schema, table, protected)| ((schema, table), protected));
    let columns = required_columns(release, &tables);
    let nulls = nulls(connection, &columns).await?;
    Ok(tables.with_hidden(hidden).with_cascades(cascades).with_nulls(nulls))
}

/// Tables of which row-level security may hide rows from this role. It hides none where, for reading, changing and
/// removing alike, a permissive policy of the role is always true and no restrictive one may be false.
const HIDDEN: &str = "\
    WITH policy AS (SELECT p.polrelid, p.polcmd, p.polpermissive, \
        pg_catalog.pg_get_expr(p.polqual, p.polrelid) IS NOT DISTINCT FROM 'true' AS open \
      FROM pg_catalog.pg_policy p WHERE 0 = ANY(p.polroles) OR EXISTS (SELECT \
        FROM pg_catalog.unnest(p.polroles) r(oid) WHERE r.oid <> 0 AND pg_catalog.pg_has_role(r.oid, 'USAGE'))) \
    SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND pg_catalog.row_security_active(c.oid) \
      AND EXISTS (SELECT FROM (VALUES ('r'), ('w'), ('d')) v(command) WHERE \
        NOT EXISTS (SELECT FROM policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.open \
          AND p.polcmd::text IN ('*', v.command)) \
        OR EXISTS (SELECT FROM policy p WHERE p.polrelid = c.oid AND NOT p.polpermissive AND NOT p.open \
          AND p.polcmd::text IN ('*', v.command)))";

/// Tables a DELETE of which changes or removes rows of a protected one. $1 are the protected ones.
const CASCADES: &str = "\
    WITH RECURSIVE protected AS (SELECT c.oid, w.name FROM pg_catalog.unnest($1::text[]) w(name) \
        JOIN pg_catalog.pg_class c ON c.relkind IN ('r', 'p') JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relname::text = w.name OR n.nspname || '.' || c.relname = w.name), \
      leads(oid, name) AS (SELECT k.confrelid, p.name FROM protected p JOIN pg_catalog.pg_constraint k \
          ON k.conrelid = p.oid AND k.contype = 'f' AND k.confdeltype IN ('c', 'n', 'd') \
        UNION SELECT k.confrelid, l.name FROM leads l JOIN pg_catalog.pg_constraint k \
          ON k.conrelid = l.oid AND k.contype = 'f' AND k.confdeltype = 'c') \
    SELECT n.nspname::text, c.relname::text, pg_catalog.min(l.name) FROM leads l \
      JOIN pg_catalog.pg_class c ON c.oid = l.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace GROUP BY 1, 2";

/// Those of some columns that are there, may be NULL and may be read.
const NULLABLE: &str = "\
    SELECT n.nspname::text, c.relname::text, a.attname::text \
    FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[])) \
      AS w(schema, name, attribute) \
      JOIN pg_catalog.pg_namespace n ON n.nspname::text = w.schema \
      JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname::text = w.name AND c.relkind IN ('r', 'p') \
      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname::text = w.attribute AND NOT a.attisdropped \
    WHERE NOT a.attnotnull AND pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT') ORDER BY 1, 2, 3";

/// How long all of it may take.
const TIME: Duration = Duration::from_secs(10);
/// So many NULLs are counted, and no more.
const MOST: i64 = 1000;

/// Which of these columns have NULLs, and how many. What PostgreSQL refuses to read, or does not read in time, is not
/// known, and is left out.
async fn nulls(
    connection: &mut PgConnection,
    columns: &[Column],
) -> Result<Vec<(Column, String)>, QueryError> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let part = |part: fn(&Column) -> &String| columns.iter().map(part).cloned().collect::<Vec<_>>();
    let nullable: Vec<Column> = query_as(NULLABLE)
        .bind(part(|column| &column.0))
        .bind(part(|column| &column.1))
        .bind(part(|column| &column.2))
        .fetch_all(&mut *connection)
        .await
        .context("read which columns may be NULL")?;
    let granted = TIME / u32::try_from(nullable.len()).unwrap_or(u32::MAX).max(1);
    let mut transaction = Transaction::begin(connection).await?;
    let mut found = Vec::new();
    for column in nullable {
        let rows = count_nulls(transaction.session(), &column, granted).await;
        let rows = rows.map_err(|CheckError { action, cause }| QueryError { action, cause })?;
        found.extend(rows.map(|rows| (column, rows)));
    }
    transaction.roll_back().await?;
    Ok(found)
}

async fn count_nulls(
    connection: &mut PgConnection,
    (schema, table, column): &Column,
    granted: Duration,
) -> Result<Option<String>, CheckError> {
    trial::begin_reading(connection, granted).await?;
    let text = format!(
        "SELECT pg_catalog.count(*) FROM (SELECT FROM {} WHERE {} IS NULL LIMIT {}) AS n",
        sql::qualified(schema, table),
        sql::identifier(column),
        MOST + 1
    );
    let counted = query_scalar(AssertSqlSafe(text)).fetch_one(&mut *connection).await;
    let counted: Result<i64, _> = answer(counted, "count the NULLs of a column")?;
    trial::end(connection).await?;
    Ok(match counted {
        Ok(0) | Err(_) => None,
        Ok(1) => Some("one row".to_owned()),
        Ok(rows @ ..=MOST) => Some(format!("{rows} rows")),
        Ok(_) => Some(format!("more than {MOST} rows")),
    })
}
