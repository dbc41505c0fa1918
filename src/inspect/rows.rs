//! How many rows the tables have that the manifest wants compared.

use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    CheckError,
    relation::{self, Relation},
    trial::{self, GRANTED, Refusal},
};
use crate::{
    api::{Compare, RowCount},
    postgres::query_scalar,
};

/// How many rows there were before the first statement of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsBefore(pub(crate) Vec<Counted>);

/// How many rows one table had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// As the manifest names it.
    pub(crate) written: String,
    pub(crate) compare: Compare,
    pub(crate) table: Relation,
    pub(crate) rows: Result<i64, Refusal>,
}

/// Counts what the manifest wants compared; nothing where it wants nothing.
pub async fn count_rows(
    connection: &mut PgConnection,
    expected: &[RowCount],
    schemas: &[String],
) -> Result<Option<RowsBefore>, CheckError> {
    let expected: Vec<_> =
        expected.iter().filter_map(|expected| Some((expected, expected.compare?))).collect();
    if expected.is_empty() {
        return Ok(None);
    }
    let names: Vec<String> = expected.iter().map(|(expected, _)| expected.table.clone()).collect();
    let relations = relation::find(connection, &names, schemas).await?;
    let mut counted = Vec::new();
    for (expected, compare) in expected {
        let Some(table) = relation::resolve(&relations, &expected.table, schemas) else { continue };
        let locked = if compare == Compare::Equal { hold(connection, table).await? } else { Ok(()) };
        let rows = match locked {
            Ok(()) => count(connection, table).await?,
            Err(refusal) => Err(refusal),
        };
        counted.push(Counted { written: expected.table.clone(), compare, table: table.clone(), rows });
    }
    Ok(Some(RowsBefore(counted)))
}

/// Keeps other writers away until the transaction ends. That another session holds a lock is no answer:
/// Sluice retries the transaction.
async fn hold(connection: &mut PgConnection, table: &Relation) -> Result<Result<(), Refusal>, CheckError> {
    trial::begin(connection).await?;
    let text =
        format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE; RELEASE SAVEPOINT sluice_trial", table.sql());
    let locked = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await;
    match trial::answer(locked, "keep others from writing to a table whose rows are compared")? {
        Ok(_) => Ok(Ok(())),
        Err(refusal) => {
            trial::end(connection).await?;
            Ok(Err(refusal))
        }
    }
}

/// Counts the rows of a table, or says why they cannot be counted.
pub(crate) async fn count(
    connection: &mut PgConnection,
    table: &Relation,
) -> Result<Result<i64, Refusal>, CheckError> {
    trial::begin_reading(connection, GRANTED).await?;
    let text = format!("SELECT pg_catalog.count(*) FROM {}", table.sql());
    let counted = query_scalar(AssertSqlSafe(text)).fetch_one(&mut *connection).await;
    let counted = trial::answer(counted, "count the rows of a table that is compared");
    trial::end(connection).await?;
    counted
}
