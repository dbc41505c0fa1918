//! Row-level security is on for every tenant table.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsEnabled,
    title: "Every tenant table has row-level security enabled",
    condition: "A table has the tenant column, is not in `except`, and has row-level security off. Policies \
        may exist: without ENABLE they \
                do nothing; so a table with policies is found also without the tenant column, for instance \
                that of the tenants themselves. A foreign \
                table with the tenant column, which cannot have it, is found when the application may use \
                it, and so is a table of another schema that \
                inherits from a tenant table. Partitions have a check of their own. It also finds something \
                when no table has the tenant column at all.",
    effect: "Every role that may read the table reads every tenant's rows.",
    remedy: "`ALTER TABLE … ENABLE ROW LEVEL SECURITY` and `FORCE ROW LEVEL SECURITY` in a migration, or \
        name the table in \
             `spec.verify.rowLevelSecurity.except`.",
    severity: Severity::Error,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = tenancy::tenants!(
    "SELECT t.schema, t.name, true, t.enabled, \
            ARRAY(SELECT p.polname::text FROM pg_catalog.pg_policy p WHERE p.polrelid = t.oid ORDER BY 1) \
     FROM tenant_tables t WHERE NOT t.is_partition \
     UNION ALL SELECT n.nspname::text, c.relname::text, false, false, \
            ARRAY(SELECT p.polname::text FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid ORDER BY 1) \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT c.relrowsecurity \
       AND EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid) \
       AND c.oid NOT IN (SELECT oid FROM excepted) AND c.oid NOT IN (SELECT oid FROM tenant_tables)"
);

/// Foreign tables with the tenant column that the application may use.
const FOREIGN: &str = tenancy::tenants!(
    "SELECT n.nspname::text, c.relname::text FROM app a, pg_catalog.pg_class c JOIN pg_catalog.pg_namespace \
        n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid AND t.attname = $2 AND t.attnum > 0 AND NOT \
     t.attisdropped \
     WHERE c.relkind = 'f' AND (n.nspname = ANY($1) OR (c.oid IN (SELECT oid FROM heirs) AND NOT \
     c.relispartition)) AND c.oid NOT IN (SELECT oid FROM excepted) AND ",
    tenancy::app_reaches!(),
    " ORDER BY 1, 2"
);

struct Table {
    schema: String,
    name: String,
    enabled: bool,
    policies: Vec<String>,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(security) = &scope.row_level_security else { return Ok(Vec::new()) };
    let rows: Vec<(String, String, bool, bool, Vec<String>)> = tenancy::rows(SQL, scope, security)
        .fetch_all(&mut *connection)
        .await
        .context("read which tables have row-level security")?;
    let nothing = rows
        .iter()
        .all(|(_, _, tenant, ..)| !tenant)
        .then(|| nothing_to_protect(&security.tenant.column, &scope.schemas));
    let tables: Vec<_> = rows
        .into_iter()
        .map(|(schema, name, _, enabled, policies)| Table { schema, name, enabled, policies })
        .collect();
    let foreign: Vec<(String, String)> = tenancy::rows(FOREIGN, scope, security)
        .fetch_all(connection)
        .await
        .context("read which foreign tables have the tenant column")?;
    let foreign = foreign.iter().map(|(schema, name)| unguarded(schema, name, &security.app_role));
    Ok(nothing.into_iter().chain(judge(&tables)).chain(foreign).collect())
}

fn unguarded(schema: &str, name: &str, app: &str) -> Finding {
    let message = format!("a foreign table can have no row-level security, and {app:?} may use it");
    let remedy = format!(
        "REVOKE ALL ON {} FROM {}, or name it in except",
        sql::qualified(schema, name),
        sql::identifier(app)
    );
    META.finding(format!("{schema}.{name}"), message, remedy)
}

fn nothing_to_protect(column: &str, schemas: &[String]) -> Finding {
    let message = format!(
        "no table in {} (those in except aside) has the column {column:?}, so no tenant is protected from \
            another",
        schema_list(schemas)
    );
    META.finding(
        column,
        message,
        "correct spec.verify.rowLevelSecurity.tenant.column or \
        spec.database.schemas; names are case-sensitive",
    )
}

fn schema_list(schemas: &[String]) -> String {
    let word = if schemas.len() == 1 { "schema" } else { "schemas" };
    format!("{word} {}", sql::list(schemas))
}

fn judge(tables: &[Table]) -> Vec<Finding> {
    tables.iter().filter(|table| !table.enabled).map(off).collect()
}

fn off(table: &Table) -> Finding {
    let object = format!("{}.{}", table.schema, table.name);
    let message = match table.policies.as_slice() {
        [] => "row-level security is off: any role with SELECT reads every tenant's rows".to_owned(),
        [policy] => format!("row-level security is off, so the policy {policy} does nothing"),
        policies => format!(
            "row-level security is off, so its {} policies ({}) do nothing",
            policies.len(),
            sql::few(policies, 4)
        ),
    };
    let table = sql::qualified(&table.schema, &table.name);
    META.finding(
        object,
        message,
        format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(enabled: bool, policies: &[&str]) -> Table {
        let policies = policies.iter().map(ToString::to_string).collect();
        Table { schema: "clinical".into(), name: "patients".into(), enabled, policies }
    }

    #[test]
    fn a_table_with_row_level_security_is_fine() {
        assert_eq!(judge(&[table(true, &[])]), []);
    }

    #[test]
    fn a_table_without_it_is_named_with_the_statement_that_mends_it() {
        let found = judge(&[table(true, &[]), table(false, &[])]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].object, "clinical.patients");
        assert_eq!(
            found[0].remedy,
            "ALTER TABLE \"clinical\".\"patients\" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
        );
    }

    #[test]
    fn policies_that_do_nothing_are_named() {
        assert!(judge(&[table(false, &["tenant"])])[0].message.contains("the policy tenant does nothing"));
        assert!(judge(&[table(false, &["a", "b"])])[0].message.contains("2 policies (a and b) do nothing"));
    }
}
