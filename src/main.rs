//! The binary: starts the runtime and hands over to the verbs.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    sluice::cli::main().await
}
