//! The checks beside what `psql \\d` prints of the same tables: row-level security, primary keys, invalid
//! indexes, keys not validated.

use std::{collections::BTreeSet, process::Command};

use serde_json::json;

use crate::{
    check_clinic::Clinic,
    check_structure::assertions,
    stage_scene::{finish, said},
};

type Objects = BTreeSet<String>;

/// What psql says of a clinic, in the objects of the checks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    off: Objects,
    unforced: Objects,
    keyless: Objects,
    invalid: Objects,
    unvalidated: Objects,
}

const TABLES: [&str; 4] = ["clinics", "patients", "visits", "access_log"];

async fn psql(clinic: &Clinic) -> Told {
    let mut told = Told::default();
    for table in TABLES {
        let mut command = Command::new("psql");
        command
            .args(["--no-psqlrc", "--dbname", clinic.url(), "--command"])
            .arg(format!("\\d public.{table}"));
        let output = finish(command).await;
        assert!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let object = format!("public.{table}");
        let policies = text.lines().find(|line| line.starts_with("Policies")).unwrap_or_default();
        let off = policies.is_empty() || policies.contains("disabled");
        // The clinics themselves have no tenant column.
        if table != "clinics" {
            if off { &mut told.off } else { &mut told.unforced }
                .extend((off || !policies.contains("forced")).then(|| object.clone()));
        }
        told.keyless.extend((!text.contains("PRIMARY KEY")).then(|| object.clone()));
        let index = |line: &str| line.split('"').nth(1).map(|name| format!("public.{name}"));
        told.invalid.extend(text.lines().filter(|line| line.contains(" INVALID")).filter_map(index));
        // Also the keys of other tables that refer to this one stand there, each after the word TABLE.
        let unvalidated =
            |line: &str| line.contains(" NOT VALID") && !line.trim_start().starts_with("TABLE ");
        told.unvalidated.extend(text.lines().any(unvalidated).then_some(object));
    }
    told
}

async fn sluice(clinic: &Clinic) -> Told {
    let found = clinic.findings().await;
    let of = |check: &str| {
        found
            .iter()
            .filter(|finding| finding.check.name() == check)
            .map(|finding| finding.object.clone())
            .collect()
    };
    Told {
        off: of("rls-enabled"),
        unforced: of("rls-forced"),
        keyless: of("primary-key"),
        invalid: of("index-valid"),
        unvalidated: of("foreign-key-validated"),
    }
}

const BREAKS: [&str; 6] = [
    "ALTER TABLE visits DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE patients NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE visits DROP CONSTRAINT visits_pkey",
    "UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = 'visits_patient'::regclass",
    "ALTER TABLE visits DROP CONSTRAINT visits_clinic_id_fkey; ALTER TABLE visits ADD FOREIGN KEY \
        (clinic_id) REFERENCES clinics NOT VALID",
    "DROP POLICY tenant ON visits",
];

#[tokio::test]
async fn psql_describes_each_broken_state_as_the_checks_do() {
    let mut clinic = Clinic::with_rows("psql").await;
    clinic.scope.assertions = assertions(&json!({"conventions": {}}));
    let mut states = BTreeSet::new();
    for breaks in std::iter::once("SELECT").chain(BREAKS) {
        clinic.as_superuser(breaks).await;
        let told = psql(&clinic).await;
        assert_eq!(sluice(&clinic).await, told, "after {breaks}");
        states.insert(format!("{told:?}"));
    }
    assert_eq!(
        states.len(),
        6,
        "a policy more or less is no state of its own: psql lists policies, the checks judge them"
    );
}
