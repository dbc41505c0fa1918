//! The tenant column leads an index, because every query of the application compares it.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled, index_migration},
    inspect::{Aspect, CheckError, Meta, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsIndex,
    title: "The tenant column of every tenant table leads an index",
    condition: "A tenant table with row-level security has no valid index, without a predicate, whose first \
        column is the tenant column. Of a \
                partitioned table the table itself is checked, and its partitions are not.",
    effect: "A policy is a condition on every query. Without the index each of them reads all tenants' rows \
        to find one tenant's.",
    remedy: "`CREATE INDEX CONCURRENTLY` on the tenant column and what the queries sort or search by; or let \
        the primary key begin with it.",
    severity: Severity::Warning,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = tenancy::tenants!(
    "SELECT t.schema, t.name FROM tenant_tables t WHERE t.enabled AND NOT t.is_partition \
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i \
         WHERE i.indrelid = t.oid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = t.tenant) ORDER \
         BY 1, 2"
);

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    tenancy::judged(
        connection,
        scope,
        (SQL, "read which tenant columns lead an index"),
        |(schema, name): (String, String), security| [missing(&schema, &name, &security.tenant.column)],
    )
    .await
}

fn missing(schema: &str, name: &str, column: &str) -> Finding {
    let create = format!(
        "CREATE INDEX CONCURRENTLY ON {} ({})",
        sql::qualified(schema, name),
        sql::identifier(column)
    );
    META.finding(
        format!("{schema}.{name}"),
        format!("no index begins with {column:?}, which every policy compares"),
        index_migration::build(&create),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_quotes_every_name() {
        let remedy = missing("s", "Visit", "clinicId").remedy;
        assert!(
            remedy.starts_with(
                "CREATE INDEX CONCURRENTLY ON \"s\".\"Visit\" (\"clinicId\"); alone in a migration file"
            ),
            "{remedy}"
        );
    }
}
