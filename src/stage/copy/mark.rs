//! How a copy is known again: what the comment of its schema says, and what the table was when it was made.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::SCHEMA;
use crate::{
    migrations::checksum,
    postgres::{CopyParts, CopySource, QueryContext, QueryError, built_parts, copy_columns, query_scalar},
};

/// What the comment of the schema says: of which statement the copy is, and of which table.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) sluice_copy_of: i64,
    pub(super) statement: String,
    pub(super) table: String,
}

impl Mark {
    /// What stands there; none where the schema is not Sluice's, or not there.
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Option<Self>, QueryError> {
        let text = "SELECT pg_catalog.obj_description(pg_catalog.to_regnamespace($1)::oid, 'pg_namespace')";
        let comment: Option<String> = query_scalar(text)
            .bind(SCHEMA)
            .fetch_one(connection)
            .await
            .context("find the copy of a table")?;
        Ok(comment.and_then(|comment| serde_json::from_str(&comment).ok()))
    }
}

/// The copy of a table, as it is written in SQL.
pub(super) fn shadow_of(source: &CopySource) -> String {
    format!("{SCHEMA}.{}", source.name)
}

/// What a table is, in a few characters: its columns and all that belongs to it.
pub(super) async fn fingerprint(
    connection: &mut PgConnection,
    source: &CopySource,
) -> Result<(String, CopyParts), QueryError> {
    let called = source.qualified();
    let columns = copy_columns(&mut *connection, source.id).await?;
    let built = built_parts(&mut *connection, source.id, &called).await?;
    let parts = CopyParts::read(connection, source.id, &called, &source.schema).await?;
    Ok((checksum(&format!("{columns:?} {built:?} {parts:?}")), parts))
}
