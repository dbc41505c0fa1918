//! What keeps a run apart from others holds whatever a migration says: the advisory locks, how text is read,
//! and the end of a session that an earlier attempt left behind.

use std::time::{Duration, Instant};

use sluice::{api::Reason, contract::Stage, stage};

use crate::{
    server::execute,
    stage_scene::{Scene, planned, run_all, session, until, value},
};

const FREE: &str = "SELECT pg_try_advisory_lock(72707369)::text";
/// Waits on a lock of the test, so that the test can look while the migration runs.
const PAUSE: &str = "SELECT pg_advisory_xact_lock_shared(4711)";

#[tokio::test]
async fn a_migration_that_gives_up_every_advisory_lock_still_keeps_other_tools_away() {
    for atomicity in ["Release", "Migration"] {
        let files = [
            ("1_gives_up", "SELECT pg_advisory_unlock_all(), pg_advisory_unlock(72707369);".to_owned()),
            ("2_waits", format!("CREATE TABLE t (); {PAUSE};")),
        ];
        let files: Vec<_> = files.iter().map(|(name, sql)| (*name, sql.as_str())).collect();
        let scene = Scene::new("unlock_all", &files)
            .await
            .with("apply", &format!("{{atomicity: {atomicity}, lockTimeout: 60s}}"));
        let mut gate = session(&scene.database.url, "gate", "SELECT pg_advisory_lock(4711)").await;
        let (outcomes, ()) = tokio::join!(scene.run(), async {
            until("the second file runs", || scene.waits_at(4711)).await;
            assert_eq!(scene.value(FREE).await, "false", "{atomicity}");
            execute(&mut gate, "SELECT pg_advisory_unlock(4711)").await;
        });
        assert_eq!(outcomes.last().map(|outcome| outcome.reason), Some(Reason::Verified), "{outcomes:?}");
        until("the lock is given back", || async { scene.value(FREE).await == "true" }).await;
    }
}

#[tokio::test]
async fn locks_that_a_rolled_back_migration_gave_up_stop_the_run_instead_of_a_blind_retry() {
    let scene = Scene::new("unlock_rolled_back", &[("1_init", "CREATE TABLE visits (id int);")]).await;
    scene.ready().await;
    scene.write("2_gives_up", "SELECT pg_advisory_unlock_all(); ALTER TABLE visits ADD COLUMN note text;");
    let holder = session(&scene.database.url, "report", "BEGIN; SELECT * FROM visits").await;
    let outcome = scene.stopped(Stage::Migrate, Reason::HistoryChanged).await;
    assert!(outcome.message.contains("\"2_gives_up\" gave up the lock"), "{}", outcome.message);
    drop(holder);
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_init applied", "2_gives_up applied"]);
}

#[tokio::test]
async fn locks_given_up_outside_a_transaction_are_noticed_and_the_step_is_not_run_again() {
    let file = "-- sluice: no-transaction\nDO $$ BEGIN PERFORM pg_advisory_unlock_all(); INSERT INTO counter \
        VALUES (1); END $$;\nINSERT INTO counter VALUES (2);";
    let scene =
        Scene::new("unlock_alone", &[("1_init", "CREATE TABLE counter (n int);"), ("2_alone", file)]).await;
    let outcome = scene.stopped(Stage::Migrate, Reason::HistoryChanged).await;
    assert!(outcome.message.contains("pg_advisory_unlock_all"), "{}", outcome.message);
    scene.ready().await;
    assert_eq!(scene.value("SELECT string_agg(n::text, ',' ORDER BY n) FROM counter").await, "1,2");
}

#[tokio::test]
async fn the_session_of_an_earlier_attempt_is_ended_and_nobody_elses() {
    let names = [
        ("sluice medical/records 0123abcd-a2", true),
        ("sluice medical/records 0123abcd-a4", false),
        ("sluice medical/records ffffffff-a1", false),
        ("prisma", false),
    ];
    for (name, ends) in names {
        let mut scene = Scene::new("earlier", &[("1_t", "CREATE TABLE t ();")]).await;
        scene.patience = Duration::from_millis(400);
        let mut context = scene.context();
        context.attempt = "0123abcd-a3".to_owned();
        let lock = format!("SET application_name = '{name}'; SELECT pg_advisory_lock(72707369)");
        let mut holder = session(&scene.url, "left-over", &lock).await;
        let pid = value(&mut holder, "SELECT pg_backend_pid()::text").await;
        let outcomes = run_all(&context).await;
        let last = outcomes.last().expect("an outcome");
        let there = format!("SELECT count(*)::text FROM pg_stat_activity WHERE pid = {pid}");
        if ends {
            assert_eq!(
                (last.reason, scene.value(&there).await.as_str()),
                (Reason::Verified, "0"),
                "{name}: {}",
                last.message
            );
            continue;
        }
        assert_eq!(
            (last.reason, scene.value(&there).await.as_str()),
            (Reason::WaitingForLock, "1"),
            "{name}: {}",
            last.message
        );
        let ours = last.message.contains("an earlier run of this DatabaseMigration")
            && last.message.contains("ends its session by");
        assert_eq!(ours, name.starts_with("sluice"), "{}", last.message);
    }
}

#[tokio::test]
async fn an_earlier_attempt_of_another_role_is_left_alone() {
    let mut scene = Scene::new("other_role", &[("1_t", "CREATE TABLE t ();")]).await;
    scene.patience = Duration::from_millis(400);
    let mut context = scene.context();
    context.attempt = "0123abcd-a3".to_owned();
    let lock =
        "SET application_name = 'sluice medical/records 0123abcd-a2'; SELECT pg_advisory_lock(72707369)";
    let _superuser = session(&scene.database.url, "left-over", lock).await;
    assert_eq!(run_all(&context).await.last().map(|outcome| outcome.reason), Some(Reason::WaitingForLock));
}

/// Read by the standard, two strings. Read by the old rules, a string that ends after the comma, a COMMIT,
/// and a comment.
const HIDDEN_COMMIT: &str = "SELECT 'a\\', '; COMMIT; --';\nSELECT 1/0;";

#[tokio::test]
async fn a_commit_does_not_slip_through_where_the_role_reads_strings_by_the_old_rules() {
    let scene = Scene::new("strings", &[("1_t", &format!("CREATE TABLE t ();\n{HIDDEN_COMMIT}"))]).await;
    let role = format!(
        "ALTER ROLE {} SET standard_conforming_strings = off; ALTER ROLE {0} SET backslash_quote = on",
        scene.role
    );
    scene
        .database
        .execute(&format!(
            "{role}; ALTER DATABASE {} SET standard_conforming_strings = off",
            scene.database.name
        ))
        .await;
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert_eq!(
        outcome.failure.map(|failure| failure.sqlstate).as_deref(),
        Some("22012"),
        "{}",
        outcome.message
    );
    assert_eq!(scene.value("SELECT to_regclass('t')::text").await, "");
}

#[tokio::test]
async fn a_commit_does_not_slip_through_after_a_file_that_changed_the_rules() {
    let off = "SELECT set_config('standard_conforming_strings', 'off', false);";
    for (at, files) in [
        [("1_off", off.to_owned()), ("2_t", format!("CREATE TABLE t ();\n{HIDDEN_COMMIT}"))],
        [
            ("1_v", "CREATE TABLE v (x int);".to_owned()),
            ("2_t", format!("{off} CREATE INDEX CONCURRENTLY ON v (x); CREATE TABLE t ();\n{HIDDEN_COMMIT}")),
        ],
    ]
    .iter()
    .enumerate()
    {
        let files: Vec<_> = files.iter().map(|(name, sql)| (*name, sql.as_str())).collect();
        let scene = Scene::new(&format!("strings_{at}"), &files).await;
        scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        assert_eq!(scene.value("SELECT to_regclass('t')::text").await, "", "{files:?}");
    }
}

/// The migrate stage with this much time.
async fn migrate_within(scene: &Scene, milliseconds: u64) -> sluice::contract::Outcome {
    let mut context = scene.context();
    let plan = planned(&context).await;
    context.until = Instant::now() + Duration::from_millis(milliseconds);
    stage::run(Stage::Migrate, &context, &plan).await
}

#[tokio::test]
async fn a_deadline_that_hits_a_statement_at_work_needs_a_person() {
    for (at, sql) in [
        "SELECT pg_sleep(60);",
        "CREATE TABLE t (x int); CREATE INDEX CONCURRENTLY ON t (x); SELECT pg_sleep(60);",
    ]
    .iter()
    .enumerate()
    {
        let scene = Scene::new(&format!("at_work_{at}"), &[("1_slow", sql)]).await;
        let outcome = migrate_within(&scene, 2500).await;
        assert_eq!(outcome.reason, Reason::StatementTooSlow, "{sql}: {}", outcome.message);
        assert!(outcome.message.contains("pg_sleep"), "{}", outcome.message);
        until("its back end is gone", || async { scene.sessions().await == "0" }).await;
    }
}

#[tokio::test]
async fn a_deadline_that_hits_a_statement_that_waits_is_tried_again() {
    let scene = Scene::new("waits", &[("1_waits", "CREATE TABLE t (); SELECT pg_advisory_lock(4711);")])
        .await
        .with("apply", "{lockTimeout: 1m}");
    let _gate = session(&scene.database.url, "nightly-report", "SELECT pg_advisory_lock(4711)").await;
    let outcome = migrate_within(&scene, 2500).await;
    assert_eq!(outcome.reason, Reason::DeadlineExceeded, "{}", outcome.message);
    assert!(outcome.message.contains("nightly-report"), "{}", outcome.message);
}
