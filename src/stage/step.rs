//! One step of a migration that cannot be one transaction: statements together, or one statement alone.

use std::{ops::Range, time::Instant};

use super::{
    attempt::{Release, Verification, rows_before, verification},
    concurrently,
    custody::{begin, in_transaction},
    error::{MigrateError, lock_message, unfenced},
    held, statements,
};
use crate::{
    contract::Outcome,
    inspect::{Aspect, RowsBefore},
    migrations::{Migration, Script, Statement, StatementKind},
    postgres::{
        BatchesDone, Build, Journal, Session, Settings, SqlError, SqlErrorKind, Watcher, build_index,
        drop_reindex_left_overs, index_is_there,
    },
    sql::Verb,
};

/// What ended a migration before its last step.
pub(super) enum Stop {
    /// A statement did not run through.
    Sql(SqlError),
    /// Nor did one that may have committed a part of its work before.
    Halfway(SqlError),
    /// Verification before the step's COMMIT, or what a backfill found before or in a batch.
    Refused(Box<Outcome>),
}

/// A step, and what it belongs to.
pub(super) struct Work<'a> {
    pub(super) release: &'a Release<'a>,
    pub(super) journal: &'a Journal,
    /// Which of the release.
    pub(super) at: usize,
    pub(super) migration: &'a Migration,
    pub(super) script: &'a Script,
    /// Counted from 0.
    pub(super) number: usize,
    pub(super) digest: &'a str,
    /// An earlier attempt began it and did not say how it ended.
    pub(super) begun: bool,
    /// How far an earlier attempt at the same statement came with its batches.
    pub(super) batches: Option<BatchesDone>,
    /// What is verified before its COMMIT.
    pub(super) aspects: &'static [Aspect],
}

pub(super) type Ended = Result<Result<(), Stop>, MigrateError>;

impl Work<'_> {
    pub(super) fn until(&self) -> Instant {
        self.release.context.until
    }

    pub(super) fn number(&self) -> i32 {
        i32::try_from(self.number).unwrap_or(i32::MAX)
    }
}

/// Statements of one step in one transaction, with the journal's entry.
pub(super) async fn together(
    session: &mut Session,
    watcher: &Watcher,
    work: &Work<'_>,
    settings: &mut Settings,
    range: Range<usize>,
) -> Ended {
    let begun =
        begin(session, work.release.history_table, work.script.statements[range.start].isolation).await?;
    let begun = begun.map_err(|error| SqlError { completed: range.start, offset: None, ..error });
    let ran = match begun {
        Ok(()) => statements(session, watcher, work, settings, range).await,
        Err(error) => Err(error),
    };
    let before = match ran {
        Ok(before) => before,
        Err(error) => {
            let error = held::cause(session, watcher, error).await;
            let kind = if session.rollback().await { error.kind } else { SqlErrorKind::Escaped };
            return Ok(Err(Stop::Sql(SqlError { kind, ..error })));
        }
    };
    let connection = session.trusted().await.map_err(MigrateError::Query)?;
    work.journal
        .record(connection, work.number(), work.digest, settings.carried())
        .await
        .map_err(MigrateError::Query)?;
    if let Err(stop) = judge(session, watcher, work, before).await? {
        session.rollback().await;
        return Ok(Err(stop));
    }
    if let Err(error) = held::seal(watcher).await {
        session.rollback().await;
        return Ok(Err(Stop::Sql(error)));
    }
    Ok(session.commit().await.map_err(Stop::Sql))
}

/// Answers what was counted before the first of them.
async fn statements(
    session: &mut Session,
    watcher: &Watcher,
    work: &Work<'_>,
    settings: &mut Settings,
    range: Range<usize>,
) -> Result<Option<RowsBefore>, SqlError> {
    let statements = &work.script.statements;
    let at_the_start = |error: SqlError| SqlError { completed: range.start, offset: None, ..error };
    let before = rows_before(session, work.release).await.map_err(at_the_start)?;
    watcher.begin().await;
    session.hand_over().await?;
    session.restore(settings, true).await.map_err(at_the_start)?;
    let file = (work.migration, work.script);
    statements::run(session, watcher, work.release, file, range.clone()).await?;
    let carried = settings.carried().clone();
    session.note(settings).await.map_err(at_the_start)?;
    settings.end_local(carried, &work.script.local_settings(range.clone()));
    let ended = session.end_file(work.release.defers, "", work.until()).await;
    ended.map_err(|error| SqlError { completed: statements.len(), ..error })?;
    Ok(before)
}

/// What comes next in the transaction is the file's, under what the steps before have set. For statements that
/// set nothing themselves.
pub(super) async fn as_the_file(session: &mut Session, settings: &Settings) -> Result<(), SqlError> {
    session.hand_over().await?;
    session.set_again(settings).await
}

/// One statement outside a transaction: written down, run, written off.
pub(super) async fn alone(
    session: &mut Session,
    watcher: &Watcher,
    work: &Work<'_>,
    settings: &mut Settings,
    at: usize,
) -> Ended {
    let statement = &work.script.statements[at];
    let concurrently = matches!(
        statement.kind,
        StatementKind::BuildIndex(_) | StatementKind::Autocommit { concurrently: true }
    );
    // Sluice's own lock stays. A session that waits for the other tools' lock holds a snapshot that
    // CONCURRENTLY waits for: both would wait for each other. While it is given up, the unfinished row keeps
    // those tools away.
    let others = &work.release.history_table.contract.locks[1..];
    in_transaction(session, work.release.history_table, async |session| {
        work.journal.begin(session.trusted().await?, work.number(), work.digest).await
    })
    .await?;
    if concurrently {
        session.unlock(others).await.map_err(MigrateError::Query)?;
    }
    work.release.context.progress.statement(Some((at, work.script.statements.len())));
    watcher.begin().await;
    let ran = statement_alone(session, watcher, work, settings, at, concurrently).await;
    let ran = if let Err(error) = ran {
        Err(held::cause(session, watcher, error).await)
    } else {
        // It has committed: for how long it held its locks changes nothing any more.
        watcher.held_too_long().await;
        Ok(())
    };
    let reset = session.reset().await;
    if let Err(error) = ran {
        let stop = stopped_alone(statement, error, at);
        if matches!(&stop, Stop::Sql(error) if error.kind == SqlErrorKind::Lock) && concurrently {
            take_back(session, work, others).await?;
        }
        return Ok(Err(stop));
    }
    if let Err(error) = reset {
        return Ok(Err(Stop::Sql(error)));
    }
    // Not in a transaction of Sluice's own, which renews the locks: whether the statement gave them up is
    // read next.
    work.journal
        .record(
            session.trusted().await.map_err(MigrateError::Query)?,
            work.number(),
            work.digest,
            settings.carried(),
        )
        .await
        .map_err(MigrateError::Query)?;
    if let Err(error) = session.check_locks().await {
        return Ok(Err(Stop::Sql(error)));
    }
    if !session.fenced {
        return Err(unfenced(&work.migration.name));
    }
    if concurrently {
        take_back(session, work, others).await?;
    }
    Ok(Ok(()))
}

/// What ended a statement that ran alone. What PostgreSQL says of a place in the text it says before anything
/// runs.
fn stopped_alone(statement: &Statement, error: SqlError, at: usize) -> Stop {
    let halfway = statement.kind == StatementKind::Opaque && error.offset.is_none() && statement.may_commit;
    let error =
        SqlError { completed: at, offset: error.offset.map(|offset| statement.start + offset), ..error };
    if halfway { Stop::Halfway(error) } else { Stop::Sql(error) }
}

async fn statement_alone(
    session: &mut Session,
    watcher: &Watcher,
    work: &Work<'_>,
    settings: &mut Settings,
    at: usize,
    unlimited: bool,
) -> Result<(), SqlError> {
    let statement = &work.script.statements[at];
    settle(session, settings, unlimited).await?;
    let (release, migration) = (work.release, work.migration);
    let StatementKind::BuildIndex(index) = &statement.kind else {
        concurrently::wait_for_older(session, watcher, release, migration, statement).await?;
        other(session, work, statement).await?;
        return session.note(settings).await;
    };
    let build = Build { sql: statement.sql(), asked: index, begun: work.begun, until: work.until() };
    let there = index_is_there(session, build).await?;
    if !there {
        concurrently::wait_for_older(session, watcher, release, migration, statement).await?;
    }
    if !work.begun && there {
        // Another session's: should this process die now, the next attempt must not take it for its own.
        session.reset().await?;
        let forgotten = in_transaction(session, work.release.history_table, async |session| {
            work.journal.forget(session.trusted().await?, work.number()).await
        });
        forgotten.await.map_err(|error| SqlError::other(SqlErrorKind::Statement, error.to_string()))?;
        settle(session, settings, unlimited).await?;
    }
    build_index(session, build).await
}

/// The limits, and what the steps before have set. What was to hold until the file ends (SET LOCAL) is set
/// for the session: outside a transaction it would have no effect, and it is put back when the statement has
/// run.
async fn settle(session: &mut Session, settings: &mut Settings, concurrently: bool) -> Result<(), SqlError> {
    session.limit_alone(concurrently).await?;
    session.hand_over().await?;
    session.restore(settings, false).await
}

/// Anything but an index build.
async fn other(session: &mut Session, work: &Work<'_>, statement: &Statement) -> Result<(), SqlError> {
    if work.begun && statement.verb == Verb::Reindex {
        drop_reindex_left_overs(session, &work.release.context.manifest.schemas, work.until()).await?;
    }
    match session.run(statement.sql(), Some(work.until())).await {
        Err(error) if work.begun && done_before(statement.verb, &error) => {
            tracing::info!(migration = %work.migration.name, message = %error.message, "an attempt that was \
                interrupted had done this");
            Ok(())
        }
        // DETACH PARTITION CONCURRENTLY was interrupted between its two transactions.
        Err(error) if work.begun && error.sqlstate == "55000" && detaches(statement) => {
            let at =
                statement.sql().to_ascii_uppercase().rfind("CONCURRENTLY").unwrap_or(statement.sql().len());
            session.run(&format!("{}FINALIZE", &statement.sql()[..at]), Some(work.until())).await
        }
        ended => ended,
    }
}

/// DETACH PARTITION alone of what ALTER does can be CONCURRENTLY.
fn detaches(statement: &Statement) -> bool {
    statement.verb == Verb::Alter && statement.kind == StatementKind::Autocommit { concurrently: true }
}

/// What PostgreSQL says of a statement that was done already: what it creates exists, what it drops does not.
fn done_before(verb: Verb, error: &SqlError) -> bool {
    let codes: &[&str] = match verb {
        Verb::Create => &["42P04", "42P07", "42710"],
        Verb::Drop => &["42704", "3D000"],
        // It is no partition of the table any more.
        Verb::Alter => &["42P01"],
        _ => &[],
    };
    codes.contains(&error.sqlstate.as_str())
}

async fn take_back(session: &mut Session, work: &Work<'_>, keys: &[i64]) -> Result<(), MigrateError> {
    let until = (Instant::now() + work.release.patience).min(work.until());
    let taken =
        session.lock(&work.release.context.application(), keys, until).await.map_err(MigrateError::Query)?;
    taken.map_err(lock_message)
}

/// Verifies before a step's COMMIT.
async fn judge(
    session: &mut Session,
    watcher: &Watcher,
    work: &Work<'_>,
    before: Option<RowsBefore>,
) -> Result<Result<(), Stop>, MigrateError> {
    let left = format!(
        "the last transaction of {:?} was rolled back; the steps before it stay",
        work.migration.name
    );
    Ok(match verification(session, watcher, work.release, work.aspects, before, &left).await? {
        Verification::Passed => Ok(()),
        Verification::Locked(error) | Verification::Held(error) => Err(Stop::Sql(error)),
        Verification::Failed(outcome) => Err(Stop::Refused(outcome)),
    })
}
