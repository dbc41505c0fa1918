//! Rows of a relation without a foreign key refer to rows that are there.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    api::{CheckId, Finding, Relation, Severity},
    check::Check,
    inspect::{
        Aspect, CheckError, Meta, Scope, equality,
        relation::{self, Relation as Table},
        sql,
        trial::{self, GRANTED, Refusal},
    },
    postgres::{log_values, query_as},
    redact,
};

const FIELD: &str = "spec.verify.orphans";

const META: Meta = Meta {
    id: CheckId::Orphans,
    title: "Every row of a relation without a foreign key refers to a row that is there",
    condition: "`spec.verify.orphans` names a relation between two tables of this database, and a row refers \
        to one that is not there; or one of \
                the tables does not exist; or the query cannot be answered, because a column does not \
                exist, the types cannot be \
                compared, the migration role may not read all rows, or it takes longer than 60 s. A row with \
                NULL in one of the columns \
                refers to nothing. Counting ends after 1,000.",
    effect: "The application finds nothing where it expects a row: an appointment without its patient.",
    remedy: "Mend or delete the rows in a migration, then consider a foreign key. An index on the columns \
        that are referred to makes the query \
             fast. Up to three keys stand in the finding.",
    severity: Severity::Error,
    aspect: Aspect::Data,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| here(scope).next().is_some(),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// Where counting ends, so that neither time nor memory grow with what is wrong.
const MOST: i64 = 1000;
const SHOWN: usize = 3;

struct Counted {
    count: i64,
    /// The first keys in their order; only when all were counted, so that the same rows give the same
    /// finding.
    keys: Vec<String>,
}

/// The relations within this database; `orphans-elsewhere` has the others.
fn here(scope: &Scope) -> impl Iterator<Item = &Relation> {
    scope.assertions.orphans.iter().filter(|relation| relation.database.is_none())
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let expected: Vec<_> = here(scope).collect();
    if expected.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> =
        expected.iter().flat_map(|expected| [expected.table.clone(), expected.references.clone()]).collect();
    let tables = relation::find(connection, &names, &scope.schemas).await?;
    let mut found = Vec::new();
    for expected in expected {
        let find = |name: &str| relation::resolve(&tables, name, &scope.schemas);
        match (find(&expected.table), find(&expected.references)) {
            (None, _) => found.push(relation::missing(&META, &expected.table, FIELD, scope)),
            (_, None) => found.push(relation::missing(&META, &expected.references, FIELD, scope)),
            (Some(table), Some(references)) => {
                let counted = count(connection, expected, table, references).await?;
                found.extend(judge(expected, table, references, &counted));
            }
        }
    }
    Ok(found)
}

async fn count(
    connection: &mut PgConnection,
    expected: &Relation,
    table: &Table,
    references: &Table,
) -> Result<Result<Counted, Refusal>, CheckError> {
    let mut operators = Vec::new();
    for (own, other) in expected.columns.iter().zip(&expected.referenced_columns) {
        operators.push(equality::operator(connection, (references.id, other), (table.id, own)).await?);
    }
    trial::begin_reading(connection, GRANTED).await?;
    let row = query_as(AssertSqlSafe(statement(expected, table, references, &operators)))
        .bind(MOST + 1)
        .fetch_one(&mut *connection)
        .await;
    let counted = row
        .map(|(count, keys): (i64, Option<Vec<String>>)| Counted { count, keys: keys.unwrap_or_default() });
    if let Ok(Counted { keys, .. }) = &counted {
        log_values(META.id.name(), keys);
    }
    let counted = trial::answer(counted, "find rows that refer to nothing");
    trial::end(connection).await?;
    counted
}

/// An anti-join that stops.
fn statement(expected: &Relation, table: &Table, references: &Table, operators: &[String]) -> String {
    let column = |name: &String| sql::identifier(name);
    let there: Vec<_> =
        expected.columns.iter().map(|name| format!("c.{} IS NOT NULL", column(name))).collect();
    let same: Vec<_> = expected
        .columns
        .iter()
        .zip(&expected.referenced_columns)
        .zip(operators)
        .map(|((own, other), operator)| format!("p.{} {operator} c.{}", column(other), column(own)))
        .collect();
    let key: Vec<_> = expected.columns.iter().map(|name| format!("c.{}::text", column(name))).collect();
    format!(
        "SELECT pg_catalog.count(*), (pg_catalog.array_agg(o.key ORDER BY o.key COLLATE \"C\"))[1:{SHOWN}] \
            FROM (\
         SELECT pg_catalog.left(pg_catalog.concat_ws(', ', {}), 100) AS key FROM {} c WHERE {} AND NOT \
         EXISTS (SELECT FROM {} p WHERE {}) LIMIT $1) o",
        key.join(", "),
        table.sql(),
        there.join(" AND "),
        references.sql(),
        same.join(" AND ")
    )
}

fn judge(
    expected: &Relation,
    table: &Table,
    references: &Table,
    counted: &Result<Counted, Refusal>,
) -> Option<Finding> {
    let relation = format!(
        "({}) to {} ({})",
        expected.columns.join(", "),
        references.display(),
        expected.referenced_columns.join(", ")
    );
    let message = match counted {
        Err(refusal) => format!(
            "whether rows refer to nothing by {relation} cannot be told: {}",
            refusal.explain(GRANTED)
        ),
        Ok(Counted { count: 0, .. }) => return None,
        Ok(Counted { count, .. }) if *count > MOST => {
            format!("more than {MOST} rows refer to nothing by {relation}")
        }
        Ok(Counted { count, keys }) => {
            let (rows, refer) = if *count == 1 { ("row", "refers") } else { ("rows", "refer") };
            let more =
                if usize::try_from(*count).is_ok_and(|count| count > keys.len()) { " and more" } else { "" };
            let keys: Vec<_> = keys.iter().map(|key| redact::value(key)).collect();
            format!("{count} {rows} {refer} to nothing by {relation}: {}{more}", keys.join(", "))
        }
    };
    Some(META.finding(table.display(), message, META.remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> Table {
        Table { id: 1, schema: "s".into(), name: name.into() }
    }

    fn told(count: i64, keys: &[&str]) -> Option<String> {
        let expected = Relation {
            table: "visits".into(),
            columns: vec!["patientId".into()],
            references: "patients".into(),
            referenced_columns: vec!["id".into()],
            database: None,
        };
        let counted = Counted { count, keys: keys.iter().map(ToString::to_string).collect() };
        judge(&expected, &table("visits"), &table("patients"), &Ok(counted)).map(|finding| finding.message)
    }

    #[test]
    fn few_are_named_and_many_are_only_said_to_be_many() {
        assert_eq!(told(0, &[]), None);
        assert_eq!(
            told(1, &["7"]).as_deref(),
            Some("1 row refers to nothing by (patientId) to s.patients (id): \"7\"")
        );
        assert!(
            told(2, &["Jane Doe", "8"])
                .is_some_and(|message| message.ends_with("a value that is left out here, \"8\""))
        );
        assert!(
            told(9, &["1", "2", "3"])
                .is_some_and(|message| message.ends_with("\"1\", \"2\", \"3\" and more"))
        );
        assert!(told(1001, &["1"]).is_some_and(
            |message| message.starts_with("more than 1000 rows refer") && !message.contains("\"1\"")
        ));
    }
}
