//! A migration that cannot be one transaction. Its history row is begun first, unfinished, as Prisma's own
//! is: another tool that comes by sees a migration under way. Each step is journaled before it begins and
//! when it is done; a retry goes on there.
//!
//! A step in a transaction shares it with its journal entry. A statement that runs alone cannot: after a
//! crash it is run again, and where it had been done already, what PostgreSQL then says is understood.

use super::{
    attempt::{Attempt, Release, escaped, failure},
    backfill, copy,
    custody::in_transaction,
    error::MigrateError,
    overrun, resume,
    step::{self, Stop, Work},
};
use crate::{
    api::Reason,
    contract::{Outcome, Stage},
    inspect::Aspect,
    migrations::{Migration, RowState, Script, StatementKind, Step},
    postgres::{Journal, Session, Settings, SqlError, SqlErrorKind, Watcher, keep_text_alone},
};

/// Runs the steps that are not done yet. `judged` says after which one, before its COMMIT, what is verified.
pub(super) async fn run(
    session: &mut Session,
    watcher: &Watcher,
    release: &Release<'_>,
    at: usize,
    steps: &[Step],
    judged: Option<(usize, &'static [Aspect])>,
) -> Result<Attempt, MigrateError> {
    let (migration, script) = (release.migration(at), &release.scripts[at]);
    release.tell(at);
    let journal = begin(session, release, migration).await?;
    let known = journal
        .steps(session.trusted().await.map_err(MigrateError::Query)?)
        .await
        .map_err(MigrateError::Query)?;
    let digests = resume::digests(script, steps);
    if let Some(step) = resume::edited(&known, &digests) {
        let message = resume::changed(&migration.name, step);
        return Ok(Attempt::Failed(Box::new(Outcome::failed(Stage::Migrate, Reason::HistoryDirty, message))));
    }
    let mut settings = Settings::of_file(&migration.sql);
    for (number, step) in steps.iter().enumerate() {
        let earlier = known.iter().find(|known| usize::try_from(known.step).is_ok_and(|step| step == number));
        if let Some(earlier) = earlier.filter(|earlier| earlier.done) {
            settings.go_on_from(earlier.settings.clone());
            continue;
        }
        let begun = earlier.is_some_and(|earlier| earlier.digest == digests[number]);
        let aspects = judged.filter(|(judged, _)| *judged == number).map_or(&[][..], |(_, aspects)| aspects);
        let work = Work {
            release,
            journal: &journal,
            at,
            migration,
            script,
            number,
            digest: &digests[number],
            begun,
            batches: earlier.filter(|_| begun).and_then(|earlier| earlier.batches.clone()),
            aspects,
        };
        if let Some(refusal) = refusal(&work, step) {
            return Ok(Attempt::Failed(Box::new(refusal)));
        }
        let ended = match step {
            Step::Transactional(range) => {
                step::together(session, watcher, &work, &mut settings, range.clone()).await?
            }
            Step::Autocommit(statement) => {
                step::alone(session, watcher, &work, &mut settings, *statement).await?
            }
            Step::Backfill(statement) => {
                backfill::run(session, watcher, &work, &settings, *statement).await?
            }
            Step::Copy(statement) => copy::run(session, watcher, &work, &settings, *statement).await?,
        };
        if let Err(stop) = ended {
            return clean_up(session, &work, stop).await;
        }
        tracing::info!(migration = %migration.name, step = number + 1, of = steps.len(), "step done");
    }
    finish(session, release, &journal, migration).await?;
    Ok(Attempt::Committed)
}

/// Why a step is not begun: how it ended before is not known, or the run is over.
fn refusal(work: &Work<'_>, step: &Step) -> Option<Outcome> {
    if let Step::Autocommit(at) = step
        && work.begun
        && work.script.statements[*at].kind == StatementKind::Opaque
    {
        return Some(cut_off(work.migration, work.script, *at));
    }
    let (passed, number) = (overrun::passed(work.release.context)?, work.number + 1);
    let message = format!(
        "{passed} before step {number} of {:?} began; its finished steps stay, and the next attempt goes on",
        work.migration.name
    );
    Some(Outcome::failed(Stage::Migrate, Reason::DeadlineExceeded, message))
}

/// The row says that all of it is done, and the journal has nothing left to say.
async fn finish(
    session: &mut Session,
    release: &Release<'_>,
    journal: &Journal,
    migration: &Migration,
) -> Result<(), MigrateError> {
    in_transaction(session, release.history_table, async |session| {
        release.history_table.finish(session.trusted().await?, &journal.row, migration).await?;
        keep_text_alone(session.trusted().await?, migration).await?;
        journal.clear(session.trusted().await?).await
    })
    .await
}

/// The row to go on with, or a new one.
async fn begin(
    session: &mut Session,
    release: &Release<'_>,
    migration: &Migration,
) -> Result<Journal, MigrateError> {
    Journal::create(session.trusted().await.map_err(MigrateError::Query)?)
        .await
        .map_err(MigrateError::Query)?;
    let rows = release
        .history_table
        .rows(session.trusted().await.map_err(MigrateError::Query)?)
        .await
        .map_err(MigrateError::Query)?;
    if let Some(row) =
        rows.into_iter().find(|row| row.name == migration.name && row.state() == RowState::Resumable)
    {
        return Ok(Journal { row: row.id });
    }
    release
        .history_table
        .create(session.trusted().await.map_err(MigrateError::Query)?, std::iter::once(migration))
        .await
        .map_err(MigrateError::Query)?;
    // One transaction: a row without its journal would look like another tool's failure.
    in_transaction(session, release.history_table, async |session| {
        let row = release
            .history_table
            .insert_started(session.trusted().await?, migration, jiff::Timestamp::now())
            .await?;
        let journal = Journal { row };
        journal.begin(session.trusted().await?, -1, &migration.checksum).await?;
        Ok(journal)
    })
    .await
}

const NOT_AGAIN: &str = "it may have committed a part of its work, so Sluice does not run it again as it is: \
    inspect what it did, then change \
    the statement so that it does the rest and can be run twice, or take it out of the file where all is \
    done; the steps before it stay";

const STAYS: &str = "the steps before it are done and stay; correct the rest of the file, and the next \
    attempt goes on here";
const BATCHES_STAY: &str = "what its committed batches changed stays; the next attempt goes on behind them, \
    or at the first row again where the statement was edited";

/// An earlier attempt began a statement that commits when it likes, and did not live to say how that ended.
fn cut_off(migration: &Migration, script: &Script, at: usize) -> Outcome {
    let what = "an earlier attempt was cut off while this statement ran, or before it could write down that \
        it is done";
    failure(
        &SqlError { completed: at, ..SqlError::other(SqlErrorKind::Statement, what.to_owned()) },
        migration,
        script,
        NOT_AGAIN,
    )
}

/// Leaves the history so that it says what is true: nothing of it happened, or some steps did and the rest
/// can follow.
async fn clean_up(session: &mut Session, work: &Work<'_>, stop: Stop) -> Result<Attempt, MigrateError> {
    let kind = if let Stop::Sql(error) | Stop::Halfway(error) = &stop { Some(error.kind) } else { None };
    if let (Stop::Sql(error), Some(SqlErrorKind::Escaped)) = (&stop, kind) {
        session.rollback().await;
        return Ok(escaped(session, work.release, error, work.at).await);
    }
    if !session.usable
        || !session.fenced
        || matches!(kind, Some(SqlErrorKind::Connection | SqlErrorKind::Deadline | SqlErrorKind::Overrun))
    {
        return Ok(told(work, stop, "its finished steps stay, and the next attempt goes on"));
    }
    if let Stop::Halfway(error) = &stop {
        in_transaction(session, work.release.history_table, async |session| {
            work.release
                .history_table
                .note_failure(session.trusted().await?, &work.journal.row, work.migration, &error.message)
                .await
        })
        .await?;
        return Ok(told(work, stop, NOT_AGAIN));
    }
    // What is there by the name of a failed step's object is not this step's work.
    let number = i32::try_from(work.number).unwrap_or(i32::MAX);
    in_transaction(session, work.release.history_table, async |session| {
        work.journal.forget(session.trusted().await?, number).await
    })
    .await?;
    let known = work
        .journal
        .steps(session.trusted().await.map_err(MigrateError::Query)?)
        .await
        .map_err(MigrateError::Query)?;
    let left = if known.iter().all(|step| !step.done && step.batches.is_none()) {
        in_transaction(session, work.release.history_table, async |session| {
            work.release
                .history_table
                .remove(session.trusted().await?, &work.journal.row, work.migration)
                .await?;
            work.journal.clear(session.trusted().await?).await
        })
        .await?;
        "nothing of it is left"
    } else {
        if let Stop::Sql(error) = &stop {
            in_transaction(session, work.release.history_table, async |session| {
                work.release
                    .history_table
                    .note_failure(session.trusted().await?, &work.journal.row, work.migration, &error.message)
                    .await
            })
            .await?;
        }
        let in_batches = known.iter().any(|step| step.step == number && step.batches.is_some());
        if in_batches { BATCHES_STAY } else { STAYS }
    };
    Ok(if kind == Some(SqlErrorKind::Lock) { Attempt::Locked } else { told(work, stop, left) })
}

fn told(work: &Work<'_>, stop: Stop, left: &str) -> Attempt {
    Attempt::Failed(match stop {
        Stop::Sql(error) | Stop::Halfway(error) => {
            Box::new(failure(&error, work.migration, work.script, left))
        }
        Stop::Refused(outcome) => outcome,
    })
}
