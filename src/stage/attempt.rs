//! One attempt at a group of a release: what it needs, how it can end, and what is said about it. Shared by
//! transactions and steps.

use std::{sync::OnceLock, time::Duration};

use super::{Context, error::MigrateError, held};
use crate::{
    api::{Failure, Finding, Reason, Severity},
    check,
    contract::{Outcome, Stage, outcome_message},
    inspect::{Aspect, Began, RowsBefore, Scope, count_rows},
    migrations::{Migration, RowState, Script, SourceTree},
    postgres::{HistoryTable, Session, SqlError, SqlErrorKind, Transaction, Watcher},
    redact::{self, bounded},
};

/// The most characters of a statement that are shown.
const SHOWN: usize = 300;

/// Everything a release needs.
pub(super) struct Release<'a> {
    pub(super) context: &'a Context,
    pub(super) history_table: &'a HistoryTable,
    pub(super) source: &'a SourceTree,
    /// Indexes into the source.
    pub(super) pending: &'a [usize],
    /// The pending files, split.
    pub(super) scripts: &'a [Script],
    pub(super) lock_budget: u32,
    /// How long each group may wait for locks.
    pub(super) patience: Duration,
    /// Before its first statement.
    pub(super) began: Began,
    /// Constraints that can be deferred may exist.
    pub(super) defers: bool,
    /// Whether the texts of migrations are kept, once a transaction has been committed in which that was
    /// found out.
    pub(super) keeps_texts: OnceLock<bool>,
}

/// How one attempt at a group ended.
pub(super) enum Attempt {
    Committed,
    /// Another session held a lock; nothing of the attempt is left.
    Locked,
    Failed(Box<Outcome>),
}

/// What a verification before COMMIT says.
pub(super) enum Verification {
    Passed,
    /// Another session held a lock that a check needed.
    Locked(SqlError),
    /// A check was cancelled, because others were kept waiting for too long.
    Held(SqlError),
    Failed(Box<Outcome>),
}

impl Release<'_> {
    pub(super) fn migration(&self, at: usize) -> &Migration {
        &self.source.migrations[self.pending[at]]
    }

    /// Says that this one begins.
    pub(super) fn tell(&self, at: usize) {
        self.context.progress.migration(&self.migration(at).name, (at, self.pending.len()));
    }

    /// Whether an earlier group wrote into every table that these write into: then they are there.
    pub(super) fn is_recorded_before(&self, members: &[usize]) -> bool {
        let recorded =
            |of_phase: bool| (0..members[0]).any(|at| self.migration(at).phase().is_some() == of_phase);
        members.iter().all(|at| recorded(self.migration(*at).phase().is_some()))
    }
}

/// Counts the rows that are compared before COMMIT; first thing in a transaction.
pub(super) async fn rows_before(
    session: &mut Session,
    release: &Release<'_>,
) -> Result<Option<RowsBefore>, SqlError> {
    let manifest = &release.context.manifest;
    let connection = session
        .trusted()
        .await
        .map_err(|error| SqlError::other(SqlErrorKind::of(&error.cause), error.to_string()))?;
    let counted = count_rows(connection, &manifest.assertions.row_counts.tables, &manifest.schemas).await;
    counted.map_err(|error| SqlError::other(SqlErrorKind::of(&error.cause), error.to_string()))
}

/// Verifies inside an open transaction. `before` has the counts of its beginning, `left` says what a failure
/// leaves.
pub(super) async fn verification(
    session: &mut Session,
    watcher: &Watcher,
    release: &Release<'_>,
    aspects: &[Aspect],
    before: Option<RowsBefore>,
    left: &str,
) -> Result<Verification, MigrateError> {
    let aspects: Vec<_> = aspects.iter().copied().chain(before.is_some().then_some(Aspect::Change)).collect();
    if aspects.is_empty() {
        return Ok(Verification::Passed);
    }
    let names = release.source.own().map(|migration| &migration.name);
    let scope = Scope {
        rows_before: before,
        began: Some(release.began),
        ..Scope::of(&release.context.manifest).with_migrations(names)
    };
    let connection = session.trusted().await.map_err(MigrateError::Query)?;
    let mut transaction = Transaction::of_open(connection).await.map_err(MigrateError::Query)?;
    let findings = match check::run(&mut transaction, &scope, &aspects).await {
        Ok(findings) => findings,
        Err(error) if SqlErrorKind::of(&error.cause) == SqlErrorKind::Lock => {
            return Ok(Verification::Locked(SqlError::other(SqlErrorKind::Lock, error.to_string())));
        }
        Err(error) => {
            if let Some(held) = held::cause_of_check(watcher).await {
                return Ok(Verification::Held(held));
            }
            session.rollback().await;
            let message = format!("a check could not be carried out before COMMIT, so {left}: {error}");
            return Err(MigrateError::Stopped { reason: Reason::StageFailed, message });
        }
    };
    let errors: Vec<&Finding> =
        findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    if errors.is_empty() {
        return Ok(Verification::Passed);
    }
    let message = format!("verification before COMMIT failed, so {left}: {}", outcome_message(&errors));
    let outcome = Outcome::failed(Stage::Migrate, Reason::VerificationFailed, message);
    Ok(Verification::Failed(Box::new(Outcome { findings, ..outcome })))
}

/// An Outcome that names file, line, statement and SQLSTATE.
pub(super) fn failure(error: &SqlError, migration: &Migration, script: &Script, left: &str) -> Outcome {
    let reason = match error.kind {
        SqlErrorKind::Connection => {
            let message = format!(
                "the connection broke while {:?} ran: {}; the next attempt reads the history",
                migration.name, error.message
            );
            return Outcome::failed(Stage::Migrate, Reason::ConnectionFailed, message);
        }
        SqlErrorKind::Deadline => Reason::DeadlineExceeded,
        SqlErrorKind::Overrun => Reason::StatementTooSlow,
        SqlErrorKind::Held => Reason::LockHeldTooLong,
        SqlErrorKind::Lock | SqlErrorKind::Statement | SqlErrorKind::Escaped => Reason::MigrationFailed,
    };
    let (line, statement) = place(error, migration, script);
    let left = format!("{left}{}", remedy(error, script));
    let failure = Failure {
        migration: migration.name.clone(),
        file: migration.file.clone(),
        line,
        column: column(error, migration),
        statement: bounded(&statement, SHOWN),
        sqlstate: error.sqlstate.clone(),
        message: error.message.clone(),
        left,
    };
    let code =
        if failure.sqlstate.is_empty() { String::new() } else { format!(" (SQLSTATE {})", failure.sqlstate) };
    let message = format!(
        "{}:{line}: {}{code} in: {}; {}",
        failure.file,
        failure.message,
        bounded(&statement, 120),
        failure.left
    );
    let outcome = Outcome::failed(Stage::Migrate, reason, message);
    Outcome { failure: Some(failure), ..outcome }
}

/// What is said where a file ended the transaction of the release: what is committed of it, PostgreSQL alone
/// knows.
pub(super) async fn escaped(
    session: &mut Session,
    release: &Release<'_>,
    error: &SqlError,
    at: usize,
) -> Attempt {
    let (name, error) = (&release.migration(at).name, &SqlError { offset: None, ..error.clone() });
    let recorded = match session.trusted().await {
        Ok(connection) => release.history_table.rows(connection).await,
        Err(error) => Err(error),
    };
    let of_release: Vec<&str> =
        release.pending.iter().map(|at| release.source.migrations[*at].name.as_str()).collect();
    let known = match recorded {
        Ok(rows) => {
            let applied = rows
                .iter()
                .filter(|row| row.state() == RowState::Applied && of_release.contains(&row.name.as_str()));
            let names: Vec<String> = applied.map(|row| format!("{:?}", row.name)).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            format!("the history says that of this release these are applied: {names}")
        }
        Err(error) => format!("the history could not be read ({error})"),
    };
    let left = format!(
        "a statement of {name:?}, or of a function that it calls, ended the transaction of the release \
            before its end, so a part of what it did may be \
         committed and nothing after it was; {known}; inspect what is there of {name:?}, put it right by \
         hand or restore the snapshot, and take \
         out of the file what commits or rolls back, and what sets standard_conforming_strings or \
         client_encoding"
    );
    Attempt::Failed(Box::new(failure(error, release.migration(at), &release.scripts[at], &left)))
}

/// What to do where PostgreSQL refuses the transaction and not the statement.
fn remedy(error: &SqlError, script: &Script) -> &'static str {
    match error.sqlstate.as_str() {
        _ if error.kind == SqlErrorKind::Held => held::remedy(error, script),
        _ if script.apart => "",
        "25001" | "2D000" => {
            "; it has to run outside of a transaction: put the line `-- sluice: no-transaction` at the \
                beginning of the file, and each of its statements runs by itself"
        }
        "55P04" => {
            "; the new value has to be committed first: write `COMMIT;` behind the statement that adds it, \
                and Sluice, like Prisma, goes on in another transaction"
        }
        _ => "",
    }
}

/// Where in its line an error is, if it is about a place of the file.
fn column(error: &SqlError, migration: &Migration) -> Option<u32> {
    let before = migration.sql.get(..error.offset?)?;
    let line = before.rsplit('\n').next().unwrap_or_default();
    u32::try_from(line.chars().count() + 1).ok()
}

/// The line and the statement that an error is about, without its literals.
fn place(error: &SqlError, migration: &Migration, script: &Script) -> (u32, String) {
    // An error may be about another text than the file, for instance about settings that were made again
    // before a statement.
    let before = error.offset.and_then(|offset| migration.sql.get(..offset));
    let line = before.map(|before| u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX));
    let by_offset = before
        .and_then(|before| script.statements.iter().rev().find(|statement| statement.start <= before.len()));
    if let Some(statement) = by_offset.or_else(|| script.statements.get(error.completed)) {
        return (line.unwrap_or(statement.line), redact::statement(statement.sql(), SHOWN));
    }
    let what = match held::at_the_end(error) {
        Some(what) => what,
        None if error.completed > script.statements.len() => "the row of the history",
        None => "a deferred constraint",
    };
    (
        script.statements.last().map_or(1, |statement| statement.line),
        format!("{what}, at the end of the file"),
    )
}
