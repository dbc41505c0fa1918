//! A migration that waits for its time: the object is Ready meanwhile, and a run follows when it may run, and not
//! before.

use serde_json::json;

use super::world::World;

const NAMES: &[&str] = &["records"];

fn not_ready(reason: &str) -> (String, String) {
    ("False".to_owned(), reason.to_owned())
}

fn verified() -> (String, String) {
    ("True".to_owned(), "Verified".to_owned())
}

/// The second of two migrations is the contract of the first, which has to be applied for an hour.
async fn expanded() -> World {
    let mut world = World::new();
    world.database.contract = Some(("2_two".to_owned(), 3600));
    world.run_for(NAMES, 20).await;
    assert_eq!(
        (world.ready("records"), world.database.applied.clone()),
        (verified(), vec!["1_one".to_owned()])
    );
    world
}

#[tokio::test]
async fn what_is_held_keeps_ready_true_says_until_when_and_runs_then() {
    let mut world = expanded().await;
    let status = world.status("records");
    let held = status.held.clone().expect("is held");
    assert_eq!((held.migration.as_str(), held.of.as_str(), held.gate.as_str()), ("2_two", "1_one", "Age"));
    assert!(held.since.is_some() && held.eligible_at.is_some(), "{held:?}");
    assert_eq!((status.current_version.as_deref(), status.pending), (Some("1_one"), Some(0)));
    let (_, _, message) = world.condition("records", sluice::api::ConditionType::Ready).expect("Ready");
    assert!(message.contains("1_one is applied and verified; 2_two is held"), "{message}");
    assert_eq!(world.gate(), ["records@1_one"]);

    let before = world.writes().len();
    world.pass(3000);
    world.run_for(NAMES, 300).await;
    assert_eq!(world.writes().len(), before, "nothing is begun before its time");
    world.run_for(NAMES, 400).await;
    assert_eq!((world.ready("records"), world.status("records").held), (verified(), None));
    assert_eq!(world.database.applied, ["1_one", "2_two"]);
    assert_eq!(world.jobs().len(), 2);
    world.run(NAMES).await;
    assert_eq!(world.jobs().len(), 2, "and nothing follows");
}

#[tokio::test]
async fn what_is_in_the_way_of_a_run_keeps_a_held_migration_and_not_ready_from_being_true() {
    for (section, value, undone) in [
        ("suspend", json!(true), json!(false)),
        (
            "before",
            json!({"window": {"schedule": "0 3 * * *", "duration": "1m", "timeZone": "Etc/UTC"}}),
            json!({}),
        ),
    ] {
        let mut world = World::new();
        world.database.contract = Some(("2_two".to_owned(), 3600));
        world.run_for(NAMES, 20).await;
        world.edit("records", |object| object["spec"][section] = value.clone());
        world.run_for(NAMES, 20).await;
        let ready = world.ready("records");
        world.pass(4000);
        world.run_for(NAMES, 200).await;
        assert_eq!((world.ready("records"), ready), (verified(), verified()), "{value}");
        assert_eq!(world.database.applied, ["1_one"], "{value}");
        world.edit("records", |object| object["spec"][section] = undone.clone());
        world.run_for(NAMES, 100).await;
        assert_eq!(world.database.applied, ["1_one", "2_two"], "{value}");
    }
}

#[tokio::test]
async fn a_plan_that_still_holds_it_is_not_asked_again_at_once() {
    let mut world = expanded().await;
    // The clock of the node is behind.
    world.database.contract = Some(("2_two".to_owned(), 3700));
    world.pass(3600);
    world.run_for(NAMES, 50).await;
    assert_eq!(world.jobs().len(), 2, "{:?}", world.jobs());
    assert_eq!(world.ready("records"), verified());
    world.run_for(NAMES, 200).await;
    assert_eq!(world.database.applied, ["1_one", "2_two"]);
}

#[tokio::test]
async fn a_repeated_verification_runs_no_contract_and_a_due_one_is_run_although_all_is_verified() {
    let mut world = World::new();
    world.edit("records", |object| object["spec"]["verify"] = json!({"every": "10m"}));
    world.database.contract = Some(("2_two".to_owned(), 3600));
    world.run_for(NAMES, 20).await;
    for _ in 0..5 {
        world.pass(540);
        world.run_for(NAMES, 80).await;
        assert_eq!((world.ready("records"), world.database.applied.len()), (verified(), 1));
    }
    assert!(world.status("records").history.len() > 1, "it was verified again");
    world.pass(900);
    world.run_for(NAMES, 200).await;
    assert_eq!((world.ready("records"), world.database.applied.len()), (verified(), 2));
    assert_ne!(world.ready("records"), not_ready("VerificationFailed"));
}
