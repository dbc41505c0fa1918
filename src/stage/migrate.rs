//! The stage `migrate`: takes the locks, makes sure that nothing changed since the plan, and applies the
//! release.

use std::{
    collections::BTreeMap,
    sync::OnceLock,
    time::{Duration, Instant},
};

use super::{
    Context, Evidence, Passed, Plan, Rehearsed, Snapshot,
    attempt::Release,
    baseline, blocked, copy,
    custody::{in_transaction, trust},
    error::{MigrateError, lock_message},
    history::{scripts, summarise, texts},
    progress::seen_meanwhile,
    release::{self, Ended},
    texts::{keep, keep_alone, told},
};
use crate::{
    api::Reason,
    contract::{HistorySummary, Outcome, Stage, Verdict},
    inspect::release_begins,
    migrations::{HistoryRow, Holds, Script, SourceTree},
    postgres::{
        ConnectionUrl, HistoryTable, LockPolicy, ServerFacts, Session, Watcher, connect,
        has_deferrable_constraints, preflight,
    },
};

/// Applies what is pending. What was planned, and what became of snapshot and rehearsal, is proven before:
///
/// ```
/// # use sluice::stage::{Context, Evidence, Passed, Plan, Rehearsed, Snapshot, migrate};
/// # type Proven<'a> = (&'a Passed<Plan>, &'a Evidence<Snapshot>, &'a Evidence<Rehearsed>);
/// # async fn example(context: &Context, (plan, snapshot, rehearsed): Proven<'_>) {
/// migrate(context, plan, snapshot, rehearsed).await;
/// # }
/// ```
///
/// Without it there is nothing to call:
///
/// ```compile_fail
/// # use sluice::stage::{Context, Evidence, Passed, Plan, Rehearsed, Snapshot, migrate};
/// # type Proven<'a> = (&'a Passed<Plan>, Option<&'a Evidence<Snapshot>>, &'a Evidence<Rehearsed>);
/// # async fn example(context: &Context, (plan, snapshot, rehearsed): Proven<'_>) {
/// migrate(context, plan, snapshot, rehearsed).await;
/// # }
/// ```
///
/// ```compile_fail
/// # use sluice::stage::{Context, Evidence, Passed, Plan, Rehearsed, Snapshot, migrate};
/// # type Proven<'a> = (&'a Passed<Plan>, &'a Evidence<Snapshot>, Option<&'a Evidence<Rehearsed>>);
/// # async fn example(context: &Context, (plan, snapshot, rehearsed): Proven<'_>) {
/// migrate(context, plan, snapshot, rehearsed).await;
/// # }
/// ```
///
/// ```compile_fail
/// # use sluice::stage::{Context, Evidence, Plan, Rehearsed, Snapshot, migrate};
/// # type Proven<'a> = (&'a Plan, &'a Evidence<Snapshot>, &'a Evidence<Rehearsed>);
/// # async fn example(context: &Context, (plan, snapshot, rehearsed): Proven<'_>) {
/// migrate(context, plan, snapshot, rehearsed).await;
/// # }
/// ```
pub async fn migrate(
    context: &Context,
    plan: &Passed<Plan>,
    snapshot: &Evidence<Snapshot>,
    _rehearsed: &Evidence<Rehearsed>,
) -> Outcome {
    let plan = &plan.get().history;
    if plan.pending_count == 0 && plan.resolving == 0 && plan.baselining == 0 {
        let kept = if plan.texts > 0 { keep_alone(context).await } else { Ok(0) };
        let outcome =
            Outcome::passed(Stage::Migrate, Reason::Applied, format!("nothing was pending{}", told(kept)));
        return Outcome { history: Some(plan.clone()), ..outcome };
    }
    match apply(context, plan, context.patience.max(snapshot.took())).await {
        Ok(outcome) => outcome,
        Err(MigrateError::Stopped { reason, message }) => Outcome::failed(Stage::Migrate, reason, message),
        Err(MigrateError::Refused(outcome)) => *outcome,
        Err(MigrateError::Waiting { message, blockers }) => {
            Outcome { blockers, ..Outcome::failed(Stage::Migrate, Reason::WaitingForLock, message) }
        }
        Err(MigrateError::Query(error)) => Outcome::failed(Stage::Migrate, error.reason(), error.to_string()),
    }
}

async fn apply(
    context: &Context,
    plan: &HistorySummary,
    patience: Duration,
) -> Result<Outcome, MigrateError> {
    let source = context.source().map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let url = context.url().map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let history_table = context.history_table();
    let mut session = open(context, url).await?;
    lock(context, &mut session, &history_table, Instant::now() + patience.min(context.remaining())).await?;
    trust(&mut session, &history_table).await?;
    is_as_planned(&mut session, &history_table, source, plan).await?;
    resolve(context, &mut session, &history_table, source).await?;
    if plan.baselining > 0 {
        baseline::record(context, &mut session, &history_table, source).await?;
    }
    let Prepared { server, pending, scripts } =
        prepare(context, &mut session, &history_table, source, holds(plan)).await?;
    let policy = LockPolicy { held: context.manifest.lock_held, blockers: context.manifest.blockers };
    let watcher = Watcher::start(url, &context.application(), session.pid, policy)
        .await
        .map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let began = release_begins(session.trusted().await.map_err(MigrateError::Query)?).await;
    let began = began.map_err(|error| MigrateError::stopped(Reason::StageFailed, &error))?;
    let release = Release {
        context,
        began,
        history_table: &history_table,
        source,
        pending: &pending,
        lock_budget: server.lock_budget,
        patience,
        defers: defers(&mut session, &scripts).await?,
        scripts: &scripts,
        keeps_texts: OnceLock::new(),
    };
    copy::sweep(&mut session, &watcher, &release).await?;
    let work = release::apply(&mut session, &watcher, &release);
    let ended = seen_meanwhile(&context.progress, &watcher, work).await?;
    let locks = watcher.longest_holds().await;
    let of_plan = (server.major, holds(plan));
    let mut outcome = conclude(context, &mut session, &history_table, source, ended, of_plan).await;
    let terminations = watcher.terminations().await;
    outcome.message += &blocked::told(&terminations);
    outcome.ended = terminations.ended;
    if outcome.reason == Reason::DeadlineExceeded {
        outcome.blockers = watcher.blockers_at(context.until);
    }
    if plan.texts > 0 && outcome.verdict == Verdict::Passed && session.usable {
        outcome.message += &told(keep(&mut session, &history_table, source).await);
    }
    session.close().await;
    Ok(Outcome { began: Some(began.0), locks, ..outcome })
}

async fn open(context: &Context, url: &ConnectionUrl) -> Result<Session, MigrateError> {
    let connection = connect(url, &context.application())
        .await
        .map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    Session::new(connection, context.manifest.lock_timeout, context.manifest.statement_timeout)
        .await
        .map_err(MigrateError::Query)
}

/// Source and history are those of the plan.
async fn is_as_planned(
    session: &mut Session,
    history_table: &HistoryTable,
    source: &SourceTree,
    plan: &HistorySummary,
) -> Result<(), MigrateError> {
    let rows = rows(session, history_table).await?;
    let changed = if source.digest != plan.source_digest {
        "the source changed"
    } else if HistoryRow::digest(&rows) != plan.history_digest {
        "another session migrated this database"
    } else {
        return Ok(());
    };
    Err(MigrateError::stopped(
        Reason::HistoryChanged,
        &format!("{changed} after the plan was made; Sluice plans again"),
    ))
}

async fn rows(session: &mut Session, history_table: &HistoryTable) -> Result<Vec<HistoryRow>, MigrateError> {
    let connection = session.trusted().await.map_err(MigrateError::Query)?;
    history_table.rows(connection).await.map_err(MigrateError::Query)
}

/// What the plan holds stays held, also when its time comes meanwhile.
fn holds(plan: &HistorySummary) -> Holds<'_> {
    Holds::Only(plan.held.as_ref().map(|held| held.migration.as_str()))
}

/// What a release is made of.
struct Prepared {
    server: ServerFacts,
    /// Indexes into the source.
    pending: Vec<usize>,
    scripts: Vec<Script>,
}

/// Compares once more, now that no other session can change the history, and splits what is pending.
async fn prepare(
    context: &Context,
    session: &mut Session,
    history_table: &HistoryTable,
    source: &SourceTree,
    holds: Holds<'_>,
) -> Result<Prepared, MigrateError> {
    let rows = rows(session, history_table).await?;
    let connection = session.trusted().await.map_err(MigrateError::Query)?;
    let server = preflight(connection, &context.manifest.schemas, &history_table.contract)
        .await
        .map_err(MigrateError::Query)?
        .map_err(|objection| MigrateError::Stopped {
            reason: objection.reason,
            message: objection.message,
        })?;
    let connection = session.trusted().await.map_err(MigrateError::Query)?;
    let texts = texts(connection, source, &rows).await.map_err(MigrateError::Query)?;
    let (comparison, _) = summarise(source, &rows, &[], &context.rules(&texts, holds), server.major);
    if let Some((reason, message)) = comparison.objection {
        return Err(MigrateError::Stopped { reason, message });
    }
    let scripts = scripts(source, &comparison.pending, &rows)
        .map_err(|message| MigrateError::Stopped { reason: Reason::SourceInvalid, message })?;
    Ok(Prepared { server, pending: comparison.pending, scripts })
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
    history_table: &HistoryTable,
    source: &SourceTree,
    ended: Ended,
    (major, holds): (u32, Holds<'_>),
) -> Outcome {
    let mut outcome = match ended {
        Ended::Applied(names) if names.is_empty() => Outcome::passed(
            Stage::Migrate,
            Reason::Applied,
            "nothing was to run; the history says what is there",
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
        && let Ok(rows) = history_table.rows(connection).await
    {
        let texts = BTreeMap::new();
        outcome.history = Some(summarise(source, &rows, &[], &context.rules(&texts, holds), major).1);
    }
    outcome
}

async fn lock(
    context: &Context,
    session: &mut Session,
    history_table: &HistoryTable,
    until: Instant,
) -> Result<(), MigrateError> {
    let taken = session
        .lock(&context.application(), &history_table.contract.locks, until)
        .await
        .map_err(MigrateError::Query)?;
    taken.map_err(lock_message)
}

/// Carries out the manifest's verdicts on failed rows.
async fn resolve(
    context: &Context,
    session: &mut Session,
    history_table: &HistoryTable,
    source: &SourceTree,
) -> Result<(), MigrateError> {
    for verdict in &context.manifest.resolve {
        if !history_table
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
        let done = in_transaction(session, history_table, async |session| {
            history_table.resolve(session.trusted().await?, verdict, checksum).await
        })
        .await?;
        if done {
            tracing::info!(migration = %verdict.name, verdict = ?verdict.verdict, "resolved a failed \
                migration");
        }
    }
    Ok(())
}
