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

/// A scene with Standard, its first migration applied, and the next one.
async fn standard(name: &str, init: &str, release: &str, lint: &str) -> Scene {
    let scene = Scene::new(name, &[("1_init", init)]).await;
    scene.ready().await;
    scene.write("2_next", release);
    scene.with("before", &format!("{{lint: {{preset: Standard{lint}}}}}"))
}

#[tokio::test]
async fn a_column_that_has_nulls_is_not_required_before_the_release_fills_it() {
    let require = "ALTER TABLE visits ALTER COLUMN note SET NOT NULL;";
    let scene = standard("lint_nulls", INIT, require, "").await;
    scene.database.execute("INSERT INTO visits SELECT n FROM generate_series(1, 3) n; ANALYZE visits").await;
    let outcome = scene.stopped(Stage::Plan, Reason::LintFailed).await;
    assert!(outcome.message.contains("nulls-left: visits.note is NULL in 3 rows"), "{}", outcome.message);
    scene.write("2_next", &format!("UPDATE visits SET note = '' WHERE note IS NULL; {require}"));
    scene.ready().await;
}

/// What cannot be counted is not known: rows that a policy hides, and a table that another session locks.
#[tokio::test]
async fn nulls_that_cannot_be_counted_keep_no_plan_from_its_end() {
    let forced = "ALTER TABLE visits ENABLE ROW LEVEL SECURITY; ALTER TABLE visits FORCE ROW LEVEL SECURITY;";
    let require = "ALTER TABLE visits ALTER COLUMN note SET NOT NULL;";
    let scene = standard("lint_uncounted", &format!("{INIT} {forced}"), require, "").await;
    scene.database.execute("INSERT INTO visits VALUES (1); ANALYZE visits").await;
    let outcome = plan(&scene).await;
    assert_eq!(outcome.reason, Reason::PlanReady, "{}", outcome.message);
    scene.database.execute("ALTER TABLE visits DISABLE ROW LEVEL SECURITY").await;
    let lock = "BEGIN; LOCK visits IN ACCESS EXCLUSIVE MODE";
    let mut holder = session(&scene.database.url, "holder", lock).await;
    let outcome = plan(&scene).await;
    assert_eq!(outcome.reason, Reason::PlanReady, "{}", outcome.message);
    execute(&mut holder, "ROLLBACK").await;
    assert_eq!(plan(&scene).await.reason, Reason::LintFailed);
}

#[tokio::test]
async fn a_change_of_rows_that_policies_hide_is_stopped_until_the_role_sees_them() {
    let init = format!(
        "{INIT} ALTER TABLE visits ENABLE ROW LEVEL SECURITY; ALTER TABLE visits FORCE ROW LEVEL SECURITY; \
            CREATE POLICY tenants ON visits USING (note = current_setting('app.tenant', true));"
    );
    let change = "UPDATE visits SET day = '2026-01-01' WHERE id = 1;";
    let scene = standard("lint_hidden", &init, change, "").await;
    let outcome = scene.stopped(Stage::Plan, Reason::LintFailed).await;
    assert!(outcome.message.contains("rows-hidden: "), "{}", outcome.message);
    let all = format!("CREATE POLICY migrates ON visits TO {} USING (true)", scene.role);
    scene.database.execute(&all).await;
    assert_eq!(plan(&scene).await.reason, Reason::PlanReady);
    scene.database.execute("CREATE POLICY fewer ON visits AS RESTRICTIVE USING (id > 1)").await;
    scene.stopped(Stage::Plan, Reason::LintFailed).await;
    scene.database.execute("ALTER TABLE visits NO FORCE ROW LEVEL SECURITY").await;
    scene.ready().await;
}

#[tokio::test]
async fn what_reaches_a_protected_table_needs_an_approval_with_every_preset() {
    let init = "CREATE TABLE patients (id int PRIMARY KEY); CREATE TABLE visits (id int PRIMARY KEY, patient int \
        REFERENCES patients ON DELETE CASCADE); CREATE TABLE records (id int PRIMARY KEY, visit int REFERENCES \
        visits ON DELETE CASCADE);";
    let delete = "DELETE FROM patients WHERE id = 1;";
    let scene = Scene::new("lint_protected", &[("1_init", init)]).await;
    scene.ready().await;
    scene.write("2_next", delete);
    let scene = scene.with("before", "{lint: {protectedTables: [public.records]}}");
    let outcome = scene.stopped(Stage::Plan, Reason::ApprovalNeeded).await;
    let told = "protected-table: it changes or removes rows of public.records";
    assert!(outcome.message.contains(told), "{}", outcome.message);
    let waiver = "-- sluice: allow protected-table reason=\"asked for by the patient\"\n";
    scene.write("2_next", &format!("{waiver}{delete}"));
    scene.ready().await;
}

/// The control is PostgreSQL's own refusal.
#[tokio::test]
async fn an_enum_value_that_a_block_uses_at_once_is_stopped_before_it_fails() {
    let block = "DO $$ BEGIN ALTER TYPE mood ADD VALUE 'calm'; INSERT INTO moods VALUES ('calm'); END $$;";
    let init = "CREATE TYPE mood AS ENUM ('odd'); CREATE TABLE moods (m mood);";
    let scene = standard("lint_enum", init, block, "").await;
    let outcome = scene.stopped(Stage::Plan, Reason::LintFailed).await;
    assert!(outcome.message.contains("enum-value-used-at-once: "), "{}", outcome.message);
    let scene = scene.with("before", "{}");
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert!(outcome.message.contains("55P04"), "{}", outcome.message);
    scene.write("2_next", "ALTER TYPE mood ADD VALUE 'calm'; INSERT INTO moods VALUES ('calm');");
    scene.with("before", "{lint: {preset: Standard}}").ready().await;
}
