//! What the application reaches beside the tenant tables holds no tenant's rows.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsUncovered,
    title: "What the application reaches beside the tenant tables holds no tenant's rows",
    condition: "The application reaches, itself or through a view: a table with the tenant column in a \
        schema that `spec.database.schemas` does not name, and \
                that is no partition of a tenant table and inherits from none; a table without the tenant \
                column and without row-level security \
                whose foreign keys lead to a tenant table, themselves or over other such tables; or a \
                foreign table without the tenant column. What is named in \
                `except`, and what an extension brings, is not checked.",
    effect: "Unproven: no check reads the policies of such a table, or it has none. A prescription without \
        a clinic of its own is its patient's, and a foreign \
             table reads another server, or this one, as the user of its mapping.",
    remedy: "Add the schema to `spec.database.schemas`; add the tenant column and policies to the table, or \
        policies that read the table it refers to; \
             revoke what the application does not need. Name in `spec.verify.rowLevelSecurity.except` what \
             all tenants share.",
    severity: Severity::Warning,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = tenancy::tenants!(
    tenancy::doors!(),
    ", keys AS (SELECT k.conrelid AS child, k.confrelid AS parent FROM pg_catalog.pg_constraint k WHERE \
        k.contype = 'f' AND k.conparentid = 0 \
         AND k.conrelid NOT IN (SELECT oid FROM tenant_tables) AND k.conrelid NOT IN (SELECT oid FROM \
         excepted)), \
     held(oid, tenant) AS (SELECT k.child, k.parent FROM keys k WHERE k.parent IN (SELECT oid FROM \
     tenant_tables) \
       UNION SELECT k.child, h.tenant FROM held h JOIN keys k ON k.parent = h.oid), \
     beside AS (SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, \
         CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_attribute t WHERE t.attrelid = c.oid AND t.attname = $2 \
         AND t.attnum > 0 AND NOT t.attisdropped) \
             THEN CASE WHEN n.nspname <> ALL($1) THEN 'elsewhere' END \
           WHEN c.relkind = 'f' THEN 'foreign' \
           WHEN NOT c.relrowsecurity AND c.oid IN (SELECT oid FROM held) THEN 'refers' END AS kind \
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
       WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND c.relpersistence <> 't' AND c.oid >= \
       16384 \
         AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
         AND c.oid NOT IN (SELECT oid FROM tenant_tables) AND c.oid NOT IN (SELECT oid FROM excepted) AND \
         c.oid NOT IN (SELECT oid FROM heirs) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
           WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = \
           'e')) \
     SELECT b.schema, b.name, b.kind, ARRAY(SELECT t.schema || '.' || t.name FROM held h JOIN tenant_tables \
     t ON t.oid = h.tenant WHERE h.oid = b.oid ORDER BY 1) \
     FROM beside b WHERE b.kind IS NOT NULL AND EXISTS (SELECT FROM app a, doors d JOIN pg_catalog.pg_class \
     c ON c.oid = d.door \
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE d.relation = b.oid AND c.oid NOT IN \
       (SELECT oid FROM excepted) AND ",
    tenancy::app_reaches!(),
    ") ORDER BY 1, 2"
);

/// Schema, table, what it is, the tenant tables that it refers to.
type Row = (String, String, String, Vec<String>);

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    tenancy::judged(
        connection,
        scope,
        (SQL, "read what the application reaches beside tenant tables"),
        |row, security| [judge(row, &security.app_role, &security.tenant.column)],
    )
    .await
}

fn judge((schema, name, kind, tenants): Row, app: &str, column: &str) -> Finding {
    let table = sql::qualified(&schema, &name);
    let (message, remedy) = match kind.as_str() {
        "elsewhere" => (
            format!(
                "unproven: {app:?} reaches it, it has the column {column:?}, and no check reads the schema \
                    {schema:?}"
            ),
            format!(
                "add {schema} to spec.database.schemas, or REVOKE ALL ON {table} FROM {}, or name it in \
                    except",
                sql::identifier(app)
            ),
        ),
        "foreign" => (
            format!(
                "unproven: {app:?} reaches this foreign table, which shows whatever the user of its mapping \
                    sees on the other server"
            ),
            format!("REVOKE ALL ON {table} FROM {}, or name it in except", sql::identifier(app)),
        ),
        _ => (
            format!(
                "unproven: {app:?} reaches every row of it; it refers to {}, has no column {column:?} and no \
                    row-level security",
                sql::few(&tenants, 4)
            ),
            format!(
                "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY with policies that \
                    ask what it refers to, or name it in except"
            ),
        ),
    };
    META.finding(format!("{schema}.{name}"), message, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_with_its_own_way_out() {
        let found = |kind: &str| {
            judge(
                ("archive".into(), "old".into(), kind.into(), vec!["s.patients".into()]),
                "app",
                "clinic_id",
            )
        };
        assert!(found("elsewhere").message.contains("no check reads the schema \"archive\""));
        assert!(found("elsewhere").remedy.starts_with("add archive to spec.database.schemas"));
        assert!(found("foreign").remedy.starts_with("REVOKE ALL ON \"archive\".\"old\" FROM \"app\""));
        assert!(found("refers").message.contains("it refers to s.patients, has no column \"clinic_id\""));
    }
}
