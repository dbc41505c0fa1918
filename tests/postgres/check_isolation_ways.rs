//! Paths across that were hidden from the isolation probe: each is found, or honestly called unproven, and
//! its sound counterpart is neither.

use sluice::api::{
    Finding,
    Severity::{self, Error, Warning},
};

use crate::{
    check_clinic::Clinic,
    server::{connect, execute},
};

const PROBE: &str = "tenant-isolation";
const OWN: &str = "clinic_id = NULLIF(current_setting('app.clinic_id', true), '')::uuid";
const ANY: &str = "NULLIF(current_setting('app.clinic_id', true), '') IS NOT NULL";

/// A table `notes` with a row of each clinic, and these policies.
fn notes(columns: &str, policies: &str) -> String {
    format!(
        "CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {columns}, body text); \
            CREATE INDEX ON notes (clinic_id);
         ALTER TABLE notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; {policies};"
    )
}

/// One policy for each command, with this condition in the one that is named.
fn policies(open: &str, condition: &str) -> String {
    let of = |command: &str| if command == open { condition } else { OWN };
    format!(
        "CREATE POLICY s ON notes FOR SELECT USING ({}); CREATE POLICY i ON notes FOR INSERT WITH CHECK ({});
         CREATE POLICY u ON notes FOR UPDATE USING ({}); CREATE POLICY d ON notes FOR DELETE USING ({});",
        of("SELECT"),
        of("INSERT"),
        of("UPDATE"),
        of("DELETE")
    )
}

const UUID: &str = "clinic_id uuid NOT NULL";
const ROWS: &str = "INSERT INTO notes (clinic_id, body) SELECT id, 'x' FROM clinics;";
const ALL: &str = "GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO {app};";

async fn found_on(clinic: &Clinic, severity: Severity, object: &str, part: &str) {
    let found = clinic.findings_of(PROBE).await;
    let (object, part) = (clinic.text(object), clinic.text(part));
    let fits = |finding: &&Finding| {
        finding.severity == severity && finding.object == object && finding.message.contains(&part)
    };
    assert!(
        found.iter().any(|finding| fits(&finding)),
        "no {severity:?} on {object} with {part:?}: {found:#?}"
    );
}

async fn nothing_found(clinic: &Clinic) {
    let found = clinic.findings_of(PROBE).await;
    assert!(found.is_empty(), "{found:#?}");
}

/// A path across on `notes` is found with these words, and when it is closed nothing is.
async fn found_until(mended: &str, clinic: &Clinic, severity: Severity, part: &str) {
    found_on(clinic, severity, "public.notes", part).await;
    clinic.migrate(mended).await;
    nothing_found(clinic).await;
}

/// A database of its own with this table and a trigger, and in the table a row of each clinic.
async fn clinic_with(test: &str, table: &str, trigger: &str) -> Clinic {
    let clinic = Clinic::with_rows(test).await;
    clinic.migrate(&format!("{table} {ROWS} {ALL}")).await;
    clinic.migrate(trigger).await;
    clinic
}

#[tokio::test]
async fn who_may_not_read_the_tenant_column_is_tried_also_where_no_tenant_can_be_invented() {
    let clinic = Clinic::empty("no_strangers").await;
    let own = "clinic_id = NULLIF(current_setting('app.clinic_id', true), '')::clinic";
    let table = notes("clinic_id clinic NOT NULL", &format!("CREATE POLICY p ON notes USING ({own})"));
    clinic
        .migrate(&format!(
            "CREATE TYPE clinic AS ENUM ('a', 'b', 'c'); {table} INSERT INTO notes (clinic_id) VALUES ('a'), \
                ('b');
             GRANT SELECT (id, body), UPDATE (body), DELETE ON notes TO {{app}};"
        ))
        .await;
    nothing_found(&clinic).await;
    clinic
        .migrate(
            "ALTER POLICY p ON notes USING (NULLIF(current_setting('app.clinic_id', true), \
        '')::clinic IS NOT NULL)",
        )
        .await;
    found_on(&clinic, Error, "public.notes", "cross-tenant read").await;
    found_on(&clinic, Error, "public.notes", "UPDATE another tenant's rows, DELETE another tenant's row")
        .await;
    // Every clinic that there can be has rows: there is no tenant to read as, and that is said.
    clinic
        .migrate(&format!(
            "ALTER POLICY p ON notes USING ({own}); INSERT INTO notes (clinic_id) VALUES ('c')"
        ))
        .await;
    found_on(&clinic, Warning, "public.notes", "unproven: reading, UPDATE and DELETE of others' rows").await;
}

#[tokio::test]
async fn a_generated_tenant_column_is_written_through_what_it_is_made_from() {
    let clinic = Clinic::with_rows("generated").await;
    let columns = "clinic uuid, clinic_id uuid GENERATED ALWAYS AS (clinic) STORED NOT NULL";
    clinic
        .migrate(&notes(
            columns,
            &format!("CREATE POLICY p ON notes USING ({OWN}) WITH CHECK (clinic IS NOT NULL)"),
        ))
        .await;
    clinic.migrate(&format!("INSERT INTO notes (clinic) SELECT id FROM clinics; {ALL}")).await;
    let found = "INSERT a row of another tenant, UPDATE an own row so that it is another tenant's";
    found_until(&format!("ALTER POLICY p ON notes WITH CHECK ({OWN})"), &clinic, Error, found).await;
}

#[tokio::test]
async fn a_tenant_column_that_a_trigger_sets_is_written_through_what_it_follows_from() {
    let clinic = Clinic::with_rows("derived").await;
    let columns = "clinic uuid, clinic_id uuid";
    clinic
        .migrate(&notes(
            columns,
            &format!("CREATE POLICY p ON notes USING ({OWN}) WITH CHECK (clinic IS NOT NULL)"),
        ))
        .await;
    clinic
        .migrate(
            "CREATE FUNCTION derive() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.clinic_id = NEW.clinic; \
                RETURN NEW; END';
             CREATE TRIGGER a BEFORE INSERT OR UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION derive();
             INSERT INTO notes (clinic) SELECT id FROM clinics;
             GRANT SELECT, INSERT (clinic, body), UPDATE (clinic, body) ON notes TO {app}",
        )
        .await;
    found_on(
        &clinic,
        Error,
        "public.notes",
        "INSERT a row of another tenant, UPDATE an own row so that it is another tenant's",
    )
    .await;
    clinic.migrate(&format!("ALTER POLICY p ON notes WITH CHECK ({OWN})")).await;
    let found = clinic.findings_of(PROBE).await;
    assert!(
        found.iter().all(|finding| finding.severity == Warning && finding.message.contains("may be null")),
        "{found:#?}"
    );
    // What cannot be found out is said: the trigger reads something that no attempt writes.
    clinic
        .migrate(
            "CREATE OR REPLACE FUNCTION derive() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN \
            NEW.clinic_id = md5(NEW.body)::uuid; RETURN NEW; END'",
        )
        .await;
    found_on(
        &clinic,
        Warning,
        "public.notes",
        "unproven: INSERT (the application does not write the tenant column",
    )
    .await;
}

#[tokio::test]
async fn a_trigger_that_keeps_the_tenant_does_not_hide_an_open_policy_for_update() {
    for (test, refusal) in [("keeps", "RAISE EXCEPTION 'the tenant never changes'"), ("skips", "RETURN NULL")]
    {
        let trigger = format!(
            "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.clinic_id <> \
                OLD.clinic_id THEN {refusal}; END IF; RETURN NEW; END$$;
             CREATE TRIGGER a BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION guard()"
        );
        let clinic = clinic_with(test, &notes(UUID, &policies("UPDATE", ANY)), &trigger).await;
        let mended = format!("ALTER POLICY u ON notes USING ({OWN})");
        found_until(&mended, &clinic, Error, "UPDATE another tenant's rows").await;
    }
}

#[tokio::test]
async fn a_trigger_that_refuses_everything_leaves_an_open_policy_unproven() {
    let trigger = "CREATE FUNCTION kept() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
        CREATE TRIGGER a BEFORE DELETE ON notes FOR EACH ROW EXECUTE FUNCTION kept()";
    let clinic = clinic_with("refuses", &notes(UUID, &policies("DELETE", ANY)), trigger).await;
    let found = "unproven: DELETE (a row that the policies let through was skipped";
    found_until(&format!("ALTER POLICY d ON notes USING ({OWN})"), &clinic, Warning, found).await;
}

#[tokio::test]
async fn a_trigger_that_knows_the_tenants_does_not_hide_an_open_policy_for_insert() {
    let clinic = Clinic::with_rows("knows").await;
    clinic.migrate(&format!("{} {ALL}", notes(UUID, &policies("INSERT", ANY)))).await;
    clinic
        .migrate(
            "INSERT INTO notes (clinic_id) SELECT id FROM clinics LIMIT 1;
             CREATE FUNCTION known() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
               IF NOT EXISTS (SELECT FROM public.clinics c WHERE c.id = NEW.clinic_id) THEN RAISE EXCEPTION \
               'unknown'; END IF; RETURN NEW; END$$;
             CREATE TRIGGER a BEFORE INSERT OR UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION known()",
        )
        .await;
    let mended = format!("ALTER POLICY i ON notes WITH CHECK ({OWN})");
    found_until(&mended, &clinic, Error, "INSERT a row of another tenant").await;
}

#[tokio::test]
async fn a_lock_of_the_application_is_an_error_and_one_of_somebody_else_a_warning() {
    let clinic = Clinic::with_rows("app_lock").await;
    let mut app = connect(clinic.url()).await;
    execute(
        &mut app,
        &clinic.text("SET SESSION AUTHORIZATION {app}; BEGIN; LOCK TABLE visits IN EXCLUSIVE MODE"),
    )
    .await;
    found_on(&clinic, Warning, "public.visits", "unproven").await;
    // The session belongs to the role that logged in.
    execute(&mut app, "ROLLBACK").await;
    let mut app = clinic.session_of_the_application().await;
    execute(&mut app, "BEGIN; LOCK TABLE visits IN EXCLUSIVE MODE").await;
    found_on(&clinic, Error, "public.visits", "has locked the whole table").await;
    execute(&mut app, "ROLLBACK").await;
    nothing_found(&clinic).await;
}

#[tokio::test]
async fn what_the_application_is_told_at_its_login_holds_in_the_attempts() {
    let clinic = Clinic::with_rows("login").await;
    clinic
        .migrate("CREATE POLICY support ON visits USING (current_setting('app.support', true) = 'on')")
        .await;
    nothing_found(&clinic).await;
    for (set, reset) in [
        ("ALTER ROLE {app} SET app.support = 'on'", "ALTER ROLE {app} RESET app.support"),
        (
            "ALTER ROLE {app} IN DATABASE {database} SET app.support = 'on'",
            "ALTER ROLE {app} IN DATABASE {database} RESET app.support",
        ),
        ("ALTER DATABASE {database} SET app.support = 'on'", "ALTER DATABASE {database} RESET app.support"),
    ] {
        clinic.as_superuser(set).await;
        found_on(&clinic, Error, "public.visits", "cross-tenant read").await;
        clinic.as_superuser(reset).await;
    }
    nothing_found(&clinic).await;
}

#[tokio::test]
async fn a_role_whose_rights_are_inherited_is_tried_after_set_role() {
    let clinic = Clinic::with_rows("inherited").await;
    clinic
        .as_superuser(
            "CREATE ROLE {app}_reports; GRANT {app}_reports TO {app}; GRANT USAGE ON SCHEMA public \
            TO {app}_reports; GRANT SELECT, INSERT ON visits TO {app}_reports",
        )
        .await;
    clinic.migrate("DROP POLICY tenant ON visits").await;
    clinic.migrate(&format!("CREATE POLICY tenant ON visits TO {{app}} USING ({OWN})")).await;
    nothing_found(&clinic).await;
    clinic.migrate("CREATE POLICY reports ON visits FOR SELECT USING (current_user = '{app}_reports')").await;
    found_on(&clinic, Error, "public.visits", "after SET ROLE \"{app}_reports\": cross-tenant read").await;
}

#[tokio::test]
async fn all_roles_together_have_one_time_and_what_is_left_is_told_once() {
    let clinic = Clinic::with_rows("one_time").await;
    for role in 1..5 {
        clinic
            .as_superuser(&format!(
                "CREATE ROLE {{app}}_{role}; GRANT {{app}}_{role} TO {{app}}; GRANT USAGE \
                ON SCHEMA public TO {{app}}_{role}; GRANT SELECT, INSERT, UPDATE, DELETE ON visits TO \
                {{app}}_{role}"
            ))
            .await;
    }
    clinic
        .migrate(&format!(
            "CREATE FUNCTION slow() RETURNS bool LANGUAGE plpgsql AS 'BEGIN PERFORM \
                pg_catalog.pg_sleep(2.5); RETURN true; END';
             ALTER POLICY tenant ON visits USING (slow() AND {OWN})"
        ))
        .await;
    let began = std::time::Instant::now();
    let found = clinic.findings_of(PROBE).await;
    let late: Vec<_> = found
        .iter()
        .filter(|finding| finding.message.contains("there was no time left after 30 s"))
        .collect();
    assert_eq!(late.len(), 1, "{found:#?}");
    assert!(
        late[0].severity == Warning && late[0].is_unproven() && late[0].object == clinic.app,
        "{late:#?}"
    );
    // Thirty seconds, and what was under way. Each role alone would take as long.
    assert!(began.elapsed() < std::time::Duration::from_secs(90), "{:?}", began.elapsed());
}

#[tokio::test]
async fn rows_without_a_tenant_that_everybody_sees_or_makes_are_a_warning() {
    let open = format!("CREATE POLICY p ON notes USING (clinic_id IS NULL OR {OWN})");
    let clinic = clinic_with("nobody", &notes("clinic_id uuid", &open), "").await;
    let found = "every tenant sees a row without a tenant, and any tenant can make one";
    found_until(&format!("ALTER POLICY p ON notes USING ({OWN})"), &clinic, Warning, found).await;
}

/// A policy that knows the probe by a setting of its own or by its name would close for it alone.
#[tokio::test]
async fn no_policy_knows_the_probe_by_a_setting() {
    let clinic = Clinic::with_rows("known_by").await;
    for condition in [
        "current_setting('sluice.reached', true) IS NULL",
        "current_setting('application_name') NOT LIKE 'sluice%'",
    ] {
        clinic.migrate(&format!("CREATE POLICY open ON visits USING ({condition})")).await;
        found_on(&clinic, Error, "public.visits", "cross-tenant read").await;
        found_on(&clinic, Error, "public.visits", "UPDATE another tenant's rows").await;
        clinic.migrate("DROP POLICY open ON visits").await;
    }
    nothing_found(&clinic).await;
}

/// Two tenants with rows see their own only; who is new sees them all.
#[tokio::test]
async fn a_tenant_that_has_no_row_yet_looks_too() {
    let clinic = Clinic::with_rows("newcomer").await;
    let newcomer = format!(
        "{ANY} AND NOT EXISTS (SELECT FROM clinics c WHERE c.id = NULLIF(current_setting('app.clinic_id', \
            true), '')::uuid)"
    );
    clinic.migrate(&format!("CREATE POLICY open ON visits FOR SELECT USING ({newcomer})")).await;
    found_on(&clinic, Error, "public.visits", "cross-tenant read").await;
}
