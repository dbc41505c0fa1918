//! A Pod that is deleted while it migrates: its sessions end before its process does, what was not committed
//! is gone, and a backfill ends after its batch. And what the run after it ends, before it reads.

use std::{fs, time::Instant};

use sluice::{
    api::Reason,
    contract::{Purpose, Stage, Verdict},
    limits::POD_GRACE_SECONDS,
    stage,
};

use crate::{
    backfill::{ADD, EACH_ONCE, INIT, WATCHED},
    process_stages::{IN_ORDER, Pod},
    stage_scene::{Scene, session, until, value},
};

const TABLE: (&str, &str) = ("1_table", "CREATE TABLE t (x int);\n");

/// The Pod is deleted: its migrate container ends in time, without a verdict, and leaves no session behind.
async fn deleted(scene: &Scene, pod: &mut Pod<'_>) {
    let begun = Instant::now();
    pod.delete();
    let status = pod.end(Stage::Migrate).await;
    // Not a moment later: the process ends when they have.
    assert_eq!(scene.sessions().await, "0", "its sessions end before it does");
    assert_eq!(status.code(), Some(143));
    let grace = u64::try_from(POD_GRACE_SECONDS).expect("seconds");
    assert!(begun.elapsed().as_secs() < grace, "the kubelet would have killed it: {:?}", begun.elapsed());
    let message = fs::read_to_string(pod.message(Stage::Migrate)).expect("the message reads");
    assert_eq!(message, "", "an eviction looks the same from within, and must not need a person");
}

#[tokio::test]
async fn a_pod_that_is_deleted_in_the_middle_of_a_statement_leaves_no_session_and_nothing_of_it() {
    let deaf = "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END; \
        END LOOP; END $$;\n";
    let sleeps = "SELECT pg_sleep(600);\n";
    for (what, last) in [("heeds", sleeps), ("is deaf", deaf)] {
        let file = format!("CREATE TABLE u (x int);\nINSERT INTO t VALUES (1);\n{last}");
        let scene = Scene::new("pod_deleted", &[TABLE]).await;
        scene.ready().await;
        let before = scene.catalog().await;
        scene.write("2_long", &file);
        let mut pod = Pod::start(&scene, IN_ORDER);
        let works = format!(
            "SELECT (count(*) > 0)::text FROM pg_stat_activity WHERE datname = '{}' AND wait_event = \
             'PgSleep'",
            scene.database.name
        );
        until("its last statement is at work", || async { scene.value(&works).await == "true" }).await;
        deleted(&scene, &mut pod).await;
        assert_eq!(scene.history_table().await, ["1_table applied"], "{what}");
        assert_eq!(scene.catalog().await, before, "{what}");
        assert_eq!(scene.value("SELECT count(*)::text FROM t").await, "0", "{what}");
    }
}

#[tokio::test]
async fn a_pod_that_is_deleted_in_a_backfill_ends_after_its_batch_and_each_row_is_changed_once() {
    let scene = Scene::new("pod_paused", &[INIT, WATCHED]).await.with("apply", "{lockTimeout: 1m}");
    scene.ready().await;
    scene.write(ADD.0, ADD.1);
    let gated = 350;
    scene.database.execute(&format!("UPDATE gate SET id = {gated}")).await;
    let holder = session(&scene.database.url, "holder", "SELECT pg_advisory_lock(4711)").await;
    let mut pod = Pod::start(&scene, IN_ORDER);
    until("a batch is at the gate", || scene.waits_at(4711)).await;
    pod.delete();
    // What waits for its turn ends at once.
    assert_eq!(pod.end(Stage::Verify).await.code(), Some(143));
    drop(holder);
    deleted(&scene, &mut pod).await;
    let newest: i32 = scene.value("SELECT max(id)::text FROM changed").await.parse().expect("a number");
    assert!((gated..gated + 100).contains(&newest), "the batch at the gate, and none behind it: {newest}");
    assert_eq!(scene.history_table().await[2], "3_add unfinished");

    scene.database.execute("UPDATE gate SET id = 0").await;
    scene.ready().await;
    assert_eq!(scene.value(EACH_ONCE).await, "1001 1001 -1 1000");
}

#[tokio::test]
async fn a_batch_that_does_not_end_in_time_is_cancelled_and_the_batches_before_it_stay() {
    let scene = Scene::new("pod_stuck", &[INIT, WATCHED]).await.with("apply", "{lockTimeout: 1m}");
    scene.ready().await;
    scene.write(ADD.0, ADD.1);
    scene.database.execute("UPDATE gate SET id = 350").await;
    let holder = session(&scene.database.url, "holder", "SELECT pg_advisory_lock(4711)").await;
    let mut pod = Pod::start(&scene, IN_ORDER);
    until("a batch is at the gate", || scene.waits_at(4711)).await;
    let before = scene.value(EACH_ONCE).await;
    deleted(&scene, &mut pod).await;
    assert_eq!(scene.value(EACH_ONCE).await, before);
    drop(holder);
    scene.database.execute("UPDATE gate SET id = 0").await;
    scene.ready().await;
    assert_eq!(scene.value(EACH_ONCE).await, "1001 1001 -1 1000");
}

#[tokio::test]
async fn a_run_that_only_verifies_ends_sessions_of_earlier_attempts_before_it_reads_and_no_others() {
    let names = [
        ("sluice medical/records 0123abcd-a2", "0"),
        ("sluice medical/records 0123abcd-a2 watcher", "0"),
        ("sluice medical/records 0123abcd-a4", "1"),
        ("sluice medical/records ffffffff-a1", "1"),
        ("prisma", "1"),
    ];
    let scene = Scene::new("verify_ends", &[TABLE]).await;
    for (name, stays) in names {
        let script = format!("SET application_name = '{name}'; BEGIN; CREATE TABLE u (); SELECT 1");
        let mut left_over = session(&scene.url, "left-over", &script).await;
        let pid = value(&mut left_over, "SELECT pg_backend_pid()::text").await;
        let mut context = scene.context();
        context.attempt = "0123abcd-a3".to_owned();
        context.purpose = Purpose::Verify;
        let outcome = stage::run(Stage::Plan, &context, &[]).await;
        assert_eq!((outcome.verdict, outcome.reason), (Verdict::Passed, Reason::PlanReady), "{outcome:?}");
        let there = format!("SELECT count(*)::text FROM pg_stat_activity WHERE pid = {pid}");
        assert_eq!(scene.value(&there).await, stays, "{name}");
        // A run that applies ends them when it needs the lock that they hold.
        drop(left_over);
    }
}
