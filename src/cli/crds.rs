//! `sluice crds`: the CustomResourceDefinitions as YAML. The same text is in `crds/`, and a test compares the
//! two.

use std::process::ExitCode;

use super::{Usage, print::print};
use crate::objects::crd_files;

/// Print the CustomResourceDefinitions.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Prints them all.
pub(super) fn run(_: &Args) -> Result<ExitCode, Usage> {
    for (_, text) in crd_files() {
        print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}
