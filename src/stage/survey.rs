//! What a report draws: tables, columns, policies, indexes and foreign keys, taken apart. The room `catalog`
//! reads the same catalogs as texts, of which two can only be equal or not; taking those apart again would
//! need a parser of SQL. Reads `pg_catalog` only, in one transaction that can write nothing and waits for no
//! lock for long.

use std::collections::BTreeMap;

use sqlx::{FromRow, PgConnection, Row, postgres::PgRow};

use crate::{
    postgres::{QueryContext, QueryError, query, query_as, query_scalar},
    report::{Column, Index, Isolation, Policy, Relation, Schema, Table, TableKind},
};

/// Printing an expression needs a lock that a running ALTER TABLE does not give: a report is not worth
/// waiting for it.
const BEGIN: [&str; 3] = [
    "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SET LOCAL lock_timeout = '1s'",
    "SELECT pg_catalog.set_config(name, value, true) FROM (VALUES ('statement_timeout', '30s'), ('jit', \
        'off')) s(name, value)",
];

/// Without what extensions brought, and without the history. $1 schemas, $2 schema of the history, $3 its
/// table.
const TABLES: &str = "\
    SELECT c.oid::int8 AS table_id, n.nspname::text AS schema, c.relname::text AS name, \
    c.relkind::text AS kind, c.relispartition AS is_partition, \
    pg_catalog.pg_get_userbyid(c.relowner)::text AS owner, \
           c.reltuples::float8 AS rows, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname = ANY($1) AND NOT (n.nspname = $2 AND \
    c.relname = $3) \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = \
        'e') \
    ORDER BY n.nspname, c.relname";

const COLUMNS: &str = "\
    SELECT a.attrelid::int8 AS table_id, a.attname::text AS name, pg_catalog.format_type(a.atttypid, \
    a.atttypmod) AS type, NOT \
    a.attnotnull AS nullable, \
           EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'p' \
           AND a.attnum = ANY(k.conkey)) AS primary \
    FROM pg_catalog.pg_attribute a \
    WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

const POLICIES: &str = "\
    SELECT p.polrelid::int8 AS table_id, p.polname::text AS name, \
           CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN \
           'DELETE' ELSE 'ALL' END AS command, \
           p.polpermissive AS permissive, \
           ARRAY(SELECT CASE r.oid WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(r.oid)::text END \
             FROM pg_catalog.unnest(p.polroles) r(oid) ORDER BY 1) AS roles, \
           pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS using, pg_catalog.pg_get_expr(p.polwithcheck, \
           p.polrelid) AS check \
    FROM pg_catalog.pg_policy p WHERE p.polrelid = ANY($1::oid[]) ORDER BY p.polrelid, p.polname";

/// Of the definition, what stands behind USING.
const INDEXES: &str = "\
    SELECT i.indrelid::int8 AS table_id, c.relname::text AS name, \
           pg_catalog.regexp_replace(pg_catalog.pg_get_indexdef(i.indexrelid), '^CREATE (UNIQUE )?INDEX .*? \
           ON .*? USING ', '') AS definition, \
           i.indisunique AS unique, i.indisprimary AS primary, i.indisvalid AND i.indisready AS valid \
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
    WHERE i.indrelid = ANY($1::oid[]) ORDER BY i.indrelid, c.relname";

/// A partition's copy of its table's foreign key is left out.
const RELATIONS: &str = "\
    SELECT k.conname::text AS name, n.nspname || '.' || t.relname AS from, \
           ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY c(number, place) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.number ORDER BY \
             c.place) AS columns, \
           m.nspname || '.' || f.relname AS to, \
           ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY c(number, place) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = c.number ORDER BY \
             c.place) AS references, \
           k.confdeltype::text AS on_delete, k.confupdtype::text AS on_update, k.convalidated AS validated \
    FROM pg_catalog.pg_constraint k \
    JOIN pg_catalog.pg_class t ON t.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = \
    t.relnamespace \
    JOIN pg_catalog.pg_class f ON f.oid = k.confrelid JOIN pg_catalog.pg_namespace m ON m.oid = \
    f.relnamespace \
    WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = ANY($1::oid[]) ORDER BY n.nspname, \
    t.relname, k.conname";

/// The server's version, and everything in these schemas but the history.
pub(super) async fn survey(
    connection: &mut PgConnection,
    schemas: &[String],
    history_table: (&str, &str),
) -> Result<(String, Schema), QueryError> {
    for statement in BEGIN {
        query(statement).execute(&mut *connection).await.context("begin to read the schema")?;
    }
    let found = read(connection, schemas, history_table).await;
    let ended = query("ROLLBACK").execute(connection).await;
    let found = found?;
    ended.context("end reading the schema")?;
    Ok(found)
}

async fn read(
    connection: &mut PgConnection,
    schemas: &[String],
    history_table: (&str, &str),
) -> Result<(String, Schema), QueryError> {
    let version: String =
        query_scalar("SELECT pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1)")
            .fetch_one(&mut *connection)
            .await
            .context("read the server's version")?;
    let tables: Vec<Owned<Table>> = query_as(TABLES)
        .bind(schemas)
        .bind(history_table.0)
        .bind(history_table.1)
        .fetch_all(&mut *connection)
        .await
        .context("read the tables")?;
    let ids: Vec<i64> = tables.iter().map(|table| table.0).collect();
    let mut columns = of(connection, COLUMNS, &ids).await.context("read the columns")?;
    let mut policies = of(connection, POLICIES, &ids).await.context("read the policies")?;
    let mut indexes = of(connection, INDEXES, &ids).await.context("read the indexes")?;
    let relations: Vec<Relation> =
        query_as(RELATIONS).bind(&ids).fetch_all(connection).await.context("read the foreign keys")?;
    let tables = tables.into_iter().map(|Owned(id, table)| Table {
        columns: columns.remove(&id).unwrap_or_default(),
        policies: policies.remove(&id).unwrap_or_default(),
        indexes: indexes.remove(&id).unwrap_or_default(),
        ..table
    });
    Ok((version, Schema { tables: tables.collect(), relations }))
}

/// Something, and the oid of the table that it belongs to.
struct Owned<T>(i64, T);

async fn of<T>(
    connection: &mut PgConnection,
    sql: &'static str,
    ids: &[i64],
) -> Result<BTreeMap<i64, Vec<T>>, sqlx::Error>
where
    Owned<T>: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let rows: Vec<Owned<T>> = query_as(sql).bind(ids).fetch_all(connection).await?;
    let mut found: BTreeMap<i64, Vec<T>> = BTreeMap::new();
    for Owned(id, part) in rows {
        found.entry(id).or_default().push(part);
    }
    Ok(found)
}

impl FromRow<'_, PgRow> for Owned<Table> {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let (kind, is_partition): (String, bool) = (row.try_get("kind")?, row.try_get("is_partition")?);
        let kind = match kind.as_str() {
            _ if is_partition => TableKind::Partition,
            "p" => TableKind::Partitioned,
            "v" => TableKind::View,
            "m" => TableKind::MaterializedView,
            "f" => TableKind::Foreign,
            _ => TableKind::Table,
        };
        let rows: f64 = row.try_get("rows")?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate; -1 is none")]
        let rows = (rows >= 0.0 && kind != TableKind::View).then_some(rows as u64);
        let table = Table {
            schema: row.try_get("schema")?,
            name: row.try_get("name")?,
            kind,
            owner: row.try_get("owner")?,
            rows,
            enabled: row.try_get("enabled")?,
            forced: row.try_get("forced")?,
            isolation: Isolation::NotAsked,
            columns: Vec::new(),
            policies: Vec::new(),
            indexes: Vec::new(),
        };
        Ok(Self(row.try_get("table_id")?, table))
    }
}

impl FromRow<'_, PgRow> for Owned<Column> {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let column = Column {
            name: row.try_get("name")?,
            type_: row.try_get("type")?,
            nullable: row.try_get("nullable")?,
            primary: row.try_get("primary")?,
        };
        Ok(Self(row.try_get("table_id")?, column))
    }
}

impl FromRow<'_, PgRow> for Owned<Policy> {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let policy = Policy {
            name: row.try_get("name")?,
            command: row.try_get("command")?,
            permissive: row.try_get("permissive")?,
            roles: row.try_get("roles")?,
            using: row.try_get("using")?,
            check: row.try_get("check")?,
        };
        Ok(Self(row.try_get("table_id")?, policy))
    }
}

impl FromRow<'_, PgRow> for Owned<Index> {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let (name, definition, unique, primary, valid) = (
            row.try_get("name")?,
            row.try_get("definition")?,
            row.try_get("unique")?,
            row.try_get("primary")?,
            row.try_get("valid")?,
        );
        Ok(Self(row.try_get("table_id")?, Index { name, definition, unique, primary, valid }))
    }
}

impl FromRow<'_, PgRow> for Relation {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let action = |at| -> Result<String, sqlx::Error> {
            let code: String = row.try_get(at)?;
            let name = match code.as_str() {
                "r" => "RESTRICT",
                "c" => "CASCADE",
                "n" => "SET NULL",
                "d" => "SET DEFAULT",
                _ => "NO ACTION",
            };
            Ok(name.to_owned())
        };
        Ok(Self {
            name: row.try_get("name")?,
            from: row.try_get("from")?,
            columns: row.try_get("columns")?,
            to: row.try_get("to")?,
            references: row.try_get("references")?,
            on_delete: action("on_delete")?,
            on_update: action("on_update")?,
            validated: row.try_get("validated")?,
        })
    }
}
