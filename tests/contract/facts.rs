//! Facts for the tests of the plan: a few by hand, and any number at random, also such as should never occur.

use std::collections::BTreeMap;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use sluice::{
    api::{
        DatabaseMigration, DatabaseMigrationStatus, HistoryEntry, LegStatus, Reason, RunStatus, SectionResult,
    },
    contract::{HistorySummary, Leg, Outcome, Purpose, Route, Stage, Verdict},
    plan::facts::{
        Dependency, DependencyState, Facts, Fingerprint, JobState, PolicyFact, RefusedStep, Rival, Run,
        RunPod, SourceFact, StageState,
    },
    validate::validate,
};

use super::world::{GATE_BETWEEN, TWO_LEGS};

/// A moment of the tests' own time.
pub fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + second).expect("a moment")
}

/// Verified again every ten seconds, which random moments reach.
fn repeated() -> DatabaseMigration {
    let mut object = object(false);
    object.spec.verify.every = "10s".parse().ok();
    object
}

/// With a window that random moments meet open and closed.
fn windowed() -> DatabaseMigration {
    let mut object = object(false);
    let window = json!({"schedule": "*/4 * * * *", "duration": "2m", "timeZone": "Europe/Berlin"});
    object.spec.before.window = serde_json::from_value(window).ok();
    object
}

fn object(suspend: bool) -> DatabaseMigration {
    serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "DatabaseMigration",
        "metadata": {"name": "records", "namespace": "medical"},
        "spec": {
            "database": {"secretRef": {"name": "records-db"}},
            "migrations": {"configMaps": ["records-migrations"]},
            "snapshot": {"dump": {"volumeClaim": "records-snapshots"}},
            "suspend": suspend,
        },
    }))
    .expect("a manifest")
}

/// A new object whose source is there.
pub fn new() -> Facts {
    Facts {
        name: "records".into(),
        namespace: "medical".into(),
        uid: "0d1f".into(),
        generation: 1,
        deleting: false,
        published: DatabaseMigrationStatus { observed_generation: -1, ..Default::default() },
        policy: PolicyFact::NotNamed,
        migration: validate(&object(false)),
        spec: "spec".into(),
        retry: None,
        source: SourceFact::Found { revision: "records-migrations@7".into() },
        dependencies: Vec::new(),
        rivals: Vec::new(),
        route: Purpose::Apply.route(),
        fingerprints: vec![Fingerprint { leg: Purpose::Apply.route().first(), work: "work".into() }],
        runs: Vec::new(),
        gate: Vec::new(),
        gate_database: None,
        required: Vec::new(),
        refused_step: None,
        progress: None,
        by_hand: false,
    }
}

/// As the API server gives it back: times in whole seconds, defaults gone.
pub fn published(status: &DatabaseMigrationStatus) -> DatabaseMigrationStatus {
    let text = serde_json::to_string(status).expect("JSON");
    serde_json::from_str(&text).expect("a status")
}

pub fn ended(stage: Stage, verdict: Verdict, reason: Reason, at: i64) -> StageState {
    let mut outcome = Outcome::new(stage, verdict, reason, format!("said the stage {}", stage.name()));
    outcome.history = Some(HistorySummary {
        current: Some("2_two".into()),
        applied: vec!["2_two".into(), "1_one".into()],
        ..HistorySummary::default()
    });
    StageState::Terminated { at: moment(at), outcome: Some(Box::new(outcome)), why: String::new() }
}

/// What each stage says when all goes well.
pub const PASSES: [Reason; 4] = [Reason::PlanReady, Reason::SnapshotTaken, Reason::Applied, Reason::Verified];

/// Every stage before `stage` passed, `stage` is in `state`, and the later ones wait for it.
pub fn reached(stage: Stage, state: &StageState) -> BTreeMap<Stage, StageState> {
    let state_of = |other: Stage| match other.cmp(&stage) {
        std::cmp::Ordering::Less => ended(other, Verdict::Passed, PASSES[other as usize], other as i64 + 1),
        std::cmp::Ordering::Equal => state.clone(),
        std::cmp::Ordering::Greater if matches!(state, StageState::Terminated { .. }) => {
            ended(other, Verdict::NotReached, Reason::Pending, 6)
        }
        std::cmp::Ordering::Greater => StageState::Running,
    };
    Purpose::Apply.route().stages().map(|other| (other, state_of(other))).collect()
}

pub fn run(job: &str, digest: &str, attempt: u32, stages: BTreeMap<Stage, StageState>) -> Run {
    Run {
        job: job.into(),
        digest: digest.into(),
        attempt,
        started: moment(0),
        deleting: false,
        purpose: Purpose::Apply,
        leg: Purpose::Apply.route().first(),
        fingerprint: "work".into(),
        differs: None,
        pod_differs: None,
        state: JobState::Active,
        deadline: false,
        pod: Some(RunPod { name: format!("{job}-x"), address: None, unschedulable: None, stages }),
    }
}

/// Any facts at all.
pub fn any(rng: &mut Rng, digests: &[String]) -> Facts {
    let mut facts = new();
    facts.generation = rng.i64(1..4);
    facts.route = pick(rng, &[Purpose::Apply.route(), TWO_LEGS, GATE_BETWEEN]);
    let fingerprint = |leg| Fingerprint { leg, work: "work".into() };
    facts.fingerprints = facts.route.legs().map(fingerprint).collect();
    facts.deleting = rng.u8(..) < 8;
    facts.retry = pick(rng, &[None, Some("1".to_owned())]);
    facts.migration =
        match rng.u8(0..10) {
            0 => Err(validate(&serde_json::from_value(bare()).expect("a manifest"))
                .expect_err("it says too little")),
            1 => validate(&object(true)),
            2..5 => validate(&repeated()),
            5 | 6 => validate(&windowed()),
            _ => facts.migration,
        };
    facts.source = match rng.u8(0..10) {
        0 => SourceFact::Missing { names: vec!["records-migrations".into()] },
        1 => SourceFact::Unknown,
        _ => SourceFact::Found { revision: format!("records-migrations@{}", rng.u8(7..9)) },
    };
    let states = [
        DependencyState::Ready,
        DependencyState::Missing,
        DependencyState::Vacant,
        DependencyState::NotReady("Planning".into()),
    ];
    let position = pick(rng, &[None, Some(1)]);
    facts.dependencies = (0..rng.usize(0..2))
        .map(|n| Dependency { name: format!("d{n}"), position, state: pick(rng, &states) })
        .collect();
    facts.rivals = (0..rng.usize(0..2))
        .map(|n| Rival { name: format!("r{n}"), running: rng.bool(), older: rng.bool() })
        .collect();
    facts.runs = (0..rng.usize(0..5)).map(|_| any_run(rng, digests, facts.route)).collect();
    facts.runs.sort_by(|a, b| a.job.cmp(&b.job));
    facts.runs.dedup_by(|a, b| a.job == b.job);
    facts.gate = pick(
        rng,
        &[vec![], vec!["records@1_one".into()], vec!["records@1_one".into(), "records@2_two".into()]],
    );
    facts.refused_step = pick(rng, &[None, None, None, Some(RefusedStep { message: "refused".into() })]);
    facts.published = any_status(rng, digests, facts.route);
    facts
}

fn bare() -> serde_json::Value {
    let mut object = serde_json::to_value(object(false)).expect("JSON");
    object["spec"]["snapshot"] = serde_json::Value::Null;
    object
}

fn pick<T: Clone>(rng: &mut Rng, items: &[T]) -> T {
    items[rng.usize(..items.len())].clone()
}

/// As Sluice names them.
fn job_name(digest: &str, attempt: u32, leg: Leg) -> String {
    let leg = if leg.number() > 1 { format!("-l{}", leg.number()) } else { String::new() };
    format!("records-{}-a{attempt}{leg}", &digest[..8])
}

fn any_leg(rng: &mut Rng, route: Route) -> Leg {
    pick(rng, &route.legs().collect::<Vec<_>>())
}

fn any_run(rng: &mut Rng, digests: &[String], route: Route) -> Run {
    let (digest, attempt) = (pick(rng, digests), rng.u32(1..4));
    let purpose = pick(rng, &[Purpose::Apply, Purpose::Apply, Purpose::Apply, Purpose::Verify]);
    let leg = any_leg(rng, if purpose == Purpose::Verify { purpose.route() } else { route });
    let stages = leg.stages().map(|stage| (stage, any_stage(rng, stage))).collect();
    let mut run = Run { purpose, leg, ..run(&job_name(&digest, attempt, leg), &digest, attempt, stages) };
    run.started = moment(rng.i64(0..40));
    run.deleting = rng.u8(..) < 16;
    if rng.u8(0..6) == 0 {
        run.fingerprint = "other work".into();
        run.differs = Some("spec.template".into());
    }
    run.pod_differs = (rng.u8(0..12) == 0).then(|| "spec.containers".into());
    run.deadline = rng.u8(..) < 32;
    run.state = match rng.u8(0..4) {
        0 => JobState::Complete { at: moment(rng.i64(0..60)) },
        1 => JobState::Failed { at: moment(rng.i64(0..60)), message: "said the Job controller".into() },
        _ => JobState::Active,
    };
    if rng.u8(0..6) == 0 {
        run.pod = None;
    } else if rng.u8(0..10) == 0 {
        run.pod.as_mut().expect("a pod").unschedulable = Some("0/1 nodes are available".into());
    }
    run
}

fn any_stage(rng: &mut Rng, stage: Stage) -> StageState {
    let waits = [
        ("ImagePullBackOff", "Back-off"),
        ("ContainerCreating", ""),
        ("CreateContainerConfigError", "secret \"records-db\" not found"),
    ];
    match rng.u8(0..12) {
        0 => StageState::Unknown,
        1 => StageState::Running,
        2 => {
            let (reason, message) = pick(rng, &waits);
            StageState::Waiting { reason: reason.into(), message: message.into() }
        }
        3 => StageState::Terminated { at: moment(rng.i64(0..60)), outcome: None, why: "OOMKilled".into() },
        4 => ended(stage, Verdict::Failed, pick(rng, Reason::ALL), rng.i64(0..60)),
        5 => ended(
            stage,
            pick(rng, &[Verdict::Passed, Verdict::NotReached]),
            pick(rng, Reason::ALL),
            rng.i64(0..60),
        ),
        _ => ended(stage, Verdict::Passed, PASSES[stage as usize], rng.i64(0..60)),
    }
}

/// A status that an earlier plan may have written, or that a client made up.
fn any_status(rng: &mut Rng, digests: &[String], route: Route) -> DatabaseMigrationStatus {
    let mut status = DatabaseMigrationStatus { observed_generation: rng.i64(-1..4), ..Default::default() };
    let reason = pick(rng, Reason::ALL).name().to_owned();
    let (digest, attempt) = (pick(rng, digests), rng.u32(1..4));
    let ended = rng.bool().then(|| Time(moment(rng.i64(0..60))));
    if rng.u8(0..3) > 0 {
        let legs = any_legs(rng, &digest, route);
        let last = legs.last().map(|leg| leg.job.clone()).filter(|_| rng.bool());
        status.run = Some(RunStatus {
            job: last.unwrap_or_else(|| job_name(&digest, attempt, any_leg(rng, route))),
            digest: digest.clone(),
            attempt,
            fingerprint: pick(rng, &[None, Some("work".to_owned()), Some("other work".to_owned())]),
            stage: pick(
                rng,
                &[None, Some("plan".to_owned()), Some("migrate".to_owned()), Some("?".to_owned())],
            ),
            reason: ended.is_some().then(|| reason.clone()),
            finished_at: ended,
            sections: any_sections(rng),
            legs,
            progress: None,
            record: pick(rng, &[None, Some("0123456789abcdef".repeat(4))]),
        });
    }
    status.history = any_history(rng, (&digest, &reason), status.run.as_ref(), route);
    for kind in sluice::api::ConditionType::ALL {
        if rng.u8(0..4) > 0 {
            let holds = pick(rng, &[None, Some(true), Some(false)]);
            status.conditions.push(sluice::api::condition(
                kind,
                holds,
                pick(rng, Reason::ALL),
                "as it was".into(),
                1,
                moment(0),
            ));
        }
    }
    status
}

/// A run that ended is its newest, and each leg that passed is in it; no writer of statuses has ever done otherwise.
fn any_history(
    rng: &mut Rng,
    (digest, reason): (&str, &str),
    run: Option<&RunStatus>,
    route: Route,
) -> Vec<HistoryEntry> {
    let entry = |job: String, finished_at: Time| HistoryEntry {
        job,
        reason: reason.to_owned(),
        finished_at,
        record: None,
        stages: Vec::new(),
    };
    let ended = run.and_then(|run| Some(entry(run.job.clone(), run.finished_at.clone()?)));
    let legs = run.into_iter().flat_map(|run| run.legs.iter().rev());
    // What the route does not have is of an older version of it.
    let (present, former): (Vec<_>, Vec<_>) = legs.partition(|leg| route.leg(leg.number).is_some());
    let mut history: Vec<HistoryEntry> = ended.into_iter().collect();
    let legs = present.into_iter().chain(former);
    history.extend(legs.map(|leg| entry(leg.job.clone(), leg.finished_at.clone())));
    for attempt in 1..rng.u32(1..4) {
        let job = job_name(digest, attempt, any_leg(rng, route));
        history.push(entry(job, Time(moment(rng.i64(0..60)))));
    }
    history
}

/// Legs that may have passed, also such as the route does not have.
fn any_legs(rng: &mut Rng, digest: &str, route: Route) -> Vec<LegStatus> {
    let numbers = pick(rng, &[vec![], vec![1], vec![1], vec![1], vec![1, 2], vec![2], vec![1, 3]]);
    let leg = |number| LegStatus {
        number,
        job: job_name(digest, rng.u32(1..4), route.leg(number).unwrap_or(route.last())),
        finished_at: Time(moment(rng.i64(0..60))),
        verdict: "0123456789abcdef".repeat(4),
    };
    numbers.into_iter().map(leg).collect()
}

/// What a run may have found, also such as contradicts itself, or is of a newer version.
fn any_sections(rng: &mut Rng) -> Vec<SectionResult> {
    let passed = rng.bool();
    let mut sections = Vec::new();
    for section in ["Planned", "SnapshotReady", "Applied", "Verified", "FromTheFuture"] {
        if !passed && rng.u8(0..4) == 0 {
            continue;
        }
        let holds = if passed { Some(true) } else { pick(rng, &[None, Some(true), Some(false)]) };
        let reason = pick(rng, Reason::ALL).name().to_owned();
        sections.push(SectionResult { section: section.into(), holds, reason, message: "as it was".into() });
    }
    sections
}

/// Some time around the runs.
pub fn any_moment(rng: &mut Rng) -> Timestamp {
    moment(0).saturating_add(SignedDuration::from_millis(rng.i64(0..400_000))).expect("a moment")
}
