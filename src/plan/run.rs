//! The sections `snapshot`, `apply` and `verify`, which one Job carries out: is it done, under way, or to be
//! started? PURE.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    again,
    digest::{self, job_name},
    facts::{JobState, Run, StageState},
    gates,
    judge::{Judgement, Problem, Progress, judge},
    own,
    record::{begun, report_at},
    required, retry,
    sections::{Sections, reason_while},
    situation::Situation,
    step::{JobOrder, Step},
    verdict::Verdict,
};
use crate::{
    api::{Class, ConditionType, Reason, RunStatus},
    contract::{Purpose, Stage},
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

/// The run that the facts ask for has ended, and another one would change nothing.
pub fn is_settled(situation: &Situation) -> Option<Verdict> {
    let (run, reason) = situation.concluded()?;
    if reason == Reason::Verified {
        return Some(required::on_demand(situation, again::on_schedule(situation, verified(situation))));
    }
    if reason.class() != Class::NeedsUser {
        return None;
    }
    let message = situation.record.sections.failure().map_or("", |section| &section.message);
    if situation.facts.by_hand {
        return Some(Verdict::stalled(reason, format!("{message} (correct it, then run it again)")));
    }
    let until = "the source, the spec or the annotation sluice.dev/retry changes";
    let remedy = match again::interval(situation.facts) {
        Some(every) if again::has_a_verdict(run) => {
            format!("Sluice verifies it again every {every}, and nothing else runs until {until}")
        }
        // The Job's name changes with each verification, and the message should not.
        _ => format!("run {}; nothing runs again until {until}", run.job),
    };
    Some(again::on_schedule(situation, Verdict::stalled(reason, format!("{message} ({remedy})"))))
}

/// Ready, and at which version; or with a source that is older than that.
fn verified(situation: &Situation) -> Verdict {
    let planned = situation.record.sections.get(ConditionType::Planned);
    if let Some(planned) = planned.filter(|planned| planned.reason == Reason::DatabaseAhead) {
        return Verdict::idle(Reason::DatabaseAhead, planned.message.clone());
    }
    let message = match &situation.record.status.current_version {
        Some(version) => format!("{version} is applied and verified"),
        None => "the source has no migration; the schema is verified".to_owned(),
    };
    match own::strangers(situation.facts, &situation.record.status, situation.wanted.as_deref()) {
        Some(strangers) => Verdict::idle(Reason::Verified, format!("{message}. {strangers}")),
        None => Verdict::idle(Reason::Verified, message),
    }
}

/// The run that the facts ask for goes on.
pub fn is_under_way(situation: &Situation) -> Option<Verdict> {
    let in_hand =
        situation.going().filter(|in_hand| Some(&in_hand.run.digest) == situation.wanted.as_ref())?;
    let Judgement::Going(progress) = &in_hand.judgement else {
        return None;
    };
    let run = situation.record.status.run.as_ref()?;
    let due = report_at(progress, situation.now).duration_since(situation.now);
    let verdict = match &progress.problem {
        Some(problem) if !due.is_positive() => waits_for_the_kubelet(run, problem),
        _ => at_work(run, &situation.record.sections),
    };
    let soon = Duration::try_from(due).ok().filter(|due| !due.is_zero());
    Some(Verdict { requeue: soon.or(Some(look_again(situation, in_hand.run))), ..verdict })
}

/// A run that says how far it is is polled as often as the status may say so; one that does not say it after
/// a minute may be out of reach.
fn look_again(situation: &Situation, run: &Run) -> Duration {
    let young = situation.now.duration_since(run.started) < LISTENED_FOR;
    let listens = run.pod.as_ref().is_some_and(|pod| pod.address.is_some());
    let says = situation.facts.progress.is_some() || (listens && young);
    Duration::from_secs(if says { PROGRESS_SECONDS } else { LOOK_AGAIN_SECONDS })
}

fn waits_for_the_kubelet(run: &RunStatus, problem: &Problem) -> Verdict {
    Verdict::reconciling(
        problem.reason,
        format!("the Job {:?} cannot start yet: {}", run.job, problem.message),
    )
}

/// What is shown while a run goes on: the stage, or what the attempt before it failed with.
fn at_work(run: &RunStatus, sections: &Sections) -> Verdict {
    if let Some(failure) = sections.failure() {
        let message = format!(
            "attempt {} is under way (Job {:?}); before it: {}",
            run.attempt, run.job, failure.message
        );
        return Verdict::reconciling(failure.reason, message);
    }
    let mut stages = Purpose::Apply.route().stages();
    let stage = stages.find(|stage| run.stage.as_deref() == Some(stage.name())).unwrap_or(Stage::Plan);
    let doing = match stage {
        Stage::Plan => "compares the source with the database",
        Stage::Snapshot => "takes the snapshot and reads it back",
        Stage::Migrate => "runs what is pending",
        Stage::Verify => "verifies the schema",
    };
    Verdict::reconciling(reason_while(stage), format!("the Job {:?} {doing}", run.job))
}

/// A run that was started for an older spec or source goes on. It is left to end, unless it cannot start and
/// has not touched anything: then it would only block what may mend it.
pub fn none_is_left_over(situation: &Situation) -> Option<Verdict> {
    let in_hand = situation.going()?;
    let Judgement::Going(progress) = &in_hand.judgement else {
        return None;
    };
    let job = &in_hand.run.job;
    let stuck = progress.problem.is_some() && progress.harmless;
    let message = if stuck {
        format!("deleting the Job {job:?}: it was created for an older spec or source, and it cannot start")
    } else {
        format!("the Job {job:?}, created for an older spec or source, must end first")
    };
    let step = (stuck && !in_hand.run.deleting).then(|| Step::DeleteJob { job: job.clone() });
    Some(Verdict { step, ..Verdict::reconciling(Reason::Pending, message).again_after(LOOK_AGAIN_SECONDS) })
}

/// The pause after a failed attempt is over.
pub fn pause_is_over(situation: &Situation) -> Option<Verdict> {
    let (run, reason) = situation.concluded()?;
    let ended = run.finished_at.as_ref()?.0;
    let left = retry::left(ended, run.attempt, &situation.facts.uid, situation.now)?;
    let message = situation.record.sections.failure().map_or("", |section| &section.message);
    if situation.facts.by_hand {
        return Some(Verdict::reconciling(
            reason,
            format!("{message} (run it again: Sluice goes on from what the database says then)"),
        ));
    }
    let pause = retry::pause(run.attempt, &situation.facts.uid).as_secs();
    let message = format!("{message} (attempt {} failed; the next one follows after {pause} s)", run.attempt);
    Some(Verdict { requeue: Some(left), ..Verdict::reconciling(reason, message) })
}

/// Starts the next attempt: announced in the status first, begun when every former Job of this object has
/// ended.
pub fn starts(situation: &Situation) -> Verdict {
    let Some(digest) = &situation.wanted else {
        return Verdict::reconciling(Reason::Pending, "the object was seen; nothing was done yet");
    };
    let attempt = situation.next_attempt(digest);
    let purpose = again::purpose(situation);
    let leg = purpose.route().first();
    let job = job_name(&situation.facts.name, digest, attempt, leg);
    // What the attempt before it found is shown until this one gets further.
    let sections = situation.record.about(Some(digest)).cloned().unwrap_or_default();
    let run = RunStatus {
        sections: sections.results(),
        ..begun(&job, digest, attempt, situation.facts.fingerprint.clone())
    };
    let verdict = Verdict { begins: Some(run.clone()), ..at_work(&run, &sections) };
    if situation.occupied() {
        return Verdict { step: stuck(situation), ..verdict.again_after(ENDING_SECONDS) };
    }
    Verdict {
        step: Some(Step::CreateJob(JobOrder {
            job,
            digest: digest.clone(),
            attempt,
            purpose,
            leg,
            deadline: gates::deadline(situation, leg),
            required: required::asked(situation),
        })),
        ..verdict
    }
}

/// A run that ended without a verdict and whose Job goes on. Either a container died before its process took
/// its place in the chain, so those behind it cannot see that, and would wait for it until the deadline; none
/// of them has begun its work. Or a foreign Pod took the place of the Job's own, and nothing says when it
/// ends.
fn stuck(situation: &Situation) -> Option<Step> {
    let long_ago = situation.now.saturating_sub(ENDS_WITHIN).unwrap_or(Timestamp::MIN);
    let waits_for_the_dead = |run: &&Run| {
        let states = run.pod.iter().flat_map(|pod| run.leg.stages().map(|stage| pod.stage(stage)));
        let ended: Vec<&StageState> =
            states.take_while(|state| matches!(state, StageState::Terminated { .. })).collect();
        let died =
            matches!(ended.last(), Some(StageState::Terminated { at, outcome: None, .. }) if *at <= long_ago);
        died && ended.len() < run.leg.stages().count()
    };
    let concluded = |run: &&Run| own::is_concluded(&situation.record.status, run);
    let goes_on = |run: &&Run| !run.deleting && run.state == JobState::Active;
    let mut open = situation.facts.runs.iter().filter(concluded).filter(goes_on);
    let found = open.find(|run| waits_for_the_dead(run) || run.pod_differs.is_some());
    let run = found
        .or_else(|| situation.facts.runs.iter().filter(goes_on).find(|run| is_outdated(situation, run)))?;
    Some(Step::DeleteJob { job: run.job.clone() })
}

/// A repeated verification of what was concluded before, which cannot start. It was never announced, so it is
/// no object's run in hand; left alone, it would block the next run until its deadline.
fn is_outdated(situation: &Situation, run: &Run) -> bool {
    let facts = situation.facts;
    let repeats = |job: &str| digest::attempt_in(job, &facts.name, &run.digest).is_some();
    let concluded = facts.published.history.iter().any(|entry| repeats(&entry.job));
    let stuck =
        matches!(judge(run, None), Judgement::Going(Progress { problem: Some(_), harmless: true, .. }));
    run.purpose == Purpose::Verify && concluded && stuck && Some(&run.digest) != situation.wanted.as_ref()
}
