//! What goes well: a release is applied once, recorded as Prisma would, and a second run finds nothing to do.

use sluice::{api::Reason, contract::Stage};

use crate::{server::Server, stage_scene::Scene};

const PATIENTS: (&str, &str) =
    ("20240215120000_patients", "CREATE TABLE patients (id int PRIMARY KEY, name text NOT NULL);\n");
const VISITS: (&str, &str) = (
    "20240216140000_visits",
    "CREATE TABLE visits (id int PRIMARY KEY, patient int NOT NULL REFERENCES patients);\nCREATE INDEX ON \
        visits (patient);\n",
);
const NOTES: (&str, &str) = ("20240217090000_notes", "ALTER TABLE visits ADD COLUMN note text;\n");

#[tokio::test]
async fn a_release_is_applied_verified_and_recorded_exactly_as_prisma_would() {
    let scene = Scene::new("happy", &[PATIENTS, VISITS]).await;
    let outcomes = scene.ready().await;
    let reasons: Vec<_> = outcomes.iter().map(|outcome| outcome.reason).collect();
    assert_eq!(reasons, [Reason::PlanReady, Reason::SnapshotWaived, Reason::Applied, Reason::Verified]);
    let verified = outcomes[3].history.as_ref().expect("the last stage says what is applied");
    assert_eq!(
        (verified.current.as_deref(), verified.applied_count, verified.pending_count),
        (Some(VISITS.0), 2, 0)
    );

    assert_eq!(
        scene.history_table().await,
        ["20240215120000_patients applied", "20240216140000_visits applied"]
    );
    let odd = "SELECT count(*)::text FROM _prisma_migrations WHERE logs IS NOT NULL OR applied_steps_count \
        <> 1 OR finished_at < started_at \
               OR started_at <> date_trunc('milliseconds', started_at) OR finished_at <> \
               date_trunc('milliseconds', finished_at) \
               OR id !~ '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' \
               OR checksum <> encode(sha256(convert_to(CASE migration_name WHEN '20240215120000_patients' \
               THEN \
                  E'CREATE TABLE patients (id int PRIMARY KEY, name text NOT NULL);\\n' ELSE \
                  E'CREATE TABLE visits (id int PRIMARY KEY, patient int NOT NULL REFERENCES \
                  patients);\\nCREATE INDEX ON visits (patient);\\n' END, 'UTF8')), 'hex')";
    assert_eq!(scene.value(odd).await, "0", "rows that Prisma would not have written");
    let columns = "SELECT string_agg(concat_ws(' ', column_name, data_type, character_maximum_length, \
        is_nullable, column_default), ', ' ORDER BY ordinal_position) \
                   FROM information_schema.columns WHERE table_name = '_prisma_migrations'";
    assert_eq!(
        scene.value(columns).await,
        "id character varying 36 NO, checksum character varying 64 NO, finished_at timestamp with time zone \
            YES, \
         migration_name character varying 255 NO, logs text YES, rolled_back_at timestamp with time zone \
         YES, \
         started_at timestamp with time zone NO now(), applied_steps_count integer NO 0"
    );
    let own = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = \
        to_regnamespace('sluice') AND relkind = 'r'";
    assert_eq!(
        scene.value(own).await,
        "texts",
        "of Sluice's own there is what was applied, and no journal where none is needed"
    );
}

#[tokio::test]
async fn a_release_and_its_history_rows_are_one_transaction() {
    let scene = Scene::new("one_transaction", &[PATIENTS, VISITS]).await;
    scene.ready().await;
    let transactions = "SELECT count(DISTINCT xmin::text)::text FROM (SELECT xmin FROM _prisma_migrations \
         UNION ALL SELECT xmin FROM pg_class WHERE relname IN ('patients', '_prisma_migrations')) AS rows";
    assert_eq!(scene.value(transactions).await, "1");
}

#[tokio::test]
async fn with_atomicity_migration_each_file_and_its_row_are_one_transaction() {
    let scene = Scene::new("each_alone", &[PATIENTS, VISITS]).await.with("apply", "{atomicity: Migration}");
    scene.ready().await;
    let pairs = "SELECT count(DISTINCT m.xmin::text) || ' ' || bool_and(m.xmin = c.xmin) FROM \
        _prisma_migrations m \
         JOIN pg_class c ON c.relname = CASE migration_name WHEN '20240215120000_patients' THEN \
         'patients_pkey' ELSE 'visits_pkey' END";
    assert_eq!(scene.value(pairs).await, "2 true");
}

#[tokio::test]
async fn a_second_run_applies_nothing_and_needs_no_snapshot() {
    let scene = Scene::new("second_run", &[PATIENTS])
        .await
        .with("snapshot", "{dump: {volumeClaim: records-snapshots}}");
    let first = scene.ready().await;
    assert_eq!(first[1].reason, Reason::SnapshotTaken);
    let fingerprint = "SELECT md5(string_agg(m::text || xmin::text, '')) FROM _prisma_migrations m";
    let before = (scene.value(fingerprint).await, scene.catalog().await);
    let second = scene.ready().await;
    let reasons: Vec<_> = second.iter().map(|outcome| outcome.reason).collect();
    assert_eq!(
        reasons,
        [Reason::NothingPending, Reason::SnapshotNotNeeded, Reason::Applied, Reason::Verified]
    );
    assert!(second[1].snapshot.is_none());
    assert_eq!((scene.value(fingerprint).await, scene.catalog().await), before);
}

#[tokio::test]
#[ignore = "needs a server that is newer than this machine's pg_dump: make test-postgres-newest"]
async fn a_server_newer_than_pg_dump_stops_the_run_before_anything_changes() {
    let scene = Scene::new("client_too_old", &[PATIENTS])
        .await
        .with("snapshot", "{dump: {volumeClaim: records-snapshots}}");
    let outcome = scene.stopped(Stage::Snapshot, Reason::ClientTooOld).await;
    let server = Server::get().major.to_string();
    assert!(outcome.message.contains(&server) && outcome.message.contains("pg_dump"), "{}", outcome.message);
    assert_eq!(scene.value("SELECT to_regclass('patients')::text").await, "", "no migration ran");
}

#[tokio::test]
async fn a_target_stops_early_and_a_later_one_goes_on() {
    let scene = Scene::new("target", &[PATIENTS, VISITS, NOTES]).await;
    let scene = scene.with("migrations", &format!("{{configMaps: [records], target: {}}}", VISITS.0));
    scene.ready().await;
    assert_eq!(scene.history_table().await.len(), 2);
    let scene = scene.with("migrations", "{configMaps: [records]}");
    scene.ready().await;
    assert_eq!(scene.history_table().await.last().map(String::as_str), Some("20240217090000_notes applied"));
    let scene = scene.with("migrations", "{configMaps: [records], target: 20240299_nowhere}");
    let outcome = scene.stopped(Stage::Plan, Reason::TargetNotFound).await;
    assert!(outcome.message.contains("20240299_nowhere"), "{}", outcome.message);
}

#[tokio::test]
async fn plain_sql_files_keep_a_history_of_their_own() {
    let scene = Scene::new("plain_sql", &[]).await.with("migrations", "{configMaps: [records], format: Sql}");
    for (name, sql) in [PATIENTS, VISITS] {
        std::fs::write(scene.source().join(format!("{name}.sql")), sql).expect("writes a file");
    }
    scene.ready().await;
    assert_eq!(scene.history_in("sluice.migrations").await.len(), 2);
    assert_eq!(scene.value("SELECT to_regclass('_prisma_migrations')::text").await, "");
    assert_eq!(scene.ready().await[0].reason, Reason::NothingPending);
}

#[tokio::test]
async fn the_schema_of_the_url_takes_the_history_and_every_unqualified_name_as_with_prisma() {
    let mut scene = Scene::new("url_schema", &[PATIENTS, VISITS])
        .await
        .with("database", "{secretRef: {name: records-db}, schemas: [Clinical]}");
    scene.url.push_str("&schema=Clinical");
    scene.ready().await;
    assert_eq!(scene.value("SELECT to_regclass('\"Clinical\".visits')::text").await, "\"Clinical\".visits");
    assert_eq!(scene.history_in("\"Clinical\"._prisma_migrations").await.len(), 2);
    assert_eq!(scene.value("SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'").await, "0");
}

#[tokio::test]
async fn a_schema_named_like_the_role_does_not_catch_what_prisma_would_put_into_public() {
    let scene = Scene::new("role_schema", &[PATIENTS]).await;
    scene.database.execute(&format!("CREATE SCHEMA {0} AUTHORIZATION {0}", scene.role)).await;
    scene.ready().await;
    assert_eq!(scene.value("SELECT to_regclass('public.patients')::text").await, "patients");
}

#[tokio::test]
async fn an_empty_file_and_one_with_comments_only_are_applied_like_any_other() {
    let scene = Scene::new(
        "empty_file",
        &[("1_empty", ""), ("2_comments", "-- nothing yet\n;;\n"), ("3_table", "CREATE TABLE t ();")],
    )
    .await;
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_empty applied", "2_comments applied", "3_table applied"]);
}

#[tokio::test]
async fn a_source_without_migrations_is_ready_and_leaves_no_trace() {
    let scene = Scene::new("no_migrations", &[])
        .await
        .with("migrations", "{configMaps: [records], allowEmpty: true}");
    let before = scene.catalog().await;
    assert_eq!(scene.ready().await[0].reason, Reason::NothingPending);
    assert_eq!(scene.catalog().await, before);
}

#[tokio::test]
async fn the_plan_changes_nothing_and_says_where_a_release_is_cut() {
    let files = [
        PATIENTS,
        ("20240216_index", "CREATE INDEX CONCURRENTLY names ON patients (name);"),
        ("20240217_note", "SELECT 1;"),
    ];
    let scene = Scene::new("plan_only", &files).await;
    let before = scene.catalog().await;
    let outcome = sluice::stage::run(Stage::Plan, &scene.context(), &[]).await;
    assert_eq!((outcome.reason, scene.catalog().await), (Reason::PlanReady, before));
    assert!(outcome.message.contains("20240216_index outside a transaction"), "{}", outcome.message);
    assert_eq!(outcome.history.map(|history| history.pending.len()), Some(3));
}
