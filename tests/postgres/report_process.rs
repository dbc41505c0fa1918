//! `sluice verify` and `sluice report` as processes: what they print, with which exit code, and that they
//! change nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::stage_scene::{Scene, finish, said};

const TABLES: (&str, &str) = (
    "1_tables",
    "CREATE TABLE patients (id int PRIMARY KEY, name text); CREATE TABLE visits (id int PRIMARY KEY, patient \
        int REFERENCES patients); CREATE INDEX ON visits (patient)",
);
const FORMS: [&str; 5] = ["text", "json", "junit", "markdown", "html"];

async fn verify(scene: &Scene, arguments: &[&str]) -> Output {
    let mut command = scene.command("verify");
    command.args(arguments);
    finish(command).await
}

/// Verifies and saves the report as JSON.
pub async fn verify_into(scene: &Scene, folder: &Path) -> PathBuf {
    let output = verify(scene, &["-o", "json"]).await;
    let path = folder.join(format!("{}.json", scene.database.name));
    fs::write(&path, &output.stdout).expect("writes the report");
    path
}

/// A saved report.
pub fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("the report")).expect("JSON")
}

/// A schema of sixty tables: three that nearly all refer to, chains, a cycle, and some that stand alone.
pub async fn scene_of_sixty() -> Scene {
    let mut sql = String::from("CREATE TABLE clinics (id uuid PRIMARY KEY, name text);\n");
    for at in 1..60_usize {
        let mut columns = vec!["id uuid PRIMARY KEY".to_owned(), "note text".to_owned()];
        if at < 54 {
            columns.push("clinic_id uuid REFERENCES clinics".to_owned());
        }
        if at > 3 && at < 54 {
            columns.push(format!("parent_id uuid REFERENCES table_{:02}", at / 3));
        }
        if at % 4 == 0 && at > 8 && at < 54 {
            columns.push(format!("other_id uuid REFERENCES table_{:02}", at - 5));
        }
        sql.push_str(&format!("CREATE TABLE table_{at:02} ({});\n", columns.join(", ")));
    }
    sql.push_str("ALTER TABLE table_01 ADD COLUMN last_id uuid REFERENCES table_40;\n");
    let scene = Scene::new("sixty", &[("1_tables", &sql)])
        .await
        .with("verify", "{indexes: {foreignKeys: {level: Off}}}");
    scene.ready().await;
    scene
}

fn report(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.arg("report").args(arguments).stdin(Stdio::null()).output().expect("sluice starts")
}

fn findings(output: &Output) -> Vec<(String, String)> {
    let value: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)));
    let text = |finding: &Value, key: &str| {
        finding[key].as_str().unwrap_or_else(|| panic!("no {key}: {finding}")).to_owned()
    };
    let all = value["findings"].as_array().expect("findings").iter();
    all.inspect(|finding| {
        for key in ["severity", "message", "remedy"] {
            assert!(!text(finding, key).is_empty());
        }
    })
    .map(|finding| (text(finding, "check"), text(finding, "object")))
    .collect()
}

#[tokio::test]
async fn verify_ends_with_0_when_clean_1_when_broken_and_0_when_repaired_and_changes_nothing() {
    let scene =
        Scene::new("verify_verb", &[TABLES]).await.with("verify", "{indexes: {foreignKeys: {level: Error}}}");
    scene.ready().await;
    let (catalog, history_table) = (scene.catalog().await, scene.history_table().await);
    let clean = verify(&scene, &["-o", "json"]).await;
    assert_eq!((clean.status.code(), findings(&clean)), (Some(0), Vec::new()), "{}", said(&clean));

    scene.database.execute("DROP INDEX visits_patient_idx").await;
    let broken = verify(&scene, &["-o", "json"]).await;
    let expected = vec![("foreign-key-indexed".to_owned(), "public.visits".to_owned())];
    assert_eq!((broken.status.code(), findings(&broken)), (Some(1), expected), "{}", said(&broken));
    let again = verify(&scene, &["-o", "json"]).await;
    let without_moment = |output: &Output| -> Value {
        let mut value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        value["at"] = Value::Null;
        value
    };
    assert_eq!(without_moment(&broken), without_moment(&again), "the same database gives the same report");

    scene.database.execute("CREATE INDEX visits_patient_idx ON visits (patient)").await;
    let repaired = verify(&scene, &[]).await;
    assert_eq!(repaired.status.code(), Some(0), "{}", said(&repaired));
    assert!(
        said(&repaired).contains("✓ medical/records passed") && !said(&repaired).contains('\u{1b}'),
        "{}",
        said(&repaired)
    );
    assert_eq!((scene.catalog().await, scene.history_table().await), (catalog, history_table));
}

#[tokio::test]
async fn what_is_pending_is_named_and_stays_pending() {
    let scene = Scene::new("verify_pending", &[TABLES]).await;
    scene.ready().await;
    scene.write("2_more", "CREATE TABLE more ()");
    let output = verify(&scene, &["-o", "json"]).await;
    assert_eq!(
        (output.status.code(), findings(&output)),
        (Some(1), vec![("history-equals-source".to_owned(), "2_more".to_owned())])
    );
    assert_eq!(scene.history_table().await, ["1_tables applied"]);
    assert_eq!(scene.value("SELECT to_regclass('more')::text").await, "");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_a_finding_and_never_a_pass_and_no_password_shows() {
    let scene = Scene::new("verify_nowhere", &[TABLES]).await;
    for form in FORMS {
        let mut command = scene.command("verify");
        command.env("DATABASE_URL", "postgres://app:s3cret-word@127.0.0.1:9/records").args(["-o", form]);
        let output = finish(command).await;
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(!said(&output).contains("s3cret-word"), "{}", said(&output));
        assert!(said(&output).contains("ConnectionFailed"), "{form}: {}", said(&output));
        if form == "json" {
            assert_eq!(findings(&output), [("verification".to_owned(), "127.0.0.1:9/records".to_owned())]);
            let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let verdicts: Vec<&Value> =
                value["checks"].as_array().expect("checks").iter().map(|check| &check["verdict"]).collect();
            assert!(
                !verdicts.iter().any(|verdict| **verdict == "passed" || **verdict == "warned"),
                "{verdicts:?}"
            );
        }
    }
}

#[tokio::test]
async fn arguments_and_files_that_cannot_be_used_end_with_2() {
    let scene = Scene::new("verify_usage", &[TABLES]).await;
    assert_eq!(verify(&scene, &["-o", "pdf"]).await.status.code(), Some(2));
    let nowhere = scene.with("verify", "{indexs: {}}");
    assert_eq!(verify(&nowhere, &[]).await.status.code(), Some(2));
    let manifest = nowhere.folder.path().join("manifest.yaml");
    for (arguments, part) in [
        (&["--from", "/nowhere.json"][..], "cannot read"),
        (&["--from", &manifest.to_string_lossy()], "is no report"),
        (&[], "--from"),
    ] {
        let output = report(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(said(&output).contains(part), "{}", said(&output));
    }
}

#[tokio::test]
async fn a_saved_report_prints_in_every_form_and_several_stand_side_by_side() {
    let folder = tempfile::tempdir().expect("a folder");
    let strict = "{indexes: {foreignKeys: {level: Error}}}";
    let (clean, broken) =
        (Scene::new("report_clean", &[TABLES]).await, Scene::new("report_broken", &[TABLES]).await);
    let (clean, broken) = (clean.with("verify", strict), broken.with("verify", strict));
    for scene in [&clean, &broken] {
        scene.ready().await;
    }
    broken.database.execute("DROP INDEX visits_patient_idx").await;
    let (clean, broken) =
        (verify_into(&clean, folder.path()).await, verify_into(&broken, folder.path()).await);
    let (clean, broken) = (clean.to_string_lossy(), broken.to_string_lossy());
    for form in FORMS {
        let one = report(&["--from", &clean, "-o", form]);
        assert_eq!(one.status.code(), Some(0), "{}", said(&one));
        assert!(said(&one).contains("records"), "{form}");
        let both = report(&["--from", &clean, "--from", &broken, "-o", form]);
        assert_eq!(both.status.code(), Some(1), "{}", said(&both));
        assert!(said(&both).contains("foreign-key-indexed"), "{form}: {}", said(&both));
    }
    let same = report(&["--from", &broken, "-o", "json"]);
    assert_eq!(same.stdout, fs::read(&*broken).expect("the report"), "read and printed again it is the same");
    let both = report(&["--from", &clean, "--from", &broken, "-o", "json"]);
    let value: Value = serde_json::from_slice(&both.stdout).expect("JSON");
    let verdicts: Vec<&Value> =
        value["services"].as_array().expect("services").iter().map(|service| &service["verdict"]).collect();
    assert_eq!(verdicts, ["passed", "failed"]);
    assert_eq!((&value["verdict"], &value["total"]["errors"]), (&"failed".into(), &1.into()));
}

#[tokio::test]
async fn a_terminal_gets_colours_unless_somebody_wants_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = Scene::new("report_colours", &[TABLES]).await;
    scene.ready().await;
    let saved = verify_into(&scene, folder.path()).await;
    // `script` gives the process a terminal.
    let in_terminal = |variable: (&str, &str)| {
        let line = format!("'{}' report --from '{}'", env!("CARGO_BIN_EXE_sluice"), saved.display());
        let mut command = Command::new("script");
        command
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("TERM", "xterm")
            .env_remove("NO_COLOR");
        let output =
            command.env(variable.0, variable.1).stdin(Stdio::null()).output().expect("script starts");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        said(&output)
    };
    assert!(in_terminal(("NO_COLOR", "")).contains("\u{1b}[32m✓"), "an empty NO_COLOR means nothing");
    assert!(!in_terminal(("NO_COLOR", "1")).contains('\u{1b}'));
    assert!(!in_terminal(("TERM", "dumb")).contains('\u{1b}'));
}
