//! Jobs and Pods as the plan knows them: only what the Job controller, the scheduler and the kubelet said.

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobCondition, JobStatus},
        core::v1::{ContainerState, Pod, PodStatus},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{Resource, ResourceExt};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    api::{LABEL_ATTEMPT, LABEL_DIGEST},
    contract::{Leg, Outcome, Purpose, Route, Stage},
    objects::{difference, fingerprint, work, work_of_pod},
    plan::facts::{JobState, Run, RunPod, StageState},
};

/// So much of a longer name is kept by Kubernetes before it appends five characters.
const GENERATED_FROM: usize = 58;

/// What the Job of a leg does.
#[derive(Clone, Debug)]
pub struct Work {
    /// The leg.
    pub leg: Leg,
    /// What it does.
    pub work: Value,
}

/// A Job. Its spec is as it is stored and not as a type: a field that the type does not know would be one
/// that is never compared.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = Job)]
pub struct StoredJob {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
    status: Option<JobStatus>,
}

/// A Pod, likewise.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = Pod)]
pub struct StoredPod {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
    status: Option<PodStatus>,
}

/// The runs of the object with this uid. Jobs that only look like ours are left out. `route` is that of a run that
/// may change something, and `works` is what Jobs do that were created now.
pub fn runs(uid: &str, jobs: &[StoredJob], pods: &[StoredPod], route: Route, works: &[Work]) -> Vec<Run> {
    jobs.iter()
        .filter(|job| is_controlled_by(&job.metadata, uid))
        .filter_map(|job| run(job, pods, route, works))
        .collect()
}

/// Whether `uid` is the controlling owner.
pub fn is_controlled_by(metadata: &ObjectMeta, uid: &str) -> bool {
    metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

/// Whether the Job has not ended.
pub fn is_active(job: &StoredJob) -> bool {
    state(job) == JobState::Active
}

fn run(job: &StoredJob, pods: &[StoredPod], route: Route, works: &[Work]) -> Option<Run> {
    let uid = job.uid()?;
    let started = job.creation_timestamp()?.0;
    let found = work(&job.spec);
    let (purpose, leg) = task(&job.spec, route);
    let expected = works.iter().find(|known| known.leg.works_as(leg));
    let (pod, pod_differs) = newest_pod(pods, (uid.as_str(), job.name_any().as_str()), &found);
    Some(Run {
        job: job.name_any(),
        digest: job.labels().get(LABEL_DIGEST)?.clone(),
        attempt: job.labels().get(LABEL_ATTEMPT)?.parse().ok()?,
        started,
        deleting: job.metadata.deletion_timestamp.is_some(),
        purpose,
        leg,
        fingerprint: fingerprint(&found),
        differs: expected.and_then(|expected| difference(&expected.work, &found)),
        pod_differs,
        state: state(job),
        deadline: conditions(job).any(|condition| {
            matches!(condition.type_.as_str(), "Failed" | "FailureTarget")
                && condition.reason.as_deref() == Some("DeadlineExceeded")
        }),
        pod: pod.map(|pod| run_pod(pod, leg, started)),
    })
}

/// The newest Pod of a Job that does what the Job says. Where there is none, the newest of the others, and
/// where it differs.
fn newest_pod<'a>(
    pods: &'a [StoredPod],
    (job, name): (&str, &str),
    work: &Value,
) -> (Option<&'a StoredPod>, Option<String>) {
    let own = pods.iter().filter(|pod| is_controlled_by(&pod.metadata, job));
    let differs = |pod: &StoredPod| {
        let renamed = || {
            (!is_named_after(pod, name))
                .then(|| "metadata.name is not one that the Job controller gives".to_owned())
        };
        difference(&work["template"]["spec"], &work_of_pod(&pod.spec)).or_else(renamed)
    };
    let judged = own.map(|pod| (differs(pod), pod));
    let newest = judged.max_by_key(|(differs, pod)| {
        (differs.is_none(), pod.creation_timestamp().map(|time| time.0), pod.name_any())
    });
    let Some((differs, pod)) = newest else { return (None, None) };
    (Some(pod), differs)
}

/// Named as the Job controller names the Pods of a Job. By such names the API server keeps people from
/// running commands in them.
fn is_named_after(pod: &StoredPod, job: &str) -> bool {
    let base: String = format!("{job}-").chars().take(GENERATED_FROM).collect();
    pod.name_any().starts_with(&base)
}

/// As the Job's environment tells its stages, and its containers whether it rehearses. A purpose that this version
/// does not know is taken for the one that may change something, and a leg that the route does not have for the
/// last one.
fn task(spec: &Value, route: Route) -> (Purpose, Leg) {
    let variables = || spec["template"]["spec"]["containers"][0]["env"].as_array().into_iter().flatten();
    let told = |name: &str| variables().find(|variable| variable["name"] == name)?["value"].as_str();
    let purpose = told("SLUICE_PURPOSE").and_then(Purpose::named).unwrap_or(Purpose::Apply);
    let route = match purpose {
        Purpose::Apply => route,
        Purpose::Verify => purpose.route(),
    };
    let route = route.rehearsing(rehearses(spec));
    let leg = told("SLUICE_LEG")
        .map_or(Some(route.first()), |number| number.parse().ok().and_then(|number| route.leg(number)));
    (purpose, leg.unwrap_or(route.last()))
}

/// A Job says by itself whether it has a rehearsal: the manifest may have changed since.
fn rehearses(spec: &Value) -> bool {
    let containers = spec["template"]["spec"]["containers"].as_array();
    containers.into_iter().flatten().any(|container| container["name"] == Stage::Rehearse.name())
}

/// The conditions that hold.
fn conditions(job: &StoredJob) -> impl Iterator<Item = &JobCondition> {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.filter(|condition| condition.status == "True")
}

fn state(job: &StoredJob) -> JobState {
    let started = job.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    for condition in conditions(job) {
        let at = condition.last_transition_time.as_ref().map_or(started, |time| time.0);
        match condition.type_.as_str() {
            "Complete" => return JobState::Complete { at },
            "Failed" => {
                return JobState::Failed { at, message: condition.message.clone().unwrap_or_default() };
            }
            _ => {}
        }
    }
    JobState::Active
}

fn run_pod(pod: &StoredPod, leg: Leg, started: Timestamp) -> RunPod {
    let status = pod.status.as_ref();
    let conditions = status.iter().flat_map(|status| status.conditions.iter().flatten());
    let unschedulable = conditions
        .filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .find(|condition| condition.reason.as_deref() == Some("Unschedulable"))
        .map(|condition| condition.message.clone().unwrap_or_default());
    let containers = || status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let stage = |stage: Stage| {
        let container = containers().find(|container| container.name == stage.name())?;
        Some((stage, stage_state(container.state.as_ref()?, started)))
    };
    let address = status.and_then(|status| status.pod_ip.clone());
    RunPod { name: pod.name_any(), address, unschedulable, stages: leg.stages().filter_map(stage).collect() }
}

fn stage_state(state: &ContainerState, started: Timestamp) -> StageState {
    if let Some(terminated) = &state.terminated {
        let outcome = terminated.message.as_deref().and_then(Outcome::from_message).map(Box::new);
        let at = terminated
            .finished_at
            .as_ref()
            .or(terminated.started_at.as_ref())
            .map_or(started, |Time(at)| *at);
        let why = format!(
            "{}, exit code {}",
            terminated.reason.as_deref().unwrap_or("no reason given"),
            terminated.exit_code
        );
        return StageState::Terminated { at, outcome, why };
    }
    if state.running.is_some() {
        return StageState::Running;
    }
    state.waiting.as_ref().map_or(StageState::Unknown, |waiting| StageState::Waiting {
        reason: waiting.reason.clone().unwrap_or_default(),
        message: waiting.message.clone().unwrap_or_default(),
    })
}
