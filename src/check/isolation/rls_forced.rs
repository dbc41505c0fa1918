//! Row-level security binds the tables' owner too.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsForced,
    title: "Row-level security of every tenant table is forced, so that it binds the owner too",
    condition: "A tenant table has row-level security enabled but not forced. Partitions are not checked: \
                their owner is the \
                subject of `rls-role`.",
    effect: "The owner of the table, and every view and function that runs with the owner's rights, reads \
        and writes every tenant's rows. \
             The day a person lets the application connect as the owner, all isolation is gone without an \
             error.",
    remedy: "`ALTER TABLE … FORCE ROW LEVEL SECURITY` in a migration. A migration role without BYPASSRLS \
        then sees no rows either: its \
             data migrations must set the tenant, or the role needs BYPASSRLS.",
    severity: Severity::Error,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = tenancy::tenants!(
    "SELECT t.schema, t.name, t.enabled, t.forced, pg_catalog.pg_get_userbyid(t.owner)::text FROM \
        tenant_tables t WHERE NOT t.is_partition"
);

struct Table {
    schema: String,
    name: String,
    enabled: bool,
    forced: bool,
    owner: String,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(security) = &scope.row_level_security else { return Ok(Vec::new()) };
    let rows: Vec<(String, String, bool, bool, String)> = tenancy::rows(SQL, scope, security)
        .fetch_all(connection)
        .await
        .context("read which tables force row-level security")?;
    let tables = rows.into_iter().map(|(schema, name, enabled, forced, owner)| Table {
        schema,
        name,
        enabled,
        forced,
        owner,
    });
    Ok(judge(tables))
}

/// A table with row-level security off is the subject of `rls-enabled`, whose remedy forces it too.
fn judge(tables: impl IntoIterator<Item = Table>) -> Vec<Finding> {
    let unforced = tables.into_iter().filter(|table| table.enabled && !table.forced);
    unforced
        .map(|table| {
            let message = format!(
                "row-level security is not forced: its owner {:?} reads and writes every tenant's rows",
                table.owner
            );
            let remedy = format!(
                "ALTER TABLE {} FORCE ROW LEVEL SECURITY",
                sql::qualified(&table.schema, &table.name)
            );
            META.finding(format!("{}.{}", table.schema, table.name), message, remedy)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(enabled: bool, forced: bool) -> Vec<Finding> {
        judge([Table {
            schema: "core".into(),
            name: "users".into(),
            enabled,
            forced,
            owner: "migrator".into(),
        }])
    }

    #[test]
    fn only_a_table_that_is_enabled_and_not_forced_is_found() {
        assert_eq!(found(true, true), []);
        assert_eq!(found(false, false), []);
        assert_eq!(found(true, false).len(), 1);
    }

    #[test]
    fn the_owner_is_named() {
        assert!(found(true, false)[0].message.contains("\"migrator\""));
    }
}
