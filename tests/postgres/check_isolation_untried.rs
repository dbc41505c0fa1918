//! What the isolation probe cannot try is said, and what it can is tried all the same.

use sluice::{
    api::Severity::{Error, Warning},
    check,
    inspect::Aspect,
    postgres::Transaction,
};

use crate::{check_clinic::Clinic, server::execute};

use crate::check_isolation::OWN;

const PROBE: &str = "tenant-isolation";

#[tokio::test]
async fn empty_partitions_that_cannot_be_given_a_row_are_one_warning_of_their_table() {
    let clinic = Clinic::empty("partition_empty").await;
    clinic
        .migrate(&format!(
            "GRANT SELECT ON access_log_old TO {{app}}; ALTER TABLE access_log_old ENABLE ROW LEVEL \
                SECURITY, FORCE ROW LEVEL SECURITY;
             CREATE POLICY tenant ON access_log_old USING ({OWN})"
        ))
        .await;
    clinic
        .assert_one(
            PROBE,
            Warning,
            "public.access_log",
            "unproven: the application may address public.access_log_old directly",
        )
        .await;
}

#[tokio::test]
async fn a_table_that_cannot_be_given_a_row_is_a_warning_and_the_rest_is_still_tried() {
    let clinic = Clinic::empty("unseedable").await;
    clinic.migrate("ALTER TABLE patients ADD CONSTRAINT picky CHECK (full_name ~ '^Dr\\. [A-Z]')").await;
    let found = clinic.findings_of(PROBE).await;
    assert!(found.len() == 2 && found.iter().all(|finding| finding.severity == Warning), "{found:#?}");
    assert!(
        found.iter().all(|finding| finding.message.contains("unproven") && finding.message.contains("picky")),
        "{found:#?}"
    );
    clinic.migrate("CREATE POLICY open ON patients FOR INSERT WITH CHECK (full_name <> '')").await;
    let found = clinic.findings_of(PROBE).await;
    assert!(
        found
            .iter()
            .any(|finding| finding.severity == Error
                && finding.message.contains("INSERT a row of another tenant")),
        "{found:#?}"
    );
}

/// A superuser may switch foreign keys off for the length of an attempt; others have to follow them.
#[tokio::test]
async fn tables_whose_foreign_keys_go_in_a_cycle_need_a_superuser_to_be_given_a_row() {
    let clinic = Clinic::empty("circle_of_keys").await;
    clinic
        .migrate(
            "ALTER TABLE patients ADD COLUMN last_visit bigint NOT NULL, ADD FOREIGN KEY (clinic_id, \
                last_visit) REFERENCES visits;
             CREATE INDEX ON patients (clinic_id, last_visit)",
        )
        .await;
    let found = clinic.findings().await;
    assert!(
        found.len() == 2
            && found
                .iter()
                .all(|finding| finding.severity == Warning && finding.message.contains("form a cycle")),
        "{found:#?}"
    );
    let mut superuser = clinic.superuser_session().await;
    execute(&mut superuser, "BEGIN").await;
    let found = clinic.findings_in(&mut superuser).await;
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn an_application_that_may_do_little_is_tried_with_what_it_may() {
    let clinic = Clinic::with_rows("little").await;
    clinic
        .migrate(
            "REVOKE ALL ON visits, patients, access_log FROM {app}; GRANT SELECT (status), UPDATE \
            (status) ON visits TO {app}; GRANT DELETE ON patients TO {app}",
        )
        .await;
    clinic.assert_clean().await;
    clinic
        .migrate(
            "CREATE POLICY open ON visits FOR SELECT USING (status <> 'x'); CREATE POLICY wipe ON patients \
                FOR DELETE USING (born < now())",
        )
        .await;
    let found = clinic.findings_of(PROBE).await;
    let messages: Vec<_> = found.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(
        messages[0].contains("DELETE another tenant's rows") && messages[1].contains("cross-tenant read"),
        "{messages:?}"
    );
}

#[tokio::test]
async fn an_application_that_may_do_nothing_is_unproven() {
    let clinic = Clinic::with_rows("nothing").await;
    clinic.migrate("REVOKE ALL ON visits, patients, access_log FROM {app}").await;
    clinic.assert_one(PROBE, Warning, "{app}", "unproven: \"{app}\" may not use any table").await;
}

#[tokio::test]
async fn a_table_that_somebody_has_locked_is_unproven_and_waited_for_once() {
    let clinic = Clinic::with_rows("locked").await;
    let mut other = clinic.session().await;
    execute(&mut other, "BEGIN; LOCK TABLE visits IN EXCLUSIVE MODE").await;
    clinic
        .assert_one(
            PROBE,
            Warning,
            "public.visits",
            "unproven: INSERT (even an own row is refused: another session held a lock",
        )
        .await;
    execute(&mut other, "ROLLBACK; BEGIN; LOCK TABLE visits IN ACCESS EXCLUSIVE MODE").await;
    let mut session = clinic.session().await;
    let mut transaction = Transaction::begin(&mut session).await.expect("begins");
    let unanswered = check::run(&mut transaction, &clinic.scope, &[Aspect::Isolation])
        .await
        .expect_err("no session can read what is locked");
    assert!(unanswered.to_string().contains("lock timeout"), "{unanswered}");
    execute(&mut session, "SELECT 'the transaction is still usable'").await;
    execute(&mut other, "ROLLBACK").await;
    clinic.assert_clean().await;
}
