//! What follows when a person has stopped a run, or lets nothing new start. PURE.
//!
//! A run is concluded in the status first, and then its Job is deleted: so whichever write is the last of a
//! process, the next one knows what is still to be done.

use super::{
    facts::{JobState, Run},
    own,
    state::Runs,
    stop::aborting,
};
use crate::{
    api::{Reason, RunStatus},
    contract::Purpose,
    plan::{decision::Decision, step::Step},
};

/// The Job's own events wake the object; this is for one that was missed.
const LOOK_AGAIN_SECONDS: u64 = 5;

/// The Job of a run that was stopped is deleted, and nothing follows before its Pod is gone: the Pod ends its
/// sessions first.
pub fn is_gone(runs: &Runs) -> Option<Decision> {
    let stopped = runs.record.run.as_ref().filter(|run| run.finished_at.is_some())?;
    let reason = stopped.reason.as_deref().map(Reason::named).filter(|reason| reason.is_stop())?;
    let open = |run: &&Run| run.deleting || run.state == JobState::Active;
    let of_it =
        |run: &&Run| run.job == stopped.job && run.purpose == Purpose::Apply && own::is_own(&runs.known, run);
    let run = runs.known.runs.iter().filter(of_it).find(open)?;
    let step = (!run.deleting).then(|| Step::DeleteJob { job: run.job.clone() });
    let message = format!("{}; waiting for its Pod to end", runs.failure());
    Some(Decision { step, ..Decision::reconciling(reason, message).again_after(LOOK_AGAIN_SECONDS) })
}

/// The annotation that pauses is not set: nothing new starts while it is.
pub fn is_not_paused(runs: &Runs) -> Option<Decision> {
    let paused = "the annotation sluice.dev/paused is set, so nothing new starts: remove it to go on \
                  (`sluice resume`)";
    let message = match runs.concluded() {
        Some((_, reason)) if reason.is_stop() => format!("{}; {paused}", runs.failure()),
        _ => paused.to_owned(),
    };
    runs.known.paused.then(|| Decision::reconciling(Reason::Paused, message))
}

/// After how many failed attempts the pause before the next one is counted. What a person has stopped has not
/// failed.
pub fn attempts(runs: &Runs, run: &RunStatus, reason: Reason) -> u32 {
    match reason {
        Reason::Paused | Reason::Verified => 0,
        Reason::Aborting => {
            let inspected = aborting(&runs.known, &runs.record.history, &run.digest).skip(1).count();
            u32::try_from(inspected).unwrap_or(u32::MAX)
        }
        _ => run.attempt,
    }
}
