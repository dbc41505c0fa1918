//! What a person at a terminal sees of `sluice run` and `plan`: a failure once and with its place, exit codes
//! that scripts can act upon, what would be executed, and what an interruption left.

use std::{process::Output, time::Duration};

use crate::{
    server::execute,
    stage_scene::{Scene, finish, said, session, until},
};

const TABLE: (&str, &str) = ("1_init", "CREATE TABLE patients (id int PRIMARY KEY, name text);");
const COLUMN: (&str, &str) = ("2_column", "ALTER TABLE patients ADD COLUMN born date;");

/// Whether the statement runs that takes long.
const RUNS: &str = "SELECT (count(*) > 0)::text FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
    AND state = 'active' AND query LIKE '%pg_sleep(600)%'";

async fn told(scene: &Scene, verb: &str, arguments: &[&str]) -> Output {
    let mut command = scene.command(verb);
    command.args(arguments);
    finish(command).await
}

#[tokio::test]
async fn a_failure_is_said_once_with_its_place_and_without_what_could_be_about_a_person() {
    let scene = Scene::new("terminal_failure", &[TABLE]).await;
    scene.ready().await;
    scene.write(
        "2_wrong",
        "-- the second\nSELECT 1;\n  UPDATE patients SET nmae = 'Jane Doe' WHERE id = 12345;\n",
    );
    let output = told(&scene, "run", &[]).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.matches("\"nmae\"").count(), 1, "{text}");
    let excerpt = [
        "error[MigrationFailed]: column \"nmae\" of relation \"patients\" does not exist (SQLSTATE 42703)",
        "2_wrong/migration.sql:3:23",
        "3 |   UPDATE patients SET nmae = '···· ···' WHERE id = ·····;",
        "  |                       ^^^^",
        "note: its transaction was rolled back and nothing of it is left",
    ];
    for line in excerpt {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("Jane") && !text.contains("12345"), "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("Stalled") && line.ends_with("correct it, then run it again"))
    );
}

#[tokio::test]
async fn what_may_pass_by_itself_has_an_exit_code_of_its_own_and_is_run_again_on_demand() {
    let scene =
        Scene::new("terminal_transient", &[TABLE]).await.with("apply", "{lockTimeout: 50ms, deadline: 10s}");
    scene.ready().await;
    scene.write(COLUMN.0, COLUMN.1);
    let mut reader = session(&scene.database.url, "a-reader", "BEGIN; TABLE patients").await;
    let output = told(&scene, "run", &[]).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(75), "{text}");
    assert!(text.contains("a-reader") && !text.contains("Sluice retries"), "{text}");

    let (waiting, freed) = tokio::join!(told(&scene, "run", &["--wait", "5m"]), async {
        until("the run to have begun", || async { scene.sessions().await != "0" }).await;
        until("the run to have failed and to wait", || async { scene.sessions().await == "0" }).await;
        execute(&mut reader, "COMMIT").await;
    });
    let (text, ()) = (said(&waiting), freed);
    assert_eq!(waiting.status.code(), Some(0), "{text}");
    assert_eq!(scene.history_table().await, ["1_init applied", "2_column applied"], "{text}");
}

#[tokio::test]
async fn plan_shows_on_demand_what_would_be_executed_and_changes_nothing() {
    let scene = Scene::new("terminal_sql", &[TABLE]).await;
    scene.ready().await;
    scene.write(COLUMN.0, COLUMN.1);
    scene.write("3_index", "CREATE INDEX CONCURRENTLY patients_name ON patients (name);");
    let (plain, written) = (told(&scene, "plan", &[]).await, told(&scene, "plan", &["--sql"]).await);
    let (plain, text) = (said(&plain), said(&written));
    assert!(!plain.contains("ADD COLUMN"), "{plain}");
    let expected = [
        "BEGIN;\n-- 2_column\n-- ACCESS EXCLUSIVE on \"patients\": readers and writers wait until COMMIT\nALTER TABLE",
        "3_index, step 1 of 1: outside of a transaction\n-- SHARE UPDATE EXCLUSIVE",
    ];
    for part in expected {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert_eq!(scene.history_table().await, ["1_init applied"]);
}

#[tokio::test]
async fn an_interrupted_run_says_what_the_database_has() {
    let scene = Scene::new("terminal_interrupted", &[TABLE]).await;
    scene.ready().await;
    scene.write("2_slow", "ALTER TABLE patients ADD COLUMN born date; SELECT pg_sleep(600);");
    let mut command = scene.command("run");
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = tokio::process::Command::from(command).spawn().expect("starts");
    let pid = child.id().expect("a process").to_string();
    until("the statement to run", || async { scene.value(RUNS).await == "true" }).await;
    let killed = std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill");
    assert!(killed.success());
    let ended = tokio::time::timeout(Duration::from_mins(1), child.wait_with_output()).await;
    let output = ended.expect("it ends").expect("its output");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("the database says now: 1 pending: 2_slow"), "{text}");
    assert_eq!(scene.history_table().await, ["1_init applied"], "{text}");
}
