//! `spec.pods` of a MigrationPolicy on a real cluster: what the scheduler, the kubelet and the kernel make of
//! it.

use std::fs;

use k8s_openapi::api::{core::v1::Pod, node::v1::RuntimeClass, scheduling::v1::PriorityClass};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use sluice::api::MigrationPolicy;

use crate::{
    examples::run,
    story::{Story, find},
};

const FIRST: (&str, &str) = ("20260101000000_first", "CREATE TABLE patients (id int PRIMARY KEY);");
/// Of the cluster, not of a namespace; they stay.
const CLASS: &str = "sluice-story";

/// A PriorityClass, and a RuntimeClass that is containerd's usual runtime with a price of its own.
async fn classes(story: &Story) {
    let parameters = PatchParams::apply("story").force();
    let priority = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": CLASS}, "value": 1234,
        "preemptionPolicy": "Never", "description": "for a story of tests/cluster"});
    let api: Api<PriorityClass> = Api::all(story.client.clone());
    api.patch(CLASS, &parameters, &Patch::Apply(priority)).await.expect("makes the PriorityClass");
    let runtime = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": CLASS}, "handler": "runc",
        "overhead": {"podFixed": {"memory": "7Mi"}}});
    let api: Api<RuntimeClass> = Api::all(story.client.clone());
    api.patch(CLASS, &parameters, &Patch::Apply(runtime)).await.expect("makes the RuntimeClass");
}

async fn policy(story: &Story, pods: Value) {
    let policy = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "MigrationPolicy", "metadata": {"name": "house"}, "spec": {"pods": pods}});
    story.apply::<MigrationPolicy>(policy).await;
}

/// The Pod of the newest run, as JSON.
async fn newest(story: &Story) -> Value {
    let pods = story
        .api::<Pod>()
        .list(&ListParams::default().labels("sluice.dev/migration"))
        .await
        .expect("lists")
        .items;
    let newest = pods
        .into_iter()
        .max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
        .expect("a Pod");
    serde_json::to_value(newest).expect("JSON")
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    list.as_array()
        .into_iter()
        .flatten()
        .find(|object| object["name"] == name)
        .unwrap_or_else(|| panic!("{name} in {list}"))
}

#[tokio::test]
async fn what_the_policy_says_about_pods_is_what_scheduler_and_kubelet_did() {
    let story = Story::begin("pods").await;
    classes(&story).await;
    let pods = json!({
        "resources": {"migrate": {"requests": {"cpu": "30m"}, "limits": {"memory": "200Mi", "cpu": "1"}}, "verify": {"limits": {"memory": "0"}}},
        "nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": [{"key": "jobs", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}]}}},
        "priorityClassName": CLASS, "runtimeClassName": CLASS, "imagePullSecrets": [{"name": "registry"}],
        "labels": {"cost": "records"}, "annotations": {"example.com/asked-by": "the platform team"},
    });
    policy(&story, pods.clone()).await;
    story.everything(&[FIRST], json!({"policyRef": {"name": "house"}})).await;
    story.ready_at(FIRST.0).await;

    let pod = newest(&story).await;
    let (metadata, spec) = (&pod["metadata"], &pod["spec"]);
    assert_eq!(
        (&metadata["labels"]["cost"], &metadata["labels"]["sluice.dev/migration"]),
        (&json!("records"), &json!("records"))
    );
    assert_eq!(metadata["annotations"]["example.com/asked-by"], "the platform team");
    for field in ["nodeSelector", "affinity", "imagePullSecrets", "priorityClassName", "runtimeClassName"] {
        assert_eq!(spec[field], pods[field], "{field}");
    }
    let tolerations = spec["tolerations"].as_array().expect("a list");
    assert!(tolerations.contains(&pods["tolerations"][0]), "beside those of Kubernetes: {tolerations:?}");
    // What only exists because the classes do.
    assert_eq!((&spec["priority"], &spec["preemptionPolicy"]), (&json!(1234), &json!("Never")));
    assert_eq!(spec["overhead"], json!({"memory": "7Mi"}));
    // What the runtime was told, which is what it has.
    let containers = &pod["status"]["containerStatuses"];
    let resources = |stage: &str| named(containers, stage)["resources"].clone();
    println!("{containers:#}");
    assert_eq!(resources("migrate")["limits"], json!({"cpu": "1", "memory": "200Mi"}));
    assert_eq!(resources("migrate")["requests"], json!({"cpu": "30m", "memory": "32Mi"}));
    assert_eq!(resources("plan")["limits"], json!({"memory": "256Mi"}));
    assert_eq!(resources("verify")["limits"], Value::Null);
}

#[tokio::test]
async fn a_place_that_no_node_has_is_told_in_the_schedulers_words_and_a_mended_policy_counts_at_the_next_attempt()
 {
    let story = Story::begin("pods_nowhere").await;
    policy(&story, json!({"nodeSelector": {"pool": "nowhere"}})).await;
    story.everything(&[FIRST], json!({"policyRef": {"name": "house"}})).await;
    let message = story.until("Ready", "False", "Pending").await;
    let message = if message.contains("affinity/selector") {
        message
    } else {
        story
            .wait("the scheduler's words", || async {
                let object = story.object("records").await;
                let ready = find(&object, "Ready")?;
                ready.message.contains("affinity/selector").then(|| ready.message.clone())
            })
            .await
    };
    println!("{message}");
    policy(&story, json!({"nodeSelector": {"kubernetes.io/os": "linux"}})).await;
    story.retry("the policy is mended").await;
    story.ready_at(FIRST.0).await;
}

/// An image with one migration of so many bytes, as `docker build` and `docker push` make it.
fn image_with(bytes: usize) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |file: &str| folder.path().join(file).display().to_string();
    let sql =
        format!("CREATE TABLE letters (body text);\nINSERT INTO letters VALUES ('{}');", "x".repeat(bytes));
    fs::create_dir_all(path(&format!("root/migrations/{}", FIRST.0))).expect("makes the folder");
    fs::write(path(&format!("root/migrations/{}/migration.sql", FIRST.0)), sql).expect("writes");
    fs::write(path("root/migrations/migration_lock.toml"), "provider = \"postgresql\"\n").expect("writes");
    run("tar", &["-C", &path("root"), "-cf", &path("layer.tar"), "."]);
    let cluster = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/local-cluster/cluster");
    run(cluster, &["image", "10.99.0.2:5000/large-migration:1", &path("layer.tar")])
}

fn limit(memory: &str) -> Value {
    json!({"resources": {"migrate": {"limits": {"memory": memory}, "requests": {"memory": "16Mi"}}}})
}

#[tokio::test]
async fn a_stage_that_is_killed_for_its_memory_says_which_limit_to_raise_and_the_next_attempt_has_it() {
    const BYTES: usize = 8_000_000;
    let story = Story::begin("out_of_memory").await;
    policy(&story, limit("20Mi")).await;
    story.secret().await;
    story.claim("1Gi").await;
    let migrations = json!({"configMaps": null, "image": image_with(BYTES), "path": "/migrations"});
    story.migrate(json!({"policyRef": {"name": "house"}, "migrations": migrations})).await;
    let message = story.until("Ready", "False", "OutOfMemory").await;
    println!("{message}");
    assert!(message.contains("spec.pods.resources.migrate.limits.memory"), "{message}");
    let pod = newest(&story).await;
    let killed = named(&pod["status"]["containerStatuses"], "migrate");
    assert_eq!(killed["state"]["terminated"]["reason"], "OOMKilled", "{killed:#}");
    assert_eq!(
        story.number("SELECT count(*) FROM pg_class WHERE relname = 'letters'").await,
        0,
        "nothing is half done"
    );
    policy(&story, limit("200Mi")).await;
    story.ready_at(FIRST.0).await;
    assert_eq!(
        story.number("SELECT sum(length(body)) FROM letters").await,
        i64::try_from(BYTES).expect("fits")
    );
}
