//! Tables have as many rows as the manifest says.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    api::{CheckId, Finding, RowCount, Severity},
    check::Check,
    inspect::{
        Aspect, CheckError, Meta, Scope,
        relation::{self, Relation},
        trial::{self, GRANTED, Refusal},
    },
    postgres::query_scalar,
};

const FIELD: &str = "spec.verify.rowCounts.tables";

const META: Meta = Meta {
    id: CheckId::RowCount,
    title: "Tables have as many rows as the manifest says",
    condition: "`spec.verify.rowCounts.tables` names a table that does not exist (also where it only has \
        `compare`), that has fewer rows than `atLeast` or more than `atMost`, or whose \
                rows cannot be counted: because the migration role may not read them all, or within 60 s.",
    effect: "Rows that the application cannot do without are missing, or there are more than any person \
        planned.",
    remedy: "Find out where the rows went before anything else is written; the snapshot of the run has those \
        from before. Or correct the manifest.",
    severity: Severity::Error,
    aspect: Aspect::Data,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| !scope.assertions.row_counts.tables.is_empty(),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let expected = &scope.assertions.row_counts.tables;
    if expected.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = expected.iter().map(|expected| expected.table.clone()).collect();
    let relations = relation::find(connection, &names, &scope.schemas).await?;
    let mut found = Vec::new();
    for expected in expected {
        let Some(table) = relation::resolve(&relations, &expected.table, &scope.schemas) else {
            found.push(relation::missing(&META, &expected.table, FIELD, scope));
            continue;
        };
        if expected.at_least.is_none() && expected.at_most.is_none() {
            // Compared by `rows-kept` when a migration runs; that it is there is checked each time.
            continue;
        }
        let counted = count(connection, table, bound(expected)).await?;
        found.extend(judge(expected, table, &counted));
    }
    Ok(found)
}

/// Counting ends where the answer is known.
fn bound(expected: &RowCount) -> i64 {
    expected
        .at_most
        .map_or_else(|| i64::from(expected.at_least.unwrap_or(0)), |most| i64::from(most) + 1)
        .max(i64::from(expected.at_least.unwrap_or(0)))
}

async fn count(
    connection: &mut PgConnection,
    table: &Relation,
    bound: i64,
) -> Result<Result<i64, Refusal>, CheckError> {
    trial::begin_reading(connection, GRANTED).await?;
    let text = format!("SELECT pg_catalog.count(*) FROM (SELECT FROM {} LIMIT $1) AS counted", table.sql());
    let counted = query_scalar(AssertSqlSafe(text)).bind(bound).fetch_one(&mut *connection).await;
    let counted = trial::answer(counted, "count the rows of a table");
    trial::end(connection).await?;
    counted
}

fn judge(expected: &RowCount, table: &Relation, counted: &Result<i64, Refusal>) -> Option<Finding> {
    let message = match counted {
        Err(refusal) => format!("its rows cannot be counted: {}", refusal.explain(GRANTED)),
        Ok(count) => {
            let fewer = expected
                .at_least
                .filter(|least| *count < i64::from(*least))
                .map(|least| format!("{count} rows, and at least {least} are expected"));
            let more = expected
                .at_most
                .filter(|most| *count > i64::from(*most))
                .map(|most| format!("more than {most} rows"));
            format!("it has {}", fewer.or(more)?)
        }
    };
    Some(META.finding(table.display(), message, META.remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(at_least: Option<u32>, at_most: Option<u32>, count: i64) -> Option<String> {
        let expected = RowCount { table: "t".into(), at_least, at_most, compare: None };
        let table = Relation { id: 1, schema: "s".into(), name: "t".into() };
        judge(&expected, &table, &Ok(count.min(bound(&expected)))).map(|finding| finding.message)
    }

    #[test]
    fn both_bounds_count_and_no_more_is_read_than_is_needed() {
        assert_eq!(told(Some(1), None, 9), None);
        assert_eq!(told(Some(2), None, 1).as_deref(), Some("it has 1 rows, and at least 2 are expected"));
        assert_eq!(told(None, Some(3), 3), None);
        assert_eq!(told(None, Some(3), 9).as_deref(), Some("it has more than 3 rows"));
        assert_eq!(told(Some(1), Some(3), 2), None);
        assert_eq!(told(None, Some(0), 0), None);
    }
}
