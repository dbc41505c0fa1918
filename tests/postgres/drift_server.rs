//! A replay leaves the server as it is, whatever a migration does where no text shows it; and what cannot be
//! replayed is a finding.

use sluice::{api::Finding, contract::Stage, stage};

use crate::stage_scene::Scene;

/// A migration role that may make roles, another role, and this migration, applied before Sluice compares.
async fn applied(test: &str, sql: &str) -> (Scene, String) {
    let mut scene = Scene::new(test, &[]).await;
    let other = format!("{}_other", scene.database.name);
    scene.write("1_a", &sql.replace("{other}", &other));
    scene
        .database
        .execute(&format!(
            "ALTER ROLE {0} CREATEDB CREATEROLE; CREATE ROLE {other} CONNECTION LIMIT 50; GRANT {other} TO \
                {0} WITH ADMIN OPTION",
            scene.role
        ))
        .await;
    scene.ready().await;
    scene.set("verify", "{drift: {}}");
    (scene, other)
}

/// What a verification finds.
async fn drift(scene: &Scene) -> Vec<Finding> {
    let outcome = stage::run(Stage::Verify, &scene.context(), &[]).await;
    assert!(
        !outcome.findings.is_empty() || outcome.message.contains("is the one"),
        "{:?}: \
        {}",
        outcome.reason,
        outcome.message
    );
    outcome.findings.into_iter().filter(|finding| finding.check.name() == "schema-drift").collect()
}

const STATE: &str = "SELECT concat_ws(' ', rolconnlimit, rolcreatedb, (SELECT count(*) FROM pg_auth_members \
    m WHERE m.member = r.oid), \
    (SELECT string_agg(setconfig::text, '') FROM pg_db_role_setting s WHERE s.setrole = r.oid), \
    shobj_description(r.oid, 'pg_authid')) \
    FROM pg_roles r WHERE rolname = '{other}'";

#[tokio::test]
async fn no_replay_gives_back_what_an_administrator_took_away() {
    for (test, act, catalog) in [
        ("server_limit", "alter role {other} connection limit 5", "pg_authid"),
        ("server_member", "grant pg_monitor_of to {other}", "pg_auth_members"),
        ("server_setting", "alter role {other} set work_mem = ''5MB''", "pg_db_role_setting"),
        ("server_comment", "comment on role {other} is ''mine''", "pg_shdescription"),
    ] {
        let group = format!("group_of_{test}");
        let act = act.replace("pg_monitor_of", &group);
        // In a function, put together when it runs, within a subtransaction.
        let (verb, rest) = act.split_at(4);
        let sql = format!(
            "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN BEGIN EXECUTE '{verb}' || \
                '{rest}'; EXCEPTION WHEN no_data_found THEN NULL; END; END $$;\n\
             DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{group}') THEN CREATE ROLE \
             {group}; END IF; END $$;\nSELECT f();\n"
        );
        let (scene, other) = applied(test, &sql).await;
        let state = STATE.replace("{other}", &other);
        let given = scene.value(&state).await;
        let back = format!(
            "SET ROLE {}; REVOKE {group} FROM {other}; RESET ROLE; ALTER ROLE {other} CONNECTION LIMIT 50; \
                ALTER ROLE {other} RESET ALL; COMMENT ON ROLE {other} IS NULL",
            scene.role
        );
        scene.database.execute(&back).await;
        let taken = scene.value(&state).await;
        assert_ne!(given, taken, "{test}: the migration did something");
        let found = drift(&scene).await;
        assert!(
            found.len() == 1 && found[0].object == "1_a" && found[0].message.contains(catalog),
            "{test}: \
            {found:?}"
        );
        assert_eq!(scene.value(&state).await, taken, "{test}");
        // The control: a call of the function gives it back.
        scene.database.execute("SELECT f()").await;
        assert_eq!(scene.value(&state).await, given, "{test}");
    }
}

#[tokio::test]
async fn a_procedure_that_commits_by_itself_is_not_called_in_a_replay_where_a_routine_speaks_of_the_server() {
    let sql = "-- sluice: no-transaction\n\
               CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE {other} CONNECTION LIMIT 5; \
               COMMIT; END $$;\nCALL p();\n";
    let (scene, other) = applied("server_procedure", sql).await;
    scene.database.execute(&format!("ALTER ROLE {other} CONNECTION LIMIT 50")).await;
    let found = drift(&scene).await;
    assert!(
        found.len() == 1
            && found[0].object == "1_a"
            && found[0].message.contains(
                "ALTER \
        ROLE"
            ),
        "{found:?}"
    );
    assert!(scene.value(&STATE.replace("{other}", &other)).await.starts_with("50 "));
}

#[tokio::test]
async fn a_block_that_finds_its_role_there_and_does_nothing_is_replayed() {
    let sql = "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{other}_too') THEN CREATE \
        ROLE {other}_too; END IF; \
               GRANT {other} TO {other}_too; END $$;\nCREATE TABLE t (x int);\nGRANT SELECT ON t TO \
               {other};\nCOMMENT ON TABLE t IS 'x';\n";
    let (scene, _) = applied("server_guarded", sql).await;
    assert_eq!(drift(&scene).await, []);
}

#[tokio::test]
async fn copy_into_a_file_does_not_run_again_and_copy_to_the_client_is_a_finding() {
    let mut scene = Scene::new("server_copy", &[]).await;
    let file = format!("{}/copied", scene.value("SELECT current_setting('data_directory')").await);
    scene.write("1_a", &format!("CREATE TABLE t (x text);\nCOPY t TO '{file}';\n"));
    scene
        .database
        .execute(&format!(
            "ALTER ROLE {0} CREATEDB; GRANT pg_write_server_files TO \
        {0}",
            scene.role
        ))
        .await;
    scene.ready().await;
    scene.set("verify", "{drift: {}}");
    let content = format!("SELECT pg_read_file('{file}')");
    assert_eq!(scene.value(&content).await, "", "the migration wrote it");
    scene.database.execute(&format!("COPY (SELECT 'mine') TO '{file}'")).await;
    assert_eq!(drift(&scene).await, []);
    assert_eq!(scene.value(&content).await, "mine\n");

    scene.write("2_copy", "COPY t TO STDOUT;\n");
    let applied = "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, \
        applied_steps_count) \
                   VALUES ('x', encode(sha256('COPY t TO STDOUT;\n'::bytea), 'hex'), '2_copy', now(), 1)";
    scene.database.execute(applied).await;
    let found = drift(&scene).await;
    assert!(
        found.len() == 1 && found[0].object == "2_copy" && found[0].message.contains("COPY"),
        "{found:?}"
    );
}
