//! An ALTER TABLE that rewrites its table, done by copy and swap: a copy beside the table gets the change
//! while it is empty, its rows in batches, and in the end the table's place.
//!
//! A trigger notes the keys of rows that others write meanwhile, and each batch first makes those rows of the
//! copy what they are in the table, of one snapshot with the rows that it adds. So the copy is at the end of
//! each batch what the table was at its beginning, as far as it has come. docs/adr/0101 says why nothing is
//! lost.
//!
//! All that Sluice makes stands in a schema of its own, until the swap. To undo a copy is to drop that
//! schema.

mod compare;
mod ground;
mod mark;
mod rows;
mod shadow;
mod swap;
mod undo;

use std::time::Instant;

pub(super) use undo::sweep;

use super::{
    backfill::analyze,
    batch::over,
    blocked,
    custody::in_transaction,
    error::{MigrateError, unfenced},
    pace::Pace,
    replicas::Throttle,
    step::{Ended, Stop, Work},
};
use crate::{
    api::Reason,
    contract::Rows,
    migrations::{StatementKind, TableCopy},
    postgres::{BatchesDone, ForeignKey, Session, Settings, SqlError, SqlErrorKind, Watcher},
};
use ground::Ground;

/// What a copy stands in until the swap.
const SCHEMA: &str = "sluice_copy";
/// The keys of rows that others have written, in that schema.
const NOTED: &str = "sluice_copy.sluice_noted";

/// After so many keys were noted, their table is vacuumed.
const MANY: u64 = 50_000;

/// A statement that is done by copy.
struct Task<'a> {
    work: &'a Work<'a>,
    settings: &'a Settings,
    watcher: &'a Watcher,
    /// Which statement of the file.
    at: usize,
    copy: &'a TableCopy,
}

impl<'a> Task<'a> {
    fn sql(&self) -> &'a str {
        self.work.script.statements[self.at].sql()
    }

    fn until(&self) -> Instant {
        self.work.until()
    }

    /// It cannot be done, for a reason that the team can change.
    fn refused(&self, problem: String) -> Stop {
        Stop::Sql(self.error(problem))
    }

    fn error(&self, problem: String) -> SqlError {
        SqlError { completed: self.at, ..SqlError::other(SqlErrorKind::Statement, problem) }
    }

    /// A query of Sluice's own that PostgreSQL did not answer is an error of the statement.
    fn blamed(&self, error: impl Into<SqlError>) -> SqlError {
        // A place in a text of Sluice's is none of the file.
        SqlError { completed: self.at, offset: None, ..error.into() }
    }
}

/// Runs what is not done yet.
pub(super) async fn run(
    session: &mut Session,
    watcher: &Watcher,
    work: &Work<'_>,
    settings: &Settings,
    at: usize,
) -> Ended {
    let StatementKind::Copy(copy) = &work.script.statements[at].kind else {
        return Err(MigrateError::stopped(Reason::InternalError, &"a step by copy has no copy"));
    };
    work.release.context.progress.statement(Some((at, work.script.statements.len())));
    let task = Task { work, settings, watcher, at, copy };
    let keys = match work.batches.clone().and_then(|done| done.swapped) {
        Some(keys) => keys,
        None => match swapped(session, &task).await? {
            Ok(keys) => keys,
            Err(stop) => return Ok(Err(stop)),
        },
    };
    if let Err(stop) = swap::validate(session, &task, keys).await? {
        return Ok(Err(stop));
    }
    in_transaction(session, work.release.history_table, async |session| {
        work.journal.record(session.trusted().await?, work.number(), work.digest, settings.carried()).await
    })
    .await?;
    Ok(Ok(()))
}

type Swapped = Result<Result<Vec<ForeignKey>, Stop>, MigrateError>;

/// Everything up to the swap: the foreign keys that are to be validated. What fails is undone, so that
/// nothing of it is left; what may go on later stays.
async fn swapped(session: &mut Session, task: &Task<'_>) -> Swapped {
    let stop = match up_to_swap(session, task).await? {
        Ok(keys) => return Ok(Ok(keys)),
        Err(stop) => stop,
    };
    if undo::is_due(&stop)
        && session.usable
        && session.fenced
        && let Err(error) = undo::run(session, task.watcher, task.work).await?
    {
        tracing::warn!(migration = %task.work.migration.name, message = %error.message, "what was made for \
            the copy could not be dropped; the next attempt does it");
    }
    Ok(Err(stop))
}

async fn up_to_swap(session: &mut Session, task: &Task<'_>) -> Swapped {
    let (ground, mut done) = match ground::found_or_made(session, task).await? {
        Ok(found) => found,
        Err(stop) => return Ok(Err(stop)),
    };
    if let Err(stop) = batches(session, task, &ground, &mut done).await? {
        return Ok(Err(stop));
    }
    analyze(session, task.watcher, task.work, &ground.shadow).await;
    let mut waits_until = None;
    loop {
        match rows::compare(session, task, &ground, &done).await? {
            Ok(()) => break,
            Err(Stop::Sql(error)) if error.kind == SqlErrorKind::Lock => {
                wait(session, task, &mut waits_until).await?;
            }
            Err(stop) => return Ok(Err(stop)),
        }
    }
    swap::run(session, task, &ground, &done).await
}

/// Batch after batch, up to the last key that there was when the attempt began. What others add behind it is
/// noted.
async fn batches(session: &mut Session, task: &Task<'_>, ground: &Ground, done: &mut BatchesDone) -> Ended {
    let (work, batches) = (task.work, &task.copy.batches);
    let Some(bound) = &ground.bound else { return Ok(Ok(())) };
    let (mut pace, mut throttle) = (Pace::of(batches.batch), Throttle::of(work, batches));
    let mut waits_until = None;
    work.release.context.progress.rows(progress(ground, done, &pace));
    while done.key != *bound {
        if let Some(stop) = over(work, task.at) {
            return Ok(Err(stop));
        }
        let so_far = progress(ground, done, &pace);
        let waits = || work.release.context.progress.rows(Rows { waits_for_replica: true, ..so_far });
        if let Err(stop) = throttle.wait(session, work, task.at, waits).await? {
            return Ok(Err(stop));
        }
        match rows::batch(session, task, ground, done, pace.rows).await? {
            Ok((next, took)) => {
                pace.took(took);
                if (next.changed - next.passed) / MANY > (done.changed - done.passed) / MANY {
                    forget_notes(session, task).await;
                }
                (*done, waits_until) = (next, None);
                work.release.context.progress.rows(progress(ground, done, &pace));
                let left = work.until().saturating_duration_since(Instant::now());
                tokio::time::sleep(batches.pause.duration().min(left)).await;
            }
            Err(Stop::Sql(error)) if error.kind == SqlErrorKind::Lock => {
                pace.yields();
                wait(session, task, &mut waits_until).await?;
            }
            Err(stop) => return Ok(Err(stop)),
        }
    }
    Ok(Ok(()))
}

/// Frees what the notes took that are carried over: every batch reads all of that table. Nothing depends on
/// it.
async fn forget_notes(session: &mut Session, task: &Task<'_>) {
    let ran = async {
        session.limit_alone(false).await?;
        session.run(&format!("VACUUM {NOTED}"), Some(task.until())).await?;
        session.reset().await
    };
    if let Err(error) = ran.await {
        tracing::warn!(migration = %task.work.migration.name, message = %error.message, "VACUUM of the \
        notes failed");
    }
}

/// Lets the session that holds a lock go first, from the first time on no longer than the release may wait.
async fn wait(session: &Session, task: &Task<'_>, until: &mut Option<Instant>) -> Result<(), MigrateError> {
    if !session.fenced {
        return Err(unfenced(&task.work.migration.name));
    }
    let patience = (Instant::now() + task.work.release.patience).min(task.until());
    blocked::wait(task.watcher, task.work.migration, *until.get_or_insert(patience)).await
}

fn progress(ground: &Ground, done: &BatchesDone, pace: &Pace) -> Rows {
    let of = ground.key.rows;
    Rows { done: done.passed, of, per_second: pace.per_second(), waits_for_replica: false }
}
