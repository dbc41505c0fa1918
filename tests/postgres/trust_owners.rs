//! Whom Sluice trusts with the history: superusers, the migration role and roles that can become it. Not the
//! application's role, of which the migration role is a member so that row-level security can be tested; and
//! no code that hangs on the history in any other way than by a trigger.

use sluice::{
    api::Reason,
    contract::{Stage, Verdict},
    stage,
};

use crate::{
    stage_scene::Scene,
    trust_history::{FIRST, PLANTED, intruder, refused, refused_late, scene, waited},
};

/// The intruder is the application: it logs in, and the migration role is a member of it.
async fn with_application(scene: &Scene) -> String {
    let application = intruder(scene);
    let text = format!(
        "CREATE ROLE {application} LOGIN; GRANT {application} TO {}; GRANT CREATE ON SCHEMA public TO PUBLIC",
        scene.role
    );
    scene.database.execute(&text).await;
    application
}

#[tokio::test]
async fn a_history_that_the_application_planted_is_none_though_the_migration_role_is_a_member_of_it() {
    let scene = Scene::new("trust_application", &[FIRST]).await;
    let application = with_application(&scene).await;
    let planted = format!("{PLANTED}; GRANT ALL ON public._prisma_migrations TO {{role}}");
    refused(&scene, &planted, &format!("belongs to {application:?}")).await;
    // Nor does it help that the database belongs to it.
    refused(&scene, "ALTER DATABASE {database} OWNER TO {intruder}", &format!("belongs to {application:?}"))
        .await;
    scene
        .database
        .execute(&format!(
            "DROP TABLE _prisma_migrations; ALTER DATABASE {} OWNER TO {}",
            scene.database.name, scene.role
        ))
        .await;
    scene.ready().await;
    refused(&scene, "ALTER TABLE sluice.texts OWNER TO {intruder}", "sluice.texts belongs to").await;
}

#[tokio::test]
async fn whoever_can_become_the_migration_role_may_own_the_history() {
    let scene = scene("trust_above").await;
    let above = format!("{}_above", scene.database.name);
    let text = "CREATE ROLE {above}; GRANT {role} TO {above}; GRANT CREATE, USAGE ON SCHEMA public TO \
        {above}; \
                ALTER TABLE _prisma_migrations OWNER TO {above}; GRANT ALL ON _prisma_migrations TO {role}";
    scene.database.execute(&text.replace("{above}", &above).replace("{role}", &scene.role)).await;
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_first applied", "2_second applied"]);
    refused(&scene, &format!("REVOKE {{role}} FROM {above}"), "belongs to").await;
}

#[tokio::test]
async fn wait_does_not_believe_a_role_that_the_reader_is_merely_a_member_of() {
    let scene = Scene::new("trust_wait_member", &[FIRST]).await;
    let application = with_application(&scene).await;
    scene.database.execute(&PLANTED.replace("{intruder}", &application)).await;
    let (yes, said) = waited(&scene, &scene.role, &[]).await;
    assert!(!yes && said.contains(&format!("belongs to {application:?}")), "{said}");
    // Who says which role migrates means that one, and not the reader.
    let (yes, said) = waited(&scene, &application, &["--history-owner", &scene.role]).await;
    assert!(!yes && said.contains(&format!("belongs to {application:?}")), "{said}");
    let (yes, said) = waited(&scene, &scene.role, &["--history-owner", &application]).await;
    assert!(yes, "the control: {said}");
}

/// A table of the intruder's whose rows refer to the history and go with its rows, and a trigger that then
/// runs at COMMIT.
const KEY: &str = "CREATE SCHEMA space; ALTER SCHEMA space OWNER TO {intruder}; GRANT SELECT, REFERENCES \
    (id) ON _prisma_migrations TO {intruder}; \
    CREATE TABLE seen (who text); GRANT INSERT ON seen TO PUBLIC; SET ROLE {intruder}; \
    CREATE TABLE space.t (id varchar(36) PRIMARY KEY REFERENCES public._prisma_migrations (id) ON DELETE \
    CASCADE); \
    INSERT INTO space.t SELECT id FROM public._prisma_migrations; \
    CREATE FUNCTION space.code() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.seen VALUES \
    (current_user); RETURN NULL; END'; \
    CREATE CONSTRAINT TRIGGER eve AFTER DELETE ON space.t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE \
    FUNCTION space.code()";

#[tokio::test]
async fn a_foreign_key_of_somebody_else_takes_no_row_of_the_history_with_it() {
    let scene = scene("trust_key").await;
    refused_late(&scene, KEY).await;
    refused(&scene, "SELECT 1", "ALTER TABLE space.t DROP CONSTRAINT t_id_fkey").await;
    // The control: where a row goes, the trigger runs.
    scene.database.execute(&format!("SET ROLE {}; DELETE FROM _prisma_migrations", scene.role)).await;
    assert_eq!(scene.value("SELECT count(*)::text FROM seen").await, "1");
    scene.database.execute("DROP SCHEMA space CASCADE; DROP TABLE t, seen").await;
    scene.ready().await;
}

#[tokio::test]
async fn neither_is_a_key_trusted_on_a_table_of_the_teams_own_where_others_may_make_triggers() {
    let scene = scene("trust_key_own").await;
    let own = "SET ROLE {role}; CREATE TABLE noted (id varchar(36) REFERENCES _prisma_migrations ON DELETE \
        CASCADE)";
    scene.database.execute(&own.replace("{role}", &scene.role)).await;
    scene.ready().await;
    refused(&scene, "GRANT TRIGGER ON noted TO {intruder}", "noted refers to public._prisma_migrations")
        .await;
}

#[tokio::test]
async fn no_default_check_or_index_of_the_history_calls_a_function_of_somebody_else() {
    let scene = scene("trust_code").await;
    let function = "SET ROLE {intruder}; CREATE FUNCTION public.f() RETURNS text IMMUTABLE LANGUAGE sql AS \
        'SELECT ''x'''; RESET ROLE; ";
    for (change, back) in [
        ("ALTER COLUMN logs SET DEFAULT public.f()", "ALTER COLUMN logs DROP DEFAULT"),
        ("ADD CONSTRAINT eve CHECK (logs <> public.f())", "DROP CONSTRAINT eve"),
    ] {
        refused(
            &scene,
            &format!("{function}ALTER TABLE _prisma_migrations {change}"),
            "uses function public.f()",
        )
        .await;
        scene
            .database
            .execute(&format!("ALTER TABLE _prisma_migrations {back}; DROP FUNCTION public.f()"))
            .await;
    }
    refused(
        &scene,
        &format!("{function}CREATE INDEX eve ON _prisma_migrations ((logs || public.f()))"),
        "uses function public.f()",
    )
    .await;
    scene.database.execute(&format!("ALTER FUNCTION public.f() OWNER TO {}", scene.role)).await;
    scene.ready().await;
}

/// A quicker session: an event trigger makes the table between Sluice's check and its CREATE TABLE.
#[tokio::test]
async fn a_history_that_somebody_makes_in_the_last_moment_is_not_written_to() {
    let scene = Scene::new("trust_quicker", &[FIRST]).await;
    let intruder = intruder(&scene);
    let text = "CREATE ROLE {intruder}; GRANT CREATE, USAGE ON SCHEMA public TO {intruder}; \
        CREATE FUNCTION public.quicker() RETURNS event_trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN \
          IF current_setting('own.quicker', true) IS DISTINCT FROM '1' THEN PERFORM \
          set_config('own.quicker', '1', true); \
          CREATE TABLE public._prisma_migrations (id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL, \
          finished_at timestamptz, \
            migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz, started_at \
            timestamptz NOT NULL DEFAULT now(), \
            applied_steps_count int NOT NULL DEFAULT 0); GRANT ALL ON public._prisma_migrations TO PUBLIC; \
            END IF; END $$; \
        ALTER FUNCTION public.quicker() OWNER TO {intruder}; \
        CREATE EVENT TRIGGER quicker ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION \
        public.quicker()";
    scene.database.execute(&text.replace("{intruder}", &intruder)).await;
    let outcomes = scene.run().await;
    let outcome = outcomes.last().expect("a stage");
    assert_eq!(
        (outcome.verdict, outcome.reason),
        (Verdict::Failed, Reason::ConnectionFailed),
        "{}",
        outcome.message
    );
    assert!(outcome.message.contains("another session made"), "{}", outcome.message);
    assert_eq!(scene.value("SELECT (to_regclass('public.t') IS NULL)::text").await, "true");
    scene.database.execute("DROP EVENT TRIGGER quicker").await;
    let outcomes = stage::run(Stage::Plan, &scene.context(), &[]).await;
    assert_eq!(outcomes.verdict, Verdict::Passed, "{}", outcomes.message);
    scene.ready().await;
}
