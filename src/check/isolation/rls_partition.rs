//! No path around a partitioned table's policies through its partitions.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsPartition,
    title: "The application cannot go around a tenant table's policies through its partitions",
    condition: "A partition of a tenant table, in whatever schema, has row-level security off or cannot have \
        it (a foreign table), and the \
                application's role may read or write the partition directly.",
    effect: "Policies of a partitioned table hold for queries on the table itself. A query that names the \
        partition is judged by the \
             partition's own policies only, and there are none.",
    remedy: "`REVOKE ALL ON partition FROM role`: privileges on the partitioned table are enough to use it. \
        Or enable and force row-level \
             security on the partition, with policies of its own.",
    severity: Severity::Error,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = tenancy::tenants!(
    "SELECT n.nspname::text, c.relname::text, c.relkind = 'f', rn.nspname || '.' || rc.relname \
     FROM app a, pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_class rc ON rc.oid = pg_catalog.pg_partition_root(c.oid) \
     JOIN pg_catalog.pg_namespace rn ON rn.oid = rc.relnamespace \
     WHERE c.relispartition AND c.relkind IN ('r', 'p', 'f') AND NOT c.relrowsecurity AND ",
    tenancy::app_reaches!(),
    " AND EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(c.oid) p(relid) WHERE p.relid::oid IN \
        (SELECT oid FROM tenant_tables)) \
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(c.oid) p(relid) WHERE p.relid::oid IN \
       (SELECT oid FROM excepted))"
);

struct Partition {
    schema: String,
    name: String,
    foreign: bool,
    root: String,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(security) = &scope.row_level_security else { return Ok(Vec::new()) };
    let rows: Vec<(String, String, bool, String)> = tenancy::rows(SQL, scope, security)
        .fetch_all(connection)
        .await
        .context("read which partitions can be reached directly")?;
    let partitions =
        rows.into_iter().map(|(schema, name, foreign, root)| Partition { schema, name, foreign, root });
    Ok(partitions.map(|partition| exposed(&partition, &security.app_role)).collect())
}

fn exposed(partition: &Partition, role: &str) -> Finding {
    let name = sql::qualified(&partition.schema, &partition.name);
    let why = if partition.foreign {
        "a foreign table cannot have row-level security"
    } else {
        "it has row-level security off"
    };
    let message = format!(
        "{role:?} may address this partition of {} directly, and {why}: the policies of the table are passed \
            by",
        partition.root
    );
    META.finding(
        format!("{}.{}", partition.schema, partition.name),
        message,
        format!("REVOKE ALL ON {name} FROM {}", sql::identifier(role)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_closed_by_taking_away_the_way_to_it() {
        let partition = Partition {
            schema: "s".into(),
            name: "visits_2024".into(),
            foreign: false,
            root: "s.visits".into(),
        };
        let finding = exposed(&partition, "app");
        assert_eq!(finding.object, "s.visits_2024");
        assert_eq!(finding.remedy, "REVOKE ALL ON \"s\".\"visits_2024\" FROM \"app\"");
        assert!(finding.message.contains("of s.visits directly"));
    }

    #[test]
    fn a_foreign_partition_can_never_be_protected_by_policies() {
        let partition =
            Partition { schema: "s".into(), name: "old".into(), foreign: true, root: "s.visits".into() };
        assert!(exposed(&partition, "app").message.contains("cannot have row-level security"));
    }
}
