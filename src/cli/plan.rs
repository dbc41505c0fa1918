//! `sluice plan`: what `sluice run` would do. Changes nothing.

mod sql;

use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};

use super::{
    TRANSIENT, Usage,
    manifest::{Inputs, Output},
    print::{print, print_json},
};
use crate::{
    api::Class,
    contract::{Outcome, Verdict},
    stage,
    validate::{Window, WindowState},
    visible::visible,
};

/// Arguments of `sluice plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,

    /// Print what would be executed, too: every statement with its transaction, and the locks that it takes on
    /// the tables it names.
    #[arg(long, conflicts_with = "output")]
    sql: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Usage> {
    let output = args.inputs.output;
    let (_, context) = args.inputs.context()?;
    let window = context.manifest.window.as_ref().map(|window| describe_window(window, Timestamp::now()));
    let (outcome, course) = stage::course(&context).await;
    let pending = outcome.history.iter().flat_map(|history| &history.pending);
    let written =
        course.filter(|_| args.sql).map(|course| sql::written(&course, &pending.collect::<Vec<_>>()));
    match output {
        Output::Json => print_json(&(serde_json::to_string_pretty(&outcome).unwrap_or_default() + "\n")),
        Output::Text => {
            print(&(describe(&outcome) + &window.unwrap_or_default() + &written.unwrap_or_default()))
        }
    }?;
    Ok(match outcome.verdict {
        Verdict::Passed => ExitCode::SUCCESS,
        _ if outcome.reason.class() == Class::Transient => ExitCode::from(TRANSIENT),
        _ => ExitCode::FAILURE,
    })
}

/// When a run would begin in a cluster. One by hand does not wait.
fn describe_window(window: &Window, now: Timestamp) -> String {
    let when = match window.at(now, SignedDuration::ZERO) {
        WindowState::Open { until } => format!("now, and would have to end by {}", window.local(until)),
        WindowState::Closed { until: Some(until) } => format!("at {}", window.local(until)),
        WindowState::Closed { until: None } => "never".to_owned(),
    };
    format!("  window   {window}: in a cluster a run would begin {when}; `sluice run` does not wait for it\n")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    #[test]
    fn a_window_is_told_with_what_a_cluster_would_do_and_the_command_line_does_not_wait() {
        let written = api::Window {
            schedule: "0 2 * * SUN".into(),
            duration: api::Span::from_secs(3600),
            time_zone: "Europe/Berlin".into(),
        };
        let window = Window::read(&written, &mut Vec::new()).expect("a window");
        for (now, told) in [
            ("2026-03-28T12:00:00Z", "would begin at 2026-03-29T03:00:00+02:00; `sluice run` does not wait"),
            ("2026-03-29T01:30:00Z", "would begin now, and would have to end by 2026-03-29T04:00:00+02:00"),
        ] {
            let text = describe_window(&window, now.parse().expect("a moment"));
            assert!(text.contains(told) && text.contains("\"0 2 * * SUN\" for 1h, Europe/Berlin"), "{text}");
        }
    }
}
