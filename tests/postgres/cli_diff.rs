//! `sluice diff`: what new migrations do, for those who review them, by a database or by Git alone.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::stage_scene::{Scene, finish, said};

const TABLE: (&str, &str) = ("1_init", "CREATE TABLE patients (id int PRIMARY KEY, name text, born text);");
const CHANGE: (&str, &str) = (
    "2_change",
    "CREATE TABLE visits (id int PRIMARY KEY);\n\
     ALTER TABLE patients ALTER COLUMN born TYPE date USING born::date;\n\
     ALTER TABLE patients DROP COLUMN name;\n\
     INSERT INTO visits VALUES (424242);",
);

async fn scene(test: &str, files: &[(&str, &str)]) -> Scene {
    let scene = Scene::new(test, files).await;
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    scene
}

async fn told(scene: &Scene, arguments: &[&str]) -> (i32, String) {
    let mut command = scene.command("diff");
    command.args(arguments);
    let output = finish(command).await;
    (output.status.code().unwrap_or(-1), said(&output))
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.args(["-c", "user.email=team@example.org", "-c", "user.name=team"]).arg("-C").arg(folder);
    let output = git.args(arguments).output().expect("git");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn commit(scene: &Scene) {
    let folder = scene.source();
    git(&folder, &["init", "-q"]);
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-qm", "first"]);
}

#[tokio::test]
async fn what_is_pending_is_told_as_changes_of_the_schema_with_locks_and_objections_and_changes_nothing() {
    let scene = scene("diff_pending", &[TABLE]).await;
    scene.ready().await;
    scene.write(CHANGE.0, CHANGE.1);
    let before = (scene.catalog().await, scene.history_table().await);
    let (code, text) = told(&scene, &[]).await;
    assert_eq!((scene.catalog().await, scene.history_table().await), before);
    let expected = [
        "+ table public.visits\n",
        "~ column public.patients.born\n    type\n      - text\n      + date\n",
        "- column public.patients.name\n",
        "public.patients ACCESS EXCLUSIVE",
        "warning[ban-drop-column]",
        "1 migration(s): 1 object(s) added, 1 changed, 1 removed: Destructive, ",
    ];
    for part in expected {
        assert!(code == 0 && text.contains(part), "{code}: {part}\n{text}");
    }
    assert!(!text.contains("424242") && !text.contains("public.visits.id"), "{text}");
}

/// Git says what is new, and the database beside which it is tried has no history at all.
#[tokio::test]
async fn an_empty_database_is_enough_where_git_says_what_is_new() {
    let scene = scene("diff_since", &[TABLE]).await;
    commit(&scene);
    scene.write(CHANGE.0, CHANGE.1);
    let before = scene.catalog().await;
    let (code, text) = told(&scene, &["--since", "HEAD", "-o", "json"]).await;
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!((code, &document["migrations"]), (0, &serde_json::json!(["2_change"])), "{text}");
    let changes = document["rehearsal"]["changes"].as_array().expect("an array");
    let changes: Vec<String> =
        changes.iter().map(|change| format!("{} {}", change["change"], change["name"])).collect();
    let expected = [
        "\"added\" \"public.visits\"",
        "\"changed\" \"public.patients.born\"",
        "\"removed\" \"public.patients.name\"",
    ];
    assert_eq!(changes, expected, "{text}");
    assert_eq!(document["class"], "Destructive");
    assert!(document["objections"].as_array().is_some_and(|list| !list.is_empty()), "{text}");
    assert_eq!(scene.catalog().await, before, "the database beside is as it was");
}

#[tokio::test]
async fn a_comment_for_a_pull_request_has_the_schema_as_a_diff_and_nothing_that_ends_it() {
    let scene = scene("diff_markdown", &[TABLE]).await;
    commit(&scene);
    scene.write("2_odd", "CREATE TABLE \"a```b\" (id int); ALTER TABLE patients ADD COLUMN seen int;");
    let (code, text) = told(&scene, &["--since", "HEAD", "-o", "markdown"]).await;
    assert_eq!((code, text.matches("```").count()), (0, 2), "{text}");
    for part in [
        "### Migrations: 1 migration(s)",
        "```diff\n",
        "\n+ column public.patients.seen\n",
        "ACCESS EXCLUSIVE",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[tokio::test]
async fn a_statement_that_fails_is_an_objection_to_its_line_in_every_form() {
    let scene = scene("diff_fails", &[TABLE]).await;
    commit(&scene);
    scene.write("2_wrong", "SELECT 1;\nALTER TABLE patient ADD COLUMN seen int;");
    let forms = [
        ("text", "--> 2_wrong/migration.sql:2:1"),
        ("github", "/2_wrong/migration.sql,line=2,"),
        ("sarif", "\"startLine\": 2"),
        ("junit", "relation &quot;patient&quot; does not exist"),
        ("markdown", "relation \"patient\" does not exist"),
        ("json", "relation \\\"patient\\\" does not exist"),
    ];
    for (form, part) in forms {
        let (code, text) = told(&scene, &["--since", "HEAD", "-o", form]).await;
        assert!(code == 1 && text.contains(part), "{form}, {code}: {part}\n{text}");
    }
}

#[tokio::test]
async fn a_file_that_was_there_with_another_text_or_is_gone_is_named_and_a_reason_waives_it() {
    let scene = scene("diff_edited", &[TABLE, ("2_index", "CREATE INDEX i ON patients (name);")]).await;
    commit(&scene);
    let (code, text) = told(&scene, &["--since", "HEAD"]).await;
    assert!(code == 0 && text.contains("nothing to rehearse"), "{text}");

    let edited = "CREATE INDEX i ON patients (born);";
    scene.write("2_index", edited);
    let (code, text) = told(&scene, &["--since", "HEAD"]).await;
    assert!(
        code == 1 && text.contains("error[edited-migration]: HEAD has this migration with another text"),
        "{text}"
    );
    scene.write(
        "2_index",
        &format!("-- sluice: allow edited-migration reason=\"was applied nowhere\"\n{edited}"),
    );
    let (code, text) = told(&scene, &["--since", "HEAD"]).await;
    assert!(code == 0 && !text.contains("edited-migration]"), "{code} {text}");

    scene.remove("2_index");
    let (code, text) = told(&scene, &["--since", "HEAD"]).await;
    assert!(
        code == 1 && text.contains("edited-migration") && text.contains("2_index/migration.sql"),
        "{code} {text}"
    );
}
