//! `spec.apply.attempts`: how often what may pass is tried before a person is needed.

use serde_json::json;
use sluice::{
    api::{ConditionType, Reason},
    contract::Stage,
};

use super::{kubelet::Mishap, world::World};

const WAITING: &str = "WaitingForLock";

/// The next so many runs wait for a lock in vain.
fn waits(world: &mut World, times: usize) {
    world.database.mishaps = vec![Mishap::Fails(Stage::Migrate, Reason::WaitingForLock); times];
}

fn limited(attempts: u32) -> World {
    let world = World::new();
    world.edit("records", |object| object["spec"]["apply"] = json!({"attempts": attempts}));
    world
}

fn not_ready() -> (String, String) {
    ("False".to_owned(), WAITING.to_owned())
}

fn verified() -> (String, String) {
    ("True".to_owned(), "Verified".to_owned())
}

#[tokio::test]
async fn after_the_last_attempt_nothing_is_begun_until_a_person_has_acted() {
    let mut world = limited(3);
    waits(&mut world, 10);
    world.run(&["records"]).await;
    let status = world.status("records");
    assert_eq!((world.ready("records"), status.history.len()), (not_ready(), 3));
    let (holds, reason, message) = world.condition("records", ConditionType::Stalled).expect("Stalled");
    assert_eq!((holds.as_str(), reason.as_str()), ("True", WAITING));
    assert!(message.contains("3 of 3 attempts (spec.apply.attempts) have failed"), "{message}");
    assert_eq!(world.condition("records", ConditionType::Reconciling), None);
    let before = world.writes().len();
    world.run_for(&["records"], 600).await;
    assert_eq!(world.writes().len(), before, "nothing is begun, and nothing is written");

    waits(&mut world, 1);
    world.edit("records", |object| object["metadata"]["annotations"] = json!({"sluice.dev/retry": "1"}));
    world.run(&["records"]).await;
    let status = world.status("records");
    assert_eq!((world.ready("records"), status.run.expect("a run").attempt), (verified(), 2));
}

#[tokio::test]
async fn fewer_failures_than_attempts_hold_nothing_up() {
    let mut world = limited(3);
    waits(&mut world, 2);
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.status("records").history.len()), (verified(), 3));
}

#[tokio::test]
async fn attempts_count_from_the_last_time_that_all_was_well() {
    let mut world = limited(2);
    world.run(&["records"]).await;
    world.edit("records", |object| object["spec"]["verify"] = json!({"every": "1h"}));
    world.run_for(&["records"], 20).await;
    assert_eq!(world.ready("records"), verified());
    // The database cannot be reached for a while: what was applied is only verified, and that does not end.
    world.database.mishaps = vec![Mishap::Fails(Stage::Plan, Reason::ConnectionFailed); 4];
    world.pass(3600);
    world.run_for(&["records"], 200).await;
    assert_eq!(world.ready("records"), verified());
    assert!(world.database.mishaps.is_empty(), "it has failed four times");
}
