//! Sessions of others that a migration waits for: ended where the manifest says so, and no other.

use std::time::Duration;

use sluice::{
    api::Reason,
    contract::{Outcome, Stage, Verdict},
};
use sqlx::{AssertSqlSafe, Executor, PgConnection};

use crate::{
    server::execute,
    stage_scene::{Scene, session, until},
};

const INIT: (&str, &str) = ("1_init", "CREATE TABLE visits (id int);");
const ALTER: (&str, &str) = ("2_alter", "ALTER TABLE visits ADD COLUMN note text;");

/// Longer than `after` below, so that a session that is to be ended is ended in time on a busy machine, too.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where a run is to give up waiting.
const IMPATIENCE: Duration = Duration::from_secs(3);

async fn scene(test: &str, apply: &str) -> Scene {
    let mut scene = Scene::new(test, &[INIT]).await;
    scene.ready().await;
    scene.write(ALTER.0, ALTER.1);
    scene.patience = PATIENCE;
    scene.with("apply", apply)
}

/// A session that reads a table in an open transaction.
async fn reader(url: &str, application: &str) -> PgConnection {
    session(url, application, "BEGIN; SELECT count(*) FROM visits").await
}

async fn is_alive(session: &mut PgConnection) -> bool {
    session.execute(AssertSqlSafe("SELECT 1")).await.is_ok()
}

fn migrated(outcomes: &[Outcome]) -> &Outcome {
    outcomes.iter().find(|outcome| outcome.stage == Stage::Migrate).expect("it came to migrate")
}

#[tokio::test]
async fn a_session_that_is_idle_in_its_transaction_is_ended_after_its_time_and_told_everywhere() {
    let scene = scene("ended", "{blockers: {terminate: IdleInTransaction, after: 1s}}").await;
    let mut holder = reader(&scene.url, "forgotten-psql").await;
    let outcomes = scene.ready().await;
    let migrate = migrated(&outcomes);
    let ended: Vec<_> =
        migrate.ended.iter().map(|one| (one.application.as_str(), one.state.as_str())).collect();
    assert_eq!(ended, [("forgotten-psql", "idle in transaction")]);
    assert!(migrate.message.contains("Sluice ended what was in the way"), "{}", migrate.message);
    assert!(migrate.message.contains("(forgotten-psql, role "), "{}", migrate.message);
    assert!(!is_alive(&mut holder).await, "its session is gone");
}

#[tokio::test]
async fn no_session_is_ended_that_the_manifest_does_not_name() {
    for apply in [
        "{}",
        "{blockers: {}}",
        "{blockers: {terminate: Never, after: 1s}}",
        "{blockers: {terminate: IdleInTransaction}}",
        "{blockers: {terminate: Any, after: 1h}}",
    ] {
        let mut scene = scene("spared", apply).await;
        scene.patience = IMPATIENCE;
        let mut holder = reader(&scene.url, "nightly-report").await;
        let outcome = scene.stopped(Stage::Migrate, Reason::WaitingForLock).await;
        assert!(is_alive(&mut holder).await, "{apply}");
        assert_eq!((outcome.ended.len(), outcome.blockers.len()), (0, 1), "{apply}");
        assert!(!outcome.message.contains("Sluice ended"), "{apply}: {}", outcome.message);
    }
}

#[tokio::test]
async fn a_session_at_work_is_ended_where_any_is_to_be_and_not_where_idle_ones_are() {
    for (terminate, reason) in [("IdleInTransaction", Reason::WaitingForLock), ("Any", Reason::Verified)] {
        let mut scene = scene("busy", &format!("{{blockers: {{terminate: {terminate}, after: 1s}}}}")).await;
        if reason == Reason::WaitingForLock {
            scene.patience = IMPATIENCE;
        }
        let mut holder = session(&scene.url, "nightly-report", "SELECT 1").await;
        let works = tokio::spawn(async move {
            holder.execute("BEGIN; SELECT count(*) FROM visits; SELECT pg_sleep(120)").await.is_ok()
        });
        let holds = "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'nightly-report' AND \
            datname = current_database() AND wait_event = 'PgSleep'";
        until("it works", || async { scene.value(holds).await == "1" }).await;
        let outcomes = scene.run().await;
        let last = outcomes.last().expect("an outcome");
        assert_eq!(last.reason, reason, "{terminate}: {}", last.message);
        let left = scene.value(holds).await;
        assert_eq!(left, if reason == Reason::Verified { "0" } else { "1" }, "{terminate}");
        works.abort();
    }
}

#[tokio::test]
async fn an_older_transaction_is_ended_before_a_build_begins() {
    let scene = scene("older", "{blockers: {terminate: IdleInTransaction, after: 1s}}").await;
    scene.write(ALTER.0, "CREATE INDEX CONCURRENTLY i ON visits (id);");
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM visits";
    let mut older = session(&scene.url, "forgotten-psql", begin).await;
    let outcomes = scene.ready().await;
    assert_eq!(migrated(&outcomes).ended.len(), 1);
    assert!(!is_alive(&mut older).await);
}

#[tokio::test]
async fn another_run_of_sluice_is_never_ended() {
    let mut scene = scene("run", "{blockers: {terminate: Any, after: 1s}}").await;
    scene.patience = IMPATIENCE;
    let mut holder = reader(&scene.url, "sluice%20medical/other").await;
    let outcome = scene.stopped(Stage::Migrate, Reason::WaitingForLock).await;
    assert!(is_alive(&mut holder).await, "{}", outcome.message);
    assert_eq!(outcome.ended.len(), 0);
}

#[tokio::test]
async fn a_session_that_the_role_may_not_end_is_named_with_the_grant_and_ended_once_it_is_given() {
    let mut scene = scene("forbidden", "{blockers: {terminate: IdleInTransaction, after: 1s}}").await;
    let other = format!("app_of_{}", scene.database.name);
    let role = &scene.role;
    scene.database.execute(&format!("CREATE ROLE {other} LOGIN; GRANT SELECT ON visits TO {other}")).await;
    let mut holder = reader(&scene.database.url_as(&other), "api").await;
    scene.patience = IMPATIENCE;
    for rights in [None, Some("pg_read_all_stats")] {
        if let Some(rights) = rights {
            scene.database.execute(&format!("GRANT {rights} TO {role}")).await;
        }
        let outcome = scene.stopped(Stage::Migrate, Reason::WaitingForLock).await;
        assert!(outcome.message.contains("GRANT pg_signal_backend"), "{rights:?}: {}", outcome.message);
        assert!(is_alive(&mut holder).await, "{rights:?}");
        // The transaction that the query above made is none: it is open since before.
        execute(&mut holder, "SELECT count(*) FROM visits").await;
    }
    scene.patience = PATIENCE;
    scene.database.execute(&format!("GRANT pg_signal_backend TO {role}")).await;
    let last = scene.run().await.pop().expect("an outcome");
    assert_eq!(last.verdict, Verdict::Passed, "{}", last.message);
    assert!(!is_alive(&mut holder).await);
}
