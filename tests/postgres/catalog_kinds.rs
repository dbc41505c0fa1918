//! For each kind of object, a difference made by hand is found and named, and nothing else is; once it is
//! mended, nothing is found. The last test counts: a kind without a control fails it.

use std::collections::BTreeSet;

use sluice::{
    api::Format,
    catalog::{self, Change, Difference, Kind, Scope},
    migrations::HistoryContract,
};

use crate::server::{Database, Server};

/// One of everything. `{app}` is a role.
const SCHEMA: &str = r#"
    CREATE SCHEMA clinical;
    CREATE SCHEMA archive;
    CREATE EXTENSION citext;
    CREATE TYPE mood AS ENUM ('low', 'high');
    CREATE DOMAIN code AS text DEFAULT 'c' CHECK (VALUE <> '');
    CREATE TYPE address AS (street text, city text);
    CREATE TYPE period AS RANGE (subtype = date);
    CREATE SEQUENCE numbers;
    CREATE TABLE patients (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL DEFAULT 'x', "birthDate" date,
        email citext, shout text GENERATED ALWAYS AS (name || '!') STORED, mood mood, CONSTRAINT named CHECK (name <> ''));
    CREATE TABLE clinical.visits (id int PRIMARY KEY, patient int REFERENCES public.patients ON DELETE CASCADE, note text);
    CREATE INDEX visits_patient ON clinical.visits (patient) WHERE note IS NULL;
    CREATE TABLE log (at date NOT NULL, what text) PARTITION BY RANGE (at);
    CREATE TABLE log_old PARTITION OF log FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
    CREATE TABLE log_new PARTITION OF log FOR VALUES FROM ('2020-01-01') TO (MAXVALUE);
    CREATE VIEW agenda AS SELECT id, patient FROM clinical.visits;
    CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS visits FROM clinical.visits;
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
    CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 * 2;
    CREATE AGGREGATE joined(text) (SFUNC = textcat, STYPE = text);
    CREATE TRIGGER touched BEFORE UPDATE ON clinical.visits FOR EACH ROW EXECUTE FUNCTION touch();
    CREATE RULE quiet AS ON DELETE TO patients DO INSTEAD NOTHING;
    ALTER TABLE patients ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON patients FOR SELECT USING (name = current_user);
    GRANT SELECT ON patients TO {app};
    GRANT UPDATE (name) ON patients TO {app};
    REVOKE EXECUTE ON FUNCTION twice(int) FROM PUBLIC;"#;

/// One way in which a database can differ.
struct Control {
    kind: Kind,
    /// The only object that is found.
    name: &'static str,
    /// How: `missing`, `extra`, or the words of a property with both sides.
    how: &'static [&'static str],
    breaks: &'static str,
    mends: &'static str,
}

const fn control(
    kind: Kind,
    name: &'static str,
    how: &'static [&'static str],
    breaks: &'static str,
    mends: &'static str,
) -> Control {
    Control { kind, name, how, breaks, mends }
}

const CONTROLS: &[Control] = &[
    control(Kind::Schema, "archive", &["missing"], "DROP SCHEMA archive", "CREATE SCHEMA archive"),
    control(Kind::Extension, "hstore", &["extra"], "CREATE EXTENSION hstore", "DROP EXTENSION hstore"),
    control(
        Kind::Enum,
        "public.mood",
        &["values", "'low', 'high'", "'low', 'mid', 'high'"],
        "ALTER TYPE mood ADD VALUE 'mid' BEFORE 'high'",
        "ALTER TABLE patients DROP COLUMN mood; DROP TYPE mood; CREATE TYPE mood AS ENUM ('low', 'high'); \
            ALTER TABLE patients ADD mood mood",
    ),
    control(
        Kind::Domain,
        "public.code",
        &["default", "'c'::text", "none"],
        "ALTER DOMAIN code DROP DEFAULT",
        "ALTER DOMAIN code SET DEFAULT 'c'",
    ),
    control(
        Kind::Domain,
        "public.code",
        &["constraints", "none"],
        "ALTER DOMAIN code DROP CONSTRAINT code_check",
        "ALTER DOMAIN code ADD CHECK (VALUE <> '')",
    ),
    control(
        Kind::Composite,
        "public.address",
        &["attributes", "zip text"],
        "ALTER TYPE address ADD ATTRIBUTE zip text",
        "ALTER TYPE address DROP ATTRIBUTE zip",
    ),
    control(
        Kind::Range,
        "public.period",
        &["subtype", "date", "integer"],
        "DROP TYPE period; CREATE TYPE period AS RANGE (subtype = int)",
        "DROP TYPE period; CREATE TYPE period AS RANGE (subtype = date)",
    ),
    control(
        Kind::Sequence,
        "public.numbers",
        &["increment", "1", "5"],
        "ALTER SEQUENCE numbers INCREMENT 5",
        "ALTER SEQUENCE numbers INCREMENT 1",
    ),
    control(
        Kind::Sequence,
        "public.numbers",
        &["missing"],
        "DROP SEQUENCE numbers",
        "CREATE SEQUENCE numbers",
    ),
    control(
        Kind::Table,
        "public.notes",
        &["extra", "a table"],
        "CREATE TABLE notes (id int PRIMARY KEY, a text, UNIQUE (a))",
        "DROP TABLE notes",
    ),
    control(
        Kind::Table,
        "public.patients",
        &["row-level security", "enabled", "disabled"],
        "ALTER TABLE patients DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE patients ENABLE ROW LEVEL SECURITY",
    ),
    control(
        Kind::Table,
        "public.patients",
        &["forced", "no", "yes"],
        "ALTER TABLE patients FORCE ROW LEVEL SECURITY",
        "ALTER TABLE patients NO FORCE ROW LEVEL SECURITY",
    ),
    control(
        Kind::Table,
        "public.log_new",
        &["partition of", "public.log", "none"],
        "ALTER TABLE log DETACH PARTITION log_new",
        "ALTER TABLE log ATTACH PARTITION log_new FOR VALUES FROM ('2020-01-01') TO (MAXVALUE)",
    ),
    control(
        Kind::Column,
        "public.patients.drifted",
        &["extra", "type text"],
        "ALTER TABLE patients ADD drifted text",
        "ALTER TABLE patients DROP drifted",
    ),
    control(
        Kind::Column,
        "public.patients.\"birthDate\"",
        &["missing", "type date"],
        "ALTER TABLE patients DROP \"birthDate\"",
        "ALTER TABLE patients ADD \"birthDate\" date",
    ),
    control(
        Kind::Column,
        "clinical.visits.note",
        &["type", "text", "character varying(20)"],
        "DROP INDEX clinical.visits_patient; ALTER TABLE clinical.visits ALTER note TYPE varchar(20); CREATE \
            INDEX visits_patient ON clinical.visits (patient) WHERE note IS NULL",
        "DROP INDEX clinical.visits_patient; ALTER TABLE clinical.visits ALTER note TYPE text; CREATE INDEX \
            visits_patient ON clinical.visits (patient) WHERE note IS NULL",
    ),
    control(
        Kind::Column,
        "clinical.visits.note",
        &["collation", "none", "pg_catalog.\"C\""],
        "ALTER TABLE clinical.visits ALTER note TYPE text COLLATE \"C\"",
        "ALTER TABLE clinical.visits ALTER note TYPE text COLLATE \"default\"",
    ),
    control(
        Kind::Column,
        "public.patients.name",
        &["null", "not allowed", "allowed"],
        "ALTER TABLE patients ALTER name DROP NOT NULL",
        "ALTER TABLE patients ALTER name SET NOT NULL",
    ),
    control(
        Kind::Column,
        "public.patients.name",
        &["default", "'x'::text", "'y'::text"],
        "ALTER TABLE patients ALTER name SET DEFAULT 'y'",
        "ALTER TABLE patients ALTER name SET DEFAULT 'x'",
    ),
    control(
        Kind::Column,
        "public.patients.id",
        &["identity", "always", "by default"],
        "ALTER TABLE patients ALTER id SET GENERATED BY DEFAULT",
        "ALTER TABLE patients ALTER id SET GENERATED ALWAYS",
    ),
    control(
        Kind::Column,
        "public.patients.shout",
        &["generated", "stored: (name || '!'::text)", "none"],
        "ALTER TABLE patients ALTER shout DROP EXPRESSION",
        "ALTER TABLE patients DROP shout; ALTER TABLE patients ADD shout text GENERATED ALWAYS AS (name || \
            '!') STORED",
    ),
    control(
        Kind::Constraint,
        "public.patients.named",
        &["missing"],
        "ALTER TABLE patients DROP CONSTRAINT named",
        "ALTER TABLE patients ADD CONSTRAINT named CHECK (name <> '')",
    ),
    control(
        Kind::Constraint,
        "clinical.visits.visits_patient_fkey",
        &["ON DELETE CASCADE", "NOT VALID"],
        "ALTER TABLE clinical.visits DROP CONSTRAINT visits_patient_fkey, ADD CONSTRAINT visits_patient_fkey \
            FOREIGN KEY (patient) REFERENCES patients NOT VALID",
        "ALTER TABLE clinical.visits DROP CONSTRAINT visits_patient_fkey, ADD CONSTRAINT visits_patient_fkey \
            FOREIGN KEY (patient) REFERENCES patients ON DELETE CASCADE",
    ),
    control(
        Kind::Index,
        "clinical.visits_patient",
        &["missing"],
        "DROP INDEX clinical.visits_patient",
        "CREATE INDEX visits_patient ON clinical.visits (patient) WHERE note IS NULL",
    ),
    control(
        Kind::Index,
        "clinical.visits_patient",
        &["WHERE (note IS NULL)", "text_pattern_ops"],
        "DROP INDEX clinical.visits_patient; CREATE INDEX visits_patient ON clinical.visits (note \
            text_pattern_ops)",
        "DROP INDEX clinical.visits_patient; CREATE INDEX visits_patient ON clinical.visits (patient) WHERE \
            note IS NULL",
    ),
    control(
        Kind::Index,
        "clinical.visits_patient",
        &["valid", "yes", "no"],
        "UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = \
            'clinical.visits_patient'::regclass",
        "UPDATE pg_catalog.pg_index SET indisvalid = true WHERE indexrelid = \
            'clinical.visits_patient'::regclass",
    ),
    control(
        Kind::View,
        "public.agenda",
        &["options", "none", "security_invoker=true"],
        "ALTER VIEW agenda SET (security_invoker = true)",
        "ALTER VIEW agenda RESET (security_invoker)",
    ),
    control(
        Kind::View,
        "public.agenda",
        &["definition", "WHERE"],
        "CREATE OR REPLACE VIEW agenda AS SELECT id, patient FROM clinical.visits WHERE id > 0",
        "CREATE OR REPLACE VIEW agenda AS SELECT id, patient FROM clinical.visits",
    ),
    control(
        Kind::MaterializedView,
        "public.totals",
        &["definition", "WHERE"],
        "DROP MATERIALIZED VIEW totals; CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS visits FROM \
            clinical.visits WHERE id > 0",
        "DROP MATERIALIZED VIEW totals; CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS visits FROM \
            clinical.visits",
    ),
    control(
        Kind::Function,
        "public.touch()",
        &["definition", "RETURN NULL"],
        "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
    ),
    control(
        Kind::Function,
        "public.touch()",
        &["SECURITY DEFINER"],
        "ALTER FUNCTION touch() SECURITY DEFINER",
        "ALTER FUNCTION touch() SECURITY INVOKER",
    ),
    control(
        Kind::Function,
        "public.joined(text)",
        &["definition", "begins with"],
        "DROP AGGREGATE joined(text); CREATE AGGREGATE joined(text) (SFUNC = textcat, STYPE = text, INITCOND \
            = 'x')",
        "DROP AGGREGATE joined(text); CREATE AGGREGATE joined(text) (SFUNC = textcat, STYPE = text)",
    ),
    control(
        Kind::Trigger,
        "clinical.visits.touched",
        &["fires", "yes", "no"],
        "ALTER TABLE clinical.visits DISABLE TRIGGER touched",
        "ALTER TABLE clinical.visits ENABLE TRIGGER touched",
    ),
    control(
        Kind::Trigger,
        "clinical.visits.touched",
        &["missing"],
        "DROP TRIGGER touched ON clinical.visits",
        "CREATE TRIGGER touched BEFORE UPDATE ON clinical.visits FOR EACH ROW EXECUTE FUNCTION touch()",
    ),
    control(
        Kind::Rule,
        "public.patients.quiet",
        &["missing"],
        "DROP RULE quiet ON patients",
        "CREATE RULE quiet AS ON DELETE TO patients DO INSTEAD NOTHING",
    ),
    control(
        Kind::Policy,
        "public.patients.own",
        &["missing"],
        "DROP POLICY own ON patients",
        "CREATE POLICY own ON patients FOR SELECT USING (name = current_user)",
    ),
    control(
        Kind::Policy,
        "public.patients.own",
        &["using", "(name = CURRENT_USER)", "true"],
        "ALTER POLICY own ON patients USING (true)",
        "ALTER POLICY own ON patients USING (name = current_user)",
    ),
    control(
        Kind::Policy,
        "public.patients.own",
        &["to", "PUBLIC", "{app}"],
        "ALTER POLICY own ON patients TO {app}",
        "ALTER POLICY own ON patients TO PUBLIC",
    ),
    control(
        Kind::Grant,
        "public.patients to {app}",
        &["may", "SELECT", "INSERT, SELECT"],
        "GRANT INSERT ON patients TO {app}",
        "REVOKE INSERT ON patients FROM {app}",
    ),
    control(
        Kind::Grant,
        "public.patients (name) to {app}",
        &["missing"],
        "REVOKE UPDATE (name) ON patients FROM {app}",
        "GRANT UPDATE (name) ON patients TO {app}",
    ),
    control(
        Kind::Grant,
        "public.twice(integer) to PUBLIC",
        &["extra", "EXECUTE"],
        "GRANT EXECUTE ON FUNCTION twice(int) TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION twice(int) FROM PUBLIC",
    ),
    control(
        Kind::Grant,
        "public.touch() to PUBLIC",
        &["missing"],
        "REVOKE EXECUTE ON FUNCTION touch() FROM PUBLIC",
        "GRANT EXECUTE ON FUNCTION touch() TO PUBLIC",
    ),
    control(
        Kind::Grant,
        "schema clinical to {app}",
        &["extra", "USAGE"],
        "GRANT USAGE ON SCHEMA clinical TO {app}",
        "REVOKE USAGE ON SCHEMA clinical FROM {app}",
    ),
];

fn scope() -> Scope {
    Scope {
        schemas: ["public", "clinical", "archive"].map(ToOwned::to_owned).into(),
        history_table: HistoryContract::of(Format::Prisma, "public"),
    }
}

async fn database(test: &str, app: &str) -> Database {
    let database = Server::get().database(test).await;
    database.execute(&SCHEMA.replace("{app}", app)).await;
    database
}

fn list(properties: &[(&'static str, String)]) -> String {
    properties.iter().map(|(word, value)| format!("{word} {value}, ")).collect()
}

/// Without the order of columns, which mending a column changes.
fn apart_from_order(mut differences: Vec<Difference>) -> Vec<Difference> {
    differences.retain(|difference| !matches!(difference.change, Change::Reordered(_)));
    differences
}

async fn differences(expected: &Database, actual: &Database) -> Vec<Difference> {
    let expected = catalog::read(&mut expected.connect().await, &scope()).await.expect("reads");
    let actual = catalog::read(&mut actual.connect().await, &scope()).await.expect("reads");
    catalog::compare(&expected, &actual, &[])
}

#[tokio::test]
async fn a_difference_of_each_kind_is_found_alone_and_gone_when_it_is_mended() {
    let app = "app_of_catalog_kinds";
    let expected = Server::get().database("kinds_expected").await;
    expected.execute(&format!("CREATE ROLE {app}; {}", SCHEMA.replace("{app}", app))).await;
    let actual = database("kinds_actual", app).await;
    assert_eq!(differences(&expected, &actual).await, [], "equal databases have no differences");
    for Control { kind, name, how, breaks, mends } in CONTROLS {
        actual.execute(&breaks.replace("{app}", app)).await;
        let found = apart_from_order(differences(&expected, &actual).await);
        let name = name.replace("{app}", app);
        let [difference] = found.as_slice() else { panic!("{name}: {breaks}: {}", catalog::text(&found)) };
        assert_eq!((difference.kind, &difference.name), (*kind, &name), "{breaks}");
        let text = match &difference.change {
            Change::Missing(properties) => format!("missing {}", list(properties)),
            Change::Extra(properties) => format!("extra {}", list(properties)),
            Change::Different(parts) => parts
                .iter()
                .map(|part| {
                    format!(
                        "{}: {} {}",
                        part.word,
                        part.expected.as_deref().unwrap_or("none"),
                        part.actual.as_deref().unwrap_or("none")
                    )
                })
                .collect(),
            Change::Reordered(part) => panic!("{part:?}"),
        };
        for part in *how {
            let part = part.replace("{app}", app);
            assert!(
                text.contains(&part) || text.replace('"', "").contains(&part),
                "{name}: {part:?} is missing in {text:?}"
            );
        }
        actual.execute(&mends.replace("{app}", app)).await;
        let left = apart_from_order(differences(&expected, &actual).await);
        assert!(left.is_empty(), "mended with {mends}, and still found: {}", catalog::text(&left));
    }
}

#[tokio::test]
async fn columns_in_another_order_are_told_apart_from_other_columns() {
    let (one, other) =
        (Server::get().database("order_one").await, Server::get().database("order_other").await);
    one.execute("CREATE TABLE t (a int, b int)").await;
    other.execute("CREATE TABLE t (b int, a int)").await;
    let found = differences(&one, &other).await;
    assert!(matches!(found.as_slice(), [Difference { change: Change::Reordered(_), .. }]), "{found:?}");
}

#[tokio::test]
async fn the_history_the_journal_and_what_belongs_to_extensions_do_not_count() {
    let (one, other) = (Server::get().database("own_one").await, Server::get().database("own_other").await);
    one.execute("CREATE EXTENSION citext; CREATE EXTENSION hstore").await;
    other
        .execute(
            "CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE SCHEMA sluice; CREATE TABLE \
                sluice.journal (a int);
             CREATE TABLE _prisma_migrations (id varchar(36) PRIMARY KEY, checksum text); GRANT SELECT ON \
             _prisma_migrations TO pg_monitor",
        )
        .await;
    assert_eq!(differences(&one, &other).await, []);
    let objects = catalog::read(&mut other.connect().await, &scope()).await.expect("reads").objects;
    let kinds: BTreeSet<_> = objects.keys().map(|key| key.kind).collect();
    assert_eq!(kinds, [Kind::Schema, Kind::Extension, Kind::Grant].into(), "{:?}", objects.keys());
}

#[test]
fn every_kind_has_a_control_that_proves_it_is_compared() {
    let controlled: BTreeSet<_> = CONTROLS.iter().map(|control| control.kind).collect();
    assert_eq!(controlled, Kind::ALL.iter().copied().collect());
}
