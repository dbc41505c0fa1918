//! What the binary prints into: a reader that goes away, as `head` does, or a disk that is full. Neither may
//! stop a migration.

use std::{
    fs::{self, File},
    io,
    process::{Command, Output, Stdio},
};

use crate::stage_scene::{Scene, finish, said};

const MIGRATIONS: [(&str, &str); 2] =
    [("1_init", "CREATE TABLE t (x int);"), ("2_index", "CREATE INDEX CONCURRENTLY i ON t (x); SELECT 1;")];

/// The end of a pipe that no process reads any more: the first write fails.
fn closed() -> Stdio {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

async fn with_nobody_reading(mut command: Command) -> Output {
    command.stdout(closed());
    finish(command).await
}

fn quiet(output: &Output, code: i32, verb: &str) {
    assert_eq!((said(output).as_str(), output.status.code()), ("", Some(code)), "{verb}");
}

fn sluice(verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.arg(verb).stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let scene = Scene::new("nobody_reads", &MIGRATIONS).await;
    quiet(&with_nobody_reading(sluice("crds")).await, 0, "crds");
    let mut lint = sluice("lint");
    lint.arg(scene.source());
    quiet(&with_nobody_reading(lint).await, 0, "lint");
    quiet(&with_nobody_reading(scene.command("plan")).await, 0, "plan");
    let mut json = scene.command("plan");
    json.args(["-o", "json"]);
    quiet(&with_nobody_reading(json).await, 0, "plan -o json");
}

#[tokio::test]
async fn a_run_that_nobody_reads_goes_on_to_its_end() {
    let scene = Scene::new("unread_run", &MIGRATIONS).await;
    quiet(&with_nobody_reading(scene.command("run")).await, 0, "run");
    assert_eq!(scene.history_table().await, ["1_init applied", "2_index applied"]);
    scene.write("3_wrong", "SELECT missing;");
    quiet(&with_nobody_reading(scene.command("run")).await, 1, "run that fails");
    assert_eq!(scene.history_table().await.len(), 2);
}

#[tokio::test]
async fn an_error_that_nobody_reads_keeps_its_exit_code() {
    let mut command = sluice("lint");
    command.arg("/nowhere").stdout(closed()).stderr(closed());
    assert_eq!(finish(command).await.status.code(), Some(2));
}

#[tokio::test]
async fn a_disk_that_is_full_is_said_after_the_migration_ran() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("Linux has it"));
    let mut crds = sluice("crds");
    crds.stdout(full());
    let output = finish(crds).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).starts_with("sluice: cannot write the output: "), "{}", said(&output));

    let scene = Scene::new("full_disk", &MIGRATIONS).await;
    let mut run = scene.command("run");
    run.stdout(full());
    let output = finish(run).await;
    assert_eq!((output.status.code(), scene.history_table().await.len()), (Some(2), 2), "{}", said(&output));
}

#[tokio::test]
async fn what_is_read_to_the_end_is_whole() {
    let mut command = sluice("crds");
    command.stdout(Stdio::piped());
    let output = finish(command).await;
    assert!(output.status.success());
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
    let text = String::from_utf8(output.stdout).expect("is UTF-8");
    for entry in fs::read_dir(folder)
        .expect("lists")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
    {
        assert!(
            text.contains(&fs::read_to_string(&entry).expect("reads")),
            "{} is not in the output",
            entry.display()
        );
    }
}
