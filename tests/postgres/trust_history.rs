//! Nobody forges the history: Sluice refuses a table of it that others own, rewrite, hide rows of or hang triggers on, and changes nothing.

use sluice::{
    api::Reason,
    stage::{
        self,
        outcome::{Stage, Verdict},
    },
};

use crate::stage_scene::Scene;

const FIRST: (&str, &str) = ("1_first", "CREATE TABLE t (x int);");
const SECOND: (&str, &str) = ("2_second", "CREATE TABLE u (x int);");
/// What an intruder's function does with the rights of whoever calls it.
const CODE: &str =
    "CREATE FUNCTION public.code() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN EXECUTE ''CREATE TABLE public.booty ()''; RETURN NEW; END'";

/// A database with one applied migration, a pending one, and a role that has nothing to do with the one that migrates.
async fn scene(test: &str) -> Scene {
    let scene = Scene::new(test, &[FIRST]).await;
    scene.ready().await;
    let intruder = intruder(&scene);
    scene.database.execute(&format!("CREATE ROLE {intruder}; GRANT CREATE, USAGE ON SCHEMA public TO {intruder}")).await;
    scene.write(SECOND.0, SECOND.1);
    scene
}

fn intruder(scene: &Scene) -> String {
    format!("{}_intruder", scene.database.name)
}

/// Somebody does this, and Sluice stops in its plan and in a verification, says why, and leaves everything as it is.
async fn refused(scene: &Scene, attack: &str, reason: &str) {
    scene.database.execute(&attack.replace("{intruder}", &intruder(scene)).replace("{role}", &scene.role)).await;
    let before = scene.catalog().await;
    let outcome = scene.stopped(Stage::Plan, Reason::HistoryUntrusted).await;
    assert!(outcome.message.contains(reason), "{attack}: {}", outcome.message);
    let verified = stage::run(Stage::Verify, &scene.context(), &[]).await;
    assert_eq!((verified.verdict, verified.reason), (Verdict::Failed, Reason::HistoryUntrusted), "{attack}: {}", verified.message);
    assert_eq!(scene.catalog().await, before, "{attack}");
}

/// The same when it happens between the plan and the migrations.
async fn refused_late(scene: &Scene, attack: &str) {
    let context = scene.context();
    let mut outcomes = Vec::new();
    for stage in [Stage::Plan, Stage::Snapshot] {
        outcomes.push(stage::run(stage, &context, &outcomes).await);
    }
    scene.database.execute(&attack.replace("{intruder}", &intruder(scene)).replace("{role}", &scene.role)).await;
    let before = scene.catalog().await;
    let outcome = stage::run(Stage::Migrate, &context, &outcomes).await;
    assert_eq!((outcome.verdict, outcome.reason), (Verdict::Failed, Reason::HistoryUntrusted), "{attack}: {}", outcome.message);
    assert_eq!(scene.catalog().await, before, "{attack}");
}

const TRIGGER: &str = "GRANT TRIGGER ON _prisma_migrations TO {intruder}; SET ROLE {intruder}; ";

#[tokio::test]
async fn a_trigger_of_somebody_else_on_the_history_never_runs() {
    let scene = scene("trust_trigger").await;
    let attack =
        format!("{TRIGGER}{CODE}; CREATE TRIGGER eve BEFORE INSERT ON _prisma_migrations FOR EACH ROW EXECUTE FUNCTION public.code()");
    refused_late(&scene, &attack).await;
    refused(&scene, "SELECT 1", "has the trigger \"eve\"").await;
    assert_eq!(scene.value("SELECT (to_regclass('public.booty') IS NULL)::text").await, "true");
    scene.database.execute("DROP TRIGGER eve ON _prisma_migrations").await;
    scene.ready().await;
    assert_eq!(scene.ledger().await, ["1_first applied", "2_second applied"]);
}

#[tokio::test]
async fn neither_does_a_function_of_postgresql_that_whoever_may_create_triggers_hangs_there() {
    let scene = scene("trust_builtin").await;
    let attack = format!(
        "{TRIGGER}CREATE TRIGGER eve BEFORE UPDATE ON _prisma_migrations FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()"
    );
    refused(&scene, &attack, "REVOKE TRIGGER").await;
}

#[tokio::test]
async fn a_trigger_of_the_teams_own_on_the_history_stays_its_own_business() {
    let scene = scene("trust_own").await;
    let own = "SET ROLE {role}; CREATE TABLE seen (name text); CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS \
               'BEGIN INSERT INTO public.seen VALUES (NEW.migration_name); RETURN NEW; END'; \
               CREATE TRIGGER seen AFTER INSERT ON _prisma_migrations FOR EACH ROW EXECUTE FUNCTION seen()";
    scene.database.execute(&own.replace("{role}", &scene.role)).await;
    scene.ready().await;
    assert_eq!(scene.value("SELECT string_agg(name, ',') FROM seen").await, "2_second");
}

#[tokio::test]
async fn a_view_a_rule_a_policy_and_a_child_table_forge_nothing() {
    let moved = "ALTER TABLE _prisma_migrations RENAME TO hidden; \
                 CREATE VIEW _prisma_migrations AS SELECT * FROM hidden UNION ALL SELECT 'x', checksum, finished_at, '2_second', logs, NULL, started_at, 1 FROM hidden; \
                 ALTER VIEW _prisma_migrations OWNER TO {role}";
    refused(&scene("trust_view").await, moved, "is no ordinary table").await;
    let rule = "CREATE RULE eve AS ON INSERT TO _prisma_migrations DO INSTEAD NOTHING";
    refused(&scene("trust_rule").await, rule, "has the rule \"eve\"").await;
    let policy = "ALTER TABLE _prisma_migrations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY eve ON _prisma_migrations USING (false)";
    refused(&scene("trust_policy").await, policy, "does not see every row").await;
    let child = "CREATE TABLE eve () INHERITS (_prisma_migrations); INSERT INTO eve (id, checksum, migration_name, finished_at) VALUES ('x', 'x', '2_second', now())";
    refused(&scene("trust_child").await, child, "inherits from").await;
}

#[tokio::test]
async fn a_history_that_somebody_else_made_first_is_none() {
    let made = "SET ROLE {intruder}; CREATE TABLE public._prisma_migrations (id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL, finished_at timestamptz, \
                  migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz, started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count int NOT NULL DEFAULT 0); \
                GRANT ALL ON public._prisma_migrations TO {role}";
    let scene = Scene::new("trust_squatter", &[FIRST]).await;
    let intruder = intruder(&scene);
    scene.database.execute(&format!("CREATE ROLE {intruder}; GRANT CREATE, USAGE ON SCHEMA public TO {intruder}")).await;
    refused(&scene, made, "belongs to").await;
}

#[tokio::test]
async fn neither_is_a_schema_sluice_of_somebody_else_nor_a_trigger_on_what_is_in_it() {
    let scene = scene("trust_schema").await;
    refused(&scene, "ALTER SCHEMA sluice OWNER TO {intruder}", "the schema sluice belongs to").await;
    scene.database.execute(&format!("ALTER SCHEMA sluice OWNER TO {}", scene.role)).await;
    let attack = format!(
        "GRANT TRIGGER ON sluice.texts TO {{intruder}}; GRANT USAGE ON SCHEMA sluice TO {{intruder}}; SET ROLE {{intruder}}; {CODE}; \
         CREATE TRIGGER eve BEFORE INSERT ON sluice.texts FOR EACH ROW EXECUTE FUNCTION public.code()"
    );
    refused(&scene, &attack, "sluice.texts has the trigger \"eve\"").await;
}
