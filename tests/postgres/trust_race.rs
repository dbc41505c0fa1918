//! No session creates a trigger on the history between Sluice's check of it and a row written to it.

use std::time::Instant;

use sluice::{
    api::Reason,
    contract::{Outcome, Stage, Verdict},
    stage,
};
use sqlx::PgConnection;

use crate::{
    server::execute,
    stage_scene::{DEADLINE, Scene},
    trust_history::{CODE, SECOND, intruder, scene},
};

/// Until a back end of the scene's role does this.
async fn until(scene: &Scene, does: &str) {
    let sql = format!(
        "SELECT count(*)::text FROM pg_stat_activity a WHERE a.usename = '{}' AND {does}",
        scene.role
    );
    let end = Instant::now() + DEADLINE;
    while scene.value(&sql).await == "0" {
        assert!(Instant::now() < end, "no session does this: {does}");
        tokio::task::yield_now().await;
    }
}

/// A lock of its own, which no limit on waiting for locks cuts short.
const UNTIL_FREE: &str =
    "DO $$ BEGIN WHILE NOT pg_try_advisory_xact_lock(4711) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$";
const EVE: &str =
    "CREATE TRIGGER eve BEFORE INSERT ON _prisma_migrations FOR EACH ROW EXECUTE FUNCTION public.code()";

/// This migration is pending, in a database in which another role may create triggers on the history.
async fn exposed(test: &str, file: &str) -> (Scene, PgConnection) {
    let scene = scene(test).await;
    scene.write(SECOND.0, file);
    let mut other = scene.database.connect().await;
    let prepared = format!(
        "{CODE}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {{intruder}}; SET ROLE {{intruder}}; SET \
            lock_timeout = '300ms'"
    );
    execute(&mut other, &prepared.replace("{intruder}", &intruder(&scene))).await;
    (scene, other)
}

/// The plan and the snapshot, and then the migrations while something else happens.
async fn migrate_while(scene: &Scene, other: impl AsyncFnOnce()) -> Outcome {
    let context = scene.context();
    let mut outcomes = Vec::new();
    for stage in [Stage::Plan, Stage::Snapshot] {
        outcomes.push(stage::run(stage, &context, &outcomes).await);
    }
    tokio::join!(stage::run(Stage::Migrate, &context, &outcomes), other()).0
}

#[tokio::test]
async fn nobody_hangs_a_trigger_on_the_history_while_a_transaction_that_writes_to_it_runs() {
    for (test, begins) in
        [("trust_race", ""), ("trust_race_repeatable", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; ")]
    {
        let (scene, mut other) = exposed(test, &format!("{begins}{UNTIL_FREE}; CREATE TABLE u ();")).await;
        let mut holder = scene.database.connect().await;
        execute(&mut holder, "SELECT pg_advisory_lock(4711)").await;
        let outcome = migrate_while(&scene, async || {
            until(&scene, "a.state = 'active' AND a.query LIKE '%WHILE NOT%'").await;
            let refused = sqlx::raw_sql(EVE).execute(&mut other).await.expect_err("the history is locked");
            assert!(refused.to_string().contains("lock timeout"), "{refused}");
            execute(&mut holder, "SELECT pg_advisory_unlock(4711)").await;
        })
        .await;
        assert_eq!(
            (outcome.verdict, outcome.reason),
            (Verdict::Passed, Reason::Applied),
            "{test}: {}",
            outcome.message
        );
        assert_eq!(scene.value("SELECT (to_regclass('public.booty') IS NULL)::text").await, "true");
        // It was the lock that kept it away, and nothing else does.
        execute(&mut other, EVE).await;
        execute(
            &mut scene.database.connect().await,
            "INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('x', 'x', 'x')",
        )
        .await;
        assert_eq!(scene.value("SELECT (to_regclass('public.booty') IS NULL)::text").await, "false");
    }
}

/// It was not there when Sluice checked first, and is there when the lock is had.
#[tokio::test]
async fn a_trigger_that_is_just_being_made_is_waited_for_and_nothing_is_written() {
    for (test, begins) in
        [("trust_late", ""), ("trust_late_repeatable", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; ")]
    {
        let (scene, mut other) = exposed(test, &format!("{begins}CREATE TABLE u ();")).await;
        execute(&mut other, &format!("BEGIN; {EVE}")).await;
        let outcome = migrate_while(&scene, async || {
            until(&scene, "a.wait_event_type = 'Lock' AND a.wait_event = 'relation'").await;
            execute(&mut other, "COMMIT").await;
        })
        .await;
        assert_eq!(
            (outcome.verdict, outcome.reason),
            (Verdict::Failed, Reason::HistoryUntrusted),
            "{test}: {}",
            outcome.message
        );
        assert_eq!(scene.history_table().await, ["1_first applied"], "{test}");
        let made = "SELECT (to_regclass('public.booty') IS NULL AND to_regclass('public.u') IS NULL)::text";
        assert_eq!(scene.value(made).await, "true", "{test}");
    }
}

const KEY: &str = "CREATE TABLE eve (id varchar(36) REFERENCES _prisma_migrations ON DELETE CASCADE)";

/// Who may not make triggers may still make a foreign key refer to the history.
#[tokio::test]
async fn nobody_makes_a_key_refer_to_the_history_while_a_transaction_that_writes_to_it_runs() {
    let (scene, mut other) = exposed("trust_race_key", &format!("{UNTIL_FREE}; CREATE TABLE u ();")).await;
    scene.database.execute(&format!("REVOKE TRIGGER ON _prisma_migrations FROM {}", intruder(&scene))).await;
    let mut holder = scene.database.connect().await;
    execute(&mut holder, "SELECT pg_advisory_lock(4711)").await;
    let outcome = migrate_while(&scene, async || {
        until(&scene, "a.state = 'active' AND a.query LIKE '%WHILE NOT%'").await;
        let refused = sqlx::raw_sql(KEY).execute(&mut other).await.expect_err("the history is locked");
        assert!(refused.to_string().contains("lock timeout"), "{refused}");
        execute(&mut holder, "SELECT pg_advisory_unlock(4711)").await;
    })
    .await;
    assert_eq!((outcome.verdict, outcome.reason), (Verdict::Passed, Reason::Applied), "{}", outcome.message);
    execute(&mut other, KEY).await;
}
