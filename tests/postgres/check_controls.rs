//! Every check in the same rhythm: nothing is found, something is broken and found once, it is mended and
//! nothing is found. The last test counts: a check without a control here fails it.

use std::collections::BTreeSet;

use sluice::{api::Severity, check};

use crate::{check_clinic::Clinic, check_structure};

/// Their controls are in `check_rows_kept.rs` and `check_elsewhere.rs`: the one needs a migration, the other
/// a second database.
const ELSEWHERE: [&str; 2] = ["orphans-elsewhere", "rows-kept"];

/// One way to break what a check guards.
pub struct Control {
    /// Its name, and the database's.
    pub name: &'static str,
    pub check: &'static str,
    /// Run by the superuser, who may break everything.
    pub breaks: &'static str,
    pub mends: &'static str,
    pub severity: Severity,
    pub object: &'static str,
    pub message: &'static str,
}

macro_rules! controls {
    ($($(#[doc = $sentence:literal])* $name:ident: $check:literal, $severity:ident on $object:literal, $message:literal; $breaks:literal; $mends:literal;)*) => {
        pub const CONTROLS: &[Control] = &[$(Control {
            name: stringify!($name), check: $check, breaks: $breaks, mends: $mends, severity: Severity::$severity, object: $object, message: $message,
        },)*];
        $(#[tokio::test]
        async fn $name() {
            let control = CONTROLS.iter().find(|control| control.name == stringify!($name)).expect("it is in \
                the list");
            rhythm(control).await;
        })*
    };
}
pub(crate) use controls;

controls! {
    policies_without_enable: "rls-enabled", Error on "public.visits", "the policy tenant does nothing";
        "ALTER TABLE visits DISABLE ROW LEVEL SECURITY"; "ALTER TABLE visits ENABLE ROW LEVEL SECURITY";
    a_new_table_without_row_level_security: "rls-enabled", Error on "public.notes", "row-level security is \
        off";
        "CREATE TABLE notes (clinic_id uuid)"; "DROP TABLE notes";
    policies_of_a_table_without_the_tenant_column: "rls-enabled", Error on "public.clinics", "the policy \
        self does nothing";
        "CREATE POLICY self ON clinics USING (id = NULLIF(current_setting('app.clinic_id', true), \
            '')::uuid)"; "ALTER TABLE clinics ENABLE ROW LEVEL SECURITY";
    row_level_security_that_is_not_forced: "rls-forced", Error on "public.patients", "is not forced: its \
        owner \"{migrator}\"";
        "ALTER TABLE patients NO FORCE ROW LEVEL SECURITY"; "ALTER TABLE patients FORCE ROW LEVEL SECURITY";
    a_table_without_policies: "rls-policies", Error on "public.patients", "SELECT, INSERT, UPDATE and \
        DELETE: row-level security is on and there is no policy";
        "DROP POLICY tenant ON patients";
        "CREATE POLICY tenant ON patients USING (clinic_id = NULLIF(current_setting('app.clinic_id', true), \
            '')::uuid)";
    a_command_without_a_policy: "rls-policies", Error on "public.notes", "DELETE: no policy applies to \
        \"{app}\"";
        "CREATE TABLE notes (clinic_id uuid); ALTER TABLE notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL \
            SECURITY;
         CREATE POLICY reads ON notes FOR SELECT USING (clinic_id = NULLIF(current_setting('app.clinic_id', \
         true), '')::uuid);
         GRANT SELECT, DELETE ON notes TO {app}"; "REVOKE DELETE ON notes FROM {app}";
    only_restrictive_policies: "rls-policies", Error on "public.patients", "SELECT, INSERT, UPDATE and \
        DELETE: only restrictive policies apply";
        "ALTER POLICY tenant ON patients TO {migrator};
         CREATE POLICY narrow ON patients AS RESTRICTIVE USING (clinic_id = \
         NULLIF(current_setting('app.clinic_id', true), '')::uuid)";
        "ALTER POLICY tenant ON patients TO PUBLIC";
    a_second_policy_that_says_true: "rls-policies", Error on "public.visits", "the policy support lets every \
        tenant's rows through: SELECT USING (true)";
        "CREATE POLICY support ON visits FOR SELECT USING (true)"; "DROP POLICY support ON visits";
    a_check_that_says_true: "rls-policies", Error on "public.patients", "the policy intake lets every \
        tenant's rows through: INSERT WITH CHECK (true)";
        "CREATE POLICY intake ON patients FOR INSERT WITH CHECK (true)"; "DROP POLICY intake ON patients";
    an_application_role_that_bypasses: "rls-role", Error on "{app}", "has BYPASSRLS";
        "ALTER ROLE {app} BYPASSRLS"; "ALTER ROLE {app} NOBYPASSRLS";
    an_application_role_that_is_superuser: "rls-role", Error on "{app}", "is a superuser";
        "ALTER ROLE {app} SUPERUSER"; "ALTER ROLE {app} NOSUPERUSER";
    an_application_role_that_does_not_exist: "rls-role", Error on "{app}", "does not exist";
        "ALTER ROLE {app} RENAME TO {app}_x"; "ALTER ROLE {app}_x RENAME TO {app}";
    an_application_role_that_can_become_one_that_bypasses: "rls-role", Error on "{app}", "can SET ROLE to \
        \"{app}_dba\", which has BYPASSRLS";
        "CREATE ROLE {app}_dba BYPASSRLS; GRANT {app}_dba TO {app}"; "REVOKE {app}_dba FROM {app}";
    an_application_role_that_owns_an_unforced_table: "rls-role", Error on "{app}", "owns public.patients, \
        where row-level security is not forced";
        "ALTER TABLE patients OWNER TO {app}; ALTER TABLE patients NO FORCE ROW LEVEL SECURITY";
        "ALTER TABLE patients OWNER TO {migrator}; ALTER TABLE patients FORCE ROW LEVEL SECURITY; GRANT \
            SELECT ON patients TO {app}";
    an_application_role_that_owns_a_forced_table: "rls-role", Error on "{app}", "owns public.patients, whose \
        row-level security an owner can switch off";
        "ALTER TABLE patients OWNER TO {app}"; "ALTER TABLE patients OWNER TO {migrator}; GRANT SELECT ON \
            patients TO {app}";
    an_application_role_that_replicates: "rls-role", Error on "{app}", "has REPLICATION";
        "ALTER ROLE {app} REPLICATION"; "ALTER ROLE {app} NOREPLICATION";
    an_application_role_that_runs_programs: "rls-role", Error on "{app}", "is a member of \
        pg_execute_server_program";
        "GRANT pg_execute_server_program TO {app}"; "REVOKE pg_execute_server_program FROM {app}";
    an_application_role_that_reads_everywhere_through_another: "rls-role", Error on "{app}", "is a member of \
        pg_read_all_data";
        "CREATE ROLE {app}_staff; GRANT pg_read_all_data TO {app}_staff; GRANT {app}_staff TO \
            {app}"; "REVOKE {app}_staff FROM {app}";
    a_policy_that_asks_who_is_connected: "rls-condition", Warning on "public.visits", "the policy support \
        lets rows through without clinic_id = app.clinic_id; it reads session_user";
        "CREATE POLICY support ON visits FOR SELECT USING (session_user = 'support')"; "DROP POLICY support \
            ON visits";
    a_policy_that_asks_another_setting: "rls-condition", Warning on "public.visits", "it reads the setting \
        app.is_admin";
        "CREATE POLICY support ON visits FOR SELECT USING (current_setting('app.is_admin', true) = 'on')";
        "CREATE POLICY narrow ON visits AS RESTRICTIVE USING (clinic_id = (SELECT \
            NULLIF(current_setting('app.clinic_id', true), '')::uuid))";
    a_policy_for_one_tenant_in_particular: "rls-condition", Warning on "public.visits", "the policy master \
        lets rows through without clinic_id";
        "CREATE POLICY master ON visits FOR SELECT USING (current_setting('app.clinic_id', true) = \
            'master')"; "DROP POLICY master ON visits";
    a_policy_that_compares_a_prefix: "rls-condition", Warning on "public.visits", "the policy tenant lets \
        rows through without clinic_id";
        "ALTER POLICY tenant ON visits USING (clinic_id::text LIKE NULLIF(current_setting('app.clinic_id', \
            true), '') || '%')";
        "ALTER POLICY tenant ON visits USING (clinic_id::text = NULLIF(current_setting('app.clinic_id', \
            true), ''))";
    a_policy_that_asks_a_table_of_members: "rls-condition", Warning on "public.visits", "it reads the table \
        members";
        "CREATE TABLE members (clinic uuid, who name); CREATE POLICY staff ON visits FOR SELECT USING \
            (clinic_id IN (SELECT clinic FROM members WHERE who = 'x'))"; "DROP POLICY staff ON visits";
    a_partition_that_can_be_addressed: "rls-partition", Error on "public.access_log_new", "may address this \
        partition of public.access_log directly";
        "GRANT SELECT ON access_log_new TO {app}"; "REVOKE SELECT ON access_log_new FROM {app}";
    a_partition_in_a_schema_that_is_not_checked: "rls-partition", Error on "archive.access_log_old", "row-level security off";
        "CREATE SCHEMA archive; GRANT USAGE ON SCHEMA archive TO {app}; ALTER TABLE access_log_old SET \
            SCHEMA archive; GRANT SELECT ON archive.access_log_old TO {app}";
        "ALTER TABLE archive.access_log_old ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY";
    a_view_of_the_role_that_bypasses: "rls-view", Error on "public.agenda", "with the rights of its owner \
        \"{migrator}\"";
        "SET ROLE {migrator}; CREATE VIEW agenda AS SELECT clinic_id, starts_at FROM visits; GRANT SELECT ON \
            agenda TO {app}";
        "ALTER VIEW agenda SET (security_invoker = true)";
    a_view_whose_owner_a_policy_lets_through: "rls-view", Error on "public.agenda", "with the rights of its \
        owner \"{migrator}\", whom no policy binds";
        "ALTER ROLE {migrator} NOBYPASSRLS; SET ROLE {migrator}; CREATE POLICY migrations ON visits TO \
            {migrator} USING (true);
         CREATE VIEW agenda AS SELECT current_setting('app.clinic_id', true) AS clinic_id, starts_at FROM \
         visits; GRANT SELECT ON agenda TO {app}";
        "DROP POLICY migrations ON visits";
    a_view_whose_owner_has_a_policy_of_its_own: "rls-view", Warning on "public.agenda", "unproven";
        "ALTER ROLE {migrator} NOBYPASSRLS; SET ROLE {migrator}; CREATE POLICY open ON visits TO {migrator} \
            USING (status = 'open');
         CREATE VIEW agenda AS SELECT starts_at FROM visits; GRANT SELECT ON agenda TO {app}";
        "ALTER POLICY open ON visits USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', \
            true), '')::uuid))";
    a_view_whose_owner_a_restrictive_policy_leaves_out: "rls-view", Error on "public.agenda", "whom no \
        policy binds";
        "REVOKE {app} FROM {migrator}; ALTER ROLE {migrator} NOBYPASSRLS NOINHERIT; GRANT {app} TO \
            {migrator}; SET ROLE {migrator}; ALTER POLICY tenant ON visits USING (true);
         CREATE POLICY narrow ON visits AS RESTRICTIVE TO {app} USING (clinic_id = (SELECT \
         NULLIF(current_setting('app.clinic_id', true), '')::uuid));
         CREATE VIEW agenda AS SELECT starts_at FROM visits; GRANT SELECT ON agenda TO {app}";
        "ALTER POLICY narrow ON visits TO PUBLIC";
    a_rule_of_a_shared_table: "rls-rule", Error on "public.notes", "the rule r lets every UPDATE of \
        \"{app}\" reach public.patients with the rights of \"{migrator}\"";
        "SET ROLE {migrator}; CREATE TABLE notes (id int); GRANT SELECT, UPDATE ON notes TO {app}; CREATE \
            RULE r AS ON UPDATE TO notes DO INSTEAD SELECT full_name FROM patients";
        "REVOKE UPDATE ON notes FROM {app}";
    a_rule_that_a_view_leads_to: "rls-rule", Error on "public.notes", "the rule d lets every DELETE of \
        \"{app}\" reach public.visits";
        "SET ROLE {migrator}; CREATE TABLE notes (id int); CREATE VIEW inside AS SELECT clinic_id FROM \
            visits; CREATE RULE d AS ON DELETE TO notes DO ALSO SELECT * FROM inside;
         CREATE VIEW outside AS SELECT * FROM notes; GRANT DELETE ON outside TO {app}";
        "DROP RULE d ON notes";
    a_rule_that_reads_its_own_table: "rls-rule", Error on "public.patients", "the rule again lets every \
        INSERT of \"{app}\" reach public.patients";
        "SET ROLE {migrator}; CREATE TABLE log (id uuid); CREATE RULE again AS ON INSERT TO patients DO ALSO \
            INSERT INTO log SELECT p.id FROM patients p; CREATE RULE log AS ON INSERT TO patients DO ALSO \
            INSERT INTO log VALUES (NEW.id)";
        "DROP RULE again ON patients";
    a_view_behind_a_view: "rls-view", Error on "public.inner_agenda", "reads through public.agenda \
        public.visits";
        "SET ROLE {migrator}; CREATE VIEW inner_agenda AS SELECT clinic_id, starts_at FROM visits;
         CREATE VIEW agenda AS SELECT * FROM inner_agenda; GRANT SELECT ON agenda TO {app}";
        "REVOKE SELECT ON agenda FROM {app}";
    a_materialized_view: "rls-view", Error on "public.totals", "nothing filters that by tenant";
        "SET ROLE {migrator}; CREATE MATERIALIZED VIEW totals AS SELECT clinic_id, count(*) FROM visits \
            GROUP BY 1; GRANT SELECT ON totals TO {app}";
        "REVOKE SELECT ON totals FROM {app}";
    a_function_of_the_role_that_bypasses: "rls-function", Warning on "public.find_patient(who text)", "with \
        the rights of its owner \"{migrator}\", whom no policy binds";
        "SET ROLE {migrator}; CREATE FUNCTION find_patient(who text) RETURNS SETOF patients LANGUAGE sql \
            SECURITY DEFINER AS 'SELECT * FROM patients WHERE full_name = who'";
        "REVOKE EXECUTE ON FUNCTION find_patient(text) FROM PUBLIC";
    a_function_whose_owner_a_policy_lets_through: "rls-function", Warning on "public.everybody()", "whom the \
        policies of some tenant table do not bind";
        "ALTER ROLE {migrator} NOBYPASSRLS; SET ROLE {migrator}; CREATE POLICY migrations ON visits TO \
            {migrator} USING (true);
         CREATE FUNCTION everybody() RETURNS SETOF visits LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM \
         visits'";
        "DROP POLICY migrations ON visits";
    a_function_of_a_trigger: "rls-function", Warning on "public.answer()", "may fire it by writing to \
        public.requests with the rights of its owner \"{migrator}\"";
        "SET ROLE {migrator}; CREATE TABLE requests (id int, answer text); GRANT SELECT, INSERT ON requests \
            TO {app};
         CREATE FUNCTION answer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN NEW.answer = \
         (SELECT string_agg(full_name, chr(44)) FROM patients); RETURN NEW; END';
         CREATE TRIGGER a BEFORE INSERT ON requests FOR EACH ROW EXECUTE FUNCTION answer()";
        "REVOKE INSERT ON requests FROM {app}";
    a_policy_that_fails_on_a_pooled_connection: "rls-setting", Warning on "public.visits", "the policy \
        tenant casts app.clinic_id without NULLIF";
        "ALTER POLICY tenant ON visits USING (clinic_id = current_setting('app.clinic_id', true)::uuid)";
        "ALTER POLICY tenant ON visits USING (clinic_id = NULLIF(current_setting('app.clinic_id', true), \
            '')::uuid)";
    a_policy_that_fails_on_a_fresh_connection: "rls-setting", Warning on "public.visits", "the policy tenant \
        reads app.clinic_id without missing_ok";
        "ALTER POLICY tenant ON visits USING (clinic_id = NULLIF(current_setting('app.clinic_id'), \
            '')::uuid)";
        "ALTER POLICY tenant ON visits USING (clinic_id = NULLIF(current_setting('app.clinic_id', true), \
            '')::uuid)";
    a_policy_that_holds_without_a_tenant: "rls-setting", Warning on "public.visits", "the policy batch holds \
        when app.clinic_id is not set";
        "CREATE POLICY batch ON visits FOR SELECT USING (COALESCE(current_setting('app.clinic_id', true), \
            '') = '' OR status = 'open')"; "DROP POLICY batch ON visits";
    a_policy_that_calls_a_function_for_each_row: "rls-per-row", Warning on "public.visits", "the policy \
        tenant calls clinic() for each row";
        "CREATE FUNCTION clinic() RETURNS uuid LANGUAGE sql STABLE AS $$SELECT \
            NULLIF(current_setting('app.clinic_id', true), '')::uuid$$;
         ALTER POLICY tenant ON visits USING (clinic_id = clinic())";
        "ALTER POLICY tenant ON visits USING (clinic_id = (SELECT clinic()))";
    a_tenant_column_without_an_index: "rls-index", Warning on "public.access_log", "no index begins with \
        \"clinic_id\"";
        "DROP INDEX access_log_tenant"; "CREATE INDEX ON access_log (clinic_id)";
    truncate_is_granted: "rls-truncate", Warning on "public.visits", "TRUNCATE ignores row-level security";
        "GRANT TRUNCATE ON visits TO {app}"; "REVOKE TRUNCATE ON visits FROM {app}";
    a_shared_table_whose_rows_take_tenants_along: "rls-cascade", Warning on "public.countries", "may DELETE \
        rows of it, and foreign keys then change every tenant's rows in public.patients";
        "CREATE TABLE countries (id int PRIMARY KEY); CREATE TABLE regions (id int PRIMARY KEY, country int \
            REFERENCES countries ON DELETE CASCADE);
         GRANT SELECT, DELETE ON countries TO {app}; ALTER TABLE patients ADD region int REFERENCES regions \
         ON DELETE SET NULL";
        "REVOKE DELETE ON countries FROM {app}";
    a_shared_key_that_changes_tenants: "rls-cascade", Warning on "public.countries", "may UPDATE rows of it";
        "CREATE TABLE countries (id int PRIMARY KEY, name text); GRANT UPDATE (id, name) ON countries TO \
            {app}; ALTER TABLE patients ADD country int REFERENCES countries ON UPDATE CASCADE";
        "REVOKE UPDATE (id) ON countries FROM {app}";
    a_table_of_a_schema_that_is_not_checked: "rls-uncovered", Warning on "archive.visits", "no check reads \
        the schema \"archive\"";
        "CREATE SCHEMA archive; GRANT USAGE ON SCHEMA archive TO {app}; CREATE TABLE archive.visits (LIKE \
            visits); GRANT DELETE ON archive.visits TO {app}";
        "REVOKE DELETE ON archive.visits FROM {app}";
    a_table_that_only_refers_to_tenants: "rls-uncovered", Warning on "public.doses", "it refers to \
        public.patients, has no column \"clinic_id\"";
        "CREATE TABLE prescriptions (id int PRIMARY KEY, clinic uuid, patient uuid, FOREIGN KEY (clinic, \
            patient) REFERENCES patients);
         CREATE TABLE doses (prescription int REFERENCES prescriptions); GRANT SELECT ON doses TO {app}";
        "ALTER TABLE doses ENABLE ROW LEVEL SECURITY";
    a_foreign_table_without_the_tenant_column: "rls-uncovered", Warning on "public.people", "reaches this \
        foreign table";
        "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER far FOREIGN DATA WRAPPER nowhere; CREATE FOREIGN \
            TABLE people (name text) SERVER far; GRANT SELECT ON people TO {app}";
        "REVOKE SELECT ON people FROM {app}";
    a_table_of_another_schema_that_inherits: "rls-enabled", Error on "archive.old_visits", "row-level \
        security is off";
        "CREATE SCHEMA archive; GRANT USAGE ON SCHEMA archive TO {app}; CREATE TABLE archive.old_visits () \
            INHERITS (visits); GRANT SELECT ON archive.old_visits TO {app}";
        "REVOKE SELECT ON archive.old_visits FROM {app}";
    a_schema_in_which_everybody_creates: "rls-privileges", Error on "public", "may create functions and \
        operators in it (through PUBLIC)";
        "GRANT CREATE ON SCHEMA public TO PUBLIC"; "REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    triggers_through_a_role: "rls-privileges", Error on "public", "may create triggers on visits (through \
        {app}_staff)";
        "CREATE ROLE {app}_staff; GRANT {app}_staff TO {app}; GRANT TRIGGER ON visits TO \
            {app}_staff"; "REVOKE TRIGGER ON visits FROM {app}_staff";
    a_role_that_creates_schemas: "rls-privileges", Warning on "{app}", "may create schemas in the database";
        "GRANT CREATE ON DATABASE {database} TO {app}"; "REVOKE CREATE ON DATABASE {database} FROM {app}";
    a_partition_that_is_open: "tenant-isolation", Error on "public.access_log_new", "cross-tenant read";
        "GRANT SELECT ON access_log_new TO {app}"; "REVOKE SELECT ON access_log_new FROM {app}";
    a_policy_that_is_open_without_a_tenant: "tenant-isolation", Error on "public.visits", "cross-tenant \
        read: without a tenant (app.clinic_id is never set) the application sees 2 rows";
        "CREATE POLICY administrators ON visits FOR SELECT USING (current_setting('app.clinic_id', true) IS \
            NULL)"; "DROP POLICY administrators ON visits";
    a_policy_that_always_holds_in_other_words: "tenant-isolation", Error on "public.visits", "cross-tenant \
        read: with a tenant set, the application sees 2 rows that are not";
        "CREATE POLICY support ON visits FOR SELECT USING (status = 'open' AND \
            current_setting('app.clinic_id', true) <> '')"; "DROP POLICY support ON visits";
    a_view_that_shows_what_its_table_hides: "tenant-isolation", Error on "public.agenda", "cross-tenant \
        read: with a tenant set, the application sees 2 rows that are not";
        "SET ROLE {migrator}; CREATE VIEW agenda AS SELECT clinic_id, starts_at FROM visits; GRANT SELECT ON \
            agenda TO {app}";
        "ALTER VIEW agenda SET (security_invoker = true)";
    a_materialized_view_that_everybody_reads: "tenant-isolation", Error on "public.totals", "cross-tenant \
        read: with a tenant set, the application sees 2 rows that are not";
        "SET ROLE {migrator}; CREATE MATERIALIZED VIEW totals AS SELECT clinic_id, count(*) FROM visits \
            GROUP BY 1; GRANT SELECT ON totals TO {app}";
        "REVOKE SELECT ON totals FROM {app}";
    a_migration_role_that_cannot_become_the_application: "tenant-isolation", Error on "{app}", "the \
        migration role \"{migrator}\" may not SET ROLE to \"{app}\"";
        "REVOKE {app} FROM {migrator}"; "GRANT {app} TO {migrator}";
    an_interrupted_index_build: "index-valid", Error on "public.visits_patient", "is not valid";
        "UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = 'visits_patient'::regclass; \
            CREATE INDEX spare ON visits (clinic_id, patient_id)";
        "DROP INDEX visits_patient";
    an_index_with_another_order: "index-required", Error on "public.visits", "there is instead visits_open \
        (starts_at DESC, clinic_id) where (status = 'open'::text)";
        "DROP INDEX visits_open; CREATE INDEX visits_open ON visits (starts_at DESC, clinic_id) WHERE status \
            = 'open'";
        "DROP INDEX visits_open; CREATE INDEX ON visits (clinic_id, starts_at DESC) WHERE (status)::text = \
            'open'::text";
    a_foreign_key_without_an_index: "foreign-key-indexed", Error on "public.visits", "visits_clinic_id_patient_id_fkey (clinic_id, patient_id) has no index";
        "DROP INDEX visits_patient"; "CREATE INDEX ON visits (patient_id, clinic_id)";
    a_schema_that_is_gone: "schema-exists", Warning on "public", "does not exist";
        "ALTER SCHEMA public RENAME TO elsewhere"; "ALTER SCHEMA elsewhere RENAME TO public";
}

async fn rhythm(control: &Control) {
    let clinic = Clinic::with_rows(control.name).await;
    clinic.assert_clean().await;
    clinic.as_superuser(control.breaks).await;
    clinic.assert_one(control.check, control.severity, control.object, control.message).await;
    clinic.as_superuser(control.mends).await;
    let left = clinic.findings_of(control.check).await;
    assert!(left.is_empty(), "mended, and still found: {left:#?}");
}

#[test]
fn every_check_has_a_control_that_proves_it_can_fail() {
    let controls = CONTROLS.iter().chain(check_structure::CONTROLS).map(|control| control.check);
    let controlled: BTreeSet<_> =
        controls.chain(check_structure::WITHOUT_A_DATABASE).chain(ELSEWHERE).collect();
    let registered: BTreeSet<_> = check::all().map(|check| check.meta.id.name()).collect();
    assert_eq!(controlled, registered);
}
