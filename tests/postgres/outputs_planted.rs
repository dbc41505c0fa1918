//! Names of people and passwords are planted wherever they can come from; then everything that leaves a
//! process is searched for them.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use sluice::{api::DatabaseMigration, contract::Outcome};

use crate::{
    server::execute,
    stage_scene::{Scene, finish},
};

/// Two names and a password. None is part of a name of an object, of a migration or of a file.
const PLANTED: [&str; 3] = ["Wintergreen", "Oldcastle", "hunter-of-s3crets"];

const FIRST: &str =
    "CREATE TABLE patients (id int PRIMARY KEY, name text UNIQUE, ssn varchar(40), born date);
INSERT INTO patients VALUES (1, 'Jane Wintergreen', '078-05-1120', '1990-01-02'), (2, 'John Oldcastle', \
'219-09-9999', '1980-03-04');
CREATE TABLE visits (id int, patient text);
INSERT INTO visits VALUES (1, 'Jane Wintergreen'), (2, 'Nobody Wintergreen');
CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE NOTICE 'looks at %', NEW.name;
  IF NEW.id > 900 THEN RAISE EXCEPTION 'patient % is not welcome', OLD.name USING ERRCODE = '42P01', TABLE = \
  OLD.name, HINT = OLD.name; END IF;
  RETURN NEW; END $$;
CREATE TRIGGER guard BEFORE UPDATE ON patients FOR EACH ROW EXECUTE FUNCTION guard();";

/// Migrations that fail, each so that PostgreSQL or the team's own code quotes a row or a literal. What the
/// finding must name instead.
const FAILING: &[(&str, &str, &str)] = &[
    ("unique", "INSERT INTO patients (id, name) VALUES (3, 'Jane Wintergreen');", "patients_name_key"),
    ("not_null", "UPDATE patients SET id = NULL;", "\"id\""),
    ("check", "ALTER TABLE patients ADD CONSTRAINT short_names CHECK (length(name) < 3);", "short_names"),
    (
        "failing_row",
        "ALTER TABLE patients ADD CHECK (true); INSERT INTO patients VALUES (NULL, 'Jane Wintergreen', 'x');",
        "\"id\"",
    ),
    (
        "foreign_key",
        "ALTER TABLE visits ADD CONSTRAINT of_patient FOREIGN KEY (patient) REFERENCES patients (name);",
        "of_patient",
    ),
    ("cast", "ALTER TABLE patients ALTER name TYPE int USING name::int;", "type integer"),
    ("moment", "SELECT name::date FROM patients;", "type date"),
    ("length", "ALTER TABLE patients ALTER name TYPE varchar(4);", "character varying(4)"),
    ("json", "SELECT ('{\"a\": ' || name || '}')::jsonb FROM patients;", "type json"),
    ("trigger", "UPDATE patients SET id = id + 1000;", "left out here"),
    (
        "raise",
        "DO $$ BEGIN RAISE EXCEPTION 'there is still %', (SELECT min(name) FROM patients); END $$;",
        "there is still %",
    ),
    (
        "execute",
        "DO $$ BEGIN EXECUTE format('SELECT %L::int', (SELECT min(name) FROM patients)); END $$;",
        "type integer",
    ),
    (
        "literal",
        "SELECT missing FROM patients WHERE name = 'Jane Wintergreen' AND ssn = $q$Oldcastle$q$; -- for Jane \
            Wintergreen",
        "missing",
    ),
    ("syntax", "SELECT 1 'Jane Wintergreen';", "syntax error"),
    ("unterminated", "SELECT 1;\nSELECT 'Jane Wintergreen", "unterminated"),
    ("inside", "SELECT 1, 'a\nJane Wintergreen' 2;", "syntax error"),
    ("password", "CREATE ROLE r_of_test PASSWORD 'hunter-of-s3crets' nonsense;", "nonsense"),
    ("long", "DO $$ BEGIN RAISE EXCEPTION '%', repeat('Wintergreen ', 100000); END $$;", "RAISE"),
    (
        "index",
        "CREATE TABLE done (); SELECT 'Oldcastle';\nCREATE UNIQUE INDEX CONCURRENTLY i ON visits \
            ((left(patient, 0) || 'Wintergreen'));",
        "\"i\"",
    ),
    ("copy", "COPY patients FROM STDIN;\n7\tJane Wintergreen\tx\n\\.\n", "COPY from STDIN"),
];

const VERIFY: &str = "{queries: [{name: nobody left, sql: 'SELECT name FROM patients'}, \
    {name: oldest, sql: 'SELECT min(name) FROM patients', expect: Value, value: nobody}, \
    {name: cast, sql: 'SELECT name::int FROM patients'}], \
    orphans: [{table: visits, columns: [patient], references: patients, referencedColumns: [name]}]}";

/// Where something planted was found, with a piece of what stands around it.
fn leaks(place: &str, text: &str) -> Vec<String> {
    let found = PLANTED.iter().filter_map(|planted| text.find(planted).map(|at| (planted, at)));
    found
        .map(|(planted, at)| {
            let around: String =
                text.chars().skip(text[..at].chars().count().saturating_sub(60)).take(140).collect();
            format!("{place}: {planted:?} in …{around}…")
        })
        .collect()
}

fn streams(place: &str, output: &Output) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut found = leaks(&format!("{place}, standard output"), &text(&output.stdout));
    found.extend(leaks(&format!("{place}, standard error"), &text(&output.stderr)));
    found
}

/// A URL with the planted password. The server of the tests trusts every client.
fn url(scene: &Scene) -> String {
    scene.url.replacen(&format!("{}@", scene.role), &format!("{}:hunter-of-s3crets@", scene.role), 1)
}

fn sluice(scene: &Scene, verb: &str, arguments: &[&str]) -> Command {
    let mut command = scene.command(verb);
    command.args(arguments).env("DATABASE_URL", url(scene));
    command
}

/// Every stage as its container runs it. The log of each, standard output and error, and everything else that
/// it leaves.
async fn pod(scene: &Scene) -> Vec<(String, String)> {
    let object: DatabaseMigration = serde_saphyr::from_str(&scene.manifest()).expect("the manifest reads");
    let mut spec = serde_json::to_value(&object).expect("is JSON");
    spec["apiVersion"] = "sluice.dev/v1alpha1".into();
    spec["kind"] = "DatabaseMigration".into();
    let folder = tempfile::tempdir().expect("a folder");
    let (run, message) = (folder.path().join("run"), folder.path().join("message"));
    fs::create_dir(&run).expect("an empty volume");
    let mut left = Vec::new();
    for stage in sluice::contract::Purpose::Apply.route().stages() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(["stage", stage.name(), "--run"]).arg(&run).arg("--source").arg(scene.source());
        command.arg("--snapshots").arg(folder.path()).arg("--termination-log").arg(&message);
        command.env("SLUICE_SPEC", spec.to_string()).env("DATABASE_URL", url(scene)).env("RUST_LOG", "trace");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = finish(command).await;
        left.push((format!("log of {}", stage.name()), String::from_utf8_lossy(&output.stderr).into_owned()));
        left.push((
            format!("result of {}", stage.name()),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        ));
        let told = fs::read_to_string(&message).expect("a termination message");
        assert!(
            Outcome::from_message(&told).is_some(),
            "{}: {told:?} of {}",
            stage.name(),
            String::from_utf8_lossy(&output.stderr)
        );
        left.push((format!("termination message of {}", stage.name()), told));
    }
    for entry in fs::read_dir(&run).expect("lists") {
        let path = entry.expect("an entry").path();
        left.push((path.display().to_string(), fs::read_to_string(&path).expect("reads")));
    }
    left
}

/// Everything in the tables of the history and of the journal. `sluice.texts` is left out: it keeps the files
/// that were applied, as they are, for those who may read the schema `sluice`.
async fn tables(scene: &Scene) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let names = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'sluice' \
        AND tablename <> 'texts' OR tablename = '_prisma_migrations'";
    for table in scene.column(names).await {
        let text =
            scene.value(&format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t")).await;
        found.push((table, text));
    }
    found
}

async fn everything_said(scene: &Scene) -> Vec<String> {
    let mut found = Vec::new();
    for arguments in [&[][..], &["-o", "json"]] {
        found.extend(streams("plan", &finish(sluice(scene, "plan", arguments)).await));
        found.extend(streams("run", &finish(sluice(scene, "run", arguments)).await));
    }
    let mut traced = sluice(scene, "run", &[]);
    traced.env("RUST_LOG", "trace");
    found.extend(streams("run with RUST_LOG=trace", &finish(traced).await));
    let mut lint = Command::new(env!("CARGO_BIN_EXE_sluice"));
    lint.arg("lint").arg(scene.source()).stdout(Stdio::piped()).stderr(Stdio::piped());
    found.extend(streams("lint", &finish(lint).await));
    found.extend(pod(scene).await.iter().flat_map(|(place, text)| leaks(place, text)));
    found.extend(tables(scene).await.iter().flat_map(|(place, text)| leaks(place, text)));
    found
}

#[tokio::test]
async fn nothing_that_fails_repeats_a_row_a_literal_or_a_password() {
    let scene = Scene::new("planted", &[("1_first", FIRST)]).await;
    scene.ready().await;
    let mut problems = Vec::new();
    for (name, sql, named) in FAILING {
        let migration = format!("2_{name}");
        scene.write(&migration, sql);
        let outcome = scene.run().await.pop().expect("an Outcome");
        if !outcome.message.contains(named) {
            problems.push(format!("{name}: does not name {named:?}: {}", outcome.message));
        }
        if outcome.message.len() > 5000 {
            problems.push(format!("{name}: {} bytes", outcome.message.len()));
        }
        problems.extend(everything_said(&scene).await.into_iter().map(|leak| format!("{name}: {leak}")));
        scene.remove(&migration);
        // What ran alone, or is journaled, stays until a person corrects the file.
        let tidy = "DELETE FROM _prisma_migrations WHERE migration_name <> '1_first'; DROP TABLE IF EXISTS \
            done; DROP INDEX IF EXISTS i; \
                    DROP SCHEMA IF EXISTS sluice CASCADE";
        execute(&mut scene.database.connect().await, tidy).await;
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[tokio::test]
async fn no_check_and_no_report_repeats_a_row_or_a_password() {
    let scene = Scene::new("planted_checks", &[("1_first", FIRST)]).await.with("verify", VERIFY);
    let mut found = everything_said(&scene).await;
    for form in ["text", "json", "junit", "markdown", "html"] {
        let output = finish(sluice(&scene, "verify", &["-o", form])).await;
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("nobody left"),
            "{form}: the queries were asked"
        );
        found.extend(streams(&format!("verify -o {form}"), &output));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_not_repeated() {
    let scene = Scene::new("planted_urls", &[("1_first", FIRST)]).await;
    let mut found = Vec::new();
    for url in [
        "hunter-of-s3crets",
        "hunter-of-s3crets:x",
        "postgres://u:12/hunter-of-s3crets@h/d",
        "postgres://u:12#hunter-of-s3crets@h/d",
        "postgres://u:12?hunter-of-s3crets@h/d",
        "postgres://u:hunter-of-s3crets@127.0.0.1:1/d",
        "postgres://u:hunter-of-s3crets@nowhere.invalid/d",
        "host=nowhere.invalid password=hunter-of-s3crets user=u",
        "mysql://u:hunter-of-s3crets@h/d",
    ] {
        for verb in ["run", "plan", "verify"] {
            let mut command = scene.command(verb);
            command.env("DATABASE_URL", url).env("RUST_LOG", "trace");
            let output = finish(command).await;
            assert!(!output.status.success(), "{verb}");
            found.extend(streams(&format!("{verb} {url}"), &output));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The search is shown to find: with `logData` the log has it all, and nothing else has it even then.
#[tokio::test]
async fn with_log_data_the_log_of_the_container_has_it_and_nothing_else() {
    for (name, sql) in
        [("unique", FAILING[0].1), ("notice", "UPDATE patients SET id = id + 100; SELECT missing;")]
    {
        let scene = Scene::new("planted_log", &[("1_first", FIRST)]).await;
        scene.ready().await;
        let scene = scene.with("apply", "{logData: true}");
        scene.write("2_failing", sql);
        let left = pod(&scene).await;
        let (log, others): (Vec<_>, Vec<_>) = left.iter().partition(|(place, _)| place == "log of migrate");
        assert!(log[0].1.contains("Jane Wintergreen"), "{name}: {}", log[0].1);
        let elsewhere: Vec<String> = others.iter().flat_map(|(place, text)| leaks(place, text)).collect();
        assert!(elsewhere.is_empty(), "{name}: {}", elsewhere.join("\n"));
        let output = finish(sluice(&scene, "run", &[])).await;
        assert!(leaks("", &String::from_utf8_lossy(&output.stdout)).is_empty());
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("Jane Wintergreen"),
            "sluice run logs to standard error"
        );
        assert!(!log[0].1.contains(PLANTED[2]), "a password is in no log");
        assert!(Path::new(&scene.source()).exists());
    }
}
