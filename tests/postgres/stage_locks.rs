//! Locks that others hold: the migration waits without making another session wait, and names those that
//! block.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sluice::{api::Reason, contract::Stage};
use sqlx::{Connection, PgConnection};

use crate::{
    server::{connect, execute},
    stage_scene::{DEADLINE, Scene, session, until, value},
};

const INIT: (&str, &str) = (
    "1_init",
    "CREATE TABLE visits (id int PRIMARY KEY); CREATE TABLE counter (n int); INSERT INTO counter VALUES (0);",
);
/// Its effect shows how often it ran.
const ALTER: (&str, &str) =
    ("2_alter", "UPDATE counter SET n = n + 1; ALTER TABLE visits ADD COLUMN note text;");

async fn scene(test: &str, patience: Duration) -> Scene {
    let mut scene = Scene::new(test, &[INIT]).await;
    scene.ready().await;
    scene.write(ALTER.0, ALTER.1);
    scene.patience = patience;
    scene
}

async fn pid(connection: &mut PgConnection) -> i32 {
    value(connection, "SELECT pg_backend_pid()::text").await.parse().expect("a process id")
}

/// Whether a session of Sluice's waits for a lock, or has given an attempt up because of one.
async fn has_met_a_lock(scene: &Scene) -> bool {
    let sql =
        format!("SELECT xact_rollback::text FROM pg_stat_database WHERE datname = '{}'", scene.database.name);
    scene.value(&sql).await.parse::<u64>().expect("a number") > 0
}

#[tokio::test]
async fn who_holds_a_lock_is_named_when_patience_ends_and_nothing_is_left() {
    for lock in [
        "LOCK TABLE visits IN ACCESS SHARE MODE",
        "SELECT count(*) FROM visits",
        "INSERT INTO visits VALUES (7)",
        "SELECT 1 FROM counter FOR UPDATE",
    ] {
        let scene = scene("blocked", Duration::from_millis(600)).await;
        let mut holder = session(&scene.database.url, "nightly-report", &format!("BEGIN; {lock}")).await;
        let before = scene.catalog().await;
        let outcome = scene.stopped(Stage::Migrate, Reason::WaitingForLock).await;
        let pid = pid(&mut holder).await;
        let named: Vec<_> =
            outcome.blockers.iter().map(|blocker| (blocker.pid, blocker.application.as_str())).collect();
        assert_eq!(named, [(pid, "nightly-report")], "{lock}");
        assert!(outcome.message.contains(&format!("pid {pid} (nightly-report")), "{}", outcome.message);
        assert!(outcome.message.contains("2_alter"), "{}", outcome.message);
        assert_eq!(
            (scene.catalog().await, scene.history_table().await),
            (before, vec!["1_init applied".to_owned()])
        );
        drop(holder);
        scene.ready().await;
        assert_eq!(scene.value("SELECT n::text FROM counter").await, "1", "{lock}");
    }
}

#[tokio::test]
async fn what_waited_for_a_lock_is_applied_exactly_once_as_soon_as_the_holder_ends() {
    let scene = scene("released", DEADLINE).await;
    let holder = session(&scene.database.url, "nightly-report", "BEGIN; SELECT count(*) FROM visits").await;
    let (outcomes, ()) = tokio::join!(scene.run(), async {
        until("an attempt gave up", || has_met_a_lock(&scene)).await;
        holder.close().await.expect("the holder goes");
    });
    assert_eq!(outcomes.last().map(|outcome| outcome.reason), Some(Reason::Verified));
    assert_eq!(scene.value("SELECT n::text FROM counter").await, "1");
    assert_eq!(scene.history_table().await, ["1_init applied", "2_alter applied"]);
}

#[tokio::test]
async fn a_migration_that_ran_long_before_it_meets_a_lock_still_waits_for_it() {
    let scene = scene("late_lock", Duration::from_secs(3)).await;
    // It works for longer than its patience before it asks for the lock.
    scene.write(ALTER.0, &format!("SELECT pg_sleep(3.5);\n{}", ALTER.1));
    let holder = session(&scene.database.url, "nightly-report", "BEGIN; SELECT count(*) FROM visits").await;
    let (outcomes, ()) = tokio::join!(scene.run(), async {
        until("an attempt gave up", || has_met_a_lock(&scene)).await;
        drop(holder);
    });
    let last = outcomes.last().expect("an outcome");
    assert_eq!(last.reason, Reason::Verified, "{}", last.message);
}

/// Reads a table again and again; answers the longest time that one read took.
async fn reader(url: String, stop: Arc<AtomicBool>) -> Duration {
    let mut connection = connect(&url).await;
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        execute(&mut connection, "SELECT count(*) FROM visits").await;
        longest = longest.max(started.elapsed());
        tokio::task::yield_now().await;
    }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_is_not_kept_waiting_by_a_migration_that_waits() {
    let scene = scene("reader", Duration::from_secs(4)).await;
    let holder = session(&scene.database.url, "nightly-report", "BEGIN; SELECT count(*) FROM visits").await;
    let stop = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn(reader(scene.database.url.clone(), Arc::clone(&stop)));
    let outcome = scene.stopped(Stage::Migrate, Reason::WaitingForLock).await;
    stop.store(true, Ordering::Relaxed);
    let longest = reading.await.expect("the reader ends");
    drop(holder);
    // The lock timeout is 100 ms; the rest is room for a busy machine. The exact figure belongs to the
    // benchmark.
    assert!(longest < Duration::from_secs(1), "a read took {longest:?}; {}", outcome.message);
}

#[tokio::test]
async fn attempts_are_few_while_the_holder_is_in_sight_even_for_a_role_that_may_not_see_its_transaction() {
    let scene = scene("few_attempts", Duration::from_secs(3)).await;
    let other = format!("app_of_{}", scene.database.name);
    scene.database.execute(&format!("CREATE ROLE {other} LOGIN; GRANT SELECT ON visits TO {other}")).await;
    let holder = session(&scene.database.url_as(&other), "api", "BEGIN; SELECT count(*) FROM visits").await;
    let outcome = scene.stopped(Stage::Migrate, Reason::WaitingForLock).await;
    drop(holder);
    assert!(outcome.message.contains("(api, role "), "{}", outcome.message);
    let rollbacks =
        format!("SELECT xact_rollback::text FROM pg_stat_database WHERE datname = '{}'", scene.database.name);
    let rollbacks = scene.value(&rollbacks).await.parse::<u32>().expect("a number");
    assert!(
        rollbacks < 6,
        "{rollbacks} transactions were rolled back in 3 s, each of which kept readers waiting"
    );
}

#[tokio::test]
async fn a_deadlock_is_tried_again_and_the_effect_is_there_once() {
    let scene = Scene::new(
        "deadlock",
        &[(
            "1_init",
            "CREATE TABLE a (x int); CREATE TABLE b (x int); INSERT INTO a VALUES (0); INSERT INTO \
            b VALUES (0);",
        )],
    )
    .await;
    let scene = scene.with("apply", "{lockTimeout: 20s}");
    scene.ready().await;
    scene.write(
        "2_update",
        "UPDATE a SET x = x + 1;\nSELECT pg_advisory_lock_shared(4711);\nUPDATE b SET x = x + 1;",
    );
    // The other session holds b and the gate; it opens the gate and asks for a while the migration asks for
    // b.
    let mut other = session(
        &scene.database.url,
        "other",
        "SELECT pg_advisory_lock(4711); BEGIN; UPDATE b SET x = x + 10",
    )
    .await;
    let (outcomes, ()) = tokio::join!(scene.run(), async {
        until("the migration holds a", || scene.waits_at(4711)).await;
        execute(&mut other, "SELECT pg_advisory_unlock(4711)").await;
        let survived = sqlx::raw_sql("UPDATE a SET x = x + 10").execute(&mut other).await.is_ok();
        execute(
            &mut other,
            if survived { "COMMIT" } else { "ROLLBACK; UPDATE a SET x = x + 10; UPDATE b SET x = x + 10" },
        )
        .await;
    });
    assert_eq!(
        outcomes.last().map(|outcome| outcome.reason),
        Some(Reason::Verified),
        "{:?}",
        outcomes.last()
    );
    assert_eq!(scene.value("SELECT a.x || ' ' || b.x FROM a, b").await, "11 11");
    assert_eq!(
        scene
            .value(&format!(
                "SELECT deadlocks::text FROM pg_stat_database WHERE datname = '{}'",
                scene.database.name
            ))
            .await,
        "1"
    );
}

#[tokio::test]
async fn a_lock_on_the_history_is_waited_for_like_any_other() {
    let scene = scene("ledger_lock", Duration::from_millis(600)).await;
    let holder =
        session(&scene.database.url, "psql", "BEGIN; LOCK TABLE _prisma_migrations IN EXCLUSIVE MODE").await;
    let outcome = scene.stopped(Stage::Migrate, Reason::WaitingForLock).await;
    assert!(outcome.message.contains("psql"), "{}", outcome.message);
    drop(holder);
    scene.ready().await;
    assert_eq!(scene.value("SELECT n::text FROM counter").await, "1");
}

#[tokio::test]
async fn the_steps_of_a_mixed_file_wait_for_locks_and_leave_one_row() {
    let scene = scene("step_lock", DEADLINE).await;
    scene.write(ALTER.0, &format!("{}\nCREATE INDEX CONCURRENTLY notes ON visits (note);", ALTER.1));
    let holder = session(&scene.database.url, "nightly-report", "BEGIN; SELECT count(*) FROM visits").await;
    let (outcomes, ()) = tokio::join!(scene.run(), async {
        until("an attempt gave up", || has_met_a_lock(&scene)).await;
        drop(holder);
    });
    let last = outcomes.last().expect("an outcome");
    assert_eq!(last.reason, Reason::Verified, "{}", last.message);
    assert_eq!(scene.history_table().await, ["1_init applied", "2_alter applied"]);
    assert_eq!(scene.value("SELECT n::text FROM counter").await, "1");
}

#[tokio::test]
async fn a_statement_that_runs_alone_but_takes_a_strong_lock_does_not_make_readers_queue() {
    let scene = scene("vacuum_full", Duration::from_millis(600)).await;
    scene.write(ALTER.0, "VACUUM FULL visits;");
    let holder = session(&scene.database.url, "nightly-report", "BEGIN; SELECT count(*) FROM visits").await;
    let outcome = scene.stopped(Stage::Migrate, Reason::WaitingForLock).await;
    assert!(outcome.message.contains("nightly-report"), "{}", outcome.message);
    assert_eq!(scene.history_table().await, ["1_init applied"], "nothing of it happened, so no row stays");
    drop(holder);
    scene.ready().await;
}
