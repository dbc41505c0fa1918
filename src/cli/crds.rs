//! `sluice crds`: prints the CustomResourceDefinitions, for `kubectl apply` and for `crds/`.

use std::process::ExitCode;

use crate::api::{database_migration_crd, migration_gate_crd};

/// Arguments of `sluice crds`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args) -> ExitCode {
    for crd in [database_migration_crd(), migration_gate_crd()] {
        match serde_saphyr::to_string(&crd) {
            Ok(text) => println!("---\n{}", text.trim_end()),
            Err(error) => {
                eprintln!("sluice: cannot print a CustomResourceDefinition: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
