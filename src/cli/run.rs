//! `sluice run`: every stage in one process, without a cluster. Prints what `status` would say.

use std::process::ExitCode;

use super::{
    Usage,
    manifest::{Inputs, Output},
};
use crate::stage::{
    self,
    outcome::{Outcome, Stage, Verdict},
};

/// Arguments of `sluice run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Usage> {
    let output = args.inputs.output;
    let (_object, context) = args.inputs.context()?;
    let mut outcomes: Vec<Outcome> = Vec::new();
    for stage in Stage::ALL {
        let outcome = stage::run(stage, &context, &outcomes).await;
        if output == Output::Text {
            println!("{:<9} {:<18} {:>6} ms  {}", stage.name(), outcome.reason.name(), outcome.milliseconds, outcome.message);
        }
        let passed = outcome.verdict == Verdict::Passed;
        outcomes.push(outcome);
        if !passed {
            break;
        }
    }
    let ready = outcomes.len() == Stage::ALL.len() && outcomes.iter().all(|outcome| outcome.verdict == Verdict::Passed);
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
