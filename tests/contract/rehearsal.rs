//! `spec.before.rehearsal`: a run has one stage more, and nothing is migrated where that did not pass.

use serde_json::{Value, json};
use sluice::{
    api::{ConditionType, Reason},
    contract::{Purpose, Stage},
};

use super::{
    kubelet::Mishap,
    world::{World, key},
};

const OVER: Mishap = Mishap::Fails(Stage::Rehearse, Reason::RehearsalOverLimit);

/// One object whose manifest asks for a rehearsal.
fn asking() -> World {
    let world = World::new();
    ask(&world, &json!({"rehearsal": {"limits": {"lockHeld": "2s"}}}));
    world
}

fn ask(world: &World, before: &Value) {
    world.edit("records", |object| object["spec"]["before"] = before.clone());
}

fn containers(world: &World, job: &str) -> Vec<Value> {
    let job = world.server.cluster().objects[&key("jobs", job)].clone();
    job["spec"]["template"]["spec"]["containers"].as_array().expect("containers").clone()
}

fn names(world: &World, job: &str) -> Vec<String> {
    let name = |container: &Value| container["name"].as_str().expect("a name").to_owned();
    containers(world, job).iter().map(name).collect()
}

fn rehearsed(world: &World) -> Option<(String, String)> {
    world.condition("records", ConditionType::Rehearsed).map(|(status, reason, _)| (status, reason))
}

fn told(status: &str, reason: Reason) -> (String, String) {
    (status.to_owned(), reason.name().to_owned())
}

#[tokio::test]
async fn a_run_has_a_rehearsal_and_the_status_its_condition_only_where_the_manifest_asks_for_it() {
    let mut world = World::new();
    world.run(&["records"]).await;
    assert_eq!(names(&world, &world.jobs()[0]), ["plan", "snapshot", "migrate", "verify"]);
    assert_eq!(rehearsed(&world), None);

    let mut world = asking();
    world.run(&["records"]).await;
    let job = world.jobs().pop().expect("a Job");
    assert_eq!(names(&world, &job), ["plan", "snapshot", "rehearse", "migrate", "verify"]);
    assert_eq!(rehearsed(&world), Some(told("True", Reason::Rehearsed)));
    let conditions = world.status("records").conditions;
    let types: Vec<&str> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(types, ["Ready", "Planned", "Cleared", "SnapshotReady", "Rehearsed", "Applied", "Verified"]);
    assert_eq!(world.ready("records"), ("True".to_owned(), Reason::Verified.name().to_owned()));
    assert_eq!(world.status("records").history[0].stages.len(), 5);
}

#[tokio::test]
async fn the_rehearsal_has_the_client_tools_and_reads_the_snapshots_and_no_other_stage_but_the_snapshot_does()
{
    let mut world = asking();
    world.run(&["records"]).await;
    for container in containers(&world, &world.jobs()[0]) {
        let name = container["name"].as_str().expect("a name").to_owned();
        let has_tools = container["image"] == "registry.example/sluice-stage:1";
        let mounts = container["volumeMounts"].as_array().expect("mounts");
        let snapshots = mounts.iter().find(|mount| mount["mountPath"] == "/snapshots");
        let read_only = snapshots.map(|mount| mount["readOnly"] == true);
        let expected = match name.as_str() {
            "snapshot" => (true, Some(false)),
            "rehearse" => (true, Some(true)),
            _ => (false, None),
        };
        assert_eq!((has_tools, read_only), expected, "{name}");
    }
}

#[tokio::test]
async fn the_url_of_a_server_for_copies_is_given_to_the_rehearsal_alone() {
    let mut world = World::new();
    let server = json!({"secretRef": {"name": "scratch", "key": "address"}});
    ask(&world, &json!({"rehearsal": {"server": server}}));
    world.run(&["records"]).await;
    for container in containers(&world, &world.jobs()[0]) {
        let environment = container["env"].as_array().expect("variables");
        let urls: Vec<&Value> =
            environment.iter().filter(|variable| variable["name"] == "SLUICE_REHEARSAL_URL").collect();
        let expected = json!({"name": "SLUICE_REHEARSAL_URL",
            "valueFrom": {"secretKeyRef": {"name": "scratch", "key": "address"}}});
        let expected = if container["name"] == "rehearse" { vec![&expected] } else { vec![] };
        assert_eq!(urls, expected, "{}", container["name"]);
    }
}

#[tokio::test]
async fn nothing_is_migrated_after_a_rehearsal_that_failed_until_a_person_changes_something() {
    let mut world = asking();
    world.database.mishaps = vec![OVER];
    world.run(&["records"]).await;
    assert_eq!(rehearsed(&world), Some(told("False", Reason::RehearsalOverLimit)));
    assert_eq!(world.ready("records"), ("False".to_owned(), Reason::RehearsalOverLimit.name().to_owned()));
    assert!(world.condition("records", ConditionType::Stalled).is_some());
    let (_, applied, _) = world.condition("records", ConditionType::Applied).expect("Applied");
    assert_eq!((applied.as_str(), world.database.applied.len(), world.gate().len()), ("Pending", 0, 0));
    let before = world.writes().len();
    world.run_for(&["records"], 100).await;
    assert_eq!(world.writes().len(), before, "Sluice does not try it again by itself");

    ask(&world, &json!({"rehearsal": {"limits": {"lockHeld": "30s"}}}));
    world.run(&["records"]).await;
    assert_eq!(rehearsed(&world), Some(told("True", Reason::Rehearsed)));
    assert_eq!(world.database.applied.len(), 2);
}

#[tokio::test]
async fn a_run_that_rehearses_goes_on_as_it_began_when_the_manifest_no_longer_asks_for_it() {
    let mut world = asking();
    world.run_for(&["records"], 3).await;
    ask(&world, &json!({}));
    world.run(&["records"]).await;
    let lengths: Vec<usize> = world.jobs().iter().map(|job| names(&world, job).len()).collect();
    assert_eq!((lengths, rehearsed(&world)), (vec![5, 4], None));
    assert_eq!(world.ready("records").0, "True");
    let applied = world.writes().iter().filter(|write| write.starts_with("create jobs")).count();
    assert_eq!((applied, world.database.applied.len()), (2, 2));
}

#[tokio::test]
async fn a_verification_that_is_repeated_rehearses_nothing_and_leaves_the_condition_as_it_is() {
    let mut world = asking();
    world.edit("records", |object| object["spec"]["verify"] = json!({"every": "6h"}));
    world.run_for(&["records"], 30).await;
    assert_eq!(rehearsed(&world), Some(told("True", Reason::Rehearsed)));
    world.pass(6 * 3600);
    world.run_for(&["records"], 30).await;
    let jobs = world.jobs();
    assert_eq!(names(&world, jobs.last().expect("a Job")).len(), Purpose::Verify.route().stages().count());
    assert_eq!((jobs.len(), rehearsed(&world)), (2, Some(told("True", Reason::Rehearsed))));
    assert_eq!(world.ready("records").0, "True");
}

#[tokio::test]
async fn a_failed_rehearsal_is_not_made_again_because_the_spec_was_invalid_for_a_while() {
    let mut world = asking();
    world.database.mishaps = vec![OVER];
    world.run(&["records"]).await;
    world.edit("records", |object| object["spec"]["apply"] = json!({"deadline": "1s"}));
    world.run(&["records"]).await;
    assert_eq!(world.ready("records").1, Reason::InvalidSpec.name());
    world.edit("records", |object| object["spec"]["apply"] = json!({}));
    world.run(&["records"]).await;
    assert_eq!(rehearsed(&world), Some(told("False", Reason::RehearsalOverLimit)));
    assert_eq!(world.jobs().len(), 1, "what is known is remembered");
}
