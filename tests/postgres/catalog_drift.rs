//! `spec.verify.drift` from end to end: the migrations are replayed beside the real database, and nothing is
//! left of it.

use sluice::{
    api::{Finding, Reason, Severity},
    contract::{Outcome, Stage, Verdict},
};

use crate::stage_scene::{Scene, finish, said, until};

const DRIFT: &str = "{drift: {}, indexes: {foreignKeys: {level: Off}}}";
const PATIENTS: (&str, &str) = (
    "1_patients",
    "CREATE TABLE patients (id int PRIMARY KEY, name text NOT NULL);\nALTER TABLE patients ENABLE ROW LEVEL \
        SECURITY;\n\
     CREATE POLICY own ON patients USING (name = current_user);",
);
const VISITS: (&str, &str) = (
    "2_visits",
    "CREATE TYPE kind AS ENUM ('a');\nALTER TYPE kind ADD VALUE 'b';\nCREATE TABLE visits (id int PRIMARY \
        KEY, kind kind);\n\
     CREATE INDEX CONCURRENTLY visits_kind ON visits (kind);",
);

/// Ready, with drift on, by a role that may create databases.
async fn scene(test: &str, files: &[(&str, &str)]) -> Scene {
    let scene = Scene::new(test, files).await.with("verify", DRIFT);
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    scene
}

async fn scratch_databases(scene: &Scene) -> Vec<String> {
    let sql = format!(
        "SELECT d.datname::text FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE r.rolname = \
            '{}' AND datname LIKE 'sluice_scratch_%'",
        scene.role
    );
    scene.column(&sql).await
}

fn drift(outcome: &Outcome) -> Vec<&Finding> {
    outcome.findings.iter().filter(|finding| finding.check.name() == "schema-drift").collect()
}

async fn objects_found(scene: &Scene) -> Vec<String> {
    let outcome = scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
    drift(&outcome).iter().map(|finding| finding.object.clone()).collect()
}

#[tokio::test]
async fn a_database_that_is_what_its_migrations_make_has_no_drift_and_nothing_is_left_behind() {
    let scene = scene("drift_none", &[PATIENTS, VISITS]).await;
    let outcomes = scene.ready().await;
    assert_eq!(drift(outcomes.last().expect("verify")), Vec::<&Finding>::new());
    scene.ready().await;
    assert_eq!(scratch_databases(&scene).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_was_changed_by_hand_is_found_with_both_sides_and_gone_when_it_is_put_back() {
    let scene = scene("drift_hand", &[PATIENTS, VISITS]).await;
    scene.ready().await;
    scene.database.execute("ALTER TABLE patients ADD drifted text; DROP POLICY own ON patients").await;
    let outcome = scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
    let found = drift(&outcome);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!((found[0].object.as_str(), found[0].severity), ("public.patients.drifted", Severity::Error));
    assert!(
        found[0].message.starts_with("extra column: no migration up to 2_visits makes it"),
        "{}",
        found[0].message
    );
    assert!(
        found[1].message.contains("missing policy") && found[1].message.contains("CURRENT_USER"),
        "{}",
        found[1].message
    );
    assert!(found.iter().all(|finding| finding.remedy.contains("spec.verify.drift.ignore")));
    let again = scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
    assert_eq!(again.findings, outcome.findings, "the same database gives the same findings");
    scene
        .database
        .execute(
            "ALTER TABLE patients DROP drifted; CREATE POLICY own ON patients USING (name = current_user)",
        )
        .await;
    scene.ready().await;
}

#[tokio::test]
async fn an_ignored_object_may_differ() {
    let mut scene = scene("drift_ignored", &[PATIENTS]).await;
    scene.ready().await;
    scene.database.execute("CREATE TABLE visits_p2026 (id int); CREATE TABLE other (id int)").await;
    scene.set("verify", "{drift: {ignore: ['public.visits_p*']}}");
    assert_eq!(objects_found(&scene).await, ["public.other"]);
    scene.set("verify", "{drift: {ignore: ['public.visits_p*', public.other]}}");
    scene.ready().await;
}

#[tokio::test]
async fn a_role_that_may_not_create_databases_is_told_so_and_it_is_no_pass() {
    let scene = Scene::new("drift_no_right", &[PATIENTS]).await.with("verify", DRIFT);
    let outcome = scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
    let [finding] = drift(&outcome)[..] else { panic!("{:#?}", outcome.findings) };
    assert_eq!(finding.object, scene.role);
    assert!(
        finding.remedy.contains(&format!("ALTER ROLE \"{}\" CREATEDB", scene.role)),
        "{}",
        finding.remedy
    );
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    scene.ready().await;
}

#[tokio::test]
async fn what_the_database_was_given_before_its_migrations_is_no_drift() {
    let files = [
        ("1_core", "CREATE TABLE core.people (id int PRIMARY KEY, mail citext);"),
        ("2_more", "CREATE SCHEMA more; CREATE TABLE more.things (id int);"),
    ];
    let mut scene = scene("drift_given", &files).await;
    scene.set("database", "{secretRef: {name: records-db}, schemas: [public, core, more]}");
    let (role, app) = (&scene.role, format!("app_of_{}", scene.database.name));
    scene
        .database
        .execute(&format!(
            "CREATE ROLE {app}; CREATE EXTENSION citext; CREATE SCHEMA core AUTHORIZATION {role}; GRANT \
                USAGE ON SCHEMA core TO {app};
             ALTER DEFAULT PRIVILEGES FOR ROLE {role} GRANT SELECT ON TABLES TO {app};
             ALTER DEFAULT PRIVILEGES FOR ROLE {role} IN SCHEMA core GRANT INSERT ON TABLES TO {app}"
        ))
        .await;
    scene.ready().await;
    assert_eq!(
        scene.value(&format!("SELECT has_table_privilege('{app}', 'more.things', 'SELECT')::text")).await,
        "true"
    );
    scene.database.execute("CREATE EXTENSION hstore").await;
    assert_eq!(objects_found(&scene).await, ["hstore"], "an extension that nothing uses is");
}

#[tokio::test]
async fn a_replay_leaves_the_roles_and_settings_of_the_server_alone() {
    let app = "drift_roles_app";
    let roles = format!(
        "DO $$ BEGIN CREATE ROLE {app}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;\nALTER ROLE {app} \
            CONNECTION LIMIT 5;\n\
         GRANT CONNECT ON DATABASE postgres TO {app};\nCREATE TABLE t (id int);\nGRANT SELECT ON t TO {app};"
    );
    let scene = scene("drift_roles", &[("1_roles", &roles)]).await;
    scene
        .database
        .execute(&format!("ALTER ROLE {} CREATEROLE; ALTER DATABASE postgres OWNER TO {0}", scene.role))
        .await;
    scene.ready().await;
    let limit = format!("SELECT rolconnlimit::text FROM pg_roles WHERE rolname = '{app}'");
    assert_eq!(scene.value(&limit).await, "5");
    scene
        .database
        .execute(&format!("ALTER ROLE {app} CONNECTION LIMIT 7; ALTER DATABASE postgres OWNER TO postgres"))
        .await;
    scene.ready().await;
    assert_eq!(scene.value(&limit).await, "7", "the replay did not put the old limit back");
}

#[tokio::test]
async fn a_migration_that_hides_what_changes_the_server_cannot_be_replayed_and_is_named() {
    let hidden = "DO $$ BEGIN EXECUTE format('ALTER ROLE %I SET work_mem = %L', current_user, '8MB'); END \
        $$;\nCREATE TABLE t (id int);";
    let scene = scene("drift_hidden", &[("1_hidden", hidden)]).await;
    let outcome = scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
    let [finding] = drift(&outcome)[..] else { panic!("{:#?}", outcome.findings) };
    assert!(finding.object == "1_hidden" && finding.message.contains("ALTER ROLE"), "{finding:?}");
}

#[tokio::test]
async fn a_migration_that_needs_rows_cannot_be_replayed_and_is_named() {
    let scene = scene("drift_rows", &[PATIENTS]).await;
    scene.ready().await;
    scene.database.execute("INSERT INTO patients VALUES (1, 'somebody')").await;
    scene.write(
        "2_rows",
        "DO $$ BEGIN ASSERT (SELECT count(*) FROM patients) = 1, 'somebody must be there'; END $$;",
    );
    let outcome = scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
    let [finding] = drift(&outcome)[..] else { panic!("{:#?}", outcome.findings) };
    assert!(finding.object == "2_rows" && finding.message.contains("P0004"), "{finding:?}");
    assert_eq!(scratch_databases(&scene).await, Vec::<String>::new(), "dropped after a failure, too");
}

#[tokio::test]
async fn the_deadline_ends_a_replay_and_the_scratch_database_with_it() {
    let slow = (
        "2_slow",
        "SELECT pg_sleep(CASE WHEN current_database() LIKE 'sluice_scratch_%' THEN 60 ELSE 0 END);",
    );
    let mut scene = scene("drift_late", &[PATIENTS, slow]).await;
    scene.set("apply", "{deadline: 10s}");
    let outcome = scene.stopped(Stage::Verify, Reason::DeadlineExceeded).await;
    assert!(outcome.message.contains("replayed"), "{}", outcome.message);
    assert_eq!(scratch_databases(&scene).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_scratch_database_whose_creator_was_killed_is_removed_by_the_next_one() {
    let slow = (
        "2_slow",
        "SELECT pg_sleep(CASE WHEN current_database() LIKE 'sluice_scratch_%' THEN 60 ELSE 0 END);",
    );
    let scene = scene("drift_killed", &[PATIENTS, slow]).await;
    let mut run = scene.command("run").spawn().expect("sluice starts");
    until("the replay has begun", || async { scratch_databases(&scene).await.len() == 1 }).await;
    let left = scratch_databases(&scene).await;
    // While its creator lives, another run leaves it alone.
    let mut second = scene.command("run").spawn().expect("sluice starts");
    until("the second replay has begun", || async { scratch_databases(&scene).await.len() == 2 }).await;
    second.kill().expect("SIGKILL is sent");
    second.wait().expect("it is gone");
    run.kill().expect("SIGKILL is sent");
    run.wait().expect("it is gone");
    until("the sessions are gone", || async { scene.sessions().await == "0" }).await;
    assert!(scratch_databases(&scene).await.contains(&left[0]), "no process was there to drop it");
    scene.write("2_slow", "SELECT 1;");
    scene.database.execute("DELETE FROM _prisma_migrations WHERE migration_name = '2_slow'").await;
    scene.ready().await;
    assert_eq!(scratch_databases(&scene).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_binary_prints_the_findings_and_the_diff() {
    let scene = scene("drift_binary", &[PATIENTS]).await;
    scene.ready().await;
    scene.database.execute("ALTER TABLE patients ALTER name SET DEFAULT 'x'").await;
    let output = finish(scene.command("run")).await;
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(
            "schema-drift public.patients.name: different column: default: the migrations make none"
        ),
        "{said}"
    );
}

#[tokio::test]
async fn only_what_is_applied_is_replayed() {
    let scene = scene("drift_target", &[PATIENTS, VISITS])
        .await
        .with("migrations", "{configMaps: [records], target: 1_patients}");
    let outcomes = scene.ready().await;
    assert_eq!(outcomes.last().map(|outcome| outcome.verdict), Some(Verdict::Passed));
}
