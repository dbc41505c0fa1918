//! `sluice rehearse`: runs what is pending in a scratch database, and says what each statement took, locked
//! and wrote anew. Changes nothing.

pub(super) mod text;

use std::{path::PathBuf, process::ExitCode};

use super::{
    TRANSIENT, Usage,
    manifest::{Inputs, Output},
    print::{print, print_json},
};
use crate::{
    api::{Class, RehearsalGround},
    contract::Verdict,
    stage::{Ground, rehearse},
};

/// Arguments of `sluice rehearse`.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,

    /// What the release is tried on. Default: as spec.before.rehearsal says, else the schema.
    #[arg(long, value_enum)]
    on: Option<On>,

    /// The folder of a snapshot that was taken, for `--on snapshot`. Default: one is taken now, as `run`
    /// takes it, and stays.
    #[arg(long, value_name = "DIR")]
    snapshot: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum On {
    /// The applied migrations, replayed in an empty database.
    Schema,
    /// A snapshot, restored: with its rows.
    Snapshot,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Usage> {
    if args.snapshot.is_some() && args.on != Some(On::Snapshot) {
        return Err(Usage("--snapshot is given without --on snapshot: add that, or leave it out".into()));
    }
    let output = args.inputs.output;
    let (_, context) = args.inputs.context()?;
    let asked = context.manifest.rehearsal.as_ref().map(|asked| asked.on);
    let on = match (args.on, asked) {
        (Some(On::Snapshot), _) | (None, Some(RehearsalGround::Snapshot)) => Ground::Snapshot(args.snapshot),
        (Some(On::Schema), _) | (None, Some(RehearsalGround::Schema) | None) => Ground::Schema,
    };
    let rehearsal = rehearse(&context, &on).await;
    match output {
        Output::Json => print_json(&(serde_json::to_string_pretty(&rehearsal).unwrap_or_default() + "\n")),
        Output::Text => print(&text::page(&rehearsal)),
    }?;
    Ok(match rehearsal.verdict {
        Verdict::Passed => ExitCode::SUCCESS,
        _ if rehearsal.reason.class() == Class::Transient => ExitCode::from(TRANSIENT),
        _ => ExitCode::FAILURE,
    })
}
