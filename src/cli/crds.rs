//! `sluice crds`: the CustomResourceDefinitions as YAML. The same text is in `crds/`, and a test compares the two.

use std::process::ExitCode;

use crate::build::crd_files;

/// Print the CustomResourceDefinitions.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints them all.
pub fn run(_: &Args) -> ExitCode {
    for (_, text) in crd_files() {
        print!("{text}");
    }
    ExitCode::SUCCESS
}
