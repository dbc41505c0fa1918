//! The stage `migrate`: takes the locks, makes sure that nothing changed since the plan, and applies the
//! release.

use std::{
    collections::BTreeMap,
    sync::OnceLock,
    time::{Duration, Instant},
};

use super::{
    Context,
    attempt::Release,
    baseline,
    custody::{in_transaction, trust},
    error::{MigrateError, lock_message},
    history::{scripts, summarise, texts},
    outcome_of,
    release::{self, Ended},
    texts::{keep, keep_alone, told},
};
use crate::{
    api::Reason,
    contract::{HistorySummary, Outcome, Stage, Verdict},
    inspect::release_begins,
    migrations::{LedgerRow, Script, SourceTree},
    postgres::{Ledger, Session, Watcher, connect, has_deferrable_constraints, preflight},
};

pub(super) async fn run(context: &Context, before: &[Outcome]) -> Outcome {
    let Some(plan) = outcome_of(before, Stage::Plan).and_then(|plan| plan.history.as_ref()) else {
        return Outcome::failed(
            Stage::Migrate,
            Reason::StageFailed,
            "the plan stage left no history to migrate from",
        );
    };
    if plan.pending_count == 0 && plan.resolving == 0 && plan.baselining == 0 {
        let kept = if plan.texts > 0 { keep_alone(context).await } else { Ok(0) };
        let outcome =
            Outcome::passed(Stage::Migrate, Reason::Applied, format!("nothing was pending{}", told(kept)));
        return Outcome { history: Some(plan.clone()), ..outcome };
    }
    let snapshot_took = outcome_of(before, Stage::Snapshot).map_or(0, |snapshot| snapshot.milliseconds);
    let patience = context.patience.max(Duration::from_millis(snapshot_took));
    match migrate(context, plan, patience).await {
        Ok(outcome) => outcome,
        Err(MigrateError::Stopped { reason, message }) => Outcome::failed(Stage::Migrate, reason, message),
        Err(MigrateError::Refused(outcome)) => *outcome,
        Err(MigrateError::Waiting { message, blockers }) => {
            Outcome { blockers, ..Outcome::failed(Stage::Migrate, Reason::WaitingForLock, message) }
        }
        Err(MigrateError::Query(error)) => Outcome::failed(Stage::Migrate, error.reason(), error.to_string()),
    }
}

async fn migrate(
    context: &Context,
    plan: &HistorySummary,
    patience: Duration,
) -> Result<Outcome, MigrateError> {
    let source = context.source().map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let url = context.url().map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let connection = connect(url, &context.application())
        .await
        .map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let mut session =
        Session::new(connection, context.manifest.lock_timeout, context.manifest.statement_timeout)
            .await
            .map_err(MigrateError::Query)?;
    let ledger = context.ledger();
    lock(context, &mut session, &ledger, Instant::now() + patience.min(context.remaining())).await?;
    trust(&mut session, &ledger).await?;
    let rows = ledger
        .rows(session.trusted().await.map_err(MigrateError::Query)?)
        .await
        .map_err(MigrateError::Query)?;
    if LedgerRow::digest(&rows) != plan.ledger_digest || source.digest != plan.source_digest {
        let changed = if source.digest == plan.source_digest {
            "somebody migrated this database"
        } else {
            "the source changed"
        };
        return Err(MigrateError::stopped(
            Reason::HistoryChanged,
            &format!("{changed} after the plan was made; the plan is made again"),
        ));
    }
    resolve(context, &mut session, &ledger, source).await?;
    if plan.baselining > 0 {
        baseline::record(context, &mut session, &ledger, source).await?;
    }

    let rows = ledger
        .rows(session.trusted().await.map_err(MigrateError::Query)?)
        .await
        .map_err(MigrateError::Query)?;
    let server = preflight(
        session.trusted().await.map_err(MigrateError::Query)?,
        &context.manifest.schemas,
        &ledger.contract,
    )
    .await
    .map_err(MigrateError::Query)?
    .map_err(|objection| MigrateError::Stopped { reason: objection.reason, message: objection.message })?;
    let texts = texts(session.trusted().await.map_err(MigrateError::Query)?, source, &rows)
        .await
        .map_err(MigrateError::Query)?;
    let (comparison, _) = summarise(source, &rows, &[], &context.rules(&texts), server.major);
    if let Some((reason, message)) = comparison.objection {
        return Err(MigrateError::Stopped { reason, message });
    }
    let scripts = scripts(source, &comparison.pending, &rows);
    let scripts =
        scripts.map_err(|message| MigrateError::Stopped { reason: Reason::SourceInvalid, message })?;
    let watcher = Watcher::start(url, &context.application(), session.pid)
        .await
        .map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let began = release_begins(session.trusted().await.map_err(MigrateError::Query)?).await;
    let began = began.map_err(|error| MigrateError::stopped(Reason::StageFailed, &error))?;
    let release = Release {
        context,
        began,
        ledger: &ledger,
        source,
        pending: &comparison.pending,
        lock_budget: server.lock_budget,
        patience,
        defers: defers(&mut session, &scripts).await?,
        scripts: &scripts,
        keeps_texts: OnceLock::new(),
    };
    let ended = release::apply(&mut session, &watcher, &release).await?;
    let mut outcome = conclude(context, &mut session, &ledger, source, ended, server.major).await;
    if plan.texts > 0 && outcome.verdict == Verdict::Passed && session.usable {
        outcome.message += &told(keep(&mut session, &ledger, source).await);
    }
    session.close().await;
    Ok(Outcome { began: Some(began.0), ..outcome })
}

/// Whether constraints that can be deferred exist, or a pending file makes one.
async fn defers(session: &mut Session, scripts: &[Script]) -> Result<bool, MigrateError> {
    let mut statements = scripts.iter().flat_map(|script| &script.statements);
    if statements.any(|statement| statement.defers) {
        return Ok(true);
    }
    has_deferrable_constraints(session.trusted().await.map_err(MigrateError::Query)?)
        .await
        .map_err(MigrateError::Query)
}

/// Tells what the database holds now, whatever happened.
async fn conclude(
    context: &Context,
    session: &mut Session,
    ledger: &Ledger,
    source: &SourceTree,
    ended: Ended,
    major: u32,
) -> Outcome {
    let mut outcome = match ended {
        Ended::Applied(names) if names.is_empty() => Outcome::passed(
            Stage::Migrate,
            Reason::Applied,
            "nothing was to run; the ledger says what is there",
        ),
        Ended::Applied(names) => {
            let last = names.last().map_or("nothing", String::as_str);
            Outcome::passed(
                Stage::Migrate,
                Reason::Applied,
                format!("{} migration(s) applied, up to {last}", names.len()),
            )
        }
        Ended::Failed(outcome) => *outcome,
    };
    if session.usable
        && let Ok(connection) = session.trusted().await
        && let Ok(rows) = ledger.rows(connection).await
    {
        outcome.history = Some(summarise(source, &rows, &[], &context.rules(&BTreeMap::new()), major).1);
    }
    outcome
}

async fn lock(
    context: &Context,
    session: &mut Session,
    ledger: &Ledger,
    until: Instant,
) -> Result<(), MigrateError> {
    let taken = session
        .lock(&context.application(), &ledger.contract.locks, until)
        .await
        .map_err(MigrateError::Query)?;
    taken.map_err(lock_message)
}

/// Carries out the manifest's verdicts on failed rows.
async fn resolve(
    context: &Context,
    session: &mut Session,
    ledger: &Ledger,
    source: &SourceTree,
) -> Result<(), MigrateError> {
    for verdict in &context.manifest.resolve {
        if !ledger
            .exists_for(session.trusted().await.map_err(MigrateError::Query)?, &verdict.name)
            .await
            .map_err(MigrateError::Query)?
        {
            continue;
        }
        let checksum = source
            .migrations
            .iter()
            .find(|migration| migration.name == verdict.name)
            .map(|migration| migration.checksum.as_str());
        let done = in_transaction(session, ledger, async |session| {
            ledger.resolve(session.trusted().await?, verdict, checksum).await
        })
        .await?;
        if done {
            tracing::info!(migration = %verdict.name, verdict = ?verdict.verdict, "resolved a failed \
                migration");
        }
    }
    Ok(())
}
