//! The journal of migrations that cannot be one transaction: which steps are done, so that a retry goes on
//! where it stopped. It lives in the schema `sluice`, beside nothing of the application's, and exists only
//! once it was needed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sqlx::{FromRow, PgConnection};

use super::{Kept, QueryContext, QueryError, Values, made::made_just_now, query, query_as, query_scalar};

/// The journal of one history row.
#[derive(Clone, Debug)]
pub struct Journal {
    /// The row of the history.
    pub row: String,
}

/// One step that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalStep {
    /// Which, counted from 0.
    pub step: i32,
    /// The digest of its statements: a step whose text changed is not the step that ran.
    pub digest: String,
    /// It ended well.
    pub done: bool,
    /// What the file had set by then.
    pub settings: Values,
    /// How far a step in batches has come; none where none of them is committed.
    pub batches: Option<BatchesDone>,
}

/// A step as it is written down.
#[derive(FromRow)]
struct Row {
    step: i32,
    digest: String,
    done: bool,
    settings: Option<String>,
    batches: Option<String>,
}

/// How far a step in batches has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchesDone {
    /// The key of the last row of the last batch.
    pub key: Vec<String>,
    /// How many were committed.
    pub count: u64,
    /// About how many rows they went through.
    pub passed: u64,
    /// How many rows they changed.
    pub changed: u64,
    /// Of a copy that was swapped with its table: the foreign keys that are still to be validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swapped: Option<Vec<ForeignKey>>,
}

/// A foreign key, by names as they are written in SQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// The table that has it, with its schema.
    pub table: String,
    /// Its name.
    pub name: String,
}

const CREATE: &str = "\
    CREATE TABLE IF NOT EXISTS sluice.journal (row_id varchar(36) NOT NULL, step integer NOT NULL, \
    digest varchar(64) NOT NULL, started_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz, \
    settings text, batches text, PRIMARY KEY (row_id, step))";
/// A journal that an earlier version made.
const ADD_COLUMNS: &str = "\
    ALTER TABLE sluice.journal ADD COLUMN IF NOT EXISTS settings text, \
    ADD COLUMN IF NOT EXISTS batches text";

impl Journal {
    /// The name of its table, in the schema `sluice`.
    pub(super) const TABLE: &str = "journal";

    /// Creates the table where it is missing.
    pub async fn create(connection: &mut PgConnection) -> Result<(), QueryError> {
        if Self::exists(connection).await? {
            sqlx::raw_sql(ADD_COLUMNS).execute(connection).await.context("bring the journal up to date")?;
            return Ok(());
        }
        sqlx::raw_sql("CREATE SCHEMA IF NOT EXISTS sluice")
            .execute(&mut *connection)
            .await
            .context("create the schema sluice for the journal")?;
        sqlx::raw_sql(CREATE).execute(&mut *connection).await.context("create the journal")?;
        made_just_now(connection, "sluice.journal").await
    }

    /// Whether the table exists.
    pub async fn exists(connection: &mut PgConnection) -> Result<bool, QueryError> {
        query_scalar("SELECT pg_catalog.to_regclass('sluice.journal') IS NOT NULL")
            .fetch_one(connection)
            .await
            .context("find the journal")
    }

    /// The history rows that have a journal.
    pub async fn row_ids(connection: &mut PgConnection) -> Result<BTreeSet<String>, QueryError> {
        if !Self::exists(connection).await? {
            return Ok(BTreeSet::new());
        }
        let ids: Vec<String> = query_scalar("SELECT DISTINCT row_id::text FROM sluice.journal")
            .fetch_all(connection)
            .await
            .context("read the journal")?;
        Ok(ids.into_iter().collect())
    }

    /// The steps that were begun, in order.
    pub async fn steps(&self, connection: &mut PgConnection) -> Result<Vec<JournalStep>, QueryError> {
        // A session that only reads brings no journal of an earlier version up to date, which had fewer
        // columns.
        let text = "SELECT step, digest::text, finished_at IS NOT NULL AS done, \
            pg_catalog.to_jsonb(journal) ->> 'settings' AS settings, \
            pg_catalog.to_jsonb(journal) ->> 'batches' AS batches \
            FROM sluice.journal AS journal WHERE row_id = $1 ORDER BY step";
        let rows: Vec<Row> =
            query_as(text).bind(&self.row).fetch_all(connection).await.context("read the journal")?;
        let steps = rows.into_iter().map(|Row { step, digest, done, settings, batches }| {
            let settings = read(settings)?.unwrap_or_default();
            Ok(JournalStep { step, digest, done, settings, batches: read(batches)? })
        });
        steps.collect()
    }

    /// Writes that a step begins, before it does.
    pub async fn begin(
        &self,
        connection: &mut PgConnection,
        step: i32,
        digest: &str,
    ) -> Result<(), QueryError> {
        query(
            "INSERT INTO sluice.journal (row_id, step, digest) VALUES ($1, $2, $3) \
             ON CONFLICT (row_id, step) DO UPDATE SET digest = excluded.digest, started_at = now(), \
             finished_at = NULL",
        )
        .bind(&self.row)
        .bind(step)
        .bind(digest)
        .execute(connection)
        .await
        .kept("journal the start of a step")
    }

    /// Writes that a step is done, and what the file has set by then.
    pub async fn record(
        &self,
        connection: &mut PgConnection,
        step: i32,
        digest: &str,
        settings: &Values,
    ) -> Result<(), QueryError> {
        query(
            "INSERT INTO sluice.journal (row_id, step, digest, settings, finished_at) \
             VALUES ($1, $2, $3, $4, now()) ON CONFLICT (row_id, step) DO UPDATE \
             SET digest = excluded.digest, settings = excluded.settings, finished_at = excluded.finished_at",
        )
        .bind(&self.row)
        .bind(step)
        .bind(digest)
        .bind(serde_json::to_string(settings).unwrap_or_default())
        .execute(connection)
        .await
        .kept("journal the end of a step")
    }

    /// Writes how far a step in batches has come, in the transaction of the last of them.
    pub async fn advance(
        &self,
        connection: &mut PgConnection,
        step: i32,
        digest: &str,
        batches: &BatchesDone,
    ) -> Result<(), QueryError> {
        query(
            "INSERT INTO sluice.journal (row_id, step, digest, batches) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (row_id, step) DO UPDATE SET digest = excluded.digest, batches = excluded.batches, \
             finished_at = NULL",
        )
        .bind(&self.row)
        .bind(step)
        .bind(digest)
        .bind(serde_json::to_string(batches).unwrap_or_default())
        .execute(connection)
        .await
        .kept("journal a batch")
    }

    /// Takes back that a step was begun: it failed, and what is there by its name is not its work. Batches
    /// that are committed are.
    pub async fn forget(&self, connection: &mut PgConnection, step: i32) -> Result<(), QueryError> {
        let text = "DELETE FROM sluice.journal WHERE row_id = $1 AND step = $2 AND finished_at IS NULL AND \
            batches IS NULL";
        query(text)
            .bind(&self.row)
            .bind(step)
            .execute(connection)
            .await
            .context("journal the failure of a step")?;
        Ok(())
    }

    /// Takes back a step whose batches were undone, so that no attempt goes on behind them.
    pub async fn abandon(&self, connection: &mut PgConnection, step: i32) -> Result<(), QueryError> {
        query("DELETE FROM sluice.journal WHERE row_id = $1 AND step = $2")
            .bind(&self.row)
            .bind(step)
            .execute(connection)
            .await
            .context("journal that a step was undone")?;
        Ok(())
    }

    /// Forgets everything: the history row is complete, or gone.
    pub async fn clear(&self, connection: &mut PgConnection) -> Result<(), QueryError> {
        query("DELETE FROM sluice.journal WHERE row_id = $1")
            .bind(&self.row)
            .execute(connection)
            .await
            .context("clear the journal")?;
        Ok(())
    }
}

/// What a column holds as JSON.
fn read<T: DeserializeOwned>(column: Option<String>) -> Result<Option<T>, QueryError> {
    let read = column.map(|text| serde_json::from_str(&text)).transpose();
    read.map_err(|error| sqlx::Error::Decode(Box::new(error))).context("read what the journal holds")
}
