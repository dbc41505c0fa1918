//! The five platforms of `deploy/examples`: each comes up as its README says, has as many objects as was
//! planned, and refuses every release in its folder `broken/` for the reason that stands in the file. In
//! which order the eight databases run is the controller's business.

use serde_json::Value;

use crate::{
    platform_stand::{Broken, Platform, Stand, examples, folders, read},
    server::{Server, connect, execute},
    stage_scene::{run_all, value},
};

pub const NEONPRO: Platform =
    Platform { folder: "neonpro", prefix: "neonpro", counts: [9, 14, 16, 0], reads: None };
pub const MEDICAL_RECORDS: Platform =
    Platform { folder: "medical-records", prefix: "", counts: [9, 16, 8, 5], reads: None };
pub const SMARTMED: Platform =
    Platform { folder: "smartmed", prefix: "smartmed", counts: [8, 15, 13, 1], reads: None };
pub const ELDERLY_CARE: Platform =
    Platform { folder: "elderly-care", prefix: "elderly_care", counts: [19, 22, 19, 0], reads: None };
const API: Platform = Platform {
    folder: "global-healthcare/services/api",
    prefix: "healthcare_api",
    counts: [35, 52, 43, 5],
    reads: None,
};
/// In the documented order.
pub const SERVICES: [Platform; 8] = [
    Platform {
        folder: "global-healthcare/services/auth",
        prefix: "healthcare_auth",
        counts: [4, 7, 3, 1],
        reads: None,
    },
    API,
    Platform {
        folder: "global-healthcare/services/telehealth",
        prefix: "healthcare_telehealth",
        counts: [5, 9, 2, 3],
        reads: Some(("api", &API)),
    },
    Platform {
        folder: "global-healthcare/services/mental-health",
        prefix: "healthcare_mental_health",
        counts: [4, 6, 2, 2],
        reads: None,
    },
    Platform {
        folder: "global-healthcare/services/chronic-care",
        prefix: "healthcare_chronic_care",
        counts: [4, 7, 2, 2],
        reads: None,
    },
    Platform {
        folder: "global-healthcare/services/pharmacy",
        prefix: "healthcare_pharmacy",
        counts: [4, 7, 3, 1],
        reads: None,
    },
    Platform {
        folder: "global-healthcare/services/laboratory",
        prefix: "healthcare_laboratory",
        counts: [4, 7, 3, 2],
        reads: None,
    },
    Platform {
        folder: "global-healthcare/services/imaging",
        prefix: "healthcare_imaging",
        counts: [4, 8, 3, 2],
        reads: None,
    },
];
pub static PLATFORMS: [&Platform; 12] = [
    &NEONPRO,
    &MEDICAL_RECORDS,
    &SMARTMED,
    &ELDERLY_CARE,
    &SERVICES[0],
    &SERVICES[1],
    &SERVICES[2],
    &SERVICES[3],
    &SERVICES[4],
    &SERVICES[5],
    &SERVICES[6],
    &SERVICES[7],
];

/// With the binary: Ready without an error, a snapshot that was proven, the counts; and again, with nothing
/// pending.
async fn comes_up(platform: &'static Platform) {
    let stand = Stand::new(platform, "up").await;
    let status = stand.sluice_run().await;
    let condition = |status: &Value, kind: &str| {
        let conditions = status["conditions"].as_array().expect("conditions").clone();
        conditions
            .into_iter()
            .find(|condition| condition["type"] == kind)
            .unwrap_or_else(|| panic!("no condition {kind}"))
    };
    for kind in ["Ready", "Planned", "SnapshotReady", "Applied", "Verified"] {
        assert_eq!(condition(&status, kind)["status"], "True", "{}: {kind}", platform.folder);
    }
    assert_eq!(condition(&status, "SnapshotReady")["reason"], "SnapshotTaken");
    let findings = status["findings"].as_array().cloned().unwrap_or_default();
    assert!(
        findings.iter().all(|finding| finding["severity"] != "Error"),
        "{}: {findings:#?}",
        platform.folder
    );
    assert_eq!(
        stand.counts().await,
        platform.counts,
        "{}: tables, indexes, foreign keys, enums",
        platform.folder
    );

    stand.fill().await;
    let before = stand.everything().await;
    let again = stand.sluice_run().await;
    assert_eq!(condition(&again, "Planned")["reason"], "NothingPending");
    assert_eq!(stand.everything().await, before, "{}", platform.folder);
}

/// Every release of `broken/` is refused as it says, and changes nothing; answers how many there are.
async fn refuses(platform: &'static Platform) -> usize {
    let cases = Broken::all(platform);
    if cases.is_empty() {
        return 0;
    }
    let stand = Stand::new(platform, "broken").await;
    stand.ready(None).await;
    stand.fill().await;
    let before = stand.everything().await;
    for case in &cases {
        let outcome = stand.run_with(case).await;
        case.assert_said(&outcome);
        assert_eq!(stand.everything().await, before, "{} left something behind", case.name);
    }
    let outcomes = stand.ready(None).await;
    assert_eq!(outcomes[0].reason.name(), "NothingPending", "{}", platform.folder);
    cases.len()
}

#[tokio::test]
async fn neonpro_comes_up_with_its_snapshot() {
    comes_up(&NEONPRO).await;
}

#[tokio::test]
async fn medical_records_comes_up_with_its_snapshot() {
    comes_up(&MEDICAL_RECORDS).await;
}

#[tokio::test]
async fn smartmed_comes_up_with_its_snapshot() {
    comes_up(&SMARTMED).await;
}

#[tokio::test]
async fn elderly_care_comes_up_with_its_snapshot() {
    comes_up(&ELDERLY_CARE).await;
}

#[tokio::test]
async fn each_of_the_eight_services_comes_up_alone_with_its_snapshot() {
    for service in PLATFORMS[4..].iter().copied() {
        comes_up(service).await;
    }
}

#[tokio::test]
async fn neonpro_refuses_what_would_break_it() {
    assert!(refuses(&NEONPRO).await >= 3);
}

#[tokio::test]
async fn medical_records_refuses_what_would_break_it() {
    assert!(refuses(&MEDICAL_RECORDS).await >= 3);
}

#[tokio::test]
async fn smartmed_refuses_what_would_break_it() {
    assert!(refuses(&SMARTMED).await >= 3);
}

#[tokio::test]
async fn elderly_care_refuses_what_would_break_it() {
    assert!(refuses(&ELDERLY_CARE).await >= 3);
}

#[tokio::test]
async fn the_eight_services_refuse_what_would_break_them() {
    let mut cases = 0;
    for service in PLATFORMS[4..].iter().copied() {
        cases += refuses(service).await;
    }
    assert!(cases >= 3);
}

#[tokio::test]
async fn the_first_migrations_have_as_many_objects_as_was_planned() {
    let records = Stand::new(&MEDICAL_RECORDS, "sheet").await;
    records.ready_earlier("20240215120000_initial_schema").await;
    assert_eq!(records.counts().await, [9, 14, 8, 4]);
    let columns = "SELECT count(*)::text FROM information_schema.columns WHERE table_schema = 'public' AND \
        table_name <> '_prisma_migrations'";
    assert_eq!(records.value(columns).await, "98");

    let telehealth = Stand::new(&SERVICES[2], "sheet").await;
    telehealth.ready_earlier("20241222120000_initial_schema").await;
    let [tables, _, keys, enums] = telehealth.counts().await;
    assert_eq!([tables, keys, enums], [5, 2, 3]);

    let api = Stand::new(&SERVICES[1], "sheet").await;
    api.ready_earlier("20241217000000_initial_schema").await;
    assert!(api.counts().await[0] >= 30);

    let care = Stand::new(&ELDERLY_CARE, "sheet").await;
    care.ready_earlier("20260105080000_init").await;
    assert_eq!(care.counts().await[0], 17);

    let smartmed = Stand::new(&SMARTMED, "sheet").await;
    smartmed.ready(None).await;
    assert_eq!(smartmed.value("SELECT count(*)::text FROM specializations").await, "5");
}

#[tokio::test]
async fn what_a_contract_holds_for_a_week_runs_when_the_week_is_over() {
    for platform in [&SMARTMED, &ELDERLY_CARE] {
        let stand = Stand::new(platform, "contract").await;
        stand.ready(None).await;
        stand.fill().await;
        let newest = folders(&platform.path().join("migrations")).pop().expect("migrations");
        assert!(!stand.everything().await.contains(&newest), "{newest} is held");
        let before = "WITH aged AS (UPDATE _prisma_migrations SET started_at = started_at - interval '8 days', \
            finished_at = finished_at - interval '8 days' RETURNING 1) SELECT count(*)::text FROM aged";
        assert_ne!(stand.value(before).await, "0");
        stand.ready(None).await;
        assert!(stand.everything().await.contains(&newest), "{newest} is applied");
        let columns = stand
            .value(
                "SELECT string_agg(column_name, ' ') FROM information_schema.columns WHERE table_name IN \
                ('users', 'residents')",
            )
            .await;
        let gone = ["name", "first_name", "care_level_pflegegrad_new"];
        assert!(columns.split(' ').all(|column| !gone.contains(&column)), "{columns}");
    }
}

/// Asked by hand and not by the probe: nothing without a tenant, and with one exactly its own.
async fn sees_its_own_rows_only(platform: &'static Platform, tenant: &str, setting: &str, tables: &[&str]) {
    let stand = Stand::new(platform, "own").await;
    stand.ready(None).await;
    stand.fill().await;
    let mut session = connect(&stand.database.url_as(&format!("{}_app", stand.database.name))).await;
    for table in tables {
        let count = format!("SELECT count(*)::text FROM {table}");
        assert_eq!(value(&mut session, &count).await, "0", "{table} before there was a tenant");
        let someone = stand.value(&format!("SELECT min({tenant}::text) FROM {table}")).await;
        let own = stand.value(&format!("{count} WHERE {tenant}::text = '{someone}'")).await;
        assert!(own != "0" && own != stand.value(&count).await, "{table} has rows of two tenants");
        execute(&mut session, &format!("SET {setting} = '{someone}'")).await;
        assert_eq!(value(&mut session, &count).await, own, "{table} as a tenant");
        let give = format!("UPDATE {table} SET {tenant} = gen_random_uuid()");
        assert!(
            sqlx::raw_sql(sqlx::AssertSqlSafe(give)).execute(&mut session).await.is_err(),
            "{table}: rows are given away"
        );
        execute(&mut session, &format!("SET {setting} = ''")).await;
        assert_eq!(
            value(&mut session, &count).await,
            "0",
            "{table} with an empty setting, as pools leave it"
        );
        execute(&mut session, &format!("RESET {setting}")).await;
    }
}

#[tokio::test]
async fn a_practice_of_smartmed_sees_its_own_rows_only() {
    let tables = ["users", "patients", "appointments", "prescriptions", "audit_logs"];
    sees_its_own_rows_only(&SMARTMED, "practice_id", "app.practice_id", &tables).await;
}

#[tokio::test]
async fn a_clinic_of_neonpro_sees_its_own_rows_only() {
    let tables = [
        "core.users",
        "clinical.patients",
        "clinical.appointments",
        "clinical.medical_records",
        "compliance.lgpd_consents",
    ];
    sees_its_own_rows_only(&NEONPRO, "clinic_id", "app.clinic_id", &tables).await;
}

#[tokio::test]
async fn the_backfills_of_smartmed_leave_no_row_out_and_keep_both_names_equal() {
    let stand = Stand::new(&SMARTMED, "backfill").await;
    stand.ready_earlier("20240601090000_remove_deprecated_field").await;
    stand.fill().await;
    let mut session = connect(&stand.url).await;
    let patients = "INSERT INTO patients (practice_id, full_name, date_of_birth) SELECT practices.id, 'P', \
        '1990-01-01' FROM practices, generate_series(1, 1250)";
    execute(&mut session, patients).await;
    stand.ready(None).await;
    assert_eq!(
        value(&mut session, "SELECT count(*)::text FROM patients WHERE external_id IS NULL").await,
        "0"
    );
    assert_eq!(value(&mut session, "SELECT count(DISTINCT external_id)::text FROM patients").await, "2540");
    execute(&mut session, "UPDATE users SET name = 'Old way' WHERE email = (SELECT min(email) FROM users)")
        .await;
    execute(
        &mut session,
        "UPDATE users SET full_name = 'New way' WHERE email = (SELECT max(email) FROM users)",
    )
    .await;
    assert_eq!(
        value(&mut session, "SELECT string_agg(name || '=' || full_name, ' ' ORDER BY name) FROM users")
            .await,
        "New way=New way Old way=Old way"
    );
}

#[tokio::test]
async fn the_history_of_elderly_care_keeps_its_chain_through_the_partitions() {
    let stand = Stand::new(&ELDERLY_CARE, "ledger").await;
    stand.ready_earlier("20260128090000_add_proof_of_resident_key").await;
    stand.fill().await;
    let old = "INSERT INTO audit_log_ledger (user_id, user_role, action, resource_type, resource_id, \
        event_type, event_timestamp) \
         SELECT gen_random_uuid(), 'nurse', 'VIEW', 'resident', n::text, 'ACCESS', timestamptz '2025-06-01' \
         + n * interval '1 day' FROM generate_series(1, 500) n";
    let app = format!("{}_app", stand.database.name);
    let mut session = connect(&stand.database.url_as(&app)).await;
    execute(&mut session, old).await;
    let broken =
        "SELECT count(*) FILTER (WHERE is_valid IS NOT TRUE) || ' of ' || count(*) FROM verify_audit_chain()";
    assert_eq!(stand.value(broken).await, "0 of 540");

    stand.ready(None).await;
    execute(&mut session, old).await;
    assert_eq!(stand.value(broken).await, "0 of 1041", "540, one about the migration, 500 more");
    assert_eq!(
        stand.value("SELECT count(*) || ' up to ' || max(id) FROM audit_log_ledger").await,
        "1041 up to 1041"
    );
    let parts = "SELECT count(*)::text FROM pg_inherits WHERE inhparent = 'audit_log_ledger'::regclass";
    assert_eq!(stand.value(parts).await, "12", "eleven years and a default");
    assert_ne!(
        stand.value("SELECT count(*)::text FROM audit_log_default").await,
        "0",
        "rows before 2026 are kept"
    );
    for sql in [
        "UPDATE audit_log_ledger SET action = 'x'",
        "DELETE FROM audit_log_ledger",
        "TRUNCATE audit_log_ledger",
        "DELETE FROM audit_log_2026",
    ] {
        assert!(sqlx::raw_sql(sql).execute(&mut session).await.is_err(), "{sql} by the application");
    }
    let mut owner = connect(&stand.url).await;
    assert!(
        sqlx::raw_sql("UPDATE audit_log_ledger SET action = 'x'").execute(&mut owner).await.is_err(),
        "by the owner"
    );
    stand
        .database
        .execute(
            "ALTER TABLE audit_log_ledger DISABLE TRIGGER USER; UPDATE audit_log_ledger SET action = \
            'x' WHERE id = 7",
        )
        .await;
    assert_eq!(stand.value(broken).await, "1 of 1041", "the check does notice");
}

#[tokio::test]
async fn a_visit_of_a_patient_whom_the_api_does_not_have_is_found_until_it_has() {
    let stand = Stand::new(&SERVICES[2], "orphan").await;
    stand.ready(None).await;
    let (_, api) = stand.neighbour.as_ref().expect("the API's database");
    let patient = "7d0c4f4e-0000-4000-8000-000000000001";
    let visit = format!(
        "WITH a AS (INSERT INTO \"Appointment\" (\"patientId\", \"providerId\", \"scheduledAt\", \
            \"updatedAt\") VALUES ('{patient}', gen_random_uuid(), now(), now()) RETURNING id) \
         INSERT INTO \"Visit\" (\"appointmentId\", \"patientId\", \"providerId\", \"roomId\", \"updatedAt\") \
         SELECT id, '{patient}', gen_random_uuid(), 'room', now() FROM a"
    );
    stand.database.execute(&visit).await;
    let found = |outcomes: Vec<sluice::contract::Outcome>| -> Vec<String> {
        outcomes
            .into_iter()
            .flat_map(|outcome| outcome.findings)
            .filter(|finding| finding.check.name() == "orphans-elsewhere")
            .map(|finding| finding.message)
            .collect()
    };
    let orphans = found(run_all(&stand.context(None)).await);
    assert!(orphans.len() == 1 && orphans[0].contains("Patient"), "{orphans:?}");
    let person = format!(
        "WITH u AS (INSERT INTO \"User\" (\"email\", \"firstName\", \"lastName\", \"updatedAt\") VALUES \
            ('p@health.example', 'P', 'P', now()) RETURNING id) \
         INSERT INTO \"Patient\" (\"id\", \"userId\", \"medicalRecordNumber\", \"dateOfBirth\", \
         \"updatedAt\") SELECT '{patient}', id, 'm', '1980-01-01', now() FROM u"
    );
    api.database.execute(&person).await;
    stand.ready(None).await;
}

#[tokio::test]
async fn no_service_of_global_healthcare_reaches_the_database_of_another() {
    let server = Server::get();
    let mine = server.database("services").await.name;
    let script =
        read(&examples().join("global-healthcare/databases.sql")).replace("healthcare_", &format!("{mine}_"));
    let mut administrator = server_session(server).await;
    // One by one: CREATE DATABASE cannot share a message with others.
    for statement in script.split_inclusive(';').filter(|statement| statement.trim().len() > 1) {
        execute(&mut administrator, statement).await;
    }
    let names: Vec<_> =
        SERVICES.iter().map(|service| service.prefix.replace("healthcare_", &format!("{mine}_"))).collect();
    for role in &names {
        for database in &names {
            let asked = format!("SELECT has_database_privilege('{role}_app', '{database}', 'CONNECT')::text");
            assert_eq!(
                value(&mut administrator, &asked).await,
                (role == database).to_string(),
                "{role} on {database}"
            );
        }
    }
    let url = |role: &str, database: &str| server.url(&format!("{role}_app"), database);
    connect(&url(&names[0], &names[0])).await;
    let options: sqlx::postgres::PgConnectOptions = url(&names[0], &names[1]).parse().expect("a URL");
    let refused = sqlx::ConnectOptions::connect(&options).await.expect_err("auth may not connect to api");
    assert!(refused.to_string().contains("permission denied"), "{refused}");
}

async fn server_session(server: &Server) -> sqlx::PgConnection {
    connect(&server.url("postgres", "postgres")).await
}
