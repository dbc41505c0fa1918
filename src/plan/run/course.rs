//! A run goes on, pauses or begins, whatever the kind of the object. PURE.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    facts::{JobState, Run, StageState},
    gates::End,
    judge::{Problem, Progress, RunState, judge},
    name::{attempt_in, job_name},
    own,
    record::{begun, report_at},
    retry,
    sections::{Sections, reason_while},
    state::Runs,
    stop, stopped,
};
use crate::{
    api::{Reason, RunStatus},
    contract::{Leg, Purpose, Route, Stage},
    plan::{
        decision::Decision,
        step::{JobOrder, Step},
    },
};

/// The Job's own events wake this object; this is for one that was missed.
const LOOK_AGAIN_SECONDS: u64 = 60;
/// How often the controller polls a run's progress.
const PROGRESS_SECONDS: u64 = 10;
/// And for so long where its Pod does not answer.
const LISTENED_FOR: SignedDuration = SignedDuration::from_secs(60);
/// A Job ends a second or two after its containers.
const ENDING_SECONDS: u64 = 5;
/// The stages behind one that died end within a second, if they can see it.
const ENDS_WITHIN: SignedDuration = SignedDuration::from_secs(20);

/// What a leg of a run is begun for, and with.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// What the run is for.
    pub purpose: Purpose,
    /// Which leg of its route.
    pub leg: Leg,
    /// When it has to have ended.
    pub end: End,
    /// What its verification is asked for by name.
    pub required: Vec<String>,
}

/// The Job of the next attempt at a digest.
pub fn order(runs: &Runs, digest: &str, beginning: Beginning) -> JobOrder {
    let Beginning { purpose, leg, end, required } = beginning;
    let attempt = runs.next_attempt(digest, leg);
    let job = job_name(runs.known.name, digest, attempt, leg);
    let (deadline, ends_by) = (end.within, end.by);
    JobOrder { job, digest: digest.to_owned(), attempt, purpose, leg, deadline, ends_by, required }
}

/// The run that the facts ask for goes on.
pub fn is_under_way(runs: &Runs) -> Option<Decision> {
    let current =
        runs.running().filter(|current| Some(&current.run.digest) == runs.known.desired.as_ref())?;
    let RunState::Running(progress) = &current.run_state else {
        return None;
    };
    let run = runs.record.run.as_ref()?;
    let due = report_at(progress, runs.now).duration_since(runs.now);
    let decision = match &progress.problem {
        Some(problem) if !due.is_positive() => waits_for_the_kubelet(run, problem),
        _ => at_work(run, &runs.record.sections, runs.known.route),
    };
    let decision = match stop::astray(&runs.known) {
        Some(astray) => Decision { message: format!("{}; {astray}", decision.message), ..decision },
        None => decision,
    };
    let soon = Duration::try_from(due).ok().filter(|due| !due.is_zero());
    Some(Decision { requeue: soon.or(Some(reconcile_again(runs, current.run))), ..decision })
}

/// A run that says how far it is is polled as often as the status may say so; one that does not say it after
/// a minute may be out of reach.
fn reconcile_again(runs: &Runs, run: &Run) -> Duration {
    let young = runs.now.duration_since(run.started) < LISTENED_FOR;
    let listens = run.pod.as_ref().is_some_and(|pod| pod.address.is_some());
    let says = runs.known.progress.is_some() || (listens && young);
    Duration::from_secs(if says { PROGRESS_SECONDS } else { LOOK_AGAIN_SECONDS })
}

fn waits_for_the_kubelet(run: &RunStatus, problem: &Problem) -> Decision {
    Decision::reconciling(
        problem.reason,
        format!("the Job {:?} cannot start yet: {}", run.job, problem.message),
    )
}

/// What is shown while a run goes on: the stage, or what the attempt before it failed with.
fn at_work(run: &RunStatus, sections: &Sections, route: Route) -> Decision {
    if let Some(stopped) = sections.stopped().filter(|stopped| stopped.reason == Reason::Aborting) {
        let message = format!("{}; the Job {:?} reads it", stopped.message, run.job);
        return Decision::reconciling(Reason::Aborting, message);
    }
    if let Some(failure) = sections.failure() {
        let message = format!(
            "attempt {} is under way (Job {:?}); before it: {}",
            run.attempt, run.job, failure.message
        );
        return Decision::reconciling(failure.reason, message);
    }
    let stage =
        route.stages().find(|stage| run.stage.as_deref() == Some(stage.name())).unwrap_or(Stage::Plan);
    let doing = match stage {
        Stage::Plan => "compares the source with the database",
        Stage::Snapshot => "takes the snapshot and reads it back",
        Stage::Rehearse => "rehearses the release on a copy",
        Stage::Migrate => "runs what is pending",
        Stage::Verify => "verifies the schema",
    };
    Decision::reconciling(reason_while(stage), format!("the Job {:?} {doing}", run.job))
}

/// A run that was started for an older spec or source goes on. It is left to end, unless it cannot start and
/// has not touched anything: then it would only block what may mend it.
pub fn none_is_left_over(runs: &Runs) -> Option<Decision> {
    let current = runs.running()?;
    let RunState::Running(progress) = &current.run_state else {
        return None;
    };
    let job = &current.run.job;
    let stuck = progress.problem.is_some() && progress.harmless;
    let message = if stuck {
        format!("deleting the Job {job:?}: it was created for an older spec or source, and it cannot start")
    } else {
        format!("the Job {job:?}, created for an older spec or source, must end first")
    };
    let step = (stuck && !current.run.deleting).then(|| Step::DeleteJob { job: job.clone() });
    Some(Decision { step, ..Decision::reconciling(Reason::Pending, message).again_after(LOOK_AGAIN_SECONDS) })
}

/// The pause after a failed attempt is over.
pub fn pause_is_over(runs: &Runs) -> Option<Decision> {
    let (run, reason) = runs.concluded()?;
    let failed = stopped::attempts(runs, run, reason);
    if failed == 0 {
        return None;
    }
    let ended = run.finished_at.as_ref()?.0;
    let left = retry::left(ended, failed, runs.known.uid, runs.now)?;
    let message = runs.failure();
    if runs.known.by_hand {
        return Some(Decision::reconciling(
            reason,
            format!("{message} (run it again: Sluice goes on from what the database says then)"),
        ));
    }
    let pause = retry::pause(failed, runs.known.uid).as_secs();
    let message = format!("{message} (attempt {} failed; the next one follows after {pause} s)", run.attempt);
    Some(Decision { requeue: Some(left), ..Decision::reconciling(reason, message) })
}

/// Starts the next attempt: announced in the status first, begun when every former Job of this object has
/// ended.
pub fn starts(runs: &Runs, beginning: Beginning) -> Decision {
    let Some(digest) = &runs.known.desired else {
        return Decision::reconciling(Reason::Pending, "the object was seen; nothing was done yet");
    };
    let leg = beginning.leg;
    let order = order(runs, digest, beginning);
    // What the attempt before it found is shown until this one gets further.
    let sections = runs.record.about(Some(digest)).cloned().unwrap_or_default();
    let run = RunStatus {
        sections: sections.results(),
        legs: runs.record.passed_legs(Some(digest)).to_vec(),
        ..begun(&order.job, digest, (order.attempt, leg), runs.known.fingerprint(leg).cloned())
    };
    let decision = Decision { begins: Some(run.clone()), ..at_work(&run, &sections, runs.known.route) };
    if runs.occupied() {
        return Decision { step: stuck(runs), ..decision.again_after(ENDING_SECONDS) };
    }
    Decision { step: Some(Step::CreateJob(order)), ..decision }
}

/// A run that ended without a verdict and whose Job goes on. Either a container died before its process took
/// its place in the chain, so those behind it cannot see that, and would wait for it until the deadline; none
/// of them has begun its work. Or a foreign Pod took the place of the Job's own, and nothing says when it
/// ends.
fn stuck(runs: &Runs) -> Option<Step> {
    let concluded = |run: &&Run| own::is_concluded(runs.record.remembered(), run);
    let goes_on = |run: &&Run| !run.deleting && run.state == JobState::Active;
    let mut open = runs.known.runs.iter().filter(concluded).filter(goes_on);
    let found = open.find(|run| waits_for_the_dead(run, runs.now) || run.pod_differs.is_some());
    let run = found.or_else(|| runs.known.runs.iter().filter(goes_on).find(|run| is_outdated(runs, run)))?;
    Some(Step::DeleteJob { job: run.job.clone() })
}

/// A container died, and those behind it did not see that. One that would die later than in a moment was timed
/// by another clock, for which Sluice does not wait.
fn waits_for_the_dead(run: &Run, now: Timestamp) -> bool {
    let long_ago = |at: Timestamp| now.duration_since(at).abs() >= ENDS_WITHIN;
    let states = run.pod.iter().flat_map(|pod| run.leg.stages().map(|stage| pod.stage(stage)));
    let ended: Vec<&StageState> =
        states.take_while(|state| matches!(state, StageState::Terminated { .. })).collect();
    let died =
        matches!(ended.last(), Some(StageState::Terminated { at, outcome: None, .. }) if long_ago(*at));
    died && ended.len() < run.leg.stages().count()
}

/// A repeated verification of what was concluded before, which cannot start or waits for a dead container. It
/// was never announced, so it is no object's run in hand; left alone, it would block the next run until its
/// deadline.
fn is_outdated(runs: &Runs, run: &Run) -> bool {
    let known = &runs.known;
    let repeats = |job: &str| attempt_in(job, known.name, &run.digest).is_some();
    let concluded = known.published.history.iter().any(|entry| repeats(&entry.job));
    let cannot_start =
        || matches!(judge(run, None), RunState::Running(Progress { problem: Some(_), harmless: true, .. }));
    run.purpose == Purpose::Verify
        && Some(&run.digest) != known.desired.as_ref()
        && concluded
        && (cannot_start() || waits_for_the_dead(run, runs.now))
}
