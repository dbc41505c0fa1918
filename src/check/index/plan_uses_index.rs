//! Queries can use the indexes that were made for them.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::{
    api::{CheckId, Finding, PlannedQuery, Severity},
    check::Check,
    inspect::{
        Aspect, CheckError, Meta, QueryContext, Scope, sql,
        trial::{self, GRANTED, Refusal},
    },
    postgres::{query, query_as, query_scalar},
};

const META: Meta = Meta {
    id: CheckId::PlanUsesIndex,
    title: "Every query that the manifest names can use its index",
    condition: "PostgreSQL's generic plan for a query of `spec.verify.indexes.mustUse`, made with \
        `enable_seqscan = off`, does not use the index; or \
                it reads the whole index and filters, without a condition that the index serves; or there is \
                no such index; or the query \
                cannot be planned. The query is never executed. On a partitioned table a part of the index \
                counts.",
    effect: "The query reads the whole table, and takes longer with every row.",
    remedy: "Read `EXPLAIN` with `enable_seqscan = off`: mostly the order of the columns, an expression, \
        a type or the predicate of the index \
             does not fit the query.",
    severity: Severity::Error,
    aspect: Aspect::Index,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| !scope.indexes.must_use.is_empty(),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// An index with the parts of its partitions. A name in several schemas means all of them.
const PARTS: &str = "\
    WITH RECURSIVE parts AS (\
      SELECT x.oid, x.relname, i.indpred IS NOT NULL AS partial \
      FROM pg_catalog.pg_class x JOIN pg_catalog.pg_index i ON i.indexrelid = x.oid JOIN \
      pg_catalog.pg_namespace n ON n.oid = x.relnamespace \
      WHERE n.nspname = ANY($2) AND x.relname::text = $1 \
      UNION ALL SELECT x.oid, x.relname, p.partial FROM parts p JOIN pg_catalog.pg_inherits h ON h.inhparent \
      = p.oid \
      JOIN pg_catalog.pg_class x ON x.oid = h.inhrelid) \
    SELECT relname::text, partial FROM parts";

/// The index that a query must use.
struct Index {
    /// Its name, and those of its parts.
    names: BTreeSet<String>,
    partial: bool,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let mut found = Vec::new();
    for expected in &scope.indexes.must_use {
        let rows: Vec<(String, bool)> = query_as(PARTS)
            .bind(&expected.index)
            .bind(&scope.schemas)
            .fetch_all(&mut *connection)
            .await
            .context("find an index")?;
        let index = Index {
            partial: rows.iter().any(|(_, partial)| *partial),
            names: rows.into_iter().map(|(name, _)| name).collect(),
        };
        let plan = plan(connection, expected, &scope.schemas).await?;
        found.extend(judge(expected, &index, &plan));
    }
    Ok(found)
}

/// Planning evaluates what is constant, so it may only read. A prepared statement outlives a savepoint, so it
/// is taken away by name. Without pruning: by NULL it would leave out every partition.
async fn plan(
    connection: &mut PgConnection,
    expected: &PlannedQuery,
    schemas: &[String],
) -> Result<Result<Value, Refusal>, CheckError> {
    trial::begin(connection).await?;
    let settings = "SET TRANSACTION READ ONLY; SET LOCAL enable_seqscan = off; SET LOCAL \
        enable_partition_pruning = off; SET LOCAL plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(settings).execute(&mut *connection).await.context("prepare to plan a query")?;
    trial::look_in(connection, schemas).await?;
    let text = format!("PREPARE sluice_plan AS {}", expected.sql.trim().trim_end_matches(';'));
    let prepared = query(AssertSqlSafe(text)).execute(&mut *connection).await;
    let is_there = prepared.is_ok();
    let plan = match prepared {
        Ok(_) => explain(connection).await,
        Err(error) => Err(error),
    };
    trial::end(connection).await?;
    if is_there {
        query("DEALLOCATE sluice_plan").execute(connection).await.context("forget a prepared query")?;
    }
    trial::answer(plan, "plan a query of spec.verify.indexes.mustUse")
}

/// A generic plan does not read the values, so NULL does for each.
async fn explain(connection: &mut PgConnection) -> Result<Value, sqlx::Error> {
    let count = "SELECT pg_catalog.cardinality(parameter_types) FROM pg_catalog.pg_prepared_statements WHERE \
        name OPERATOR(pg_catalog.=) 'sluice_plan'::pg_catalog.text";
    let count: i32 = query_scalar(count).fetch_one(&mut *connection).await?;
    let values = vec!["NULL"; usize::try_from(count).unwrap_or(0)];
    let values = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    let text = format!("EXPLAIN (FORMAT JSON, COSTS OFF) EXECUTE sluice_plan{values}");
    let row = query(AssertSqlSafe(text)).fetch_one(connection).await?;
    let json: &str = row.try_get_unchecked(0)?;
    serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// What a plan does with an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// Finds rows by it, or reads them in its order.
    Served,
    /// Reads all of it and filters.
    ReadWhole,
}

fn judge(expected: &PlannedQuery, index: &Index, plan: &Result<Value, Refusal>) -> Option<Finding> {
    let PlannedQuery { name, index: desired, .. } = expected;
    let wrong = match plan {
        Err(refusal) => format!("cannot be planned: {}", refusal.explain(GRANTED)),
        Ok(_) if index.names.is_empty() => {
            format!("must use the index {desired:?}, and there is no such index")
        }
        Ok(plan) => {
            let mut used = BTreeSet::new();
            let mut others = BTreeSet::new();
            walk(plan, index, &mut used, &mut others);
            let others: Vec<_> = others.into_iter().collect();
            match (used.first(), others.as_slice()) {
                (Some(Use::Served), _) => return None,
                (Some(Use::ReadWhole), _) => {
                    format!(
                        "reads the whole index {desired:?} and filters: none of its conditions is served by it"
                    )
                }
                (None, []) => format!("cannot use the index {desired:?}, nor another one"),
                (None, others) => format!("does not use the index {desired:?}, but {}", sql::few(others, 3)),
            }
        }
    };
    Some(META.finding(name, format!("the query {name:?} {wrong}"), META.remedy))
}

/// Every node of a plan, whatever it is nested in.
fn walk(node: &Value, index: &Index, used: &mut BTreeSet<Use>, others: &mut BTreeSet<String>) {
    match node {
        Value::Object(fields) => {
            if let Some(name) = fields.get("Index Name").and_then(Value::as_str) {
                let served =
                    fields.contains_key("Index Cond") || !fields.contains_key("Filter") || index.partial;
                if index.names.contains(name) {
                    used.insert(if served { Use::Served } else { Use::ReadWhole });
                } else {
                    others.insert(name.to_owned());
                }
            }
            fields.values().for_each(|value| walk(value, index, used, others));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, index, used, others)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(node: &Value, partial: bool) -> Option<String> {
        let expected = PlannedQuery { name: "agenda".into(), sql: String::new(), index: "i".into() };
        let index = Index { names: ["i".to_owned(), "i_part".to_owned()].into(), partial };
        let plan = json!([{"Plan": {"Node Type": "Append", "Plans": [node]}}]);
        judge(&expected, &index, &Ok(plan)).map(|finding| finding.message)
    }

    #[test]
    fn an_index_is_used_when_it_finds_rows_or_orders_them() {
        assert_eq!(
            told(&json!({"Index Name": "i", "Index Cond": "(a = $1)", "Filter": "(b = 1)"}), false),
            None
        );
        assert_eq!(told(&json!({"Index Name": "i_part", "Index Cond": "(a = $1)"}), false), None);
        assert_eq!(told(&json!({"Index Name": "i"}), false), None, "its order is what is used");
        assert_eq!(
            told(&json!({"Index Name": "i", "Filter": "(b = 1)"}), true),
            None,
            "its predicate is what is used"
        );
    }

    #[test]
    fn what_is_used_instead_is_told() {
        assert!(
            told(&json!({"Index Name": "i", "Filter": "(b = 1)"}), false)
                .is_some_and(|message| message.contains("reads the whole"))
        );
        assert!(
            told(&json!({"Index Name": "j", "Index Cond": "(b = 1)"}), false)
                .is_some_and(|message| message.ends_with("but j"))
        );
        assert!(
            told(&json!({"Node Type": "Seq Scan"}), false)
                .is_some_and(|message| message.ends_with("nor another one"))
        );
    }
}
