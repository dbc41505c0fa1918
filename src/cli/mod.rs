//! The verbs of the binary: arguments to validated values to a call. One file per verb; no other module
//! imports them.
//!
//! Exit codes: [`EXIT_CODES`].

#![warn(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic when no process reads: `print` has what does not"
)]

mod controller;
mod crash;
mod crds;
mod diff;
mod documents;
mod fields;
mod form;
mod format;
mod history;
mod lint;
mod manifest;
mod phase;
mod place;
mod plan;
mod policy;
mod print;
mod rehearse;
mod remarks;
mod report;
mod run;
mod since;
mod stage;
mod stop;
mod verify;
mod wait;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

/// Safe, observable, gated PostgreSQL schema changes.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, about, long_about = None, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Watch DatabaseMigrations and run what they ask for (inside the cluster).
    Controller(controller::Args),
    /// Run one stage (inside a Job's Pod; not for people).
    Stage(stage::Args),
    /// Carry out a DatabaseMigration without a cluster: plan, snapshot, migrate, verify.
    Run(run::Args),
    /// Say what `run` would do, and change nothing.
    Plan(plan::Args),
    /// Run what is pending in a scratch database, and say what each statement takes, locks and rewrites.
    /// Changes nothing.
    Rehearse(rehearse::Args),
    /// Say what new migrations do to the schema and to those who use it, for a pull request. Changes nothing.
    Diff(diff::Args),
    /// Check the schema as the last stage of `run` does, and print a report. Changes nothing.
    Verify(verify::Args),
    /// Print saved reports again, or several services side by side.
    Report(report::Args),
    /// List the records of runs that a database keeps.
    History(history::Args),
    /// Show what is in force for a DatabaseMigration with its MigrationPolicy.
    Policy(policy::Args),
    /// Say what migrations lock, lose and break, and how to write it safely. Needs no database.
    Lint(lint::Args),
    /// Wait until the history of a database has a version (for an init container).
    Wait(wait::Args),
    /// End the run of a DatabaseMigration that is under way, and say what it left (inside the cluster).
    Abort(stop::Args),
    /// Let a DatabaseMigration start nothing new; a backfill stops after its batch.
    Pause(stop::Args),
    /// Let a DatabaseMigration that was paused go on.
    Resume(stop::Args),
    /// Print the CustomResourceDefinitions.
    Crds(crds::Args),
}

/// The arguments or a file cannot be used, or the output cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(String);

/// Exit code for arguments or a manifest that cannot be used.
const USAGE: u8 = 2;
/// Exit code for what was not done.
const FAILURE: i32 = 1;
/// Exit code for what was not done this time, and may be the next time: EX_TEMPFAIL of sysexits.h.
const TRANSIENT: u8 = 75;
/// Exit code for what SIGINT ended, as shells have it.
const INTERRUPTED: u8 = 130;

/// What `--help` says of the codes.
const EXIT_CODES: &str = "\
Exit codes:
  0    ready, or nothing to object to
  1    not, and running it again changes nothing until a person has mended what is named
  2    the arguments or a file cannot be used, or nothing can be written
  75   not this time: a lock, a server that is away; run it again, or see --wait of `sluice run`
  130  interrupted";

/// Parses the arguments and does what they ask for.
pub fn main() -> ExitCode {
    crash::without_core_dumps();
    crash::tell_panics();
    let verb = match Cli::try_parse() {
        Ok(cli) => cli.verb,
        Err(error) => {
            print::explain(&error);
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    // A process that talks to one server is faster on one thread: no message waits for another thread to wake
    // up. The controller needs half as much memory so: each thread keeps pieces of every size.
    match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(carry_out(verb)),
        Err(error) => {
            print::complain(&format!("sluice: cannot start: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(verb: Verb) -> ExitCode {
    let done = match verb {
        Verb::Controller(args) => return controller::run(args).await,
        Verb::Stage(args) => stage::run(args).await,
        Verb::Run(args) => run::run(args).await,
        Verb::Plan(args) => plan::run(args).await,
        Verb::Rehearse(args) => rehearse::run(args).await,
        Verb::Diff(args) => diff::run(args).await,
        Verb::Verify(args) => verify::run(args).await,
        Verb::Report(args) => report::run(&args).await,
        Verb::History(args) => history::run(&args).await,
        Verb::Policy(args) => policy::run(&args),
        Verb::Lint(args) => lint::run(args).await,
        Verb::Wait(args) => wait::run(args).await,
        Verb::Abort(args) => stop::run(stop::Order::Abort, args).await,
        Verb::Pause(args) => stop::run(stop::Order::Pause, args).await,
        Verb::Resume(args) => stop::run(stop::Order::Resume, args).await,
        Verb::Crds(args) => crds::run(&args),
    };
    done.unwrap_or_else(|usage| {
        print::complain(&format!("sluice: {usage}\n"));
        ExitCode::from(USAGE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
