//! What would make a statement see other rows in batches than as a whole, and what only the server knows:
//! policies that hide rows, and functions that are about all of them.

use sqlx::PgConnection;

use super::{QueryContext, QueryError, query_scalar};

/// The policies of a table.
pub async fn policies(connection: &mut PgConnection, table: i64) -> Result<Vec<String>, QueryError> {
    query_scalar("SELECT polname::text FROM pg_catalog.pg_policy WHERE polrelid = $1::int8::oid ORDER BY 1")
        .bind(table)
        .fetch_all(connection)
        .await
        .context("read the policies of a table")
}

/// Which of these names are aggregates or window functions.
pub async fn aggregates(connection: &mut PgConnection, names: &[String]) -> Result<Vec<String>, QueryError> {
    query_scalar(
        "SELECT DISTINCT proname::text FROM pg_catalog.pg_proc \
         WHERE prokind IN ('a', 'w') AND proname::text = ANY ($1) ORDER BY 1",
    )
    .bind(names)
    .fetch_all(connection)
    .await
    .context("read which functions aggregate")
}

/// A relation as its name is written wherever names are looked up.
pub async fn written(connection: &mut PgConnection, relation: i64) -> Result<String, QueryError> {
    query_scalar("SELECT $1::int8::oid::regclass::text")
        .bind(relation)
        .fetch_one(connection)
        .await
        .context("read the name of a table")
}
