//! The copy takes the table's place, in one transaction that keeps others from both: what others wrote until
//! then is carried over, nothing about the table has changed, and the copy gets what belongs to it. Foreign
//! keys are validated after it, while others work.

use std::time::Instant;

use sqlx::PgConnection;

use super::{
    SCHEMA, Swapped, Task,
    ground::Ground,
    mark::fingerprint,
    rows::{catch_up, is_still_the_table, noted, undone},
    shadow::transaction,
    wait,
};
use crate::{
    postgres::{
        BatchesDone, CopiedKey, CopyParts, CopySource, ForeignKey, QueryContext, QueryError, Session,
        SqlError, SqlErrorKind, query_scalar,
    },
    stage::{
        batch::over,
        custody::begin_upon,
        held,
        step::{Ended, Stop, as_the_file},
    },
};

/// What is left to carry over when writers begin to wait.
const FEW: u64 = 500;
/// So often at most Sluice carries over what others wrote, before it makes them wait.
const ROUNDS: usize = 20;

/// Swaps, as soon as no session is in the way: the foreign keys that are to be validated.
pub(super) async fn run(
    session: &mut Session,
    task: &Task<'_>,
    ground: &Ground,
    done: &BatchesDone,
) -> Swapped {
    let mut waits_until = None;
    loop {
        if let Some(stop) = over(task.work, task.at) {
            return Ok(Err(stop));
        }
        let swapped = match few_left(session, task, ground, done).await? {
            Ok(()) => attempt(session, task, ground, done).await?,
            Err(stop) => Err(stop),
        };
        match swapped {
            Err(Stop::Sql(error)) if error.kind == SqlErrorKind::Lock => {
                wait(session, task, &mut waits_until).await?;
            }
            swapped => return Ok(swapped),
        }
    }
}

/// Carries over what others wrote, until little is left.
async fn few_left(session: &mut Session, task: &Task<'_>, ground: &Ground, done: &BatchesDone) -> Ended {
    for _ in 0..ROUNDS {
        match noted(session, task, ground, done).await? {
            Ok(keys) if keys > FEW => {}
            Ok(_) => break,
            Err(stop) => return Ok(Err(stop)),
        }
    }
    Ok(Ok(()))
}

async fn attempt(session: &mut Session, task: &Task<'_>, ground: &Ground, done: &BatchesDone) -> Swapped {
    let begun = begin_upon(session, task.work.release.history_table, None, &ground.exposed).await?;
    task.watcher.begin().await;
    let began = Instant::now();
    let ran = async {
        begun?;
        let (old, keys) = swap(session, task, ground).await?;
        let next = BatchesDone { swapped: Some(keys.clone()), ..done.clone() };
        let connection = session.trusted().await?;
        task.work.journal.advance(connection, task.work.number(), task.work.digest, &next).await?;
        held::seal(task.watcher).await?;
        session.commit().await?;
        Ok::<_, SqlError>((old, keys))
    };
    match ran.await {
        Ok((old, keys)) => {
            let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let (table, kept) = (ground.source.qualified(), format!("{old}.{}", ground.source.name));
            let migration = &task.work.migration.name;
            tracing::info!(%migration, %table, rows = done.passed, milliseconds, %kept, "swapped");
            Ok(Ok(keys))
        }
        Err(error) => Ok(Err(undone(session, task, error).await)),
    }
}

/// In the transaction: which schema has the old table, and which foreign keys are to be validated.
async fn swap(
    session: &mut Session,
    task: &Task<'_>,
    ground: &Ground,
) -> Result<(String, Vec<ForeignKey>), SqlError> {
    let source = &ground.source;
    is_still_the_table(session, ground).await?;
    lock(session, task, ground).await?;
    is_still_the_table(session, ground).await?;
    as_the_file(session, task.settings).await?;
    catch_up(session, task, ground).await?;
    session.end_file(false, "", task.until()).await?;
    let connection = session.trusted().await?;
    let (state, parts) = fingerprint(&mut *connection, source).await?;
    if state != ground.fingerprint {
        return Err(task.error(format!(
            "another session changed {} while Sluice copied it (a column, an index, a constraint, a \
                trigger, a policy \
                or a privilege), and the copy lacks that: let the migration run again, and change nothing \
                else \
                meanwhile",
            source.qualified()
        )));
    }
    let old = free_schema(connection).await?;
    session.run(&statements(ground, &parts, &old), Some(task.until())).await?;
    let placed = placed(session.trusted().await?, source, &parts).await?;
    if !placed {
        return Err(task.error(format!(
            "the copy of {} did not get all that belongs to the table; remove the directive, so that \
                PostgreSQL \
                rewrites the table under its lock",
            source.qualified()
        )));
    }
    Ok((old, parts.keys.iter().filter_map(CopiedKey::to_validate).collect()))
}

/// The table, and the tables on the other side of its foreign keys, all at once.
async fn lock(session: &mut Session, task: &Task<'_>, ground: &Ground) -> Result<(), SqlError> {
    let (qualified, schema) = (ground.source.qualified(), &ground.source.schema);
    let connection = session.trusted().await?;
    let parts = CopyParts::read(connection, ground.source.id, &qualified, schema).await?;
    let mut tables = vec![qualified];
    for table in parts.keys.into_iter().flat_map(|key| [key.table, key.references]) {
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    let text = format!("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE", tables.join(", ONLY "));
    session.run(&text, Some(task.until())).await
}

/// The statements that swap. Foreign keys of the old table would keep others from changing the tables that
/// they reference. PURE.
fn statements(ground: &Ground, parts: &CopyParts, old: &str) -> String {
    let (source, table, shadow) = (&ground.source, ground.source.qualified(), &ground.shadow);
    let (schema, name) = (&source.schema, &source.name);
    let mut all = vec![format!("CREATE SCHEMA {old}")];
    all.extend(
        parts.keys.iter().map(|key| format!("ALTER TABLE {} DROP CONSTRAINT {}", key.table, key.name)),
    );
    let shared = || parts.sequences.iter().filter(|sequence| !sequence.is_identity);
    all.extend(shared().map(|of| format!("ALTER SEQUENCE {}.{} OWNED BY NONE", of.schema, of.name)));
    all.push(format!("ALTER TABLE {table} SET SCHEMA {old}; ALTER TABLE {shadow} SET SCHEMA {schema}"));
    for of in shared() {
        let (column, own) = (&of.column, &of.name);
        all.push(format!("ALTER SEQUENCE {}.{own} OWNED BY {table}.{column}", of.schema));
        all.push(format!("ALTER TABLE {old}.{name} ALTER COLUMN {column} DROP DEFAULT"));
    }
    for of in parts.sequences.iter().filter(|sequence| sequence.is_identity) {
        all.push(format!(
            "SELECT pg_catalog.setval('{}', last_value, is_called) FROM {old}.{}",
            format!("{schema}.{}", of.name).replace('\'', "''"),
            of.name
        ));
    }
    all.extend(parts.keys.iter().map(CopiedKey::made));
    all.extend(parts.placed.iter().cloned());
    all.extend(parts.views.iter().cloned());
    all.push(format!("DROP SCHEMA {SCHEMA} CASCADE"));
    all.join("; ")
}

/// The table that has the name now has what the other had.
async fn placed(
    connection: &mut PgConnection,
    source: &CopySource,
    before: &CopyParts,
) -> Result<bool, QueryError> {
    let text = "SELECT pg_catalog.to_regclass($1)::oid::int8";
    let called = source.qualified();
    let table: i64 =
        query_scalar(text).bind(&called).fetch_one(&mut *connection).await.context("find the copy")?;
    let mut now = CopyParts::read(connection, table, &called, &source.schema).await?;
    for (key, before) in now.keys.iter_mut().zip(&before.keys) {
        key.is_valid = before.is_valid;
    }
    Ok(now == *before)
}

/// A schema for the old table. One that an earlier copy left is not touched.
async fn free_schema(connection: &mut PgConnection) -> Result<String, QueryError> {
    let text = "SELECT name FROM (SELECT 'sluice_old' AS name, 1 AS number UNION ALL \
        SELECT 'sluice_old_' || n, n FROM pg_catalog.generate_series(2, 1000) n) AS names \
        WHERE pg_catalog.to_regnamespace(name) IS NULL ORDER BY number LIMIT 1";
    query_scalar(text).fetch_one(connection).await.context("find a name for the schema of the old table")
}

/// Validates the foreign keys that were made without reading rows, each in a transaction of its own.
pub(super) async fn validate(session: &mut Session, task: &Task<'_>, keys: Vec<ForeignKey>) -> Ended {
    for (number, key) in keys.iter().enumerate() {
        let mut waits_until = None;
        loop {
            if let Some(stop) = over(task.work, task.at) {
                return Ok(Err(stop));
            }
            let text = format!("ALTER TABLE {} VALIDATE CONSTRAINT {}", key.table, key.name);
            let validated = transaction(session, task, async |session| {
                let connection = session.trusted().await?;
                let before = task.work.journal.steps(&mut *connection).await?;
                let done = before.into_iter().find(|step| step.step == task.work.number());
                session.run(&text, Some(task.until())).await?;
                let rest = BatchesDone {
                    swapped: Some(keys[number + 1..].to_vec()),
                    ..done.and_then(|step| step.batches).unwrap_or_default()
                };
                let connection = session.trusted().await?;
                Ok(task.work.journal.advance(connection, task.work.number(), task.work.digest, &rest).await?)
            });
            match validated.await? {
                Ok(()) => break,
                Err(error) if error.kind == SqlErrorKind::Lock => {
                    wait(session, task, &mut waits_until).await?;
                }
                Err(error) => return Ok(Err(Stop::Sql(error))),
            }
        }
    }
    Ok(Ok(()))
}
