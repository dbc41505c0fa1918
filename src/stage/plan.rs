//! The stage `plan`: connect, read, compare, list. Changes nothing.

use std::time::{Duration, Instant};

use super::{
    Context, baseline,
    history::{scripts, summarise, texts},
    linted,
    resume::{self, Journaled},
    texts::missing,
};
use crate::{
    api::Reason,
    contract::{HistorySummary, Outcome, Purpose, Stage, Verdict},
    migrations::{Comparison, Group, HistoryRow, Script, SourceTree, how, listed, plan_groups},
    postgres::{
        Objection, QueryError, ServerFacts, connect, count_tables, end_earlier_sessions,
        own_schema_objection, preflight,
    },
};

/// How long sessions of an earlier run may take to end.
const SESSIONS_END_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
enum PlanError {
    #[error("{message}")]
    Objection { reason: Reason, message: String },
    #[error(transparent)]
    Query(QueryError),
}

/// What a run would execute: the scripts of the release, and how they are grouped into transactions.
#[derive(Debug)]
pub struct Course {
    /// Of each pending migration, in order.
    pub scripts: Vec<Script>,
    /// Their transactions and steps.
    pub groups: Vec<Group>,
}

pub(super) async fn run(context: &Context) -> Outcome {
    course(context).await.0
}

/// The verdict of the stage and, where it passed, what a run would execute.
pub(super) async fn course(context: &Context) -> (Outcome, Option<Course>) {
    let failed = |reason, message| (Outcome::failed(Stage::Plan, reason, message), None);
    match plan(context).await {
        Ok(planned) => planned,
        Err(PlanError::Objection { reason, message }) => failed(reason, message),
        Err(PlanError::Query(error)) => failed(error.reason(), error.to_string()),
    }
}

async fn plan(context: &Context) -> Result<(Outcome, Option<Course>), PlanError> {
    let object =
        |reason, error: &dyn std::fmt::Display| PlanError::Objection { reason, message: error.to_string() };
    let source = context.source().map_err(|error| object(error.reason(), &error))?;
    let url = context.url().map_err(|error| object(error.reason(), &error))?;
    let mut connection =
        connect(url, &context.application()).await.map_err(|error| object(error.reason(), &error))?;
    if context.purpose == Purpose::Verify {
        // Only then is what it reads what the run before it has left.
        let until = Instant::now() + SESSIONS_END_WITHIN.min(context.remaining());
        let ended = end_earlier_sessions(&mut connection, &context.application(), until).await;
        if !ended.map_err(PlanError::Query)? {
            let message = "a session of an earlier run of this DatabaseMigration does not end";
            return Err(object(Reason::WaitingForLock, &message));
        }
    }
    let history_table = context.history_table();
    let server = preflight(&mut connection, &context.manifest.schemas, &history_table.contract)
        .await
        .map_err(PlanError::Query)?
        .map_err(|objection| PlanError::Objection { reason: objection.reason, message: objection.message })?;
    let rows = history_table.rows(&mut connection).await.map_err(PlanError::Query)?;
    // Tables without a history matter only where there is no history.
    let mut strangers = if rows.is_empty() {
        count_tables(&mut connection, &context.manifest.schemas, &history_table.contract)
            .await
            .map_err(PlanError::Query)?
    } else {
        0
    };
    let recorded = baseline::members(context, source, &rows, strangers);
    let recorded = recorded.map_err(|(reason, message)| PlanError::Objection { reason, message })?;
    if !recorded.is_empty() {
        if let Some(refusal) =
            baseline::refusal(Stage::Plan, context, &mut connection, source, &recorded).await
        {
            return Ok((refusal, None));
        }
        strangers = 0;
    }
    let digest = HistoryRow::digest(&rows);
    let rows = baseline::as_recorded(&rows, source, &recorded);
    let texts = texts(&mut connection, source, &rows).await.map_err(PlanError::Query)?;
    let (comparison, summary) = summarise(
        source,
        &rows,
        &context.manifest.resolve,
        &context.rules(&texts, context.holds()),
        server.major,
    );
    let scripts = scripts(source, &comparison.pending, &rows);
    let journaled = scripts.iter().flatten().any(|script| !script.is_transactional());
    let with_phases = comparison.pending.iter().any(|at| source.migrations[*at].phase().is_some());
    let why =
        if journaled { "its journal of steps goes there" } else { "the history of its phases goes there" };
    let asked =
        if journaled || with_phases { own_schema_objection(&mut connection, why).await } else { Ok(None) };
    let objection = asked.map_err(PlanError::Query)?;
    let journaled = resume::read(&mut connection, &rows).await.map_err(PlanError::Query)?;
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let unkept = missing(&mut connection, server.texts, source, &rows).await.map_err(PlanError::Query)?;
    let summary = HistorySummary {
        history_digest: digest,
        baselining: count(recorded.len()),
        texts: count(unkept.len()),
        ..summary
    };
    let linted = linted::read(context, &mut connection, source, &comparison.pending);
    let linted = linted.await.map_err(PlanError::Query)?;
    let seen = Seen { server, strangers, scripts, objection, journaled };
    let mut outcome = judge(context, source, comparison, summary, &seen);
    if outcome.reason == Reason::PlanReady {
        linted.judge(&mut outcome);
    }
    if outcome.verdict == Verdict::Passed {
        outcome.message = format!("{}; connected with {}", outcome.message, url.encryption());
    }
    let course = seen.scripts.ok().filter(|_| outcome.verdict == Verdict::Passed).map(|scripts| {
        let groups = plan_groups(&scripts, context.manifest.atomicity, seen.server.lock_budget);
        Course { scripts, groups }
    });
    Ok((outcome, course))
}

/// What the database said, and what it means for the source.
struct Seen {
    server: ServerFacts,
    /// Tables of a database that has no history.
    strangers: i64,
    scripts: Result<Vec<Script>, String>,
    /// Why a migration that runs step by step, or one of a phase, could not.
    objection: Option<Objection>,
    /// How far the migrations came that an earlier attempt began step by step.
    journaled: Journaled,
}

/// From what was read to an Outcome. PURE.
fn judge(
    context: &Context,
    source: &SourceTree,
    comparison: Comparison,
    summary: HistorySummary,
    seen: &Seen,
) -> Outcome {
    let mut findings = comparison.findings;
    findings.extend(source.findings.iter().cloned());
    findings.sort();
    let mut outcome = if let Some((reason, message)) = comparison.objection {
        Outcome::failed(Stage::Plan, reason, message)
    } else if seen.strangers > 0 && !comparison.pending.is_empty() {
        let message = format!(
            "the database has {} tables but no history: name in spec.migrations.baseline.upTo the migration \
                up to which they are there, and Sluice \
             compares the schema and records that; before, Sluice cannot tell what is pending",
            seen.strangers
        );
        Outcome::failed(Stage::Plan, Reason::NonEmptyDatabase, message)
    } else if let Some(objection) = &seen.objection {
        Outcome::failed(Stage::Plan, objection.reason, objection.message.clone())
    } else {
        match &seen.scripts {
            Err(message) => Outcome::failed(Stage::Plan, Reason::SourceInvalid, message.clone()),
            Ok(_) if !comparison.ahead.is_empty() => is_ahead(&comparison.ahead, &summary),
            Ok(scripts) => passed(context, source, &comparison.pending, scripts, &summary, seen),
        }
    };
    if let (Verdict::Passed, Some(baseline), 1..) =
        (outcome.verdict, &context.manifest.baseline, summary.baselining)
    {
        let recorded = format!(
            "the schema is what the migrations up to {} make, and {} are recorded as applied",
            baseline.up_to, summary.baselining
        );
        outcome.message = format!("{recorded}; {}", outcome.message);
    }
    if let (Verdict::Passed, Some(held)) = (outcome.verdict, &comparison.held) {
        outcome.message = format!("{}; {}", outcome.message, held.message());
    }
    outcome.findings = findings;
    outcome.history = Some(summary);
    outcome
}

/// Nothing is pending, and the source is an older release.
fn is_ahead(ahead: &[String], summary: &HistorySummary) -> Outcome {
    let names: Vec<&str> = ahead.iter().map(String::as_str).collect();
    let current = summary.current.as_deref().unwrap_or("an empty history");
    let message = format!(
        "the source is older than the database, which is at {current}: it lacks {}, which {} applied; \
            nothing is pending",
        listed(&names),
        if names.len() == 1 { "stays" } else { "stay" }
    );
    Outcome::passed(Stage::Plan, Reason::DatabaseAhead, message)
}

fn passed(
    context: &Context,
    source: &SourceTree,
    pending: &[usize],
    scripts: &[Script],
    summary: &HistorySummary,
    seen: &Seen,
) -> Outcome {
    if pending.is_empty() {
        let mut message = match &summary.current {
            Some(current) => format!("nothing is pending; the database is at {current}"),
            None => "nothing is pending; the source has no migrations".to_owned(),
        };
        if summary.resolving > 0 {
            message =
                format!("{message}; {} failed row(s) are resolved as the manifest says", summary.resolving);
        }
        return Outcome::passed(Stage::Plan, Reason::NothingPending, message);
    }
    let groups = plan_groups(scripts, context.manifest.atomicity, seen.server.lock_budget);
    let name = |at: usize| source.migrations[pending[at]].name.as_str();
    let mut parts = Vec::new();
    for group in &groups {
        parts.push(match group {
            Group::Transaction(members) if members.len() == 1 => {
                format!("{} in a transaction", name(members[0]))
            }
            Group::Transaction(members) => {
                format!("{} … {} in one transaction", name(members[0]), name(members[members.len() - 1]))
            }
            Group::Stepwise { migration, steps } => {
                let (name, script) = (name(*migration), &scripts[*migration]);
                match seen.journaled.get(name) {
                    None => format!("{name} {}", how(script)),
                    Some(known) => match resume::edited(known, &resume::digests(script, steps)) {
                        Some(step) => {
                            return Outcome::failed(
                                Stage::Plan,
                                Reason::HistoryDirty,
                                resume::changed(name, step),
                            );
                        }
                        None => format!("{name}, which {}", resume::goes_on(known, steps.len())),
                    },
                }
            }
        });
    }
    let message = format!("{} pending: {}", pending.len(), parts.join(", then "));
    Outcome::passed(Stage::Plan, Reason::PlanReady, message)
}
