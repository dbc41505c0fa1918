//! The index checks against real indexes: what counts as the one that was asked for, and what is only being
//! built.

use std::time::{Duration, Instant};

use sluice::{
    api::{RequiredIndex, Severity::Error},
    check,
    inspect::{Aspect, Scope},
    postgres::Transaction,
    validate::validate,
};
use sqlx::{Connection, Row};

use crate::{
    check_clinic::{Clinic, required},
    server::{Server, execute},
};

const REQUIRED: &str = "index-required";

async fn clinic_with(test: &str, setup: &str, asked: Vec<RequiredIndex>) -> Clinic {
    let mut clinic = Clinic::empty(test).await;
    clinic.migrate(setup).await;
    clinic.scope.row_level_security = None;
    clinic.scope.indexes.require = asked;
    clinic
}

#[tokio::test]
async fn predicates_and_expressions_are_compared_as_postgresql_prints_them() {
    let setup = r#"CREATE TYPE public."Status" AS ENUM ('OPEN', 'DONE');
        CREATE TABLE "Invoice" ("clinicId" uuid, "email" text, "status" "Status", "paidAt" timestamptz);
        CREATE INDEX a ON "Invoice" ("clinicId", "status") WHERE "status" = 'OPEN' AND "paidAt" IS NULL;
        CREATE UNIQUE INDEX b ON "Invoice" (lower("email") text_pattern_ops, "clinicId" DESC NULLS LAST);"#;
    let asked = vec![
        required(
            "Invoice",
            &["clinicId", "status"],
            Some(r#""status"='OPEN'::"Status" and ("paidAt" is null)"#),
        ),
        required("public.Invoice", &["lower(\"email\") text_pattern_ops", "clinicId"], None),
        RequiredIndex {
            unique: Some(true),
            name: Some("b".into()),
            ..required("Invoice", &["LOWER(\"email\") text_pattern_ops", "clinicId DESC NULLS LAST"], None)
        },
    ];
    clinic_with("printed", setup, asked).await.assert_clean().await;
}

#[tokio::test]
async fn the_medical_records_example_is_clean() {
    let database = Server::get().database("medical_records").await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples/medical-records");
    let mut migrations: Vec<_> = std::fs::read_dir(format!("{folder}/migrations"))
        .expect("the folder")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    migrations.sort();
    for migration in migrations.iter().filter(|path| path.is_dir()) {
        database
            .execute(&std::fs::read_to_string(migration.join("migration.sql")).expect("the migration"))
            .await;
    }
    let manifest = std::fs::read_to_string(format!("{folder}/migration.yaml")).expect("the manifest");
    let manifest = validate(&serde_saphyr::from_str(&manifest).expect("YAML")).expect("a valid manifest");
    let mut session = database.connect().await;
    let mut transaction = Transaction::begin(&mut session).await.expect("begins");
    let found = check::run(&mut transaction, &Scope::of(&manifest), &[Aspect::Isolation, Aspect::Index])
        .await
        .expect("carried out");
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn what_differs_is_found_and_what_is_there_is_said() {
    let index = "there is instead visits_open (clinic_id, starts_at DESC) where (status = 'open'::text)";
    for (test, asked, part) in [
        ("differs_where", required("visits", &["clinic_id", "starts_at"], Some("status = 'closed'")), index),
        ("differs_all", required("visits", &["clinic_id", "starts_at"], None), index),
        ("differs_dir", required("visits", &["clinic_id", "starts_at ASC"], Some("status = 'open'")), index),
        (
            "differs_more",
            required("visits", &["clinic_id", "starts_at", "id"], Some("status = 'open'")),
            "visits_open",
        ),
        (
            "differs_unique",
            RequiredIndex { unique: Some(true), ..required("visits", &["clinic_id", "patient_id"], None) },
            "instead visits_patient",
        ),
        (
            "differs_name",
            RequiredIndex {
                name: Some("x".into()),
                ..required("visits", &["clinic_id", "patient_id"], None)
            },
            "instead visits_patient",
        ),
        ("differs_col", required("visits", &["nobody"], None), "has no column \"nobody\""),
        (
            "differs_sql",
            required("visits", &["id"], Some("1 = 1; DROP TABLE visits")),
            "cannot be read by PostgreSQL",
        ),
        ("differs_nothing", required("visits", &["ends_at"], None), "there is no index on these columns"),
    ] {
        let clinic = clinic_with(test, "SELECT 1", vec![asked]).await;
        clinic.assert_one(REQUIRED, Error, "public.visits", part).await;
    }
    let clinic = clinic_with("differs_table", "SELECT 1", vec![required("visit", &["id"], None)]).await;
    clinic.assert_one(REQUIRED, Error, "visit", "there is no such table in public").await;
}

#[tokio::test]
async fn a_predicate_can_be_compared_without_the_right_to_temporary_tables() {
    let clinic = clinic_with(
        "no_temp",
        "SELECT 1",
        vec![required("visits", &["clinic_id", "starts_at"], Some("(status = 'open'::text)"))],
    )
    .await;
    clinic
        .as_superuser(
            "ALTER DATABASE {database} OWNER TO postgres; REVOKE TEMPORARY ON DATABASE \
        {database} FROM PUBLIC",
        )
        .await;
    clinic.assert_clean().await;
}

#[tokio::test]
async fn the_index_of_a_partitioned_table_counts_when_every_partition_has_its_part() {
    let asked = vec![required("access_log", &["what"], None)];
    let clinic = clinic_with("parts", "CREATE INDEX log_what ON ONLY access_log (what)", asked).await;
    let part = "has no part on public.access_log_new and public.access_log_old";
    clinic.assert_one("index-unattached", Error, "public.log_what", part).await;
    clinic.assert_one(REQUIRED, Error, "public.access_log", "log_what (what), which is not valid").await;
    clinic.migrate("CREATE INDEX o ON access_log_old (what); CREATE INDEX n ON access_log_new (what);").await;
    clinic
        .assert_one("index-unattached", Error, "public.log_what", "; n and o would fit and are not attached")
        .await;
    clinic.migrate("ALTER INDEX log_what ATTACH PARTITION o; ALTER INDEX log_what ATTACH PARTITION n").await;
    clinic.assert_clean().await;
}

#[tokio::test]
async fn only_an_index_that_serves_every_row_of_a_foreign_key_counts() {
    let clinic = clinic_with(
        "partial_fk",
        "DROP INDEX visits_patient; CREATE INDEX partly ON visits (clinic_id, patient_id) WHERE status = \
            'open'",
        Vec::new(),
    )
    .await;
    clinic
        .assert_one("foreign-key-indexed", Error, "public.visits", "partly and visits_open do not count")
        .await;
    clinic.migrate("CREATE INDEX ON visits (clinic_id, starts_at, patient_id)").await;
    assert_eq!(clinic.findings_of("foreign-key-indexed").await.len(), 1, "the key's columns must come first");
    clinic.migrate("CREATE INDEX ON visits (patient_id, clinic_id, starts_at)").await;
    clinic.assert_clean().await;
}

/// PostgreSQL's own plan is the proof: searching for the rows that refer to a patient, it takes the index.
#[tokio::test]
async fn an_index_of_the_rows_that_refer_to_something_serves_the_foreign_key() {
    let clinic = clinic_with(
        "not_null_fk",
        r#"ALTER TABLE visits ADD COLUMN "referredBy" uuid, ADD FOREIGN KEY (clinic_id, "referredBy") REFERENCES patients;
           CREATE INDEX referred ON visits ("referredBy", clinic_id) WHERE "referredBy" IS NOT NULL AND status = 'open';"#,
        Vec::new(),
    )
    .await;
    clinic.assert_one("foreign-key-indexed", Error, "public.visits", "do not count").await;
    clinic
        .migrate(r#"CREATE INDEX serves ON visits ("referredBy", clinic_id) WHERE "referredBy" IS NOT NULL"#)
        .await;
    clinic.assert_clean().await;
    let mut session = clinic.session().await;
    execute(&mut session, "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan").await;
    execute(
        &mut session,
        r#"PREPARE referring AS SELECT FROM ONLY visits x WHERE clinic_id = $1 AND "referredBy" = $2 FOR KEY SHARE OF x"#,
    )
    .await;
    let plan = sqlx::query("EXPLAIN EXECUTE referring (gen_random_uuid(), gen_random_uuid())")
        .fetch_all(&mut session)
        .await
        .expect("planned");
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    assert!(plan.iter().any(|line| line.contains("serves")), "{plan:#?}");
}

#[tokio::test]
async fn the_foreign_key_of_a_partitioned_table_is_asked_once() {
    let clinic = clinic_with(
        "fk_parts",
        "ALTER TABLE access_log ADD COLUMN patient_id uuid, ADD FOREIGN KEY (clinic_id, patient_id) \
            REFERENCES patients",
        Vec::new(),
    )
    .await;
    clinic
        .assert_one("foreign-key-indexed", Error, "public.access_log", "access_log_clinic_id_patient_id_fkey")
        .await;
    clinic.migrate("CREATE INDEX ON access_log (clinic_id, patient_id)").await;
    clinic.assert_clean().await;
}

/// The build waits for a transaction that is older than it; until then its index is not valid, and that is
/// no fault.
#[tokio::test]
async fn an_index_that_is_being_built_is_not_reported() {
    let clinic = clinic_with("building", "SELECT 1", Vec::new()).await;
    let mut older = clinic.session().await;
    execute(&mut older, "BEGIN; LOCK TABLE visits IN ROW EXCLUSIVE MODE").await;
    let mut builder = clinic.session().await;
    let build = tokio::spawn(async move {
        execute(&mut builder, "CREATE INDEX CONCURRENTLY built ON visits (ends_at)").await;
    });
    let mut watcher = clinic.session().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let invalid = sqlx::query(
            "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('built') AND NOT indisvalid)",
        );
        if invalid.fetch_one(&mut watcher).await.expect("asked").get::<bool, _>(0) {
            break;
        }
        assert!(Instant::now() < deadline, "the build never began");
        tokio::task::yield_now().await;
    }
    watcher.close().await.expect("closed");
    clinic.assert_clean().await;
    execute(&mut older, "ROLLBACK").await;
    build.await.expect("built");
    clinic.assert_clean().await;
}
