//! `sluice controller`: being written.

use std::process::ExitCode;

/// Arguments of `sluice controller`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) async fn run(_args: Args) -> ExitCode {
    ExitCode::FAILURE
}
