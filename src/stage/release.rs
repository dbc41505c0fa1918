//! A release: its groups in order, each one transaction with its ledger rows, the last one with the verification.

use std::time::{Duration, Instant};

use super::{
    Context,
    migrate::{MigrateError, describe},
    outcome::{Outcome, Stage, outcome_message},
    stepwise,
};
use crate::{
    api::{Failure, Finding, Reason, Severity},
    check::{self, Aspect, Scope},
    migrations::{Group, Migration, Script, SourceTree, last_transaction, plan_groups},
    postgres::{Ledger, QueryError, Session, SqlError, Trouble, Watcher},
};

/// Everything a release needs.
pub(super) struct Release<'a> {
    pub(super) context: &'a Context,
    pub(super) ledger: &'a Ledger,
    pub(super) source: &'a SourceTree,
    /// Indexes into the source.
    pub(super) pending: &'a [usize],
    /// The pending files, split.
    pub(super) scripts: &'a [Script],
    pub(super) lock_budget: u32,
    /// How long each group may wait for locks.
    pub(super) patience: Duration,
    /// Constraints that can be deferred may exist.
    pub(super) defers: bool,
}

/// How a release ended.
pub(super) enum Ended {
    /// With these migrations applied.
    Applied(Vec<String>),
    /// With this; groups that were committed before stay.
    Failed(Box<Outcome>),
}

/// How one attempt at a group ended.
pub(super) enum Attempt {
    Committed,
    /// Somebody held a lock; nothing of the attempt is left.
    Locked,
    Failed(Box<Outcome>),
}

/// What a verification before COMMIT says.
pub(super) enum Judgement {
    Passed,
    /// Somebody held a lock that a check needed.
    Locked(SqlError),
    Failed(Box<Outcome>),
}

impl Release<'_> {
    pub(super) fn migration(&self, at: usize) -> &Migration {
        &self.source.migrations[self.pending[at]]
    }
}

pub(super) async fn apply(session: &mut Session, watcher: &Watcher, release: &Release<'_>) -> Result<Ended, MigrateError> {
    let groups = plan_groups(release.scripts, release.context.manifest.atomicity, release.lock_budget);
    let judged = judged(&groups);
    let mut applied = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let members = match group {
            Group::Transaction(members) => members.clone(),
            Group::Stepwise { migration, .. } => vec![*migration],
        };
        let judged = judged.filter(|(group, ..)| *group == number).map(|(_, step, aspects)| (step, aspects));
        let mut waits_until = None;
        loop {
            let attempt = match group {
                Group::Transaction(members) => {
                    transaction(session, watcher, release, members, judged.map_or(&[], |(_, aspects)| aspects)).await?
                }
                Group::Stepwise { migration, steps } => stepwise::run(session, watcher, release, *migration, steps, judged).await?,
            };
            match attempt {
                Attempt::Committed => break,
                Attempt::Failed(outcome) => return Ok(Ended::Failed(outcome)),
                Attempt::Locked => {
                    // From the first time that this group had to wait: what ran before it took as long as it took.
                    let until = *waits_until.get_or_insert_with(|| (Instant::now() + release.patience).min(release.context.until));
                    wait(watcher, release.migration(members[0]), until).await?;
                }
            }
        }
        applied.extend(members.into_iter().map(|at| release.migration(at).name.clone()));
    }
    Ok(Ended::Applied(applied))
}

/// In which group, and after which step of it, what is verified before COMMIT. Only the end of a release counts, so the last
/// transaction carries it. When statements that run alone still follow, which is mostly index builds, indexes are left to the
/// verify stage.
fn judged(groups: &[Group]) -> Option<(usize, usize, &'static [Aspect])> {
    let (group, step) = last_transaction(groups)?;
    let is_last_step = match &groups[group] {
        Group::Transaction(_) => true,
        Group::Stepwise { steps, .. } => step + 1 == steps.len(),
    };
    let aspects: &[Aspect] =
        if group + 1 == groups.len() && is_last_step { &[Aspect::Isolation, Aspect::Index] } else { &[Aspect::Isolation] };
    Some((group, step, aspects))
}

/// One attempt at one transaction: statements, ledger rows, verification, COMMIT.
async fn transaction(
    session: &mut Session,
    watcher: &Watcher,
    release: &Release<'_>,
    members: &[usize],
    aspects: &[Aspect],
) -> Result<Attempt, MigrateError> {
    if let Err(error) = session.begin().await {
        return Ok(give_up(session, watcher, &error, release, members[0]).await);
    }
    // Once the first group is committed, the ledger is there.
    if members[0] == 0
        && let Err(error) = release.ledger.create(&mut session.connection).await
    {
        return give_up_query(session, error).await;
    }
    for at in members {
        let (migration, script) = (release.migration(*at), &release.scripts[*at]);
        if let Err(error) = file(session, release, migration, script).await {
            return Ok(give_up(session, watcher, &error, release, *at).await);
        }
        tracing::info!(migration = %migration.name, "ran");
    }
    let last = members[members.len() - 1];
    let left = match members {
        [only] => format!("{:?} was rolled back", release.migration(*only).name),
        [first, ..] => format!("{:?} … {:?} were rolled back", release.migration(*first).name, release.migration(last).name),
        [] => String::new(),
    };
    let judgement = verification(session, release, aspects, &left).await?;
    if !matches!(judgement, Judgement::Passed) {
        session.rollback().await;
    }
    match judgement {
        Judgement::Failed(outcome) => return Ok(Attempt::Failed(outcome)),
        Judgement::Locked(_) => return Ok(Attempt::Locked),
        Judgement::Passed => {}
    }
    match session.commit().await {
        Ok(()) => Ok(Attempt::Committed),
        Err(error) => Ok(give_up(session, watcher, &error, release, last).await),
    }
}

/// The statements of one file, its deferred constraints, its settings put back, and its row in the ledger.
async fn file(session: &mut Session, release: &Release<'_>, migration: &Migration, script: &Script) -> Result<(), SqlError> {
    let (until, started) = (release.context.until, jiff::Timestamp::now());
    if !script.statements.is_empty() {
        session.run(&migration.sql, Some(until)).await?;
    }
    let ended = session.end_file(release.defers, &release.ledger.applied_row(migration, started), until).await;
    ended.map_err(|error| SqlError { completed: script.statements.len() + usize::from(error.completed > 0), ..error })
}

/// Verifies inside an open transaction. `left` says what a failure leaves.
pub(super) async fn verification(
    session: &mut Session,
    release: &Release<'_>,
    aspects: &[Aspect],
    left: &str,
) -> Result<Judgement, MigrateError> {
    if aspects.is_empty() {
        return Ok(Judgement::Passed);
    }
    let scope = Scope::of(&release.context.manifest);
    let findings = match check::run(&mut session.connection, &scope, aspects).await {
        Ok(findings) => findings,
        Err(error) if Trouble::of(&error.cause) == Trouble::Lock => {
            return Ok(Judgement::Locked(SqlError::other(Trouble::Lock, error.to_string())));
        }
        Err(error) => {
            session.rollback().await;
            let message = format!("a check could not be carried out before COMMIT, so {left}: {error}");
            return Err(MigrateError::Stopped { reason: Reason::StageFailed, message });
        }
    };
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    if errors.is_empty() {
        return Ok(Judgement::Passed);
    }
    let message = format!("verification before COMMIT failed, so {left}: {}", outcome_message(&errors));
    let outcome = Outcome::failed(Stage::Migrate, Reason::VerificationFailed, message);
    Ok(Judgement::Failed(Box::new(Outcome { findings, ..outcome })))
}

async fn give_up(session: &mut Session, watcher: &Watcher, error: &SqlError, release: &Release<'_>, at: usize) -> Attempt {
    if error.trouble == Trouble::Deadline {
        // It would go on for as long as the statement timeout lets it.
        watcher.cancel(session.pid).await;
    }
    session.rollback().await;
    match error.trouble {
        Trouble::Lock => Attempt::Locked,
        _ => Attempt::Failed(Box::new(failure(
            error,
            release.migration(at),
            &release.scripts[at],
            "its transaction was rolled back and nothing of it is left",
        ))),
    }
}

/// The ledger could not be written: somebody holds a lock on it, or it is out of reach.
async fn give_up_query(session: &mut Session, error: QueryError) -> Result<Attempt, MigrateError> {
    session.rollback().await;
    if Trouble::of(&error.cause) == Trouble::Lock { Ok(Attempt::Locked) } else { Err(MigrateError::Query(error)) }
}

/// An Outcome that names file, line, statement and SQLSTATE.
pub(super) fn failure(error: &SqlError, migration: &Migration, script: &Script, left: &str) -> Outcome {
    let reason = match error.trouble {
        Trouble::Connection => {
            let message =
                format!("the connection broke while {:?} ran: {}; the next attempt asks the ledger", migration.name, error.message);
            return Outcome::failed(Stage::Migrate, Reason::ConnectionFailed, message);
        }
        Trouble::Deadline => Reason::DeadlineExceeded,
        Trouble::Lock | Trouble::Statement => Reason::MigrationFailed,
    };
    let (line, statement) = place(error, migration, script);
    let failure = Failure {
        migration: migration.name.clone(),
        file: migration.file.clone(),
        line,
        statement: without_secrets(&statement, 300),
        sqlstate: error.sqlstate.clone(),
        message: error.message.clone(),
    };
    let code = if failure.sqlstate.is_empty() { String::new() } else { format!(" (SQLSTATE {})", failure.sqlstate) };
    let message = format!("{}:{line}: {}{code} in: {}; {left}", failure.file, failure.message, without_secrets(&statement, 120));
    let outcome = Outcome::failed(Stage::Migrate, reason, message);
    Outcome { failure: Some(failure), ..outcome }
}

/// The line and the statement that an error is about.
fn place(error: &SqlError, migration: &Migration, script: &Script) -> (u32, String) {
    let line_at = |offset: usize| u32::try_from(migration.sql[..offset].matches('\n').count() + 1).unwrap_or(u32::MAX);
    if let (Some(offset), Some(_)) = (error.offset, &script.unsplit) {
        let begins = migration.sql[..offset].rfind('\n').map_or(0, |at| at + 1);
        return (line_at(offset), migration.sql[begins..].to_owned());
    }
    let by_offset = error.offset.and_then(|offset| script.statements.iter().rev().find(|statement| statement.start <= offset));
    match by_offset.or_else(|| script.statements.get(error.completed)) {
        Some(statement) => (error.offset.map_or(statement.line, line_at), statement.sql.clone()),
        None => {
            let what = if error.completed > script.statements.len() { "the row of the ledger" } else { "a deferred constraint" };
            (script.statements.last().map_or(1, |statement| statement.line), format!("{what}, at the end of the file"))
        }
    }
}

/// The beginning of a statement, in one line, up to where it would show a password.
fn without_secrets(statement: &str, length: usize) -> String {
    let text = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    let secret = text.to_ascii_uppercase().find("PASSWORD ").map_or(text.len(), |at| at + "PASSWORD".len());
    let cut: String = text[..secret].chars().take(length).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

/// Lets others go first: until whoever was in the way has ended its transaction, and a little longer.
async fn wait(watcher: &Watcher, migration: &Migration, until: Instant) -> Result<(), MigrateError> {
    let blockers = watcher.blockers();
    let who = if blockers.is_empty() { "another session".to_owned() } else { blockers.iter().map(describe).collect::<Vec<_>>().join(", ") };
    tracing::info!(migration = %migration.name, blockers = %who, "waiting for a lock");
    let clear = watcher.wait_until_clear(until).await.map_err(MigrateError::Query)?;
    if !clear || Instant::now() >= until {
        let message = format!("{:?} needs a lock that is held by {who}; Sluice tries again, or end that session", migration.name);
        return Err(MigrateError::Waiting { message, blockers });
    }
    tokio::time::sleep(Duration::from_millis(fastrand::u64(20..200))).await;
    Ok(())
}
