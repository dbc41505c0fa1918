//! A person aborts a run, pauses a DatabaseMigration and lets it go on: what is deleted, what is said, and
//! what never follows.

use std::net::IpAddr;

use futures::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use sluice::{
    api::{ConditionType, Reason},
    contract::{Count, Progress, Rows, Stage},
    controller::progress::Ask,
};

use super::{
    kubelet::Mishap,
    world::{World, key},
};

const NAMES: &[&str] = &["records"];

fn not_ready(reason: &str) -> (String, String) {
    ("False".to_owned(), reason.to_owned())
}

fn verified() -> (String, String) {
    ("True".to_owned(), "Verified".to_owned())
}

fn annotate(world: &World, name: &str, value: &Value) {
    world.edit("records", |object| object["metadata"]["annotations"][name] = value.clone());
}

/// As `sluice resume` does.
fn resume(world: &World) {
    world.edit("records", |object| {
        let annotations = object["metadata"]["annotations"].as_object_mut().expect("annotations");
        annotations.remove("sluice.dev/paused");
    });
}

/// As `sluice abort` does.
fn abort(world: &World) -> String {
    let job = world.status("records").run.expect("a run is under way").job;
    annotate(world, "sluice.dev/abort", &json!(job));
    job
}

fn message(world: &World, kind: ConditionType) -> String {
    world.condition("records", kind).expect("the condition").2
}

#[tokio::test]
async fn an_aborted_run_is_ended_and_what_it_left_is_read_before_it_is_said() {
    let mut world = World::new();
    world.database.applied = vec!["1_one".to_owned()];
    world.run_for(NAMES, 2).await;
    let job = abort(&world);
    world.run(NAMES).await;
    assert_eq!(world.ready("records"), not_ready("Aborted"));
    let said = message(&world, ConditionType::Stalled);
    assert!(
        said.starts_with(&format!("the run {job:?} was aborted, and no session of it is left")),
        "{said}"
    );
    assert!(said.contains("1 of 2 migrations are applied, pending: 2_two"), "{said}");
    let (holds, reason, _) = world.condition("records", ConditionType::Applied).expect("Applied");
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "Aborted"));
    let status = world.status("records");
    let ended: Vec<_> = status.history.iter().map(|entry| entry.reason.as_str()).collect();
    assert_eq!(ended, ["Aborted", "Aborting"], "{:#?}", status.history);
    assert!(!world.jobs().contains(&job), "its Job is deleted: {:?}", world.jobs());
    assert_eq!(world.database.applied, ["1_one"]);

    let before = world.writes().len();
    world.run_for(NAMES, 600).await;
    assert_eq!(world.writes().len(), before, "nothing is begun, and nothing is written");
    annotate(&world, "sluice.dev/retry", &json!("1"));
    world.run(NAMES).await;
    assert_eq!(world.ready("records"), verified(), "the annotation that aborted one run aborts no other");
}

#[tokio::test]
async fn nothing_follows_an_abort_before_the_pod_is_gone() {
    let mut world = World::new();
    world.run_for(NAMES, 2).await;
    let job = abort(&world);
    // The Pod takes its time.
    for _ in 0..20 {
        world.observe("records").await.expect("reconciles");
        world.pass(1);
    }
    assert_eq!((world.ready("records"), world.jobs()), (not_ready("Aborting"), vec![job]));
    let said = message(&world, ConditionType::Ready);
    assert!(
        said.contains("was aborted in the stage") && said.ends_with("waiting for its Pod to end"),
        "{said}"
    );
    world.run(NAMES).await;
    assert_eq!(world.ready("records"), not_ready("Aborted"));
}

#[tokio::test]
async fn an_abort_that_comes_after_the_last_commit_ends_with_what_is_true() {
    let mut world = World::new();
    let verifies = |world: &World| world.status("records").run.is_some() && world.database.applied.len() == 2;
    while !verifies(&world) {
        world.run_for(NAMES, 1).await;
    }
    abort(&world);
    world.run(NAMES).await;
    assert_eq!(world.ready("records"), verified());
    let status = world.status("records");
    assert_eq!(status.history.last().map(|entry| entry.reason.as_str()), Some("Aborting"));
}

#[tokio::test]
async fn what_an_aborted_run_left_is_read_again_until_it_is_known() {
    let mut world = World::new();
    world.run_for(NAMES, 2).await;
    abort(&world);
    world.database.mishaps = vec![
        Mishap::Fails(Stage::Plan, Reason::ConnectionFailed),
        Mishap::Fails(Stage::Plan, Reason::WaitingForLock),
        Mishap::Killed(Stage::Plan),
    ];
    world.run(NAMES).await;
    assert_eq!(world.ready("records"), not_ready("Aborted"));
    let reasons: Vec<String> =
        world.status("records").history.into_iter().map(|entry| entry.reason).collect();
    assert_eq!(reasons, ["Aborted", "Aborting", "Aborting", "Aborting", "Aborting"]);
    assert_eq!(world.database.applied, [""; 0], "a run that reads applies nothing");
}

#[tokio::test]
async fn an_annotation_that_names_no_run_does_nothing_and_is_told() {
    for value in ["true", "records", "records-00000000-a1"] {
        let mut world = World::new();
        annotate(&world, "sluice.dev/abort", &json!(value));
        world.run_for(NAMES, 2).await;
        let said = message(&world, ConditionType::Ready);
        assert!(said.contains(&format!("sluice.dev/abort names {value:?}, which is no run")), "{said}");
        world.run(NAMES).await;
        assert_eq!(world.ready("records"), verified());
    }
}

#[tokio::test]
async fn a_run_of_a_spec_that_became_invalid_can_be_aborted() {
    let mut world = World::new();
    world.run_for(NAMES, 2).await;
    world.edit("records", |object| object["spec"]["apply"] = json!({"deadline": "1s"}));
    let job = abort(&world);
    world.run(NAMES).await;
    assert_eq!(world.ready("records"), not_ready("InvalidSpec"));
    assert!(!world.jobs().contains(&job), "{:?}", world.jobs());
    world.edit("records", |object| object["spec"]["apply"] = json!({}));
    world.run(NAMES).await;
    assert_eq!(world.ready("records"), not_ready("Aborted"), "what it was for is asked for once more");
}

#[tokio::test]
async fn a_paused_object_starts_nothing_and_goes_on_when_the_annotation_goes() {
    let mut world = World::new();
    annotate(&world, "sluice.dev/paused", &json!("true"));
    world.run_for(NAMES, 60).await;
    assert_eq!((world.ready("records"), world.jobs().len()), (not_ready("Paused"), 0));
    assert!(world.condition("records", ConditionType::Reconciling).is_some());
    assert_eq!(world.condition("records", ConditionType::Stalled), None);
    resume(&world);
    world.run(NAMES).await;
    assert_eq!(world.ready("records"), verified());
    annotate(&world, "sluice.dev/paused", &json!("true"));
    world.run(NAMES).await;
    assert_eq!(world.ready("records"), verified(), "it is up to date");
}

#[tokio::test]
async fn a_run_without_batches_ends_although_its_object_is_paused() {
    let mut world = World::new();
    world.run_for(NAMES, 2).await;
    annotate(&world, "sluice.dev/paused", &json!("true"));
    world.run(NAMES).await;
    assert_eq!((world.ready("records"), world.jobs().len()), (verified(), 1));
}

/// A Pod whose migrate stage is in the middle of a backfill.
fn in_batches() -> Ask {
    Box::new(|_: IpAddr| {
        let since = Timestamp::from_second(1_780_000_000).expect("a moment");
        let progress = Progress {
            migration: Some("2_two".to_owned()),
            migrations: Some(Count { at: 2, of: 2 }),
            rows: Some(Rows { done: 300, of: Some(1000), ..Rows::default() }),
            ..Progress::of(Stage::Migrate, since)
        };
        let answer = serde_json::to_vec(&progress).expect("JSON");
        async move { Some(answer) }.boxed()
    })
}

/// Until its migrate stage is at work, in a Pod that has an address.
async fn migrates(world: &mut World) {
    loop {
        world.run_for(NAMES, 1).await;
        let pod = world.server.cluster().all("pods").pop();
        let Some((at, pod)) = pod else { continue };
        let ended =
            |stage: usize| pod["status"]["containerStatuses"][stage]["state"]["terminated"].is_object();
        if ended(1) {
            assert!(!ended(2));
            return world.server.cluster().edit(&at, |pod| pod["status"]["podIP"] = json!("10.0.0.7"));
        }
    }
}

#[tokio::test]
async fn a_paused_backfill_ends_its_run_costs_no_attempt_and_is_gone_on_with() {
    let mut world = World::new().with_ask(in_batches());
    world.edit("records", |object| object["spec"]["apply"] = json!({"attempts": 1}));
    migrates(&mut world).await;
    let job = world.status("records").run.expect("a run").job;
    annotate(&world, "sluice.dev/paused", &json!("true"));
    for _ in 0..20 {
        world.observe("records").await.expect("reconciles");
        world.pass(1);
    }
    assert_eq!((world.ready("records"), world.jobs()), (not_ready("Paused"), vec![job.clone()]));
    world.run_for(NAMES, 60).await;
    assert_eq!((world.ready("records"), world.jobs().len()), (not_ready("Paused"), 0));
    let said = message(&world, ConditionType::Ready);
    assert!(said.contains("paused in the backfill of 2_two, after about 300 rows"), "{said}");
    let status = world.status("records");
    assert_eq!((status.history.len(), status.history[0].reason.as_str()), (1, "Paused"));

    annotate(&world, "sluice.dev/paused", &json!("false"));
    world.run(NAMES).await;
    assert_eq!(world.ready("records"), verified());
    let run = world.status("records").run.expect("a run");
    assert_eq!(run.attempt, 2);
    let again = format!("create jobs {job}");
    assert_eq!(world.writes().iter().filter(|write| **write == again).count(), 1, "no name is used twice");

    // The control: an attempt that fails is counted.
    let mut world = World::new();
    world.edit("records", |object| object["spec"]["apply"] = json!({"attempts": 1}));
    world.database.mishaps = vec![Mishap::Fails(Stage::Migrate, Reason::WaitingForLock)];
    world.run(NAMES).await;
    assert_eq!(world.ready("records"), not_ready("WaitingForLock"));
}

#[tokio::test]
async fn a_job_of_another_owner_is_not_deleted_in_place_of_a_stopped_one() {
    let mut world = World::new();
    world.run_for(NAMES, 2).await;
    let job = abort(&world);
    world.server.cluster().edit(&key("jobs", &job), |job| {
        job["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["sh"]);
    });
    world.run_for(NAMES, 30).await;
    assert!(world.jobs().contains(&job), "{:?}", world.jobs());
    assert_eq!(world.ready("records"), not_ready("ForeignJob"));
}
