//! No foreign key changes tenants' rows on behalf of one of them.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsCascade,
    title: "The application cannot change tenants' rows through the foreign keys of a shared table",
    condition: "The application may DELETE from, or UPDATE the key of, a table that is no tenant table and \
        has no row-level security; and a tenant table \
                refers to it with CASCADE, SET NULL or SET DEFAULT for that command, itself or, for DELETE, \
                over other tables with ON DELETE CASCADE. A table \
                that is named in `except` is not checked.",
    effect: "What a foreign key does is not subject to row-level security: who deletes a country deletes \
        every tenant's patients of it.",
    remedy: "`REVOKE DELETE, UPDATE` on the shared table from the application, which seldom writes to it; or \
        make the foreign key `ON DELETE RESTRICT`; or give the shared \
             table policies.",
    severity: Severity::Warning,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = tenancy::tenants!(
    ", keys AS (SELECT k.conrelid AS child, k.confrelid AS parent, k.confdeltype AS deletes, k.confupdtype \
        AS updates, k.confkey AS columns \
         FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0), \
     shared AS (SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, \
     pg_catalog.has_table_privilege(a.oid, c.oid, 'DELETE') AS may_delete \
       FROM app a, pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
       WHERE c.relkind IN ('r', 'p') AND NOT c.relrowsecurity AND NOT a.rolsuper AND \
       pg_catalog.has_schema_privilege(a.oid, n.oid, 'USAGE') \
         AND c.oid IN (SELECT parent FROM keys) AND c.oid NOT IN (SELECT oid FROM tenant_tables) AND c.oid \
         NOT IN (SELECT oid FROM excepted)), \
     falls(shared, oid) AS (SELECT s.oid, s.oid FROM shared s WHERE s.may_delete \
       UNION SELECT f.shared, k.child FROM falls f JOIN keys k ON k.parent = f.oid AND k.deletes = 'c' WHERE \
       k.child NOT IN (SELECT oid FROM tenant_tables)), \
     changes AS (SELECT f.shared, 'DELETE' AS command, k.child FROM falls f JOIN keys k ON k.parent = f.oid \
     AND k.deletes IN ('c', 'n', 'd') \
       UNION SELECT s.oid, 'UPDATE', k.child FROM app a, shared s JOIN keys k ON k.parent = s.oid AND \
       k.updates IN ('c', 'n', 'd') \
         WHERE EXISTS (SELECT FROM pg_catalog.unnest(k.columns) u(number) WHERE \
         pg_catalog.has_column_privilege(a.oid, s.oid, u.number, 'UPDATE'))) \
     SELECT s.schema, s.name, x.command, pg_catalog.array_agg(DISTINCT t.schema || '.' || t.name ORDER BY \
     t.schema || '.' || t.name) \
     FROM changes x JOIN shared s ON s.oid = x.shared JOIN tenant_tables t ON t.oid = x.child GROUP BY 1, 2, \
     3 ORDER BY 1, 2, 3"
);

/// Schema, shared table, command, tenant tables whose rows it changes.
type Row = (String, String, String, Vec<String>);

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    tenancy::judged(
        connection,
        scope,
        (SQL, "read which foreign keys change tenants' rows"),
        |row, security| [judge(row, &security.app_role)],
    )
    .await
}

fn judge((schema, name, command, tables): Row, app: &str) -> Finding {
    let message = format!(
        "{app:?} may {command} rows of it, and foreign keys then change every tenant's rows in {}, past \
            row-level security",
        sql::few(&tables, 4)
    );
    let remedy =
        format!("REVOKE {command} ON {} FROM {}", sql::qualified(&schema, &name), sql::identifier(app));
    META.finding(format!("{schema}.{name}"), message, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_and_whose_rows_it_changes_are_named() {
        let finding =
            judge(("s".into(), "countries".into(), "DELETE".into(), vec!["s.patients".into()]), "app");
        assert_eq!((finding.object.as_str(), finding.severity), ("s.countries", Severity::Warning));
        assert!(
            finding.message.contains("may DELETE rows of it") && finding.message.contains("in s.patients"),
            "{}",
            finding.message
        );
        assert_eq!(finding.remedy, "REVOKE DELETE ON \"s\".\"countries\" FROM \"app\"");
    }
}
