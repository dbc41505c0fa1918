//! How a run stands, from its Job and its Pod. PURE.
//!
//! The verdict is taken from the containers, as soon as the kubelet reports it; the Job follows a second or
//! two later. What left no readable Outcome counts as lost, never as passed: the next attempt reads the
//! database.

use jiff::Timestamp;

use super::facts::{JobState, Run, RunPod, StageState};
use crate::{
    api::{Class, Reason},
    contract::{Leg, Outcome, Stage, Verdict},
};

/// How a run stands.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// It goes on.
    Running(Progress),
    /// Every stage of its leg passed.
    Passed(Pass),
    /// It ended, and did not pass.
    Failed(Ending),
}

/// The end of a leg that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Its last stage.
    pub stage: Stage,
    /// When that ended.
    pub at: Timestamp,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The first stage that has not passed.
    pub stage: Stage,
    /// Since when it could have been working.
    pub since: Timestamp,
    /// What keeps the Pod from starting. The kubelet retries automatically, so this uses up no attempt.
    pub problem: Option<Problem>,
    /// Nothing was copied or changed yet: the run may be thrown away for a newer one.
    pub harmless: bool,
}

/// What keeps a Pod from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The reason that is shown.
    pub reason: Reason,
    /// The kubelet's or the scheduler's words.
    pub message: String,
}

/// How a run ended that did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The reason of the failure.
    pub reason: Reason,
    /// The stage that decided.
    pub stage: Stage,
    /// For people.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// Judges a run. `image` is the reference of the migrations' image, where the source is one.
pub fn judge(run: &Run, image: Option<&str>) -> RunState {
    let mut since = run.started;
    for stage in run.leg.stages() {
        match run.pod.as_ref().map(|pod| pod.stage(stage)) {
            Some(StageState::Terminated { at, outcome: Some(outcome), .. })
                if contradicts_itself(outcome, stage) =>
            {
                return RunState::Failed(lost(
                    run,
                    stage,
                    *at,
                    "what it left contradicts itself; is its image another version of Sluice?",
                ));
            }
            Some(StageState::Terminated { at, outcome: Some(outcome), .. }) => match outcome.verdict {
                Verdict::Passed => since = *at,
                Verdict::Failed => return RunState::Failed(failed(outcome, *at)),
                Verdict::NotReached => return undecided(run, stage, since, image),
            },
            Some(StageState::Terminated { at, outcome: None, why }) => {
                return RunState::Failed(lost(run, stage, *at, why));
            }
            _ => return undecided(run, stage, since, image),
        }
    }
    RunState::Passed(Pass { stage: run.leg.last(), at: since })
}

/// The words of another stage, or a pass for a reason that is none. Unknown is never a pass.
fn contradicts_itself(outcome: &Outcome, stage: Stage) -> bool {
    outcome.stage != stage || (outcome.verdict == Verdict::Passed && outcome.reason.class() != Class::Success)
}

fn failed(outcome: &Outcome, at: Timestamp) -> Ending {
    let failure = matches!(outcome.reason.class(), Class::Transient | Class::NeedsUser);
    let reason = if failure { outcome.reason } else { Reason::StageFailed };
    Ending { reason, stage: outcome.stage, message: message_of(outcome), at }
}

/// The stage's own sentence, and for a failed migration where the details are.
pub fn message_of(outcome: &Outcome) -> String {
    let mut message = outcome.message.clone();
    if let Some(failure) = &outcome.failure
        && !(message.contains(&failure.file) && message.contains(&failure.sqlstate))
    {
        let code = if failure.sqlstate.is_empty() { "without a SQLSTATE" } else { &failure.sqlstate };
        message = format!(
            "{message} (migration {:?}, {} line {}, {code}: {}; statement: {})",
            failure.migration, failure.file, failure.line, failure.message, failure.statement
        );
    }
    if let Some(blocker) = outcome.blockers.first()
        && !message.contains(&blocker.pid.to_string())
    {
        message = format!(
            "{message} (held by process {}, application {:?}, role {:?}, {} for {} s)",
            blocker.pid, blocker.application, blocker.user, blocker.state, blocker.age_seconds
        );
    }
    message
}

/// No verdict at `stage` yet; once the Job has ended there will be none.
fn undecided(run: &Run, stage: Stage, since: Timestamp, image: Option<&str>) -> RunState {
    match &run.state {
        JobState::Active => RunState::Running(Progress {
            stage,
            since,
            problem: run.pod.as_ref().and_then(|pod| problem(run.leg, pod, image)),
            harmless: stage <= Stage::Snapshot && run.pod.as_ref().is_none_or(snapshot_has_not_started),
        }),
        JobState::Complete { at } => RunState::Failed(lost(run, stage, *at, "its Pod is gone")),
        JobState::Failed { at, message } => RunState::Failed(lost(run, stage, *at, message)),
    }
}

fn snapshot_has_not_started(pod: &RunPod) -> bool {
    matches!(pod.stage(Stage::Snapshot), StageState::Unknown | StageState::Waiting { .. })
}

fn lost(run: &Run, stage: Stage, at: Timestamp, why: &str) -> Ending {
    let (job, name) = (&run.job, stage.name());
    if run.deadline {
        let message = format!(
            "the Job {job:?} did not end within spec.apply.deadline and was stopped in the stage {name}; \
                what it had not committed is \
             gone. If it needs longer, raise spec.apply.deadline"
        );
        return Ending { reason: Reason::DeadlineExceeded, stage, message, at };
    }
    if why.starts_with("OOMKilled") {
        let message = format!(
            "the container of the stage {name} of the Job {job:?} needed more memory than its limit and was \
                killed; raise \
             spec.pods.resources.{name}.limits.memory of the MigrationPolicy, or \
             pods.resources.{name}.limits.memory of the chart. The next \
             attempt reads the database"
        );
        return Ending { reason: Reason::OutOfMemory, stage, message, at };
    }
    let why = if why.is_empty() { "no reason given" } else { why };
    let message = format!(
        "the Pod of the Job {job:?} ended in the stage {name} without a verdict ({why}); the next attempt \
            reads the database"
    );
    Ending { reason: Reason::RunLost, stage, message, at }
}

/// The first thing that keeps the Pod from starting.
fn problem(leg: Leg, pod: &RunPod, image: Option<&str>) -> Option<Problem> {
    if let Some(why) = &pod.unschedulable {
        let message = format!("the Pod {:?} cannot be scheduled: {why}", pod.name);
        return Some(Problem { reason: Reason::Pending, message });
    }
    leg.stages().find_map(|stage| match pod.stage(stage) {
        StageState::Waiting { reason, message } => waiting(stage, &pod.name, reason, message, image),
        _ => None,
    })
}

fn waiting(stage: Stage, pod: &str, reason: &str, message: &str, image: Option<&str>) -> Option<Problem> {
    let names = |image: &str| message.contains(image.rsplit('/').next().unwrap_or(image));
    let of_the_source = image.filter(|image| names(image));
    // The kubelet wraps one error in another on each retry; only the innermost stays the same.
    let message = message.rsplit("ErrImagePull: ").next().unwrap_or(message).trim();
    let problem = |reason, message| Some(Problem { reason, message });
    match reason {
        "" | "ContainerCreating" | "PodInitializing" => None,
        "CreateContainerConfigError" if message.to_lowercase().contains("secret") => problem(
            Reason::SecretNotFound,
            format!("{message}; create it, and the kubelet starts the Pod {pod:?}"),
        ),
        _ if reason.contains("Image")
            || reason == "RegistryUnavailable"
            || reason.starts_with("Signature") =>
        {
            match of_the_source {
                Some(image) => problem(
                    Reason::SourceNotFound,
                    format!("the image {image:?} of spec.migrations.image cannot be pulled: {message}"),
                ),
                None => problem(
                    Reason::StageFailed,
                    format!("the image of the stage {} cannot be pulled: {message}", stage.name()),
                ),
            }
        }
        _ => problem(
            Reason::StageFailed,
            format!("the container of the stage {} of the Pod {pod:?} cannot start: {message}", stage.name()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::plan::fixture::{moment, run};

    fn ended(stage: Stage, verdict: Verdict, reason: Reason) -> StageState {
        let outcome = Some(Box::new(Outcome::new(stage, verdict, reason, "a sentence")));
        StageState::Terminated { at: moment(stage as i64 + 1), outcome, why: String::new() }
    }

    fn passes() -> BTreeMap<Stage, StageState> {
        let pass = |stage, reason| (stage, ended(stage, Verdict::Passed, reason));
        BTreeMap::from([
            pass(Stage::Plan, Reason::PlanReady),
            pass(Stage::Snapshot, Reason::SnapshotTaken),
            pass(Stage::Migrate, Reason::Applied),
            pass(Stage::Verify, Reason::Verified),
        ])
    }

    fn judged(stages: BTreeMap<Stage, StageState>, state: JobState) -> RunState {
        let mut run = Run { state, ..run() };
        run.pod.as_mut().expect("a pod").stages = stages;
        judge(&run, None)
    }

    fn ending(run_state: RunState) -> (Reason, Stage) {
        match run_state {
            RunState::Failed(ending) => (ending.reason, ending.stage),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_run_has_passed_when_verify_has_even_though_its_job_goes_on() {
        let at = moment(Stage::Verify as i64 + 1);
        let passed = RunState::Passed(Pass { stage: Stage::Verify, at });
        assert_eq!(judged(passes(), JobState::Active), passed);
    }

    #[test]
    fn a_leg_has_passed_when_its_last_stage_has_whatever_others_there_are() {
        const SHORT: Leg = Leg::new(1, &[], &[Stage::Plan, Stage::Snapshot]);
        let mut run = Run { leg: SHORT, ..run() };
        run.pod.as_mut().expect("a pod").stages = passes();
        let at = moment(Stage::Snapshot as i64 + 1);
        assert_eq!(judge(&run, None), RunState::Passed(Pass { stage: Stage::Snapshot, at }));
    }

    #[test]
    fn the_earliest_failure_decides() {
        let mut stages = passes();
        stages.insert(Stage::Snapshot, ended(Stage::Snapshot, Verdict::Failed, Reason::NoSpace));
        stages.insert(Stage::Migrate, ended(Stage::Migrate, Verdict::NotReached, Reason::NoSpace));
        stages.insert(Stage::Verify, ended(Stage::Verify, Verdict::NotReached, Reason::NoSpace));
        assert_eq!(ending(judged(stages, JobState::Active)), (Reason::NoSpace, Stage::Snapshot));
    }

    #[test]
    fn a_stage_that_left_nothing_is_lost_and_so_is_one_that_contradicts_itself() {
        for state in [
            StageState::Terminated { at: moment(9), outcome: None, why: "Error, exit code 137".into() },
            ended(Stage::Migrate, Verdict::Passed, Reason::Unknown),
            ended(Stage::Migrate, Verdict::Passed, Reason::MigrationFailed),
            ended(Stage::Verify, Verdict::Passed, Reason::Verified),
        ] {
            let mut stages = passes();
            stages.insert(Stage::Migrate, state.clone());
            assert_eq!(
                ending(judged(stages, JobState::Active)),
                (Reason::RunLost, Stage::Migrate),
                "{state:?}"
            );
        }
    }

    #[test]
    fn a_stage_that_needed_too_much_memory_is_told_with_the_setting_to_raise() {
        let mut stages = passes();
        let killed =
            StageState::Terminated { at: moment(9), outcome: None, why: "OOMKilled, exit code 137".into() };
        stages.insert(Stage::Migrate, killed);
        let RunState::Failed(ending) = judged(stages, JobState::Active) else { panic!("it goes on") };
        assert_eq!((ending.reason, ending.stage), (Reason::OutOfMemory, Stage::Migrate));
        assert!(ending.message.contains("spec.pods.resources.migrate.limits.memory"), "{}", ending.message);
    }

    #[test]
    fn a_failure_for_a_reason_that_is_none_is_still_a_failure() {
        let mut stages = passes();
        stages.insert(Stage::Migrate, ended(Stage::Migrate, Verdict::Failed, Reason::Applied));
        assert_eq!(ending(judged(stages, JobState::Active)), (Reason::StageFailed, Stage::Migrate));
    }

    #[test]
    fn a_job_that_is_complete_without_a_pod_is_lost_and_not_passed() {
        let run = Run { pod: None, state: JobState::Complete { at: moment(5) }, ..run() };
        assert_eq!(ending(judge(&run, None)), (Reason::RunLost, Stage::Plan));
    }

    #[test]
    fn an_active_job_without_a_pod_is_waited_for() {
        let run = Run { pod: None, ..run() };
        assert!(matches!(
            judge(&run, None),
            RunState::Running(Progress { stage: Stage::Plan, harmless: true, .. })
        ));
    }

    #[test]
    fn a_deadline_that_passed_is_told_from_a_loss() {
        let failed = JobState::Failed {
            at: moment(9),
            message: "Job was active longer than specified deadline".into(),
        };
        let mut run = Run { state: failed, deadline: true, ..run() };
        let mut stages = passes();
        stages.insert(Stage::Migrate, StageState::Running);
        stages.insert(Stage::Verify, StageState::Running);
        run.pod.as_mut().expect("a pod").stages = stages;
        assert_eq!(ending(judge(&run, None)), (Reason::DeadlineExceeded, Stage::Migrate));
    }

    #[test]
    fn what_keeps_a_container_from_starting_has_a_reason_and_uses_up_no_attempt() {
        let image = "registry.example/records:1";
        for (kubelet, message, reason) in [
            ("CreateContainerConfigError", "secret \"records-db\" not found", Some(Reason::SecretNotFound)),
            (
                "CreateContainerConfigError",
                "couldn't find key url in Secret medical/records-db",
                Some(Reason::SecretNotFound),
            ),
            (
                "CreateContainerConfigError",
                "container has runAsNonRoot and image will run as root",
                Some(Reason::StageFailed),
            ),
            (
                "ErrImagePull",
                "failed to pull image \"registry.example/records:1\": not found",
                Some(Reason::SourceNotFound),
            ),
            (
                "ImagePullBackOff",
                "Back-off pulling image \"registry.example/sluice:1\"",
                Some(Reason::StageFailed),
            ),
            ("ContainerCreating", "", None),
            ("PodInitializing", "", None),
        ] {
            let mut run = run();
            let waiting = StageState::Waiting { reason: kubelet.into(), message: message.into() };
            run.pod.as_mut().expect("a pod").stages.insert(Stage::Plan, waiting);
            let RunState::Running(progress) = judge(&run, Some(image)) else {
                panic!("{kubelet} {message} ended the run")
            };
            assert_eq!(progress.problem.map(|problem| problem.reason), reason, "{kubelet} {message}");
        }
    }

    #[test]
    fn the_kubelets_back_off_does_not_change_the_message() {
        let cause = "failed to resolve \"registry.example/sluice:1\": not found";
        let wrapped = format!("Back-off pulling image \"registry.example/sluice:1\": ErrImagePull: {cause}");
        let first = waiting(Stage::Plan, "pod", "ErrImagePull", cause, None);
        assert_eq!(first, waiting(Stage::Plan, "pod", "ImagePullBackOff", &wrapped, None));
        assert!(first.is_some());
    }
}
