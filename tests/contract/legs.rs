//! A run of two legs: what is planned and copied first is applied by another Job, at once or behind a gate.

use serde_json::{Value, json};
use sluice::{
    api::{ConditionType, Reason, RunStatus},
    contract::Stage,
};

use super::{
    kubelet::Mishap,
    world::{GATE_BETWEEN, TWO_LEGS, World, key},
};

/// From the beginning of these tests to the opening of the window.
const UNTIL_TEN: i64 = 5600;

/// Two legs, and a window that is closed between them: the first has passed.
async fn between_legs() -> World {
    let mut world = World::with_route(GATE_BETWEEN);
    let window = json!({"schedule": "0 22 * * *", "duration": "2h", "timeZone": "Etc/UTC"});
    world.edit("records", |object| object["spec"]["before"] = json!({"window": window}));
    world.run_for(&["records"], 20).await;
    assert_eq!(world.ready("records").1, "WindowClosed");
    world
}

fn run(world: &World) -> RunStatus {
    world.status("records").run.expect("a run")
}

fn passed(world: &World) -> Vec<u32> {
    run(world).legs.iter().map(|leg| leg.number).collect()
}

/// The Jobs in the order of their creation, without what all their names begin with.
fn created(world: &World) -> Vec<String> {
    let jobs =
        world.writes().into_iter().filter_map(|write| write.strip_prefix("create jobs ").map(Into::into));
    jobs.map(|job: String| job.rsplit_once("-a").map(|(_, place)| format!("a{place}")).expect("a name"))
        .collect()
}

fn forget_jobs(world: &World) {
    world.server.cluster().objects.retain(|key, _| key.0 != "jobs" && key.0 != "pods");
}

fn containers(world: &World, job: &str) -> Vec<Value> {
    let job = world.server.cluster().objects[&key("jobs", job)].clone();
    job["spec"]["template"]["spec"]["containers"].as_array().expect("containers").clone()
}

#[tokio::test]
async fn each_leg_is_a_job_and_only_the_end_of_the_last_one_is_ready() {
    let mut world = World::with_route(TWO_LEGS);
    for _ in 0..20 {
        world.run_for(&["records"], 1).await;
        let legs = passed(&world);
        assert_eq!(
            world.ready("records").0 == "True",
            legs == [1, 2],
            "{legs:?}: {:#?}",
            world.status("records")
        );
        assert_eq!(world.gate().is_empty(), legs != [1, 2], "nothing is in the gate before the last leg");
    }
    assert_eq!(created(&world), ["a1", "a1-l2"]);
    let jobs = world.jobs();
    assert_eq!([&jobs[0], &jobs[1]].map(|job| containers(&world, job).len()), [2, 4]);
    let told = json!({"name": "SLUICE_LEG", "value": "2"});
    let says = |job: &str| containers(&world, job)[0]["env"].as_array().expect("variables").contains(&told);
    assert_eq!([&jobs[0], &jobs[1]].map(|job| says(job)), [false, true]);
    for job in &jobs {
        let environment = containers(&world, job)[0]["env"].clone();
        let told = json!({"name": "SLUICE_ATTEMPT", "value": job.strip_prefix("records-")});
        assert!(environment.as_array().expect("variables").contains(&told), "{environment:#}");
    }
    let status = world.status("records");
    let reasons: Vec<&str> = status.history.iter().map(|entry| entry.reason.as_str()).collect();
    assert_eq!(reasons, ["Verified", "SnapshotTaken"], "each Job is remembered");
    assert!(run(&world).legs.iter().all(|leg| leg.verdict.len() == 64), "{:#?}", run(&world).legs);
    let before = world.writes().len();
    world.pass(3600);
    world.run(&["records"]).await;
    assert_eq!(world.writes().len(), before, "and then nothing is written any more");
}

#[tokio::test]
async fn a_closed_gate_between_two_legs_holds_the_second_and_shows_what_the_first_has_found() {
    let mut world = between_legs().await;
    let condition =
        |kind| world.condition("records", kind).map(|(status, reason, _)| format!("{status} {reason}"));
    for (kind, expected) in [
        (ConditionType::Ready, "False WindowClosed"),
        (ConditionType::Planned, "True PlanReady"),
        (ConditionType::Cleared, "False WindowClosed"),
        (ConditionType::SnapshotReady, "True SnapshotTaken"),
        (ConditionType::Applied, "Unknown Pending"),
        (ConditionType::Verified, "Unknown Pending"),
    ] {
        assert_eq!(condition(kind).as_deref(), Some(expected), "{kind:?}");
    }
    assert_eq!((created(&world), passed(&world)), (vec!["a1".to_owned()], vec![1]));
    let run = run(&world);
    assert_eq!((run.finished_at, run.reason, run.stage.as_deref()), (None, None, Some("snapshot")));
    assert_eq!((world.status("records").gates.len(), world.status("records").pending), (1, Some(2)));
    let before = world.writes().len();
    world.run_for(&["records"], 300).await;
    assert_eq!(world.writes().len(), before, "while it waits nothing is written");

    world.pass(UNTIL_TEN);
    world.run_for(&["records"], 20).await;
    assert_eq!((world.ready("records").0.as_str(), passed(&world)), ("True", vec![1, 2]));
    assert_eq!(created(&world), ["a1", "a1-l2"]);
}

#[tokio::test]
async fn a_leg_that_fails_is_tried_again_and_one_that_has_passed_is_not() {
    let mut world = World::with_route(TWO_LEGS);
    world.database.mishaps = vec![
        Mishap::Fails(Stage::Plan, Reason::ConnectionFailed),
        Mishap::Fails(Stage::Migrate, Reason::WaitingForLock),
        Mishap::Killed(Stage::Verify),
    ];
    world.run(&["records"]).await;
    assert_eq!(created(&world), ["a1", "a2", "a2-l2", "a3-l2", "a4-l2"]);
    assert_eq!((world.ready("records").0.as_str(), passed(&world)), ("True", vec![1, 2]));
}

#[tokio::test]
async fn a_failure_in_the_second_leg_that_needs_a_person_stalls_and_another_source_begins_with_the_first() {
    let mut world = World::with_route(TWO_LEGS);
    world.database.mishaps = vec![Mishap::Fails(Stage::Migrate, Reason::MigrationFailed)];
    world.run(&["records"]).await;
    assert_eq!((world.ready("records").1.as_str(), passed(&world)), ("MigrationFailed", vec![1]));
    world.database.source.push("3_three".into());
    let change = |map: &mut Value| map["data"] = json!({"3_three.sql": ""});
    world.server.cluster().edit(&key("configmaps", "records-migrations"), change);
    world.run(&["records"]).await;
    assert_eq!(created(&world), ["a1", "a1-l2", "a1", "a1-l2"]);
    assert_eq!((world.ready("records").0.as_str(), passed(&world)), ("True", vec![1, 2]));
}

#[tokio::test]
async fn the_record_and_not_the_job_says_that_a_leg_has_passed() {
    let mut world = between_legs().await;
    forget_jobs(&world);
    world.pass(UNTIL_TEN);
    world.run_for(&["records"], 20).await;
    assert_eq!(
        (world.ready("records").0.as_str(), created(&world)),
        ("True", vec!["a1".to_owned(), "a1-l2".to_owned()])
    );

    let mut world = between_legs().await;
    forget_jobs(&world);
    world.edit("records", |object| {
        drop(object["status"]["run"].as_object_mut().expect("a run").remove("legs"));
    });
    world.pass(UNTIL_TEN);
    world.run_for(&["records"], 30).await;
    assert_eq!(created(&world), ["a1", "a2", "a2-l2"], "what no record tells is run again");
    assert_eq!(world.ready("records").0, "True");
}

#[tokio::test]
async fn a_lost_status_between_two_legs_is_made_again_from_the_job_of_the_first() {
    let mut world = between_legs().await;
    let legs = run(&world).legs;
    world.edit("records", |object| object["status"] = json!({"observedGeneration": -1}));
    world.run_for(&["records"], 5).await;
    assert_eq!((world.ready("records").1.as_str(), run(&world).legs), ("WindowClosed", legs));
    world.pass(UNTIL_TEN);
    world.run_for(&["records"], 20).await;
    assert_eq!((world.ready("records").0.as_str(), created(&world).len()), ("True", 2));
}

#[tokio::test]
async fn a_second_leg_that_was_announced_when_the_window_closed_waits_for_the_next_one() {
    let mut world = between_legs().await;
    world.pass(UNTIL_TEN);
    world.observe("records").await.expect("a reconcile");
    let announced = run(&world).job;
    assert!(announced.ends_with("-l2") && created(&world).len() == 1, "announced and not begun: {announced}");
    world.pass(2 * 3600);
    world.run_for(&["records"], 20).await;
    assert_eq!((world.ready("records").1.as_str(), passed(&world)), ("WindowClosed", vec![1]));
    assert!(run(&world).is_between_legs(), "{:#?}", run(&world));
    world.pass(22 * 3600);
    world.run_for(&["records"], 20).await;
    assert_eq!(
        (world.ready("records").0.as_str(), created(&world)),
        ("True", vec!["a1".to_owned(), "a1-l2".to_owned()])
    );
}

#[tokio::test]
async fn a_run_that_waits_between_two_legs_keeps_no_other_from_the_database() {
    let mut world = between_legs().await;
    world.pass(1);
    world.put("second", &json!({}));
    world.run_for(&["records", "second"], 20).await;
    assert_eq!(world.ready("second"), ("True".to_owned(), "Verified".to_owned()));
    assert_eq!(world.ready("records").1, "WindowClosed");
}

#[tokio::test]
async fn what_went_two_legs_is_verified_again_in_one() {
    let mut world = World::with_route(TWO_LEGS);
    world.edit("records", |object| object["spec"]["verify"] = json!({"every": "6h"}));
    world.run_for(&["records"], 20).await;
    world.database.mishaps = vec![Mishap::Fails(Stage::Verify, Reason::ConnectionFailed)];
    world.pass(6 * 3600);
    world.run_for(&["records"], 30).await;
    assert_eq!(created(&world), ["a1", "a1-l2", "a2", "a3"], "and what could not be said is asked again");
    assert_eq!((world.ready("records").0.as_str(), passed(&world)), ("True", vec![1, 2]));
}
