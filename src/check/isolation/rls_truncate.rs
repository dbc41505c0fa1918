//! TRUNCATE ignores every policy.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsTruncate,
    title: "The application may not TRUNCATE a tenant table",
    condition: "The application's role has the privilege TRUNCATE on a tenant table or a partition of one.",
    effect: "TRUNCATE is not subject to row-level security: one statement removes every tenant's rows.",
    remedy: "`REVOKE TRUNCATE ON … FROM role`. Applications hardly ever need it; it usually came with `GRANT \
        ALL`.",
    severity: Severity::Warning,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = tenancy::tenants!(
    "SELECT t.schema, t.name FROM app a, tenant_tables t \
     WHERE pg_catalog.has_table_privilege(a.oid, t.oid, 'TRUNCATE') AND \
     pg_catalog.has_schema_privilege(a.oid, t.schema, 'USAGE') \
       AND NOT a.rolsuper"
);

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    tenancy::judged(
        connection,
        scope,
        (SQL, "read who may TRUNCATE"),
        |(schema, name): (String, String), security| [granted(&schema, &name, &security.app_role)],
    )
    .await
}

fn granted(schema: &str, name: &str, role: &str) -> Finding {
    let message = format!("{role:?} may TRUNCATE it, and TRUNCATE ignores row-level security");
    let remedy =
        format!("REVOKE TRUNCATE ON {} FROM {}", sql::qualified(schema, name), sql::identifier(role));
    META.finding(format!("{schema}.{name}"), message, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_takes_away_truncate_and_nothing_else() {
        assert_eq!(granted("s", "t", "app").remedy, "REVOKE TRUNCATE ON \"s\".\"t\" FROM \"app\"");
        assert_eq!(granted("s", "t", "app").severity, Severity::Warning);
    }
}
