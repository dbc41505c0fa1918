//! Facts for the tests of the plan: a few by hand, and any number at random, also such as should never occur.
//!
//! Those at random are made from draws that do not depend on each other, each with its simplest value first.
//! So where a claim does not hold, proptest finds the simplest facts for which it does not.

use std::{cell::RefCell, collections::BTreeMap};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use proptest::{
    bool::weighted, collection::vec, option, prelude::*, sample::select, strategy::Union, test_runner,
};
use serde_json::json;
use sluice::{
    api::{
        ConditionType, DatabaseMigration, DatabaseMigrationStatus, HistoryEntry, LegStatus, Reason,
        RunStatus, SectionResult, condition,
    },
    contract::{HistorySummary, Leg, Outcome, Purpose, Route, Stage, Verdict},
    plan::facts::{
        Dependency, DependencyState, Facts, Fingerprint, JobState, PolicyFact, RefusedStep, Rival, Run,
        RunPod, SourceFact, StageState,
    },
    validate::{ValidatedMigration, Violation, validate},
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
        abort: None,
        paused: false,
        source: SourceFact::Found { revision: "records-migrations@7".into() },
        dependencies: Vec::new(),
        rivals: Vec::new(),
        route: Purpose::Apply.route(),
        fingerprints: works(Purpose::Apply.route()),
        runs: Vec::new(),
        gate: Vec::new(),
        gate_database: None,
        required: Vec::new(),
        refused_step: None,
        progress: None,
        by_hand: false,
    }
}

/// The same, and a run of it has a rehearsal.
pub fn rehearsing() -> Facts {
    let route = Purpose::Apply.route().rehearsing(true);
    Facts { route, fingerprints: works(route), ..new() }
}

/// What the Job of each leg of a route does.
fn works(route: Route) -> Vec<Fingerprint> {
    route.legs().map(|leg| Fingerprint { leg, work: "work".into() }).collect()
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

/// What each stage says when all goes well, in the order of `Stage::ALL`.
pub const PASSES: [Reason; 5] =
    [Reason::PlanReady, Reason::SnapshotTaken, Reason::Rehearsed, Reason::Applied, Reason::Verified];

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
    let route = Purpose::Apply.route().rehearsing(stage == Stage::Rehearse);
    route.stages().map(|other| (other, state_of(other))).collect()
}

pub fn run(job: &str, digest: &str, attempt: u32, stages: BTreeMap<Stage, StageState>) -> Run {
    Run {
        job: job.into(),
        digest: digest.into(),
        attempt,
        started: moment(0),
        deleting: false,
        purpose: Purpose::Apply,
        leg: Purpose::Apply.route().rehearsing(stages.contains_key(&Stage::Rehearse)).first(),
        fingerprint: "work".into(),
        differs: None,
        pod_differs: None,
        state: JobState::Active,
        deadline: false,
        pod: Some(RunPod { name: format!("{job}-x"), address: None, unschedulable: None, stages }),
    }
}

/// Holds a claim against any facts at some time around their runs, the same ones each time. Where it does not
/// hold: why, and the simplest facts that show it.
pub fn held(
    cases: u32,
    digests: &[String],
    claim: impl FnMut(&Facts, Timestamp),
) -> Result<(), test_runner::TestError<(Facts, Timestamp)>> {
    let claim = RefCell::new(claim);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: test_runner::RngSeed::Fixed(0),
        ..ProptestConfig::default()
    };
    let now = (0..400_000i64)
        .prop_map(|at| moment(0).saturating_add(SignedDuration::from_millis(at)).expect("a moment"));
    test_runner::TestRunner::new(config).run(&(any_facts(digests), now), |(facts, now)| {
        (claim.borrow_mut())(&facts, now);
        Ok(())
    })
}

/// Any facts at all.
fn any_facts(digests: &[String]) -> impl Strategy<Value = Facts> + use<> {
    let plain = Purpose::Apply.route();
    let routes = [plain, plain.rehearsing(true), TWO_LEGS, GATE_BETWEEN, GATE_BETWEEN.rehearsing(true)];
    Union::new(routes.map(|route| any_of(route, digests)))
}

fn any_of(route: Route, digests: &[String]) -> impl Strategy<Value = Facts> + use<> {
    let of_the_object = (1..4i64, rarely(8), option::of(Just("1".to_owned())), any_manifest(), any_source());
    let around =
        (vec(any_dependency(), 0..2), option::of(Just(1)), vec((any::<bool>(), any::<bool>()), 0..2));
    let gate = vec![vec![], vec!["records@1_one"], vec!["records@1_one", "records@2_two"]];
    let refused = option::weighted(0.25, Just(RefusedStep { message: "refused".into() }));
    (
        of_the_object,
        around,
        vec(any_run(route, digests), 0..5),
        select(gate),
        refused,
        any_status(route, digests),
    )
        .prop_map(
            move |(
                (generation, deleting, retry, migration, source),
                (states, position, rivals),
                mut runs,
                gate,
                refused_step,
                published,
            )| {
                runs.sort_by(|a, b| a.job.cmp(&b.job));
                runs.dedup_by(|a, b| a.job == b.job);
                let named = |(n, state)| Dependency { name: format!("d{n}"), position, state };
                let rival = |(n, (running, older))| Rival { name: format!("r{n}"), running, older };
                Facts {
                    generation,
                    route,
                    fingerprints: works(route),
                    deleting,
                    retry,
                    migration,
                    source,
                    dependencies: states.into_iter().enumerate().map(named).collect(),
                    rivals: rivals.into_iter().enumerate().map(rival).collect(),
                    runs,
                    gate: gate.iter().map(ToString::to_string).collect(),
                    refused_step,
                    published,
                    ..new()
                }
            },
        )
}

/// So often of 256.
fn rarely(often: u32) -> impl Strategy<Value = bool> {
    weighted(f64::from(often) / 256.0)
}

fn any_manifest() -> impl Strategy<Value = Result<ValidatedMigration, Vec<Violation>>> {
    let mut bare = serde_json::to_value(object(false)).expect("JSON");
    bare["spec"]["snapshot"] = serde_json::Value::Null;
    let bare = validate(&serde_json::from_value(bare).expect("a manifest"));
    assert!(bare.is_err(), "it says too little");
    prop_oneof![
        3 => Just(validate(&object(false))),
        3 => Just(validate(&repeated())),
        2 => Just(validate(&windowed())),
        1 => Just(validate(&object(true))),
        1 => Just(bare),
    ]
}

fn any_source() -> impl Strategy<Value = SourceFact> {
    prop_oneof![
        8 => (7..9).prop_map(|at| SourceFact::Found { revision: format!("records-migrations@{at}") }),
        1 => Just(SourceFact::Missing { names: vec!["records-migrations".into()] }),
        1 => Just(SourceFact::Unknown),
    ]
}

fn any_dependency() -> impl Strategy<Value = DependencyState> {
    select(vec![
        DependencyState::Ready,
        DependencyState::Missing,
        DependencyState::Vacant,
        DependencyState::NotReady("Planning".into()),
    ])
}

/// A moment that a run may have ended at.
fn any_end() -> impl Strategy<Value = Timestamp> {
    (0..60i64).prop_map(moment)
}

fn any_reason() -> impl Strategy<Value = Reason> {
    select(Reason::ALL)
}

/// As Sluice names them.
fn job_name(digest: &str, attempt: u32, leg: Leg) -> String {
    let leg = if leg.number() > 1 { format!("-l{}", leg.number()) } else { String::new() };
    format!("records-{}-a{attempt}{leg}", &digest[..8])
}

fn any_leg(route: Route) -> impl Strategy<Value = Leg> {
    select(route.legs().collect::<Vec<_>>())
}

fn any_run(route: Route, digests: &[String]) -> impl Strategy<Value = Run> + use<> {
    let stages: Vec<_> = Stage::ALL.into_iter().map(|stage| (Just(stage), any_stage(stage))).collect();
    let purpose = prop_oneof![
        3 => (Just(Purpose::Apply), any_leg(route)),
        1 => (Just(Purpose::Verify), any_leg(Purpose::Verify.route())),
    ];
    let state = prop_oneof![
        2 => Just(JobState::Active),
        1 => any_end().prop_map(|at| JobState::Complete { at }),
        1 => any_end().prop_map(|at| JobState::Failed { at, message: "said the Job controller".into() }),
    ];
    let odd = (rarely(43), rarely(21), rarely(32), rarely(16));
    let pod = (weighted(5.0 / 6.0), rarely(26));
    (select(digests.to_vec()), 1..4u32, stages, 0..40i64, purpose, state, odd, pod).prop_map(
        |(digest, attempt, stages, started, (purpose, leg), state, odd, (pod, unschedulable))| {
            let stages =
                stages.into_iter().filter(|(stage, _)| leg.stages().any(|of_leg| of_leg == *stage)).collect();
            let mut run = run(&job_name(&digest, attempt, leg), &digest, attempt, stages);
            let (differs, pod_differs, deadline, deleting) = odd;
            if differs {
                run.fingerprint = "other work".into();
                run.differs = Some("spec.template".into());
            }
            run.pod_differs = pod_differs.then(|| "spec.containers".into());
            run.pod = run.pod.filter(|_| pod);
            if let Some(pod) = run.pod.as_mut().filter(|_| unschedulable) {
                pod.unschedulable = Some("0/1 nodes are available".into());
            }
            Run { started: moment(started), deleting, purpose, leg, deadline, state, ..run }
        },
    )
}

fn any_stage(stage: Stage) -> impl Strategy<Value = StageState> {
    let waits = [
        ("ImagePullBackOff", "Back-off"),
        ("ContainerCreating", ""),
        ("CreateContainerConfigError", "secret \"records-db\" not found"),
    ];
    let other = select(vec![Verdict::Passed, Verdict::NotReached]);
    prop_oneof![
        6 => (0..60i64).prop_map(move |at| ended(stage, Verdict::Passed, PASSES[stage as usize], at)),
        1 => (any_reason(), 0..60i64).prop_map(move |(reason, at)| ended(stage, Verdict::Failed, reason, at)),
        1 => (other, any_reason(), 0..60i64)
            .prop_map(move |(verdict, reason, at)| ended(stage, verdict, reason, at)),
        1 => Just(StageState::Running),
        1 => select(waits.to_vec()).prop_map(|(reason, message)| StageState::Waiting {
            reason: reason.into(),
            message: message.into(),
        }),
        1 => any_end().prop_map(|at| StageState::Terminated { at, outcome: None, why: "OOMKilled".into() }),
        1 => Just(StageState::Unknown),
    ]
}

/// A status that an earlier plan may have written, or that a client made up.
fn any_status(route: Route, digests: &[String]) -> impl Strategy<Value = DatabaseMigrationStatus> + use<> {
    let fingerprint = select(vec![None, Some("work"), Some("other work")]);
    let stage = select(vec![None, Some("plan"), Some("migrate"), Some("?")]);
    let record = option::of(Just("0123456789abcdef".repeat(4)));
    let job = (any_leg(route), any::<bool>());
    let run = (job, fingerprint, stage, option::of(any_end()), any_sections(), any_legs(), record);
    let named = (select(digests.to_vec()), 1..4u32, any_reason());
    let earlier = vec((any_leg(route), any_end()), 0..3);
    (
        (0..5i64).prop_map(|written| written - 1),
        named,
        option::weighted(2.0 / 3.0, run),
        earlier,
        any_conditions(),
    )
        .prop_map(move |(observed_generation, (digest, attempt, reason), run, earlier, conditions)| {
            let run = run.map(|((leg, last), fingerprint, stage, ended, sections, legs, record)| {
                let legs: Vec<LegStatus> =
                    legs.into_iter().map(|passed| passed_leg(route, &digest, passed)).collect();
                let job = legs.last().filter(|_| last).map(|leg| leg.job.clone());
                RunStatus {
                    job: job.unwrap_or_else(|| job_name(&digest, attempt, leg)),
                    digest: digest.clone(),
                    attempt,
                    fingerprint: fingerprint.map(ToOwned::to_owned),
                    stage: stage.map(ToOwned::to_owned),
                    reason: ended.map(|_| reason.name().to_owned()),
                    finished_at: ended.map(Time),
                    sections,
                    legs,
                    progress: None,
                    record,
                }
            });
            let earlier =
                (1..).zip(earlier).map(|(attempt, (leg, at))| (job_name(&digest, attempt, leg), Time(at)));
            let history = history(route, reason, run.as_ref(), earlier.collect());
            DatabaseMigrationStatus { observed_generation, run, history, conditions, ..Default::default() }
        })
}

/// A run that ended is its newest, and each leg that passed is in it; no writer of statuses has ever done
/// otherwise.
fn history(
    route: Route,
    reason: Reason,
    run: Option<&RunStatus>,
    earlier: Vec<(String, Time)>,
) -> Vec<HistoryEntry> {
    let ended = run.and_then(|run| Some((run.job.clone(), run.finished_at.clone()?)));
    let legs = run.into_iter().flat_map(|run| run.legs.iter().rev());
    // What the route does not have is of an older version of it.
    let (present, former): (Vec<_>, Vec<_>) = legs.partition(|leg| route.leg(leg.number).is_some());
    let legs = present.into_iter().chain(former).map(|leg| (leg.job.clone(), leg.finished_at.clone()));
    let entry = |(job, finished_at)| HistoryEntry {
        job,
        reason: reason.name().to_owned(),
        finished_at,
        record: None,
        stages: Vec::new(),
    };
    ended.into_iter().chain(legs).chain(earlier).map(entry).collect()
}

/// Numbers of legs that may have passed, also such as the route does not have, each with an attempt and its end.
fn any_legs() -> impl Strategy<Value = Vec<(u32, u32, Timestamp)>> {
    let numbers = select(vec![vec![], vec![1], vec![1], vec![1], vec![1, 2], vec![2], vec![1, 3]]);
    (numbers, [(1..4u32, any_end()), (1..4u32, any_end())]).prop_map(|(numbers, passed)| {
        numbers.into_iter().zip(passed).map(|(number, (attempt, at))| (number, attempt, at)).collect()
    })
}

fn passed_leg(route: Route, digest: &str, (number, attempt, at): (u32, u32, Timestamp)) -> LegStatus {
    LegStatus {
        number,
        job: job_name(digest, attempt, route.leg(number).unwrap_or(route.last())),
        finished_at: Time(at),
        verdict: "0123456789abcdef".repeat(4),
    }
}

fn any_conditions() -> impl Strategy<Value = Vec<Condition>> {
    let one = |kind| {
        let said = (select(vec![None, Some(true), Some(false)]), any_reason());
        let said = said.prop_map(move |(holds, reason)| {
            condition(kind, holds, reason, "as it was".into(), 1, moment(0))
        });
        option::weighted(0.75, said)
    };
    ConditionType::ALL
        .map(one)
        .into_iter()
        .collect::<Vec<_>>()
        .prop_map(|all| all.into_iter().flatten().collect())
}

/// What a run may have found, also such as contradicts itself, or is of a newer version.
fn any_sections() -> impl Strategy<Value = Vec<SectionResult>> {
    let one = |section: &'static str| {
        let holds = select(vec![Some(true), None, Some(false)]);
        (Just(section), weighted(0.75), holds, any_reason())
    };
    let sections = ["Planned", "SnapshotReady", "Rehearsed", "Applied", "Verified", "FromTheFuture"].map(one);
    (any::<bool>(), sections).prop_map(|(passed, sections)| {
        let told = sections.into_iter().filter(|(_, told, ..)| passed || *told);
        let result = |(section, _, holds, reason): (&str, bool, Option<bool>, Reason)| SectionResult {
            section: section.into(),
            holds: if passed { Some(true) } else { holds },
            reason: reason.name().to_owned(),
            message: "as it was".into(),
        };
        told.map(result).collect()
    })
}
