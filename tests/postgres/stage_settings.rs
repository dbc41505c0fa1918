//! What a file sets holds to its end, however many transactions it takes, and no statement of it runs twice
//! for that.

use sluice::{api::Reason, contract::Stage};

use crate::stage_scene::Scene;

const INIT: (&str, &str) =
    ("1_init", "CREATE SCHEMA other; CREATE TABLE t (a int); CREATE TABLE other.t (a int, b int);");
/// What a later step of the file sees. A concurrent build stands before it, so that it is another
/// transaction.
const LOOKS: &str = "CREATE TABLE public.seen AS SELECT current_setting('app.tenant', true) AS tenant, \
    current_setting('search_path') AS path, \
     current_setting('work_mem') AS memory, current_user::text AS who, session_user::text AS login;";
const NEXT: &str = "CREATE TABLE public.next AS SELECT current_setting('app.tenant', true) AS tenant, \
    current_setting('work_mem') AS memory, \
     current_user::text AS who;";

/// What a file sees that sets something, builds an index, and looks. The file after it must see nothing of
/// it.
async fn seen_after(test: &str, sets: &str) -> String {
    let scene = Scene::new(test, &[INIT]).await;
    let other = format!("other_of_{}", scene.database.name);
    scene
        .database
        .execute(&format!(
            "CREATE ROLE {other} NOLOGIN; GRANT {other} TO {}; GRANT ALL ON SCHEMA public TO {other}",
            scene.role
        ))
        .await;
    scene.ready().await;
    if sets.contains("OTHER") {
        // Who builds an index has to own its table.
        scene.database.execute(&format!("ALTER TABLE public.t OWNER TO {other}")).await;
    }
    scene.write(
        "2_sets",
        &format!("{}\nCREATE INDEX CONCURRENTLY i ON public.t (a);\n{LOOKS}", sets.replace("OTHER", &other)),
    );
    scene.write("3_next", NEXT);
    scene.ready().await;
    let next = scene.value("SELECT concat_ws('|', nullif(tenant, ''), memory, who) FROM next").await;
    assert_eq!(next, format!("4MB|{}", scene.role), "what {sets} set leaked into the next file");
    scene.value("SELECT concat_ws('|', nullif(tenant, ''), path, memory, who = login) FROM seen").await
}

#[tokio::test]
async fn every_way_to_set_something_holds_until_the_file_ends() {
    for (at, (sets, expected)) in [
        ("SET app.tenant = 'x'; SET work_mem = '5MB';", "x|\"public\"|5MB|t"),
        ("SET  LOCAL app.tenant = 'x';", "x|\"public\"|4MB|t"),
        ("SET\nLOCAL work_mem = '7MB';", "\"public\"|7MB|t"),
        ("/* first */ SET LOCAL work_mem TO '7MB';", "\"public\"|7MB|t"),
        ("SELECT SET_CONFIG('app.Tenant', 'x', true);", "x|\"public\"|4MB|t"),
        (
            "SELECT pg_catalog.set_config('app.tenant', 'x', false), set_config('work_mem', '9MB', \
            true);",
            "x|\"public\"|9MB|t",
        ),
        (
            "DO $$ BEGIN PERFORM set_config('app.tenant', 'x', false); EXECUTE 'SET work_mem = \"6MB\"'; END \
            $$;",
            "x|\"public\"|6MB|t",
        ),
        ("SET search_path = public, other;", "public, other|4MB|t"),
        ("SET SCHEMA 'other';", "other|4MB|t"),
        ("SET work_mem = '5MB'; RESET work_mem;", "\"public\"|4MB|t"),
        ("SET ROLE OTHER;", "\"public\"|4MB|f"),
        ("SET LOCAL ROLE OTHER; SET work_mem = '5MB';", "\"public\"|5MB|f"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(seen_after(&format!("sets_{at}"), sets).await, expected, "after {sets}");
    }
}

#[tokio::test]
async fn a_statement_that_mentions_set_config_runs_once() {
    let file = "WITH i AS (INSERT INTO t VALUES (1) RETURNING a) SELECT set_config('my.x', (SELECT a::text \
        FROM i), false);\n\
                CREATE INDEX CONCURRENTLY ti ON t (a);\nCREATE TABLE seen AS SELECT current_setting('my.x', \
                true) AS x;\n\
                CREATE INDEX CONCURRENTLY tj ON t (a);\nSELECT 1;";
    let scene = Scene::new("once", &[INIT, ("2_once", file)]).await;
    scene.ready().await;
    assert_eq!(scene.value("SELECT count(*)::text FROM t").await, "1");
    assert_eq!(scene.value("SELECT x FROM seen").await, "1");
}

#[tokio::test]
async fn an_attempt_that_goes_on_knows_what_the_steps_before_it_have_set() {
    let begins = "WITH i AS (INSERT INTO t VALUES (1) RETURNING a) SELECT set_config('my.x', (SELECT a::text \
        FROM i), false);\n\
                  SET LOCAL search_path = other, public;\nCREATE INDEX CONCURRENTLY i ON public.t (a);\n";
    let scene = Scene::new("goes_on", &[INIT, ("2_file", &format!("{begins}SELECT missing;"))]).await;
    scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    scene
        .write("2_file", &format!("{begins}CREATE TABLE seen AS SELECT current_setting('my.x', true) AS x;"));
    scene.ready().await;
    assert_eq!(scene.value("SELECT x FROM other.seen").await, "1");
    assert_eq!(scene.value("SELECT count(*)::text FROM public.t").await, "1");
}

#[tokio::test]
async fn a_setting_that_cannot_be_set_again_is_told_and_nothing_panics() {
    // The role is gone when the next step is to become it. Its name has characters of two bytes, as the file
    // has.
    let file = "CREATE ROLE \"é_DB\"; GRANT \"é_DB\" TO CURRENT_USER; SET ROLE \"é_DB\"; DROP ROLE \
        \"é_DB\";\nCREATE INDEX CONCURRENTLY i ON t (a);";
    let scene = Scene::new("told", &[INIT]).await;
    scene.database.execute(&format!("ALTER ROLE {} SUPERUSER", scene.role)).await;
    scene.write("2_file", &file.replace("DB", &scene.database.name));
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert!(outcome.failure.is_some_and(|failure| failure.line <= 2), "{}", outcome.message);
}

#[tokio::test]
async fn a_scratch_database_is_made_with_the_same_settings() {
    let file = "SET LOCAL search_path = other, public;\nCREATE INDEX CONCURRENTLY i ON public.t (a);\nCREATE \
        TABLE there (a int);";
    let scene = Scene::new("scratch_settings", &[INIT, ("2_file", file)]).await;
    let scene = scene
        .with("database", "{secretRef: {name: records-db}, schemas: [public, other]}")
        .with("verify", "{drift: {}}");
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    scene.ready().await;
    assert_eq!(scene.value("SELECT to_regclass('other.there')::text").await, "other.there");
}
