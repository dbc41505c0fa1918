//! The pending migrations run in a scratch database as `sluice run` would run them: the same transactions,
//! one statement after the other.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use super::{
    super::{
        Context,
        attempt::failure,
        confined::{Stop, calls_nothing_beyond, commit_inside},
    },
    result::{RehearsedTransaction, StatementPlace},
    trace::{Ran, Trace},
};
use crate::{
    api::{Failure, Reason},
    migrations::{Group, Migration, Script, Statement, StatementKind, Step, plan_groups},
    postgres::{Session, Settings, SharedWrites, SqlError},
    redact,
    sql::Isolation,
};

/// The most characters of a statement that are shown.
const SHOWN: usize = 300;

/// What is rehearsed.
pub(super) struct Release<'a> {
    pub(super) context: &'a Context,
    /// What is pending, and the same without what would change the server.
    pub(super) files: &'a [(&'a Migration, Script)],
    pub(super) scripts: &'a [Script],
    pub(super) lock_budget: u32,
    /// Constraints that can be deferred may exist.
    pub(super) defers: bool,
}

/// Why it ended before its last statement.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) failure: Option<Failure>,
}

/// Runs all of it. What was seen so far goes into `seen`, also where a statement fails.
pub(super) async fn run(
    session: &mut Session,
    release: &Release<'_>,
    seen: &mut Vec<RehearsedTransaction>,
) -> Result<(), Stopped> {
    for group in plan_groups(release.scripts, release.context.manifest.atomicity, release.lock_budget) {
        match group {
            Group::Transaction(members) => {
                let parts: Vec<_> = members.iter().map(|at| (*at, release.whole(*at))).collect();
                transaction(session, release, &parts, None, seen).await?;
            }
            Group::Stepwise { migration, steps } => {
                let mut settings = Settings::of_file(&release.files[migration].0.sql);
                for step in steps {
                    match step {
                        Step::Transactional(range) => {
                            let part = [(migration, range)];
                            transaction(session, release, &part, Some(&mut settings), seen).await?;
                        }
                        // As a whole: what is told is what the rows cost, and each batch holds its locks for
                        // less.
                        Step::Backfill(at) | Step::Copy(at) => {
                            let part = [(migration, at..at + 1)];
                            transaction(session, release, &part, Some(&mut settings), seen).await?;
                        }
                        Step::Autocommit(at) => {
                            let ran = alone(session, release, migration, at, &mut settings).await;
                            seen.push(ran.map_err(|stop| release.stopped(migration, stop))?);
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

impl Release<'_> {
    fn until(&self) -> Instant {
        self.context.until
    }

    fn whole(&self, at: usize) -> Range<usize> {
        0..self.scripts[at].statements.len()
    }

    /// Of which isolation level the transaction is that begins with this statement.
    fn isolation(&self, (at, range): &(usize, Range<usize>)) -> Option<Isolation> {
        self.scripts[*at].statements.get(range.start).and_then(|statement| statement.isolation)
    }

    fn place(&self, at: usize, statement: &Statement) -> StatementPlace {
        let migration = self.files[at].0;
        StatementPlace {
            migration: migration.name.clone(),
            file: migration.file.clone(),
            line: statement.line,
            statement: redact::statement(statement.sql(), SHOWN),
        }
    }

    fn stopped(&self, at: usize, stop: Stop) -> Stopped {
        let migration = self.files[at].0;
        match stop {
            Stop::Sql(error) => {
                let left = "it failed in a scratch database, and nothing of the real one was changed";
                let outcome = failure(&error, migration, &self.scripts[at], left);
                // On a copy a statement that fails is no more than that.
                let reason = match outcome.reason {
                    Reason::MigrationFailed => Reason::RehearsalFailed,
                    other => other,
                };
                Stopped { reason, message: outcome.message, failure: outcome.failure }
            }
            Stop::Server(what) => Stopped {
                reason: Reason::RehearsalFailed,
                message: format!(
                    "a rehearsal of {} would change more than a scratch database ({what}), so it ended \
                        there; roles and settings of the server belong outside of migrations",
                    migration.file
                ),
                failure: None,
            },
        }
    }
}

/// One transaction, of whole files or of a part of one.
async fn transaction(
    session: &mut Session,
    release: &Release<'_>,
    parts: &[(usize, Range<usize>)],
    mut settings: Option<&mut Settings>,
    seen: &mut Vec<RehearsedTransaction>,
) -> Result<(), Stopped> {
    let first = parts[0].0;
    let begun = begin(session, parts.first().and_then(|part| release.isolation(part))).await;
    let (mut trace, before) = begun.map_err(|stop| release.stopped(first, stop))?;
    let mut closing = Duration::ZERO;
    for (at, range) in parts {
        let ran = part(session, release, *at, range.clone(), settings.as_deref_mut(), &mut trace).await;
        match ran {
            Ok(took) => closing += took,
            Err(stop) => {
                session.rollback().await;
                seen.push(trace.end(closing, false));
                return Err(release.stopped(*at, stop));
            }
        }
    }
    let ends = Instant::now();
    let committed = commit_inside(session, &before).await;
    seen.push(trace.end(closing + ends.elapsed(), committed.is_ok()));
    let last = parts.last().map_or(first, |(at, _)| *at);
    committed.map_err(|stop| release.stopped(last, at_the_end(&release.scripts[last], stop)))
}

async fn begin(session: &mut Session, isolation: Option<Isolation>) -> Result<(Trace, SharedWrites), Stop> {
    session.begin_at(isolation, &[]).await?;
    let before = SharedWrites::so_far(session.trusted().await?).await?;
    Ok((Trace::begin(session).await?, before))
}

/// The statements of one file that stand in the transaction. Answers how long their end took: what is
/// deferred is checked.
async fn part(
    session: &mut Session,
    release: &Release<'_>,
    at: usize,
    range: Range<usize>,
    settings: Option<&mut Settings>,
    trace: &mut Trace,
) -> Result<Duration, Stop> {
    let script = &release.scripts[at];
    session.hand_over().await?;
    let mut settings = settings;
    if let Some(settings) = settings.as_deref_mut() {
        session.restore(settings, true).await?;
    }
    for number in range.clone() {
        let statement = &script.statements[number];
        session.go_on(release.until()).await?;
        let (start, text) = script.text(number..number + 1);
        let begun = Instant::now();
        let rows = session.run_and_count(&text, release.until()).await.map_err(|error| SqlError {
            completed: number,
            offset: error.offset.map(|offset| start + offset),
            ..error
        })?;
        let ran = Ran { place: release.place(at, statement), took: begun.elapsed(), rows };
        trace.note(session, ran).await?;
        if release.defers && statement.ends && number + 1 < range.end {
            let checked = session.check_deferred(release.until()).await;
            checked.map_err(|error| SqlError { completed: number, ..error })?;
        }
    }
    if let Some(settings) = settings {
        let carried = settings.carried().clone();
        session.note(settings).await?;
        settings.end_local(carried, &script.local_settings(range));
    }
    let ends = Instant::now();
    let ended = session.end_file(release.defers, "", release.until()).await;
    ended.map_err(|error| SqlError { completed: script.statements.len(), ..error })?;
    Ok(ends.elapsed())
}

/// An error of COMMIT is about no statement.
fn at_the_end(script: &Script, stop: Stop) -> Stop {
    match stop {
        Stop::Sql(error) => Stop::Sql(SqlError { completed: script.statements.len(), offset: None, ..error }),
        Stop::Server(what) => Stop::Server(what),
    }
}

/// One statement outside a transaction.
async fn alone(
    session: &mut Session,
    release: &Release<'_>,
    at: usize,
    number: usize,
    settings: &mut Settings,
) -> Result<RehearsedTransaction, Stop> {
    let statement = &release.scripts[at].statements[number];
    if statement.verb.may_call() {
        calls_nothing_beyond(session, statement.sql()).await?;
    }
    let trace = Trace::begin(session).await?;
    let concurrently = matches!(
        statement.kind,
        StatementKind::BuildIndex(_) | StatementKind::Autocommit { concurrently: true }
    );
    session.limit_alone(concurrently).await?;
    session.hand_over().await?;
    session.restore(settings, false).await?;
    let begun = Instant::now();
    let rows = session.run_and_count(statement.sql(), release.until()).await.map_err(|error| SqlError {
        completed: number,
        offset: error.offset.map(|offset| statement.start + offset),
        ..error
    })?;
    let ran = Ran { place: release.place(at, statement), took: begun.elapsed(), rows };
    session.note(settings).await?;
    session.reset().await?;
    Ok(trace.alone(session, ran).await?)
}
