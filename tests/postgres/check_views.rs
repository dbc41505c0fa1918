//! The isolation probe through views: what a view shows and lets write although the table behind it is
//! closed, and what must not be taken for a leak.

use sluice::api::Severity::{Error, Warning};

use crate::check_clinic::Clinic;

const PROBE: &str = "tenant-isolation";
const OWN: &str = "clinic_id = NULLIF(current_setting('app.clinic_id', true), '')::uuid";

/// A clinic with a view; `{own}` is the condition that closes it.
async fn clinic(test: &str, view: &str) -> Clinic {
    let clinic = Clinic::with_rows(test).await;
    clinic.migrate(&view.replace("{own}", OWN)).await;
    clinic
}

#[tokio::test]
async fn a_view_of_the_role_that_bypasses_leaks_reads_and_writes_by_proof_and_by_its_definition() {
    let view = "CREATE VIEW agenda AS SELECT clinic_id, id, status FROM visits; GRANT SELECT, UPDATE, DELETE \
        ON agenda TO {app}";
    let clinic = clinic("view_leak", view).await;
    let found = clinic.findings_of(PROBE).await;
    // One attempt meets a constraint, and that is said beside what was proven.
    let (errors, others): (Vec<_>, Vec<_>) = found.iter().partition(|finding| finding.severity == Error);
    assert!(errors.len() == 2 && found.iter().all(|finding| finding.object == "public.agenda"), "{found:#?}");
    assert!(others.iter().all(|finding| finding.message.starts_with("unproven")), "{found:#?}");
    let all: String = errors.iter().map(|finding| finding.message.as_str()).collect();
    for part in [
        "sees 2 rows that are not that tenant's",
        "without a tenant",
        "UPDATE an own row",
        "UPDATE another tenant's rows",
        "DELETE another tenant's rows",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(
        found[0].remedy.contains("ALTER VIEW \"public\".\"agenda\" SET (security_invoker = true)"),
        "{found:#?}"
    );
    clinic.assert_one("rls-view", Error, "public.agenda", "whom no policy binds").await;
    clinic.migrate("ALTER VIEW agenda SET (security_invoker = true)").await;
    clinic.assert_clean().await;
}

#[tokio::test]
async fn a_row_of_another_tenant_can_be_inserted_through_a_view_and_nothing_stays() {
    let view = "CREATE VIEW log AS SELECT * FROM access_log; GRANT INSERT ON log TO {app}";
    let clinic = clinic("view_insert", view).await;
    clinic.assert_one(PROBE, Error, "public.log", "the application can INSERT a row of another tenant").await;
    clinic
        .migrate(
            "DROP VIEW log; CREATE VIEW log AS SELECT * FROM access_log WHERE {own} WITH CHECK OPTION; GRANT \
                INSERT ON log TO {app}"
                .replace("{own}", OWN)
                .as_str(),
        )
        .await;
    assert!(clinic.findings_of(PROBE).await.is_empty());
    let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM access_log")
        .fetch_one(&mut clinic.superuser_session().await)
        .await;
    assert_eq!(rows.expect("counts"), 2);
}

/// Every column that the table asks for is given, so that not a constraint but the view or the policies
/// decide.
#[tokio::test]
async fn a_writable_view_that_compares_the_tenant_is_proven_closed() {
    let view = "CREATE VIEW own_visits AS SELECT * FROM visits WHERE {own} WITH CHECK OPTION; REVOKE ALL ON \
        visits FROM {app};
                GRANT SELECT, INSERT, UPDATE, DELETE ON own_visits TO {app}";
    let clinic = clinic("view_closed", view).await;
    let found = clinic.findings_of(PROBE).await;
    assert!(found.is_empty(), "{found:#?}");
    clinic
        .migrate(
            "CREATE OR REPLACE VIEW own_visits AS SELECT * FROM visits WHERE {own} OR status = 'open' WITH \
                CHECK OPTION"
                .replace("{own}", OWN)
                .as_str(),
        )
        .await;
    let found = clinic.findings_of(PROBE).await;
    assert!(
        found
            .iter()
            .any(|finding| finding.object == "public.own_visits"
                && finding.message.contains("cross-tenant read")),
        "{found:#?}"
    );
}

#[tokio::test]
async fn a_materialized_view_shows_everybody_what_it_stored() {
    let view = "CREATE MATERIALIZED VIEW totals AS SELECT clinic_id, count(*) FROM visits GROUP BY 1; GRANT \
        SELECT ON totals TO {app}";
    let clinic = clinic("view_stored", view).await;
    clinic
        .assert_one(
            PROBE,
            Error,
            "public.totals",
            "with a tenant set, the application sees 2 rows that are not that tenant's",
        )
        .await;
    clinic.assert_one("rls-view", Error, "public.totals", "nothing filters that by tenant").await;
    clinic
        .migrate(
            "REVOKE SELECT ON totals FROM {app}; CREATE VIEW own_totals AS SELECT * FROM totals WHERE \
        {own}; GRANT SELECT ON own_totals TO {app}"
                .replace("{own}", OWN)
                .as_str(),
        )
        .await;
    let found = clinic.findings_of(PROBE).await;
    assert!(found.is_empty(), "a view in front of it closes it: {found:#?}");
}

#[tokio::test]
async fn a_view_behind_a_view_and_one_of_two_tables_are_tried() {
    let view = "CREATE VIEW inside AS SELECT v.clinic_id, p.full_name FROM visits v JOIN patients p USING \
        (clinic_id); \
                CREATE VIEW outside AS SELECT * FROM inside; GRANT SELECT ON outside TO {app}";
    let clinic = clinic("view_behind", view).await;
    clinic.assert_one(PROBE, Error, "public.outside", "cross-tenant read").await;
    clinic.migrate("ALTER VIEW inside SET (security_invoker = true)").await;
    clinic.assert_clean().await;
    clinic.migrate("ALTER VIEW outside SET (security_invoker = true); GRANT SELECT ON inside TO {app}").await;
    clinic.assert_clean().await;
}

#[tokio::test]
async fn a_view_over_empty_tables_is_tried_with_rows_made_for_it() {
    let clinic = Clinic::empty("view_empty").await;
    clinic
        .migrate(
            "CREATE VIEW agenda AS SELECT clinic_id, status FROM visits; GRANT SELECT ON agenda TO {app}; \
                REVOKE ALL ON visits FROM {app}",
        )
        .await;
    clinic.assert_one(PROBE, Error, "public.agenda", "cross-tenant read").await;
    clinic.migrate("ALTER VIEW agenda SET (security_invoker = true); GRANT SELECT ON visits TO {app}").await;
    clinic.assert_clean().await;
    // The row of the one table brings a row of the other, of which there may be one only.
    let joined = "CREATE UNIQUE INDEX one_patient ON patients (clinic_id); \
                  CREATE VIEW people WITH (security_invoker = true) AS SELECT clinic_id, full_name FROM \
                  visits JOIN patients USING (clinic_id); GRANT SELECT ON people TO {app}";
    clinic.migrate(joined).await;
    let found = clinic.findings_of(PROBE).await;
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn what_shows_no_row_or_cannot_be_filled_is_unproven_and_never_a_pass() {
    let view = "CREATE VIEW closed_visits WITH (security_invoker = true) AS SELECT clinic_id FROM visits \
        WHERE status = 'closed'; GRANT SELECT ON closed_visits TO {app}";
    let clinic = clinic("view_unproven", view).await;
    clinic
        .assert_one(
            PROBE,
            Warning,
            "public.closed_visits",
            "unproven: reading (it shows no row of a tenant that has some",
        )
        .await;
    clinic.migrate("UPDATE visits SET status = 'closed'").await;
    clinic.assert_clean().await;

    let clinic = Clinic::empty("view_unfilled").await;
    clinic
        .migrate(
            "CREATE MATERIALIZED VIEW totals AS SELECT clinic_id FROM visits; GRANT SELECT ON totals \
        TO {app}",
        )
        .await;
    clinic
        .assert_one(
            PROBE,
            Warning,
            "public.totals",
            "unproven: reading, UPDATE and DELETE (the table is empty, and it was filled from empty tables",
        )
        .await;
    clinic.migrate("REFRESH MATERIALIZED VIEW totals WITH NO DATA").await;
    clinic.assert_one(PROBE, Warning, "public.totals", "unproven").await;
}

#[tokio::test]
async fn a_view_that_fails_or_is_excepted_or_out_of_reach_or_shows_no_tenant_is_no_leak() {
    let view = "CREATE VIEW far AS SELECT clinic_id FROM visits; CREATE VIEW names WITH (security_invoker = \
        true) AS SELECT full_name FROM patients; \
                GRANT SELECT ON names TO {app}; CREATE VIEW board AS SELECT clinic_id FROM visits; GRANT \
                SELECT ON board TO {app}";
    let mut clinic = clinic("view_other", view).await;
    clinic.assert_one(PROBE, Error, "public.board", "cross-tenant read").await;
    clinic.scope.row_level_security.as_mut().expect("it is checked").except = vec!["board".to_owned()];
    clinic.assert_clean().await;
    clinic
        .migrate(
            "CREATE VIEW broken WITH (security_invoker = true) AS SELECT clinic_id, 1 / \
        (length(status) - 4) AS odd FROM visits; GRANT SELECT ON broken TO {app}",
        )
        .await;
    let found = clinic.findings_of(PROBE).await;
    assert!(found.iter().all(|finding| finding.severity == Warning), "{found:#?}");
}
