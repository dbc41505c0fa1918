//! No other role forges the history: Sluice refuses a table of it that others own, rewrite, hide rows of or
//! hang triggers on, and changes nothing; `sluice wait` believes none that another role planted; and who may
//! write its rows is told.

use sluice::{
    api::{Finding, Reason, Severity},
    contract::{Stage, Verdict},
    stage,
};

use crate::{
    server::Server,
    stage_scene::{Scene, finish, said},
};

pub const FIRST: (&str, &str) = ("1_first", "CREATE TABLE t (x int);");
pub const SECOND: (&str, &str) = ("2_second", "CREATE TABLE u (x int);");
/// What an intruder's function does with the rights of the role that calls it.
pub const CODE: &str = "CREATE FUNCTION public.code() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN EXECUTE \
    ''CREATE TABLE public.booty ()''; RETURN NEW; END'";

/// A database with one applied migration, a pending one, and a role that has nothing to do with the one that
/// migrates.
pub async fn scene(test: &str) -> Scene {
    let scene = Scene::new(test, &[FIRST]).await;
    scene.ready().await;
    let intruder = intruder(&scene);
    scene
        .database
        .execute(&format!("CREATE ROLE {intruder}; GRANT CREATE, USAGE ON SCHEMA public TO {intruder}"))
        .await;
    scene.write(SECOND.0, SECOND.1);
    scene
}

pub fn intruder(scene: &Scene) -> String {
    format!("{}_intruder", scene.database.name)
}

fn filled(scene: &Scene, attack: &str) -> String {
    let roles = attack.replace("{intruder}", &intruder(scene)).replace("{role}", &scene.role);
    roles.replace("{database}", &scene.database.name)
}

/// Another role does this, and Sluice stops in its plan and in a verification, says why, and leaves
/// everything as it is.
pub async fn refused(scene: &Scene, attack: &str, reason: &str) {
    scene.database.execute(&filled(scene, attack)).await;
    let before = scene.catalog().await;
    let outcome = scene.stopped(Stage::Plan, Reason::HistoryUntrusted).await;
    assert!(outcome.message.contains(reason), "{attack}: {}", outcome.message);
    let verified = stage::run(Stage::Verify, &scene.context(), &[]).await;
    assert_eq!(
        (verified.verdict, verified.reason),
        (Verdict::Failed, Reason::HistoryUntrusted),
        "{attack}: {}",
        verified.message
    );
    assert_eq!(scene.catalog().await, before, "{attack}");
}

/// The same when it happens between the plan and the migrations.
pub async fn refused_late(scene: &Scene, attack: &str) {
    let context = scene.context();
    let mut outcomes = Vec::new();
    for stage in [Stage::Plan, Stage::Snapshot] {
        outcomes.push(stage::run(stage, &context, &outcomes).await);
    }
    scene.database.execute(&filled(scene, attack)).await;
    let before = scene.catalog().await;
    let outcome = stage::run(Stage::Migrate, &context, &outcomes).await;
    assert_eq!(
        (outcome.verdict, outcome.reason),
        (Verdict::Failed, Reason::HistoryUntrusted),
        "{attack}: {}",
        outcome.message
    );
    assert_eq!(scene.catalog().await, before, "{attack}");
}

const TRIGGER: &str = "GRANT TRIGGER ON _prisma_migrations TO {intruder}; SET ROLE {intruder}; ";

#[tokio::test]
async fn a_trigger_of_somebody_else_on_the_history_never_runs() {
    let scene = scene("trust_trigger").await;
    let attack = format!(
        "{TRIGGER}{CODE}; CREATE TRIGGER eve BEFORE INSERT ON _prisma_migrations FOR EACH ROW EXECUTE \
            FUNCTION public.code()"
    );
    refused_late(&scene, &attack).await;
    refused(&scene, "SELECT 1", "has the trigger \"eve\"").await;
    assert_eq!(scene.value("SELECT (to_regclass('public.booty') IS NULL)::text").await, "true");
    scene.database.execute("DROP TRIGGER eve ON _prisma_migrations").await;
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_first applied", "2_second applied"]);
}

#[tokio::test]
async fn neither_does_a_function_of_postgresql_that_whoever_may_create_triggers_hangs_there() {
    let scene = scene("trust_builtin").await;
    let attack = format!(
        "{TRIGGER}CREATE TRIGGER eve BEFORE UPDATE ON _prisma_migrations FOR EACH ROW EXECUTE FUNCTION \
            pg_catalog.suppress_redundant_updates_trigger()"
    );
    refused(&scene, &attack, "REVOKE TRIGGER").await;
}

#[tokio::test]
async fn a_trigger_of_the_teams_own_on_the_history_stays_its_own_business() {
    let scene = scene("trust_own").await;
    let own = "SET ROLE {role}; CREATE TABLE seen (name text); CREATE FUNCTION seen() RETURNS trigger \
        LANGUAGE plpgsql AS \
               'BEGIN INSERT INTO public.seen VALUES (NEW.migration_name); RETURN NEW; END'; \
               CREATE TRIGGER seen AFTER INSERT ON _prisma_migrations FOR EACH ROW EXECUTE FUNCTION seen()";
    scene.database.execute(&own.replace("{role}", &scene.role)).await;
    scene.ready().await;
    assert_eq!(scene.value("SELECT string_agg(name, ',') FROM seen").await, "2_second");
}

#[tokio::test]
async fn a_view_a_rule_a_policy_and_a_child_table_forge_nothing() {
    let moved = "ALTER TABLE _prisma_migrations RENAME TO hidden; \
                 CREATE VIEW _prisma_migrations AS SELECT * FROM hidden UNION ALL SELECT 'x', checksum, \
                 finished_at, '2_second', logs, NULL, started_at, 1 FROM hidden; \
                 ALTER VIEW _prisma_migrations OWNER TO {role}";
    refused(&scene("trust_view").await, moved, "is no ordinary table").await;
    let rule = "CREATE RULE eve AS ON INSERT TO _prisma_migrations DO INSTEAD NOTHING";
    refused(&scene("trust_rule").await, rule, "has the rule \"eve\"").await;
    let policy = "ALTER TABLE _prisma_migrations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE \
        POLICY eve ON _prisma_migrations USING (false)";
    refused(&scene("trust_policy").await, policy, "does not see every row").await;
    let child = "CREATE TABLE eve () INHERITS (_prisma_migrations); INSERT INTO eve (id, checksum, \
        migration_name, finished_at) VALUES ('x', 'x', '2_second', now())";
    refused(&scene("trust_child").await, child, "inherits from").await;
}

#[tokio::test]
async fn a_history_that_somebody_else_made_first_is_none() {
    let made = "SET ROLE {intruder}; CREATE TABLE public._prisma_migrations (id varchar(36) PRIMARY KEY, \
        checksum varchar(64) NOT NULL, finished_at timestamptz, \
                  migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz, started_at \
                  timestamptz NOT NULL DEFAULT now(), applied_steps_count int NOT NULL DEFAULT 0); \
                GRANT ALL ON public._prisma_migrations TO {role}";
    let scene = Scene::new("trust_squatter", &[FIRST]).await;
    let intruder = intruder(&scene);
    scene
        .database
        .execute(&format!("CREATE ROLE {intruder}; GRANT CREATE, USAGE ON SCHEMA public TO {intruder}"))
        .await;
    refused(&scene, made, "belongs to").await;
}

#[tokio::test]
async fn neither_is_a_schema_sluice_of_somebody_else_nor_a_trigger_on_what_is_in_it() {
    let scene = scene("trust_schema").await;
    refused(&scene, "ALTER SCHEMA sluice OWNER TO {intruder}", "the schema sluice belongs to").await;
    scene.database.execute(&format!("ALTER SCHEMA sluice OWNER TO {}", scene.role)).await;
    let attack = format!(
        "GRANT TRIGGER ON sluice.texts TO {{intruder}}; GRANT USAGE ON SCHEMA sluice TO {{intruder}}; SET \
            ROLE {{intruder}}; {CODE}; \
         CREATE TRIGGER eve BEFORE INSERT ON sluice.texts FOR EACH ROW EXECUTE FUNCTION public.code()"
    );
    refused(&scene, &attack, "sluice.texts has the trigger \"eve\"").await;
}

/// What `sluice wait` says about 2_second when it is connected as this role, and whether it said yes.
pub async fn waited(scene: &Scene, role: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(["wait", "--require", "2_second", "--timeout", "200ms"]).args(arguments);
    command.env("DATABASE_URL", scene.url.replacen(&scene.role, role, 1));
    let output = finish(command).await;
    (output.status.success(), said(&output))
}

pub const PLANTED: &str = "SET ROLE {intruder}; CREATE TABLE public._prisma_migrations (id varchar(36) \
    PRIMARY KEY, checksum varchar(64) NOT NULL, finished_at timestamptz, \
    migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz, started_at timestamptz NOT \
    NULL DEFAULT now(), applied_steps_count int NOT NULL DEFAULT 0); \
    INSERT INTO public._prisma_migrations (id, checksum, finished_at, migration_name) VALUES ('x', 'x', \
    now(), '2_second'); \
    GRANT SELECT ON public._prisma_migrations TO PUBLIC";

#[tokio::test]
async fn a_history_that_somebody_planted_does_not_make_wait_say_yes() {
    let scene = Scene::new("trust_wait", &[FIRST]).await;
    let (intruder, app) = (intruder(&scene), format!("{}_app", scene.database.name));
    scene
        .database
        .execute(&format!(
            "CREATE ROLE {intruder}; CREATE ROLE {app} LOGIN; GRANT CREATE, USAGE ON SCHEMA \
            public TO {intruder}"
        ))
        .await;
    scene.database.execute(&PLANTED.replace("{intruder}", &intruder)).await;
    for role in [&scene.role, &app] {
        let (yes, said) = waited(&scene, role, &[]).await;
        assert!(
            !yes && said.contains(&format!("belongs to {intruder:?}")) && said.contains("--history-owner"),
            "{role}: {said}"
        );
    }
    // The control: without the check of its owner it would be believed, and a user who names the owner says
    // that he knows him.
    let (yes, said) = waited(&scene, &app, &["--history-owner", &intruder]).await;
    assert!(yes, "{said}");

    // A view of the owner's own name is none either, and its code does not run.
    let view = "DROP TABLE _prisma_migrations; SET ROLE {role}; CREATE FUNCTION ran() RETURNS timestamptz \
        LANGUAGE plpgsql AS \
                'BEGIN RAISE EXCEPTION ''it ran''; END'; CREATE VIEW _prisma_migrations AS SELECT '2_second' \
                AS migration_name, '1' AS id, ran() AS finished_at, \
                NULL::timestamptz AS rolled_back_at, now() AS started_at; GRANT SELECT ON _prisma_migrations \
                TO PUBLIC";
    scene.database.execute(&view.replace("{role}", &scene.role)).await;
    let (yes, said) = waited(&scene, &app, &[]).await;
    assert!(!yes && said.contains("is no ordinary table") && !said.contains("it ran"), "{said}");
}

#[tokio::test]
async fn an_application_that_may_only_read_waits_for_a_history_of_the_owner_of_the_database_or_of_a_role_that_it_names()
 {
    let scene = Scene::new("trust_reader", &[FIRST, SECOND]).await;
    scene.ready().await;
    let app = format!("{}_app", scene.database.name);
    scene
        .database
        .execute(&format!("CREATE ROLE {app} LOGIN; GRANT SELECT ON _prisma_migrations TO {app}"))
        .await;
    let (yes, said) = waited(&scene, &app, &[]).await;
    assert!(yes, "{said}");
    scene.database.execute(&format!("ALTER DATABASE {} OWNER TO postgres", scene.database.name)).await;
    let (yes, said) = waited(&scene, &app, &[]).await;
    assert!(!yes && said.contains(&format!("--history-owner {}", scene.role)), "{said}");
    let (yes, said) = waited(&scene, &app, &["--history-owner", &scene.role]).await;
    assert!(yes, "{said}");
    let (yes, said) = waited(&scene, &scene.role, &[]).await;
    assert!(yes, "its own: {said}");
}

/// Who may write the history, as a verification that passes tells it: object, message and remedy.
async fn writers(scene: &Scene) -> Vec<(String, String, String)> {
    let outcomes = scene.ready().await;
    let of_it = |finding: &&Finding| finding.check.name() == "history-privileges";
    let found: Vec<&Finding> = outcomes.last().expect("verified").findings.iter().filter(of_it).collect();
    assert!(found.iter().all(|finding| finding.severity == Severity::Warning), "{found:#?}");
    found
        .into_iter()
        .map(|finding| (finding.object.clone(), finding.message.clone(), finding.remedy.clone()))
        .collect()
}

#[tokio::test]
async fn whoever_may_write_rows_of_the_history_without_owning_it_is_told_with_the_statement_that_ends_it() {
    // A role of the whole server that may write everywhere: the other tests would be told of it.
    let server = Server::another(None, None);
    let scene =
        Scene::on(&server, "trust_writers", &[FIRST, ("2_index", "CREATE INDEX CONCURRENTLY i ON t (x);")])
            .await;
    let (role, app) = (scene.role.clone(), format!("{}_app", scene.database.name));
    let group = format!("{}_group", scene.database.name);
    scene
        .database
        .execute(&format!("CREATE ROLE {app} LOGIN; CREATE ROLE {group}; GRANT {group} TO {app}"))
        .await;
    assert_eq!(writers(&scene).await, [], "only the owner and superusers");
    scene
        .database
        .execute(&format!(
            "GRANT SELECT, REFERENCES ON _prisma_migrations TO {app}, PUBLIC; GRANT UPDATE ON t TO PUBLIC"
        ))
        .await;
    assert_eq!(
        writers(&scene).await,
        [],
        "who reads it forges nothing, and other tables are not the history"
    );
    assert_eq!(
        scene
            .value(
                "SELECT (to_regclass('sluice.steps') IS NOT NULL OR to_regclass('sluice.texts') IS NOT \
            NULL)::text"
            )
            .await,
        "true"
    );

    let history = "\"public\".\"_prisma_migrations\"";
    for (grant, object, named, remedy) in [
        (
            format!("GRANT ALL ON _prisma_migrations TO {app}"),
            "public._prisma_migrations",
            &app,
            format!("REVOKE DELETE, INSERT, TRUNCATE, UPDATE ON {history} FROM \"{app}\""),
        ),
        (
            format!("GRANT DELETE ON _prisma_migrations TO {group}"),
            "public._prisma_migrations",
            &group,
            format!("REVOKE DELETE ON {history} FROM \"{group}\""),
        ),
        (
            format!("GRANT UPDATE (finished_at) ON _prisma_migrations TO {app}"),
            "public._prisma_migrations",
            &app,
            format!("REVOKE UPDATE ON {history} FROM \"{app}\""),
        ),
        (
            "GRANT INSERT ON _prisma_migrations TO PUBLIC".to_owned(),
            "public._prisma_migrations",
            &"PUBLIC".to_owned(),
            format!("REVOKE INSERT ON {history} FROM PUBLIC"),
        ),
        (
            format!("GRANT INSERT ON sluice.texts TO {app}"),
            "sluice.texts",
            &app,
            format!("REVOKE INSERT ON \"sluice\".\"texts\" FROM \"{app}\""),
        ),
        (format!("GRANT {role} TO {app}"), role.as_str(), &app, format!("REVOKE \"{role}\" FROM \"{app}\"")),
        (
            format!("GRANT pg_write_all_data TO {app}"),
            "pg_write_all_data",
            &app,
            format!("REVOKE \"pg_write_all_data\" FROM \"{app}\""),
        ),
    ] {
        scene.database.execute(&grant).await;
        let found = writers(&scene).await;
        assert_eq!(
            found.iter().map(|(object, _, remedy)| (object.as_str(), remedy)).collect::<Vec<_>>(),
            [(object, &remedy)],
            "{grant}"
        );
        assert!(found[0].1.contains(named.as_str()), "{grant}: {}", found[0].1);
        scene.database.execute(&remedy).await;
        assert_eq!(writers(&scene).await, [], "{remedy} ends it");
    }

    // A superuser may do everything, and no warning says so.
    scene
        .database
        .execute(&format!("ALTER ROLE {app} SUPERUSER; GRANT ALL ON _prisma_migrations TO {app}"))
        .await;
    assert_eq!(writers(&scene).await, []);
}
