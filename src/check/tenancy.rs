//! Which tables hold tenants' rows. Shared by every isolation check, so that all of them speak of the same tables.

use sqlx::{Postgres, postgres::PgArguments, query::QueryAs};

use super::Scope;
use crate::{api::RowLevelSecurity, postgres::query_as};

/// The head of a query: the common table expressions `tenant_tables`, which are ordinary and partitioned tables and partitions that
/// have the tenant column and are not excepted (a partition also in another schema than its table), and `app`, which is the application's role or no row. An exception of a
/// partitioned table holds for its partitions. Parameters: $1 schemas, $2 tenant column, $3 exceptions, $4 application role.
macro_rules! tenants {
    ($($rest:tt)+) => {
        concat!(
            "WITH RECURSIVE app AS (SELECT r.oid, r.rolname::text AS name, r.rolsuper, r.rolbypassrls \
               FROM pg_catalog.pg_roles r WHERE r.rolname = $4), \
             excepted AS (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND (c.relname::text = ANY($3) OR n.nspname || '.' || c.relname = ANY($3))), \
             tenant_tables AS ( \
               SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relispartition AS is_partition, \
                      c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced, c.relowner AS owner, a.attnum AS tenant \
               FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped \
               WHERE c.relkind IN ('r', 'p') AND c.oid NOT IN (SELECT oid FROM excepted) \
                 AND (n.nspname = ANY($1) OR (c.relispartition AND EXISTS (SELECT FROM pg_catalog.pg_class w \
                   JOIN pg_catalog.pg_namespace wn ON wn.oid = w.relnamespace \
                   WHERE w.oid = pg_catalog.pg_partition_root(c.oid) AND wn.nspname = ANY($1)))) \
                 AND NOT (c.relispartition AND EXISTS ( \
                   SELECT FROM pg_catalog.pg_partition_ancestors(c.oid) p(relid) WHERE p.relid::oid IN (SELECT oid FROM excepted)))) ",
            $($rest)+
        )
    };
}
pub(super) use tenants;

/// What the application's role `a` may do with the relation `c` of the schema `n`: anything that reads or changes rows.
macro_rules! app_reaches {
    () => {
        "pg_catalog.has_schema_privilege(a.oid, n.oid, 'USAGE') \
         AND (pg_catalog.has_table_privilege(a.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE') \
           OR pg_catalog.has_any_column_privilege(a.oid, c.oid, 'SELECT, INSERT, UPDATE'))"
    };
}
pub(super) use app_reaches;

/// A query that begins with [`tenants!`], with its parameters.
pub(super) fn rows<'q, O>(sql: &'static str, scope: &'q Scope, security: &'q RowLevelSecurity) -> QueryAs<'q, Postgres, O, PgArguments>
where
    O: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
{
    query_as(sql).bind(&scope.schemas).bind(&security.tenant.column).bind(&security.except).bind(&security.app_role)
}
