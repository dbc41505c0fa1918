//! Reads and writes the history, in the very form in which Prisma's engine does. The rows of phases have that
//! form, too, in a table of Sluice's own: which of both a migration belongs to, its name tells.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use super::{Journal, Kept, QueryContext, QueryError, made::made_just_now, query, query_as, query_scalar};
use crate::{
    api::{Resolve, ResolveAs},
    migrations::{HistoryContract, HistoryRow, Migration, RowState, hexadecimal},
};

/// The history of one database.
#[derive(Clone, Debug)]
pub struct HistoryTable {
    /// Where it is.
    pub contract: HistoryContract,
}

/// A row of the history, with its moments as numbers.
#[derive(FromRow)]
struct Row {
    id: String,
    checksum: String,
    migration_name: String,
    /// In seconds since 1970.
    began: i64,
    finished: bool,
    rolled_back: bool,
    resumable: bool,
    /// In milliseconds since 1970, or 0.
    ended: i64,
}

impl HistoryTable {
    /// Whether the table exists in which this migration is recorded.
    pub async fn exists_for(
        &self,
        connection: &mut PgConnection,
        migration: &str,
    ) -> Result<bool, QueryError> {
        query_scalar("SELECT pg_catalog.to_regclass($1) IS NOT NULL")
            .bind(self.contract.table_of(migration))
            .fetch_one(connection)
            .await
            .context("find the history")
    }

    /// The tables that exist.
    async fn tables(&self, connection: &mut PgConnection) -> Result<Vec<String>, QueryError> {
        let text = "SELECT name FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS t(name, n) WHERE \
            pg_catalog.to_regclass(name) IS NOT NULL ORDER BY n";
        query_scalar(text)
            .bind(vec![self.contract.qualified(), self.contract.qualified_phases()])
            .fetch_all(connection)
            .await
            .context("find the history")
    }

    /// The newest applied migration, and whether this one is applied. Needs nothing but the right to read the
    /// history.
    pub async fn applied(
        &self,
        connection: &mut PgConnection,
        name: &str,
    ) -> Result<(Option<String>, bool), QueryError> {
        if !self.exists_for(connection, name).await? {
            return Ok((None, false));
        }
        let text = format!(
            "SELECT (pg_catalog.array_agg(migration_name::text ORDER BY started_at DESC, id DESC))[1], \
                    COALESCE(pg_catalog.bool_or(migration_name = $1), false) FROM {} WHERE finished_at IS \
                    NOT NULL AND rolled_back_at IS NULL",
            self.contract.table_of(name)
        );
        query_as(AssertSqlSafe(text)).bind(name).fetch_one(connection).await.context("read the history")
    }

    /// Applied migrations whose names begin so, two at most. Needs nothing but the right to read the history.
    pub async fn beginning_with(
        &self,
        connection: &mut PgConnection,
        name: &str,
    ) -> Result<Vec<String>, QueryError> {
        if !self.exists_for(connection, name).await? {
            return Ok(Vec::new());
        }
        let text = format!(
            "SELECT DISTINCT migration_name::text FROM {} WHERE finished_at IS NOT NULL AND rolled_back_at \
                IS NULL \
             AND pg_catalog.starts_with(migration_name::text, $1) ORDER BY 1 LIMIT 2",
            self.contract.table_of(name)
        );
        query_scalar(AssertSqlSafe(text)).bind(name).fetch_all(connection).await.context("read the history")
    }

    /// Every row, in the order in which they were begun, those of phases last.
    pub async fn rows(&self, connection: &mut PgConnection) -> Result<Vec<HistoryRow>, QueryError> {
        let tables = self.tables(connection).await?;
        if tables.is_empty() {
            return Ok(Vec::new());
        }
        let journal = Journal::exists(connection).await?;
        let rows = rows_with_journal(&tables, journal, connection).await?;
        // The journal may have been made between the two queries, for a row that looks failed without it.
        if !journal
            && rows.iter().any(|row| row.state() == RowState::Failed)
            && Journal::exists(connection).await?
        {
            return rows_with_journal(&tables, true, connection).await;
        }
        Ok(rows)
    }

    /// Creates schema and table where they are missing, for these migrations.
    pub async fn create(
        &self,
        connection: &mut PgConnection,
        migrations: impl Iterator<Item = &Migration>,
    ) -> Result<(), QueryError> {
        let kinds: BTreeSet<bool> = migrations.map(|migration| migration.phase().is_some()).collect();
        for of_phases in kinds {
            let (schema, table) = if of_phases {
                ("sluice", self.contract.qualified_phases())
            } else {
                (self.contract.schema.as_str(), self.contract.qualified())
            };
            create(connection, schema, &table).await?;
        }
        Ok(())
    }

    /// The statement that writes the row of a migration, with this id, whose statements are in the same
    /// transaction. A text, so that it travels with the others that end a file; the name goes in hexadecimal,
    /// which no setting of the session reads differently.
    pub fn applied_row(&self, id: &str, migration: &Migration, started: jiff::Timestamp) -> String {
        format!(
            "INSERT INTO {} (id, checksum, finished_at, migration_name, started_at, applied_steps_count) \
                VALUES ('{id}', '{}', \
             pg_catalog.date_trunc('milliseconds', pg_catalog.clock_timestamp()), \
             pg_catalog.convert_from(pg_catalog.decode('{}', 'hex'), 'UTF8'), '{}'::timestamptz, 1)",
            self.contract.table_of(&migration.name),
            migration.checksum,
            hexadecimal(migration.name.as_bytes()),
            milliseconds(started)
        )
    }

    /// The query for which of these rows, each with its id, are not there as
    /// [`applied_row`](Self::applied_row) wrote them: their numbers.
    pub fn lost_rows(&self, written: &[(String, &Migration)]) -> String {
        let tables: BTreeSet<String> =
            written.iter().map(|(_, migration)| self.contract.table_of(&migration.name)).collect();
        let of_table = |table: &String| {
            let rows = written
                .iter()
                .enumerate()
                .filter(|(_, (_, migration))| self.contract.table_of(&migration.name) == *table);
            let row = |(number, (id, migration)): (usize, &(String, &Migration))| {
                format!(
                    "({number}, '{id}', '{}', '{}')",
                    migration.checksum,
                    hexadecimal(migration.name.as_bytes())
                )
            };
            format!(
                "SELECT w.number::text FROM (VALUES {}) AS w(number, id, checksum, name) WHERE NOT EXISTS \
                    (SELECT FROM {table} AS r \
                 WHERE r.id = w.id AND r.checksum = w.checksum AND r.migration_name = \
                 pg_catalog.convert_from(pg_catalog.decode(w.name, 'hex'), 'UTF8') \
                   AND r.finished_at IS NOT NULL AND r.rolled_back_at IS NULL)",
                rows.map(row).collect::<Vec<_>>().join(", ")
            )
        };
        tables.iter().map(of_table).collect::<Vec<_>>().join(" UNION ALL ")
    }

    /// Records migrations whose effects are there, as `prisma migrate resolve --applied` would, within a
    /// transaction. Each row is a millisecond later than the one before, so that their order can be read
    /// back. False when the history has rows: then the transaction is to be rolled back.
    pub async fn baseline(
        &self,
        connection: &mut PgConnection,
        migrations: &[&Migration],
    ) -> Result<bool, QueryError> {
        self.create(&mut *connection, migrations.iter().copied()).await?;
        for table in self.tables(&mut *connection).await? {
            let text = format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE");
            sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await.context("lock the history")?;
            let text = format!("SELECT EXISTS (SELECT FROM {table})");
            if query_scalar(AssertSqlSafe(text))
                .fetch_one(&mut *connection)
                .await
                .context("read the history")?
            {
                return Ok(false);
            }
            let numbered = (1..).zip(migrations.iter().copied());
            let members: Vec<(i32, &Migration)> =
                numbered.filter(|(_, migration)| self.contract.table_of(&migration.name) == table).collect();
            write_recorded(&mut *connection, &table, &members, migrations.len()).await?;
        }
        Ok(true)
    }

    /// Writes the row of a migration that begins to run step by step; answers its id.
    pub async fn insert_started(
        &self,
        connection: &mut PgConnection,
        migration: &Migration,
        started: jiff::Timestamp,
    ) -> Result<String, QueryError> {
        let id = uuid::Uuid::new_v4().to_string();
        let text = format!(
            "INSERT INTO {} (id, checksum, migration_name, started_at, applied_steps_count) VALUES ($1, $2, \
                $3, $4::timestamptz, 0)",
            self.contract.table_of(&migration.name)
        );
        query(AssertSqlSafe(text))
            .bind(&id)
            .bind(&migration.checksum)
            .bind(&migration.name)
            .bind(milliseconds(started))
            .execute(connection)
            .await
            .kept("record the start of the migration")?;
        Ok(id)
    }

    /// Completes a row that was begun.
    pub async fn finish(
        &self,
        connection: &mut PgConnection,
        id: &str,
        migration: &Migration,
    ) -> Result<(), QueryError> {
        let text = format!(
            "UPDATE {} SET finished_at = pg_catalog.date_trunc('milliseconds', \
                pg_catalog.clock_timestamp()), \
             applied_steps_count = 1, checksum = $2, logs = NULL WHERE id = $1",
            self.contract.table_of(&migration.name)
        );
        query(AssertSqlSafe(text))
            .bind(id)
            .bind(&migration.checksum)
            .execute(connection)
            .await
            .kept("record the end of the migration")
    }

    /// Writes what went wrong into a row that was begun.
    pub async fn note_failure(
        &self,
        connection: &mut PgConnection,
        id: &str,
        migration: &Migration,
        logs: &str,
    ) -> Result<(), QueryError> {
        let text = format!("UPDATE {} SET logs = $2 WHERE id = $1", self.contract.table_of(&migration.name));
        query(AssertSqlSafe(text))
            .bind(id)
            .bind(logs)
            .execute(connection)
            .await
            .context("record the failure of the migration")?;
        Ok(())
    }

    /// Removes a row that was begun and of which nothing was done.
    pub async fn remove(
        &self,
        connection: &mut PgConnection,
        id: &str,
        migration: &Migration,
    ) -> Result<(), QueryError> {
        let text = format!(
            "DELETE FROM {} WHERE id = $1 AND finished_at IS NULL",
            self.contract.table_of(&migration.name)
        );
        query(AssertSqlSafe(text))
            .bind(id)
            .execute(connection)
            .await
            .context("remove the row of a migration that did nothing")?;
        Ok(())
    }

    /// Carries out a person's verdict on a failed row, as `prisma migrate resolve` would, within a
    /// transaction. Answers whether there was one. Rows with a journal are Sluice's own and not failed: an
    /// entry of the manifest that stays there must not throw finished steps away.
    pub async fn resolve(
        &self,
        connection: &mut PgConnection,
        resolve: &Resolve,
        checksum: Option<&str>,
    ) -> Result<bool, QueryError> {
        if resolve.verdict == ResolveAs::Applied && checksum.is_none() {
            return Ok(false);
        }
        let journaled: Vec<String> = Journal::row_ids(connection).await?.into_iter().collect();
        let text = format!(
            "UPDATE {} SET rolled_back_at = pg_catalog.date_trunc('milliseconds', \
                pg_catalog.clock_timestamp()) \
             WHERE migration_name = $1 AND finished_at IS NULL AND rolled_back_at IS NULL AND id <> ALL($2)",
            self.contract.table_of(&resolve.name)
        );
        let done =
            query(AssertSqlSafe(text)).bind(&resolve.name).bind(journaled).execute(&mut *connection).await;
        let failed = done.context("resolve the failed migration")?.rows_affected() > 0;
        if let (true, ResolveAs::Applied, Some(checksum)) = (failed, resolve.verdict, checksum) {
            let text = format!(
                "INSERT INTO {} (id, checksum, finished_at, migration_name, logs, started_at, \
                    applied_steps_count) \
                 SELECT $1, $2, now, $3, '', now, 0 FROM pg_catalog.date_trunc('milliseconds', \
                 pg_catalog.clock_timestamp()) AS now",
                self.contract.table_of(&resolve.name)
            );
            let row = query(AssertSqlSafe(text))
                .bind(uuid::Uuid::new_v4().to_string())
                .bind(checksum)
                .bind(&resolve.name);
            row.execute(&mut *connection).await.context("record the migration as applied")?;
        }
        Ok(failed)
    }
}

/// History and journal in one query: another process may begin or finish a row between two, and it would look
/// failed.
async fn rows_with_journal(
    tables: &[String],
    journal: bool,
    connection: &mut PgConnection,
) -> Result<Vec<HistoryRow>, QueryError> {
    let resumable =
        if journal { "EXISTS (SELECT FROM sluice.journal WHERE row_id = ledger.id)" } else { "false" };
    let rows = |(number, table): (usize, &String)| {
        format!(
            "SELECT id, checksum, migration_name, pg_catalog.trunc(pg_catalog.date_part('epoch', \
                started_at))::int8 AS began, \
                    finished_at IS NOT NULL AS finished, rolled_back_at IS NOT NULL AS rolled_back, \
                    {resumable} AS resumable, \
                    COALESCE(pg_catalog.round(pg_catalog.date_part('epoch', finished_at) * 1000)::int8, \
                    0) AS ended, \
                    {number} AS number, started_at FROM {table} AS ledger"
        )
    };
    let union = tables.iter().enumerate().map(rows).collect::<Vec<_>>().join(" UNION ALL ");
    let text = format!("{union} ORDER BY number, started_at, id");
    let rows: Vec<Row> =
        query_as(AssertSqlSafe(text)).fetch_all(connection).await.context("read the history")?;
    let row = |row: Row| HistoryRow {
        id: row.id,
        checksum: row.checksum,
        name: row.migration_name,
        started_at: jiff::Timestamp::from_second(row.began).map(|at| at.to_string()).unwrap_or_default(),
        finished: row.finished,
        rolled_back: row.rolled_back,
        resumable: row.resumable,
        finished_at: row.ended,
    };
    Ok(rows.into_iter().map(row).collect())
}

async fn create(connection: &mut PgConnection, schema: &str, table: &str) -> Result<(), QueryError> {
    // A schema that exists needs no right to create schemas.
    let (exists, has_schema): (bool, bool) = query_as(
        "SELECT pg_catalog.to_regclass($1) IS NOT NULL, EXISTS (SELECT FROM pg_catalog.pg_namespace \
            WHERE nspname = $2)",
    )
    .bind(table)
    .bind(schema)
    .fetch_one(&mut *connection)
    .await
    .context("find the history")?;
    if exists {
        return Ok(());
    }
    let schema = if has_schema {
        String::new()
    } else {
        format!("CREATE SCHEMA IF NOT EXISTS \"{}\"; ", schema.replace('"', "\"\""))
    };
    let text = format!(
        "{schema}CREATE TABLE IF NOT EXISTS {table} (\n\
         id VARCHAR(36) PRIMARY KEY NOT NULL,\nchecksum VARCHAR(64) NOT NULL,\nfinished_at TIMESTAMPTZ,\n\
         migration_name VARCHAR(255) NOT NULL,\nlogs TEXT,\nrolled_back_at TIMESTAMPTZ,\n\
         started_at TIMESTAMPTZ NOT NULL DEFAULT now(),\napplied_steps_count INTEGER NOT NULL DEFAULT 0)"
    );
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await.context("create the history")?;
    made_just_now(connection, table).await
}

/// Rows of migrations that did not run. The number of each says where it stands among all (`of`), whichever
/// table it is in: `now()` is the same in the whole transaction.
async fn write_recorded(
    connection: &mut PgConnection,
    table: &str,
    migrations: &[(i32, &Migration)],
    of: usize,
) -> Result<(), QueryError> {
    let text = format!(
        "INSERT INTO {table} (id, checksum, finished_at, migration_name, logs, started_at, \
            applied_steps_count) \
         SELECT r.id, r.checksum, r.at, r.name, '', r.at, 0 FROM ( \
           SELECT id, checksum, name, \
             pg_catalog.date_trunc('milliseconds', pg_catalog.now()) - pg_catalog.make_interval(secs => ($5 \
             - number) / 1000.0) AS at \
           FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]), \
           pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::int4[])) \
             AS u(id, checksum, name, number)) AS r"
    );
    let ids: Vec<String> = migrations.iter().map(|_| uuid::Uuid::new_v4().to_string()).collect();
    let checksums: Vec<&str> = migrations.iter().map(|(_, migration)| migration.checksum.as_str()).collect();
    let names: Vec<&str> = migrations.iter().map(|(_, migration)| migration.name.as_str()).collect();
    let numbers: Vec<i32> = migrations.iter().map(|(number, _)| *number).collect();
    let rows = query(AssertSqlSafe(text))
        .bind(ids)
        .bind(checksums)
        .bind(names)
        .bind(numbers)
        .bind(i32::try_from(of).unwrap_or(i32::MAX));
    rows.execute(connection).await.context("record the baseline")?;
    Ok(())
}

/// Prisma records milliseconds.
fn milliseconds(at: jiff::Timestamp) -> String {
    at.round(jiff::TimestampRound::new().smallest(jiff::Unit::Millisecond).mode(jiff::RoundMode::Trunc))
        .unwrap_or(at)
        .to_string()
}
