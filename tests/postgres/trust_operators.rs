//! Sluice never calls what another role defined in `public`: every stage and every check, in a database full
//! of traps.

use std::{
    fs,
    process::{Command, Output},
};

use sluice::{
    api::Reason,
    contract::{Stage, Verdict},
    stage,
};

use crate::{
    server::{Server, connect, execute},
    stage_scene::{DEADLINE, Scene, said},
    trust_traps::{called, set, types},
};

/// What the team has. Its functions look names up where the team's do.
const TABLES: &str = "
CREATE TYPE \"State\" AS ENUM ('OPEN', 'CLOSED');
CREATE TABLE clinics (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(40) NOT NULL UNIQUE);
CREATE TABLE patients (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), clinic_id uuid NOT NULL REFERENCES \
clinics, code varchar(20) NOT NULL,
  born date NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX patients_clinic ON patients (clinic_id, code);
CREATE TABLE visits (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, clinic_id uuid NOT NULL REFERENCES \
clinics, patient_id uuid NOT NULL REFERENCES patients
    DEFERRABLE INITIALLY DEFERRED, patient_code varchar(20), state \"State\" NOT NULL, at timestamptz NOT \
    NULL DEFAULT now());
CREATE INDEX visits_clinic ON visits (clinic_id, at DESC) WHERE state = 'OPEN';
CREATE INDEX visits_tenant ON visits (clinic_id);
CREATE INDEX visits_patient ON visits (patient_id);
CREATE TABLE access_log (clinic_id uuid NOT NULL, at timestamptz NOT NULL DEFAULT now(), what text NOT NULL) \
PARTITION BY RANGE (at);
CREATE TABLE access_log_all PARTITION OF access_log FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
CREATE INDEX access_log_tenant ON access_log (clinic_id);
CREATE FUNCTION team_is_open(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 = ''OPEN''';
CREATE VIEW open_visits WITH (security_invoker = true) AS SELECT id, clinic_id FROM visits WHERE state = \
'OPEN';
DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY ARRAY['patients', 'visits', 'access_log'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY tenant ON %I USING (clinic_id = (SELECT \
    NULLIF(current_setting(''app.clinic_id'', true), '''')::uuid))', t);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO {app}', t);
  END LOOP;
END $$;
GRANT SELECT ON clinics, open_visits TO {app};
INSERT INTO clinics (name) VALUES ('north'), ('south');
INSERT INTO patients (clinic_id, code, born) SELECT id, name, '1980-01-01' FROM clinics;
INSERT INTO visits (clinic_id, patient_id, patient_code, state) SELECT clinic_id, id, code, 'OPEN' FROM \
patients;
INSERT INTO access_log (clinic_id, what) SELECT id, 'looked' FROM clinics;";

/// In its own words nothing can be looked up twice: whatever is called, Sluice called it.
const MORE: &str = "CREATE TABLE public.rooms (id pg_catalog.uuid PRIMARY KEY, clinic_id pg_catalog.uuid \
    CONSTRAINT rooms_clinic REFERENCES public.clinics DEFERRABLE);";
const ALONE: &str = "CREATE INDEX CONCURRENTLY rooms_clinic_id ON public.rooms (clinic_id);\nCREATE INDEX \
    CONCURRENTLY ON rooms (id);\nREINDEX INDEX CONCURRENTLY public.rooms_clinic_id;";

const VERIFY: &str = "{rowLevelSecurity: {appRole: {app}, tenant: {column: clinic_id, setting: \
    app.clinic_id}, except: [rooms]}, \
  indexes: {foreignKeys: {level: Error}, redundant: true, require: [{table: visits, columns: [clinic_id, at \
  DESC], where: \"state = 'OPEN'\"}], \
    mustUse: [{name: agenda, sql: SELECT id FROM public.patients WHERE clinic_id OPERATOR(pg_catalog.=) $1, \
    index: patients_clinic}]}, \
  foreignKeys: {require: [{table: visits, columns: [patient_id], references: patients, referencedColumns: \
  [id]}], validated: true}, \
  tables: {require: [{name: patients, columns: [{name: id, type: pg_catalog.uuid, nullable: false, default: \
  pg_catalog.gen_random_uuid()}, {name: created_at, hasDefault: true}]}], \
    enums: [{name: State, values: [OPEN, CLOSED]}], count: {minTables: 4}}, \
  conventions: {tables: snake_case, columns: snake_case, enumValues: UPPER_SNAKE_CASE, indexes: \
  [\"{table}_*\"], foreignKeys: [\"{table}_*\"], primaryKey: true, \
    migrations: {maxLength: 60}, auditColumns: [{name: created_at, type: pg_catalog.timestamptz}], severity: \
    Warning}, \
  queries: [{name: none, sql: SELECT 1 FROM public.clinics WHERE false, expect: NoRows}], \
  rowCounts: {tables: [{table: clinics, atLeast: 2, compare: Equal}, {table: patients, atMost: 10, compare: \
  NotLessThanBefore}]}, \
  orphans: [{table: visits, columns: [patient_code], references: patients, referencedColumns: [code]}, \
    {table: visits, columns: [patient_code], references: patients, referencedColumns: [code], database: \
    {name: same, secretRef: {name: same, key: url}, schemas: [public]}}], \
  drift: {ignore: [\"public.*(*)\", \"public.pg_*\", {types}]}}";

/// The team's database after its first migration, before another role set a trap.
async fn grown(test: &str, format: &str) -> Scene {
    let migrations = format!("{{format: {format}, configMaps: [records]}}");
    let mut scene = Scene::new(test, &[])
        .await
        .with("migrations", &migrations)
        .with("snapshot", "{dump: {volumeClaim: snapshots}}");
    let app = format!("{}_app", scene.database.name);
    let roles = format!(
        "CREATE ROLE {app}; GRANT {app} TO {role}; ALTER ROLE {role} BYPASSRLS CREATEDB",
        role = scene.role
    );
    scene.database.execute(&roles).await;
    file(&scene, format, "1_tables", &TABLES.replace("{app}", &app));
    scene.ready().await;
    set(&scene).await;
    // A snapshot has to read all of it.
    let reads = format!(
        "GRANT USAGE ON SCHEMA trap TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA trap TO {role}; GRANT \
            SELECT ON ALL SEQUENCES IN SCHEMA trap TO {role}",
        role = scene.role
    );
    scene.database.execute(&reads).await;
    let types: Vec<String> = types(&scene).await.iter().map(|name| format!("\"public.{name}\"")).collect();
    scene.set(
        "verify",
        Box::leak(VERIFY.replace("{app}", &app).replace("{types}", &types.join(", ")).into_boxed_str()),
    );
    scene
}

/// The traps make the catalog large, and reading it slow.
async fn patiently(mut command: Command) -> Output {
    let output = tokio::task::spawn_blocking(move || command.output().expect("the command starts"));
    tokio::time::timeout(10 * DEADLINE, output)
        .await
        .expect("the command ends in time")
        .expect("its output is read")
}

/// A migration in the layout of its format.
fn file(scene: &Scene, format: &str, name: &str, sql: &str) {
    if format == "Sql" {
        fs::write(scene.source().join(format!("{name}.sql")), sql).expect("a file");
    } else {
        scene.write(name, sql);
    }
}

/// Everything that Sluice does with a database; after each, no trap was called.
async fn everything(scene: &Scene, format: &str) {
    file(scene, format, "2_more", MORE);
    file(scene, format, "3_alone", ALONE);
    let context = scene.context().with_elsewhere(|_| Some(scene.url.clone()));
    let mut outcomes = Vec::new();
    for stage in [Stage::Plan, Stage::Snapshot, Stage::Migrate, Stage::Verify] {
        let outcome = stage::run(stage, &context, &outcomes).await;
        let errors: Vec<_> = outcome
            .findings
            .iter()
            .filter(|finding| finding.severity == sluice::api::Severity::Error)
            .collect();
        assert!(
            (outcome.verdict == Verdict::Passed || stage == Stage::Verify)
                && outcome.reason != Reason::StageFailed
                && errors.is_empty(),
            "{stage:?} {:?}: {} {errors:#?}",
            outcome.reason,
            outcome.message
        );
        assert_eq!(called(scene).await, [] as [String; 0], "{stage:?} called what is not PostgreSQL's");
        outcomes.push(outcome);
    }
    for (verb, arguments) in [("plan", &[][..]), ("verify", &["-o", "json"]), ("run", &["-o", "json"])] {
        let mut command = scene.command(verb);
        command.args(arguments).env("DATABASE_URL_SAME", &scene.url);
        let output = patiently(command).await;
        assert!(!said(&output).is_empty());
        assert_eq!(
            called(scene).await,
            [] as [String; 0],
            "sluice {verb} called what is not PostgreSQL's: {}",
            said(&output)
        );
    }
}

/// A database without a history is compared with what its migrations make. The traps themselves are what
/// differs.
async fn adopted(scene: &mut Scene) {
    scene.database.execute("SET search_path = pg_catalog; DROP TABLE public._prisma_migrations").await;
    scene.set("migrations", "{configMaps: [records], baseline: {upTo: 3_alone}}");
    let outcome = scene.stopped(Stage::Plan, Reason::BaselineDiffers).await;
    let traps = |object: &str| {
        object.starts_with("public.pg_") || object.contains('(') || !object.contains("patients")
    };
    assert!(outcome.findings.iter().all(|finding| traps(&finding.object)), "{:#?}", outcome.findings);
    assert_eq!(called(scene).await, [] as [String; 0], "a baseline called what is not PostgreSQL's");
}

async fn waited(scene: &Scene) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(["wait", "--require", "records@2_more"]).env("DATABASE_URL", &scene.url);
    let output = patiently(command).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(called(scene).await, [] as [String; 0], "sluice wait called what is not PostgreSQL's");
}

#[tokio::test]
async fn a_trap_that_is_called_is_noticed() {
    let scene = grown("trap_control", "Prisma").await;
    called(&scene).await;
    for careless in [
        "SELECT n.nspname || c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = \
            c.relnamespace",
        "BEGIN READ ONLY; SELECT FROM pg_catalog.pg_class WHERE relname ~ 'x'; ROLLBACK",
        "SELECT lower(relname) FROM pg_catalog.pg_class",
        "SET search_path = public, pg_catalog; SELECT FROM pg_class",
        "SET search_path = public, pg_catalog; SELECT 1::text",
    ] {
        execute(&mut connect(&scene.url).await, careless).await;
        assert_ne!(called(&scene).await, [] as [String; 0], "{careless}");
    }
    let harmless = "SET search_path = pg_catalog, pg_temp; SELECT n.nspname || lower(c.relname) FROM \
        pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relname ~ 'x'";
    execute(&mut connect(&scene.url).await, harmless).await;
    assert_eq!(called(&scene).await, [] as [String; 0]);
}

#[tokio::test]
async fn no_operator_and_no_function_of_public_is_called_whatever_its_types() {
    let mut scene = grown("trap_prisma", "Prisma").await;
    called(&scene).await;
    everything(&scene, "Prisma").await;
    waited(&scene).await;
    adopted(&mut scene).await;
}

#[tokio::test]
async fn neither_is_one_where_the_teams_search_path_names_public_before_pg_catalog() {
    let scene = grown("trap_path", "Sql").await;
    scene
        .database
        .execute(&format!("ALTER DATABASE {} SET search_path = public, pg_catalog", scene.database.name))
        .await;
    called(&scene).await;
    everything(&scene, "Sql").await;
}

#[tokio::test]
async fn nobody_but_an_owner_can_make_a_cast_between_types_of_postgresql() {
    let database = Server::get().database("trap_cast").await;
    let role = format!("{}_intruder", database.name);
    let grants = format!(
        "CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}; CREATE FUNCTION public.f(name) \
            RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'"
    );
    database.execute(&grants).await;
    let cast = "CREATE CAST (name AS uuid) WITH FUNCTION public.f(name) AS IMPLICIT";
    let refused = sqlx::raw_sql(cast)
        .execute(&mut connect(&database.url_as(&role)).await)
        .await
        .expect_err("it owns neither type");
    assert!(refused.to_string().contains("must be owner"), "{refused}");
}
