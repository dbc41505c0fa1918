//! `sluice stage`: what a container of a run's Pod executes. Its manifest and its URL come through the
//! environment, its Outcome goes into the termination message and, whole, into the log.

use std::{path::PathBuf, process::ExitCode};

use super::{Usage, crash, manifest, print::print_json};
use crate::{
    api::Span,
    contract::{Leg, Outcome, PROGRESS_PORT, Purpose, Stage, Verdict},
    stage::{Context, chain, stop},
    telemetry::{self, Rows},
    validate::{ValidatedMigration, validate},
};

/// Arguments of `sluice stage`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which stage.
    #[arg(value_enum)]
    stage: Name,
    /// The folder that the stages share.
    #[arg(long, default_value = "/run/sluice")]
    run: PathBuf,
    /// The folder of migrations.
    #[arg(long, default_value = "/migrations")]
    source: PathBuf,
    /// The folder below which each phase is mounted under its name.
    #[arg(long, default_value = "/phases")]
    phases: PathBuf,
    /// The folder under which snapshots go.
    #[arg(long, default_value = "/snapshots")]
    snapshots: PathBuf,
    /// Where the termination message goes.
    #[arg(long, default_value = "/dev/termination-log")]
    termination_log: PathBuf,
    /// The port at which it says how far it is. The controller polls the default.
    #[arg(long, default_value_t = PROGRESS_PORT)]
    progress_port: u16,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Name {
    Plan,
    Snapshot,
    Rehearse,
    Migrate,
    Verify,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Usage> {
    let stage = match args.stage {
        Name::Plan => Stage::Plan,
        Name::Snapshot => Stage::Snapshot,
        Name::Rehearse => Stage::Rehearse,
        Name::Migrate => Stage::Migrate,
        Name::Verify => Stage::Verify,
    };
    // Before anything that may fail: the stages behind this one see by its lock that it has died.
    let place = chain::take_place(stage, &args.run).map_err(|error| Usage(error.to_string()))?;
    crash::leave_outcomes(stage, &args.run, &args.termination_log);
    let variable =
        |name: &str| std::env::var(name).map_err(|_| Usage(format!("the environment has no {name}")));
    let text = variable("SLUICE_SPEC")?;
    let document =
        serde_json::from_str(&text).map_err(|error| Usage(format!("SLUICE_SPEC is not JSON: {error}")))?;
    let object = manifest::parse(document).map_err(|error| Usage(format!("SLUICE_SPEC: {error}")))?;
    let validated =
        validate(&object).map_err(|violations| Usage(format!("SLUICE_SPEC: {}", violations[0])))?;
    let rows = if validated.log_data { Rows::Included } else { Rows::LeftOut };
    telemetry::start_logging(rows, telemetry::USUAL);
    let context = Context::new(validated, &variable("DATABASE_URL")?, args.source, args.snapshots)
        .with_phases_below(&args.phases);
    let mut context = context.with_elsewhere(|name| std::env::var(name).ok());
    context.progress_port = args.progress_port;
    context.attempt = std::env::var("SLUICE_ATTEMPT").unwrap_or_default();
    if let Ok(required) = std::env::var("SLUICE_REQUIRED") {
        context.required = serde_json::from_str(&required)
            .map_err(|error| Usage(format!("SLUICE_REQUIRED is no list of names: {error}")))?;
    }
    if let Ok(deadline) = std::env::var("SLUICE_DEADLINE") {
        let deadline =
            deadline.parse::<Span>().map_err(|error| Usage(format!("SLUICE_DEADLINE: {error}")))?;
        context = context.with_deadline(deadline);
    }
    if let Ok(moment) = std::env::var("SLUICE_ENDS_BY") {
        let moment = moment.parse().map_err(|error| Usage(format!("SLUICE_ENDS_BY: {error}")))?;
        context = context.with_end(moment);
    }
    if let Ok(purpose) = std::env::var("SLUICE_PURPOSE") {
        context.purpose = Purpose::named(&purpose)
            .ok_or_else(|| Usage(format!("SLUICE_PURPOSE: this version knows no run for {purpose:?}")))?;
    }
    context.leg = leg(context.purpose, &context.manifest, std::env::var("SLUICE_LEG").ok())?;
    // The first process of a container ignores signals it does not handle, and the Pod would wait for its
    // grace period.
    let mut turn = Box::pin(chain::take_turn(&place, &args.run, &context));
    let outcome = tokio::select! {
        // A batch that ends at the same moment is the last one.
        biased;
        () = terminated() => {
            tracing::warn!(stage = stage.name(), "stopped by a signal; what was not committed is rolled back \
                by the server");
            stop(&context, turn).await;
            return Ok(ExitCode::from(143));
        }
        outcome = &mut turn => outcome.map_err(|error| Usage(error.to_string()))?,
    };
    tell(&outcome, &args.termination_log)?;
    Ok(if outcome.verdict == Verdict::Passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The leg that the Job says it is; the first where it says nothing.
fn leg(purpose: Purpose, manifest: &ValidatedMigration, told: Option<String>) -> Result<Leg, Usage> {
    let route = purpose.route().rehearsing(manifest.rehearsal.is_some());
    let Some(told) = told else { return Ok(route.first()) };
    let leg = told.parse().ok().and_then(|number| route.leg(number));
    leg.ok_or_else(|| Usage(format!("SLUICE_LEG: a run for {:?} has no leg {told:?}", purpose.name())))
}

fn tell(outcome: &Outcome, termination_log: &std::path::Path) -> Result<(), Usage> {
    // The log is for people: whether it can be written decides nothing.
    let _ = print_json(&format!("{}\n", serde_json::to_string(outcome).unwrap_or_default()));
    std::fs::write(termination_log, outcome.message_for_pod())
        .map_err(|error| Usage(format!("cannot write {}: {error}", termination_log.display())))
}

/// The first SIGTERM.
pub(super) async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}
