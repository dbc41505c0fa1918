//! Which Jobs are Sluice's own. PURE.
//! A user who may create Jobs may give one any name, label and owner. So a Job counts when it does exactly
//! what Sluice would have one do: what the facts ask for now, or what was announced in the status before the
//! Job was created, which only Sluice writes. All others are named, and their results do not count.

use jiff::Timestamp;

use super::{
    facts::{Known, Remembered, Run},
    judge::Ending,
    name::job_name,
};
use crate::{
    api::{Reason, RunStatus},
    contract::{Purpose, Stage},
};

/// The Job does what Sluice would have it do, and its Pod does what the Job says.
pub fn is_own(known: &Known, run: &Run) -> bool {
    let named_so = job_name(known.name, &run.digest, run.attempt, run.leg) == run.job;
    let asked_for =
        Some(&run.digest) == known.desired.as_ref() && known.fingerprint(run.leg) == Some(&run.fingerprint);
    let announced = known.published.run.is_some_and(|announced| {
        announced.job == run.job
            && announced.digest == run.digest
            && announced.fingerprint.as_ref() == Some(&run.fingerprint)
    });
    named_so && (asked_for || announced) && run.pod_differs.is_none()
}

/// The status tells how the run ended.
pub fn is_concluded(remembered: Remembered, run: &Run) -> bool {
    let passed = |last: &RunStatus| last.legs.iter().any(|leg| leg.job == run.job);
    remembered.run.is_some_and(|last| (last.job == run.job && last.finished_at.is_some()) || passed(last))
        || remembered.history.iter().any(|entry| entry.job == run.job)
}

/// What was created before this moment is history, even if the status has forgotten it.
pub fn newest_concluded(remembered: Remembered, runs: &[Run]) -> Option<Timestamp> {
    runs.iter().filter(|run| is_concluded(remembered, run)).map(|run| run.started).max()
}

/// A sentence about Jobs that are not Sluice's own and that this status says nothing of; `None` where there
/// is none. A verification that an older version of Sluice repeated is no news.
pub fn strangers(known: &Known, remembered: Remembered) -> Option<String> {
    let newest = newest_concluded(remembered, known.runs);
    let strange = |run: &&Run| {
        run.purpose != Purpose::Verify
            && !is_concluded(remembered, run)
            && Some(run.started) > newest
            && !is_own(known, run)
    };
    let names: Vec<String> =
        known.runs.iter().filter(strange).take(3).map(|run| format!("{:?}", run.job)).collect();
    let (jobs, their) =
        if names.len() == 1 { ("Job", "its result does") } else { ("Jobs", "their results do") };
    (!names.is_empty())
        .then(|| format!("Sluice did not create the {jobs} {}: {their} not count", names.join(", ")))
}

/// The end of a run whose Job, announced as it was, is not the one that Sluice makes.
pub fn refused(run: &Run) -> Ending {
    let job = &run.job;
    let what = match (&run.pod_differs, &run.differs) {
        (Some(place), _) => format!("a Pod of the Job {job:?} is not what Sluice makes ({place})"),
        (None, Some(place)) => format!("the Job {job:?} is not what Sluice makes ({place})"),
        (None, None) => format!("the Job {job:?} is not the one that Sluice announced"),
    };
    let message = format!(
        "{what}: its result does not count. If a webhook or a mesh rewrites it, exempt what has the label \
         app.kubernetes.io/managed-by=sluice; otherwise find out who made it. Then delete the Job and set \
         the annotation sluice.dev/retry"
    );
    Ending { reason: Reason::ForeignJob, stage: Stage::Plan, message, at: run.started }
}
