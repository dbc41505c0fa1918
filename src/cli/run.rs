//! `sluice run`: every stage in one process, without a cluster. Prints what `status` would say, decided by
//! the same plan.

mod ended;
mod live;
mod projected;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    INTERRUPTED, TRANSIENT, Usage,
    form::has_colours,
    manifest::{Inputs, Output},
    print::{Kind, complain, print, print_as, print_json},
};
use crate::{
    api::{Class, Reason, Span},
    contract::{Outcome, Stage, Verdict},
    stage::{self, Context},
    visible::visible,
};

/// The pause before what failed for a transient reason is run again.
const PAUSE: Duration = Duration::from_secs(5);

/// Arguments of `sluice run`.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,

    /// Run again, for so long, what failed for a reason that passes by itself: a lock that another session
    /// holds, a server that starts. Default: it ends with exit code 75.
    #[arg(long, value_name = "TIME")]
    wait: Option<Span>,
}

/// The stages that have ended, and when.
type Ended = Vec<(Timestamp, Outcome)>;

pub(super) async fn run(args: Args) -> Result<ExitCode, Usage> {
    let output = args.inputs.output;
    let (object, mut context) = args.inputs.context()?;
    let started = Timestamp::now();
    if output == Output::Text
        && let Some(window) = &context.manifest.window
    {
        print(&format!("spec.before.window ({window}) is not waited for: you run this by hand\n"))?;
    }
    let until = Instant::now() + args.wait.map_or(Duration::ZERO, Span::duration);
    let outcomes = loop {
        let outcomes = tokio::select! {
            outcomes = stages(&context, output) => outcomes,
            _ = tokio::signal::ctrl_c() => return Ok(interrupted(context).await),
        };
        let Some(failed) = failure(&outcomes) else { break outcomes };
        // Another session migrated in between: the plan has to be made again, in what is left of the time.
        if failed.reason == Reason::HistoryChanged {
            continue;
        }
        if failed.reason.class() != Class::Transient || Instant::now() + PAUSE > until {
            break outcomes;
        }
        let (message, pause) = (visible(&failed.message), PAUSE.as_secs());
        complain(&format!("{message}; Sluice runs it again in {pause} s\n"));
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = tokio::signal::ctrl_c() => return Ok(interrupted(context).await),
        }
        let deadline = context.manifest.deadline;
        context = context.with_deadline(deadline);
    };
    let status = projected::status(&object, started, &outcomes);
    let ready =
        status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    match output {
        Output::Json => print_json(&(serde_json::to_string_pretty(&status).unwrap_or_default() + "\n")),
        Output::Text => {
            let colours = has_colours();
            let failed = failure(&outcomes)
                .map(|outcome| ended::failure(outcome, context.source().ok(), colours))
                .unwrap_or_default();
            let said: Vec<Outcome> = outcomes.iter().map(|(_, outcome)| outcome.clone()).collect();
            let kind = if colours { Kind::Coloured } else { Kind::Plain };
            print_as(kind, &(failed + &ended::conditions(&status, &said)))
        }
    }?;
    Ok(match failure(&outcomes) {
        _ if ready => ExitCode::SUCCESS,
        Some(failed) if failed.reason.class() == Class::Transient => ExitCode::from(TRANSIENT),
        _ => ExitCode::FAILURE,
    })
}

/// The stage that did not pass.
fn failure(outcomes: &Ended) -> Option<&Outcome> {
    outcomes.iter().map(|(_, outcome)| outcome).find(|outcome| outcome.verdict != Verdict::Passed)
}

/// Every stage in turn, until one does not pass.
async fn stages(context: &Context, output: Output) -> Ended {
    let mut outcomes: Ended = Vec::new();
    for stage in context.leg.stages() {
        let before: Vec<Outcome> = outcomes.iter().map(|(_, outcome)| outcome.clone()).collect();
        let work = async {
            let mut outcome = stage::run(stage, context, &before).await;
            stage::keep_record(context, &before, &mut outcome).await;
            outcome
        };
        let outcome = match output {
            Output::Text => live::told(work, stage, &context.progress).await,
            Output::Json => work.await,
        };
        if output == Output::Text {
            // What cannot be said must not stop what was begun; the last words will find out.
            let _ = print(&ended::stage(&outcome));
        }
        let passed = outcome.verdict == Verdict::Passed;
        outcomes.push((Timestamp::now(), outcome));
        if !passed {
            break;
        }
    }
    outcomes
}

/// The session is gone, and with it what was not committed. What is there, the database says.
async fn interrupted(context: Context) -> ExitCode {
    complain("\nsluice: interrupted; PostgreSQL rolls back what was not committed\n");
    let deadline = context.manifest.deadline;
    let context = context.with_deadline(deadline);
    tokio::select! {
        found = stage::run(Stage::Plan, &context, &[]) => {
            complain(&format!("the database says now: {}\n", visible(&found.message)));
        }
        _ = tokio::signal::ctrl_c() => {}
    }
    ExitCode::from(INTERRUPTED)
}
