//! A manifest in which everything is wrong: each wrong thing is an error that names it, in time, and nothing
//! passes or changes.

use std::time::{Duration, Instant};

use serde_json::json;
use sluice::api::Severity;

use crate::{check_clinic::Clinic, check_structure::manifest};

#[tokio::test]
async fn each_thing_that_a_manifest_gets_wrong_is_an_error_that_names_it() {
    let mut clinic = Clinic::with_rows("bad_input").await;
    let relation = |table: &str, column: &str, references: &str| json!({"table": table, "columns": [column], "references": references, "referencedColumns": ["id"]});
    let mut elsewhere = relation("visits", "patient_id", "patients");
    elsewhere["database"] = json!({"name": "unheard-of", "secretRef": {"name": "nobody"}});
    let meant = manifest(&json!({
        "rowLevelSecurity": {"appRole": "nobody_of_that_name", "tenant": {"column": "clinic_id", "setting": "app.clinic_id"}},
        "indexes": {
            "foreignKeys": {"level": "Off"}, "redundant": false,
            "require": [{"table": "missing_a", "columns": ["id"]}, {"table": "visits", "columns": ["missing_column"]}],
            "mustUse": [{"name": "unplanned", "sql": "SELECT FROM \
                WHERE", "index": "visits_patient"}, {"name": "no index", "sql": "SELECT \
                1", "index": "missing_index"}],
        },
        "foreignKeys": {"require": [{"table": "missing_b", "columns": ["x"], "references": "visits"}]},
        "tables": {"require": [{"name": "missing_c"}], "enums": [{"name": "missing_enum", "values": ["a"]}]},
        "queries": [
            {"name": "invalid", "sql": "SELEC 1"},
            {"name": "no table", "sql": "SELECT * FROM missing_d"},
            {"name": "writes", "sql": "WITH x AS (DELETE FROM visits RETURNING id) SELECT * FROM x"},
            {"name": "never ends", "sql": "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n FROM t) \
                SELECT count(*) FROM t", "timeout": "300ms"},
        ],
        "rowCounts": {"tables": [{"table": "missing_e", "atLeast": 1}, {"table": "missing_f", "compare": "Equal"}]},
        "orphans": [relation("missing_g", "x", "visits"), relation("visits", "patient_id", "missing_h"), relation("access_log", "missing_i", "clinics"), elsewhere],
    }));
    (clinic.scope.indexes, clinic.scope.assertions, clinic.scope.row_level_security) =
        (meant.indexes, meant.assertions, meant.row_level_security);
    let started = Instant::now();
    let found = clinic.findings().await;
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    let mut told: Vec<_> =
        found.iter().map(|finding| (finding.check.name(), finding.object.as_str())).collect();
    told.sort_unstable();
    let expected = [
        ("enum-required", "missing_enum"),
        ("foreign-key-required", "missing_b"),
        ("index-required", "missing_a"),
        ("index-required", "public.visits"),
        ("orphans", "missing_g"),
        ("orphans", "missing_h"),
        ("orphans", "public.access_log"),
        ("orphans-elsewhere", "visits"),
        ("plan-uses-index", "no index"),
        ("plan-uses-index", "unplanned"),
        ("query-assertion", "invalid"),
        ("query-assertion", "never ends"),
        ("query-assertion", "no table"),
        ("query-assertion", "writes"),
        ("rls-role", "nobody_of_that_name"),
        ("row-count", "missing_e"),
        ("row-count", "missing_f"),
        ("table-required", "missing_c"),
        ("tenant-isolation", "nobody_of_that_name"),
    ];
    assert_eq!(told, expected, "{found:#?}");
    assert!(
        found.iter().all(|finding| finding.severity == Severity::Error && !finding.remedy.is_empty()),
        "{found:#?}"
    );
    let visits = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM visits")
        .fetch_one(&mut clinic.superuser_session().await)
        .await;
    assert_eq!(visits.expect("counts"), 2);
}
