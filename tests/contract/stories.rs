//! What the controller does from beginning to end, in a model of a cluster: which writes, which conditions,
//! which gate.

use serde_json::json;
use sluice::{
    api::{ConditionType, Reason},
    contract::Stage,
};

use super::{
    kubelet::Mishap,
    world::{World, key},
};

fn verified() -> (String, String) {
    ("True".to_owned(), "Verified".to_owned())
}

fn not_ready(reason: &str) -> (String, String) {
    ("False".to_owned(), reason.to_owned())
}

#[tokio::test]
async fn a_small_migration_takes_five_writes_in_this_order_and_the_first_of_a_namespace_one_more() {
    let mut world = World::new();
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), verified());
    let kinds: Vec<String> =
        world.writes().iter().map(|write| write.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    let run =
        "status records, create jobs, create migrationgates, gate medical, create events, status records";
    assert_eq!(kinds.join(", "), run, "the first of a namespace creates the gate");
    assert_eq!(world.gate(), ["records@1_one", "records@2_two"]);
    let status = world.status("records");
    assert_eq!(status.applied, world.database.newest_first());
    assert_eq!((status.pending, status.current_version.as_deref()), (Some(0), Some("2_two")));
    assert_eq!(status.history.len(), 1);
    assert_eq!(status.history[0].stages.len(), 4);
    assert!(status.snapshot.is_some());
}

#[tokio::test]
async fn every_condition_speaks_of_the_generation_and_only_ready_work_is_absent() {
    let mut world = World::new();
    world.run(&["records"]).await;
    let conditions = world.status("records").conditions;
    let types: Vec<&str> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(types, ["Ready", "Planned", "Cleared", "SnapshotReady", "Applied", "Verified"]);
    assert!(
        conditions
            .iter()
            .all(|condition| condition.observed_generation == Some(1) && condition.status == "True")
    );
}

#[tokio::test]
async fn a_settled_object_is_looked_at_without_a_write() {
    let mut world = World::new();
    world.run(&["records"]).await;
    let before = world.writes().len();
    for _ in 0..5 {
        world.pass(3600);
        world.run(&["records"]).await;
    }
    assert_eq!(world.writes().len(), before);
}

#[tokio::test]
async fn a_settled_object_needs_no_job_any_more() {
    let mut world = World::new();
    world.run(&["records"]).await;
    world.server.cluster().objects.retain(|key, _| key.0 != "jobs" && key.0 != "pods");
    let before = world.writes().len();
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.writes().len()), (verified(), before));
}

#[tokio::test]
async fn a_new_source_turns_ready_off_before_anything_else() {
    let mut world = World::new();
    world.run(&["records"]).await;
    world.database.source.push("3_three".into());
    world
        .server
        .cluster()
        .edit(&key("configmaps", "records-migrations"), |map| map["data"] = json!({"3_three.sql": ""}));
    let before = world.writes().len();
    world.observe("records").await.expect("a reconcile");
    assert_eq!(world.writes().len(), before + 1);
    assert_eq!(world.ready("records"), not_ready("Planning"));
    assert_eq!(world.jobs().len(), 1, "the Job comes after the status");
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.gate().len()), (verified(), 3));
}

#[tokio::test]
async fn a_new_spec_waits_for_the_run_that_has_begun() {
    let mut world = World::new();
    world.run_for(&["records"], 2).await;
    world.edit("records", |object| object["spec"]["apply"] = json!({"deadline": "10m"}));
    world.observe("records").await.expect("a reconcile");
    assert_eq!(world.ready("records"), not_ready("Pending"));
    assert_eq!(world.jobs().len(), 1);
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.jobs().len()), (verified(), 2));
    assert_eq!(world.status("records").history.len(), 2, "the older run is remembered too");
}

#[tokio::test]
async fn a_run_that_cannot_start_makes_way_for_the_spec_that_mends_it() {
    let mut world = World::new();
    world.database.mishaps = vec![Mishap::Waits(
        "CreateContainerConfigError",
        "couldn't find key url in Secret medical/records-db",
        500,
    )];
    world.run_for(&["records"], 10).await;
    assert_eq!(world.ready("records"), not_ready("SecretNotFound"));
    world.edit("records", |object| object["spec"]["database"]["secretRef"]["key"] = json!("address"));
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.jobs().len()), (verified(), 1));
}

#[tokio::test]
async fn a_secret_that_arrives_late_uses_up_no_attempt() {
    let mut world = World::new();
    world.database.mishaps =
        vec![Mishap::Waits("CreateContainerConfigError", "secret \"records-db\" not found", 20)];
    world.run_for(&["records"], 10).await;
    assert_eq!(world.ready("records"), not_ready("SecretNotFound"));
    assert_eq!(world.condition("records", ConditionType::Planned).expect("Planned").1, "SecretNotFound");
    assert_eq!(world.condition("records", ConditionType::Stalled), None);
    world.run(&["records"]).await;
    assert_eq!(
        (world.ready("records"), world.status("records").run.expect("a run").attempt),
        (verified(), 1)
    );
}

#[tokio::test]
async fn a_source_that_arrives_late_is_waited_for_without_a_job() {
    let mut world = World::new();
    world.server.cluster().objects.remove(&key("configmaps", "records-migrations"));
    world.run_for(&["records"], 30).await;
    assert_eq!(world.ready("records"), not_ready("SourceNotFound"));
    assert_eq!(
        (world.jobs().len(), world.writes().len()),
        (0, 1),
        "one status, and no Event for a thing that is only waited for"
    );
    world.put_source("records-migrations");
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), verified());
}

#[tokio::test]
async fn a_config_map_of_a_phase_is_waited_for_and_its_change_makes_a_new_run() {
    let mut world = World::new();
    let phases = json!([{"name": "security", "configMaps": ["records-security"]}]);
    world.put("records", &json!({"migrations": {"configMaps": ["records-migrations"], "phases": phases}}));
    world.run_for(&["records"], 30).await;
    let (_, reason, message) = world.condition("records", ConditionType::Planned).expect("Planned");
    assert_eq!((reason.as_str(), world.jobs().len()), ("SourceNotFound", 0));
    assert!(message.contains("records-security"), "{message}");
    world.put_source("records-security");
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.jobs().len()), (verified(), 1));
    world.database.source.push("security/010_policies".into());
    world
        .server
        .cluster()
        .edit(&key("configmaps", "records-security"), |map| map["data"] = json!({"010_policies.sql": ""}));
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), verified());
    assert!(
        world.gate().contains(&"records@security/010_policies".to_owned()),
        "a workload can require it: {:?}",
        world.gate()
    );
}

#[tokio::test]
async fn an_authority_that_arrives_late_or_is_corrected_makes_a_new_run() {
    let mut world = World::new();
    let database =
        json!({"secretRef": {"name": "records-db"}, "tls": {"caFrom": {"configMap": "authority"}}});
    world.put("records", &json!({"database": database}));
    world.run(&["records"]).await;
    assert_eq!(
        (world.ready("records"), world.jobs().len()),
        (verified(), 1),
        "that it is missing a stage says"
    );
    world.put_source("authority");
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.jobs().len()), (verified(), 2));
    world
        .server
        .cluster()
        .edit(&key("configmaps", "authority"), |map| map["data"] = json!({"ca.crt": "another"}));
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.jobs().len()), (verified(), 3));
}

#[tokio::test]
async fn a_failed_migration_stalls_says_where_and_waits_for_a_person() {
    let mut world = World::new();
    world.database.mishaps = vec![Mishap::Fails(Stage::Migrate, Reason::MigrationFailed)];
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), not_ready("MigrationFailed"));
    let (_, _, message) = world.condition("records", ConditionType::Applied).expect("Applied");
    for part in ["2_two/migration.sql", "line 3", "42P01", "ALTER TABLE nowhere"] {
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
    assert_eq!(world.condition("records", ConditionType::Stalled).expect("Stalled").0, "True");
    assert_eq!((world.gate().len(), world.jobs().len()), (0, 1));
    let before = world.writes().len();
    world.run_for(&["records"], 300).await;
    assert_eq!(world.writes().len(), before, "Sluice retries nothing");
    world.edit("records", |object| object["metadata"]["annotations"] = json!({"sluice.dev/retry": "1"}));
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.jobs().len()), (verified(), 2));
}

#[tokio::test]
async fn a_verification_that_fails_before_commit_says_that_nothing_was_applied() {
    let mut world = World::new();
    world.database.mishaps = vec![Mishap::Fails(Stage::Migrate, Reason::VerificationFailed)];
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), not_ready("VerificationFailed"));
    for kind in [ConditionType::Ready, ConditionType::Applied, ConditionType::Verified] {
        let (status, _, message) = world.condition("records", kind).expect("is there");
        assert_eq!(status, "False", "{kind:?}");
        assert!(
            message.starts_with("the stage migrate failed"),
            "{kind:?} has the stage's own sentence, with the first finding: {message}"
        );
    }
    assert!(world.gate().is_empty());
}

#[tokio::test]
async fn what_may_pass_is_tried_again_with_longer_and_longer_pauses_and_one_event() {
    let mut world = World::new();
    world.database.mishaps = vec![Mishap::Fails(Stage::Migrate, Reason::WaitingForLock); 3];
    world.run_for(&["records"], 12).await;
    assert_eq!(world.ready("records"), not_ready("WaitingForLock"));
    assert_eq!(world.condition("records", ConditionType::Stalled), None);
    assert_eq!(
        world.condition("records", ConditionType::Reconciling).expect("Reconciling").1,
        "WaitingForLock"
    );
    assert_eq!(world.status("records").blocked_by, [super::kubelet::holder()]);
    world.run(&["records"]).await;
    let status = world.status("records");
    assert_eq!(status.blocked_by, [], "the last run was kept from nothing");
    assert_eq!(
        (world.ready("records"), status.run.expect("a run").attempt, status.history.len()),
        (verified(), 4, 4)
    );
    let events = world.writes().iter().filter(|write| write.starts_with("create events")).count();
    assert_eq!(events, 5, "one for the first failure, one for the end, and three runs have ended a session");
}

#[tokio::test]
async fn a_run_that_is_lost_is_followed_by_one_that_asks_the_database() {
    for mishap in [
        Mishap::Killed(Stage::Migrate),
        Mishap::Evicted(Stage::Verify),
        Mishap::Killed(Stage::Plan),
        Mishap::Evicted(Stage::Plan),
    ] {
        let mut world = World::new();
        world.database.mishaps = vec![mishap];
        world.run(&["records"]).await;
        let status = world.status("records");
        assert_eq!(
            (world.ready("records"), status.run.expect("a run").attempt),
            (verified(), 2),
            "{mishap:?}"
        );
        assert_eq!(status.history[1].reason, "RunLost", "{mishap:?}");
        assert_eq!(world.database.applied, ["1_one", "2_two"]);
    }
}

#[tokio::test]
async fn a_container_that_dies_before_those_behind_it_can_see_it_costs_half_a_minute_and_not_the_deadline() {
    for stage in sluice::contract::Purpose::Apply.route().stages() {
        let mut world = World::new();
        world.database.mishaps = vec![Mishap::Unseen(stage)];
        let begun = world.server.cluster().now;
        world.run(&["records"]).await;
        let took = world.server.cluster().now.duration_since(begun).as_secs();
        let status = world.status("records");
        assert_eq!(
            (world.ready("records"), status.run.expect("a run").attempt),
            (verified(), 2),
            "{stage:?}"
        );
        assert_eq!(status.history[1].reason, "RunLost", "{stage:?}");
        assert!(took < 60, "{stage:?} took {took} s");
    }
}

#[tokio::test]
async fn a_deadline_that_passed_is_told_and_tried_again() {
    let mut world = World::new();
    world.database.mishaps = vec![Mishap::Late(Stage::Snapshot)];
    world.run(&["records"]).await;
    assert_eq!(world.status("records").history[1].reason, "DeadlineExceeded");
    assert_eq!(world.ready("records"), verified());
}

#[tokio::test]
async fn suspend_keeps_a_settled_object_ready_and_a_new_one_waiting() {
    let mut world = World::new();
    world.edit("records", |object| object["spec"]["suspend"] = json!(true));
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.jobs().len()), (not_ready("Suspended"), 0));
    world.edit("records", |object| object["spec"]["suspend"] = json!(false));
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), verified());
    world.edit("records", |object| object["spec"]["suspend"] = json!(true));
    world.run(&["records"]).await;
    assert_eq!(
        (world.ready("records"), world.jobs().len()),
        (verified(), 1),
        "it is up to date, so suspend changes nothing"
    );
    assert_eq!(world.status("records").observed_generation, 4);
}

#[tokio::test]
async fn a_dependency_goes_first() {
    let mut world = World::new();
    world.put("auth", &json!({"database": {"secretRef": {"name": "auth-db"}}}));
    world.put(
        "late",
        &json!({"before": {"dependsOn": [{"name": "records"}, {"name": "auth"}]}, "database": {"secretRef": {"name": "late-db"}}}),
    );
    world.run_for(&["late"], 3).await;
    assert_eq!(world.ready("late"), not_ready("DependencyNotReady"));
    assert_eq!(world.condition("late", ConditionType::Cleared).expect("Cleared").0, "False");
    world.run(&["records", "auth", "late"]).await;
    assert_eq!(world.ready("late"), verified());
    let created: Vec<String> =
        world.writes().into_iter().filter(|write| write.starts_with("create jobs")).collect();
    assert!(created[2].contains("late"), "{created:?}");
}

#[tokio::test]
async fn two_on_one_database_take_turns_and_each_keeps_its_entries() {
    let mut world = World::new();
    world.put("twin", &json!({}));
    for _ in 0..3 {
        world.run_for(&["twin", "records"], 1).await;
        assert!(world.jobs().len() < 2, "never two at once");
    }
    world.run(&["twin", "records"]).await;
    assert_eq!((world.ready("records"), world.ready("twin")), (verified(), verified()));
    assert_eq!(world.gate(), ["records@1_one", "records@2_two", "twin@1_one", "twin@2_two"]);
}

#[tokio::test]
async fn entries_that_somebody_took_out_of_the_gate_are_put_back() {
    let mut world = World::new();
    world.run(&["records"]).await;
    world.server.cluster().objects.remove(&key("migrationgates", "gates"));
    world.run(&["records"]).await;
    assert_eq!((world.gate().len(), world.ready("records")), (2, verified()));
}

#[tokio::test]
async fn a_status_that_was_lost_is_found_again() {
    let mut world = World::new();
    world.run(&["records"]).await;
    let before = world.end_state();
    world.edit("records", |object| object["status"] = json!({"observedGeneration": -1}));
    world.run(&["records"]).await;
    assert_eq!(world.end_state(), before, "the Job still tells all of it");

    world.edit("records", |object| object["status"] = json!({"observedGeneration": -1}));
    world.server.cluster().objects.retain(|key, _| key.0 != "jobs" && key.0 != "pods");
    world.run(&["records"]).await;
    assert_eq!(
        (world.ready("records"), world.database.applied.len()),
        (verified(), 2),
        "a new run finds nothing pending"
    );
}

#[tokio::test]
async fn going_back_to_a_former_spec_runs_again_and_does_not_believe_an_old_job() {
    let mut world = World::new();
    world.run(&["records"]).await;
    for target in ["1_one", "2_two", "1_one"] {
        world.edit("records", |object| object["spec"]["migrations"]["target"] = json!(target));
        world.run(&["records"]).await;
        assert_eq!(world.ready("records"), verified());
    }
    assert_eq!(world.status("records").history.len(), 4);
    assert_eq!(world.status("records").run.expect("a run").attempt, 2, "the second time at the same digest");
}

#[tokio::test]
async fn only_the_newest_jobs_stay() {
    let mut world = World::new();
    for deadline in ["11m", "12m", "13m", "14m", "15m"] {
        world.edit("records", |object| object["spec"]["apply"] = json!({"deadline": deadline}));
        world.run(&["records"]).await;
    }
    assert_eq!(world.jobs().len(), 3);
    assert_eq!(world.status("records").history.len(), 5);
}

#[tokio::test]
async fn a_refused_job_is_shown_in_the_servers_words_and_forgotten_when_it_passes() {
    let mut world = World::new();
    world.server.cluster().refuse = Some(("jobs".into(), "exceeded quota: jobs".into()));
    world.run_for(&["records"], 5).await;
    let (_, reason, message) = world.condition("records", ConditionType::Ready).expect("Ready");
    assert_eq!(reason, "StageFailed");
    assert!(message.contains("exceeded quota: jobs"), "{message}");
    let before = world.writes().len();
    world.run_for(&["records"], 60).await;
    assert_eq!(world.writes().len(), before, "what is refused again says nothing new");
    world.server.cluster().refuse = None;
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), verified());
}

#[tokio::test]
async fn a_definition_that_does_not_keep_the_whole_status_is_named_instead_of_written_again_and_again() {
    let mut world = World::new();
    world.server.cluster().unknown = vec!["run".into()];
    let error = world.observe("records").await.expect_err("the run is lost");
    let told = sluice::controller::error::chain(&error);
    assert!(told.contains("the CustomResourceDefinition is older than the controller"), "{told}");
    assert_eq!(world.jobs(), Vec::<String>::new(), "what was not announced does not begin");
    world.server.cluster().unknown.clear();
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), verified());
}

#[tokio::test]
async fn somebody_elses_job_of_the_same_name_is_left_alone_and_named() {
    let mut world = World::new();
    world.observe("records").await.expect("a reconcile");
    let job = world.status("records").run.expect("a run").job;
    let foreign = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job}, "status": {"conditions": []}});
    world.server.cluster().put(key("jobs", &job), foreign);
    world.observe("records").await.expect_err("the name is taken");
    world.run_for(&["records"], 1).await;
    let (_, _, message) = world.condition("records", ConditionType::Ready).expect("Ready");
    assert!(message.contains(&job) && message.contains("another owner"), "{message}");
}

#[tokio::test]
async fn an_invalid_spec_stalls_with_every_violation() {
    let mut world = World::new();
    world.edit("records", |object| {
        object["spec"]["apply"] = json!({"deadline": "1s", "lockTimeout": "0s"});
    });
    world.run(&["records"]).await;
    let (_, reason, message) = world.condition("records", ConditionType::Ready).expect("Ready");
    assert_eq!(reason, "InvalidSpec");
    assert!(
        message.contains("spec.apply.deadline") && message.contains("spec.apply.lockTimeout"),
        "{message}"
    );
}

#[tokio::test]
async fn a_spec_that_cannot_be_read_at_all_stalls_and_holds_nothing_up() {
    let mut world = World::new();
    world.edit("records", |object| object["spec"]["migrations"]["format"] = json!("FromTheFuture"));
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), not_ready("InvalidSpec"));
}

#[tokio::test]
async fn an_object_that_is_deleted_is_left_alone_and_its_gate_entries_stay() {
    let mut world = World::new();
    world.run(&["records"]).await;
    world.edit("records", |object| object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    let before = world.writes().len();
    world.run(&["records"]).await;
    assert_eq!((world.writes().len(), world.gate().len()), (before, 2));
}

#[tokio::test]
async fn a_long_stage_is_reported_and_a_short_one_is_not() {
    let mut world = World::new();
    world.database.mishaps = vec![Mishap::Waits("ContainerCreating", "", 6)];
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), verified());
    assert!(world.writes().len() <= 7, "{:?}", world.writes());
}
