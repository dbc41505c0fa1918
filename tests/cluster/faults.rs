//! Whatever breaks in the middle of a run: each migration is applied once, Ready tells the truth about the
//! newest spec, and nothing waits for a deadline.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::{
    processes::{Cut, backend, restart, signal_controller, signal_stage},
    story::{SYSTEM, Story, find},
};

const FIRST: (&str, &str) =
    ("20260101000000_first", "CREATE TABLE counter (n int); INSERT INTO counter VALUES (0);");
/// Not idempotent, and long enough for something to happen in the middle.
const COUNTS: (&str, &str) = (
    "20260102000000_counts",
    "UPDATE counter SET n = n + 1;\nSELECT pg_sleep(6);\nUPDATE counter SET n = n + 10;",
);
const THIRD: (&str, &str) = ("20260103000000_third", "ALTER TABLE counter ADD COLUMN at timestamptz;");

/// A run in the middle of its second migration.
async fn in_the_middle(story: &Story) {
    story.everything(&[FIRST, COUNTS], json!({})).await;
    backend(story, "pg_sleep").await;
}

/// What holds in the end, whatever happened.
async fn applied_once(story: &Story) {
    story.ready_at(COUNTS.0).await;
    assert_eq!(story.number("SELECT n::bigint FROM counter").await, 11);
    assert_eq!(
        story.number("SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NOT NULL").await,
        2
    );
}

/// The reasons of the runs that ended, newest first.
async fn reasons(story: &Story) -> Vec<String> {
    let status = story.object("records").await.status.unwrap_or_default();
    status.history.into_iter().map(|entry| entry.reason).collect()
}

#[tokio::test]
async fn a_pod_that_is_cut_off_from_the_database_gives_up_long_before_its_deadline() {
    let story = Story::begin("cut_off").await;
    in_the_middle(&story).await;
    let cut = Cut::newest_run(&story).await;
    applied_once(&story).await;
    let reasons = reasons(&story).await;
    assert!(reasons.len() == 2 && !reasons.contains(&"DeadlineExceeded".to_owned()), "{reasons:?}");
    drop(cut);
}

#[tokio::test]
async fn the_session_of_a_node_that_vanished_ends_within_half_a_minute_although_it_is_idle() {
    let story = Story::begin("vanished").await;
    in_the_middle(&story).await;
    // It hears nothing more, so that its session has nothing to do but to hold its locks.
    signal_stage(&story, "migrate", "STOP");
    let idle = "SELECT pid::bigint FROM pg_stat_activity WHERE datname = current_database() AND state = \
        'idle in transaction' AND query LIKE '%pg_sleep%' UNION ALL SELECT 0 ORDER BY 1 DESC LIMIT 1";
    let pid = story
        .wait("the session to be idle", || async { Some(story.number(idle).await).filter(|pid| *pid > 0) })
        .await;
    let cut = Cut::newest_run(&story).await;
    signal_stage(&story, "migrate", "KILL");
    let vanished = Instant::now();
    let lives = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
    assert_eq!(story.number(&lives).await, 1, "the server does not know yet");
    story.wait("the session to end", || async { (story.number(&lives).await == 0).then_some(()) }).await;
    assert!(
        vanished.elapsed() < Duration::from_secs(40),
        "the session lived on for {:?}",
        vanished.elapsed()
    );
    applied_once(&story).await;
    drop(cut);
}

#[tokio::test]
async fn a_stage_that_stands_still_for_a_while_goes_on_where_it_was() {
    let story = Story::begin("stands_still").await;
    in_the_middle(&story).await;
    signal_stage(&story, "migrate", "STOP");
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle \
        in transaction'";
    story.wait("the session to be idle", || async { (story.number(idle).await > 0).then_some(()) }).await;
    signal_stage(&story, "migrate", "CONT");
    applied_once(&story).await;
    assert_eq!(story.jobs().await.len(), 1, "the first attempt went on");
}

#[tokio::test]
async fn a_spec_edited_in_the_middle_of_a_run_is_never_called_ready_before_it_was_run() {
    let story = Story::begin("edited").await;
    in_the_middle(&story).await;
    story.change(json!({"apply": {"deadline": "3m"}})).await;
    let end = story.object("records").await.metadata.generation;
    assert_eq!(end, Some(2));
    story
        .wait("Ready at the newest generation", || async {
            let object = story.object("records").await;
            let ready = find(&object, "Ready").filter(|ready| ready.status == "True")?.clone();
            assert_eq!(
                ready.observed_generation, end,
                "Ready was True about an older spec: {}",
                ready.message
            );
            Some(())
        })
        .await;
    applied_once(&story).await;
    assert_eq!(story.jobs().await.len(), 2, "one for each generation");
}

#[tokio::test]
async fn a_source_that_changes_turns_ready_off_at_once_and_in_the_middle_of_a_run_too() {
    let story = Story::begin("source_changes").await;
    story.everything(&[FIRST], json!({})).await;
    story.ready_at(FIRST.0).await;
    // No label says that it is a source.
    story.migrations(&[FIRST, COUNTS]).await;
    let changed = Instant::now();
    let off = || async { (find(&story.object("records").await, "Ready")?.status != "True").then_some(()) };
    story.wait("Ready to turn off", off).await;
    assert!(changed.elapsed() < Duration::from_secs(5), "Ready stayed on for {:?}", changed.elapsed());
    backend(&story, "pg_sleep").await;
    story.migrations(&[FIRST, COUNTS, THIRD]).await;
    let object = story.ready_at(THIRD.0).await;
    assert_eq!(object.status.and_then(|status| status.pending), Some(0));
    assert_eq!(story.number("SELECT n::bigint FROM counter").await, 11);
    assert!(story.gate().await.contains(&format!("records@{}", THIRD.0)));
}

/// The Pod that holds the lease.
async fn leader(story: &Story) -> Option<String> {
    let api: Api<Lease> = Api::namespaced(story.client.clone(), SYSTEM);
    api.get_opt("sluice").await.ok()??.spec?.holder_identity
}

#[tokio::test]
async fn a_leader_that_stands_still_beyond_its_lease_is_replaced_and_does_no_harm_when_it_goes_on() {
    let story = Story::alone("leader_stands_still").await;
    let first = story.wait("a leader", || leader(&story)).await;
    in_the_middle(&story).await;
    signal_controller(&first, "STOP");
    let second = story
        .wait("another leader", || async { leader(&story).await.filter(|leader| *leader != first) })
        .await;
    applied_once(&story).await;
    let before = story.object("records").await.resource_version();
    signal_controller(&first, "CONT");
    assert_ne!(first, second);
    story.migrations(&[FIRST, COUNTS, THIRD]).await;
    story.ready_at(THIRD.0).await;
    assert_ne!(story.object("records").await.resource_version(), before);
    assert_eq!(story.jobs().await.len(), 2, "one for each source");
    assert_eq!(story.gate().await.len(), 3);
    assert_eq!(story.number("SELECT n::bigint FROM counter").await, 11);
}

async fn survives(component: &str) {
    let story = Story::alone(&format!("restart_{}", component.replace('-', "_"))).await;
    in_the_middle(&story).await;
    restart(component);
    applied_once(&story).await;
    assert!(story.jobs().await.len() <= 2, "{:?}", story.jobs().await);
}

#[tokio::test]
async fn a_kubelet_that_restarts_during_a_run_loses_nothing() {
    survives("kubelet").await;
}

#[tokio::test]
async fn a_containerd_that_restarts_during_a_run_loses_nothing() {
    survives("containerd").await;
}

#[tokio::test]
async fn an_api_server_that_restarts_during_a_run_loses_nothing() {
    survives("kube-apiserver").await;
}
