//! The application's code must not run in the session of the migration role. Each attack is shown to work
//! where an attempt is made as the probe would make it without an inspection first; and then the probe
//! inspects, names it, and does not try.

use sluice::api::Severity::{self, Error, Warning};

use crate::{
    check_clinic::Clinic,
    server::{connect, execute},
    stage_scene::value,
};

const PROBE: &str = "tenant-isolation";
const INSERT: &str = "INSERT INTO visits (clinic_id, patient_id, status, starts_at, ends_at) SELECT \
    clinic_id, id, 'open', now(), now() + '1h' FROM patients LIMIT 1";
const UPDATE: &str = "UPDATE visits SET status = 'closed'";
const SELECT: &str = "SELECT count(*) FROM visits";

/// A schema of the application's with its functions, and a sequence that only the migration role may set. No
/// rollback puts it back.
const STAGE: &str = "
    SET ROLE {migrator}; CREATE SEQUENCE stolen; RESET ROLE;
    CREATE SCHEMA evil AUTHORIZATION {app}; SET ROLE {app};
    CREATE FUNCTION evil.steal() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
      PERFORM set_config('role', 'none', true); PERFORM setval('public.stolen', 666); RETURN true; END $$;
    CREATE FUNCTION evil.fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.steal(); RETURN \
    COALESCE(NEW, OLD); END $$;
    CREATE FUNCTION evil.says(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN true; END \
    $$;
    CREATE FUNCTION evil.same(a uuid, b uuid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM \
    evil.steal(); RETURN a = b; END $$;
    RESET ROLE;";
/// What was harmless while the team inspected it.
const TURNS: &str = "SET ROLE {app}; CREATE OR REPLACE FUNCTION evil.says(text) RETURNS boolean LANGUAGE \
    plpgsql IMMUTABLE AS $$ BEGIN RETURN evil.steal(); END $$;";

/// How far another role set the sequence.
async fn stolen(clinic: &Clinic) -> String {
    value(&mut clinic.superuser_session().await, "SELECT last_value::text FROM stolen").await
}

/// The attack as it is prepared, the statement that springs it, and what the probe says.
async fn springs_and_is_named(
    test: &str,
    prepared: &str,
    sprung_by: &str,
    (severity, object, part): (Severity, &str, &str),
) {
    let clinic = Clinic::with_rows(test).await;
    clinic.as_superuser(STAGE).await;
    clinic.as_superuser(prepared).await;
    clinic.as_superuser("SELECT setval('stolen', 1)").await;

    let found = clinic.findings_of(PROBE).await;
    let object = clinic.text(object);
    let named = found.iter().any(|finding| {
        finding.severity == severity && finding.object == object && finding.message.contains(part)
    });
    assert!(named, "no {severity:?} on {object} with {part:?}: {found:#?}");
    assert!(
        found
            .iter()
            .all(|finding| finding.message.contains("nothing was tried on")
                || finding.object != "public.visits"),
        "{found:#?}"
    );
    assert_eq!(stolen(&clinic).await, "1", "the attack ran: {found:#?}");

    // The negative control: a session that does not inspect first is robbed.
    let mut session = clinic.session().await;
    let tenant =
        value(&mut session, "SELECT set_config('app.clinic_id', min(id::text), false) FROM clinics").await;
    assert!(!tenant.is_empty());
    execute(&mut session, &clinic.text(&format!("BEGIN; SET LOCAL ROLE {{app}}; {sprung_by}; ROLLBACK")))
        .await;
    assert_eq!(stolen(&clinic).await, "666", "the attack does not work at all, so nothing was shown");
}

macro_rules! attacks {
    ($($name:ident: $prepared:expr, $sprung_by:expr, $severity:ident on $object:literal, $part:literal;)*) => {
        $(#[tokio::test]
        async fn $name() {
            springs_and_is_named(stringify!($name), $prepared, $sprung_by, ($severity, $object, $part)).await;
        })*
    };
}

attacks! {
    a_trigger_of_the_application: "GRANT TRIGGER ON visits TO {app}; SET ROLE {app}; CREATE TRIGGER t BEFORE \
        UPDATE ON visits FOR EACH ROW EXECUTE FUNCTION evil.fires()",
        UPDATE, Error on "evil.fires()", "owns this function";
    a_trigger_without_a_function_of_its_own: "GRANT TRIGGER ON visits TO {app}; DROP FUNCTION evil.steal, \
        evil.fires, evil.says, evil.same; SET ROLE {app};
         CREATE TRIGGER t BEFORE UPDATE ON visits FOR EACH ROW WHEN (set_config('role', 'none', true) IS NOT \
         NULL AND setval('public.stolen', 666) > 0)
         EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        UPDATE, Warning on "public.visits", "a trigger does not say who made it";
    a_table_of_the_application_that_refers_to_one_of_tenants: "GRANT REFERENCES ON visits TO {app}; SET ROLE \
        {app};
         CREATE TABLE evil.child (clinic_id uuid, visit bigint, FOREIGN KEY (clinic_id, visit) REFERENCES \
         public.visits ON DELETE CASCADE);
         INSERT INTO evil.child SELECT clinic_id, id FROM (SELECT set_config('app.clinic_id', '', false)) s, \
         public.visits; RESET ROLE;
         INSERT INTO evil.child SELECT clinic_id, id FROM visits; SET ROLE {app};
         CREATE TRIGGER t AFTER DELETE ON evil.child FOR EACH ROW EXECUTE FUNCTION evil.fires()",
        "DELETE FROM visits", Error on "evil.child", "may hang code on it at any time";
    a_default: "ALTER TABLE visits ADD COLUMN note boolean; ALTER TABLE visits ALTER COLUMN note SET DEFAULT \
        evil.steal()",
        INSERT, Error on "evil.steal()", "owns this function";
    a_generated_column: concat!("ALTER TABLE visits ADD COLUMN note boolean GENERATED ALWAYS AS \
        (evil.says(status)) STORED; ",
         "SET ROLE {app}; CREATE OR REPLACE FUNCTION evil.says(text) RETURNS boolean LANGUAGE plpgsql \
             IMMUTABLE AS $$ BEGIN RETURN evil.steal(); END $$;"),
        INSERT, Error on "evil.says(text)", "owns this function";
    a_policy: "CREATE POLICY open ON visits FOR SELECT USING (evil.steal())",
        SELECT, Error on "evil.steal()", "owns this function";
    an_operator_in_a_policy: "CREATE OPERATOR evil.=== (FUNCTION = evil.same, LEFTARG = uuid, RIGHTARG = \
        uuid);
         ALTER POLICY tenant ON visits USING (clinic_id OPERATOR(evil.===) \
         NULLIF(current_setting('app.clinic_id', true), '')::uuid)",
        SELECT, Error on "evil.same(a uuid, b uuid)", "owns this function";
    a_check_constraint: "ALTER TABLE visits ADD CHECK (evil.steal()) NOT VALID",
        INSERT, Error on "evil.steal()", "owns this function";
    a_rule: "CREATE RULE also AS ON UPDATE TO visits DO ALSO SELECT evil.steal()",
        UPDATE, Error on "evil.steal()", "owns this function";
}

#[tokio::test]
async fn a_check_of_a_domain_and_an_index_of_an_expression() {
    let domain =
        "CREATE DOMAIN code AS text CHECK (evil.says(VALUE)); ALTER TABLE visits ADD COLUMN code code; ";
    let index = "CREATE INDEX ON visits (evil.says(status)); ";
    for (test, prepared) in [("domain_code", domain), ("index_code", index)] {
        let prepared = format!("{prepared}{TURNS}");
        springs_and_is_named(test, &prepared, INSERT, (Error, "evil.says(text)", "owns this function")).await;
    }
}

/// The table stays closed and is tried; the view is not.
#[tokio::test]
async fn a_view() {
    let prepared = "CREATE VIEW agenda WITH (security_invoker = true) AS SELECT clinic_id FROM visits WHERE \
        evil.steal(); GRANT SELECT ON agenda TO {app}";
    springs_and_is_named(
        "view_code",
        prepared,
        "SELECT count(*) FROM agenda",
        (Error, "evil.steal()", "nothing was tried on public.agenda"),
    )
    .await;
}

/// PostgreSQL looks names in the body of a function up when it runs, along the search path.
#[tokio::test]
async fn a_function_that_another_one_finds_by_its_name() {
    let prepared = "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.status := \
            tidy(NEW.status); RETURN NEW; END $$;
         ALTER FUNCTION touch() OWNER TO {migrator}; CREATE TRIGGER t BEFORE UPDATE ON visits FOR EACH ROW \
         EXECUTE FUNCTION touch();
         GRANT CREATE ON SCHEMA public TO {app}; SET ROLE {app};
         CREATE FUNCTION public.tidy(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.steal(); \
         RETURN $1; END $$";
    springs_and_is_named(
        "late_code",
        prepared,
        UPDATE,
        (Error, "evil.steal()", "might come to it, so nothing was tried on public.patients"),
    )
    .await;
}

#[tokio::test]
async fn code_of_the_migration_role_and_of_superusers_is_no_reason_to_leave_a_table_out() {
    let clinic = Clinic::with_rows("own_code").await;
    clinic
        .as_superuser(
            "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
             CREATE TRIGGER t BEFORE UPDATE ON visits FOR EACH ROW EXECUTE FUNCTION touch(); SET ROLE \
             {migrator};
             CREATE FUNCTION yes(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
             ALTER TABLE visits ADD CHECK (yes(status));",
        )
        .await;
    clinic.assert_clean().await;
    clinic.migrate("CREATE POLICY open ON visits FOR SELECT USING (yes(status))").await;
    clinic.assert_one(PROBE, Error, "public.visits", "cross-tenant read").await;
}

#[tokio::test]
async fn a_table_on_another_server_is_not_tried_and_fails() {
    let clinic = Clinic::with_rows("foreign").await;
    clinic
        .as_superuser(
            "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER far FOREIGN DATA WRAPPER nowhere; DROP TABLE \
                access_log_old;
             CREATE FOREIGN TABLE access_log_far PARTITION OF access_log FOR VALUES FROM (MINVALUE) TO \
             ('2020-01-01') SERVER far;
             CREATE FOREIGN TABLE remote (clinic_id uuid) SERVER far; GRANT SELECT ON remote TO {app}",
        )
        .await;
    clinic
        .assert_one("rls-enabled", Error, "public.remote", "a foreign table can have no row-level security")
        .await;
    clinic
        .assert_one(
            PROBE,
            Warning,
            "public.access_log_far",
            "on another server, so nothing was tried on public.access_log",
        )
        .await;
    clinic.as_superuser("DROP FOREIGN TABLE remote, access_log_far").await;
    clinic.assert_clean().await;
}

/// Only DDL fires it, and the probe makes none; a session that does is robbed, and that is the migration. So
/// it is told.
#[tokio::test]
async fn an_event_trigger_of_the_application_is_not_fired_by_the_probe_and_told() {
    let mut clinic = Clinic::with_rows("event_trigger").await;
    clinic.scope.indexes.require.clear();
    clinic.as_superuser(STAGE).await;
    clinic
        .as_superuser(
            "CREATE FUNCTION evil.event() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM \
                evil.steal(); END $$;
             ALTER FUNCTION evil.event() OWNER TO {app}; SELECT setval('stolen', 1); CREATE EVENT TRIGGER e \
             ON ddl_command_start EXECUTE FUNCTION evil.event()",
        )
        .await;
    clinic
        .assert_one(
            "rls-privileges",
            Error,
            "e",
            "runs a function of \"{app}\" with the rights of the role that changes the schema",
        )
        .await;
    assert_eq!(stolen(&clinic).await, "1");
    clinic.migrate("CREATE TABLE other (id int)").await;
    assert_eq!(stolen(&clinic).await, "666");
}

/// Between inspection and attempt, no session can hang anything on the table: what would be new waits for a
/// lock, or is waited for.
#[tokio::test]
async fn a_trigger_that_is_just_being_made_is_waited_for_and_then_not_tried() {
    let clinic = Clinic::with_rows("race").await;
    clinic
        .as_superuser(&format!(
            "{STAGE} GRANT TRIGGER ON visits TO {{app}}; GRANT USAGE, CREATE ON SCHEMA evil TO {{app}};"
        ))
        .await;
    let mut app = connect(clinic.url()).await;
    let create = "BEGIN; SET LOCAL ROLE {app}; CREATE TRIGGER t BEFORE UPDATE ON visits FOR EACH ROW EXECUTE \
        FUNCTION evil.fires()";
    execute(&mut app, &clinic.text(create)).await;
    clinic.as_superuser("SELECT setval('stolen', 1)").await;
    let found = clinic.findings_of(PROBE).await;
    assert!(
        found.iter().any(|finding| finding.severity == Warning
            && finding.message.contains("could not be locked within 500 ms")),
        "{found:#?}"
    );
    execute(&mut app, "COMMIT").await;
    let found = clinic.findings_of(PROBE).await;
    assert!(
        found.iter().any(|finding| finding.severity == Error && finding.object == "evil.fires()"),
        "{found:#?}"
    );
    assert_eq!(stolen(&clinic).await, "1");
}

/// A hosting platform's schema, whose role gives no function away: `auth` of `supabase_admin`, for instance.
#[tokio::test]
async fn whom_the_manifest_trusts_may_own_functions_unless_the_application_can_become_it() {
    let mut clinic = Clinic::with_rows("trusted_owner").await;
    clinic
        .as_superuser(
            "CREATE ROLE {app}_platform; CREATE SCHEMA auth AUTHORIZATION {app}_platform; GRANT USAGE ON \
                SCHEMA auth TO PUBLIC; SET ROLE {app}_platform;
             CREATE FUNCTION auth.known() RETURNS boolean STABLE LANGUAGE plpgsql AS 'BEGIN RETURN true; \
             END'; RESET ROLE;
             ALTER POLICY tenant ON visits USING ((SELECT auth.known()) AND clinic_id = (SELECT \
             NULLIF(current_setting('app.clinic_id', true), '')::uuid))",
        )
        .await;
    let platform = format!("{}_platform", clinic.app);
    let refused = async |clinic: &Clinic, by_manifest: bool| {
        let found = clinic.findings_of(PROBE).await;
        let told = found.iter().find(|finding| finding.object == "auth.known()" && finding.severity == Error);
        let told = told.unwrap_or_else(|| panic!("not refused: {found:#?}"));
        assert!(told.message.contains(&format!("{platform:?} owns this function")), "{told:#?}");
        assert_eq!(
            told.remedy.contains("name it in spec.verify.rowLevelSecurity.trustedOwners"),
            by_manifest,
            "{told:#?}"
        );
    };
    let trust = |clinic: &mut Clinic, names: &[&str]| {
        let security = clinic.scope.row_level_security.as_mut().expect("the clinic has tenants");
        security.trusted_owners = names.iter().map(|name| (*name).to_owned()).collect();
    };
    refused(&clinic, true).await;
    trust(&mut clinic, &["rds_superuser", "PUBLIC"]);
    refused(&clinic, true).await;

    trust(&mut clinic, &["rds_superuser", &platform]);
    clinic.assert_clean().await;
    // It is tried, and not passed over.
    clinic.migrate("CREATE POLICY open ON visits FOR SELECT USING ((SELECT auth.known()))").await;
    clinic.assert_one(PROBE, Error, "public.visits", "cross-tenant read").await;
    clinic.migrate("DROP POLICY open ON visits").await;

    clinic.as_superuser("GRANT {app}_platform TO {app}").await;
    refused(&clinic, false).await;
}

/// As a job queue does it that makes its schema when the application starts.
#[tokio::test]
async fn a_schema_of_the_applications_own_keeps_nothing_from_being_tried_where_the_manifest_names_it_and_no_name_leads_there()
 {
    let mut clinic = Clinic::with_rows("application_schema").await;
    clinic
        .as_superuser(
            "CREATE SCHEMA queue AUTHORIZATION {app}; SET ROLE {app}; CREATE TABLE queue.job (id int);
             CREATE FUNCTION queue.fetch() RETURNS int LANGUAGE sql AS 'SELECT id FROM queue.job'",
        )
        .await;
    let trigger = "CREATE OR REPLACE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {body} \
        RETURN NEW; END';
         CREATE OR REPLACE TRIGGER touched BEFORE UPDATE ON visits FOR EACH ROW EXECUTE FUNCTION touched()";
    clinic.migrate(&trigger.replace("{body}", "")).await;
    let refused = async |clinic: &Clinic, why: &str| {
        let found = clinic.findings_of(PROBE).await;
        let told =
            found.iter().find(|finding| finding.object.starts_with("queue.") && finding.severity == Error);
        let told = told.unwrap_or_else(|| panic!("not refused: {why}: {found:#?}"));
        assert!(told.remedy.contains("spec.verify.rowLevelSecurity.applicationSchemas"), "{told:#?}");
    };
    let name = |clinic: &mut Clinic, schemas: &[&str]| {
        let security = clinic.scope.row_level_security.as_mut().expect("the clinic has tenants");
        security.application_schemas = schemas.iter().map(|schema| (*schema).to_owned()).collect();
    };
    refused(&clinic, "the manifest says nothing").await;
    name(&mut clinic, &["public", "jobs"]);
    refused(&clinic, "the manifest names others").await;

    name(&mut clinic, &["queue"]);
    clinic.assert_clean().await;
    // It is tried, and not passed over.
    clinic.migrate("CREATE POLICY open ON visits FOR SELECT USING (status <> '')").await;
    clinic.assert_one(PROBE, Error, "public.visits", "cross-tenant read").await;
    clinic.migrate("DROP POLICY open ON visits").await;

    clinic.migrate(&trigger.replace("{body}", "PERFORM Queue.fetch();")).await;
    refused(&clinic, "the function names it").await;
    clinic.migrate(&trigger.replace("{body}", "")).await;
    clinic.migrate("ALTER FUNCTION touched() SET search_path = queue, pg_catalog").await;
    refused(&clinic, "the search path of the function").await;
    clinic.migrate("ALTER FUNCTION touched() RESET search_path").await;
    clinic.as_superuser("ALTER DATABASE {database} SET search_path = public, queue").await;
    refused(&clinic, "the search path of the session").await;
    clinic
        .as_superuser("ALTER DATABASE {database} RESET search_path; ALTER SCHEMA queue RENAME TO {app}")
        .await;
    let own = clinic.app.clone();
    name(&mut clinic, &[&own]);
    let found = clinic.findings_of(PROBE).await;
    assert!(
        found.iter().any(|finding| finding.message.contains("look names up") && finding.severity == Error),
        "$user: {found:#?}"
    );
    clinic.as_superuser("ALTER SCHEMA {app} RENAME TO queue").await;
    name(&mut clinic, &["queue"]);
    clinic.assert_clean().await;
    clinic
        .as_superuser(
            "CREATE FUNCTION public.own() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION \
            public.own() OWNER TO {app}",
        )
        .await;
    let found = clinic.findings_of(PROBE).await;
    assert!(
        found.iter().any(|finding| finding.object == "public.own()" && finding.severity == Error),
        "elsewhere: {found:#?}"
    );
}

/// A lock is worth nothing to a transaction that sees the catalog as it was before.
#[tokio::test]
async fn a_transaction_that_does_not_see_what_is_new_tries_nothing_where_others_may_hang_code() {
    let clinic = Clinic::with_rows("old_sight").await;
    clinic.migrate("GRANT REFERENCES ON visits TO {app}").await;
    for (level, is_tried) in [("READ COMMITTED", true), ("REPEATABLE READ", false)] {
        let mut session = clinic.session().await;
        execute(&mut session, &format!("BEGIN ISOLATION LEVEL {level}")).await;
        let found = clinic.findings_in(&mut session).await;
        let untried = found.iter().any(|finding| {
            finding.check.name() == PROBE && finding.message.contains("that is READ COMMITTED")
        });
        assert_eq!(untried, !is_tried, "{level}: {found:#?}");
    }
}
