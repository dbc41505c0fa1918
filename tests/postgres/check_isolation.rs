//! The isolation probe against real policies: the leaks that were seen in the field, and everything that must
//! not be taken for one.

use std::collections::BTreeSet;

use sluice::{
    api::Severity::{Error, Information, Warning},
    check,
    inspect::{Aspect, Scope},
    postgres::Transaction,
};
use sqlx::Row;

use crate::{
    check_clinic::Clinic,
    server::{Server, connect, execute},
};

const PROBE: &str = "tenant-isolation";
pub const OWN: &str = "clinic_id = NULLIF(current_setting('app.clinic_id', true), '')::uuid";

/// One policy for each command on `visits`, with one of them replaced.
fn policies_with(command: &str, clause: &str) -> String {
    let policy = |name: &str, own: String| {
        let clause = if name == command { clause.to_owned() } else { own };
        format!("CREATE POLICY tenant_{name} ON visits FOR {name} {clause};")
    };
    let policies = [
        policy("SELECT", format!("USING ({OWN})")),
        policy("INSERT", format!("WITH CHECK ({OWN})")),
        policy("UPDATE", format!("USING ({OWN}) WITH CHECK ({OWN})")),
        policy("DELETE", format!("USING ({OWN})")),
    ];
    format!("DROP POLICY tenant ON visits; {}", policies.concat())
}

#[tokio::test]
async fn a_first_deployment_without_any_rows_is_proven_and_clean() {
    Clinic::empty("first_day").await.assert_clean().await;
}

#[tokio::test]
async fn one_policy_for_each_command_is_clean() {
    let clinic = Clinic::with_rows("one_each").await;
    clinic.migrate(&policies_with("SELECT", &format!("USING ({OWN})"))).await;
    clinic.assert_clean().await;
}

#[tokio::test]
async fn a_leak_is_found_in_a_table_that_has_no_rows_yet() {
    let clinic = Clinic::empty("leak_first_day").await;
    clinic.migrate("CREATE POLICY open ON visits FOR SELECT USING (status <> 'x')").await;
    clinic
        .assert_one(
            PROBE,
            Error,
            "public.visits",
            "cross-tenant read: with a tenant set, the application sees 1 row that is not",
        )
        .await;
}

#[tokio::test]
async fn a_check_that_always_holds_lets_rows_of_others_in() {
    let clinic = Clinic::with_rows("insert_leak").await;
    clinic.migrate(&policies_with("INSERT", "WITH CHECK (clinic_id IS NOT NULL)")).await;
    clinic
        .assert_one(
            PROBE,
            Error,
            "public.visits",
            "INSERT a row of another tenant (only a constraint stopped it: SQLSTATE 23503)",
        )
        .await;
}

#[tokio::test]
async fn a_row_that_nothing_else_stops_is_inserted_and_seen() {
    let clinic = Clinic::with_rows("insert_leak_2").await;
    clinic.migrate("CREATE POLICY open ON access_log FOR INSERT WITH CHECK (what <> '')").await;
    clinic
        .assert_one(PROBE, Error, "public.access_log", "the application can INSERT a row of another tenant")
        .await;
}

#[tokio::test]
async fn a_row_can_be_given_away_when_only_using_compares_the_tenant() {
    let clinic = Clinic::with_rows("give_leak").await;
    clinic.migrate(&policies_with("UPDATE", &format!("USING ({OWN}) WITH CHECK (status <> '')"))).await;
    clinic
        .assert_one(PROBE, Error, "public.visits", "UPDATE an own row so that it is another tenant's")
        .await;
}

/// The policy for SELECT hides the rows of others from every statement that reads, so only one that reads
/// nothing finds them.
#[tokio::test]
async fn a_row_can_be_taken_when_only_check_compares_the_tenant() {
    let clinic = Clinic::with_rows("take_leak").await;
    clinic.migrate(&policies_with("UPDATE", &format!("USING (status <> '') WITH CHECK ({OWN})"))).await;
    clinic.assert_one(PROBE, Error, "public.visits", "UPDATE another tenant's rows").await;
}

#[tokio::test]
async fn rows_of_others_can_be_deleted_without_being_seen() {
    let clinic = Clinic::with_rows("delete_leak").await;
    clinic.migrate(&policies_with("DELETE", "USING (status <> '')")).await;
    clinic.assert_one(PROBE, Error, "public.visits", "DELETE another tenant's rows").await;
}

#[tokio::test]
async fn an_empty_setting_that_breaks_a_bare_cast_is_closed_but_worth_a_warning() {
    let clinic = Clinic::with_rows("bare_cast").await;
    clinic
        .migrate(
            "ALTER POLICY tenant ON visits USING (clinic_id = current_setting('app.clinic_id', true)::uuid)",
        )
        .await;
    clinic.assert_one(PROBE, Warning, "public.visits", "with an empty app.clinic_id every query fails").await;
    clinic.assert_one("rls-setting", Warning, "public.visits", "without NULLIF").await;
    assert_eq!(clinic.findings().await.len(), 2);
}

#[tokio::test]
async fn a_partition_that_can_be_addressed_and_has_policies_is_tried_like_a_table() {
    let clinic = Clinic::with_rows("partition_leak").await;
    clinic
        .migrate(
            "GRANT SELECT ON access_log_new TO {app}; ALTER TABLE access_log_new ENABLE ROW LEVEL SECURITY, \
                FORCE ROW LEVEL SECURITY;
             CREATE POLICY open ON access_log_new USING (what <> '')",
        )
        .await;
    clinic.assert_one(PROBE, Error, "public.access_log_new", "cross-tenant read").await;
}

#[tokio::test]
async fn the_view_of_an_owner_who_is_not_forced_shows_everything_and_is_named() {
    let clinic = Clinic::with_rows("owner_view").await;
    clinic.as_superuser("ALTER ROLE {migrator} NOBYPASSRLS").await;
    clinic
        .migrate(
            "CREATE VIEW agenda AS SELECT clinic_id FROM visits; GRANT SELECT ON agenda TO {app};
             CREATE VIEW safe WITH (security_invoker = true) AS SELECT clinic_id FROM visits; GRANT SELECT \
             ON safe TO {app}",
        )
        .await;
    clinic.assert_clean().await;
    clinic.migrate("ALTER TABLE visits NO FORCE ROW LEVEL SECURITY").await;
    clinic
        .assert_one("rls-view", Error, "public.agenda", "with the rights of its owner \"{migrator}\"")
        .await;
}

#[tokio::test]
async fn policies_that_read_another_setting_hide_a_tenants_own_rows() {
    let clinic = Clinic::with_rows("other_setting").await;
    clinic
        .migrate(
            "ALTER POLICY tenant ON visits USING (clinic_id = NULLIF(current_setting('app.tenant', \
        true), '')::uuid)",
        )
        .await;
    let found = clinic.findings_of(PROBE).await;
    assert!(
        found.iter().any(|finding| finding.severity == Error
            && finding.message.contains("does not see that tenant's rows")),
        "{found:#?}"
    );
}

#[tokio::test]
async fn policies_that_ask_each_other_in_a_cycle_are_an_error() {
    let clinic = Clinic::with_rows("circle").await;
    clinic
        .migrate(
            "ALTER POLICY tenant ON visits USING (EXISTS (SELECT FROM visits v WHERE v.clinic_id = \
        visits.clinic_id))",
        )
        .await;
    let found = clinic.findings_of(PROBE).await;
    assert!(
        found
            .iter()
            .any(|finding| finding.severity == Error && finding.message.contains("infinite recursion")),
        "{found:#?}"
    );
}

#[tokio::test]
async fn a_migration_role_that_row_level_security_binds_proves_the_same() {
    for clinic in [Clinic::empty("bound_empty").await, Clinic::with_rows("bound_rows").await] {
        clinic.as_superuser("ALTER ROLE {migrator} NOBYPASSRLS").await;
        clinic.assert_clean().await;
        clinic.migrate("CREATE POLICY open ON visits FOR SELECT USING (status <> 'x')").await;
        let found = clinic.findings_of(PROBE).await;
        assert!(
            found.len() == 1 && found[0].severity == Error && found[0].message.contains("cross-tenant read"),
            "{found:#?}"
        );
    }
}

/// Since PostgreSQL 16 a membership need not allow SET ROLE; before, every one does.
#[tokio::test]
async fn a_membership_counts_by_what_it_allows() {
    let clinic = Clinic::with_rows("membership").await;
    clinic.as_superuser("CREATE ROLE {app}_dba BYPASSRLS").await;
    if Server::get().major >= 16 {
        clinic.as_superuser("GRANT {app}_dba TO {app} WITH SET FALSE").await;
        clinic.assert_clean().await;
        clinic.as_superuser("GRANT {app} TO {migrator} WITH SET FALSE").await;
        clinic.assert_one(PROBE, Error, "{app}", "may not SET ROLE").await;
    } else {
        clinic.as_superuser("ALTER ROLE {app} NOINHERIT; GRANT {app}_dba TO {app}").await;
        clinic.assert_one("rls-role", Error, "{app}", "can SET ROLE to \"{app}_dba\"").await;
    }
}

#[tokio::test]
async fn a_table_of_one_tenant_is_tried_by_somebody_who_has_no_rows() {
    let clinic = Clinic::with_rows("one_tenant").await;
    clinic
        .migrate("DELETE FROM visits WHERE clinic_id = (SELECT id FROM clinics WHERE name = 'north')")
        .await;
    clinic.assert_clean().await;
    clinic.migrate("CREATE POLICY open ON visits FOR SELECT USING (status <> 'x')").await;
    clinic.assert_one(PROBE, Error, "public.visits", "sees 1 row that is not").await;
}

#[tokio::test]
async fn a_trigger_that_gives_every_new_row_to_its_own_tenant_is_no_leak() {
    let clinic = Clinic::with_rows("trigger").await;
    let trigger = "CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        NEW.clinic_id := current_setting('app.clinic_id')::uuid; RETURN NEW; END $$;
        CREATE TRIGGER own BEFORE INSERT OR UPDATE ON visits FOR EACH ROW WHEN (current_user = '{app}') \
        EXECUTE FUNCTION own();";
    clinic
        .migrate(&format!("{trigger} {}", policies_with("INSERT", "WITH CHECK (clinic_id IS NOT NULL)")))
        .await;
    clinic
        .assert_one(
            "rls-condition",
            Warning,
            "public.visits",
            "unproven: the policy tenant_insert lets rows through",
        )
        .await;
    assert_eq!(clinic.findings().await.len(), 1, "the policy proves nothing, and the probe finds no leak");
}

#[tokio::test]
async fn tenants_may_be_numbers_texts_or_labels() {
    let mut clinic = Clinic::empty("types").await;
    let policy = |table: &str, cast: &str| {
        format!(
            "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; GRANT SELECT, INSERT, \
                UPDATE, DELETE ON {table} TO {{app}};
             CREATE POLICY tenant ON {table} USING (tenant = NULLIF(current_setting('app.clinic_id', true), \
             '')::{cast});
             CREATE INDEX ON {table} (tenant);"
        )
    };
    clinic
        .migrate(&format!(
            "CREATE TYPE region AS ENUM ('eu', 'us'); CREATE DOMAIN code AS varchar(6) CHECK (VALUE <> '');
             CREATE TABLE a (tenant integer NOT NULL, id serial PRIMARY KEY, note text); {}
             CREATE TABLE b (tenant code NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, at date NOT NULL, \
             n numeric(4, 1) NOT NULL); {}
             CREATE TABLE c (tenant region NOT NULL, tags text[] NOT NULL, data jsonb NOT NULL, doubled text \
             GENERATED ALWAYS AS (data::text) STORED); {}
             INSERT INTO c VALUES ('eu', '{{}}', '{{}}'), ('us', '{{}}', '{{}}')",
            policy("a", "integer"),
            policy("b", "code"),
            policy("c", "region")
        ))
        .await;
    clinic.scope.row_level_security.as_mut().expect("it is checked").tenant.column = "tenant".into();
    clinic.scope.indexes.require.clear();
    clinic.assert_clean().await;
    for table in ["a", "b", "c"] {
        clinic.migrate(&format!("CREATE POLICY open ON {table} FOR SELECT USING (tenant IS NOT NULL)")).await;
        clinic.assert_one(PROBE, Error, &format!("public.{table}"), "cross-tenant read").await;
        clinic.migrate(&format!("DROP POLICY open ON {table}")).await;
    }
    clinic.migrate("DELETE FROM c").await;
    clinic.assert_clean().await;
    clinic.migrate("CREATE POLICY open ON c FOR SELECT USING (tenant IS NOT NULL)").await;
    clinic.assert_one(PROBE, Error, "public.c", "cross-tenant read").await;
    clinic
        .migrate(&format!(
            "DROP POLICY open ON c; CREATE TYPE one AS ENUM ('x'); CREATE TABLE d (tenant one NOT NULL); {}",
            policy("d", "one")
        ))
        .await;
    clinic
        .assert_one(
            PROBE,
            Warning,
            "public.d",
            "no second tenant can be invented for a column of the type public.one",
        )
        .await;
}

#[tokio::test]
async fn tables_and_views_that_are_excepted_are_not_asked() {
    let mut clinic = Clinic::with_rows("except").await;
    clinic
        .migrate(
            "ALTER TABLE visits DISABLE ROW LEVEL SECURITY; ALTER TABLE access_log DISABLE ROW LEVEL \
                SECURITY; GRANT SELECT ON access_log_new TO {app};
             CREATE VIEW names AS SELECT full_name FROM patients; GRANT SELECT ON names TO {app}",
        )
        .await;
    let found = clinic.findings().await;
    let told = |check: &str| -> Vec<&str> {
        let objects: BTreeSet<_> = found
            .iter()
            .filter(|finding| finding.check.name() == check)
            .map(|finding| finding.object.as_str())
            .collect();
        objects.into_iter().collect()
    };
    assert_eq!(told("rls-enabled"), ["public.access_log", "public.visits"], "{found:#?}");
    assert_eq!(told(PROBE), ["public.access_log", "public.access_log_new", "public.visits"], "{found:#?}");
    assert_eq!(
        (told("rls-partition"), told("rls-view")),
        (vec!["public.access_log_new"], vec!["public.names"]),
        "{found:#?}"
    );
    let security = clinic.scope.row_level_security.as_mut().expect("it is checked");
    security.except = ["visits", "public.access_log", "names"].map(str::to_owned).to_vec();
    clinic.assert_clean().await;
}

#[tokio::test]
async fn a_column_that_no_table_has_is_an_error_and_not_a_pass() {
    let mut clinic = Clinic::with_rows("misspelled").await;
    clinic.scope.row_level_security.as_mut().expect("it is checked").tenant.column = "clinicId".into();
    clinic
        .assert_one(
            "rls-enabled",
            Error,
            "clinicId",
            "no table in schema public (those in except aside) has the column \"clinicId\"",
        )
        .await;
}

#[tokio::test]
async fn the_neonpro_example_is_clean_before_its_first_row() {
    let database = Server::get().database("neonpro").await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples/neonpro");
    let read = |path: &str| {
        std::fs::read_to_string(format!("{folder}/{path}")).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    database.execute(&read("roles.sql")).await;
    let mut session = connect(&database.url_as("neonpro_migrator")).await;
    let mut files: Vec<_> = std::fs::read_dir(format!("{folder}/migrations"))
        .expect("the folder")
        .flatten()
        .map(|entry| entry.path().join("migration.sql"))
        .collect();
    files.sort();
    files.extend(
        ["security/010_row_level_security.sql", "performance/010_indexes.sql"]
            .map(|file| format!("{folder}/{file}").into()),
    );
    for file in files.iter().filter(|path| path.is_file()) {
        let script = std::fs::read_to_string(file).expect("the migration");
        let concurrent = script.contains("INDEX CONCURRENTLY");
        let statements: Vec<_> =
            if concurrent { script.split_inclusive(';').collect() } else { vec![script.as_str()] };
        for statement in statements {
            execute(&mut session, statement).await;
        }
    }
    let manifest =
        sluice::validate::validate(&serde_saphyr::from_str(&read("migration.yaml")).expect("the manifest"))
            .expect("a valid manifest");
    let mut transaction = Transaction::begin(&mut session).await.expect("begins");
    let scope = Scope::of(&manifest);
    let found =
        check::run(&mut transaction, &scope, &[Aspect::Isolation, Aspect::Index]).await.expect("carried out");
    assert!(found.is_empty(), "{found:#?}");
    let tables =
        sqlx::query("SELECT count(*)::int FROM pg_policies WHERE schemaname = ANY($1)").bind(&scope.schemas);
    assert_eq!(
        tables.fetch_one(&mut session).await.expect("counted").get::<i32, _>(0),
        36,
        "the policies that were tried are there"
    );
}

#[tokio::test]
async fn findings_are_in_the_same_order_every_time_and_errors_come_first() {
    let clinic = Clinic::with_rows("order").await;
    clinic
        .migrate(
            "GRANT TRUNCATE ON visits, patients TO {app}; DROP INDEX visits_patient; ALTER TABLE \
            patients NO FORCE ROW LEVEL SECURITY",
        )
        .await;
    let first = clinic.findings().await;
    let checks: Vec<_> = first
        .iter()
        .map(|finding| (finding.severity, finding.check.name(), finding.object.as_str()))
        .collect();
    assert_eq!(
        checks,
        [
            (Error, "rls-forced", "public.patients"),
            (Error, "foreign-key-indexed", "public.visits"),
            (Warning, "rls-truncate", "public.patients"),
            (Warning, "rls-truncate", "public.visits"),
        ]
    );
    assert_eq!(clinic.findings().await, first);
    assert!(first.iter().all(|finding| finding.severity != Information));
}
