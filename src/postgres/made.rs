//! Whether a table of the history is the one that was just made.

use sqlx::PgConnection;

use super::{QueryContext, QueryError, query_scalar};

/// Right after a table was created that was missing a moment ago: no other session was quicker. Otherwise
/// nothing is written to it, and the next check says whose it is.
pub(super) async fn made_just_now(connection: &mut PgConnection, table: &str) -> Result<(), QueryError> {
    let text = "SELECT pg_catalog.pg_get_userbyid(c.relowner) = CURRENT_USER AND c.relkind = 'r' FROM \
        pg_catalog.pg_class c \
                WHERE c.oid = pg_catalog.to_regclass($1)";
    let own: Option<bool> = query_scalar(text)
        .bind(table)
        .fetch_optional(connection)
        .await
        .context("see who made the history")?;
    if own == Some(true) {
        return Ok(());
    }
    Err(QueryError {
        action: "create the history",
        cause: sqlx::Error::Protocol(format!("another session made {table} at the same moment")),
    })
}
