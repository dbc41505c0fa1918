//! The texts of migrations as they were applied, in `sluice.texts` under their checksums. With the text of
//! then, an edited file can be told from one in which a comment was changed, and a migration that the source
//! has lost can still be replayed.
//!
//! A text is written in the transaction of its migration. Where the role may not create the table, no text is
//! kept: nothing depends on one.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    QueryContext, QueryError,
    own_table::{Definition, OwnTable, may},
    query_as, query_scalar,
};
use crate::migrations::{Migration, checksum, hexadecimal};

/// Longer ones are not kept: a file of this size holds data rather than a schema.
const LONGEST: usize = 256 * 1024;

pub(super) const TABLE: Definition = Definition {
    name: "sluice.texts",
    may: may!("texts"),
    create: "CREATE TABLE IF NOT EXISTS sluice.texts (checksum varchar(64) PRIMARY KEY NOT NULL, text text \
        NOT NULL, kept_at timestamptz NOT NULL DEFAULT pg_catalog.now())",
};

/// Those of these migrations whose texts are not kept and can be. Reads nothing but what a table holds that
/// is the role's own.
pub async fn not_kept<'a>(
    connection: &mut PgConnection,
    texts: OwnTable,
    migrations: impl Iterator<Item = &'a Migration>,
) -> Result<Vec<&'a Migration>, QueryError> {
    let mut missing: Vec<&Migration> =
        migrations.filter(|migration| migration.sql.len() <= LONGEST).collect();
    if texts == OwnTable::Nowhere || missing.is_empty() {
        return Ok(Vec::new());
    }
    if texts == OwnTable::There {
        let checksums: Vec<&str> = missing.iter().map(|migration| migration.checksum.as_str()).collect();
        let kept: Vec<String> = query_scalar(
            "SELECT checksum::text FROM sluice.texts WHERE checksum::text \
                OPERATOR(pg_catalog.=) ANY ($1::text[])",
        )
        .bind(checksums)
        .fetch_all(connection)
        .await
        .context("see which texts of migrations are kept")?;
        missing.retain(|migration| !kept.contains(&migration.checksum));
    }
    Ok(missing)
}

/// Whether texts can be kept; makes the table where it is missing. Inside the transaction of the migration,
/// so that a release that is rolled back leaves nothing.
pub async fn prepare_texts(connection: &mut PgConnection) -> Result<bool, QueryError> {
    OwnTable::prepare(connection, &TABLE).await
}

/// The statement that keeps the text of a migration, to be sent with the one that writes its row. In
/// hexadecimal, which no setting of the session reads differently.
pub fn keep_text(migration: &Migration) -> Option<String> {
    (migration.sql.len() <= LONGEST).then(|| {
        format!(
            "INSERT INTO sluice.texts (checksum, text) VALUES ('{}', \
                pg_catalog.convert_from(pg_catalog.decode('{}', 'hex'), 'UTF8')) \
             ON CONFLICT DO NOTHING",
            migration.checksum,
            hexadecimal(migration.sql.as_bytes())
        )
    })
}

/// Keeps the text of a migration whose row is written alone, in the same transaction.
pub async fn keep_text_alone(connection: &mut PgConnection, migration: &Migration) -> Result<(), QueryError> {
    if migration.sql.len() <= LONGEST && prepare_texts(&mut *connection).await? {
        keep_texts(connection, &[migration]).await?;
    }
    Ok(())
}

/// Keeps the texts of migrations in a table that is prepared.
pub async fn keep_texts(connection: &mut PgConnection, migrations: &[&Migration]) -> Result<(), QueryError> {
    for text in migrations.iter().filter_map(|migration| keep_text(migration)) {
        sqlx::raw_sql(AssertSqlSafe(text))
            .execute(&mut *connection)
            .await
            .context("keep the texts of applied migrations")?;
    }
    Ok(())
}

/// The texts that are known under these checksums. One that is not what its checksum says is no migration's
/// text.
pub async fn read_texts(
    connection: &mut PgConnection,
    checksums: &[&str],
) -> Result<BTreeMap<String, String>, QueryError> {
    let readable = "SELECT COALESCE((SELECT pg_catalog.has_table_privilege(c.oid, 'SELECT') AND \
        pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) \
         c.relnamespace \
         WHERE n.nspname OPERATOR(pg_catalog.=) 'sluice' AND c.relname OPERATOR(pg_catalog.=) 'texts' \
           AND c.relkind OPERATOR(pg_catalog.=) 'r'), false)";
    let what = "read the texts of applied migrations";
    if checksums.is_empty() || !query_scalar(readable).fetch_one(&mut *connection).await.context(what)? {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(String, String)> = query_as(
        "SELECT checksum::text, text FROM sluice.texts WHERE checksum::text OPERATOR(pg_catalog.=) \
            ANY ($1::text[])",
    )
    .bind(checksums)
    .fetch_all(connection)
    .await
    .context(what)?;
    Ok(rows.into_iter().filter(|(recorded, text)| checksum(text) == *recorded).collect())
}
