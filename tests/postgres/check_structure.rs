//! The checks of structure and rows, in the rhythm of the controls: clean, broken once, mended; and what each
//! takes for the same.

use serde_json::{Value, json};
use sluice::{
    api::{DatabaseMigration, Severity},
    inspect::Aspect,
    postgres::Transaction,
    validate::{Assertions, ValidatedMigration, validate},
};
use sqlx::Row;

use crate::{
    check_clinic::Clinic,
    check_controls::{Control, controls},
    server::execute,
};

/// What a manifest with this section `verify` means.
pub fn manifest(verify: &Value) -> ValidatedMigration {
    let object = json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "records"},
        "spec": {
            "database": {"secretRef": {"name": "records-db"}}, "migrations": {"configMaps": ["records"]},
            "snapshot": {"dump": {"volumeClaim": "snapshots"}}, "verify": verify,
        },
    });
    let object: DatabaseMigration = serde_json::from_value(object).expect("a manifest");
    validate(&object).expect("a valid manifest")
}

/// What the section `verify` demands beyond isolation and indexes.
pub fn assertions(verify: &Value) -> Assertions {
    manifest(verify).assertions
}

/// Everything that can be asked, and the clinic follows.
fn everything() -> Value {
    json!({
        "indexes": {
            "require": [{"table": "visits", "columns": ["clinic_id", "starts_at DESC"], "where": "status = \
                'open'"}],
            "mustUse": [{"name": "agenda", "sql": "SELECT id FROM visits WHERE clinic_id = $1 AND patient_id \
                = $2", "index": "visits_clinic_id_patient_id_idx"}],
        },
        "foreignKeys": {"require": [{
            "table": "visits", "columns": ["clinic_id", "patient_id"], "references": "patients", "referencedColumns": ["clinic_id", "id"],
            "onDelete": "Restrict",
        }]},
        "tables": {
            "require": [{"name": "patients", "columns": [
                {"name": "full_name", "type": "varchar(40)", "nullable": false},
                {"name": "id", "type": "uuid", "default": "GEN_RANDOM_UUID()"},
            ]}],
            "count": {"tables": 4, "columns": 16, "enums": 1, "indexes": 4, "foreignKeys": 3, "minTables": 4},
            "enums": [{"name": "visit_kind", "values": ["first", "again"]}],
        },
        "conventions": {
            "tables": "snake_case", "columns": "snake_case", "enumValues": "snake_case", "indexes": ["{table}_{columns}_idx"],
            "foreignKeys": ["{table}_{columns}_fkey"], "migrations": {"verbs": ["add"]}, "auditColumns": [{"name": "id", "nullable": false}],
        },
        "queries": [{"name": "no-closed-visit", "sql": "SELECT patient_id FROM visits WHERE status = \
            'closed'"}],
        "rowCounts": {"tables": [{"table": "access_log", "atLeast": 2, "atMost": 2}]},
        "orphans": [{"table": "access_log", "columns": ["clinic_id"], "references": "clinics", "referencedColumns": ["id"]}],
    })
}

/// The clinic as it has to be for all of that.
const TIDY: &str = "
    CREATE TYPE visit_kind AS ENUM ('first', 'again');
    ALTER INDEX visits_patient RENAME TO visits_clinic_id_patient_id_idx;
    ALTER INDEX visits_open RENAME TO visits_clinic_id_starts_at_idx;
    ALTER INDEX access_log_tenant RENAME TO access_log_clinic_id_at_idx;
    ALTER TABLE access_log ADD COLUMN id uuid DEFAULT gen_random_uuid(), ADD PRIMARY KEY (at, id);
    ALTER TABLE visits DROP CONSTRAINT visits_clinic_id_patient_id_fkey,
      ADD FOREIGN KEY (clinic_id, patient_id) REFERENCES patients ON DELETE RESTRICT;
    CREATE TABLE _prisma_migrations (\"Id\" text);";

/// A clinic of which everything is asked, and all of it is so.
pub async fn tidy_clinic(test: &str) -> Clinic {
    let mut clinic = Clinic::with_rows(test).await;
    clinic.migrate(TIDY).await;
    let manifest = manifest(&everything());
    clinic.scope.row_level_security = None;
    clinic.scope.indexes = manifest.indexes;
    clinic.scope.assertions = manifest.assertions;
    clinic.scope.migrations = vec!["20240215120000_add_visits".into()];
    clinic
}

/// Their controls are tests of their own below.
pub const WITHOUT_A_DATABASE: [&str; 1] = ["convention-migrations"];

controls! {
    two_indexes_that_are_the_same: "index-redundant", Warning on "public.visits_same", "has the same keys as \
        visits_clinic_id_patient_id_idx";
        "CREATE INDEX visits_same ON visits (clinic_id, patient_id)"; "DROP INDEX visits_same";
    an_index_that_another_begins_with: "index-redundant", Warning on "public.visits_clinic", "has the first \
        keys of visits_clinic_id_patient_id_idx";
        "CREATE INDEX visits_clinic ON visits (clinic_id)"; "DROP INDEX visits_clinic";
    an_index_beside_a_unique_constraint: "index-redundant", Warning on "public.clinics_name", "has the same \
        keys as the unique index clinics_name_key";
        "CREATE INDEX clinics_name ON clinics (name)"; "DROP INDEX clinics_name";
    an_index_without_its_parts: "index-unattached", Error on "public.log_what", "has no part on \
        public.access_log_new and public.access_log_old";
        "CREATE INDEX log_what ON ONLY access_log (what)"; "DROP INDEX log_what";
    a_partition_that_was_forgotten: "index-unattached", Error on "public.log_what", "has no part on \
        public.access_log_old; spare would fit and is not attached";
        "CREATE INDEX log_what ON ONLY access_log (what); CREATE INDEX part ON access_log_new (what); CREATE \
            INDEX spare ON access_log_old (what);
         ALTER INDEX log_what ATTACH PARTITION part"; "ALTER INDEX log_what ATTACH PARTITION spare";
    an_index_of_another_method: "index-required", Error on "public.visits", "using brin";
        "DROP INDEX visits_clinic_id_starts_at_idx; CREATE INDEX v ON visits USING brin (clinic_id, \
            starts_at) WHERE status = 'open'";
        "DROP INDEX v; CREATE INDEX ON visits (clinic_id, starts_at DESC) WHERE status = 'open'";
    a_foreign_key_with_another_action: "foreign-key-required", Error on "public.visits", "ON DELETE it does \
        CASCADE and not RESTRICT";
        "ALTER TABLE visits DROP CONSTRAINT visits_clinic_id_patient_id_fkey, ADD CONSTRAINT other FOREIGN \
            KEY (clinic_id, patient_id) REFERENCES patients ON DELETE CASCADE";
        "ALTER TABLE visits DROP CONSTRAINT other, ADD FOREIGN KEY (clinic_id, patient_id) REFERENCES \
            patients ON DELETE RESTRICT";
    a_foreign_key_that_is_gone: "foreign-key-required", Error on "public.visits", "there is no foreign key \
        on these columns";
        "ALTER TABLE visits DROP CONSTRAINT visits_clinic_id_patient_id_fkey";
        "ALTER TABLE visits ADD FOREIGN KEY (patient_id, clinic_id) REFERENCES patients (id, clinic_id) ON \
            DELETE RESTRICT";
    a_foreign_key_that_was_never_validated: "foreign-key-validated", Warning on "public.visits", "later is \
        NOT VALID";
        "ALTER TABLE visits ADD CONSTRAINT later FOREIGN KEY (clinic_id) REFERENCES clinics NOT \
            VALID"; "ALTER TABLE visits VALIDATE CONSTRAINT later";
    a_foreign_key_that_cannot_empty_its_column: "foreign-key-set-null", Warning on "public.visits", "clinic_id cannot be NULL: deleting a row";
        "ALTER TABLE visits ADD CONSTRAINT empties FOREIGN KEY (clinic_id) REFERENCES clinics ON DELETE SET \
            NULL"; "ALTER TABLE visits DROP CONSTRAINT empties";
    a_column_of_another_type: "table-required", Error on "public.patients", "full_name has the type text and \
        not character varying(40)";
        "ALTER TABLE patients ALTER full_name TYPE text"; "ALTER TABLE patients ALTER full_name TYPE \
            varchar(40)";
    a_column_without_its_default: "table-required", Error on "public.patients", "id has no default and not \
        gen_random_uuid()";
        "ALTER TABLE patients ALTER id DROP DEFAULT"; "ALTER TABLE patients ALTER id SET DEFAULT \
            gen_random_uuid()";
    a_table_that_is_gone: "table-required", Error on "patients", "there is no such table in public";
        "ALTER TABLE patients RENAME TO persons"; "ALTER TABLE persons RENAME TO patients";
    a_table_too_many: "table-count", Error on "public", "there are 5 tables and not 4 and 17 columns and not \
        16";
        "CREATE TABLE notes (id int PRIMARY KEY)"; "DROP TABLE notes";
    an_enum_with_another_order: "enum-required", Error on "public.visit_kind", "has its values in another \
        order: again, first";
        "DROP TYPE visit_kind; CREATE TYPE visit_kind AS ENUM ('again', 'first')"; "DROP TYPE visit_kind; \
            CREATE TYPE visit_kind AS ENUM ('first', 'again')";
    a_table_without_a_primary_key: "primary-key", Error on "public.clinics_copy", "has no primary key";
        "CREATE TABLE clinics_copy (id uuid NOT NULL)"; "ALTER TABLE clinics_copy ADD PRIMARY KEY (id)";
    a_table_without_an_audit_column: "convention-audit-columns", Error on "public.notes", "id is missing";
        "CREATE TABLE notes (number int PRIMARY KEY)"; "ALTER TABLE notes ADD COLUMN id uuid NOT NULL";
    a_table_in_another_style: "convention-tables", Error on "public.LabResult", "is not snake_case";
        "CREATE TABLE \"LabResult\" (id int PRIMARY KEY)"; "ALTER TABLE \"LabResult\" RENAME TO lab_result";
    a_column_in_another_style: "convention-columns", Error on "public.clinics", "not snake_case: openedAt";
        "ALTER TABLE clinics ADD COLUMN \"openedAt\" date"; "ALTER TABLE clinics RENAME \"openedAt\" TO \
            opened_at";
    an_enum_value_in_another_style: "convention-enum-values", Error on "public.visit_kind", "not snake_case: \
        \"LAST\"";
        "ALTER TYPE visit_kind ADD VALUE 'LAST'"; "ALTER TYPE visit_kind RENAME VALUE 'LAST' TO 'last'";
    an_index_with_another_name: "convention-indexes", Error on "public.whatever", "should be named \
        clinics_id_name_idx";
        "CREATE INDEX whatever ON clinics (id, name)"; "ALTER INDEX whatever RENAME TO clinics_id_name_idx";
    a_foreign_key_with_another_name: "convention-foreign-keys", Error on "public.visits", "fk1 should be \
        named visits_clinic_id_fkey";
        "ALTER TABLE visits RENAME CONSTRAINT visits_clinic_id_fkey TO fk1"; "ALTER TABLE visits RENAME \
            CONSTRAINT fk1 TO visits_clinic_id_fkey";
    a_question_with_another_answer: "query-assertion", Error on "no-closed-visit", "and nothing is expected";
        "UPDATE visits SET status = 'closed' WHERE id = 1"; "UPDATE visits SET status = 'open'";
    too_few_rows: "row-count", Error on "public.access_log", "it has 1 rows, and at least 2 are expected";
        "DELETE FROM access_log WHERE ctid = (SELECT min(ctid) FROM access_log_new)"; "INSERT INTO \
            access_log (clinic_id, what) SELECT id, 'again' FROM clinics LIMIT 1";
    too_many_rows: "row-count", Error on "public.access_log", "it has more than 2 rows";
        "INSERT INTO access_log (clinic_id, what) SELECT id, 'again' FROM clinics"; "DELETE FROM access_log \
            WHERE what = 'again'";
    a_row_that_refers_to_nothing: "orphans", Error on "public.access_log", "1 row refers to nothing by \
        (clinic_id) to public.clinics (id): \"00000000-0000-0000-0000-000000000007\"";
        "INSERT INTO access_log (clinic_id, what) VALUES ('00000000-0000-0000-0000-000000000007', \
            'x')"; "DELETE FROM access_log WHERE what = 'x'";
    a_query_that_cannot_use_its_index: "plan-uses-index", Error on "agenda", "there is no such index";
        "DROP INDEX visits_clinic_id_patient_id_idx"; "CREATE INDEX ON visits (clinic_id, patient_id)";
    a_query_whose_index_has_another_order: "plan-uses-index", Error on "agenda", "does not use the index \
        \"visits_clinic_id_patient_id_idx\", but visits_";
        "DROP INDEX visits_clinic_id_patient_id_idx; CREATE INDEX visits_clinic_id_patient_id_idx ON visits \
            (starts_at, status)";
        "DROP INDEX visits_clinic_id_patient_id_idx; CREATE INDEX ON visits (clinic_id, patient_id)";
}

async fn rhythm(control: &Control) {
    let clinic = tidy_clinic(control.name).await;
    clinic.assert_clean().await;
    clinic.as_superuser(control.breaks).await;
    clinic.assert_one(control.check, control.severity, control.object, control.message).await;
    clinic.as_superuser(control.mends).await;
    let left = clinic.findings_of(control.check).await;
    assert!(left.is_empty(), "mended, and still found: {left:#?}");
}

#[tokio::test]
async fn a_migration_that_is_not_named_by_the_convention_is_found_and_an_exempt_one_stays_visible() {
    let mut clinic = tidy_clinic("migration_names").await;
    clinic.scope.migrations.push("20240216120000_VISITS".into());
    clinic
        .assert_one("convention-migrations", Severity::Error, "20240216120000_VISITS", "is not snake_case")
        .await;
    let conventions = clinic.scope.assertions.conventions.as_mut().expect("there are some");
    conventions.except.push("20240216120000_VISITS".into());
    clinic
        .assert_one(
            "convention-migrations",
            Severity::Information,
            "20240216120000_VISITS",
            "exempt by spec.verify",
        )
        .await;
    clinic.scope.migrations.pop();
    clinic.assert_clean().await;
}

#[tokio::test]
async fn what_is_exempt_from_a_convention_is_information_and_the_rest_of_the_table_is_not() {
    let mut clinic = tidy_clinic("exempt").await;
    clinic.migrate(r#"ALTER TABLE clinics ADD COLUMN "openedAt" date, ADD COLUMN "closedAt" date"#).await;
    clinic
        .scope
        .assertions
        .conventions
        .as_mut()
        .expect("there are some")
        .except
        .push("clinics.openedAt".into());
    let found = clinic.findings_of("convention-columns").await;
    let told: Vec<_> = found.iter().map(|finding| (finding.severity, finding.message.as_str())).collect();
    let exempt = "exempt by spec.verify.conventions.except: not snake_case: openedAt";
    assert_eq!(told, [(Severity::Error, "not snake_case: closedAt"), (Severity::Information, exempt)]);
}

#[tokio::test]
async fn an_index_that_does_anything_of_its_own_is_not_superfluous() {
    let clinic = tidy_clinic("own_right").await;
    clinic
        .migrate(
            r#"CREATE TABLE t (id int PRIMARY KEY, a text, b text, c text, d int, UNIQUE (a, b));
            CREATE INDEX t_wide ON t (a, c, d) INCLUDE (b);
            CREATE UNIQUE INDEX t_unique ON t (a);
            CREATE INDEX t_partial ON t (a) WHERE b = 'x';
            CREATE INDEX t_pattern ON t (a text_pattern_ops);
            CREATE INDEX t_collated ON t (a COLLATE "C");
            CREATE INDEX t_descending ON t (a DESC);
            CREATE INDEX t_hash ON t USING hash (a);
            CREATE INDEX t_expression ON t (lower(a));
            CREATE INDEX t_other_expression ON t (upper(a), b);
            CREATE INDEX t_include ON t (a, c) INCLUDE (id);
            CREATE INDEX t_second ON t (c);
            CREATE TABLE refers (id int PRIMARY KEY, a text REFERENCES t (a), UNIQUE NULLS NOT DISTINCT (a));
            CREATE UNIQUE INDEX refers_a ON refers (a);"#,
        )
        .await;
    let found = clinic.findings_of("index-redundant").await;
    assert!(found.is_empty(), "{found:#?}");
    clinic
        .migrate(
            "CREATE INDEX t_lower_b ON t (lower(a), b); CREATE INDEX t_partial_b ON t (a, b) WHERE (b = \
            'x'); CREATE INDEX t_c ON t (a, c) INCLUDE (b)",
        )
        .await;
    let objects: Vec<_> =
        clinic.findings_of("index-redundant").await.into_iter().map(|finding| finding.object).collect();
    assert_eq!(objects, ["public.t_c", "public.t_expression", "public.t_partial"]);
}

#[tokio::test]
async fn the_parts_of_partitions_are_only_told_with_the_index_of_the_whole() {
    let clinic = tidy_clinic("whole").await;
    clinic
        .migrate(
            "CREATE INDEX whole ON access_log (clinic_id); CREATE INDEX only_here ON access_log_new \
        (clinic_id)",
        )
        .await;
    let objects: Vec<_> =
        clinic.findings_of("index-redundant").await.into_iter().map(|finding| finding.object).collect();
    assert_eq!(objects, ["public.only_here", "public.whole"]);
}

#[tokio::test]
async fn an_index_superfluous_or_a_key_not_validated_can_be_allowed_or_made_an_error() {
    let mut clinic = tidy_clinic("allowed").await;
    clinic
        .migrate(
            "CREATE INDEX more ON visits (clinic_id); ALTER TABLE visits ADD CONSTRAINT later FOREIGN \
            KEY (clinic_id) REFERENCES clinics NOT VALID",
        )
        .await;
    clinic.scope.indexes.redundant = false;
    assert!(clinic.findings_of("index-redundant").await.is_empty());
    clinic.scope.assertions.foreign_keys.validated = Some(true);
    clinic.assert_one("foreign-key-validated", Severity::Error, "public.visits", "later").await;
    clinic.scope.assertions.foreign_keys.validated = Some(false);
    assert!(clinic.findings_of("foreign-key-validated").await.is_empty());
}

#[tokio::test]
async fn types_and_defaults_are_compared_as_postgresql_reads_them() {
    let mut clinic = tidy_clinic("types").await;
    let setup = r#"CREATE TYPE "Mood" AS ENUM ('GOOD', 'BAD');
        CREATE TABLE t (id serial PRIMARY KEY, m "Mood" NOT NULL DEFAULT 'GOOD', n numeric(10, 2), at timestamptz(3) DEFAULT CURRENT_TIMESTAMP,
          tags text[] DEFAULT '{}', g int GENERATED ALWAYS AS (1) STORED, i int GENERATED ALWAYS AS IDENTITY)"#;
    clinic.migrate(setup).await;
    let same = json!({"tables": {"require": [{"name": "public.t", "columns": [
        {"name": "id", "type": "int4", "hasDefault": true}, {"name": "m", "type": "\"Mood\"", "default": "'GOOD'", "nullable": false},
        {"name": "n", "type": "decimal(10,2)", "hasDefault": false}, {"name": "at", "type": "timestamp(3) \
            with time zone", "default": "current_timestamp"},
        {"name": "tags", "type": "text[]", "default": "'{}'"}, {"name": "g", "hasDefault": true}, {"name": "i", "type": "integer", "hasDefault": true},
    ]}]}});
    clinic.scope.assertions = assertions(&same);
    clinic.assert_clean().await;
    let wrong = json!({"tables": {"require": [{"name": "t", "columns": [
        {"name": "n", "type": "numeric(10,3)"}, {"name": "m", "type": "mood"}, {"name": "id", "type": "int); \
            DROP TABLE t; --"},
        {"name": "N", "type": "numeric"}, {"name": "at", "type": "timestamptz(3)", "default": "now()"},
    ]}]}});
    clinic.scope.assertions = assertions(&wrong);
    let found = clinic.findings().await;
    assert_eq!(found.len(), 1, "{found:#?}");
    for part in [
        "n has the type numeric(10,2) and not numeric(10,3)",
        "m is required in a way that PostgreSQL cannot read: type \"mood\" does not exist",
        "id is required in a way that PostgreSQL cannot read: cannot insert multiple commands",
        "N is missing",
        "at has the default CURRENT_TIMESTAMP and not now()",
    ] {
        assert!(found[0].message.contains(part), "{part}\n{}", found[0].message);
    }
}

#[tokio::test]
async fn what_is_asked_of_something_that_is_not_there_is_found_and_named() {
    let mut clinic = tidy_clinic("not_there").await;
    clinic.scope.assertions = assertions(&json!({
        "foreignKeys": {"require": [
            {"table": "nowhere", "columns": ["a"], "references": "clinics"}, {"table": "visits", "columns": ["clinic_id"], "references": "nobody"},
        ]},
        "tables": {"enums": [{"name": "no_enum", "values": ["a"]}]},
        "rowCounts": {"tables": [{"table": "no_rows", "atLeast": 1}]},
        "orphans": [
            {"table": "no_table", "columns": ["a"], "references": "clinics", "referencedColumns": ["id"]},
            {"table": "visits", "columns": ["no_column"], "references": "clinics", "referencedColumns": ["id"]},
            {"table": "visits", "columns": ["status"], "references": "clinics", "referencedColumns": ["id"]},
        ],
    }));
    let found = clinic.findings().await;
    let errors: Vec<_> = found.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let objects: Vec<_> = errors.iter().map(|finding| finding.object.as_str()).collect();
    assert_eq!(
        objects,
        ["nobody", "nowhere", "no_enum", "no_rows", "no_table", "public.visits", "public.visits"],
        "{found:#?}"
    );
    assert!(
        errors[5].message.contains("column c.no_column does not exist")
            && errors[6].message.contains("operator does not exist")
    );
}

#[tokio::test]
async fn rows_that_a_policy_hides_are_not_taken_for_rows_that_are_not_there() {
    let clinic = tidy_clinic("hidden").await;
    clinic.as_superuser("ALTER ROLE {migrator} NOBYPASSRLS; UPDATE visits SET status = 'closed'").await;
    let found = clinic.findings().await;
    let told: Vec<_> = found.iter().map(|finding| finding.check.name()).collect();
    assert_eq!(told, ["query-assertion", "row-count", "orphans"], "{found:#?}");
    assert!(
        found.iter().all(|finding| finding.message.contains("row-level security policy for table")),
        "{found:#?}"
    );
}

#[tokio::test]
async fn orphans_are_counted_up_to_a_bound_and_null_refers_to_nothing() {
    let mut clinic = tidy_clinic("bound").await;
    clinic
        .migrate(
            "CREATE TABLE notes (id int PRIMARY KEY, patient int); INSERT INTO notes SELECT n, NULL \
            FROM generate_series(1, 5) n",
        )
        .await;
    let relation =
        json!({"table": "notes", "columns": ["patient"], "references": "notes", "referencedColumns": ["id"]});
    clinic.scope.assertions = assertions(&json!({"orphans": [relation]}));
    clinic.assert_clean().await;
    clinic.migrate("INSERT INTO notes SELECT n, -n FROM generate_series(6, 9) n").await;
    clinic
        .assert_one(
            "orphans",
            Severity::Error,
            "public.notes",
            "4 rows refer to nothing by (patient) to public.notes (id): \"-6\", \"-7\", \"-8\" and more",
        )
        .await;
    clinic.migrate("INSERT INTO notes SELECT n, -n FROM generate_series(10, 3000) n").await;
    clinic
        .assert_one("orphans", Severity::Error, "public.notes", "more than 1000 rows refer to nothing")
        .await;
}

#[tokio::test]
async fn everything_that_is_asked_leaves_the_session_as_it_was() {
    let clinic = tidy_clinic("leaves").await;
    let mut session = clinic.session().await;
    let settings = "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings
        WHERE name IN ('transaction_read_only', 'row_security', 'search_path', 'statement_timeout', \
        'enable_seqscan', 'plan_cache_mode')";
    execute(&mut session, "BEGIN; SET LOCAL statement_timeout = '33s'").await;
    let before: String =
        sqlx::query(settings).persistent(false).fetch_one(&mut session).await.expect("settings").get(0);
    let mut transaction = Transaction::of_open(&mut session).await.expect("is open");
    let found = sluice::check::run(
        &mut transaction,
        &clinic.scope,
        &[Aspect::Index, Aspect::Structure, Aspect::Data],
    )
    .await
    .expect("carried out");
    assert!(found.is_empty(), "{found:#?}");
    let after: String =
        sqlx::query(settings).persistent(false).fetch_one(&mut session).await.expect("settings").get(0);
    assert_eq!(before, after);
    let left = "SELECT (SELECT count(*) FROM pg_prepared_statements WHERE from_sql) + (SELECT count(*) FROM \
        pg_class WHERE relname LIKE 'sluice%')";
    let left: i64 =
        sqlx::query(left).persistent(false).fetch_one(&mut session).await.expect("counted").get(0);
    assert_eq!(left, 0);
    execute(&mut session, "CREATE TABLE still_writes (id int); COMMIT").await;
}
