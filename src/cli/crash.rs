//! What is left when Sluice itself is wrong: no core dump, and a verdict where a reader waits for one.
//!
//! Memory holds passwords and rows, so no core file is written, and other processes of the same user cannot
//! read it. A panic's own words may quote what they stumbled over: they go into the log, and only where
//! `spec.apply.logData` is true.

use std::{
    panic::PanicHookInfo,
    path::{Path, PathBuf},
    process::exit,
};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use super::{FAILURE, print::complain};
use crate::{
    api::Reason,
    contract::{Outcome, Stage},
    redact::DATA,
    stage::chain,
};

/// No core file, of this process or of those it starts. Where the system does not let it, everything goes on
/// as before.
pub(super) fn without_core_dumps() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// A panic says where it was, and ends the process with the exit code of what was not done.
pub(super) fn tell_panics() {
    std::panic::set_hook(Box::new(|info| {
        complain(&format!("sluice: {}\n", message(info)));
        log(info);
        exit(FAILURE);
    }));
}

/// The same, and leaves an Outcome for the next stage and in the termination message.
pub(super) fn leave_outcomes(stage: Stage, run: &Path, termination_log: &Path) {
    let (run, termination_log): (PathBuf, PathBuf) = (run.to_owned(), termination_log.to_owned());
    std::panic::set_hook(Box::new(move |info| {
        let message = message(info);
        complain(&format!("sluice: {message}\n"));
        log(info);
        let outcome = Outcome::failed(stage, Reason::InternalError, message);
        // A reader that cannot be told here finds the stage's lock free, and no Outcome.
        let _ = std::fs::write(&termination_log, outcome.message_for_pod());
        let _ = chain::leave(&run, &outcome);
        exit(FAILURE);
    }));
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let place = info
        .location()
        .map_or_else(|| "an unknown place".to_owned(), |place| format!("{}:{}", place.file(), place.line()));
    format!(
        "internal error at {place} of Sluice {}: this is a mistake in Sluice, please report it; what was not \
            committed is rolled back by \
         the server",
        env!("CARGO_PKG_VERSION")
    )
}

fn log(info: &PanicHookInfo<'_>) {
    let said = info.payload_as_str().unwrap_or_default();
    tracing::error!(target: DATA, said, "internal error");
}
