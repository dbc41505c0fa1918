//! How long the checks take on a thousand tables. A measurement and no test of time: it prints, and asserts only what is found.
//! `cargo test --test postgres thousand -- --ignored --nocapture`

use std::{fs, time::Instant};

use serde_json::json;
use sluice::check::{self, Aspect};
use sqlx::Row;

use crate::{check_clinic::Clinic, check_structure, server::execute};

/// Twenty columns, a foreign key, four policies and five indexes each.
const TABLES: &str =
    "DO $$ DECLARE t text; own text := 'clinic_id = (SELECT NULLIF(current_setting(''app.clinic_id'', true), '''')::uuid)';
    BEGIN FOR i IN {from}..{to} LOOP
        t := format('t_%s', i);
        EXECUTE format('CREATE TABLE %I (clinic_id uuid NOT NULL, id uuid NOT NULL DEFAULT gen_random_uuid(), patient_id uuid NOT NULL, %s,
            PRIMARY KEY (clinic_id, id), FOREIGN KEY (clinic_id, patient_id) REFERENCES patients (clinic_id, id))', t,
            (SELECT string_agg(format('c_%s text', n), ', ') FROM generate_series(1, 17) n));
        EXECUTE format('CREATE INDEX ON %I (clinic_id, patient_id)', t);
        EXECUTE format('CREATE INDEX ON %I (clinic_id, c_1) WHERE c_2 IS NULL', t);
        EXECUTE format('CREATE INDEX ON %I (clinic_id, c_3 DESC)', t);
        EXECUTE format('CREATE INDEX ON %I (c_4 text_pattern_ops)', t);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY s ON %I FOR SELECT USING (%s)', t, own);
        EXECUTE format('CREATE POLICY i ON %I FOR INSERT WITH CHECK (%s)', t, own);
        EXECUTE format('CREATE POLICY u ON %I FOR UPDATE USING (%s) WITH CHECK (%s)', t, own, own);
        EXECUTE format('CREATE POLICY d ON %I FOR DELETE USING (%s)', t, own);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO {app}', t);
        {rows}
    END LOOP; END $$";
const ROWS: &str = "EXECUTE format('INSERT INTO %I (clinic_id, patient_id) SELECT clinic_id, id FROM patients', t);";

/// Milliseconds of processor time that a process has used: what a busy machine does not change.
fn processor(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let fields: Vec<_> = stat.rsplit(") ").next().expect("its fields").split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("ticks");
    (ticks(11) + ticks(12)) * 10
}

async fn run(clinic: &Clinic, what: &str, aspects: &[Aspect], findings: usize) {
    let mut session = clinic.session().await;
    execute(&mut session, "BEGIN").await;
    let server: i32 = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut session).await.expect("a session").get(0);
    let own = i32::try_from(std::process::id()).expect("a process id");
    let (start, server_before, own_before) = (Instant::now(), processor(server), processor(own));
    let found = check::run(&mut session, &clinic.scope, aspects).await.expect("carried out");
    let (server, own) = (processor(server) - server_before, processor(own) - own_before);
    println!("1,000 tables {what}: {} ms, of processor time {server} ms in the server and {own} ms here", start.elapsed().as_millis());
    assert_eq!(found.len(), findings, "{found:#?}");
}

/// Every check that only reads the catalog, on what the schema follows.
fn everything() -> serde_json::Value {
    let required: Vec<_> = (1..=200)
        .map(|table| json!({"name": format!("t_{table}"), "columns": [{"name": "c_1", "type": "text"}, {"name": "patient_id", "type": "uuid"}]}))
        .collect();
    let keys: Vec<_> = (1..=200)
        .map(|table| json!({"table": format!("t_{table}"), "columns": ["clinic_id", "patient_id"], "references": "patients"}))
        .collect();
    json!({
        "foreignKeys": {"require": keys, "validated": true},
        "tables": {"require": required, "count": {"tables": 1004, "foreignKeys": 1003, "minTables": 1000}},
        "conventions": {
            "tables": "snake_case", "columns": "snake_case", "enumValues": "snake_case", "primaryKey": false,
            "indexes": ["{table}_{columns}_idx", "{table}_{columns}_idx1", "visits_open", "visits_patient", "access_log_tenant"],
            "foreignKeys": ["{table}_{columns}_fkey"], "auditColumns": [{"name": "clinic_id", "type": "uuid"}], "except": [],
        },
    })
}

async fn measure(what: &str, rows: &str) {
    let mut clinic = Clinic::with_rows("thousand").await;
    for hundred in 0..10 {
        let (from, to) = (hundred * 100 + 1, hundred * 100 + 100);
        clinic.migrate(&TABLES.replace("{from}", &from.to_string()).replace("{to}", &to.to_string()).replace("{rows}", rows)).await;
    }
    clinic.as_superuser("ANALYZE").await;
    run(&clinic, &format!("{what}, indexes"), &[Aspect::Index], 0).await;
    clinic.scope.demands = check_structure::demands(&everything());
    run(&clinic, &format!("{what}, structure"), &[Aspect::Structure], 0).await;
    run(&clinic, &format!("{what}, isolation"), &[Aspect::Isolation], 0).await;
    // Nothing binds such a role, which is a finding, and so nothing is tried as it.
    clinic.as_superuser("ALTER ROLE {app} BYPASSRLS").await;
    run(&clinic, &format!("{what}, isolation without the probe"), &[Aspect::Isolation], 1).await;
}

#[tokio::test]
#[ignore = "a measurement"]
async fn a_thousand_tables_with_rows() {
    measure("with rows", ROWS).await;
}

#[tokio::test]
#[ignore = "a measurement"]
async fn a_thousand_tables_without_rows() {
    measure("without rows", "").await;
}
