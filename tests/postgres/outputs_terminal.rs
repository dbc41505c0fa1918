//! What would steer a terminal is shown instead of obeyed, whatever it comes from: names in the database,
//! names of files, messages of the server, arguments.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use crate::{
    server::execute,
    stage_scene::{Scene, finish},
};

/// Clears the screen, rings, goes back to the beginning of the line, turns the direction, hides.
const STEERS: &str = "\u{1b}[2J\u{7}\u{202e}\u{2066}\u{200b}\u{9b}";

fn judge(what: &str, output: &Output) {
    for (stream, bytes) in [("standard output", &output.stdout), ("standard error", &output.stderr)] {
        let text =
            String::from_utf8(bytes.clone()).unwrap_or_else(|error| panic!("{what}, {stream}: {error}"));
        let bad = text.chars().find(|c| {
            *c != '\n'
                && (c.is_control() || STEERS.chars().any(|steers| steers == *c && !c.is_ascii_graphic()))
        });
        assert_eq!(bad, None, "{what}, {stream}: {text:?}");
    }
}

fn sluice(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A migration whose name and text steer, and a database that is full of such names.
async fn scene(test: &str) -> Scene {
    let scene = Scene::new(test, &[("1_first", "CREATE TABLE t (x int);")]).await;
    let hostile = format!(
        "CREATE TABLE \"{STEERS}\" (\"{STEERS}\r\" int REFERENCES t2 (x)); COMMENT ON TABLE t2 IS 'x'"
    );
    execute(&mut scene.database.connect().await, &format!("CREATE TABLE t2 (x int PRIMARY KEY); {hostile}"))
        .await;
    execute(
        &mut scene.database.connect().await,
        &format!("ALTER TABLE t2 OWNER TO {0}; ALTER TABLE \"{STEERS}\" OWNER TO {0}", scene.role),
    )
    .await;
    scene.write(&format!("2_{STEERS}"), "SELECT 1;");
    scene
}

#[tokio::test]
async fn no_verb_lets_a_control_character_through() {
    let scene = scene("steers")
        .await
        .with("migrations", "{configMaps: [records], baseline: {throughMigration: 1_first}}");
    let scene = scene.with("migrations", "{configMaps: [records]}");
    execute(&mut scene.database.connect().await, &format!("DROP TABLE \"{STEERS}\", t2")).await;
    scene.write(
        "3_names",
        &format!("CREATE TABLE \"{STEERS}\" (id int PRIMARY KEY, other int REFERENCES \"{STEERS}\");"),
    );
    for verb in ["plan", "run", "verify"] {
        for form in ["text", "json"] {
            let mut command = scene.command(verb);
            command.args(["-o", form]).env("RUST_LOG", "info");
            judge(&format!("{verb} -o {form}"), &finish(command).await);
        }
    }
    for form in ["junit", "markdown", "html"] {
        let mut command = scene.command("verify");
        command.args(["-o", form]);
        judge(&format!("verify -o {form}"), &finish(command).await);
    }
    scene.write("4_bad", &format!("CREATE TABLE \"{STEERS}\" ();"));
    judge("run that fails", &finish(scene.command("run")).await);
    judge("lint", &finish(sluice(&["lint", &scene.source().display().to_string()])).await);
    let folder = scene.folder.path().join(STEERS);
    fs::create_dir(&folder).expect("a folder");
    judge("lint of a folder", &finish(sluice(&["lint", &folder.display().to_string()])).await);
}

#[tokio::test]
async fn what_a_report_or_a_manifest_holds_is_shown() {
    let scene = Scene::new("steers_files", &[("1_first", "CREATE TABLE t (x int);")]).await;
    let saved = scene.folder.path().join("report.json");
    let mut verify = scene.command("verify");
    verify.args(["-o", "json"]);
    let report = String::from_utf8(finish(verify).await.stdout).expect("UTF-8");
    let mut value: serde_json::Value = serde_json::from_str(&report).expect("a report");
    value["message"] = STEERS.into();
    value["name"] = STEERS.into();
    fs::write(&saved, value.to_string()).expect("writes");
    for form in ["text", "json", "junit", "markdown", "html"] {
        judge(
            &format!("report -o {form}"),
            &finish(sluice(&["report", "--from", &saved.display().to_string(), "-o", form])).await,
        );
    }
    let manifest = scene.folder.path().join("hostile.yaml");
    let text = scene.manifest().replace("a database of a test", &format!("\"x\\e[2J\\a\\u202E{}\"", ""));
    fs::write(&manifest, text).expect("writes");
    for form in ["text", "yaml", "json"] {
        judge(
            &format!("policy show -o {form}"),
            &finish(sluice(&["policy", "show", "-f", &manifest.display().to_string(), "-o", form])).await,
        );
    }
}

#[tokio::test]
async fn arguments_and_what_a_server_cannot_be_reached_with_are_shown() {
    for arguments in [
        vec!["lint", STEERS],
        vec![STEERS],
        vec!["run", "--file", STEERS],
        vec!["report", "--from", STEERS],
        vec!["wait", "--require", STEERS, "--timeout", "1s", "--database-url", "postgres://u@127.0.0.1:1/d"],
        vec![
            "wait",
            "--require",
            "x",
            "--timeout",
            "1s",
            "--database-url",
            "postgres://u@h%1b%5B2J/d%1b%5B2J",
        ],
    ] {
        let output = finish(sluice(&arguments)).await;
        assert!(!output.status.success(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
        judge(&format!("{arguments:?}"), &output);
    }
}
