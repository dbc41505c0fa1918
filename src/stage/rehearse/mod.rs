//! A rehearsal: the pending release runs in a scratch database, statement by statement in its real
//! transactions, and says what each statement took, locked and wrote anew. Nothing of the server is changed.
//!
//! `base` is what the release is tried on, `release` runs it, `trace` watches one transaction, `changes` tells what
//! became of the schema, `result` is what was found, as data, and `limits` what of it is too much. `stage` makes it
//! a stage of a run.

mod base;
mod changes;
mod limits;
mod release;
mod result;
pub(super) mod stage;
mod trace;

use std::collections::BTreeSet;

pub use base::Ground;
pub use result::{
    ChangeKind, Rehearsal, RehearsedLock, RehearsedStatement, RehearsedTransaction, RelationKind, Rewrite,
    SchemaChange, StatementPlace,
};

use sqlx::PgConnection;

use self::{base::Base, release::Release};
use super::{
    Context, confined,
    ground::{self, ReplayError, Use},
    history::{as_applied, scripts, texts},
};
use crate::{
    api::{Finding, Reason, Severity},
    check,
    contract::{HistorySummary, Outcome, Stage, Verdict, outcome_message},
    inspect::{Aspect, Scope},
    migrations::{Migration, Script, SourceTree},
    postgres::{
        ConnectionUrl, ServerFacts, Session, Transaction, connect, has_deferrable_constraints, preflight,
        server_major,
    },
    redact,
};

const USE: Use =
    Use { now: "the release is rehearsed", then: "the release was rehearsed", without: "what it would do" };
/// The most characters of a statement that are shown.
const SHOWN: usize = 300;

/// Rehearses what is pending. Whatever hinders it stands in the message of what it answers.
pub async fn rehearse(context: &Context, on: &Ground) -> Rehearsal {
    let plan = super::run(Stage::Plan, context, &[]).await;
    if plan.verdict != Verdict::Passed {
        return Rehearsal::failed(on.name(), plan.reason, plan.message);
    }
    if plan.history.as_ref().is_none_or(|history| history.pending_count == 0) {
        let message = format!("there is nothing to rehearse: {}", plan.message);
        return Rehearsal::not_needed(on.name(), message);
    }
    on_ground(context, on, &plan).await
}

/// Rehearses what a plan that passed has found pending.
async fn on_ground(context: &Context, on: &Ground, plan: &Outcome) -> Rehearsal {
    told(on, prepared(context, on, plan, Behind::History).await)
}

/// Rehearses the migrations of the source but these, which are replayed, whatever the database has of either. It
/// needs no more than a server on which the role may make a database.
pub async fn rehearse_behind(context: &Context, before: &BTreeSet<String>) -> Rehearsal {
    let (on, source) = (Ground::Schema, context.source());
    let source = match source {
        Ok(source) => source,
        Err(error) => return Rehearsal::failed(on.name(), error.reason(), error.to_string()),
    };
    let (applied, pending): (Vec<&String>, Vec<&String>) =
        source.migrations.iter().map(|migration| &migration.name).partition(|name| before.contains(*name));
    if pending.is_empty() {
        return Rehearsal::not_needed(on.name(), "there is nothing to rehearse".to_owned());
    }
    let history = HistorySummary {
        applied: applied.into_iter().rev().cloned().collect(),
        pending: pending.into_iter().cloned().collect(),
        ..HistorySummary::default()
    };
    let plan = Outcome { history: Some(history), ..Outcome::passed(Stage::Plan, Reason::PlanReady, "") };
    told(&on, prepared(context, &on, &plan, Behind::Files).await)
}

fn told(on: &Ground, rehearsal: Result<Rehearsal, ReplayError>) -> Rehearsal {
    rehearsal.unwrap_or_else(|error| {
        let (reason, message) = why(error);
        Rehearsal::failed(on.name(), reason, message)
    })
}

/// What the release comes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    /// What the database has, with the texts of then.
    History,
    /// Other files of the source, as they are.
    Files,
}

/// The reason, and the words for people.
fn why(error: ReplayError) -> (Reason, String) {
    match error.told() {
        // It is no baseline that differs: the release could not be tried.
        (Reason::BaselineDiffers, message) => (Reason::RehearsalFailed, message),
        told => told,
    }
}

/// What is pending, read from the real database and the source.
struct Pending<'a> {
    /// Each with its file, split and whole.
    files: Vec<(&'a Migration, Script)>,
    /// The source as it was applied.
    applied: SourceTree,
    server: ServerFacts,
}

async fn pending<'a>(
    context: &'a Context,
    real: &mut PgConnection,
    plan: &Outcome,
    behind: Behind,
) -> Result<Pending<'a>, ReplayError> {
    let stopped = |reason, message| ReplayError::Stopped { reason, message };
    let source = context.source().map_err(|error| ReplayError::stopped(error.reason(), &error))?;
    let history_table = context.history_table();
    let server = preflight(real, &context.manifest.schemas, &history_table.contract)
        .await
        .map_err(ReplayError::query)?
        .map_err(|objection| stopped(objection.reason, objection.message))?;
    let rows = match behind {
        Behind::History => history_table.rows(real).await.map_err(ReplayError::query)?,
        Behind::Files => Vec::new(),
    };
    let texts = texts(real, source, &rows).await.map_err(ReplayError::query)?;
    let names = plan.history.iter().flat_map(|history| &history.pending);
    let position = |name: &String| source.migrations.iter().position(|migration| migration.name == *name);
    let members: Vec<usize> = names.filter_map(position).collect();
    let scripts =
        scripts(source, &members, &rows).map_err(|message| stopped(Reason::SourceInvalid, message))?;
    let migrations = members.iter().map(|at| &source.migrations[*at]);
    let applied = as_applied(source, &rows, &texts);
    Ok(Pending { files: migrations.zip(scripts).collect(), applied, server })
}

async fn prepared(
    context: &Context,
    on: &Ground,
    plan: &Outcome,
    behind: Behind,
) -> Result<Rehearsal, ReplayError> {
    let connection = connect(ground::url(context)?, &context.application()).await;
    let mut real = connection.map_err(|error| ReplayError::stopped(error.reason(), &error))?;
    let pending = pending(context, &mut real, plan, behind).await?;
    let mut rehearsal = Rehearsal::passed(on.name(), String::new());
    let confined = confine(&pending.files, &mut rehearsal)?;
    let base = Base::prepare(context, on, &mut real, plan, &pending.applied).await?;
    let server = match behind {
        Behind::History => {
            let named = context.scratch_server();
            named.map_err(|(reason, message)| ReplayError::Stopped { reason, message })?
        }
        // Files need no database of their own, and no other server.
        Behind::Files => ground::url(context)?,
    };
    is_of_the_same_version(context, server, &mut real).await?;
    let scratch = ground::make(context, server, &mut real, (&base.digest(), USE)).await?;
    let url = scratch.url(server);
    let work = on_scratch(context, &url, &mut real, &base, &pending, &confined, &mut rehearsal);
    let ended = ground::in_time(context, USE, work).await;
    ground::drop(scratch).await;
    if let Err(error) = ended {
        let (reason, message) = why(error);
        rehearsal.fail(reason, message);
    }
    Ok(rehearsal)
}

/// A server of its own: what another major version locks and rewrites is another matter.
async fn is_of_the_same_version(
    context: &Context,
    server: &ConnectionUrl,
    real: &mut PgConnection,
) -> Result<(), ReplayError> {
    if context.manifest.rehearsal.as_ref().is_none_or(|asked| asked.server.is_none()) {
        return Ok(());
    }
    let connection = connect(server, &context.application()).await;
    let mut connection = connection.map_err(|error| ReplayError::stopped(error.reason(), &error))?;
    let there = server_major(&mut connection).await.map_err(ReplayError::query)?;
    let here = server_major(real).await.map_err(ReplayError::query)?;
    if there == here {
        return Ok(());
    }
    let message = format!(
        "the server of spec.before.rehearsal.server is PostgreSQL {there} and that of the database is {here}, \
            which locks and rewrites other things: rehearse on a server of the same major version"
    );
    Err(ReplayError::Stopped { reason: Reason::RehearsalFailed, message })
}

/// The files without what would change the server.
fn confine(files: &[(&Migration, Script)], rehearsal: &mut Rehearsal) -> Result<Vec<Script>, ReplayError> {
    let mut confined = Vec::new();
    for (migration, script) in files {
        let mut script = script.clone();
        let left_out = confined::confine(&mut script).map_err(|change| {
            let message = format!(
                "{} says {:?} where it cannot be left out, and a rehearsal must not change the server: \
                    roles and settings of the server belong outside of migrations",
                migration.file,
                change.words()
            );
            ReplayError::Stopped { reason: Reason::RehearsalFailed, message }
        })?;
        rehearsal.left_out.extend(left_out.iter().map(|statement| StatementPlace {
            migration: migration.name.clone(),
            file: migration.file.clone(),
            line: statement.line,
            statement: redact::statement(statement.sql(), SHOWN),
        }));
        confined.push(script);
    }
    Ok(confined)
}

/// Fills the scratch database, runs the release in it, and checks what came of it.
async fn on_scratch(
    context: &Context,
    url: &ConnectionUrl,
    real: &mut PgConnection,
    base: &Base<'_>,
    pending: &Pending<'_>,
    scripts: &[Script],
    rehearsal: &mut Rehearsal,
) -> Result<(), ReplayError> {
    let (mut session, milliseconds) = base.fill(context, url, real).await?;
    rehearsal.prepared_milliseconds = milliseconds;
    let makes = scripts.iter().flat_map(|script| &script.statements).any(|statement| statement.defers);
    let connection = session.trusted().await.map_err(ReplayError::query)?;
    let defers = makes || has_deferrable_constraints(connection).await.map_err(ReplayError::query)?;
    let before = changes::read(context, &mut session).await?;
    let release =
        Release { context, files: &pending.files, scripts, lock_budget: pending.server.lock_budget, defers };
    if let Err(stopped) = release::run(&mut session, &release, &mut rehearsal.transactions).await {
        rehearsal.fail(stopped.reason, stopped.message);
        rehearsal.failure = stopped.failure;
    } else {
        rehearsal.changes = changes::between(&before, &changes::read(context, &mut session).await?);
        rehearsal.findings = checks(context, &mut session, base).await?;
        judge(context, rehearsal, pending.files.len());
    }
    session.close().await;
    Ok(())
}

/// The checks of the manifest, on the copy. What is checked of rows says nothing where there are none.
async fn checks(
    context: &Context,
    session: &mut Session,
    base: &Base<'_>,
) -> Result<Vec<Finding>, ReplayError> {
    let aspects: &[Aspect] = match base {
        Base::Schema(..) => &[Aspect::Isolation, Aspect::Index, Aspect::Structure],
        Base::Snapshot(..) => &[Aspect::Isolation, Aspect::Index, Aspect::Structure, Aspect::Data],
    };
    let source = context.source().map_err(|error| ReplayError::stopped(error.reason(), &error))?;
    let names = source.own().map(|migration| &migration.name);
    let scope =
        Scope { elsewhere: context.elsewhere.clone(), ..Scope::of(&context.manifest).with_migrations(names) };
    let unchecked = |error: &dyn std::fmt::Display| ReplayError::Stopped {
        reason: Reason::StageFailed,
        message: format!("the release ran, but a check could not be carried out on the copy: {error}"),
    };
    let connection = session.trusted().await.map_err(ReplayError::query)?;
    let mut transaction = Transaction::begin(connection).await.map_err(|error| unchecked(&error))?;
    let found = check::run(&mut transaction, &scope, aspects).await.map_err(|error| unchecked(&error))?;
    transaction.roll_back().await.map_err(|error| unchecked(&error))?;
    Ok(found)
}

/// What came of a release that ran to its end. Limits are about rows: a schema without any says nothing of them.
fn judge(context: &Context, rehearsal: &mut Rehearsal, migrations: usize) {
    let is_error = |finding: &&Finding| finding.severity == Severity::Error;
    let errors: Vec<&Finding> = rehearsal.findings.iter().filter(is_error).collect();
    let limits = context.manifest.rehearsal.as_ref().map(|asked| asked.limits).unwrap_or_default();
    let has_rows = rehearsal.on == Ground::Snapshot(None).name();
    let exceeded = limits::exceeded(rehearsal, &limits).filter(|_| has_rows);
    if !errors.is_empty() {
        let (count, first) = (errors.len(), outcome_message(&errors));
        let message = format!(
            "{migrations} migration(s) ran on the copy, and the checks found {count} error(s): {first}"
        );
        rehearsal.fail(Reason::RehearsalFailed, message);
    } else if let Some(over) = exceeded {
        rehearsal.fail(Reason::RehearsalOverLimit, over);
    } else {
        rehearsal.message = format!("{migrations} migration(s) ran, and the checks found no error");
    }
}
