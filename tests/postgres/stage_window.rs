//! A run does not outlast its window, however late its Pod starts: nothing begins after the end.

use jiff::{SignedDuration, Timestamp};
use sluice::{
    api::Reason,
    contract::{Outcome, Stage, Verdict},
    stage::{self, Evidence, Passed, Plan, Rehearsed, Snapshot},
};

use crate::{
    server::execute,
    stage_scene::{Scene, planned, run_all, session, until},
};

/// So long before or after this moment.
fn in_seconds(seconds: i64) -> Timestamp {
    Timestamp::now().saturating_add(SignedDuration::from_secs(seconds)).expect("a moment")
}

fn is_refused(outcome: &Outcome, stage: Stage) {
    assert_eq!((outcome.stage, outcome.verdict), (stage, Verdict::Failed), "{}", outcome.message);
    assert_eq!(outcome.reason, Reason::DeadlineExceeded, "{}", outcome.message);
    assert!(outcome.message.starts_with("the window of the run (until "), "{}", outcome.message);
}

#[tokio::test]
async fn a_run_whose_pod_starts_after_the_window_has_closed_changes_nothing_and_one_in_time_runs() {
    let scene = Scene::new("window_over", &[("1_one", "CREATE TABLE t (id int PRIMARY KEY);")]).await;
    let before = scene.catalog().await;
    let outcomes = run_all(&scene.context().with_end(in_seconds(-60))).await;
    is_refused(outcomes.last().expect("a stage"), Stage::Plan);
    // The clock of its node may be behind.
    let outcomes = run_all(&scene.context().with_end(in_seconds(2))).await;
    is_refused(outcomes.last().expect("a stage"), Stage::Plan);
    assert_eq!(scene.catalog().await, before);

    let outcomes = run_all(&scene.context().with_end(in_seconds(600))).await;
    assert_eq!(outcomes.last().map(|outcome| outcome.reason), Some(Reason::Verified), "{outcomes:#?}");
}

#[tokio::test]
async fn a_window_that_closes_before_the_migrate_stage_leaves_the_database_as_it_was() {
    let scene = Scene::new("window_migrate", &[("1_one", "CREATE TABLE t (id int PRIMARY KEY);")]).await;
    let plan = planned(&scene.context()).await;
    let before = scene.catalog().await;
    let outcome = stage::run(Stage::Migrate, &scene.context().with_end(in_seconds(0)), &plan).await;
    is_refused(&outcome, Stage::Migrate);
    assert_eq!(scene.catalog().await, before, "not even a history");
}

#[tokio::test]
async fn a_window_that_closes_while_a_transaction_waits_rolls_it_back() {
    let files = [("1_waits", "CREATE TABLE one (); SELECT pg_advisory_xact_lock_shared(4711);")];
    let scene = Scene::new("window_within", &files).await.with("apply", "{lockTimeout: 60s}");
    let plan = planned(&scene.context()).await;
    let before = scene.catalog().await;
    let _gate = session(&scene.database.url, "gate", "SELECT pg_advisory_lock(4711)").await;
    let closes = in_seconds(15);
    let outcome = stage::run(Stage::Migrate, &scene.context().with_end(closes), &plan).await;
    assert_eq!(outcome.reason, Reason::DeadlineExceeded, "{}", outcome.message);
    assert!(Timestamp::now() < closes, "it ends as much earlier as clocks may differ");
    assert_eq!(scene.catalog().await, before, "{}", outcome.message);
    until("its session has ended", || async { scene.sessions().await == "0" }).await;
}

#[tokio::test]
async fn no_transaction_of_a_release_begins_once_the_window_has_closed() {
    for (at, sql) in
        ["CREATE TABLE t (id int);", "CREATE TABLE t (id int); CREATE INDEX CONCURRENTLY ON t (id);"]
            .iter()
            .enumerate()
    {
        let scene = Scene::new(&format!("window_release_{at}"), &[("1_one", sql)]).await;
        let context = scene.context().with_end(in_seconds(0));
        let outcomes = planned(&scene.context()).await;
        let plan = Passed::<Plan>::of(&outcomes).expect("planned");
        let snapshot = Evidence::<Snapshot>::of(&context.manifest, &plan, &outcomes).expect("copied");
        let rehearsed =
            Evidence::<Rehearsed>::of(&context.manifest, &plan, &outcomes).expect("not asked for");
        let before = scene.catalog().await;
        // As if it had closed after the stage had begun.
        let outcome = stage::migrate(&context, &plan, &snapshot, &rehearsed).await;
        is_refused(&outcome, Stage::Migrate);
        assert!(outcome.message.contains("before \"1_one\" began"), "{}", outcome.message);
        assert_eq!(scene.catalog().await, before);
    }
}

#[tokio::test]
async fn no_step_begins_once_the_window_has_closed_and_the_next_attempt_goes_on_behind_those_that_are_done() {
    let files = [("1_init", "CREATE TABLE log (what text); CREATE TABLE t (x int);")];
    let scene = Scene::new("window_steps", &files).await.with("apply", "{lockTimeout: 5m}");
    let began = Timestamp::now();
    scene.ready().await;
    let took = Timestamp::now().duration_since(began).as_secs();
    let first = "INSERT INTO log SELECT 'first' FROM pg_advisory_xact_lock_shared(4711);";
    let others = "CREATE INDEX CONCURRENTLY i ON t (x);\nINSERT INTO log VALUES ('last');\n";
    scene.write("2_steps", &format!("{first}\n{others}"));
    let log = "SELECT string_agg(what, ' ') FROM log";

    let mut gate = session(&scene.database.url, "gate", "SELECT pg_advisory_lock(4711)").await;
    // Long enough for the first step to begin, however busy the machine is.
    let closes = in_seconds(15 + 4 * took);
    // The moment alone: as where the clock of the node is set forward while a step is at work.
    let mut context = scene.context();
    context.ends_by = Some(closes);
    let plan = planned(&context).await;
    let (outcome, ()) = tokio::join!(stage::run(Stage::Migrate, &context, &plan), async {
        until("the first step is at work", || scene.waits_at(4711)).await;
        execute(&mut gate, &format!("SELECT pg_sleep_until('{closes}'); SELECT pg_advisory_unlock(4711)"))
            .await;
    });
    is_refused(&outcome, Stage::Migrate);
    assert!(outcome.message.contains("before step 2 of \"2_steps\" began"), "{}", outcome.message);
    assert_eq!(scene.value(log).await, "first");
    assert_eq!(scene.history_table().await, ["1_init applied", "2_steps unfinished"]);

    scene.ready().await;
    assert_eq!(scene.value(log).await, "first last", "no step was run twice, and none was left out");
    assert_eq!(scene.history_table().await, ["1_init applied", "2_steps applied"]);
}
