//! What a stage container runs, and the contract with the controller. Knows PostgreSQL and files; knows no Kubernetes API.
//!
//! Each stage is a function from a [`Context`] and the Outcomes before it to an Outcome. `sluice run` calls them one after the
//! other in one process; in a Pod, [`chain`] makes four containers do the same.

pub mod chain;
mod context;
mod history;
mod migrate;
pub mod outcome;
mod plan;
mod release;
mod snapshot;
mod stepwise;
mod verify;

use std::time::Instant;

pub use context::Context;
use outcome::{Outcome, Stage};

/// Runs one stage. `before` holds the Outcomes of the stages before it, all passed.
pub async fn run(stage: Stage, context: &Context, before: &[Outcome]) -> Outcome {
    let started = Instant::now();
    let mut outcome = match stage {
        Stage::Plan => plan::run(context).await,
        Stage::Snapshot => snapshot::run(context, before).await,
        Stage::Migrate => migrate::run(context, before).await,
        Stage::Verify => verify::run(context, before).await,
    };
    outcome.milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    context.redact(&mut outcome);
    outcome
}

/// The Outcome of a stage among those before.
fn outcome_of(before: &[Outcome], stage: Stage) -> Option<&Outcome> {
    before.iter().find(|outcome| outcome.stage == stage)
}
