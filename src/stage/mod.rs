//! What a stage container runs. Knows PostgreSQL and files; knows no Kubernetes API.
//!
//! Each stage is a function from a [`Context`] and the Outcomes before it to an Outcome. `sluice run` calls
//! them one after the other in one process; in a Pod, [`chain`] makes its containers do the same.

mod attempt;
mod backfill;
mod baseline;
mod batch;
mod blocked;
pub mod chain;
mod concurrently;
mod confined;
mod context;
mod copy;
mod custody;
mod drift;
mod error;
mod evidence;
mod ground;
mod held;
mod history;
mod linted;
mod migrate;
mod overrun;
mod pace;
mod phases;
mod plan;
mod progress;
mod record;
mod refill;
mod rehearse;
mod release;
mod replay;
mod replicas;
mod report;
mod restored;
mod resume;
mod snapshot;
mod statements;
mod step;
mod stepwise;
mod stop;
mod survey;
mod texts;
mod verify;

use std::time::Instant;

pub use context::Context;
pub use evidence::{Evidence, Passed, Plan, Rehearsed, Snapshot};
pub use migrate::migrate;
pub use plan::Course;
pub use progress::Reporter;
pub use record::{Record, RecordError, keep as keep_record, read as read_record};
pub use rehearse::{
    ChangeKind, Ground, Rehearsal, RehearsedLock, RehearsedStatement, RehearsedTransaction, RelationKind,
    Rewrite, SchemaChange, StatementPlace, rehearse, rehearse_behind,
};
pub use report::report;
pub use stop::stop;

use crate::{
    api::Reason,
    contract::{Outcome, Purpose, Stage},
    limits::STAGE_GRACE,
};

/// Runs one stage. `before` holds the Outcomes of the stages before it, all passed.
pub async fn run(stage: Stage, context: &Context, before: &[Outcome]) -> Outcome {
    let work = async {
        match stage {
            Stage::Plan => plan::run(context).await,
            Stage::Snapshot | Stage::Rehearse | Stage::Migrate if context.purpose == Purpose::Verify => {
                nothing(stage, before)
            }
            Stage::Snapshot => snapshot::run(context, before).await,
            Stage::Rehearse => rehearse::stage::run(context, before).await,
            Stage::Migrate => match proven(context, before) {
                Ok((plan, snapshot, rehearsed)) => migrate(context, &plan, &snapshot, &rehearsed).await,
                Err(message) => Outcome::failed(stage, Reason::StageFailed, message),
            },
            Stage::Verify => verify::run(context, before).await,
        }
    };
    in_time(stage, context, work).await
}

/// The stage `plan`, and where it passed what a run would execute. Changes nothing.
pub async fn course(context: &Context) -> (Outcome, Option<Course>) {
    let mut found = None;
    let work = async {
        let (outcome, course) = plan::course(context).await;
        found = course;
        outcome
    };
    (in_time(Stage::Plan, context, work).await, found)
}

/// What a stage does, if the end of the run has not passed before, and no longer than until then.
async fn in_time(stage: Stage, context: &Context, work: impl Future<Output = Outcome>) -> Outcome {
    let started = Instant::now();
    if let Some(refusal) = overrun::refusal(stage, context) {
        return refusal;
    }
    context.progress.begin(stage);
    // A query of the catalog can wait for another session's lock, or for a network that is gone. Whatever a
    // stage leaves undone when it is dropped, the server rolls back within a second.
    let mut outcome =
        tokio::time::timeout(context.remaining() + STAGE_GRACE, work).await.unwrap_or_else(|_| {
            let passed = overrun::passed(context).unwrap_or_else(|| "the end of the run passed".to_owned());
            let message = format!("{passed} in the stage {}", stage.name());
            Outcome::failed(stage, Reason::DeadlineExceeded, message)
        });
    outcome.milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    outcome.clean();
    outcome
}

/// What has been proven before anything is migrated.
type Proven = (Passed<Plan>, Evidence<Snapshot>, Evidence<Rehearsed>);

/// What has to be proven before anything is migrated.
fn proven(context: &Context, before: &[Outcome]) -> Result<Proven, String> {
    let plan = Passed::<Plan>::of(before)
        .ok_or_else(|| "the stage plan left no history to migrate from".to_owned())?;
    let snapshot = Evidence::<Snapshot>::of(&context.manifest, &plan, before)?;
    let rehearsed = Evidence::<Rehearsed>::of(&context.manifest, &plan, before)?;
    Ok((plan, snapshot, rehearsed))
}

/// A run that only verifies copies nothing and changes nothing, whatever is pending.
fn nothing(stage: Stage, before: &[Outcome]) -> Outcome {
    let reason = match stage {
        Stage::Snapshot => Reason::SnapshotNotNeeded,
        Stage::Rehearse => Reason::RehearsalNotNeeded,
        Stage::Plan | Stage::Migrate | Stage::Verify => Reason::Applied,
    };
    let history = outcome_of(before, Stage::Plan)
        .and_then(|plan| plan.history.clone())
        .filter(|_| stage == Stage::Migrate);
    Outcome { history, ..Outcome::passed(stage, reason, "this run only verifies") }
}

/// The Outcome of a stage among those before.
fn outcome_of(before: &[Outcome], stage: Stage) -> Option<&Outcome> {
    before.iter().find(|outcome| outcome.stage == stage)
}
