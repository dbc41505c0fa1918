//! What a file does to its session stays in the file: the next one, and the history, see a fresh session.

use sluice::{api::Reason, contract::Stage};

use crate::stage_scene::Scene;

/// A file that reads what the one before may have left.
const LOOKS: &str = "CREATE TABLE IF NOT EXISTS public.seen AS SELECT current_setting('search_path') AS \
    path, current_user::text AS who, \
     current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement, \
     current_setting('app.tenant', true) AS tenant, \
     current_setting('session_replication_role') AS replication, current_setting('DateStyle') AS style;";

async fn seen_after(test: &str, sql: &str, atomicity: &str) -> String {
    let scene = Scene::new(test, &[("1_sets", sql), ("2_looks", LOOKS)])
        .await
        .with("apply", &format!("{{atomicity: {atomicity}}}"));
    scene
        .database
        .execute(&format!(
            "CREATE ROLE other_of_{} NOLOGIN; GRANT other_of_{0} TO {}",
            scene.database.name, scene.role
        ))
        .await;
    let named = sql.replace("OTHER", &format!("other_of_{}", scene.database.name));
    scene.write("1_sets", &named);
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_sets applied", "2_looks applied"], "{sql}");
    let seen = scene
        .value(
            "SELECT concat_ws('|', path, who, lock, statement, coalesce(nullif(tenant, ''), '-'), \
            replication, style) FROM seen",
        )
        .await;
    seen.replace(&scene.role, "ROLE")
}

#[tokio::test]
async fn no_setting_of_a_file_leaks_into_the_next_or_into_the_history() {
    for (at, sql) in [
        "SET search_path = pg_catalog;",
        "SET search_path = '';",
        "SELECT pg_catalog.set_config('search_path', '', false);",
        "SELECT set_config('app.tenant', '7', false);",
        "SET LOCAL search_path = pg_catalog;",
        "SET ROLE OTHER;",
        "SET LOCAL ROLE OTHER;",
        "SET lock_timeout = '7s'; SET statement_timeout = 0;",
        "SET LOCAL lock_timeout = 0;",
        "RESET ALL; SET DateStyle = 'German';",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;",
        "DO $$ BEGIN PERFORM set_config('search_path', '', false); PERFORM set_config('app.tenant', '7', \
            false); END $$;",
        "CREATE FUNCTION sets() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', \
            '', false); RETURN 1; END $$; SELECT sets();",
        "CREATE FUNCTION sets() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', \
            '', false); RETURN 1; END $$; \
         CREATE TABLE made AS SELECT sets();",
        "/* first */ SET search_path = '';",
        "DEALLOCATE ALL;",
        "PREPARE p AS SELECT 1; DISCARD PLANS;",
        "LISTEN something; NOTIFY something;",
        "DISCARD SEQUENCES; DISCARD TEMP;",
    ]
    .into_iter()
    .enumerate()
    {
        for atomicity in ["Release", "Migration"] {
            let seen = seen_after(&format!("leak_{at}"), sql, atomicity).await;
            assert_eq!(
                seen, "\"public\"|ROLE|100ms|5min|-|origin|ISO, MDY",
                "after {sql} with atomicity \
                {atomicity}"
            );
        }
    }
}

#[tokio::test]
async fn a_setting_holds_to_the_end_of_its_own_file() {
    let scene = Scene::new(
        "own_file",
        &[("1_sets", "CREATE SCHEMA inner_one; SET search_path = inner_one;\nCREATE TABLE here ();")],
    )
    .await;
    scene.ready().await;
    assert_eq!(scene.value("SELECT to_regclass('inner_one.here')::text").await, "inner_one.here");
}

#[tokio::test]
async fn a_deferred_constraint_is_checked_at_the_end_of_its_file_and_blamed_on_it() {
    let init = "CREATE TABLE p (x int PRIMARY KEY); CREATE TABLE c (x int PRIMARY KEY REFERENCES p \
        DEFERRABLE INITIALLY DEFERRED);";
    let scene = Scene::new("deferred", &[("1_init", init)]).await;
    scene.ready().await;
    scene.write("2_guilty", "INSERT INTO c VALUES (1);\nSELECT 1;");
    scene.write("3_innocent", "INSERT INTO p VALUES (2);");
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    let failure = outcome.failure.expect("a failure");
    assert_eq!(
        (failure.migration.as_str(), failure.sqlstate.as_str()),
        ("2_guilty", "23503"),
        "{}",
        failure.message
    );
    assert!(failure.statement.contains("deferred"), "{}", failure.statement);
}

#[tokio::test]
async fn a_constraint_that_was_deferred_by_a_statement_is_checked_at_the_end_of_the_file_too() {
    let init =
        "CREATE TABLE p (x int PRIMARY KEY); CREATE TABLE c (x int PRIMARY KEY REFERENCES p DEFERRABLE);";
    let scene = Scene::new(
        "set_deferred",
        &[
            ("1_init", init),
            ("2_guilty", "SET CONSTRAINTS ALL DEFERRED; INSERT INTO c VALUES (1);"),
            ("3_innocent", "SELECT 1;"),
        ],
    )
    .await;
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert_eq!(outcome.failure.map(|failure| failure.migration).as_deref(), Some("2_guilty"));
}

#[tokio::test]
async fn constraints_that_are_deferred_from_the_start_are_so_in_every_file_of_a_release() {
    let init = "CREATE TABLE p (x int PRIMARY KEY); CREATE TABLE c (x int PRIMARY KEY REFERENCES p \
        DEFERRABLE INITIALLY DEFERRED);";
    let files = [
        ("1_init", init),
        ("2_child_first", "INSERT INTO c VALUES (1); INSERT INTO p VALUES (1);"),
        (
            "3_another",
            "CREATE TABLE d (x int PRIMARY KEY REFERENCES p DEFERRABLE INITIALLY DEFERRED); INSERT INTO d \
                VALUES (2); INSERT INTO p VALUES (2);",
        ),
        ("4_child_first", "INSERT INTO c VALUES (3); INSERT INTO d VALUES (3); INSERT INTO p VALUES (3);"),
    ];
    let scene = Scene::new("deferred_again", &files).await;
    scene.ready().await;
    assert_eq!(scene.history_table().await.len(), 4);
}

#[tokio::test]
async fn a_constraint_that_is_immediate_from_the_start_stays_so_in_every_file_of_a_release() {
    let init = "CREATE TABLE p (x int PRIMARY KEY); CREATE TABLE c (x int REFERENCES p DEFERRABLE); CREATE \
        INDEX ON c (x);";
    // ALTER TABLE is refused while an event of a deferred trigger is pending.
    let files = [
        ("1_init", init),
        ("2_first", "SELECT 1;"),
        ("3_both", "INSERT INTO p VALUES (1); INSERT INTO c VALUES (1); ALTER TABLE c ADD COLUMN y int;"),
    ];
    Scene::new("immediate", &files).await.ready().await;
}

#[tokio::test]
async fn temporary_tables_and_cursors_end_with_their_file() {
    let uses = "CREATE TEMP TABLE work AS SELECT 1 AS x; DECLARE c CURSOR WITH HOLD FOR SELECT * FROM work; \
        DECLARE d CURSOR FOR SELECT * FROM work; FETCH d;";
    let scene = Scene::new(
        "temporary",
        &[("1_first", uses), ("2_second", uses), ("3_third", "CREATE TABLE work ();")],
    )
    .await;
    scene.ready().await;
    assert_eq!(scene.value("SELECT relpersistence::text FROM pg_class WHERE relname = 'work'").await, "p");
}

#[tokio::test]
async fn bodies_with_semicolons_are_one_statement_each() {
    let sql = "DO $$ BEGIN PERFORM 1; PERFORM 2; END; $$;\n\
        CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $body$ BEGIN RETURN 1; -- ; $$\n END; $body$;\n\
        CREATE FUNCTION g() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;\n\
        CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1; SELECT '';'';';\n\
        INSERT INTO t VALUES (E'\\'; --', U&'d\\0061t;', $x$;$x$, '/* ; */'); /* ; /* nested ; */ ; */\n\
        CREATE RULE r AS ON DELETE TO t DO INSTEAD (SELECT 1; SELECT 2);\nSELECT missing;";
    let scene = Scene::new("bodies", &[("1_t", "CREATE TABLE t (a text, b text, c text, d text);")]).await;
    scene.ready().await;
    scene.write("2_bodies", sql);
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert_eq!(
        outcome.failure.map(|failure| (failure.line, failure.statement)),
        Some((8, "SELECT missing".to_owned()))
    );
    scene.write("2_bodies", &sql.replace("SELECT missing", "SELECT g();"));
    scene.ready().await;
    assert_eq!(
        scene.value("SELECT f() || ' ' || g() || ' ' || (SELECT a || b || c || d FROM t)").await,
        "1 2 '; --dat;;/* ; */"
    );
}
