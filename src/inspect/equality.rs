//! By which operator the values of two columns are equal: the one that an index or a foreign key would use.
//! `=` alone would be looked up by name, and the search path would decide whose it is.

use sqlx::PgConnection;

use super::{CheckError, QueryContext, sql};
use crate::postgres::query_as;

/// Of two columns, a domain counting as what is under it, and varchar as text. The family of the first type's
/// default operator class says what is equal; its schema is that of the type's maker.
const SQL: &str = "\
    WITH typed AS (SELECT a.attrelid, a.attname, \
           CASE WHEN b.oid = 'pg_catalog.varchar'::pg_catalog.regtype THEN \
           'pg_catalog.text'::pg_catalog.regtype ELSE b.oid END AS type \
      FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
      JOIN pg_catalog.pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END \
      WHERE a.attnum > 0 AND NOT a.attisdropped) \
    SELECT n.nspname::text, o.oprname::text \
    FROM typed l JOIN typed r ON r.attrelid = $3::pg_catalog.oid AND r.attname = $4 \
    JOIN pg_catalog.pg_opclass c ON c.opcintype = l.type AND c.opcdefault \
    JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod AND m.amname IN ('btree', 'hash') \
    JOIN pg_catalog.pg_amop p ON p.amopfamily = c.opcfamily AND p.amoplefttype = l.type AND p.amoprighttype \
    = r.type \
     AND p.amopstrategy = CASE m.amname WHEN 'btree' THEN 3 ELSE 1 END \
    JOIN pg_catalog.pg_operator o ON o.oid = p.amopopr JOIN pg_catalog.pg_namespace n ON n.oid = \
    o.oprnamespace \
    WHERE l.attrelid = $1::pg_catalog.oid AND l.attname = $2 ORDER BY m.amname LIMIT 1";

/// A column: the oid of its table, and its name.
pub(crate) type Column<'a> = (i64, &'a str);

/// The operator as it stands in a statement. Where the types have none in common, PostgreSQL's own `=`
/// converts, or refuses.
pub(crate) async fn operator(
    connection: &mut PgConnection,
    left: Column<'_>,
    right: Column<'_>,
) -> Result<String, CheckError> {
    let found: Option<(String, String)> = query_as(SQL)
        .bind(left.0)
        .bind(left.1)
        .bind(right.0)
        .bind(right.1)
        .fetch_optional(connection)
        .await
        .context("read how two columns are compared")?;
    let (schema, name) = found.unwrap_or_else(|| ("pg_catalog".to_owned(), "=".to_owned()));
    Ok(format!("OPERATOR({}.{name})", sql::identifier(&schema)))
}
