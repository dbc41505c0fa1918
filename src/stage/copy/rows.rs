//! Rows on their way from the table to its copy, in transactions that see one moment: first those that others
//! wrote become what they are in the table, then those behind the last key are added.
//!
//! A key that others wrote is noted in the transaction that wrote it. So what this moment sees of the table
//! it sees of the notes, and the rows of the copy are those of one moment, which keep every constraint that
//! the table keeps.

use std::time::{Duration, Instant};

use super::{
    NOTED, Task,
    ground::{Ground, OTHER_TABLE},
};
use crate::{
    postgres::{BatchesDone, QueryContext, Session, SqlError, SqlErrorKind, query_scalar},
    sql::Isolation,
    stage::{
        batch::COMMIT_LATER,
        custody::begin_upon,
        error::MigrateError,
        held,
        step::{Ended, Stop, as_the_file},
    },
};

/// Runs the next batch of so many rows, and commits it: how far the copy is then, and how long these rows
/// took. What others wrote takes as long as it takes, however few rows are added.
pub(super) async fn batch(
    session: &mut Session,
    task: &Task<'_>,
    ground: &Ground,
    done: &BatchesDone,
    rows: u32,
) -> Result<Result<(BatchesDone, Duration), Stop>, MigrateError> {
    let mut took = Duration::ZERO;
    let ran = of_one_moment(session, task, ground, async |session| {
        let Some(bound) = &ground.bound else { return Ok(done.clone()) };
        let after = Some(done.key.as_slice()).filter(|key| !key.is_empty());
        let end = ground.key.end_of_batch(session.trusted().await?, after, bound, rows).await?;
        let end = end.unwrap_or_else(|| bound.clone());
        as_the_file(session, task.settings).await?;
        let noted = catch_up(session, task, ground).await?;
        let values: Vec<String> = end.iter().chain(after.unwrap_or_default()).cloned().collect();
        let (shadow, columns, from) = (&ground.shadow, ground.columns.join(", "), ground.source.qualified());
        let text = format!(
            "INSERT INTO {shadow} ({columns}) OVERRIDING SYSTEM VALUE SELECT {} FROM {from} WHERE {} \
             ON CONFLICT ({}) DO NOTHING",
            ground.values.join(", "),
            ground.key.range(&ground.source.name, after.is_some()),
            ground.shadow_key.names().join(", ")
        );
        let began = Instant::now();
        let copied = session.change(&text, &values, task.until()).await?;
        took = began.elapsed();
        session.end_file(false, COMMIT_LATER, task.until()).await?;
        Ok(BatchesDone {
            key: end,
            count: done.count + 1,
            passed: done.passed + copied,
            changed: done.changed + copied + noted,
            swapped: None,
        })
    });
    Ok(ran.await?.map(|next| (next, took)))
}

/// What others wrote, alone: how many keys were noted.
pub(super) async fn noted(
    session: &mut Session,
    task: &Task<'_>,
    ground: &Ground,
    done: &BatchesDone,
) -> Result<Result<u64, Stop>, MigrateError> {
    let caught_up = of_one_moment(session, task, ground, async |session| {
        as_the_file(session, task.settings).await?;
        let noted = catch_up(session, task, ground).await?;
        session.end_file(false, COMMIT_LATER, task.until()).await?;
        Ok(BatchesDone { changed: done.changed + noted, ..done.clone() })
    });
    Ok(caught_up.await?.map(|next| next.changed - done.changed))
}

/// Table and copy have the same rows, in one moment and after what others wrote: as many, with the same
/// values.
pub(super) async fn compare(
    session: &mut Session,
    task: &Task<'_>,
    ground: &Ground,
    done: &BatchesDone,
) -> Ended {
    let compared = of_one_moment(session, task, ground, async |session| {
        as_the_file(session, task.settings).await?;
        catch_up(session, task, ground).await?;
        let table = hash(session, task, &ground.converted, &ground.source.qualified()).await?;
        let copy = hash(session, task, &ground.columns, &ground.shadow).await?;
        if table != copy {
            return Err(task.error(format!(
                "the rows of {} and of its copy differ ({} and {} of them): the new type makes the same of \
                    several \
                    keys, or the USING expression is not the same each time; make the values fit first",
                ground.source.qualified(),
                table.0,
                copy.0
            )));
        }
        session.end_file(false, "", task.until()).await?;
        Ok(done.clone())
    });
    Ok(compared.await?.map(|_| ()))
}

/// How many rows there are, and a sum of what is in each.
async fn hash(
    session: &mut Session,
    task: &Task<'_>,
    values: &[String],
    from: &str,
) -> Result<(i64, Option<Vec<String>>), SqlError> {
    let text = format!(
        "SELECT pg_catalog.count(*), ARRAY[COALESCE(pg_catalog.sum(pg_catalog.hashtextextended(\
         ROW({})::pg_catalog.text, 0)), 0)::pg_catalog.text] FROM {from}",
        values.join(", ")
    );
    session.change_and_tell(&text, &[], task.until()).await
}

/// Makes the rows whose keys are noted what they are in the table, and forgets the notes; as the file, in a
/// transaction that sees one moment, or while no other session can write. The rows are found along keys,
/// however many PostgreSQL thinks were noted.
pub(super) async fn catch_up(
    session: &mut Session,
    task: &Task<'_>,
    ground: &Ground,
) -> Result<u64, SqlError> {
    // To compile these statements takes longer than to run them.
    session.run("SET LOCAL jit = off", Some(task.until())).await?;
    for text in before_notes(ground) {
        session.run(&text, Some(task.until())).await?;
    }
    let noted = session.run_and_count(&format!("DELETE FROM {NOTED}"), task.until()).await?;
    let again = "SET LOCAL enable_hashjoin TO DEFAULT; SET LOCAL enable_mergejoin TO DEFAULT";
    session.run(again, Some(task.until())).await?;
    Ok(noted)
}

/// The statements that carry over what was noted. PURE.
fn before_notes(ground: &Ground) -> [String; 4] {
    let (shadow, table, called) = (&ground.shadow, ground.source.qualified(), &ground.source.name);
    let first = &ground.key.names()[0];
    let named: Vec<String> = (1..=ground.key_values.len()).map(|number| format!("sluice_{number}")).collect();
    let values: Vec<String> =
        ground.key_values.iter().zip(&named).map(|(value, name)| format!("{value} AS {name}")).collect();
    let values = values.join(", ");
    let of = |row: &str| named.iter().map(|name| format!("{row}.{name}")).collect::<Vec<_>>();
    let is_noted: Vec<String> = ground.key.names().iter().map(|name| format!("{called}.{name}")).collect();
    [
        // Without a key: all rows were truncated, and those that are there now are noted themselves.
        format!(
            "DELETE FROM {shadow} AS sluice_row WHERE EXISTS (SELECT FROM {NOTED} AS sluice_noted \
             WHERE sluice_noted.{first} IS NULL) AND NOT EXISTS (SELECT FROM (SELECT {values} FROM {table}) \
             AS sluice_there WHERE {})",
            ground.shadow_key.is("sluice_row", &of("sluice_there"))
        ),
        "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off".to_owned(),
        format!(
            "DELETE FROM {shadow} AS sluice_row USING (SELECT DISTINCT {values} FROM {NOTED} AS {called} \
             WHERE {called}.{first} IS NOT NULL) AS sluice_gone WHERE {}",
            ground.shadow_key.is("sluice_row", &of("sluice_gone"))
        ),
        format!(
            "INSERT INTO {shadow} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {table} WHERE EXISTS \
             (SELECT FROM {NOTED} AS sluice_noted WHERE {})",
            ground.columns.join(", "),
            ground.values.join(", "),
            ground.key.is("sluice_noted", &is_noted)
        ),
    ]
}

/// A transaction that sees one moment, with how far the copy is after it.
async fn of_one_moment(
    session: &mut Session,
    task: &Task<'_>,
    ground: &Ground,
    work: impl AsyncFnOnce(&mut Session) -> Result<BatchesDone, SqlError>,
) -> Result<Result<BatchesDone, Stop>, MigrateError> {
    let history = task.work.release.history_table;
    let begun = begin_upon(session, history, Some(Isolation::RepeatableRead), &ground.exposed).await?;
    task.watcher.begin().await;
    let ran = async {
        begun?;
        is_still_the_table(session, ground).await?;
        let next = work(&mut *session).await?;
        let connection = session.trusted().await?;
        task.work.journal.advance(connection, task.work.number(), task.work.digest, &next).await?;
        held::seal(task.watcher).await?;
        session.commit().await?;
        Ok::<_, SqlError>(next)
    };
    match ran.await {
        Ok(next) => Ok(Ok(next)),
        Err(error) => Ok(Err(undone(session, task, error).await)),
    }
}

/// The name is still that of the table.
pub(super) async fn is_still_the_table(session: &mut Session, ground: &Ground) -> Result<(), SqlError> {
    let text = "SELECT pg_catalog.to_regclass($1)::oid::int8";
    let found: Option<i64> = query_scalar(text)
        .bind(ground.source.qualified())
        .fetch_one(session.trusted().await?)
        .await
        .context("find the table that is copied")?;
    if found == Some(ground.source.id) {
        return Ok(());
    }
    Err(SqlError::other(SqlErrorKind::Statement, OTHER_TABLE.to_owned()))
}

/// Takes back what was begun.
pub(super) async fn undone(session: &mut Session, task: &Task<'_>, error: SqlError) -> Stop {
    let error = held::cause(session, task.watcher, error).await;
    let kind = match error.kind {
        // What the next attempt has to do is less than what this one had.
        SqlErrorKind::Overrun => SqlErrorKind::Deadline,
        kind => kind,
    };
    let kind = if session.rollback().await { kind } else { SqlErrorKind::Escaped };
    Stop::Sql(task.blamed(SqlError { kind, ..error }))
}
