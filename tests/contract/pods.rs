//! `spec.pods` of a MigrationPolicy, from the policy to the Pod, and what happens to a stage that its limit
//! is too small for.

use serde_json::{Value, json};
use sluice::{api::Reason, contract::Stage};

use super::{
    kubelet::Mishap,
    world::{World, key},
};

fn put_policy(world: &World, pods: &Value) {
    let policy = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "MigrationPolicy", "metadata": {"name": "house"}, "spec": {"pods": pods}});
    world.server.cluster().put(key("migrationpolicies", "house"), policy);
    world.edit("records", |object| object["spec"]["policyRef"] = json!({"name": "house"}));
}

fn template(world: &World) -> Value {
    let job = world.jobs().pop().expect("a Job");
    world.server.cluster().objects[&key("jobs", &job)]["spec"]["template"].clone()
}

#[tokio::test]
async fn what_the_policy_says_about_pods_is_in_the_pod_and_takes_nothing_of_sluices_own_away() {
    let mut world = World::new();
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}}});
    put_policy(
        &world,
        &json!({
            "resources": {"migrate": {"limits": {"memory": "2Gi"}, "requests": {"cpu": "0"}}, "snapshot": {"limits": {"cpu": "2"}}, "verify": {"limits": {"memory": "0"}}},
            "nodeSelector": {"pool": "jobs"}, "tolerations": [{"key": "jobs", "operator": "Exists"}], "affinity": affinity,
            "priorityClassName": "low", "runtimeClassName": "gvisor", "imagePullSecrets": [{"name": "registry"}],
            "labels": {"cost": "records", "sluice.dev/migration": "other"},
            "annotations": {"sidecar.istio.io/inject": "false", "cluster-autoscaler.kubernetes.io/safe-to-evict": "true"},
        }),
    );
    world.run(&["records"]).await;
    assert_eq!(
        world.ready("records"),
        ("True".to_owned(), "Verified".to_owned()),
        "Sluice recognises its Job wherever it runs"
    );
    let template = template(&world);
    let (metadata, pod) = (&template["metadata"], &template["spec"]);
    assert_eq!(
        (&metadata["labels"]["cost"], &metadata["labels"]["sluice.dev/migration"]),
        (&json!("records"), &json!("records"))
    );
    assert_eq!(metadata["annotations"]["sidecar.istio.io/inject"], "false");
    assert_eq!(metadata["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"], "false");
    assert_eq!(
        (&pod["affinity"], &pod["nodeSelector"], &pod["priorityClassName"]),
        (&affinity, &json!({"pool": "jobs"}), &json!("low"))
    );
    assert_eq!(
        (&pod["runtimeClassName"], &pod["imagePullSecrets"]),
        (&json!("gvisor"), &json!([{"name": "registry"}]))
    );
    assert_eq!(pod["tolerations"], json!([{"key": "jobs", "operator": "Exists"}]));
    let containers = pod["containers"].as_array().expect("containers");
    let resources = |stage: Stage| {
        let container = containers.iter().find(|container| container["name"] == stage.name());
        container.expect("a container of the stage")["resources"].clone()
    };
    assert_eq!(
        resources(Stage::Plan),
        json!({"limits": {"memory": "256Mi"}, "requests": {"cpu": "10m", "memory": "32Mi"}})
    );
    assert_eq!(
        resources(Stage::Snapshot),
        json!({"limits": {"cpu": "2"}, "requests": {"cpu": "10m", "memory": "32Mi"}})
    );
    assert_eq!(
        resources(Stage::Migrate),
        json!({"limits": {"memory": "2Gi"}, "requests": {"memory": "32Mi"}})
    );
    assert_eq!(resources(Stage::Verify), json!({"requests": {"cpu": "10m", "memory": "32Mi"}}));
}

#[tokio::test]
async fn a_change_of_the_settings_starts_no_run_and_counts_from_the_next_one_on() {
    let mut world = World::new();
    put_policy(&world, &json!({"nodeSelector": {"pool": "a"}}));
    world.run(&["records"]).await;
    let before = world.writes().len();
    world.server.cluster().edit(&key("migrationpolicies", "house"), |policy| {
        policy["spec"]["pods"] = json!({"nodeSelector": {"pool": "b"}});
    });
    world.run(&["records"]).await;
    assert_eq!((world.writes().len(), world.jobs().len()), (before, 1));
    world.edit("records", |object| object["spec"]["apply"] = json!({"deadline": "10m"}));
    world.run(&["records"]).await;
    assert_eq!(world.ready("records").0, "True");
    let pools: Vec<Value> = world
        .server
        .cluster()
        .all("jobs")
        .iter()
        .map(|(_, job)| job["spec"]["template"]["spec"]["nodeSelector"]["pool"].clone())
        .collect();
    assert!(pools.contains(&json!("b")), "{pools:?}");
}

#[tokio::test]
async fn settings_that_no_pod_can_have_are_told_by_their_field() {
    let mut world = World::new();
    put_policy(&world, &json!({"affinity": {"nodeAffinity": "anywhere"}}));
    world.run(&["records"]).await;
    let (_, reason, message) = world.condition("records", sluice::api::ConditionType::Ready).expect("Ready");
    assert_eq!((reason.as_str(), world.jobs().len()), ("InvalidSpec", 0));
    assert!(message.contains("spec.pods of its MigrationPolicy"), "{message}");
}

#[tokio::test]
async fn a_stage_that_is_killed_for_its_memory_says_which_limit_to_raise_and_the_next_attempt_has_it() {
    let mut world = World::new();
    put_policy(&world, &json!({}));
    world.database.mishaps = vec![Mishap::OutOfMemory(Stage::Migrate)];
    world.run_for(&["records"], 5).await;
    let (_, reason, message) = world.condition("records", sluice::api::ConditionType::Ready).expect("Ready");
    assert_eq!(reason, Reason::OutOfMemory.name(), "{message}");
    assert!(message.contains("spec.pods.resources.migrate.limits.memory"), "{message}");
    let raised = json!({"resources": {"migrate": {"limits": {"memory": "1Gi"}}}});
    world.server.cluster().edit(&key("migrationpolicies", "house"), |policy| policy["spec"]["pods"] = raised);
    world.run(&["records"]).await;
    assert_eq!(
        (world.ready("records").0.as_str(), world.status("records").run.expect("a run").attempt),
        ("True", 2)
    );
    let limits: Vec<Value> = world
        .server
        .cluster()
        .all("jobs")
        .iter()
        .map(|(_, job)| {
            job["spec"]["template"]["spec"]["containers"][2]["resources"]["limits"]["memory"].clone()
        })
        .collect();
    assert_eq!(limits, [json!("256Mi"), json!("1Gi")]);
}
