//! The stage `migrate`: takes the locks, makes sure that nothing changed since the plan, and applies the release.

use std::time::{Duration, Instant};

use super::{
    Context,
    history::summarise,
    outcome::{Outcome, Stage},
    outcome_of,
    release::{self, Ended},
};
use crate::{
    api::{Blocker, Reason},
    migrations::{LedgerRow, SourceTree, load},
    postgres::{Ledger, QueryError, Session, Watcher, acquire_advisory_locks, connect, preflight},
};

/// A migration waits at least this long for a lock; longer when taking the snapshot again would cost more.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the stage could not do.
#[derive(Debug, thiserror::Error)]
pub(super) enum MigrateError {
    #[error("{message}")]
    Stopped { reason: Reason, message: String },
    #[error("{message}")]
    Waiting { message: String, blockers: Vec<Blocker> },
    #[error(transparent)]
    Query(QueryError),
}

impl MigrateError {
    fn stopped(reason: Reason, error: &dyn std::fmt::Display) -> Self {
        Self::Stopped { reason, message: error.to_string() }
    }
}

pub(super) async fn run(context: &Context, before: &[Outcome]) -> Outcome {
    let Some(plan) = outcome_of(before, Stage::Plan).filter(|plan| plan.history.is_some()) else {
        return Outcome::failed(Stage::Migrate, Reason::StageFailed, "the plan stage left no history to migrate from");
    };
    if plan.history.as_ref().is_some_and(|history| history.pending_count == 0 && history.resolving == 0) {
        let outcome = Outcome::passed(Stage::Migrate, Reason::Applied, "nothing was pending");
        return Outcome { history: plan.history.clone(), ..outcome };
    }
    let snapshot_took = outcome_of(before, Stage::Snapshot).map_or(0, |snapshot| snapshot.milliseconds);
    let patience = PATIENCE.max(Duration::from_millis(snapshot_took));
    match migrate(context, plan, patience).await {
        Ok(outcome) => outcome,
        Err(MigrateError::Stopped { reason, message }) => Outcome::failed(Stage::Migrate, reason, message),
        Err(MigrateError::Waiting { message, blockers }) => {
            Outcome { blockers, ..Outcome::failed(Stage::Migrate, Reason::WaitingForLock, message) }
        }
        Err(MigrateError::Query(error)) => Outcome::failed(Stage::Migrate, Reason::ConnectionFailed, error.to_string()),
    }
}

async fn migrate(context: &Context, plan: &Outcome, patience: Duration) -> Result<Outcome, MigrateError> {
    let planned = plan.history.as_ref().map_or("", |history| history.ledger_digest.as_str());
    let source = load(context.manifest.format, &context.source).map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let url = context.url().map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let connection = connect(url, &context.application()).await.map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let mut session =
        Session::new(connection, context.manifest.lock_timeout, context.manifest.statement_timeout).await.map_err(MigrateError::Query)?;
    let ledger = context.ledger();
    lock(&mut session, &ledger, Instant::now() + patience.min(context.remaining())).await?;

    let rows = ledger.rows(&mut session.connection).await.map_err(MigrateError::Query)?;
    if LedgerRow::digest(&rows) != planned {
        let message = "somebody migrated this database after the plan was made; the plan is made again";
        return Err(MigrateError::stopped(Reason::HistoryChanged, &message));
    }
    resolve(context, &mut session, &ledger, &source).await?;
    let rows = ledger.rows(&mut session.connection).await.map_err(MigrateError::Query)?;
    let server = preflight(&mut session.connection, &context.manifest.schemas, &ledger.contract.schema)
        .await
        .map_err(MigrateError::Query)?
        .map_err(|objection| MigrateError::Stopped { reason: objection.reason, message: objection.message })?;
    let (comparison, _) = summarise(&source, &rows, &[], context.manifest.target.as_deref(), server.major);
    if let Some((reason, message)) = comparison.objection {
        return Err(MigrateError::Stopped { reason, message });
    }
    let watcher =
        Watcher::start(url, &context.application(), session.pid).await.map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let release = release::Release {
        context,
        ledger: &ledger,
        source: &source,
        pending: &comparison.pending,
        lock_budget: server.lock_budget,
        waits_until: (Instant::now() + patience).min(context.until),
        rows: &rows,
    };
    let ended = release::apply(&mut session, &watcher, &release).await?;
    let outcome = conclude(context, &mut session, &ledger, &source, ended, server.major).await;
    session.close().await;
    Ok(outcome)
}

/// Tells what the database holds now, whatever happened.
async fn conclude(context: &Context, session: &mut Session, ledger: &Ledger, source: &SourceTree, ended: Ended, major: u32) -> Outcome {
    let mut outcome = match ended {
        Ended::Applied(names) => {
            let last = names.last().map_or("nothing", String::as_str);
            Outcome::passed(Stage::Migrate, Reason::Applied, format!("{} migration(s) applied, up to {last}", names.len()))
        }
        Ended::Failed(outcome) => *outcome,
    };
    if let Ok(rows) = ledger.rows(&mut session.connection).await {
        outcome.history = Some(summarise(source, &rows, &[], context.manifest.target.as_deref(), major).1);
    }
    outcome
}

async fn lock(session: &mut Session, ledger: &Ledger, until: Instant) -> Result<(), MigrateError> {
    let taken = acquire_advisory_locks(&mut session.connection, &ledger.contract.locks, until).await.map_err(MigrateError::Query)?;
    taken.map_err(|holder| {
        let who = holder.as_ref().map_or_else(|| "another session".to_owned(), describe);
        MigrateError::Waiting {
            message: format!("another migration tool holds the migration lock of this database: {who}; Sluice tries again"),
            blockers: holder.into_iter().collect(),
        }
    })
}

/// A blocker in words.
pub(super) fn describe(blocker: &Blocker) -> String {
    let application = if blocker.application.is_empty() { "an unnamed application" } else { &blocker.application };
    format!("pid {} ({application}, role {}, {}, for {} s)", blocker.pid, blocker.user, blocker.state, blocker.age_seconds)
}

/// Carries out the manifest's verdicts on failed rows.
async fn resolve(context: &Context, session: &mut Session, ledger: &Ledger, source: &SourceTree) -> Result<(), MigrateError> {
    if context.manifest.resolve.is_empty() || !ledger.exists(&mut session.connection).await.map_err(MigrateError::Query)? {
        return Ok(());
    }
    for verdict in &context.manifest.resolve {
        let checksum =
            source.migrations.iter().find(|migration| migration.name == verdict.name).map(|migration| migration.checksum.as_str());
        let done = ledger.resolve(&mut session.connection, verdict, checksum).await.map_err(MigrateError::Query)?;
        if done {
            tracing::info!(migration = %verdict.name, verdict = ?verdict.verdict, "resolved a failed migration");
        }
    }
    Ok(())
}
