//! Ways around row-level security that only the catalog tells: what must not be taken for one, and what needs
//! more than one step to be shown. That each is found is in `check_controls.rs`.

use sluice::api::Severity::{self, Error, Warning};

use crate::{
    check_clinic::Clinic,
    server::{Server, connect, execute},
};

const OWN: &str = "clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid)";

/// What one check says, as severities and messages.
async fn told(clinic: &Clinic, check: &str) -> Vec<(Severity, String)> {
    clinic.findings_of(check).await.into_iter().map(|finding| (finding.severity, finding.message)).collect()
}

/// How many rows the application sees with one tenant set.
async fn seen(clinic: &Clinic, relation: &str) -> i64 {
    let mut session = connect(clinic.url()).await;
    let tenant =
        "SELECT set_config('app.clinic_id', (SELECT id::text FROM clinics WHERE name = 'north'), false)";
    execute(&mut session, &clinic.text(&format!("{tenant}; SET ROLE {{app}}"))).await;
    let count = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {relation}")));
    count.fetch_one(&mut session).await.expect("the application may read it")
}

#[tokio::test]
async fn an_owner_with_the_applications_own_policy_lends_it_nothing() {
    let clinic = Clinic::with_rows("same_policy").await;
    clinic.as_superuser("ALTER ROLE {migrator} NOBYPASSRLS").await;
    clinic
        .migrate(
            &"ALTER POLICY tenant ON visits TO {app}; CREATE POLICY migrations ON visits TO {migrator} USING \
                ({own});
             CREATE VIEW agenda AS SELECT clinic_id, starts_at FROM visits; GRANT SELECT ON agenda TO {app};
             CREATE FUNCTION all_visits() RETURNS SETOF visits LANGUAGE sql SECURITY DEFINER SET search_path \
             = public AS 'SELECT * FROM visits';
             CREATE TABLE notes (id int); GRANT SELECT, INSERT, UPDATE ON notes TO {app};
             CREATE RULE r AS ON UPDATE TO notes DO INSTEAD SELECT status FROM visits;
             CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW; \
             END';
             CREATE TRIGGER t BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION fires()"
                .replace("{own}", OWN),
        )
        .await;
    clinic.assert_clean().await;
    assert_eq!((seen(&clinic, "agenda").await, seen(&clinic, "all_visits()").await), (1, 1));
    clinic.migrate("CREATE POLICY opens ON visits TO {migrator} USING (true)").await;
    for check in ["rls-view", "rls-rule"] {
        let found = told(&clinic, check).await;
        assert!(found.len() == 1 && found[0].0 == Error, "{check}: {found:#?}");
    }
    assert_eq!(told(&clinic, "rls-function").await.len(), 2);
    assert_eq!((seen(&clinic, "agenda").await, seen(&clinic, "all_visits()").await), (2, 2));
}

#[tokio::test]
async fn a_stored_view_of_an_owner_who_is_bound_is_unproven() {
    let clinic = Clinic::with_rows("stored_bound").await;
    clinic.as_superuser("ALTER ROLE {migrator} NOBYPASSRLS").await;
    clinic.migrate("CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM visits").await;
    clinic.assert_clean().await;
    clinic.migrate("GRANT SELECT ON totals TO {app}").await;
    clinic.assert_one("rls-view", Warning, "public.totals", "nothing filters that by tenant").await;
}

#[tokio::test]
async fn the_usual_policies_are_proven() {
    let clinic = Clinic::with_rows("usual").await;
    clinic
        .migrate(
            &"CREATE FUNCTION tenant() RETURNS uuid STABLE LANGUAGE sql AS $$ SELECT \
                NULLIF(current_setting('app.clinic_id', true), '')::uuid $$;
             ALTER POLICY tenant ON visits USING (clinic_id = (SELECT tenant()));
             ALTER POLICY tenant ON patients USING ({own} AND born < now()) WITH CHECK (clinic_id::text = \
             current_setting('app.clinic_id', true));
             CREATE POLICY narrow ON access_log AS RESTRICTIVE USING ({own}); CREATE POLICY staff ON \
             access_log FOR SELECT USING (session_user <> 'nobody')"
                .replace("{own}", OWN),
        )
        .await;
    clinic.assert_clean().await;
    clinic
        .migrate(
            "CREATE OR REPLACE FUNCTION tenant() RETURNS uuid STABLE LANGUAGE sql AS $$ SELECT \
            current_setting('app.other')::uuid $$",
        )
        .await;
    let found = told(&clinic, "rls-condition").await;
    assert!(
        found.len() == 1
            && found[0].1.contains("the policy tenant")
            && found[0].1.ends_with("it reads tenant()"),
        "{found:#?}"
    );
}

#[tokio::test]
async fn what_the_role_may_besides_is_each_told() {
    let clinic = Clinic::with_rows("besides").await;
    let newer = Server::get().major >= 16;
    clinic.as_superuser("ALTER ROLE {app} CREATEROLE").await;
    let severity = if newer { Warning } else { Error };
    clinic.assert_one("rls-role", severity, "{app}", "has CREATEROLE").await;
    clinic
        .as_superuser(
            "ALTER ROLE {app} NOCREATEROLE; REVOKE {app} FROM {migrator}; GRANT {migrator} TO {app}",
        )
        .await;
    let found = told(&clinic, "rls-role").await;
    let all: String = found.iter().map(|(_, message)| message.as_str()).collect();
    for part in ["which has BYPASSRLS", "which is the migration role", "has the rights of"] {
        assert!(found.len() == 3 && all.contains(part), "{part}: {found:#?}");
    }
}

#[tokio::test]
async fn an_application_that_is_the_migration_role_is_told_so() {
    let mut clinic = Clinic::with_rows("one_role").await;
    clinic.as_superuser("ALTER ROLE {migrator} NOBYPASSRLS").await;
    clinic.scope.row_level_security.as_mut().expect("it is checked").app_role = clinic.migrator.clone();
    let found = told(&clinic, "rls-role").await;
    assert!(
        found.iter().all(|(severity, _)| *severity == Error)
            && found.iter().any(|(_, message)| message.contains("is the migration role")),
        "{found:#?}"
    );
    assert!(
        found.iter().any(|(_, message)| message.contains("whose row-level security an owner can switch off")),
        "{found:#?}"
    );
}

#[tokio::test]
async fn parameters_of_superusers_are_told() {
    let clinic = Clinic::with_rows("parameters").await;
    clinic.as_superuser("GRANT SET ON PARAMETER work_mem TO {app}").await;
    clinic.assert_clean().await;
    clinic.as_superuser("GRANT SET ON PARAMETER session_replication_role TO {app}").await;
    clinic.assert_one("rls-role", Error, "{app}", "may SET the parameter session_replication_role").await;
    clinic
        .as_superuser(
            "REVOKE SET ON PARAMETER session_replication_role FROM {app}; GRANT ALTER SYSTEM ON \
            PARAMETER work_mem TO {app}",
        )
        .await;
    clinic.assert_one("rls-role", Error, "{app}", "may ALTER SYSTEM SET the parameter work_mem").await;
    clinic
        .as_superuser(
            "REVOKE ALL ON PARAMETER work_mem FROM {app}; GRANT SET ON PARAMETER log_statement TO {app}",
        )
        .await;
    clinic.assert_one("rls-role", Warning, "{app}", "log_statement").await;
    clinic.as_superuser("REVOKE ALL ON PARAMETER log_statement FROM {app}").await;
    clinic.assert_clean().await;
}

#[tokio::test]
async fn what_is_shared_and_what_nobody_reaches_is_left_alone() {
    let mut clinic = Clinic::with_rows("shared").await;
    clinic
        .migrate(
            "CREATE SCHEMA archive; CREATE TABLE archive.visits (LIKE visits); CREATE TABLE archive.heir () \
                INHERITS (visits);
             CREATE TABLE countries (id int PRIMARY KEY, name text); GRANT SELECT, INSERT, UPDATE (name) ON \
             countries TO {app};
             ALTER TABLE patients ADD country int REFERENCES countries ON UPDATE CASCADE; CREATE INDEX ON \
             patients (country);
             CREATE TABLE doses (clinic uuid, patient uuid, FOREIGN KEY (clinic, patient) REFERENCES \
             patients); CREATE INDEX ON doses (clinic, patient)",
        )
        .await;
    clinic.assert_clean().await;
    clinic
        .migrate(
            "GRANT SELECT ON doses TO {app}; GRANT USAGE ON SCHEMA archive TO {app}; GRANT SELECT ON \
        archive.visits TO {app}",
        )
        .await;
    assert_eq!(told(&clinic, "rls-uncovered").await.len(), 2);
    let except = &mut clinic.scope.row_level_security.as_mut().expect("it is checked").except;
    *except = vec!["doses".to_owned(), "archive.visits".to_owned()];
    clinic.assert_clean().await;
}

#[tokio::test]
async fn an_exception_with_a_schema_is_not_a_table_whose_name_has_a_dot() {
    let mut clinic = Clinic::with_rows("dotted").await;
    clinic.scope.row_level_security.as_mut().expect("it is checked").except =
        vec!["public.countries".to_owned()];
    clinic.migrate("CREATE TABLE countries (clinic_id uuid); GRANT SELECT ON countries TO {app}").await;
    clinic.assert_clean().await;
    clinic
        .migrate(
            "CREATE TABLE \"public.countries\" (clinic_id uuid); GRANT SELECT ON \"public.countries\" \
        TO {app}",
        )
        .await;
    clinic.assert_one("rls-enabled", Error, "public.public.countries", "row-level security is off").await;
    clinic
        .scope
        .row_level_security
        .as_mut()
        .expect("it is checked")
        .except
        .push("public.public.countries".to_owned());
    clinic.assert_clean().await;
}
