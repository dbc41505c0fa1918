//! Whatever the application reaches is attacked, and what its privileges bring is told.

use sluice::api::Severity::{Error, Warning};

use crate::{check_clinic::Clinic, stage_scene::value};

const PROBE: &str = "tenant-isolation";

#[tokio::test]
async fn a_table_without_row_level_security_is_attacked_and_fails_whatever_it_holds() {
    let clinic = Clinic::with_rows("bare").await;
    clinic
        .migrate(
            "ALTER TABLE visits DISABLE ROW LEVEL SECURITY; REVOKE INSERT, UPDATE, DELETE ON visits \
        FROM {app}",
        )
        .await;
    clinic
        .assert_one(
            PROBE,
            Error,
            "public.visits",
            "cross-tenant read: with a tenant set, the application sees 2 rows that are not",
        )
        .await;
    clinic
        .migrate(
            "ALTER TABLE visits ENABLE ROW LEVEL SECURITY; CREATE TABLE notes (clinic_id uuid); GRANT \
            INSERT ON notes TO {app}",
        )
        .await;
    clinic
        .assert_one(
            PROBE,
            Error,
            "public.notes",
            "cross-tenant write: with a tenant set, the application can INSERT",
        )
        .await;
    clinic.migrate("REVOKE INSERT ON notes FROM {app}").await;
    assert!(clinic.findings_of(PROBE).await.is_empty(), "no role reaches it");
    clinic.migrate("GRANT SELECT ON notes TO PUBLIC; ALTER TABLE notes ADD CHECK (clinic_id IS NULL)").await;
    clinic.assert_one(PROBE, Error, "public.notes", "row-level security is off").await;
    clinic
        .migrate(
            "REVOKE ALL ON notes FROM PUBLIC; CREATE VIEW seen WITH (security_invoker = false) AS \
        SELECT * FROM notes; GRANT SELECT ON seen TO {app}; ALTER TABLE notes DROP CONSTRAINT \
        notes_clinic_id_check; INSERT INTO notes SELECT id FROM clinics",
        )
        .await;
    clinic.assert_one(PROBE, Error, "public.seen", "cross-tenant read").await;
}

#[tokio::test]
async fn a_partition_in_another_schema_is_attacked_where_it_is_reached() {
    let clinic = Clinic::with_rows("far_partition").await;
    clinic
        .migrate(
            "CREATE SCHEMA archive; ALTER TABLE access_log_new SET SCHEMA archive; GRANT USAGE ON \
        SCHEMA archive TO {app}",
        )
        .await;
    clinic.assert_clean().await;
    clinic.migrate("GRANT SELECT ON archive.access_log_new TO {app}").await;
    clinic.assert_one(PROBE, Error, "archive.access_log_new", "sees 2 rows that are not").await;
}

/// The rights of a role that is not inherited are one SET ROLE away.
#[tokio::test]
async fn what_the_application_reaches_only_after_set_role_is_attacked_too() {
    let clinic = Clinic::with_rows("set_role").await;
    clinic
        .as_superuser(
            "CREATE ROLE {app}_more NOINHERIT; GRANT {app}_more TO {migrator}; GRANT USAGE ON \
            SCHEMA public TO {app}_more",
        )
        .await;
    let major =
        value(&mut clinic.superuser_session().await, "SELECT current_setting('server_version_num')").await;
    let grant = if major.as_str() >= "160000" {
        "GRANT {app}_more TO {app} WITH INHERIT FALSE"
    } else {
        "ALTER ROLE {app} NOINHERIT; GRANT {app}_more TO {app}"
    };
    clinic.as_superuser(grant).await;
    clinic.assert_clean().await;
    clinic
        .migrate(
            "CREATE TABLE notes (clinic_id uuid); INSERT INTO notes SELECT id FROM clinics; GRANT \
            SELECT ON notes TO {app}_more",
        )
        .await;
    clinic.assert_one(PROBE, Error, "public.notes", "after SET ROLE \"{app}_more\": cross-tenant read").await;
}

#[tokio::test]
async fn what_grant_all_includes_is_told_for_each_schema() {
    let clinic = Clinic::with_rows("grant_all").await;
    clinic.migrate("GRANT ALL ON visits, patients TO {app}").await;
    let found = clinic.findings_of("rls-privileges").await;
    let told: Vec<_> = found
        .iter()
        .map(|finding| {
            (finding.severity, finding.message.split(" on ").next().unwrap_or_default().to_owned())
        })
        .collect();
    let app = &clinic.app;
    assert_eq!(
        told,
        [
            (Error, format!("{app:?} may create triggers")),
            (
                Warning,
                format!(
                    "{app:?} may create foreign keys to patients and visits: they are checked past row-level \
                        security"
                )
            )
        ],
        "{found:#?}"
    );
    assert!(clinic.findings_of(PROBE).await.is_empty(), "there is no code, so it is tried");
    for finding in &found {
        clinic.as_superuser(&finding.remedy).await;
    }
    clinic.migrate("REVOKE TRUNCATE ON visits, patients FROM {app}").await;
    clinic.assert_clean().await;
}
