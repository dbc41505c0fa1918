//! The gate: a version starts when it is applied and verified, and nothing else ever waits.

use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod, events::v1::Event};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;

use crate::{
    application::{application, held, running},
    story::Story,
};

const FIRST: (&str, &str) = ("20260101000000_first", "CREATE TABLE patients (id int PRIMARY KEY);");
const SECOND: (&str, &str) = ("20260102000000_second", "ALTER TABLE patients ADD COLUMN born date;");
const BROKEN: (&str, &str) = ("20260102000000_second", "ALTER TABLE nowhere ADD COLUMN born date;");

async fn runs(story: &Story, version: &str, replicas: usize) {
    story
        .wait(&format!("{replicas} Pods of {version} to run"), || async {
            (running(story).await.get(version).copied().unwrap_or(0) == replicas).then_some(())
        })
        .await;
}

async fn scale(story: &Story, replicas: i32) {
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    story.api::<Deployment>().patch("app", &PatchParams::default(), &patch).await.expect("scales");
}

async fn delete_one(story: &Story) {
    let pods = story.api::<Pod>().list(&ListParams::default().labels("app=app")).await.expect("lists");
    let name = pods.iter().find(|pod| pod.metadata.deletion_timestamp.is_none()).expect("a Pod").name_any();
    story.api::<Pod>().delete(&name, &DeleteParams::default()).await.expect("deletes");
    story
        .wait("the Pod to go", || async {
            story.api::<Pod>().get_opt(&name).await.ok().flatten().is_none().then_some(())
        })
        .await;
}

/// A settled first version with two Pods of the application.
async fn first_version(story: &Story) {
    story.everything(&[FIRST], json!({})).await;
    story.apply::<Deployment>(application(2, FIRST.0)).await;
    story.ready_at(FIRST.0).await;
    runs(story, FIRST.0, 2).await;
}

#[tokio::test]
async fn a_deployment_waits_for_exactly_the_migration_it_needs() {
    let story = Story::begin("waits").await;
    story.apply::<Deployment>(application(2, FIRST.0)).await;
    assert!(held(&story).await, "held before there is any gate");
    assert!(running(&story).await.is_empty());
    story.everything(&[FIRST], json!({})).await;
    story.ready_at(FIRST.0).await;
    runs(&story, FIRST.0, 2).await;
    assert!(!held(&story).await);
}

#[tokio::test]
async fn while_a_migration_has_failed_the_old_version_serves_scales_and_is_replaced_and_the_new_one_is_held()
{
    let story = Story::begin("failed_rollout").await;
    first_version(&story).await;
    story.migrations(&[FIRST, BROKEN]).await;
    story.apply::<Deployment>(application(2, SECOND.0)).await;
    story.until("Ready", "False", "MigrationFailed").await;
    assert!(held(&story).await, "the new version is held");
    scale(&story, 3).await;
    runs(&story, FIRST.0, 3).await;
    delete_one(&story).await;
    runs(&story, FIRST.0, 3).await;
    assert_eq!(running(&story).await.get(SECOND.0), None);

    story.apply::<Deployment>(application(3, FIRST.0)).await;
    assert!(!held(&story).await, "the rollback goes through without a person's help");
    runs(&story, FIRST.0, 3).await;

    story.apply::<Deployment>(application(3, SECOND.0)).await;
    assert!(held(&story).await);
    story.migrations(&[FIRST, SECOND]).await;
    story.ready_at(SECOND.0).await;
    runs(&story, SECOND.0, 3).await;
}

#[tokio::test]
async fn while_a_migration_runs_the_old_version_scales_and_is_replaced() {
    let story = Story::begin("running_rollout").await;
    first_version(&story).await;
    // The migration waits for this lock for as long as the story wants.
    let mut other = story.sql().await;
    sqlx::raw_sql("BEGIN; SELECT * FROM patients").execute(&mut other).await.expect("locks");
    story.migrations(&[FIRST, SECOND]).await;
    story.apply::<Deployment>(application(2, SECOND.0)).await;
    story.wait("the run", || async { (story.jobs().await.len() == 2).then_some(()) }).await;
    scale(&story, 3).await;
    runs(&story, FIRST.0, 3).await;
    delete_one(&story).await;
    runs(&story, FIRST.0, 3).await;
    assert!(held(&story).await);
    sqlx::raw_sql("COMMIT").execute(&mut other).await.expect("unlocks");
    story.ready_at(SECOND.0).await;
    runs(&story, SECOND.0, 3).await;
}

#[tokio::test]
async fn with_the_controller_scaled_to_zero_old_pods_are_replaced_and_a_rollback_goes_through() {
    let story = Story::alone("without_controller").await;
    first_version(&story).await;
    story.migrations(&[FIRST, BROKEN]).await;
    story.until("Ready", "False", "MigrationFailed").await;
    let controller = crate::story::Controller::stop().await;
    story.apply::<Deployment>(application(2, SECOND.0)).await;
    assert!(held(&story).await, "held by admission alone");
    scale(&story, 3).await;
    runs(&story, FIRST.0, 3).await;
    delete_one(&story).await;
    runs(&story, FIRST.0, 3).await;
    story.apply::<Deployment>(application(3, FIRST.0)).await;
    assert!(!held(&story).await);
    runs(&story, FIRST.0, 3).await;
    controller.start().await;
}

#[tokio::test]
async fn a_pod_with_the_scheduling_gate_starts_when_its_version_is_applied() {
    let story = Story::begin("gated_pod").await;
    let mut object = application(1, FIRST.0)["spec"]["template"].clone();
    object["apiVersion"] = "v1".into();
    object["kind"] = "Pod".into();
    object["metadata"]["name"] = "job".into();
    object["metadata"]["labels"]["sluice.dev/gated"] = "true".into();
    object["spec"]["schedulingGates"] = json!([{"name": "sluice.dev/migrated"}]);
    story.apply::<Pod>(object.clone()).await;
    let gates = |pod: Pod| pod.spec.and_then(|spec| spec.scheduling_gates).unwrap_or_default().len();
    assert_eq!(gates(story.api().get("job").await.expect("the Pod")), 1, "it waits");
    story.everything(&[FIRST], json!({})).await;
    story.ready_at(FIRST.0).await;
    runs(&story, FIRST.0, 1).await;

    // The API server reads the gate from a cache that may be a moment behind; which Pod it is does not matter.
    let number = AtomicU32::new(0);
    story
        .wait("a Pod to be born without the gate", || async {
            let name = format!("later-{}", number.fetch_add(1, Ordering::Relaxed));
            let mut object = object.clone();
            object["metadata"]["name"] = name.as_str().into();
            story.apply::<Pod>(object).await;
            (gates(story.api().get(&name).await.expect("the Pod")) == 0).then_some(())
        })
        .await;
}

/// What Events say about an object.
async fn told(story: &Story, name: &str) -> Vec<String> {
    let events = story.api::<Event>().list(&ListParams::default()).await.expect("lists");
    let about = |event: &Event| event.regarding.as_ref().and_then(|object| object.name.clone());
    let waiting = events.into_iter().filter(|event| event.reason.as_deref() == Some("WaitingForMigration"));
    waiting.filter(|event| about(event).as_deref() == Some(name)).filter_map(|event| event.note).collect()
}

async fn is_told(story: &Story, name: &str, words: &str) {
    story
        .wait(&format!("{name} to be told: {words}"), || async {
            told(story, name).await.iter().any(|note| note.contains(words)).then_some(())
        })
        .await;
}

#[tokio::test]
async fn what_a_held_deployment_and_a_gated_pod_wait_for_is_told_on_them() {
    let story = Story::begin("told").await;
    let mut pod = application(1, SECOND.0)["spec"]["template"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = "import".into();
    story.apply::<Deployment>(application(2, SECOND.0)).await;
    story.apply::<Pod>(pod).await;
    for name in ["app", "import"] {
        is_told(
            &story,
            name,
            &format!("waits for records@{}: no DatabaseMigration has the name \"records\"", SECOND.0),
        )
        .await;
    }
    story.everything(&[FIRST, BROKEN], json!({})).await;
    is_told(&story, "app", "\"records\" is not Ready (MigrationFailed)").await;
    story.migrations(&[FIRST]).await;
    is_told(
        &story,
        "import",
        &format!("\"records\" is Ready at {}, and what it has applied does not contain it", FIRST.0),
    )
    .await;
    let notes = told(&story, "app").await;
    assert!(notes.len() <= 10, "told endlessly: {notes:#?}");
    story.migrations(&[FIRST, SECOND]).await;
    story.ready_at(SECOND.0).await;
    // The Pods of the Deployment, and the one that nothing made: born gated without any label or gate in
    // their templates.
    runs(&story, SECOND.0, 3).await;
}
