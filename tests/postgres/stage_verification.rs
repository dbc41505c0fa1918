//! Verification inside the migration's own transaction: what fails it never becomes visible, and only the end
//! of a release counts.

use sluice::{
    api::{Reason, Severity},
    contract::{Outcome, Stage},
};

use crate::stage_scene::Scene;

const REQUIRE: &str = "{indexes: {require: [{table: patients, columns: [name]}]}}";
const PATIENTS: (&str, &str) =
    ("1_patients", "CREATE TABLE patients (id int PRIMARY KEY, name text, clinic_id int);");
const UNINDEXED: &str = "CREATE TABLE visits (id int PRIMARY KEY, patient int REFERENCES patients);";
const ISOLATE: &str = "ALTER TABLE patients ENABLE ROW LEVEL SECURITY; ALTER TABLE patients FORCE ROW LEVEL \
    SECURITY; \
     CREATE POLICY own ON patients USING (clinic_id = nullif(current_setting('app.clinic_id', true), \
     '')::int);";

/// Fails in the migrate stage with this finding, and nothing of the release is visible.
async fn rolled_back(scene: &Scene, check: &str) {
    let before = scene.catalog().await;
    let outcome = scene.stopped(Stage::Migrate, Reason::VerificationFailed).await;
    assert!(outcome.findings.iter().any(|finding| finding.check.name() == check), "{:?}", outcome.findings);
    assert!(outcome.message.contains("before COMMIT"), "{}", outcome.message);
    assert_eq!(scene.catalog().await, before);
}

async fn with_app_role(scene: Scene) -> Scene {
    let app = format!("app_of_{}", scene.database.name);
    scene
        .database
        .execute(&format!(
            "CREATE ROLE {app} NOLOGIN; GRANT {app} TO {}; ALTER DEFAULT PRIVILEGES \
        FOR ROLE {0} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}; GRANT USAGE ON SCHEMA public \
        TO {app}",
            scene.role
        ))
        .await;
    let verify = format!(
        "{{rowLevelSecurity: {{appRole: {app}, tenant: {{column: clinic_id, setting: app.clinic_id}}}}}}"
    );
    scene.with("verify", &verify)
}

#[tokio::test]
async fn a_release_that_lacks_a_required_index_never_becomes_visible() {
    let scene = Scene::new("required_index", &[PATIENTS]).await.with("verify", REQUIRE);
    rolled_back(&scene, "index-required").await;
    scene.write("2_index", "CREATE INDEX ON patients (name);");
    scene.ready().await;
}

#[tokio::test]
async fn a_foreign_key_without_an_index_never_becomes_visible_where_the_manifest_says_error() {
    let scene = Scene::new("foreign_key", &[PATIENTS])
        .await
        .with("verify", "{indexes: {foreignKeys: {level: Error}}}");
    scene.ready().await;
    let rows = scene.history_table().await;
    scene.write("2_visits", UNINDEXED);
    rolled_back(&scene, "foreign-key-indexed").await;
    assert_eq!(scene.history_table().await, rows);
}

#[tokio::test]
async fn a_foreign_key_without_an_index_is_a_warning_where_the_manifest_says_nothing() {
    let scene = Scene::new("foreign_key_warned", &[PATIENTS, ("2_visits", UNINDEXED)]).await;
    let outcomes = scene.ready().await;
    let found = &outcomes.last().expect("the stage verify").findings;
    assert!(
        found.len() == 1
            && found[0].check.name() == "foreign-key-indexed"
            && found[0].severity == Severity::Warning,
        "{found:#?}"
    );
}

/// The keys that were there before are left alone, before COMMIT and from outside; without a release nothing
/// is new.
#[tokio::test]
async fn with_only_new_the_keys_of_the_release_are_looked_at_and_no_others() {
    let keys_of = |outcomes: &[Outcome]| -> Vec<String> {
        let found = outcomes
            .iter()
            .flat_map(|outcome| &outcome.findings)
            .filter(|finding| finding.check.name() == "foreign-key-indexed");
        found.map(|finding| finding.object.clone()).collect()
    };
    let mut scene = Scene::new("only_new", &[PATIENTS, ("2_visits", UNINDEXED)]).await;
    scene.ready().await;
    scene.set("verify", "{indexes: {foreignKeys: {level: Error, only: New}}}");
    scene.write("3_labels", "CREATE TABLE labels (id int PRIMARY KEY, name text);");
    assert_eq!(keys_of(&scene.ready().await), [""; 0], "the key of visits is not of this release");

    scene.write("4_bills", "CREATE TABLE bills (id int PRIMARY KEY, label int REFERENCES labels);");
    let stopped = scene.stopped(Stage::Migrate, Reason::VerificationFailed).await;
    assert_eq!(keys_of(std::slice::from_ref(&stopped)), ["public.bills"], "{}", stopped.message);

    // Before COMMIT the index is still to come, so the stage verify is the one that asks.
    scene.write("5_index", "CREATE INDEX CONCURRENTLY names ON labels (name);");
    let stopped = scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
    assert_eq!(keys_of(std::slice::from_ref(&stopped)), ["public.bills"], "{}", stopped.message);
    assert_eq!(keys_of(&scene.ready().await), [""; 0], "nothing was released");
}

#[tokio::test]
async fn a_table_without_isolation_never_becomes_visible() {
    let scene = with_app_role(Scene::new("no_isolation", &[PATIENTS]).await).await;
    rolled_back(&scene, "rls-enabled").await;
}

#[tokio::test]
async fn an_index_that_a_later_file_builds_concurrently_is_not_missed_before_it() {
    let files = [PATIENTS, ("2_index", "CREATE INDEX CONCURRENTLY names ON patients (name);")];
    let scene = Scene::new("later_index", &files).await.with("verify", REQUIRE);
    scene.ready().await;
    assert_eq!(scene.history_table().await.len(), 2);
}

#[tokio::test]
async fn an_index_that_no_file_builds_is_still_missed_after_a_concurrent_build() {
    let files = [PATIENTS, ("2_index", "CREATE INDEX CONCURRENTLY other ON patients (clinic_id);")];
    let scene = Scene::new("missed_index", &files).await.with("verify", REQUIRE);
    let outcome = scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
    assert!(
        outcome.findings.iter().any(|finding| finding.check.name() == "index-required"),
        "{:?}",
        outcome.findings
    );
}

#[tokio::test]
async fn between_two_migrations_nothing_is_judged_only_the_end_of_the_release() {
    let files = [
        PATIENTS,
        ("2_visits", UNINDEXED),
        ("3_isolate", ISOLATE),
        ("4_index", "CREATE INDEX ON visits (patient);"),
    ];
    for atomicity in ["Release", "Migration"] {
        let scene = with_app_role(Scene::new("end_only", &files).await)
            .await
            .with("apply", &format!("{{atomicity: {atomicity}}}"));
        scene.ready().await;
        assert_eq!(scene.history_table().await.len(), 4, "{atomicity}");
    }
}

#[tokio::test]
async fn isolation_that_a_later_mixed_file_brings_is_not_missed_before_it() {
    let mixed = format!("{ISOLATE}\nCREATE INDEX CONCURRENTLY names ON patients (name);");
    let scene = with_app_role(Scene::new("later_isolation", &[PATIENTS, ("2_mixed", &mixed)]).await).await;
    scene.ready().await;
}

#[tokio::test]
async fn the_last_transaction_of_a_mixed_file_is_verified_before_its_commit() {
    let mixed = "CREATE INDEX CONCURRENTLY names ON patients (name);\nCREATE TABLE leaking (clinic_id int);";
    let scene = with_app_role(Scene::new("mixed_verified", &[PATIENTS, ("2_isolate", ISOLATE)]).await).await;
    scene.ready().await;
    scene.write("3_mixed", mixed);
    let outcome = scene.stopped(Stage::Migrate, Reason::VerificationFailed).await;
    assert!(
        outcome.findings.iter().any(|finding| finding.object.contains("leaking")),
        "{:?}",
        outcome.findings
    );
    assert_eq!(scene.value("SELECT to_regclass('leaking')::text").await, "");
    assert_eq!(scene.history_table().await.last().map(String::as_str), Some("3_mixed unfinished"));
    scene.write("3_mixed", &mixed.replace("leaking (clinic_id int)", "harmless (id int)"));
    scene.ready().await;
}

#[tokio::test]
async fn with_atomicity_migration_a_failed_verification_takes_back_the_last_one_only() {
    let scene = Scene::new("last_only", &[PATIENTS, ("2_visits", UNINDEXED)])
        .await
        .with("apply", "{atomicity: Migration}");
    let scene = scene.with("verify", "{indexes: {foreignKeys: {level: Error}}}");
    let outcome = scene.stopped(Stage::Migrate, Reason::VerificationFailed).await;
    assert_eq!(scene.history_table().await, ["1_patients applied"]);
    assert!(
        outcome.message.contains("2_visits") && !outcome.message.contains("the release was rolled back"),
        "{}",
        outcome.message
    );
}

#[tokio::test]
async fn what_breaks_a_convention_never_becomes_visible_and_questions_about_rows_are_asked_afterwards() {
    let verify = "{conventions: {tables: PascalCase, migrations: {}, except: [1_patients]}, \
                   queries: [{name: somebody, sql: SELECT id FROM patients, expect: Rows}]}";
    let scene = Scene::new("conventions", &[PATIENTS]).await.with("verify", verify);
    rolled_back(&scene, "convention-tables").await;
    let scene = scene.with("verify", &verify.replace("PascalCase", "snake_case"));
    let outcome = scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
    let told: Vec<_> =
        outcome.findings.iter().map(|finding| (finding.check.name(), finding.object.as_str())).collect();
    assert_eq!(told, [("query-assertion", "somebody"), ("convention-migrations", "1_patients")]);
    scene.database.execute("INSERT INTO patients VALUES (1)").await;
    scene.ready().await;
}
