//! The locks that keep migration tools apart: Sluice's own, and the one that every Prisma engine takes.

use std::time::Duration;

use sluice::{
    api::Reason,
    contract::{Stage, Verdict},
};
use sqlx::Connection;

use crate::{
    server::execute,
    stage_scene::{DEADLINE, Scene, finish, said, session, until, value},
};

const PRISMA: &str = "SELECT pg_advisory_lock(72707369)";
const INIT: (&str, &str) = ("1_init", "CREATE TABLE counter (n int); INSERT INTO counter VALUES (0);");
const COUNT: (&str, &str) = ("2_count", "UPDATE counter SET n = n + 1; SELECT pg_sleep(0.05);");

#[tokio::test]
async fn another_tool_that_holds_prismas_lock_is_named_and_nothing_runs() {
    let mut scene = Scene::new("prisma_holds", &[INIT]).await;
    scene.patience = Duration::from_millis(300);
    let mut holder = session(&scene.database.url, "prisma", PRISMA).await;
    let pid = value(&mut holder, "SELECT pg_backend_pid()::text").await;
    let before = scene.catalog().await;
    let outcome = scene.stopped(Stage::Migrate, Reason::WaitingForLock).await;
    assert!(outcome.message.contains(&format!("pid {pid} (prisma")), "{}", outcome.message);
    assert_eq!(outcome.blockers.len(), 1);
    assert_eq!(scene.catalog().await, before);
}

#[tokio::test]
async fn prismas_lock_is_waited_for() {
    let mut scene = Scene::new("prisma_ends", &[INIT]).await;
    scene.patience = DEADLINE;
    let holder = session(&scene.database.url, "prisma", PRISMA).await;
    let waits = format!(
        "SELECT (count(*) > 0)::text FROM pg_stat_activity WHERE datname = '{}' AND query LIKE \
            '%pg_try_advisory_lock%' AND pid <> pg_backend_pid()",
        scene.database.name
    );
    let (outcomes, ()) = tokio::join!(scene.run(), async {
        until("it polls", || async { scene.value(&waits).await == "true" }).await;
        holder.close().await.expect("goes");
    });
    assert_eq!(outcomes.last().map(|outcome| outcome.reason), Some(Reason::Verified));
}

#[tokio::test]
async fn prisma_is_kept_away_while_a_migration_runs() {
    let scene =
        Scene::new("prisma_waits", &[("1_slow", "SELECT pg_advisory_lock(4711); CREATE TABLE t ();")]).await;
    let mut gate = session(&scene.database.url, "gate", "SELECT pg_advisory_lock(4711)").await;
    let (outcomes, ()) = tokio::join!(scene.run(), async {
        until("the migration runs", || scene.waits_at(4711)).await;
        assert_eq!(scene.value("SELECT pg_try_advisory_lock(72707369)::text").await, "false");
        execute(&mut gate, "SELECT pg_advisory_unlock(4711)").await;
    });
    assert_eq!(outcomes.last().map(|outcome| outcome.verdict), Some(Verdict::Passed));
    until("the lock is given back", || async {
        scene.value("SELECT pg_try_advisory_lock(72707369)::text").await == "true"
    })
    .await;
}

#[tokio::test]
async fn plain_sql_files_do_not_wait_for_prismas_lock() {
    let scene = Scene::new("no_prisma", &[]).await.with("migrations", "{configMaps: [records], format: Sql}");
    std::fs::write(scene.source().join("1_t.sql"), "CREATE TABLE t ();").expect("writes");
    let _holder = session(&scene.database.url, "prisma", PRISMA).await;
    scene.ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_at_once_apply_each_migration_once_and_both_end_ready() {
    let scene = Scene::new(
        "two_runs",
        &[INIT, COUNT, ("3_count", COUNT.1), ("4_index", "CREATE INDEX CONCURRENTLY i ON counter (n);")],
    )
    .await;
    let runs = futures::future::join_all((0..4).map(|_| finish(scene.command("run")))).await;
    for run in &runs {
        assert_eq!(run.status.code(), Some(0), "{}", said(run));
    }
    assert_eq!(scene.value("SELECT n::text FROM counter").await, "2");
    assert_eq!(
        scene.history_table().await,
        ["1_init applied", "2_count applied", "3_count applied", "4_index applied"]
    );
}

#[tokio::test]
async fn a_tool_blocked_in_prismas_lock_does_not_deadlock_a_concurrent_build() {
    let scene = Scene::new("blocked_tool", &[("1_init", "CREATE TABLE t (x int);")]).await;
    scene.ready().await;
    // A first statement that waits, so that the other tool can block in its lock before the build begins; and
    // so long ago that its own check for deadlocks found none.
    scene.write(
        "2_mixed",
        "SELECT pg_advisory_lock(4711);\nCREATE INDEX CONCURRENTLY i ON t (x);\nCREATE TABLE after_it ();",
    );
    let mut gate = session(&scene.database.url, "gate", "SELECT pg_advisory_lock(4711)").await;
    let tool = crate::server::connect(&format!("{}&application_name=prisma", scene.database.url)).await;
    let blocked = |more: &str| {
        format!(
            "SELECT (count(*) > 0)::text FROM pg_stat_activity WHERE datname = '{}' AND application_name = \
                'prisma' AND wait_event = 'advisory' {more}",
            scene.database.name
        )
    };
    let (outcomes, ()) = tokio::join!(scene.run(), async {
        until("the migration runs", || scene.waits_at(4711)).await;
        let waiting = tokio::spawn(async move {
            let mut tool = tool;
            execute(&mut tool, PRISMA).await;
            tool.close().await.expect("goes");
        });
        let long = blocked("AND query_start < clock_timestamp() - interval '1500 ms'");
        until("the tool has checked for deadlocks in vain", || async { scene.value(&long).await == "true" })
            .await;
        execute(&mut gate, "SELECT pg_advisory_unlock(4711)").await;
        waiting.await.expect("the tool gets its lock in the end");
    });
    let last = outcomes.last().expect("an outcome");
    assert_eq!(last.reason, Reason::Verified, "{}", last.message);
    assert_eq!(
        scene
            .value(&format!(
                "SELECT deadlocks::text FROM pg_stat_database WHERE datname = '{}'",
                scene.database.name
            ))
            .await,
        "0"
    );
    assert_eq!(
        scene.value("SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'i'::regclass").await,
        "true"
    );
}
