//! Which tables hold tenants' rows. Shared by every isolation check, so that all of them speak of the same
//! tables.

use sqlx::{PgConnection, Postgres, postgres::PgArguments, query::QueryAs};

use super::{CheckError, QueryContext, Scope};
use crate::{
    api::{Finding, RowLevelSecurity},
    postgres::query_as,
};

/// The head of a query: the common table expressions `app`, which is the application's role or no row;
/// `heirs`, which are the tables that inherit from a table with the tenant column, and its partitions; and
/// `tenant_tables`, which are ordinary and partitioned tables and partitions that have the tenant column and
/// are not excepted. A partition counts also in another schema than its table, and so does an heir that the
/// application reaches. An exception of a partitioned table holds for its partitions. An exception without a
/// dot is the name of a table in any schema; with a dot it begins with a schema. Parameters: $1 schemas, $2
/// tenant column, $3 exceptions, $4 application role.
macro_rules! tenants {
    ($($rest:tt)+) => {
        concat!(
            "WITH RECURSIVE app AS (SELECT r.oid, r.rolname::text AS name, r.rolsuper, r.rolbypassrls \
               FROM pg_catalog.pg_roles r WHERE r.rolname = $4), \
             excepted AS (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = \
             c.relnamespace \
               WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND EXISTS (SELECT FROM \
               pg_catalog.unnest($3::text[]) e(name) \
                 WHERE e.name = CASE WHEN pg_catalog.strpos(e.name, '.') = 0 THEN c.relname::text \
                   WHEN pg_catalog.strpos(n.nspname, '.') = 0 THEN n.nspname || '.' || c.relname END)), \
             heirs(oid) AS (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid \
             = c.relnamespace \
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = $2 AND a.attnum > 0 \
                 AND NOT a.attisdropped \
                 WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p') AND c.relhassubclass AND c.oid NOT IN \
                 (SELECT oid FROM excepted) \
               UNION SELECT i.inhrelid FROM heirs h JOIN pg_catalog.pg_inherits i ON i.inhparent = h.oid), \
             tenant_tables AS ( \
               SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relispartition AS \
               is_partition, \
                      c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced, c.relowner AS owner, \
                      a.attnum AS tenant \
               FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = $2 AND a.attnum > 0 AND \
               NOT a.attisdropped \
               WHERE c.relkind IN ('r', 'p') AND c.oid NOT IN (SELECT oid FROM excepted) \
                 AND (n.nspname = ANY($1) OR (c.relispartition AND EXISTS (SELECT FROM pg_catalog.pg_class w \
                   JOIN pg_catalog.pg_namespace wn ON wn.oid = w.relnamespace \
                   WHERE w.oid = pg_catalog.pg_partition_root(c.oid) AND wn.nspname = ANY($1))) \
                   OR (c.oid IN (SELECT oid FROM heirs) AND EXISTS (SELECT FROM app a WHERE ",
            $crate::inspect::tenancy::app_reaches!(),
            "))) \
                 AND NOT (c.relispartition AND EXISTS ( \
                   SELECT FROM pg_catalog.pg_partition_ancestors(c.oid) p(relid) WHERE p.relid::oid IN \
                   (SELECT oid FROM excepted)))) ",
            $($rest)+
        )
    };
}
pub(crate) use tenants;

/// Goes on after [`tenants!`] with `policies`, those of tenant tables, for [`sees_more!`].
macro_rules! policies {
    () => {
        ", policies AS MATERIALIZED (SELECT p.polrelid AS relation, p.polcmd AS command, p.polpermissive AS \
            permissive, p.polroles AS roles, \
             pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS qual, pg_catalog.pg_get_expr(p.polwithcheck, \
             p.polrelid) AS written \
           FROM tenant_tables t JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid)"
    };
}
pub(crate) use policies;

/// How much more of the tenant table `t` the role `b` sees than the application `a`: 2 for every tenant's
/// rows, because no policy binds it or one says `true`; 1 where it cannot be told, because a permissive
/// policy is for it and not for the application, or a restrictive one for the application and not for it; 0
/// otherwise. A policy with the same condition for the same commands stands for another.
macro_rules! sees_more {
    () => {
        "CASE WHEN b.rolsuper OR b.rolbypassrls OR (NOT t.forced AND pg_catalog.pg_has_role(b.oid, t.owner, \
            'USAGE')) THEN 2 \
           WHEN EXISTS (SELECT FROM policies p WHERE p.relation = t.oid AND p.permissive AND p.command IN \
           ('*', 'r') AND p.qual = 'true' \
               AND EXISTS (SELECT FROM pg_catalog.unnest(p.roles) r(oid) WHERE r.oid = 0 OR \
               pg_catalog.pg_has_role(b.oid, r.oid, 'USAGE'))) \
             AND NOT EXISTS (SELECT FROM policies p WHERE p.relation = t.oid AND NOT p.permissive AND \
             p.command IN ('*', 'r') AND p.qual <> 'true' \
               AND EXISTS (SELECT FROM pg_catalog.unnest(p.roles) r(oid) WHERE r.oid = 0 OR \
               pg_catalog.pg_has_role(b.oid, r.oid, 'USAGE'))) THEN 2 \
           WHEN EXISTS (SELECT FROM policies p WHERE p.relation = t.oid \
             AND EXISTS (SELECT FROM pg_catalog.unnest(p.roles) r(oid) \
               WHERE r.oid = 0 OR pg_catalog.pg_has_role(CASE WHEN p.permissive THEN b.oid ELSE a.oid END, \
               r.oid, 'USAGE')) \
             AND NOT EXISTS (SELECT FROM policies q, LATERAL pg_catalog.unnest(q.roles) r(oid) \
               WHERE q.relation = p.relation AND q.permissive = p.permissive AND q.command IN ('*', \
               p.command) \
                 AND q.qual IS NOT DISTINCT FROM p.qual AND q.written IS NOT DISTINCT FROM p.written \
                 AND (r.oid = 0 OR pg_catalog.pg_has_role(CASE WHEN p.permissive THEN a.oid ELSE b.oid END, \
                 r.oid, 'USAGE')))) THEN 1 \
           ELSE 0 END"
    };
}
pub(crate) use sees_more;

/// Goes on after [`tenants!`] with `doors`: a relation, and each by which its rows are written and its
/// triggers and rules come to act: itself, a view of it, and the table that it inherits from or is a
/// partition of.
macro_rules! doors {
    () => {
        ", behind AS (SELECT DISTINCT d.refobjid AS relation, w.ev_class AS door FROM pg_catalog.pg_rewrite \
            w \
             JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND \
             d.objid = w.oid \
              AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> w.ev_class \
           UNION SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i), \
         doors(relation, door) AS (SELECT c.oid, c.oid FROM pg_catalog.pg_class c WHERE c.oid >= 16384 AND \
         c.relkind IN ('r', 'p', 'f', 'v') \
           UNION SELECT d.relation, b.door FROM doors d JOIN behind b ON b.relation = d.door)"
    };
}
pub(crate) use doors;

/// What the application's role `a` may do with the relation `c` of the schema `n`: anything that reads or
/// changes rows.
macro_rules! app_reaches {
    () => {
        "pg_catalog.has_schema_privilege(a.oid, n.oid, 'USAGE') \
         AND (pg_catalog.has_table_privilege(a.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE') \
           OR pg_catalog.has_any_column_privilege(a.oid, c.oid, 'SELECT, INSERT, UPDATE'))"
    };
}
pub(crate) use app_reaches;

/// A query that begins with [`tenants!`], with its parameters.
pub(crate) fn rows<'q, O>(
    sql: &'static str,
    scope: &'q Scope,
    security: &'q RowLevelSecurity,
) -> QueryAs<'q, Postgres, O, PgArguments>
where
    O: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
{
    query_as(sql)
        .bind(&scope.schemas)
        .bind(&security.tenant.column)
        .bind(&security.except)
        .bind(&security.app_role)
}

/// What is found where each row of such a query is judged by itself; nothing where the manifest says nothing
/// of tenants. `action` is what could not be done, in an error.
pub(crate) async fn judged<O, F>(
    connection: &mut PgConnection,
    scope: &Scope,
    (sql, action): (&'static str, &'static str),
    judge: impl Fn(O, &RowLevelSecurity) -> F + Send,
) -> Result<Vec<Finding>, CheckError>
where
    O: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    F: IntoIterator<Item = Finding>,
{
    let Some(security) = &scope.row_level_security else { return Ok(Vec::new()) };
    let found: Vec<O> = rows(sql, scope, security).fetch_all(connection).await.context(action)?;
    Ok(found.into_iter().flat_map(|row| judge(row, security)).collect())
}
