//! `spec.migrations.phases`: SQL beside Prisma's migrations, in the same release, with a history of its own.

use std::fs;

use sluice::{
    api::Reason,
    contract::{HistorySummary, Outcome, Stage},
};

use crate::stage_scene::{Scene, finish, said};

/// In tests a phase from ConfigMaps is the neighbour of the folder of migrations.
pub const PHASES: &str = "{configMaps: [records], phases: [{name: types, configMaps: [types], when: Before}, \
    {name: security, configMaps: [security]}, \
     {name: performance, configMaps: [performance]}]}";
pub const PATIENTS: (&str, &str) = (
    "1_patients",
    "CREATE TABLE patients (id int PRIMARY KEY, clinic text NOT NULL, state state NOT NULL);\n",
);
pub const TYPES: (&str, &str) = ("types/1", "CREATE TYPE state AS ENUM ('active', 'left');\n");
pub const POLICIES: (&str, &str) = (
    "security/010_policies",
    "ALTER TABLE patients ENABLE ROW LEVEL SECURITY;\nCREATE POLICY own ON patients USING (clinic = \
        current_user);\n",
);
pub const INDEX: (&str, &str) =
    ("performance/010_clinic", "CREATE INDEX CONCURRENTLY patients_clinic ON patients (clinic);\n");

/// A folder for each phase of [`PHASES`], with these files.
pub async fn scene(test: &str, files: &[(&str, &str)], phases: &[(&str, &str)]) -> Scene {
    let scene = Scene::new(test, files).await.with("migrations", PHASES);
    for phase in ["types", "security", "performance"] {
        fs::create_dir(scene.folder.path().join(phase)).expect("a folder of a phase");
    }
    for (name, sql) in phases {
        put(&scene, name, sql);
    }
    scene
}

/// Writes `PHASE/FILE.sql`.
pub fn put(scene: &Scene, name: &str, sql: &str) {
    fs::write(scene.folder.path().join(format!("{name}.sql")), sql).expect("a file of a phase");
}

pub async fn of_phases(scene: &Scene) -> Vec<String> {
    scene.history_in("sluice.phases_public").await
}

fn history(outcomes: &[Outcome]) -> HistorySummary {
    outcomes.last().and_then(|outcome| outcome.history.clone()).expect("a history")
}

#[tokio::test]
async fn phases_run_around_the_migrations_and_each_is_in_its_own_history() {
    let scene = scene("phases_happy", &[PATIENTS], &[TYPES, POLICIES, INDEX]).await;
    let outcomes = scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_patients applied"], "Prisma's table has Prisma's rows");
    assert_eq!(
        of_phases(&scene).await,
        ["types/1 applied", "security/010_policies applied", "performance/010_clinic applied"]
    );
    assert_eq!(
        outcomes[0].message,
        "4 pending: types/1 … security/010_policies in one transaction, then performance/010_clinic outside \
            a transaction; Additive, Small; connected with sslmode=disable"
    );
    let history = history(&outcomes);
    assert_eq!(history.current.as_deref(), Some("1_patients"), "the version of the database is Prisma's");
    assert_eq!(history.applied, ["performance/010_clinic", "security/010_policies", "1_patients", "types/1"]);
    let transactions = "SELECT count(DISTINCT xmin::text)::text FROM (SELECT xmin FROM _prisma_migrations \
         UNION ALL SELECT xmin FROM sluice.phases_public WHERE migration_name NOT LIKE 'performance%') AS \
         rows";
    assert_eq!(scene.value(transactions).await, "1", "one transaction wrote migrations and phases");
    assert_eq!(
        scene
            .value("SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'patients_clinic'::regclass")
            .await,
        "true"
    );

    let again = scene.ready().await;
    assert_eq!(again[0].reason, Reason::NothingPending);
    assert_eq!(of_phases(&scene).await.len(), 3);
}

#[tokio::test]
async fn a_later_release_runs_what_is_new_of_each_phase() {
    let scene = scene("phases_later", &[PATIENTS], &[TYPES, POLICIES]).await;
    scene.ready().await;
    scene.write("2_visits", "CREATE TABLE visits (id int PRIMARY KEY, clinic text);");
    put(&scene, "security/020_visits", "ALTER TABLE visits ENABLE ROW LEVEL SECURITY;");
    let outcomes = scene.ready().await;
    assert_eq!(outcomes[0].history.as_ref().expect("a history").pending, ["2_visits", "security/020_visits"]);
    assert_eq!(history(&outcomes).current.as_deref(), Some("2_visits"));
}

#[tokio::test]
async fn a_failing_file_takes_the_migrations_of_its_release_with_it_and_is_named() {
    let scene = scene("phases_fail", &[PATIENTS], &[TYPES]).await;
    scene.ready().await;
    let before = (scene.catalog().await, scene.history_table().await, of_phases(&scene).await);
    scene.write("2_visits", "CREATE TABLE visits (id int PRIMARY KEY, clinic text);");
    put(
        &scene,
        "security/010_policies",
        "ALTER TABLE visits ENABLE ROW LEVEL SECURITY;\n\nCREATE POLICY own ON visits\n  USING (nowhere = \
            1);\n",
    );
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    let failure = outcome.failure.expect("a failure");
    assert_eq!(
        (failure.migration.as_str(), failure.file.as_str()),
        ("security/010_policies", "security/010_policies.sql")
    );
    assert_eq!((failure.line, failure.sqlstate.as_str()), (3, "42703"));
    assert!(
        outcome
            .message
            .starts_with("security/010_policies.sql:3: column \"nowhere\" does not exist (SQLSTATE 42703)"),
        "{}",
        outcome.message
    );
    assert_eq!(
        (scene.catalog().await, scene.history_table().await, of_phases(&scene).await),
        before,
        "nothing of the release is left"
    );

    put(&scene, "security/010_policies", "ALTER TABLE visits ENABLE ROW LEVEL SECURITY;\n");
    scene.ready().await;
    assert_eq!(of_phases(&scene).await, ["types/1 applied", "security/010_policies applied"]);
}

#[tokio::test]
async fn a_file_that_was_edited_removed_or_came_late_is_refused_with_its_name() {
    let scene = scene("phases_tampered", &[PATIENTS], &[TYPES, POLICIES]).await;
    let scene = scene.with("migrations", &PHASES.replacen('{', "{history: {late: Refuse}, ", 1));
    scene.ready().await;
    let refused = async |check: &str, object: &str| {
        let outcome = scene.stopped(Stage::Plan, Reason::HistoryDiverged).await;
        let found: Vec<_> = outcome
            .findings
            .iter()
            .filter(|finding| finding.check.name() == check)
            .map(|finding| finding.object.as_str())
            .collect();
        assert_eq!(found, [object], "{:#?}", outcome.findings);
        assert!(outcome.message.contains(object), "{}", outcome.message);
    };
    put(&scene, POLICIES.0, "ALTER TABLE patients DISABLE ROW LEVEL SECURITY;\n");
    refused("edited-migration", POLICIES.0).await;
    put(&scene, POLICIES.0, &POLICIES.1.replace('\n', "\r\n"));
    let outcomes = scene.ready().await;
    assert!(
        outcomes[0]
            .findings
            .iter()
            .any(|finding| finding.check.name() == "line-endings" && finding.object == POLICIES.0)
    );

    fs::remove_file(scene.folder.path().join("security/010_policies.sql")).expect("removes it");
    put(&scene, "security/020_more", "SELECT 1;");
    refused("missing-migration", POLICIES.0).await;
    fs::remove_file(scene.folder.path().join("security/020_more.sql")).expect("removes it");
    put(&scene, POLICIES.0, POLICIES.1);
    put(&scene, "security/005_early", "SELECT 1;");
    refused("out-of-order", "security/005_early").await;
    fs::remove_file(scene.folder.path().join("security/005_early.sql")).expect("removes it");
    scene.ready().await;
}

#[tokio::test]
async fn a_phase_without_a_folder_or_taken_out_of_the_manifest_is_an_error_that_names_it() {
    let mut scene = scene("phases_missing", &[PATIENTS], &[TYPES, POLICIES]).await;
    let security = scene.folder.path().join("security");
    fs::rename(&security, scene.folder.path().join("elsewhere")).expect("moves it");
    let outcome = scene.stopped(Stage::Plan, Reason::SourceNotFound).await;
    assert!(outcome.message.contains("the phase \"security\" has no folder"), "{}", outcome.message);
    assert_eq!(scene.catalog().await, ["schema public"], "nothing was done without it");
    fs::rename(scene.folder.path().join("elsewhere"), &security).expect("moves it back");
    scene.ready().await;
    scene.set(
        "migrations",
        "{configMaps: [records], phases: [{name: types, configMaps: [types], when: Before}]}",
    );
    let outcome = scene.stopped(Stage::Plan, Reason::HistoryDiverged).await;
    assert!(
        outcome.message.contains("\"security/010_policies\" is applied but missing"),
        "{}",
        outcome.message
    );
    assert!(outcome.message.contains("spec.migrations.phases"), "{}", outcome.message);
}

#[tokio::test]
async fn a_repeatable_phase_runs_a_changed_file_again_and_only_that() {
    let mut scene = scene("phases_repeatable", &[PATIENTS], &[TYPES]).await;
    scene.set(
        "migrations",
        "{configMaps: [records], phases: [{name: types, configMaps: [types], when: \
        Before}, {name: security, configMaps: [security], repeatable: true}]}",
    );
    put(
        &scene,
        "security/010_function",
        "CREATE OR REPLACE FUNCTION clinic() RETURNS text LANGUAGE sql AS $$ SELECT 'one' $$;",
    );
    put(&scene, "security/020_once", "CREATE TABLE once (x int);");
    scene.ready().await;
    put(
        &scene,
        "security/010_function",
        "CREATE OR REPLACE FUNCTION clinic() RETURNS text LANGUAGE sql AS $$ SELECT 'two' $$;",
    );
    let outcomes = scene.ready().await;
    assert_eq!(outcomes[0].history.as_ref().expect("a history").pending, ["security/010_function"]);
    assert_eq!(scene.value("SELECT clinic()").await, "two");
    assert_eq!(
        of_phases(&scene).await.iter().filter(|row| row.starts_with("security/010")).count(),
        2,
        "both times are on record"
    );
    assert_eq!(scene.ready().await[0].reason, Reason::NothingPending);
}

#[tokio::test]
async fn two_services_in_one_database_have_phases_of_the_same_name() {
    let first = scene("phases_services", &[PATIENTS], &[TYPES, POLICIES]).await;
    first.ready().await;
    let second = scene(
        "phases_services_other",
        &[("1_bills", "CREATE TABLE billing.bills (id int PRIMARY KEY);")],
        &[],
    )
    .await;
    put(&second, "types/1", "CREATE TYPE billing.state AS ENUM ('open');");
    put(&second, "security/010_policies", "ALTER TABLE billing.bills ENABLE ROW LEVEL SECURITY;");
    first.database.execute(&format!("CREATE SCHEMA billing AUTHORIZATION {}", first.role)).await;
    let mut second = second
        .with("database", "{secretRef: {name: records-db}, schemas: [billing], historySchema: billing}");
    second.url.clone_from(&first.url);
    second.ready().await;
    assert_eq!(
        first.history_in("sluice.phases_billing").await,
        ["types/1 applied", "security/010_policies applied"]
    );
    assert_eq!(
        first.ready().await[0].reason,
        Reason::NothingPending,
        "neither takes the other's history for its own"
    );
}

#[tokio::test]
async fn a_role_that_may_not_make_the_history_of_phases_is_told_so_before_anything_runs() {
    let scene = scene("phases_right", &[PATIENTS], &[TYPES]).await;
    scene.database.execute(&format!("ALTER DATABASE {} OWNER TO postgres", scene.database.name)).await;
    let outcome = scene.stopped(Stage::Plan, Reason::PrivilegesMissing).await;
    assert!(
        outcome.message.contains("the history of its phases goes there")
            && outcome.message.contains("GRANT CREATE ON DATABASE"),
        "{}",
        outcome.message
    );
}

#[tokio::test]
async fn plain_sql_has_phases_too_and_a_target_does_not_stop_them() {
    let mut scene = Scene::new("phases_sql", &[]).await;
    scene.set(
        "migrations",
        "{format: Sql, configMaps: [records], target: 1_patients, phases: [{name: \
        security, configMaps: [security]}]}",
    );
    for (file, sql) in [
        ("migrations/1_patients", "CREATE TABLE patients (id int)"),
        ("migrations/2_later", "CREATE TABLE later ()"),
        ("security/1", "ALTER TABLE patients ENABLE ROW LEVEL SECURITY"),
    ] {
        fs::create_dir_all(scene.folder.path().join("security")).expect("a folder");
        put(&scene, file, sql);
    }
    scene.ready().await;
    assert_eq!(scene.history_in("sluice.migrations").await, ["1_patients applied"]);
    assert_eq!(scene.history_in("sluice.phases_sluice").await, ["security/1 applied"]);
}

#[tokio::test]
async fn an_init_container_can_wait_for_a_file_of_a_phase() {
    let scene = scene("phases_wait", &[PATIENTS], &[TYPES, POLICIES]).await;
    let wait = |timeout: &str| {
        let mut command = scene.command("wait");
        command = std::process::Command::new(command.get_program());
        command
            .args(["wait", "--require", "records@security/010_policies", "--timeout", timeout])
            .env("DATABASE_URL", &scene.url);
        command
    };
    assert_eq!(finish(wait("1s")).await.status.code(), Some(1), "nothing is applied yet");
    scene.ready().await;
    let output = finish(wait("20s")).await;
    assert!(output.status.success(), "{}", said(&output));
}

#[tokio::test]
async fn the_commands_know_phases_and_say_where_they_look() {
    let scene = scene("phases_commands", &[PATIENTS], &[TYPES, POLICIES]).await;
    let output = finish(scene.command("plan")).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output)
            .contains("  pending  types/1\n  pending  1_patients\n  pending  security/010_policies\n"),
        "{}",
        said(&output)
    );

    let mut elsewhere = scene.command("run");
    fs::rename(scene.folder.path().join("security"), scene.folder.path().join("rls")).expect("moves it");
    elsewhere.arg("--phase").arg(format!("security={}", scene.folder.path().join("rls").display()));
    let output = finish(elsewhere).await;
    assert!(output.status.success(), "{}", said(&output));
    let mut unknown = scene.command("verify");
    unknown.args(["--phase", "grants=/tmp"]);
    let output = finish(unknown).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("has no phase \"grants\""), "{}", said(&output));
    let output = finish(scene.command("verify")).await;
    assert!(said(&output).contains("the phase \"security\" has no folder"), "{}", said(&output));
    assert!(!output.status.success(), "a phase that is not there is never a pass");
}

#[tokio::test]
async fn lint_reads_the_folders_of_phases() {
    let scene = scene("phases_lint", &[("1_patients", "SELECT 1;")], &[POLICIES, INDEX]).await;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sluice"));
    command
        .args(["lint", "migrations", "--phase", "security=security", "--phase", "performance=performance"])
        .current_dir(scene.folder.path());
    let output = finish(command).await;
    let expected = "1_patients/migration.sql: 1 statement, in a transaction\nsecurity/010_policies.sql: 2 \
        statements, in a transaction\n\
         performance/010_clinic.sql: 1 statement, outside a transaction\n  line 1: cannot run in a \
         transaction, so it runs alone: CREATE INDEX CONCURRENTLY patients_clinic ON patients (clinic)\n\
         1 migration, 2 files of phases, ";
    let said = said(&output);
    assert!(output.status.success() && said.contains(expected), "{said}");
    for phase in ["security", "performance"] {
        let warning = format!("warning[not-portable-to-prisma]: {phase}: Prisma does not know the phase");
        assert_eq!(said.matches(&warning).count(), 1, "{said}");
    }
}
