//! `sluice plan`: what `sluice run` would do. Changes nothing.

use std::process::ExitCode;

use super::{
    Usage,
    manifest::{Inputs, Output},
};
use crate::stage::{
    self,
    outcome::{Stage, Verdict},
};

/// Arguments of `sluice plan`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Usage> {
    let output = args.inputs.output;
    let (_, context) = args.inputs.context()?;
    let outcome = stage::run(Stage::Plan, &context, &[]).await;
    if output == Output::Json {
        println!("{}", serde_json::to_string_pretty(&outcome).unwrap_or_default());
    } else {
        println!("{}: {}", outcome.reason.name(), outcome.message);
        for name in outcome.history.iter().flat_map(|history| &history.pending) {
            println!("  pending  {name}");
        }
        for finding in &outcome.findings {
            println!("  {:?}  {}  {}: {}", finding.severity, finding.check, finding.message, finding.remedy);
        }
    }
    Ok(if outcome.verdict == Verdict::Passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
