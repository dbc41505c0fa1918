//! What a run found outlives whatever the conditions show meanwhile: they are made from `status.run`, and
//! decide nothing.

use serde_json::json;
use sluice::{
    api::{ConditionType, Reason},
    contract::Stage,
};

use super::{kubelet::Mishap, world::World};

fn verified() -> (String, String) {
    ("True".to_owned(), "Verified".to_owned())
}

fn not_ready(reason: &str) -> (String, String) {
    ("False".to_owned(), reason.to_owned())
}

#[tokio::test]
async fn a_spec_that_was_invalid_for_a_while_starts_nothing_and_is_as_ready_as_before() {
    let mut world = World::new();
    world.run(&["records"]).await;
    let (before, gate) = (world.status("records"), world.gate());
    world.edit("records", |object| object["spec"]["apply"] = json!({"deadline": "1s"}));
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), not_ready("InvalidSpec"));
    assert_eq!(world.condition("records", ConditionType::Verified).expect("Verified").0, "Unknown");
    world.edit("records", |object| {
        object["spec"].as_object_mut().expect("a spec").remove("apply");
    });
    let writes = world.writes().len();
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.jobs().len()), (verified(), 1), "no Job was needed");
    let status = world.status("records");
    assert_eq!((status.run, status.history, world.gate()), (before.run, before.history, gate));
    let written: Vec<String> = world.writes().split_off(writes);
    assert_eq!(written.len(), 2, "the Event, and the status: {written:?}");
}

#[tokio::test]
async fn a_failure_outlives_an_invalid_spec_and_nothing_runs_again_by_itself() {
    let mut world = World::new();
    world.database.mishaps = vec![Mishap::Fails(Stage::Migrate, Reason::MigrationFailed)];
    world.run(&["records"]).await;
    let told = world.condition("records", ConditionType::Applied);
    world.edit("records", |object| object["spec"]["apply"] = json!({"deadline": "1s"}));
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), not_ready("InvalidSpec"));
    world.edit("records", |object| {
        object["spec"].as_object_mut().expect("a spec").remove("apply");
    });
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.jobs().len()), (not_ready("MigrationFailed"), 1));
    assert_eq!(world.condition("records", ConditionType::Applied), told, "and it says where");
}

#[tokio::test]
async fn conditions_that_were_wiped_or_forged_are_made_anew_and_decide_nothing() {
    let mut world = World::new();
    world.run(&["records"]).await;
    let before = world.end_state();
    for conditions in [
        json!([]),
        json!([{"type": "Ready", "status": "False", "reason": "MigrationFailed", "message": "forged",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]),
    ] {
        world.edit("records", |object| object["status"]["conditions"] = conditions);
        world.run(&["records"]).await;
        assert_eq!((world.ready("records"), world.jobs().len()), (verified(), 1));
    }
    let events = |state: &serde_json::Value| {
        let mut state = state.clone();
        state.as_object_mut().expect("objects").retain(|key, _| !key.contains("events"));
        state
    };
    assert_eq!(events(&world.end_state()), events(&before));
}

#[tokio::test]
async fn a_run_of_which_no_section_is_known_counts_for_nothing_and_is_made_again() {
    let mut world = World::new();
    world.run(&["records"]).await;
    world.edit("records", |object| {
        object["status"]["run"].as_object_mut().expect("a run").remove("sections");
    });
    world.observe("records").await.expect("a reconcile");
    assert_eq!(world.ready("records"), not_ready("Planning"), "unknown is never a pass");
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.jobs().len()), (verified(), 2));
}
