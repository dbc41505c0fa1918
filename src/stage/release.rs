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
    migrations::{Group, LedgerRow, Migration, Script, SourceTree, plan_groups, split},
    postgres::{Ledger, Session, SqlError, Trouble, Watcher},
};

/// Everything a release needs.
pub(super) struct Release<'a> {
    pub(super) context: &'a Context,
    pub(super) ledger: &'a Ledger,
    pub(super) source: &'a SourceTree,
    /// Indexes into the source.
    pub(super) pending: &'a [usize],
    pub(super) lock_budget: u32,
    /// How long it may wait for locks.
    pub(super) waits_until: Instant,
    pub(super) rows: &'a [LedgerRow],
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

impl Release<'_> {
    pub(super) fn migration(&self, at: usize) -> &Migration {
        &self.source.migrations[self.pending[at]]
    }
}

pub(super) async fn apply(session: &mut Session, watcher: &Watcher, release: &Release<'_>) -> Result<Ended, MigrateError> {
    let mut scripts = Vec::new();
    for at in 0..release.pending.len() {
        let migration = release.migration(at);
        let script = split(&migration.sql)
            .map_err(|error| MigrateError::Stopped { reason: Reason::SourceInvalid, message: format!("{}: {error}", migration.file) })?;
        scripts.push(script);
    }
    let groups = plan_groups(&scripts, release.context.manifest.atomicity, release.lock_budget);
    let last_transaction = groups.iter().rposition(|group| matches!(group, Group::Transaction(_)));
    let mut applied = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let members = match group {
            Group::Transaction(members) => members.clone(),
            Group::Stepwise { migration, .. } => vec![*migration],
        };
        let aspects = aspects(number, groups.len(), last_transaction);
        loop {
            let attempt = match group {
                Group::Transaction(members) => transaction(session, release, &scripts, members, aspects).await?,
                Group::Stepwise { migration, steps } => {
                    stepwise::run(session, watcher, release, &scripts[*migration], *migration, steps).await?
                }
            };
            match attempt {
                Attempt::Committed => break,
                Attempt::Failed(outcome) => return Ok(Ended::Failed(outcome)),
                Attempt::Locked => wait(watcher, release, release.migration(members[0])).await?,
            }
        }
        applied.extend(members.into_iter().map(|at| release.migration(at).name.clone()));
    }
    Ok(Ended::Applied(applied))
}

/// What is verified inside a group's transaction. The last transaction carries it; when something still follows that cannot be
/// in a transaction, which is mostly index builds, indexes are left to the verify stage.
fn aspects(number: usize, groups: usize, last_transaction: Option<usize>) -> &'static [Aspect] {
    match last_transaction {
        Some(last) if last == number && number + 1 == groups => &[Aspect::Isolation, Aspect::Index],
        Some(last) if last == number => &[Aspect::Isolation],
        _ => &[],
    }
}

/// One attempt at one transaction: statements, ledger rows, verification, COMMIT.
async fn transaction(
    session: &mut Session,
    release: &Release<'_>,
    scripts: &[Script],
    members: &[usize],
    aspects: &[Aspect],
) -> Result<Attempt, MigrateError> {
    let first = release.migration(members[0]);
    if let Err(error) = session.begin().await {
        return Ok(failed_or_locked(&error, first, &scripts[members[0]]));
    }
    release.ledger.create(&mut session.connection).await.map_err(MigrateError::Query)?;
    for at in members {
        let (migration, script) = (release.migration(*at), &scripts[*at]);
        let started = jiff::Timestamp::now();
        if let Err(error) = statements(session, migration, script, release.context.until).await {
            return Ok(give_up(session, &error, migration, script).await);
        }
        if let Err(error) = release.ledger.insert_applied(&mut session.connection, migration, started).await {
            session.rollback().await;
            let message = format!("cannot record {:?} in the ledger: {error}", migration.name);
            return Err(MigrateError::Stopped { reason: Reason::ConnectionFailed, message });
        }
        tracing::info!(migration = %migration.name, "ran");
    }
    if let Some(outcome) = verification(session, release, aspects).await? {
        session.rollback().await;
        return Ok(Attempt::Failed(Box::new(outcome)));
    }
    match session.commit().await {
        Ok(()) => Ok(Attempt::Committed),
        Err(error) => {
            let last = members[members.len() - 1];
            Ok(give_up(session, &error, release.migration(last), &scripts[last]).await)
        }
    }
}

/// The statements of one file, its deferred constraints, and its settings put back.
async fn statements(session: &mut Session, migration: &Migration, script: &Script, until: Instant) -> Result<(), SqlError> {
    if script.statements.is_empty() {
        return Ok(());
    }
    session.run(&migration.sql, Some(until)).await?;
    session.run("SET CONSTRAINTS ALL IMMEDIATE", Some(until)).await.map_err(|error| SqlError {
        completed: script.statements.len(),
        offset: None,
        ..error
    })?;
    if changes_settings(script) { session.reset().await } else { Ok(()) }
}

/// Whether a file may leave a setting changed for the next one.
pub(super) fn changes_settings(script: &Script) -> bool {
    script.unsplit.is_some()
        || script.statements.iter().any(|statement| {
            let word = statement.sql.get(..5).unwrap_or(&statement.sql).to_uppercase();
            word.starts_with("SET")
                || word.starts_with("RESET")
                || word.starts_with("DO")
                || word.starts_with("CALL")
                || statement.sql.contains("set_config")
        })
}

async fn verification(session: &mut Session, release: &Release<'_>, aspects: &[Aspect]) -> Result<Option<Outcome>, MigrateError> {
    if aspects.is_empty() {
        return Ok(None);
    }
    let scope = Scope::of(&release.context.manifest);
    let findings = match check::run(&mut session.connection, &scope, aspects).await {
        Ok(findings) => findings,
        Err(error) => {
            session.rollback().await;
            let message = format!("a check could not be carried out before COMMIT, so everything was rolled back: {error}");
            return Err(MigrateError::Stopped { reason: Reason::StageFailed, message });
        }
    };
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    if errors.is_empty() {
        return Ok(None);
    }
    let message = format!("verification before COMMIT failed, so the release was rolled back: {}", outcome_message(&errors));
    let outcome = Outcome::failed(Stage::Migrate, Reason::VerificationFailed, message);
    Ok(Some(Outcome { findings, ..outcome }))
}

async fn give_up(session: &mut Session, error: &SqlError, migration: &Migration, script: &Script) -> Attempt {
    session.rollback().await;
    failed_or_locked(error, migration, script)
}

fn failed_or_locked(error: &SqlError, migration: &Migration, script: &Script) -> Attempt {
    match error.trouble {
        Trouble::Lock => Attempt::Locked,
        _ => Attempt::Failed(Box::new(failure(error, migration, script, "its transaction was rolled back and nothing of it is left"))),
    }
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
    let line = error.offset.map(line_at);
    let by_line = line.and_then(|line| script.statements.iter().rev().find(|statement| statement.line <= line));
    match by_line.or_else(|| script.statements.get(error.completed)) {
        Some(statement) => (line.unwrap_or(statement.line), statement.sql.clone()),
        None => {
            (script.statements.last().map_or(1, |statement| statement.line), "a deferred constraint, at the end of the file".to_owned())
        }
    }
}

/// The beginning of a statement, in one line, up to where it would show a password.
fn without_secrets(statement: &str, length: usize) -> String {
    let text = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    let secret = text.to_uppercase().find("PASSWORD '").map_or(text.len(), |at| at + "PASSWORD".len());
    let cut: String = text.get(..secret).unwrap_or(&text).chars().take(length).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

/// Lets others go first: until whoever was in the way has ended its transaction, and a little longer.
async fn wait(watcher: &Watcher, release: &Release<'_>, migration: &Migration) -> Result<(), MigrateError> {
    let blockers = watcher.blockers();
    let who = if blockers.is_empty() { "another session".to_owned() } else { blockers.iter().map(describe).collect::<Vec<_>>().join(", ") };
    tracing::info!(migration = %migration.name, blockers = %who, "waiting for a lock");
    let clear = watcher.wait_until_clear(release.waits_until).await.map_err(MigrateError::Query)?;
    if !clear || Instant::now() >= release.waits_until {
        let message = format!("{:?} needs a lock that is held by {who}; Sluice tries again, or end that session", migration.name);
        return Err(MigrateError::Waiting { message, blockers });
    }
    tokio::time::sleep(Duration::from_millis(fastrand::u64(20..200))).await;
    Ok(())
}
