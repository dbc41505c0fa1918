//! Compliance evidence from a real database: all of it is proven for neonpro when its manifest asks for
//! everything, and for each regime one thing is broken by hand, which takes away the duty that it is about;
//! mended, the duty is proven again.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    platform_stand::{Platform, Stand, read},
    platforms::NEONPRO,
    server::{connect, execute},
    stage_scene::{finish, said},
};

static PLATFORM: Platform = NEONPRO;
const REGIMES: &str = "LGPD,CFM,ANVISA,HIPAA,GDPR,GoBD,630f";

/// What the example's manifest does not ask for.
const MORE: &str = r#"  verify:
    drift: {}
    every: 6h
    tables:
      require: [{name: compliance.access_log, columns: [{name: user_id}, {name: accessed_at}]}]
    queries:
      - name: "unalterable: the application may only add to compliance.access_log"
        sql: SELECT p FROM unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) p WHERE has_table_privilege('neonpro_app', 'compliance.access_log', p)
      - name: "retention: no consent ends before it begins"
        sql: SELECT id FROM compliance.lgpd_consents WHERE revoked_at < granted_at
"#;
const CONVENTIONS: &str = "conventions: {tables: snake_case,";
const AUDIT: &str = "conventions: {auditColumns: [{name: created_at}], except: \
    [compliance.lgpd_consents.created_at, \
                     compliance.access_log.created_at], tables: snake_case,";

/// A regime, its duty, what breaks it and what mends it.
const FAULTS: [[&str; 4]; 7] = [
    [
        "LGPD",
        "No user reaches data that is not theirs",
        "ALTER TABLE clinical.patients NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE clinical.patients FORCE ROW LEVEL SECURITY",
    ],
    [
        "CFM",
        "Records are protected from unauthorised change",
        "GRANT UPDATE ON compliance.access_log TO neonpro_app",
        "REVOKE UPDATE ON compliance.access_log FROM neonpro_app",
    ],
    [
        "ANVISA",
        "Records of patients keep their integrity",
        "ALTER TABLE core.professionals ADD CONSTRAINT doubtful FOREIGN KEY (clinic_id) REFERENCES \
            core.clinics (id) NOT VALID",
        "ALTER TABLE core.professionals DROP CONSTRAINT doubtful",
    ],
    [
        "HIPAA",
        "Audit controls: activity is recorded",
        "ALTER TABLE compliance.access_log RENAME COLUMN accessed_at TO seen_at",
        "ALTER TABLE compliance.access_log RENAME COLUMN seen_at TO accessed_at",
    ],
    [
        "GDPR",
        "Integrity of the system, by design",
        "CREATE VIEW core.by_hand AS SELECT 1 AS one",
        "DROP VIEW core.by_hand",
    ],
    [
        "GoBD",
        "Programs and structures are on record, version by version",
        "UPDATE _prisma_migrations SET checksum = reverse(checksum)",
        "UPDATE _prisma_migrations SET checksum = reverse(checksum)",
    ],
    [
        "630f",
        "The file stays ten years after the treatment ended",
        "UPDATE compliance.lgpd_consents SET revoked_at = granted_at - interval '1 day'",
        "UPDATE compliance.lgpd_consents SET revoked_at = NULL",
    ],
];

/// The evidence now, and the exit code.
async fn evidence(stand: &Stand, regimes: &str) -> (Value, Option<i32>) {
    let mut verify = stand.command("verify", "evidence.yaml");
    verify.args(["-o", "json"]);
    fs::write(stand.file("report.json"), finish(verify).await.stdout).expect("writes the report");
    let mut report = Command::new(env!("CARGO_BIN_EXE_sluice"));
    report.args(["report", "-o", "json", "--regime", regimes, "--from"]).arg(stand.file("report.json"));
    report.arg("--status").arg(stand.file("status.json"));
    let output = finish(report).await;
    let found =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    (found, output.status.code())
}

/// The duties of a part that are not proven, with what was found.
fn open(part: &Value) -> Vec<String> {
    let duties = part["duties"].as_array().expect("duties").iter().filter(|duty| duty["verdict"] != "proven");
    duties.map(|duty| format!("{}: {}", duty["title"].as_str().expect("a title"), duty["evidence"])).collect()
}

#[tokio::test]
async fn every_regime_is_proven_and_each_loses_the_duty_that_is_broken_by_hand_and_gets_it_back() {
    let stand = Stand::new(&PLATFORM, "evidence").await;
    let manifest = read(&stand.file("migration.yaml"));
    assert!(
        manifest.contains("  verify:\n") && manifest.contains(CONVENTIONS),
        "the example was written otherwise"
    );
    let manifest = manifest.replace("  verify:\n", &stand.own(MORE)).replace(CONVENTIONS, AUDIT);
    fs::write(stand.file("evidence.yaml"), manifest).expect("writes the manifest");
    stand.database.execute(&format!("ALTER ROLE {}_migrator CREATEDB", stand.database.name)).await;
    let status = stand.sluice_run_with("evidence.yaml").await;
    fs::write(stand.file("status.json"), status.to_string()).expect("writes the status");
    stand.fill().await;

    let (found, code) = evidence(&stand, REGIMES).await;
    let parts = found["parts"].as_array().expect("parts");
    assert!(
        parts.iter().all(|part| open(part).is_empty()),
        "{:#?}",
        parts.iter().flat_map(open).collect::<Vec<_>>()
    );
    assert_eq!((parts.len(), code, &found["verdict"]), (FAULTS.len(), Some(0), &"passed".into()));
    let counted = parts[0]["duties"][0]["evidence"][0]["found"].as_str().expect("a text");
    assert!(
        counted.starts_with("8 tables with the column clinic_id: row-level security on 8, forced on 8, "),
        "{counted}"
    );

    for [regime, duty, fault, repair] in FAULTS {
        execute(&mut connect(&stand.url).await, &stand.own(fault)).await;
        let (broken, code) = evidence(&stand, regime).await;
        let duties = broken["parts"][0]["duties"].as_array().expect("duties").clone();
        let concerned = duties
            .iter()
            .find(|found| found["title"] == duty)
            .unwrap_or_else(|| panic!("{regime} has no duty {duty}"));
        assert_eq!(
            (&concerned["verdict"], code),
            (&"notProven".into(), Some(1)),
            "{regime}: {fault}: {concerned:#}"
        );
        execute(&mut connect(&stand.url).await, &stand.own(repair)).await;
        let (mended, code) = evidence(&stand, regime).await;
        assert_eq!((open(&mended["parts"][0]), code), (Vec::new(), Some(0)), "{regime}: {repair}");
    }
}

#[tokio::test]
async fn what_an_example_does_not_ask_for_is_not_asked_and_the_evidence_says_what_to_write() {
    let stand = Stand::new(&PLATFORM, "evidence_less").await;
    stand.sluice_run().await;
    let mut verify = stand.command("verify", "migration.yaml");
    verify.args(["-o", "json"]);
    fs::write(stand.file("report.json"), finish(verify).await.stdout).expect("writes the report");
    for (form, code) in [("text", 1), ("markdown", 1), ("html", 1), ("json", 1), ("junit", 2)] {
        let mut report = Command::new(env!("CARGO_BIN_EXE_sluice"));
        report
            .args(["report", "-o", form, "--regime", "DSGVO,hipaa", "--from"])
            .arg(stand.file("report.json"));
        let output = finish(report).await;
        assert_eq!(output.status.code(), Some(code), "{form}: {}", said(&output));
        if code == 1 {
            assert!(
                said(&output).contains("spec.verify.drift") && said(&output).contains("legal opinion"),
                "{form}: {}",
                said(&output)
            );
        }
    }
    let mut unknown = Command::new(env!("CARGO_BIN_EXE_sluice"));
    unknown.args(["report", "--regime", "ISO", "--from"]).arg(stand.file("report.json"));
    let output = finish(unknown).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("there is no regime \"ISO\"; there are LGPD"), "{}", said(&output));
}
