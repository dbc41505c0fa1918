//! Ready is about the newest spec and the newest source, whenever a user edits them: also between a read and
//! the write that follows it.

use serde_json::json;
use sluice::api::ConditionType;

use super::{
    api_server::Cluster,
    world::{NAMESPACE, World, key},
};

fn edit(cluster: &mut Cluster) {
    cluster.edit(&key("databasemigrations", "records"), |object| {
        object["spec"]["apply"] = json!({"deadline": "10m"});
    });
}

fn annotate(cluster: &mut Cluster) {
    cluster.edit(&key("databasemigrations", "records"), |object| {
        object["metadata"]["annotations"] = json!({"argocd/tracking": "1"});
    });
}

/// A life in which something else happens right before the n-th write that the controller asks for.
async fn overtaken(at: usize, happens: fn(&mut Cluster), careless: bool) -> World {
    let mut world = World::new();
    world.server.cluster().careless = careless;
    world.server.cluster().meanwhile = Some((at, happens));
    world.run(&["records"]).await;
    world
}

/// Writes of a life in which nothing happens: status, Job, an empty gate, its entries, Event, status.
const WRITES: usize = 6;

#[tokio::test]
async fn an_edit_right_before_any_write_never_leaves_ready_true_for_the_older_spec() {
    for at in 1..=WRITES {
        let world = overtaken(at, edit, false).await;
        assert_eq!(world.server.cluster().untrue, [""; 0], "an edit before write {at}");
        assert_eq!(world.ready("records").0, "True", "an edit before write {at}");
        let ready = world
            .status("records")
            .conditions
            .into_iter()
            .find(|condition| condition.type_ == ConditionType::Ready.name());
        assert_eq!(ready.and_then(|ready| ready.observed_generation), Some(2), "an edit before write {at}");
    }
}

#[tokio::test]
async fn control_a_server_that_ignores_what_a_write_is_based_on_says_ready_about_the_older_spec() {
    let mut untrue = 0;
    for at in 1..=WRITES {
        untrue += overtaken(at, edit, true).await.server.cluster().untrue.len();
    }
    assert_eq!(untrue, 2, "before the Event, and before the status that goes with it");
}

#[tokio::test]
async fn a_write_that_is_overtaken_by_an_annotation_is_made_again_and_leaves_no_trace() {
    let undisturbed = overtaken(WRITES + 1, annotate, false).await;
    for at in 1..=WRITES {
        let world = overtaken(at, annotate, false).await;
        assert_eq!(
            world.status("records").conditions.len(),
            undisturbed.status("records").conditions.len(),
            "before write {at}"
        );
        assert_eq!(world.writes(), undisturbed.writes(), "before write {at}");
        assert_eq!(world.ready("records").0, "True");
    }
}

/// What another process of the controller published, while this one was stopped right before its own write.
fn another_leader_publishes(cluster: &mut Cluster) {
    let entries = ["1_one", "2_two", "3_three"].map(|version| format!("records@{version}"));
    cluster.publish(&key("migrationgates", "gates"), "sluice-gate-records".to_owned(), entries.into());
}

/// A gate that is there already, as of another DatabaseMigration.
async fn stopped_before_its_gate(careless: bool) -> Vec<String> {
    let mut world = World::new();
    let labs = ["labs@1_one".to_owned()];
    world.server.cluster().publish(
        &key("migrationgates", "gates"),
        "sluice-gate-labs".to_owned(),
        labs.into(),
    );
    world.server.cluster().careless = careless;
    world.server.cluster().meanwhile = Some((3, another_leader_publishes));
    world.run(&["records"]).await;
    assert_eq!(world.ready("records").0, "True");
    world.gate()
}

#[tokio::test]
async fn a_process_that_was_stopped_before_it_published_takes_nothing_out_of_the_gate() {
    let newest = "records@3_three".to_owned();
    assert!(stopped_before_its_gate(false).await.contains(&newest), "in {NAMESPACE}");
    assert!(
        !stopped_before_its_gate(true).await.contains(&newest),
        "control: a server that takes every write loses it"
    );
}

/// Where there was no gate when the process observed, and this happens right before it writes one.
async fn stopped_before_the_first_gate(happens: fn(&mut Cluster)) -> (Vec<String>, Vec<String>) {
    let mut world = World::new();
    world.server.cluster().meanwhile = Some((3, happens));
    world.run(&["records"]).await;
    assert_eq!(world.ready("records").0, "True");
    (world.gate(), world.writes())
}

#[tokio::test]
async fn a_process_that_was_stopped_before_it_published_the_first_gate_takes_nothing_out_of_it() {
    let created = "create migrationgates gates".to_owned();
    let (gate, writes) = stopped_before_the_first_gate(another_leader_publishes).await;
    assert!(gate.contains(&"records@3_three".to_owned()), "{gate:?}");
    assert!(!writes.contains(&created), "there was one by then: {writes:?}");
    let (gate, writes) = stopped_before_the_first_gate(|_| {}).await;
    assert_eq!(gate, ["records@1_one", "records@2_two"], "control: where nobody else publishes");
    assert_eq!(writes.iter().filter(|write| **write == created).count(), 1, "{writes:?}");
}

/// Takes away every Job, and its Pod.
fn the_jobs_go(cluster: &mut Cluster) {
    for kind in ["jobs", "pods"] {
        for (key, _) in cluster.all(kind) {
            cluster.remove(&key);
        }
    }
}

/// As `kubectl delete --cascade=foreground` and the garbage collector do it.
fn deleted_in_the_foreground(cluster: &mut Cluster) {
    cluster.edit(&key("databasemigrations", "records"), |object| {
        object["metadata"]["deletionTimestamp"] = json!("2026-05-28T20:27:00Z");
    });
    the_jobs_go(cluster);
}

fn deleted_in_the_background(cluster: &mut Cluster) {
    cluster.remove(&key("databasemigrations", "records"));
    the_jobs_go(cluster);
}

/// How often the first attempt was created when this happens between the read of the object and the list of its
/// Jobs, while that attempt is under way.
async fn created_when(happens: fn(&mut Cluster)) -> usize {
    let mut world = World::new();
    world.run_for(&["records"], 2).await;
    assert_eq!(world.jobs().len(), 1, "its first attempt is under way: {:?}", world.writes());
    world.server.cluster().before_list = Some(("jobs", happens));
    for _ in 0..3 {
        world.observe("records").await.expect("a reconcile");
    }
    assert!(world.server.cluster().before_list.is_none(), "it happened");
    world.writes().iter().filter(|write| write.starts_with("create jobs")).count()
}

#[tokio::test]
async fn an_attempt_whose_job_went_with_its_object_is_not_created_once_more() {
    assert_eq!(created_when(deleted_in_the_foreground).await, 1);
    assert_eq!(created_when(deleted_in_the_background).await, 1);
    assert_eq!(created_when(the_jobs_go).await, 2, "control: of an object that stays it is");
}

#[tokio::test]
async fn a_source_that_changes_at_any_moment_of_a_run_turns_ready_off_until_it_is_applied() {
    for second in 0..9 {
        let mut world = World::new();
        world.run_for(&["records"], second).await;
        world.database.source.push("3_three".into());
        world
            .server
            .cluster()
            .edit(&key("configmaps", "records-migrations"), |map| map["data"] = json!({"3_three.sql": ""}));
        world.observe("records").await.expect("a reconcile");
        let applied = world.database.applied.contains(&"3_three".to_owned());
        assert!(
            applied || world.ready("records").0 != "True",
            "changed after {second} s: {:?}",
            world.ready("records")
        );
        world.run(&["records"]).await;
        assert_eq!(world.ready("records").0, "True", "changed after {second} s");
        assert_eq!(world.database.applied, ["1_one", "2_two", "3_three"], "changed after {second} s");
        assert_eq!(world.gate().len(), 3, "changed after {second} s");
    }
}
