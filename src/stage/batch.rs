//! One batch of a backfill: the statement for the rows of one range of keys, and how far the backfill has
//! come by then, in one transaction. What a crash takes away it takes away of both.

use std::sync::atomic::Ordering;

use super::{
    attempt::failure,
    custody::begin_upon,
    error::MigrateError,
    held, overrun,
    step::{Stop, Work, as_the_file},
};
use crate::{
    api::Reason,
    contract::Outcome,
    migrations::Backfill,
    postgres::{BatchesDone, Session, Settings, SqlError, SqlErrorKind, TableKey, Watcher},
    redact,
};

/// A backfill whose table and key are known.
pub(super) struct Along<'a> {
    /// Which statement of the file.
    pub(super) at: usize,
    pub(super) backfill: &'a Backfill,
    pub(super) key: TableKey,
    /// The last key that there was when the attempt began. Rows behind it are those of the application, as
    /// they are for one statement that sees what was there when it began.
    pub(super) bound: Vec<String>,
    /// The tables of the history on which others may create triggers: between two batches Sluice makes none.
    pub(super) exposed: Vec<String>,
}

/// Rows and cursor are lost together, or not at all, so no batch waits for the disk: after a crash of the
/// server Sluice goes on behind the last one that is there. The end of the step is written as ever, and with
/// it all that was committed before.
pub(super) const COMMIT_LATER: &str = "SET LOCAL synchronous_commit = off";

/// What a batch did.
struct Changed {
    rows: u64,
    /// The key of a row that still matches.
    stuck: Option<Vec<String>>,
}

/// Runs the next batch of so many rows, and commits it: how far the backfill is then.
pub(super) async fn run(
    session: &mut Session,
    watcher: &Watcher,
    work: &Work<'_>,
    settings: &Settings,
    along: &Along<'_>,
    (done, rows): (Option<&BatchesDone>, u32),
) -> Result<Result<BatchesDone, Stop>, MigrateError> {
    let isolation = work.script.statements[along.at].isolation;
    let begun = begin_upon(session, work.release.history_table, isolation, &along.exposed).await?;
    watcher.begin().await;
    let ran = match begun {
        Ok(()) => statement(session, work, settings, along, (done, rows)).await,
        Err(error) => Err(error),
    };
    let (next, stuck) = match ran {
        Ok(ran) => ran,
        Err(error) => return Ok(Err(undone(session, watcher, along, done, error).await)),
    };
    if let Some(key) = stuck {
        session.rollback().await;
        return Ok(Err(Stop::Refused(Box::new(no_progress(work, along, &key)))));
    }
    let written = async {
        let connection = session.trusted().await?;
        work.journal.advance(connection, work.number(), work.digest, &next).await?;
        held::seal(watcher).await?;
        session.commit().await
    };
    match written.await {
        Ok(()) => Ok(Ok(next)),
        Err(error) => Ok(Err(undone(session, watcher, along, done, error).await)),
    }
}

/// The statement for the rows of one range: how far the backfill is with it, and the key of a row that it
/// left as it was.
async fn statement(
    session: &mut Session,
    work: &Work<'_>,
    settings: &Settings,
    along: &Along<'_>,
    (done, rows): (Option<&BatchesDone>, u32),
) -> Result<(BatchesDone, Option<Vec<String>>), SqlError> {
    let after = done.map(|done| done.key.as_slice());
    let end = along.key.end_of_batch(session.trusted().await?, after, &along.bound, rows).await?;
    let is_last = end.is_none();
    let end = end.unwrap_or_else(|| along.bound.clone());
    as_the_file(session, settings).await?;
    let values: Vec<String> = end.iter().chain(after.unwrap_or_default()).cloned().collect();
    let sql = work.script.statements[along.at].sql();
    let changed = change(session, work, along, sql, &values, after.is_some()).await?;
    session.end_file(work.release.defers, COMMIT_LATER, work.until()).await?;
    let before = done.cloned().unwrap_or_default();
    let passed = if is_last { changed.rows } else { u64::from(rows) };
    let next = BatchesDone {
        key: end,
        count: before.count + 1,
        passed: before.passed + passed,
        changed: before.changed + changed.rows,
        swapped: None,
    };
    Ok((next, changed.stuck))
}

async fn change(
    session: &mut Session,
    work: &Work<'_>,
    along: &Along<'_>,
    sql: &str,
    values: &[String],
    after: bool,
) -> Result<Changed, SqlError> {
    let ranged = &along.backfill.ranged;
    let text = ranged.within(sql, &along.key.range(&ranged.called, after));
    match ranged.condition(sql).filter(|_| ranged.fills) {
        None => {
            let rows = session.change(&text, values, work.until()).await?;
            Ok(Changed { rows, stuck: None })
        }
        Some(condition) => {
            let text = telling(&text, condition, &along.key.values(&ranged.called));
            let (rows, stuck) = session.change_and_tell(&text, values, work.until()).await?;
            Ok(Changed { rows: u64::try_from(rows).unwrap_or_default(), stuck })
        }
    }
}

/// The statement, telling how many rows it changed and the key of one that still matches its condition. PURE.
fn telling(text: &str, condition: &str, key: &str) -> String {
    format!(
        "WITH changed AS ({text} RETURNING CASE WHEN ({condition}) THEN {key} END AS still) \
         SELECT pg_catalog.count(*), pg_catalog.max(still) FROM changed"
    )
}

/// Takes back what was begun.
async fn undone(
    session: &mut Session,
    watcher: &Watcher,
    along: &Along<'_>,
    done: Option<&BatchesDone>,
    error: SqlError,
) -> Stop {
    let error = held::cause(session, watcher, error).await;
    let kind = match error.kind {
        // What the next attempt has to do is less than what this one had.
        SqlErrorKind::Overrun if done.is_some() => SqlErrorKind::Deadline,
        kind => kind,
    };
    let kind = if session.rollback().await { kind } else { SqlErrorKind::Escaped };
    // A place in the text of a batch is none of the file.
    Stop::Sql(SqlError { kind, completed: along.at, offset: None, ..error })
}

fn no_progress(work: &Work<'_>, along: &Along<'_>, key: &[String]) -> Outcome {
    let columns = &along.backfill.batches.key;
    let named: Vec<String> = columns
        .iter()
        .zip(key)
        .map(|(column, value)| format!("{column} = {}", redact::value(value)))
        .collect();
    let message = format!(
        "the row of {} with {} still matches the condition of the statement when it was changed, because \
            what it is set to is NULL: give it a value (COALESCE), or leave such rows out by a further \
            condition",
        along.key.table,
        named.join(", ")
    );
    refused(work, along.at, Reason::NoProgress, message)
}

/// An Outcome of this reason, which names file, line and statement.
pub(super) fn refused(work: &Work<'_>, at: usize, reason: Reason, message: String) -> Outcome {
    let error = SqlError { completed: at, ..SqlError::other(SqlErrorKind::Statement, message) };
    Outcome { reason, ..failure(&error, work.migration, work.script, "what was committed before it stays") }
}

/// No batch begins after the end of the run, nor once its process is told to end.
pub(super) fn over(work: &Work<'_>, at: usize) -> Option<Stop> {
    if work.release.context.stopping.load(Ordering::Relaxed) {
        let message = "the process was told to end between two batches; the next attempt goes on behind the \
            last of them";
        return Some(Stop::Refused(Box::new(refused(work, at, Reason::RunLost, message.to_owned()))));
    }
    let passed = overrun::passed(work.release.context)?;
    let message = format!("{passed} between two batches; the next attempt goes on behind the last of them");
    Some(Stop::Refused(Box::new(refused(work, at, Reason::DeadlineExceeded, message))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_tells_of_a_row_that_still_matches() {
        let told =
            telling("UPDATE t SET a = b WHERE (a IS NULL) AND t.id <= $1", "a IS NULL", "ARRAY[t.id::text]");
        assert!(
            told.contains("t.id <= $1 RETURNING CASE WHEN (a IS NULL) THEN ARRAY[t.id::text] END AS still)"),
            "{told}"
        );
    }
}
