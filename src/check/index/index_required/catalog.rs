//! What the catalog knows of the tables that indexes are required on, and how PostgreSQL itself reads a
//! requirement.

use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use super::term::Term;
use crate::{
    api::RequiredIndex,
    inspect::{CheckError, QueryContext, sql},
    postgres::{query, query_as, said, search_path},
};

/// A table and its indexes.
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    pub(super) indexes: Vec<Index>,
}

impl Table {
    /// `schema.table`.
    pub(super) fn display(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// An index.
pub(super) struct Index {
    pub(super) name: String,
    /// Its access method.
    pub(super) method: String,
    pub(super) unique: bool,
    /// Valid, ready and live.
    pub(super) valid: bool,
    pub(super) predicate: Option<String>,
    pub(super) keys: Vec<Key>,
}

/// One key column of an index, without INCLUDE's.
pub(super) struct Key {
    /// The column's name, or the expression as PostgreSQL prints it.
    pub(super) text: String,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
    pub(super) opclass: String,
    /// The operator class does what the type's default one does.
    pub(super) default_opclass: bool,
    pub(super) collation: Option<String>,
}

impl Key {
    /// With what differs from the default.
    pub(super) fn display(&self) -> String {
        let direction = if self.descending { " DESC" } else { "" };
        let nulls = match (self.descending, self.nulls_first) {
            (true, false) => " NULLS LAST",
            (false, true) => " NULLS FIRST",
            _ => "",
        };
        let opclass = if self.default_opclass { String::new() } else { format!(" {}", self.opclass) };
        format!("{}{opclass}{direction}{nulls}", self.text)
    }
}

/// A requirement in PostgreSQL's own words.
pub(super) struct Normal {
    pub(super) keys: Vec<String>,
    pub(super) predicate: Option<String>,
    /// PostgreSQL cannot read it.
    pub(super) problem: Option<String>,
}

const TABLES: &str = "\
    SELECT c.oid::int8, n.nspname::text, c.relname::text, \
           ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum \
           > 0 AND NOT a.attisdropped ORDER BY a.attnum) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'm') \
      AND ((c.relname::text = ANY($1) AND n.nspname = ANY($2)) OR n.nspname || '.' || c.relname = ANY($1)) \
    ORDER BY 2, 3";

const INDEXES: &str = "\
    SELECT i.indrelid::int8 AS table_id, x.relname::text AS name, m.amname::text AS method, \
    i.indisunique AS is_unique, i.indisvalid AND i.indisready \
    AND i.indislive AS valid, pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate, \
      ARRAY(SELECT COALESCE(a.attname::text, pg_catalog.pg_get_indexdef(i.indexrelid, k.n, false)) FROM \
      pg_catalog.generate_series(1, i.indnkeyatts) k(n) \
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.n - 1] AND \
        a.attnum <> 0 ORDER BY k.n) AS texts, \
      ARRAY(SELECT i.indoption[k.n - 1] FROM pg_catalog.generate_series(1, i.indnkeyatts) k(n) ORDER BY \
      k.n) AS options, \
      ARRAY(SELECT o.opcname::text FROM pg_catalog.generate_series(1, i.indnkeyatts) k(n) \
        JOIN pg_catalog.pg_opclass o ON o.oid = i.indclass[k.n - 1] ORDER BY k.n) AS opclasses, \
      ARRAY(SELECT EXISTS (SELECT FROM pg_catalog.pg_opclass d WHERE d.opcfamily = o.opcfamily AND \
      d.opcintype = o.opcintype AND d.opcdefault) \
        FROM pg_catalog.generate_series(1, i.indnkeyatts) k(n) JOIN pg_catalog.pg_opclass o ON o.oid = \
        i.indclass[k.n - 1] ORDER BY k.n) AS defaults, \
      ARRAY(SELECT COALESCE(o.collname::text, '') FROM pg_catalog.generate_series(1, i.indnkeyatts) k(n) \
        LEFT JOIN pg_catalog.pg_collation o ON o.oid = i.indcollation[k.n - 1] ORDER BY k.n) AS collations \
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am m ON \
    m.oid = x.relam \
    WHERE i.indrelid = ANY($1::pg_catalog.oid[]) ORDER BY 2";

/// A row of [`INDEXES`], with a list for each property of its keys.
#[derive(FromRow)]
struct IndexRow {
    table_id: i64,
    name: String,
    method: String,
    is_unique: bool,
    valid: bool,
    predicate: Option<String>,
    texts: Vec<String>,
    options: Vec<i16>,
    opclasses: Vec<String>,
    defaults: Vec<bool>,
    collations: Vec<String>,
}

/// The tables that are named, with their indexes.
pub(super) async fn tables(
    connection: &mut PgConnection,
    required: &[RequiredIndex],
    schemas: &[String],
) -> Result<Vec<Table>, CheckError> {
    let names: Vec<_> = required.iter().map(|expected| expected.table.clone()).collect();
    let rows: Vec<(i64, String, String, Vec<String>)> = query_as(TABLES)
        .bind(names)
        .bind(schemas)
        .fetch_all(&mut *connection)
        .await
        .context("read the tables that need indexes")?;
    let oids: Vec<i64> = rows.iter().map(|(oid, ..)| *oid).collect();
    let indexes: Vec<IndexRow> =
        query_as(INDEXES).bind(&oids).fetch_all(connection).await.context("read the indexes")?;
    let mut indexes: Vec<_> = indexes.into_iter().map(|row| (row.table_id, index(row))).collect();
    let tables = rows.into_iter().map(|(oid, schema, name, columns)| {
        let own = indexes.extract_if(.., |(table, _)| *table == oid).map(|(_, index)| index).collect();
        Table { schema, name, columns, indexes: own }
    });
    Ok(tables.collect())
}

fn index(row: IndexRow) -> Index {
    let IndexRow { name, method, is_unique: unique, valid, predicate, .. } = row;
    let keys = row.texts.into_iter().zip(row.options).zip(row.opclasses);
    let keys = keys.zip(row.defaults).zip(row.collations);
    let keys = keys.map(|((((text, options), opclass), default_opclass), collation)| Key {
        text,
        descending: options & 1 != 0,
        nulls_first: options & 2 != 0,
        opclass,
        default_opclass,
        collation: Some(collation).filter(|name| !name.is_empty()),
    });
    Index { name, method, unique, valid, predicate, keys: keys.collect() }
}

/// Lets PostgreSQL read the predicate and the expressions, on an empty temporary table of the same shape that
/// is gone afterwards.
pub(super) async fn normalise(
    connection: &mut PgConnection,
    table: &Table,
    terms: &[Term],
    predicate: Option<&str>,
    schemas: &[String],
) -> Result<Normal, CheckError> {
    let written = Normal {
        keys: terms.iter().map(|term| term.text().to_owned()).collect(),
        predicate: predicate.map(str::to_owned),
        problem: None,
    };
    let expressions: Vec<_> = terms.iter().filter_map(Term::expression).collect();
    if predicate.is_none() && expressions.is_empty() {
        return Ok(written);
    }
    sqlx::raw_sql("SAVEPOINT sluice_shape").execute(&mut *connection).await.context("set a savepoint")?;
    let read = shape(connection, table, &expressions, predicate, schemas).await;
    let undone = sqlx::raw_sql("ROLLBACK TO SAVEPOINT sluice_shape; RELEASE SAVEPOINT sluice_shape")
        .execute(connection)
        .await;
    undone.context("undo a temporary table")?;
    match read {
        Ok((printed, predicate)) => {
            let mut printed = printed.into_iter();
            let keys = terms.iter().map(|term| match term.expression() {
                Some(text) => printed.next().unwrap_or_else(|| text.to_owned()),
                None => term.text().to_owned(),
            });
            Ok(Normal { keys: keys.collect(), predicate, problem: None })
        }
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => Ok(written),
        Err(error @ sqlx::Error::Database(_)) => Ok(Normal { problem: Some(said(&error)), ..written }),
        Err(cause) => Err(CheckError { action: "let PostgreSQL read a required index", cause }),
    }
}

/// The expressions and the predicate of an index on a table of the same shape. Prepared statements: one
/// statement each, whatever the text says.
async fn shape(
    connection: &mut PgConnection,
    table: &Table,
    expressions: &[&str],
    predicate: Option<&str>,
    schemas: &[String],
) -> Result<(Vec<String>, Option<String>), sqlx::Error> {
    let source = sql::qualified(&table.schema, &table.name);
    query(AssertSqlSafe(format!("CREATE TEMPORARY TABLE sluice_shape (LIKE {source})")))
        .execute(&mut *connection)
        .await?;
    // The manifest's: they name what they use as its schemas have it.
    let path: Vec<_> =
        std::iter::once(&table.schema).chain(schemas).map(|schema| sql::identifier(schema)).collect();
    query("SELECT pg_catalog.set_config('search_path', $1, true)")
        .bind(path.join(", "))
        .execute(&mut *connection)
        .await?;
    // A constant where there is no expression: a column would need a default operator class.
    let keys: Vec<_> = if expressions.is_empty() {
        vec!["(1)".to_owned()]
    } else {
        expressions.iter().map(|text| format!("({text})")).collect()
    };
    let clause = predicate.map_or(String::new(), |predicate| format!(" WHERE {predicate}"));
    let create =
        format!("CREATE INDEX sluice_shape_index ON pg_temp.sluice_shape ({}){clause}", keys.join(", "));
    query(AssertSqlSafe(create)).execute(&mut *connection).await?;
    query(concat!("SET LOCAL search_path = ", search_path!())).execute(&mut *connection).await?;
    query_as(
        "SELECT ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, k.n, false) FROM \
            pg_catalog.generate_series(1, i.indnkeyatts) k(n) ORDER BY k.n), \
                pg_catalog.pg_get_expr(i.indpred, i.indrelid) \
         FROM pg_catalog.pg_index i WHERE i.indexrelid = 'pg_temp.sluice_shape_index'::pg_catalog.regclass",
    )
    .fetch_one(connection)
    .await
}
