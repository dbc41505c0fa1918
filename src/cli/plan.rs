//! `sluice plan`: what `sluice run` would do. Changes nothing.

use std::process::ExitCode;

use super::{
    Usage,
    manifest::{Inputs, Output},
    print::{print, print_json},
};
use crate::{
    contract::{Outcome, Stage, Verdict},
    stage,
    visible::visible,
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
    match output {
        Output::Json => print_json(&(serde_json::to_string_pretty(&outcome).unwrap_or_default() + "\n")),
        Output::Text => print(&describe(&outcome)),
    }?;
    Ok(if outcome.verdict == Verdict::Passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn describe(outcome: &Outcome) -> String {
    let mut text = format!("{}: {}\n", outcome.reason.name(), outcome.message);
    for name in outcome.history.iter().flat_map(|history| &history.pending) {
        text += &format!("  pending  {}\n", visible(name));
    }
    for finding in &outcome.findings {
        text += &format!(
            "  {:?}  {}  {}: {}\n",
            finding.severity, finding.check, finding.message, finding.remedy
        );
    }
    text
}
