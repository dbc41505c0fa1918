//! Reads the schemas of one database. Needs no more than the right to read, and waits for no lock for long.

use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    Catalog, Key, Object,
    kind::{PREFIX, READERS, Reader},
};
use crate::{
    migrations::HistoryContract,
    postgres::{QueryContext, QueryError, query_as},
};

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The schemas. Sluice's own never counts.
    pub schemas: Vec<String>,
    /// The history is no part of the application.
    pub history_table: HistoryContract,
}

/// One moment for all queries, and settings under which the same thing always prints the same. Names are
/// qualified because the search path of a session is Sluice's. Expressions of a table are printed only to
/// those who may lock it, hence the limit.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s'; SET LOCAL jit = off; \
     SET LOCAL \"DateStyle\" = 'ISO, YMD'; SET LOCAL \"IntervalStyle\" = 'postgres'; SET LOCAL \"TimeZone\" \
     = 'UTC'; \
     SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; SET LOCAL quote_all_identifiers = \
     off; \
     SET LOCAL standard_conforming_strings = on";

/// Reads everything, in a transaction of its own that is rolled back.
pub async fn read(connection: &mut PgConnection, scope: &Scope) -> Result<Catalog, QueryError> {
    sqlx::raw_sql(BEGIN).execute(&mut *connection).await.context("begin to read the catalog")?;
    let read = objects(&mut *connection, scope).await;
    let ended = sqlx::raw_sql("ROLLBACK").execute(connection).await;
    let catalog = read?;
    ended.context("end reading the catalog")?;
    Ok(catalog)
}

async fn objects(connection: &mut PgConnection, scope: &Scope) -> Result<Catalog, QueryError> {
    let schemas: Vec<&String> = scope.schemas.iter().filter(|schema| *schema != "sluice").collect();
    let mut catalog = Catalog::default();
    for Reader { kind, words, sql } in READERS {
        let rows: Vec<(String, Option<String>, Vec<Option<String>>)> =
            query_as(AssertSqlSafe(format!("{PREFIX} {sql}")))
                .bind(&schemas)
                .bind(&scope.history_table.schema)
                .bind(scope.history_table.table)
                .fetch_all(&mut *connection)
                .await
                .context("read the catalog")?;
        catalog.objects.extend(rows.into_iter().map(|(name, parent, values)| {
            let known = words.iter().copied().zip(values).filter_map(|(word, value)| Some((word, value?)));
            (Key { kind: *kind, name }, Object { parent, properties: known.collect() })
        }));
    }
    Ok(catalog)
}
