//! Every index works.

use sqlx::{FromRow, PgConnection};

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql},
    postgres::query_as,
};

const META: Meta = Meta {
    id: CheckId::IndexValid,
    title: "Every index is valid, ready and live",
    condition: "An index of a table in `spec.database.schemas` is not valid, not ready or not live, and \
        no session is building it. Mostly it is what \
                an interrupted `CREATE INDEX CONCURRENTLY` left behind. The index of a partitioned table is \
                told by index-unattached.",
    effect: "No query uses an invalid index, and a unique one guarantees nothing; but every write pays for \
        it. `CREATE INDEX … IF NOT EXISTS` \
             takes it for a finished one.",
    remedy: "`REINDEX INDEX CONCURRENTLY`, or `DROP INDEX CONCURRENTLY` and build it again.",
    severity: Severity::Error,
    aspect: Aspect::Index,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::always,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// Broken indexes are few and found first: joining every index with its table took longer than the rest of a
/// verification. Progress of another role's session shows its process id only; then its lock on the table
/// says what it works on.
const SQL: &str = "\
    WITH i AS MATERIALIZED (SELECT * FROM pg_catalog.pg_index WHERE NOT (indisvalid AND indisready AND \
    indislive)) \
    SELECT n.nspname::text AS schema, c.relname::text AS name, t.relname::text AS table, \
    i.indisvalid AS valid, i.indisready AS ready, i.indislive AS live \
    FROM i \
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
    JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
    WHERE n.nspname = ANY($1) AND c.relkind = 'i' \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p \
        WHERE p.datname = pg_catalog.current_database() AND (p.index_relid = i.indexrelid \
          OR (p.relid = i.indrelid AND p.command LIKE 'REINDEX%') \
          OR (p.relid IS NULL AND EXISTS (SELECT FROM pg_catalog.pg_locks l \
            WHERE l.pid = p.pid AND l.locktype = 'relation' AND l.relation = i.indrelid AND l.mode = \
            'ShareUpdateExclusiveLock' AND l.granted)))) \
    ORDER BY 1, 2";

#[derive(FromRow)]
struct Index {
    schema: String,
    name: String,
    table: String,
    valid: bool,
    ready: bool,
    live: bool,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let indexes: Vec<Index> = query_as(SQL)
        .bind(&scope.schemas)
        .fetch_all(connection)
        .await
        .context("read which indexes are invalid")?;
    Ok(indexes.iter().map(judge).collect())
}

/// What the build left behind decides the remedy: `_ccnew` and `_ccold` belong to a REINDEX whose original
/// still works.
fn judge(index: &Index) -> Finding {
    let Index { schema, name, table, .. } = index;
    let quoted = sql::qualified(schema, name);
    let left_over = name.contains("_ccnew") || name.contains("_ccold");
    let (message, remedy) = if left_over || !index.live {
        let message = format!(
            "this index of {schema}.{table} was left behind by an interrupted REINDEX or DROP: it costs \
                writes and serves no query"
        );
        (message, format!("DROP INDEX CONCURRENTLY {quoted}"))
    } else {
        let state = if index.ready { "is complete but was never proven" } else { "was never filled" };
        let state = if index.valid { "is not ready" } else { state };
        let message =
            format!("this index of {schema}.{table} is not valid: it {state}, and no query uses it");
        (message, format!("REINDEX INDEX CONCURRENTLY {quoted}"))
    };
    META.finding(format!("{schema}.{name}"), message, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str) -> Index {
        let (schema, table) = ("s".to_owned(), "t".to_owned());
        Index { schema, name: name.to_owned(), table, valid: false, ready: true, live: true }
    }

    #[test]
    fn an_interrupted_build_is_built_again_and_a_left_over_dropped() {
        assert_eq!(judge(&index("i")).remedy, "REINDEX INDEX CONCURRENTLY \"s\".\"i\"");
        assert_eq!(judge(&index("i_ccnew")).remedy, "DROP INDEX CONCURRENTLY \"s\".\"i_ccnew\"");
        assert_eq!(judge(&Index { live: false, ..index("i") }).remedy, "DROP INDEX CONCURRENTLY \"s\".\"i\"");
    }
}
