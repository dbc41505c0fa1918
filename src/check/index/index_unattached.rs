//! Every index of a partitioned table has its part on every partition.

use sqlx::{FromRow, PgConnection};

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql},
    postgres::query_as,
};

const META: Meta = Meta {
    id: CheckId::IndexUnattached,
    title: "Every index of a partitioned table has its part on every partition",
    condition: "An index of a partitioned table in `spec.database.schemas` has no attached part on one of \
        the partitions, or is still marked \
                invalid although every partition has its part. It is what `CREATE INDEX ON ONLY` leaves \
                until every part is attached.",
    effect: "Queries of the partitions that lack their part read them whole, a unique index guarantees \
        nothing across partitions, and a new \
             partition may come without the index.",
    remedy: "On each partition that lacks it `CREATE INDEX CONCURRENTLY`, then `ALTER INDEX … ATTACH \
        PARTITION`.",
    severity: Severity::Error,
    aspect: Aspect::Index,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::always,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// A valid index of a partitioned table has all its parts, so only invalid ones are read. Foreign tables
/// cannot have any.
const SQL: &str = "\
    SELECT n.nspname::text AS schema, x.relname::text AS name, t.relname::text AS table, \
           ARRAY(SELECT pn.nspname || '.' || p.relname FROM pg_catalog.pg_inherits h \
             JOIN pg_catalog.pg_class p ON p.oid = h.inhrelid AND p.relkind IN ('r', 'p') \
             JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
             WHERE h.inhparent = i.indrelid AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits g \
               JOIN pg_catalog.pg_index part ON part.indexrelid = g.inhrelid \
               WHERE g.inhparent = i.indexrelid AND part.indrelid = p.oid) ORDER BY 1) AS lacking, \
           ARRAY(SELECT px.relname::text FROM pg_catalog.pg_inherits h \
             JOIN pg_catalog.pg_index part ON part.indrelid = h.inhrelid AND part.indisvalid \
             JOIN pg_catalog.pg_class px ON px.oid = part.indexrelid AND NOT px.relispartition \
             WHERE h.inhparent = i.indrelid AND part.indnkeyatts = i.indnkeyatts AND part.indisunique = \
             i.indisunique \
               AND pg_catalog.regexp_replace(pg_catalog.pg_get_indexdef(part.indexrelid), '^.* USING ', '') \
                 = pg_catalog.regexp_replace(pg_catalog.pg_get_indexdef(i.indexrelid), '^.* USING ', '') \
                 ORDER BY 1) AS ready, \
           EXISTS (SELECT FROM pg_catalog.pg_inherits g JOIN pg_catalog.pg_index part ON part.indexrelid = \
           g.inhrelid \
             WHERE g.inhparent = i.indexrelid AND NOT part.indisvalid) AS waits_for_a_part \
    FROM pg_catalog.pg_index i \
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid AND x.relkind = 'I' \
    JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
    WHERE n.nspname = ANY($1) AND NOT i.indisvalid \
    ORDER BY 1, 2";

#[derive(FromRow)]
struct Parent {
    schema: String,
    name: String,
    table: String,
    /// Partitions without a part.
    lacking: Vec<String>,
    /// Indexes of partitions that could be attached.
    ready: Vec<String>,
    /// A part is not valid itself; that is told about the part.
    waits_for_a_part: bool,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let parents: Vec<Parent> = query_as(SQL)
        .bind(&scope.schemas)
        .fetch_all(connection)
        .await
        .context("read which indexes lack a part on a partition")?;
    Ok(parents.iter().filter_map(judge).collect())
}

fn judge(parent: &Parent) -> Option<Finding> {
    let Parent { schema, name, table, lacking, ready, waits_for_a_part } = parent;
    let quoted = sql::qualified(schema, name);
    let (message, remedy) = match (lacking.as_slice(), ready.as_slice()) {
        ([], _) if *waits_for_a_part => return None,
        ([], _) => (
            format!(
                "this index of the partitioned table {schema}.{table} is marked invalid, although every \
                    partition has its part"
            ),
            format!("attach a part again to have it validated, or DROP INDEX {quoted} and create it anew"),
        ),
        (lacking, []) => (
            format!(
                "this index of the partitioned table {schema}.{table} has no part on {}",
                sql::few(lacking, 5)
            ),
            format!("on each of them CREATE INDEX CONCURRENTLY, then ALTER INDEX {quoted} ATTACH PARTITION"),
        ),
        (lacking, ready) => (
            format!(
                "this index of the partitioned table {schema}.{table} has no part on {}; {} would fit and {} \
                    not attached",
                sql::few(lacking, 5),
                sql::few(ready, 5),
                if ready.len() == 1 { "is" } else { "are" }
            ),
            format!("ALTER INDEX {quoted} ATTACH PARTITION, once for each part"),
        ),
    };
    Some(META.finding(format!("{schema}.{name}"), message, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(lacking: &[&str], ready: &[&str]) -> Parent {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let (schema, name, table) = ("s".into(), "i".into(), "t".into());
        Parent { schema, name, table, lacking: owned(lacking), ready: owned(ready), waits_for_a_part: false }
    }

    #[test]
    fn what_only_has_to_be_attached_is_named() {
        let found = judge(&parent(&["s.t_1"], &["t_1_a_idx"])).expect("a finding");
        assert!(
            found.message.ends_with("has no part on s.t_1; t_1_a_idx would fit and is not attached"),
            "{}",
            found.message
        );
        assert_eq!(found.remedy, "ALTER INDEX \"s\".\"i\" ATTACH PARTITION, once for each part");
        assert!(
            judge(&parent(&["s.t_1"], &[]))
                .expect("a finding")
                .remedy
                .starts_with("on each of them CREATE INDEX CONCURRENTLY")
        );
    }

    #[test]
    fn an_invalid_part_is_told_about_the_part_alone() {
        assert_eq!(judge(&Parent { waits_for_a_part: true, ..parent(&[], &[]) }), None);
        assert!(judge(&parent(&[], &[])).is_some());
    }
}
