//! `spec.verify.every`: what is settled is verified again, quietly, and Ready follows what was found.

use serde_json::{Value, json};
use sluice::{api::Reason, contract::Stage};

use super::{
    api_server::Fault,
    kubelet::Mishap,
    world::{World, key},
};

const PERIOD: i64 = 6 * 3600;

/// Ready, with six hours to go.
async fn settled() -> World {
    let mut world = World::new();
    world.edit("records", |object| object["spec"]["verify"] = json!({"every": "6h"}));
    world.run_for(&["records"], 20).await;
    assert_eq!(world.ready("records").0, "True");
    assert_eq!(world.jobs().len(), 1);
    world
}

/// Waits for the next verification, and until it has ended.
async fn next(world: &mut World) {
    world.pass(PERIOD);
    world.run_for(&["records"], 20).await;
}

fn kinds(writes: &[String]) -> Vec<String> {
    writes.iter().map(|write| write.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

fn environment(world: &World, job: &str) -> Value {
    world.server.cluster().objects[&key("jobs", job)]["spec"]["template"]["spec"]["containers"][2]["env"]
        .clone()
}

#[tokio::test]
async fn what_is_settled_is_verified_again_with_two_writes_and_stays_ready_meanwhile() {
    let mut world = settled().await;
    let (before, since) = (world.writes().len(), world.status("records").conditions);
    world.pass(PERIOD - 60);
    world.run_for(&["records"], 2).await;
    assert_eq!(world.writes().len(), before, "its time has not come");
    world.pass(60);
    for _ in 0..20 {
        world.run_for(&["records"], 1).await;
        assert_eq!(world.ready("records").0, "True");
    }
    assert_eq!(kinds(&world.writes()[before..]), ["create jobs", "status records"]);
    let status = world.status("records");
    let run = status.run.expect("a run");
    assert_eq!((run.attempt, run.reason.as_deref(), status.history.len()), (2, Some("Verified"), 2));
    let told = |conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]| -> Vec<_> {
        conditions
            .iter()
            .map(|condition| {
                (condition.type_.clone(), condition.reason.clone(), condition.last_transition_time.clone())
            })
            .collect()
    };
    let (first, again) = (told(&since), told(&status.conditions));
    assert!(
        first.iter().zip(&again).all(|(a, b)| a.0 == b.0 && a.2 == b.2),
        "no condition changed:\n{first:#?}\n{again:#?}"
    );
    let snapshot = |told: &[(String, String, _)]| {
        told.iter().find(|told| told.0 == "SnapshotReady").map(|told| told.1.clone())
    };
    assert_eq!(snapshot(&again), snapshot(&first), "what it did not do it does not tell");
    world.run_for(&["records"], 100).await;
    assert_eq!(world.writes().len(), before + 2, "and then nothing for six hours");
}

#[tokio::test]
async fn the_job_is_told_to_change_nothing() {
    let mut world = settled().await;
    next(&mut world).await;
    let jobs = world.jobs();
    assert_eq!(jobs.len(), 2);
    let only = json!({"name": "SLUICE_PURPOSE", "value": "Verify"});
    let has = |job: &str| environment(&world, job).as_array().expect("variables").contains(&only);
    assert_eq!((has(&jobs[0]), has(&jobs[1])), (false, true));
}

#[tokio::test]
async fn ready_turns_off_when_it_fails_and_on_again_when_a_later_one_passes_and_the_gate_stays_open() {
    let mut world = settled().await;
    let gate = world.gate();
    let before = world.writes().len();
    world.database.mishaps = vec![Mishap::Fails(Stage::Verify, Reason::VerificationFailed); 2];
    next(&mut world).await;
    assert_eq!(world.ready("records"), ("False".to_owned(), "VerificationFailed".to_owned()));
    assert_eq!(kinds(&world.writes()[before..]), ["create jobs", "create events", "status records"]);
    assert_eq!(world.gate(), gate, "what is applied stays applied");
    let before = world.writes().len();
    world.run_for(&["records"], 300).await;
    assert_eq!(world.writes().len(), before, "nothing is tried before the time has come");
    next(&mut world).await;
    assert_eq!(world.ready("records").1, "VerificationFailed");
    assert_eq!(
        kinds(&world.writes()[before..]),
        ["create jobs", "status records"],
        "the same again is no news"
    );
    let before = world.writes().len();
    next(&mut world).await;
    assert_eq!(world.ready("records"), ("True".to_owned(), "Verified".to_owned()));
    // The oldest Job is deleted.
    let writes: Vec<String> =
        kinds(&world.writes()[before..]).into_iter().filter(|write| !write.starts_with("delete")).collect();
    assert_eq!(writes, ["create jobs", "create events", "status records"]);
    assert_eq!(world.gate(), gate);
}

#[tokio::test]
async fn a_verification_that_was_lost_is_repeated_soon_and_still_changes_nothing() {
    let mut world = settled().await;
    world.database.mishaps = vec![Mishap::Killed(Stage::Verify)];
    next(&mut world).await;
    world.run_for(&["records"], 30).await;
    assert_eq!(world.ready("records"), ("True".to_owned(), "Verified".to_owned()));
    let status = world.status("records");
    assert_eq!((status.run.expect("a run").attempt, status.history[1].reason.as_str()), (3, "RunLost"));
    let only = json!({"name": "SLUICE_PURPOSE", "value": "Verify"});
    let newest = world.jobs().into_iter().find(|job| job.ends_with("-a3")).expect("the third");
    assert!(environment(&world, &newest).as_array().expect("variables").contains(&only));
}

#[tokio::test]
async fn verifications_that_confirm_one_another_do_not_push_out_what_happened() {
    let mut world = settled().await;
    for _ in 0..6 {
        next(&mut world).await;
    }
    let status = world.status("records");
    let jobs: Vec<&str> =
        status.history.iter().map(|entry| entry.job.rsplit('-').next().unwrap_or_default()).collect();
    assert_eq!(jobs, ["a7", "a1"]);
    assert_eq!(world.jobs().len(), 3);
}

#[tokio::test]
async fn a_suspended_object_is_not_verified_and_stays_as_it_is() {
    let mut world = settled().await;
    world.edit("records", |object| object["spec"]["suspend"] = json!(true));
    next(&mut world).await;
    assert_eq!((world.ready("records").0.as_str(), world.jobs().len()), ("True", 1));
    world.edit("records", |object| object["spec"]["suspend"] = json!(false));
    world.run_for(&["records"], 20).await;
    assert_eq!(world.jobs().len(), 2);
}

#[tokio::test]
async fn a_new_source_during_a_verification_waits_for_its_end_and_is_applied() {
    let mut world = settled().await;
    world.pass(PERIOD);
    world.run_for(&["records"], 2).await;
    world.database.source.push("3_three".into());
    world
        .server
        .cluster()
        .edit(&key("configmaps", "records-migrations"), |map| map["data"] = json!({"3_three.sql": ""}));
    world.observe("records").await.expect("a reconcile");
    assert_eq!(world.ready("records").0, "False", "a new source turns Ready off at once");
    world.run_for(&["records"], 40).await;
    assert_eq!((world.ready("records").0.as_str(), world.gate().len()), ("True", 3));
}

#[tokio::test]
async fn a_verification_that_cannot_start_is_in_the_way_of_no_new_source() {
    let mut world = settled().await;
    world.database.mishaps =
        vec![Mishap::Waits("CreateContainerConfigError", "secret \"records-db\" not found", 100_000)];
    world.pass(PERIOD);
    world.run_for(&["records"], 20).await;
    let stuck = world.jobs().pop().expect("a verification");
    world.database.source.push("3_three".into());
    world
        .server
        .cluster()
        .edit(&key("configmaps", "records-migrations"), |map| map["data"] = json!({"3_three.sql": ""}));
    world.run_for(&["records"], 40).await;
    assert!(world.writes().contains(&format!("delete jobs {stuck}")), "{:#?}", world.writes());
    assert_eq!((world.ready("records").0.as_str(), world.gate().len()), ("True", 3));
}

#[tokio::test]
async fn a_verification_that_waits_for_a_dead_container_is_in_the_way_of_no_new_source() {
    for stage in [Stage::Plan, Stage::Migrate] {
        let mut world = settled().await;
        world.database.mishaps = vec![Mishap::Unseen(stage)];
        world.pass(PERIOD);
        // The source changes before the controller knows of the death.
        let of_the_job = |world: &World| world.jobs().len();
        while of_the_job(&world) == 1 {
            world.run_for(&["records"], 1).await;
        }
        let verification = world.jobs().pop().expect("a verification");
        world.database.source.push("3_three".into());
        world
            .server
            .cluster()
            .edit(&key("configmaps", "records-migrations"), |map| map["data"] = json!({"3_three.sql": ""}));
        world.run_for(&["records"], 60).await;
        let deleted = format!("delete jobs {verification}");
        assert!(world.writes().contains(&deleted), "{stage:?}: {:#?}", world.writes());
        assert_eq!((world.ready("records").0.as_str(), world.gate().len()), ("True", 3), "{stage:?}");
    }
}

/// Settled, then one verification that fails and one that passes.
async fn a_life(fault: Option<(usize, Fault)>) -> World {
    let mut world = World::new();
    world.edit("records", |object| object["spec"]["verify"] = json!({"every": "6h"}));
    world.server.cluster().fault = fault;
    world.run_for(&["records"], 12).await;
    world.database.mishaps = vec![Mishap::Fails(Stage::Verify, Reason::VerificationFailed)];
    for _ in 0..2 {
        world.pass(PERIOD);
        world.run_for(&["records"], 10).await;
    }
    world
}

#[tokio::test]
async fn whichever_write_is_the_last_of_a_process_the_end_is_the_same() {
    let undisturbed = a_life(None).await;
    let (end, writes) = (undisturbed.end_state(), undisturbed.writes());
    assert_eq!(undisturbed.ready("records").0, "True");
    for fault in [Fault::DiesBefore, Fault::DiesAfter, Fault::AnswerLost] {
        for at in 1..=writes.len() {
            let world = a_life(Some((at, fault))).await;
            assert_eq!(world.end_state(), end, "{fault:?} at write {at}, {}", writes[at - 1]);
            for job in world.jobs() {
                let created =
                    world.writes().iter().filter(|write| **write == format!("create jobs {job}")).count();
                assert_eq!(created, 1, "{fault:?} at write {at}: {job} was created {created} times");
            }
        }
    }
}

#[tokio::test]
async fn the_job_that_applied_something_stays_for_its_log_whatever_is_verified_after_it() {
    let mut world = settled().await;
    let applied = world.jobs().pop().expect("the Job that applied everything");
    for _ in 0..8 {
        next(&mut world).await;
    }
    let jobs = world.jobs();
    assert!(jobs.contains(&applied), "{jobs:?}");
    assert_eq!(jobs.len(), 3, "and the last two verifications: {jobs:?}");
    let ttl = |job: &str| {
        world.server.cluster().objects[&key("jobs", job)]["spec"]["ttlSecondsAfterFinished"].as_i64()
    };
    let verification = jobs.iter().find(|job| **job != applied).expect("a verification");
    assert_eq!((ttl(&applied), ttl(verification)), (Some(30 * 24 * 3600), Some(7 * 24 * 3600)));
}
