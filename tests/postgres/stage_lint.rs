//! `spec.before.lint`: what a release may do is judged by the live tables, before anything runs.

use sluice::{
    api::{Reason, Severity},
    contract::{Outcome, Stage, Verdict},
};

use crate::{
    server::execute,
    stage_scene::{Scene, planned, session},
};

const INIT: &str = "CREATE TABLE visits (id int PRIMARY KEY, day date, note text);";
const INDEX: &str = "CREATE INDEX visits_day ON visits (day);";

/// Visits, many of them, and the next release.
async fn scene(name: &str, release: &str) -> Scene {
    let scene = Scene::new(name, &[("1_init", INIT)]).await;
    scene.ready().await;
    scene
        .database
        .execute("INSERT INTO visits SELECT n, now() FROM generate_series(1, 20000) n; ANALYZE visits")
        .await;
    scene.write("2_next", release);
    scene
}

async fn plan(scene: &Scene) -> Outcome {
    planned(&scene.context()).await.remove(0)
}

#[tokio::test]
async fn what_the_manifest_did_not_ask_for_only_warns() {
    let scene = scene("lint_default", INDEX).await;
    let outcome = plan(&scene).await;
    assert_eq!(
        (outcome.verdict, outcome.reason),
        (Verdict::Passed, Reason::PlanReady),
        "{}",
        outcome.message
    );
    assert!(outcome.message.contains("; Additive, Large"), "{}", outcome.message);
    let [finding] = &outcome.findings[..] else { panic!("{:?}", outcome.findings) };
    assert_eq!((finding.severity, finding.object.as_str()), (Severity::Warning, "visits"));
    assert!(finding.message.contains("about 20000 rows"), "{}", finding.message);
    scene.ready().await;
}

#[tokio::test]
async fn a_lock_of_a_large_table_stops_the_release_and_one_of_a_small_table_does_not() {
    let scene = scene("lint_fail", INDEX).await.with("before", "{lint: {preset: Standard}}");
    let before = scene.catalog().await;
    let outcome = scene.stopped(Stage::Plan, Reason::LintFailed).await;
    assert!(
        outcome.message.contains("2_next/migration.sql:1: require-concurrent-index-creation"),
        "{}",
        outcome.message
    );
    assert_eq!(outcome.findings[0].severity, Severity::Error);
    assert_eq!(scene.catalog().await, before, "nothing is changed");
    scene.database.execute("TRUNCATE visits; ANALYZE visits").await;
    scene.ready().await;
}

#[tokio::test]
async fn the_size_of_a_large_table_and_the_weight_of_a_rule_are_the_manifests() {
    for (name, lint) in [
        ("rows", "{preset: Standard, largeTable: {rows: 100000}}"),
        ("rule", "{preset: Standard, rules: {require-concurrent-index-creation: Warn}}"),
    ] {
        let scene = scene(&format!("lint_{name}"), INDEX).await.with("before", &format!("{{lint: {lint}}}"));
        scene.ready().await;
    }
    let lint = "{lint: {largeTable: {size: 64Ki}, rules: {require-concurrent-index-creation: Fail}}}";
    let scene = scene("lint_size", INDEX).await.with("before", lint);
    scene.stopped(Stage::Plan, Reason::LintFailed).await;
}

#[tokio::test]
async fn a_loss_needs_an_approval_which_is_a_waiver_with_a_reason() {
    let drop = "ALTER TABLE visits DROP COLUMN note;";
    let scene = scene("lint_approve", drop).await.with("before", "{lint: {preset: Standard}}");
    let outcome = scene.stopped(Stage::Plan, Reason::ApprovalNeeded).await;
    assert!(outcome.message.contains("2_next/migration.sql:1: ban-drop-column"), "{}", outcome.message);
    scene.write("2_next", &format!("-- sluice: allow ban-drop-column\n{drop}"));
    scene.stopped(Stage::Plan, Reason::ApprovalNeeded).await;
    scene.write("2_next", &format!("-- sluice: allow ban-drop-column reason=\"unused since 2.3\"\n{drop}"));
    let outcome = plan(&scene).await;
    assert!(outcome.message.contains("Destructive"), "a waiver does not make it less: {}", outcome.message);
    scene.ready().await;
}

#[tokio::test]
async fn what_is_applied_is_not_judged_again() {
    let scene = scene("lint_applied", "SELECT 1;").await;
    scene.ready().await;
    scene.write("3_more", INDEX);
    scene.ready().await;
    let scene = scene.with("before", "{lint: {preset: Strict}}");
    scene.ready().await;
}

#[tokio::test]
async fn a_lock_of_another_session_keeps_no_plan_waiting_and_a_size_that_is_not_known_counts_as_large() {
    let scene =
        Scene::new("lint_locked", &[("1_init", INIT)]).await.with("before", "{lint: {preset: Standard}}");
    scene.ready().await;
    scene.write("2_next", INDEX);
    let locks = ["LOCK visits IN ACCESS EXCLUSIVE MODE", "REINDEX INDEX visits_pkey"];
    for lock in locks {
        let mut holder = session(&scene.database.url, "holder", &format!("BEGIN; {lock}")).await;
        let outcome = plan(&scene).await;
        assert_eq!(outcome.reason, Reason::LintFailed, "{lock}: it was never analyzed: {}", outcome.message);
        execute(&mut holder, "ROLLBACK").await;
        assert_eq!(plan(&scene).await.reason, Reason::PlanReady, "{lock}");
    }
    scene.database.execute("ANALYZE visits").await;
    for lock in locks {
        let mut holder = session(&scene.database.url, "holder", &format!("BEGIN; {lock}")).await;
        let outcome = plan(&scene).await;
        assert_eq!(outcome.reason, Reason::PlanReady, "{lock}: {}", outcome.message);
        execute(&mut holder, "ROLLBACK").await;
    }
}
