//! The Job controller, the kubelet and the stages in one: plays the Pods of Jobs to their end, one stage for
//! each tick, against a model of the database whose history decides what is pending.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use sluice::{
    api::{AppliedMigration, Blocker, Failure, HeldMigration, ReadBack, Reason, SnapshotRecord},
    contract::{HistorySummary, Outcome, Purpose, Required, Stage, Verdict},
};

use super::api_server::{Cluster, Key, Server, fill, second};

/// What goes wrong with the next run, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The stage reports a failure with this reason.
    Fails(Stage, Reason),
    /// The container is killed before it says anything.
    Killed(Stage),
    /// The kernel kills the container for its memory.
    OutOfMemory(Stage),
    /// The container dies before its process takes its place in the chain: those behind it go on waiting.
    Unseen(Stage),
    /// The Pod is taken away while the stage works, and the Job fails.
    Evicted(Stage),
    /// The whole Job is stopped because its deadline passed while the stage worked.
    Late(Stage),
    /// The containers cannot start, for this many ticks.
    Waits(&'static str, &'static str, u32),
}

impl Mishap {
    /// Whether it can happen to a Pod of these stages. One that cannot waits for the next.
    fn concerns(self, stages: &[Stage]) -> bool {
        match self {
            Self::Fails(at, _)
            | Self::Killed(at)
            | Self::OutOfMemory(at)
            | Self::Unseen(at)
            | Self::Evicted(at)
            | Self::Late(at) => stages.contains(&at),
            Self::Waits(..) => true,
        }
    }
}

/// The database behind the Jobs.
#[derive(Clone, Debug, Default)]
pub struct Database {
    /// Applied migrations, oldest first: each exactly once.
    pub applied: Vec<String>,
    /// The migrations of the source.
    pub source: Vec<String>,
    /// What goes wrong with the next runs, in order; a run without one passes.
    pub mishaps: Vec<Mishap>,
    /// Which database it is.
    pub identity: Option<String>,
    /// The run that is being played.
    pub current: Option<(String, Option<Mishap>)>,
    /// By how many seconds the node's clock is ahead of every other clock.
    pub skew: i64,
    /// A migration that is the contract of the one before it, and for how many seconds that has to be applied.
    pub contract: Option<(String, i64)>,
    /// When something was applied last.
    pub applied_at: Option<Timestamp>,
    /// What the plan of the run in hand holds.
    pub held: Option<HeldMigration>,
}

impl Database {
    /// Works for one moment; false when there is nothing to do.
    pub fn tick(&mut self, server: &Server) -> bool {
        let mut cluster = server.cluster();
        let mut busy = false;
        for (key, job) in cluster.all("jobs") {
            busy |= self.play(&mut cluster, &key, &job);
        }
        busy
    }

    fn play(&mut self, cluster: &mut Cluster, key: &Key, job: &Value) -> bool {
        let pod = ("pods".to_owned(), key.1.clone(), format!("{}-pod", key.2));
        if job["metadata"]["deletionTimestamp"].is_string() {
            cluster.objects.remove(&pod);
            cluster.objects.remove(key);
            return true;
        }
        if job["status"]["conditions"].is_array() {
            return false;
        }
        if !cluster.objects.contains_key(&pod) {
            cluster.put(pod, new_pod(job));
            let stages = stages(&job["spec"]["template"]["spec"]);
            let concerned = self.mishaps.first().is_some_and(|mishap| mishap.concerns(&stages));
            let mishap = concerned.then(|| self.mishaps.remove(0));
            self.current = Some((key.2.clone(), mishap));
            return true;
        }
        let mishap =
            self.current.as_mut().filter(|(job, _)| *job == key.2).and_then(|(_, mishap)| mishap.as_mut());
        if let Some(Mishap::Waits(reason, message, ticks)) = mishap
            && *ticks > 0
        {
            *ticks -= 1;
            let waiting = json!({"waiting": {"reason": reason, "message": message}});
            cluster.edit(&pod, |pod| {
                for stage in stages(&pod["spec"]) {
                    status_of(pod, stage)["state"] = waiting.clone();
                }
            });
            return true;
        }
        let mishap = mishap.map(|mishap| *mishap);
        self.advance(cluster, key, &pod, mishap);
        true
    }

    /// Ends the first stage that has not ended, or the Job when all have.
    fn advance(&mut self, cluster: &mut Cluster, job: &Key, pod: &Key, mishap: Option<Mishap>) {
        let statuses = cluster.objects[pod]["status"]["containerStatuses"].clone();
        let stages = stages(&cluster.objects[pod]["spec"]);
        let ended = |stage: &Stage| {
            let mut own = statuses.as_array().into_iter().flatten().filter(|it| it["name"] == stage.name());
            own.any(|status| status["state"]["terminated"].is_object())
        };
        let failed = statuses
            .as_array()
            .into_iter()
            .flatten()
            .any(|status| status["state"]["terminated"]["exitCode"].as_i64().unwrap_or(0) != 0);
        let Some(stage) = stages.iter().copied().find(|stage| !ended(stage)) else {
            return conclude(
                cluster,
                job,
                if failed { ("Failed", "BackoffLimitExceeded") } else { ("Complete", "CompletionsReached") },
            );
        };
        match mishap {
            Some(Mishap::Evicted(at)) if at == stage => {
                cluster.objects.remove(pod);
                conclude(cluster, job, ("Failed", "BackoffLimitExceeded"));
            }
            Some(Mishap::Late(at)) if at == stage => {
                cluster.objects.remove(pod);
                conclude(cluster, job, ("Failed", "DeadlineExceeded"));
            }
            Some(Mishap::Unseen(at)) if at == stage => terminate(cluster, pod, stage, None, self.skew),
            Some(Mishap::Unseen(at)) if at < stage => {}
            Some(Mishap::Killed(at) | Mishap::OutOfMemory(at)) if at == stage => {
                terminate(cluster, pod, stage, None, self.skew);
                if mishap == Some(Mishap::OutOfMemory(at)) {
                    let status = |pod: &mut Value| {
                        status_of(pod, stage)["state"]["terminated"]["reason"] = json!("OOMKilled");
                    };
                    cluster.edit(pod, status);
                }
                stages
                    .into_iter()
                    .filter(|later| *later > stage)
                    .for_each(|later| terminate(cluster, pod, later, Some(&not_reached(later)), self.skew));
            }
            Some(Mishap::Fails(at, reason)) if at == stage => {
                terminate(cluster, pod, stage, Some(&self.failure(stage, reason)), self.skew);
                stages
                    .into_iter()
                    .filter(|later| *later > stage)
                    .for_each(|later| terminate(cluster, pod, later, Some(&not_reached(later)), self.skew));
            }
            _ => {
                let verifies = purpose(&cluster.objects[job]) == Purpose::Verify;
                if stage == Stage::Plan {
                    self.held = self.hold(verifies, cluster.now);
                }
                let mut outcome = match stage {
                    Stage::Snapshot | Stage::Migrate if verifies => nothing(stage),
                    Stage::Verify if verifies && self.is_behind() => {
                        self.failure(stage, Reason::VerificationFailed)
                    }
                    _ => self.success(stage, cluster.now),
                };
                if stage == Stage::Verify {
                    outcome.required = self.answers(&cluster.objects[job]);
                }
                terminate(cluster, pod, stage, Some(&outcome), self.skew);
            }
        }
    }

    pub fn success(&mut self, stage: Stage, now: Timestamp) -> Outcome {
        let pending = self.is_behind();
        let reason = match (stage, pending) {
            (Stage::Plan, true) => Reason::PlanReady,
            (Stage::Snapshot, true) => Reason::SnapshotTaken,
            (Stage::Snapshot, false) => Reason::SnapshotNotNeeded,
            (Stage::Rehearse, true) => Reason::Rehearsed,
            (Stage::Rehearse, false) => Reason::RehearsalNotNeeded,
            (Stage::Migrate, true) => Reason::Applied,
            (Stage::Plan | Stage::Migrate, false) => Reason::NothingPending,
            (Stage::Verify, _) => Reason::Verified,
        };
        if stage == Stage::Migrate {
            if pending {
                self.applied.extend(self.pending());
                self.applied_at = Some(now);
            }
            if let Some(held) = self.held.take() {
                let verifies = true;
                self.held = self.hold(verifies, now).filter(|now_held| now_held.migration == held.migration);
            }
        }
        let mut outcome = Outcome::passed(stage, reason, format!("the stage {} passed", stage.name()));
        outcome.milliseconds = 7;
        let tells = !matches!(stage, Stage::Snapshot | Stage::Rehearse);
        outcome.history = tells.then(|| self.history());
        outcome.snapshot = (reason == Reason::SnapshotTaken).then(|| SnapshotRecord {
            reference: "records-snapshots:medical/records/1".into(),
            taken_at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now),
            bytes: 42,
            sha256: "00".into(),
            verified: ReadBack::Read,
        });
        outcome
    }

    /// Something of the source is not applied.
    fn is_behind(&self) -> bool {
        !self.pending().is_empty()
    }

    /// What is not applied, as far as the plan does not hold it.
    fn pending(&self) -> Vec<String> {
        let held = |name: &&String| self.held.as_ref().is_none_or(|held| held.migration != **name);
        let until = self.source.iter().take_while(held);
        until.filter(|name| !self.applied.contains(name)).cloned().collect()
    }

    /// Whether the contract is held: by age, and in a run that only verifies in any case.
    fn hold(&self, verifies: bool, now: Timestamp) -> Option<HeldMigration> {
        let (name, seconds) = self.contract.as_ref().filter(|(name, _)| !self.applied.contains(name))?;
        let of = self.source.iter().take_while(|other| *other != name).last()?;
        let since = self.applied_at.filter(|_| self.applied.contains(of));
        let age = jiff::SignedDuration::from_secs(*seconds);
        let eligible_at = since.map(|since| since.saturating_add(age).expect("a moment"));
        let is_open = !verifies && eligible_at.is_some_and(|at| now >= at);
        (!is_open).then(|| HeldMigration {
            migration: name.clone(),
            of: of.clone(),
            count: 1,
            since: since.map(Time),
            eligible_at: eligible_at.map(Time),
            gate: "Age".into(),
            message: format!("{name} is held"),
        })
    }

    /// To what the Job's environment asks.
    pub fn answers(&self, job: &Value) -> Vec<Required> {
        let variables = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array();
        let asked = variables.into_iter().flatten().find(|variable| variable["name"] == "SLUICE_REQUIRED");
        let names: Vec<String> = asked.map_or(Vec::new(), |asked| {
            serde_json::from_str(asked["value"].as_str().expect("text")).expect("a list")
        });
        names
            .into_iter()
            .map(|version| Required { applied: self.applied.contains(&version), version })
            .collect()
    }

    pub fn failure(&self, stage: Stage, reason: Reason) -> Outcome {
        let mut outcome = Outcome::failed(stage, reason, format!("the stage {} failed", stage.name()));
        if reason == Reason::WaitingForLock {
            outcome.blockers = vec![holder()];
            outcome.ended = vec![Blocker { pid: 8, ..holder() }];
        }
        outcome.history = (stage == Stage::Plan).then(|| self.history());
        outcome.failure = (reason == Reason::MigrationFailed).then(|| Failure {
            column: None,
            left: String::new(),
            migration: "2_two".into(),
            file: "2_two/migration.sql".into(),
            line: 3,
            statement: "ALTER TABLE nowhere".into(),
            sqlstate: "42P01".into(),
            message: "relation \"nowhere\" does not exist".into(),
        });
        outcome
    }

    fn history(&self) -> HistorySummary {
        let pending = self.pending();
        HistorySummary {
            current: self.applied.last().cloned(),
            applied_count: u32::try_from(self.applied.len()).expect("few"),
            applied: self.applied.iter().rev().cloned().collect(),
            pending_count: u32::try_from(pending.len()).expect("few"),
            pending,
            held: self.held.clone(),
            database: self.identity.clone(),
            ..HistorySummary::default()
        }
    }

    /// As the status should list them.
    pub fn newest_first(&self) -> Vec<AppliedMigration> {
        self.applied.iter().rev().map(|name| AppliedMigration { name: name.clone() }).collect()
    }
}

pub fn new_pod(job: &Value) -> Value {
    let template = &job["spec"]["template"];
    let mut spec = template["spec"].clone();
    // What admission, the scheduler and a LimitRange add.
    let limits = json!({"limits": {"cpu": "1"}});
    fill(
        &mut spec,
        &json!({"nodeName": "a-node", "serviceAccount": "default", "serviceAccountName": "default", "priority": 0,
        "preemptionPolicy": "PreemptLowerPriority", "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]}),
    );
    spec["containers"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .for_each(|container| container["resources"] = limits.clone());
    let statuses: Vec<Value> = stages(&spec)
        .into_iter()
        .map(
            |stage| json!({"name": stage.name(), "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"running": {}}}),
        )
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("{}-pod", job["metadata"]["name"].as_str().expect("a name")),
            "labels": template["metadata"]["labels"],
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"], "controller": true,
            }],
        },
        "spec": spec,
        "status": {"phase": "Running", "containerStatuses": statuses},
    })
}

/// The stages that a Pod runs, in order. A forged one may have more containers.
fn stages(pod: &Value) -> Vec<Stage> {
    let containers = pod["containers"].as_array().expect("containers");
    let stage = |container: &Value| Stage::ALL.into_iter().find(|stage| container["name"] == stage.name());
    let stages: Vec<Stage> = containers.iter().filter_map(stage).collect();
    assert!(stages.is_sorted(), "{containers:?}");
    stages
}

/// What the run of a Job is for.
fn purpose(job: &Value) -> Purpose {
    let variables = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array();
    let told = variables.into_iter().flatten().find(|variable| variable["name"] == "SLUICE_PURPOSE");
    told.and_then(|told| Purpose::named(told["value"].as_str()?)).unwrap_or(Purpose::Apply)
}

/// What a stage says of a run that only verifies, whatever is pending.
fn nothing(stage: Stage) -> Outcome {
    let reason = if stage == Stage::Snapshot { Reason::SnapshotNotNeeded } else { Reason::Applied };
    Outcome::passed(stage, reason, "this run only verifies")
}

/// What the kubelet says of the container of a stage.
fn status_of(pod: &mut Value, stage: Stage) -> &mut Value {
    let statuses = pod["status"]["containerStatuses"].as_array_mut().expect("statuses");
    statuses.iter_mut().find(|status| status["name"] == stage.name()).expect("a status of the stage")
}

pub fn not_reached(stage: Stage) -> Outcome {
    Outcome::new(stage, Verdict::NotReached, Reason::Pending, "a stage before this one did not pass")
}

pub fn terminate(cluster: &mut Cluster, pod: &Key, stage: Stage, outcome: Option<&Outcome>, skew: i64) {
    let on_the_node = cluster.now.saturating_add(jiff::SignedDuration::from_secs(skew)).expect("a moment");
    let code = match outcome.map(|outcome| outcome.verdict) {
        Some(Verdict::Passed) => 0,
        Some(_) => 1,
        None => 137,
    };
    let message = outcome.map(Outcome::message_for_pod).unwrap_or_default();
    let terminated = json!({
        "exitCode": code, "reason": "Ended", "message": message, "finishedAt": second(on_the_node),
    });
    cluster.edit(pod, |pod| {
        status_of(pod, stage)["state"] = json!({"terminated": terminated});
    });
}

pub fn conclude(cluster: &mut Cluster, job: &Key, (kind, reason): (&str, &str)) {
    let now = second(cluster.now);
    cluster.edit(job, |job| {
        job["status"] = json!({"conditions": [
            {"type": kind, "status": "True", "reason": reason, "message": "said the Job \
                controller", "lastTransitionTime": now},
        ]});
    });
}

/// A session that is in the way of a migration.
pub fn holder() -> Blocker {
    Blocker {
        pid: 7,
        application: "nightly-report".into(),
        user: "reporter".into(),
        state: "idle in transaction".into(),
        age_seconds: 90,
    }
}
