//! A migration that cannot be one transaction. Its ledger row is begun first, unfinished, as Prisma's own is: another tool that
//! comes by sees a migration under way. Each step is journaled before it begins and when it is done; a retry goes on there.

use super::{
    migrate::MigrateError,
    outcome::{Outcome, Stage},
    release::{Attempt, Release, failure},
};
use crate::{
    api::Reason,
    migrations::{Migration, RowState, Script, StatementKind, Step, checksum},
    postgres::{Build, Journal, Session, SqlError, Trouble, Watcher, build_index},
};

/// Runs the steps that are not done yet.
pub(super) async fn run(
    session: &mut Session,
    watcher: &Watcher,
    release: &Release<'_>,
    script: &Script,
    at: usize,
    steps: &[Step],
) -> Result<Attempt, MigrateError> {
    let migration = release.migration(at);
    let journal = begin(session, release, migration).await?;
    let known = journal.steps(&mut session.connection).await.map_err(MigrateError::Query)?;
    for (number, step) in steps.iter().enumerate() {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        let digest = checksum(&text(script, step));
        let earlier = known.iter().find(|known| known.step == number);
        if let Some(done) = earlier.filter(|earlier| earlier.done) {
            if done.digest == digest {
                continue;
            }
            return Ok(Attempt::Failed(Box::new(changed(migration, number))));
        }
        let begun = earlier.is_some_and(|earlier| earlier.digest == digest);
        let last = usize::try_from(number).is_ok_and(|number| number + 1 == steps.len());
        let work = Work { release, journal: &journal, migration, script, number, digest: &digest, begun, last };
        let ended = match step {
            Step::Together(range) => together(session, &work, range.clone()).await?,
            Step::Alone(statement) => alone(session, watcher, &work, *statement).await?,
        };
        if let Err(error) = ended {
            return clean_up(session, &work, &error).await;
        }
        tracing::info!(migration = %migration.name, step = number + 1, of = steps.len(), "step done");
    }
    release.ledger.finish(&mut session.connection, &journal.row, &migration.checksum).await.map_err(MigrateError::Query)?;
    journal.clear(&mut session.connection).await.map_err(MigrateError::Query)?;
    Ok(Attempt::Committed)
}

struct Work<'a> {
    release: &'a Release<'a>,
    journal: &'a Journal,
    migration: &'a Migration,
    script: &'a Script,
    number: i32,
    digest: &'a str,
    begun: bool,
    last: bool,
}

/// The row to go on with, or a new one.
async fn begin(session: &mut Session, release: &Release<'_>, migration: &Migration) -> Result<Journal, MigrateError> {
    let connection = &mut session.connection;
    let resumable = release.rows.iter().find(|row| row.name == migration.name && row.state() == RowState::Resumable);
    if let Some(row) = resumable {
        return Ok(Journal { row: row.id.clone() });
    }
    Journal::create(connection).await.map_err(MigrateError::Query)?;
    release.ledger.create(connection).await.map_err(MigrateError::Query)?;
    // One transaction: a row without its journal would look like another tool's failure.
    sqlx::raw_sql("BEGIN").execute(&mut *connection).await.map_err(|cause| broken(&cause))?;
    let row = release.ledger.insert_started(connection, migration, jiff::Timestamp::now()).await.map_err(MigrateError::Query)?;
    let journal = Journal { row };
    journal.begin(connection, -1, &migration.checksum).await.map_err(MigrateError::Query)?;
    sqlx::raw_sql("COMMIT").execute(connection).await.map_err(|cause| broken(&cause))?;
    Ok(journal)
}

fn broken(cause: &sqlx::Error) -> MigrateError {
    MigrateError::Stopped { reason: Reason::ConnectionFailed, message: format!("cannot record the start of the migration: {cause}") }
}

/// Statements of one step in one transaction, with the journal's entry.
async fn together(session: &mut Session, work: &Work<'_>, range: std::ops::Range<usize>) -> Result<Result<(), SqlError>, MigrateError> {
    let first = range.start;
    let sql = work.script.statements[range].iter().map(|statement| statement.sql.trim_end_matches(';')).collect::<Vec<_>>().join(";\n");
    if let Err(error) = session.begin().await {
        return Ok(Err(error));
    }
    let ran = match session.run(&sql, Some(work.release.context.until)).await {
        Ok(()) => session.run("SET CONSTRAINTS ALL IMMEDIATE", Some(work.release.context.until)).await,
        // The offset is one of the joined text, not of the file: the number of the statement says it better.
        Err(error) => Err(SqlError { completed: first + error.completed, offset: None, ..error }),
    };
    if let Err(error) = ran {
        session.rollback().await;
        return Ok(Err(error));
    }
    if let Err(error) = session.reset().await {
        session.rollback().await;
        return Ok(Err(error));
    }
    let connection = &mut session.connection;
    work.journal.begin(connection, work.number, work.digest).await.map_err(MigrateError::Query)?;
    work.journal.finish(connection, work.number).await.map_err(MigrateError::Query)?;
    if work.last {
        work.release.ledger.finish(connection, &work.journal.row, &work.migration.checksum).await.map_err(MigrateError::Query)?;
    }
    Ok(session.commit().await)
}

/// One statement outside a transaction: written down, run, written off.
async fn alone(session: &mut Session, watcher: &Watcher, work: &Work<'_>, at: usize) -> Result<Result<(), SqlError>, MigrateError> {
    let statement = &work.script.statements[at];
    let until = work.release.context.until;
    work.journal.begin(&mut session.connection, work.number, work.digest).await.map_err(MigrateError::Query)?;
    let ran = match &statement.kind {
        StatementKind::BuildIndex { index, table } => {
            let build = Build { sql: &statement.sql, index: index.as_deref(), table, begun: work.begun, until };
            build_index(session, build).await
        }
        _ => session.run(&statement.sql, Some(until)).await,
    };
    if ran.as_ref().is_err_and(|error| error.trouble == Trouble::Deadline) {
        watcher.cancel(session.pid).await;
    }
    if let Err(error) = ran {
        return Ok(Err(SqlError { completed: at, offset: None, ..error }));
    }
    if let Err(error) = session.reset_alone().await {
        return Ok(Err(error));
    }
    work.journal.finish(&mut session.connection, work.number).await.map_err(MigrateError::Query)?;
    Ok(Ok(()))
}

/// Leaves the ledger so that it says what is true: nothing of it happened, or some steps did and the rest can follow.
async fn clean_up(session: &mut Session, work: &Work<'_>, error: &SqlError) -> Result<Attempt, MigrateError> {
    if matches!(error.trouble, Trouble::Connection | Trouble::Deadline) {
        return Ok(Attempt::Failed(Box::new(failure(
            error,
            work.migration,
            work.script,
            "its finished steps stay, and the next attempt goes on",
        ))));
    }
    let connection = &mut session.connection;
    let nothing_done = work.journal.steps(connection).await.map_err(MigrateError::Query)?.iter().all(|step| !step.done);
    if error.trouble == Trouble::Lock {
        return Ok(Attempt::Locked);
    }
    let left = if nothing_done {
        work.release.ledger.remove(connection, &work.journal.row).await.map_err(MigrateError::Query)?;
        work.journal.clear(connection).await.map_err(MigrateError::Query)?;
        "nothing of it is left"
    } else {
        work.release.ledger.note_failure(connection, &work.journal.row, &error.message).await.map_err(MigrateError::Query)?;
        "the steps before it are done and stay; correct the rest of the file, and the next attempt goes on here"
    };
    Ok(Attempt::Failed(Box::new(failure(error, work.migration, work.script, left))))
}

fn changed(migration: &Migration, number: i32) -> Outcome {
    let message = format!(
        "{:?} was edited before its step {}, which is already done: restore the statements that ran, and change only what follows",
        migration.name,
        number + 1
    );
    Outcome::failed(Stage::Migrate, Reason::HistoryDirty, message)
}

fn text(script: &Script, step: &Step) -> String {
    match step {
        Step::Together(range) => {
            script.statements[range.clone()].iter().map(|statement| statement.sql.as_str()).collect::<Vec<_>>().join(";\n")
        }
        Step::Alone(at) => script.statements[*at].sql.clone(),
    }
}
