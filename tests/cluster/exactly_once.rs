//! Whatever dies, each migration is applied exactly once.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use serde_json::json;

use crate::{
    processes::{backend, signal_stage},
    story::{SYSTEM, Story},
};

const FIRST: (&str, &str) =
    ("20260101000000_first", "CREATE TABLE counter (n int); INSERT INTO counter VALUES (0);");
/// Not idempotent, and long enough to be killed in the middle.
const COUNTS: (&str, &str) = (
    "20260102000000_counts",
    "UPDATE counter SET n = n + 1;\nSELECT pg_sleep(6);\nUPDATE counter SET n = n + 10;",
);

/// An index of it is long enough to be killed in the middle.
const SLOWLY: &str = "CREATE FUNCTION slowly(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_catalog.pg_sleep(6); RETURN n; END';";

#[tokio::test]
async fn a_pod_killed_while_a_migration_runs_applies_it_exactly_once_in_the_end() {
    let story = Story::begin("killed").await;
    story.everything(&[FIRST, COUNTS], json!({})).await;
    backend(&story, "pg_sleep").await;
    signal_stage(&story, "migrate", "KILL");
    story.ready_at(COUNTS.0).await;
    assert_eq!(story.number("SELECT n::bigint FROM counter").await, 11);
    assert_eq!(story.number("SELECT count(*) FROM _prisma_migrations").await, 2);
    assert_eq!(story.jobs().await.len(), 2, "a second attempt was needed");
}

#[tokio::test]
async fn a_controller_killed_in_each_stage_creates_no_second_job() {
    let story = Story::alone("controller_killed").await;
    story.everything(&[FIRST, COUNTS], json!({})).await;
    let pods: Api<Pod> = Api::namespaced(story.client.clone(), SYSTEM);
    for stage in ["plan", "snapshot", "migrate", "verify"] {
        story
            .wait(&format!("the stage {stage} to begin"), || async {
                let pods = story.api::<Pod>().list(&ListParams::default()).await.ok()?;
                let statuses = pods.items.first()?.status.as_ref()?.container_statuses.clone()?;
                let begun = |name: &str| {
                    statuses.iter().any(|status| {
                        status.name == name
                            && status
                                .state
                                .as_ref()
                                .is_some_and(|state| state.running.is_some() || state.terminated.is_some())
                    })
                };
                begun(stage).then_some(())
            })
            .await;
        pods.delete_collection(
            &DeleteParams::default().grace_period(0),
            &ListParams::default().labels("app.kubernetes.io/name=sluice"),
        )
        .await
        .expect("kills the controller");
    }
    story.ready_at(COUNTS.0).await;
    assert_eq!(story.jobs().await.len(), 1);
    assert_eq!(story.number("SELECT n::bigint FROM counter").await, 11);
}

#[tokio::test]
async fn two_objects_for_one_database_do_not_run_at_the_same_time() {
    let story = Story::begin("two_objects").await;
    story.secret().await;
    story.claim("1Gi").await;
    story.migrations(&[FIRST, COUNTS]).await;
    story.migrate(json!({})).await;
    story.migrate_as("second", json!({})).await;
    story.until_of("second", "Cleared", "False", "DatabaseBusy").await;
    story.ready_at(COUNTS.0).await;
    story.until_of("second", "Ready", "True", "Verified").await;
    assert_eq!(story.number("SELECT n::bigint FROM counter").await, 11);
    assert_eq!(story.number("SELECT count(*) FROM _prisma_migrations").await, 2);
}

#[tokio::test]
async fn a_lock_held_by_somebody_else_is_named_and_the_migration_is_applied_when_it_is_free() {
    let story = Story::begin("lock").await;
    story.everything(&[FIRST], json!({})).await;
    story.ready_at(FIRST.0).await;
    let mut other = story.sql().await;
    sqlx::raw_sql("SET application_name = 'nightly-report'; BEGIN; SELECT * FROM counter")
        .execute(&mut other)
        .await
        .expect("locks");
    story
        .migrations(&[FIRST, ("20260102000000_alter", "ALTER TABLE counter ADD COLUMN at timestamptz;")])
        .await;
    let message = story.until("Applied", "False", "WaitingForLock").await;
    assert!(message.contains("nightly-report") && message.contains("pid"), "names the blocker: {message}");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.expect("unlocks");
    story.ready_at("20260102000000_alter").await;
}

#[tokio::test]
async fn an_index_build_that_was_interrupted_is_repaired_and_recorded_once() {
    let story = Story::begin("concurrently").await;
    story.everything(&[FIRST], json!({})).await;
    story.ready_at(FIRST.0).await;
    // Sluice begins it when no transaction is older, so what it computes has to take the time.
    story
        .migrations(&[
            FIRST,
            ("20260101120000_slowly", SLOWLY),
            ("20260102000000_index", "CREATE INDEX CONCURRENTLY counter_n ON counter (slowly(n));"),
        ])
        .await;
    backend(&story, "CREATE INDEX CONCURRENTLY").await;
    signal_stage(&story, "migrate", "KILL");
    story.ready_at("20260102000000_index").await;
    assert_eq!(
        story
            .number("SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid = 'counter_n'::regclass")
            .await,
        1
    );
    assert_eq!(
        story.number("SELECT count(*) FROM pg_index WHERE NOT indisvalid").await,
        0,
        "nothing invalid is left"
    );
    assert_eq!(
        story.number("SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NOT NULL").await,
        3
    );
}
