//! A panic leaves a verdict and no core file. The panic is a real one, in the snapshot stage, by a server
//! that answers something else.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    thread,
};

use sluice::{
    api::{DatabaseMigration, Reason},
    contract::{HistorySummary, Outcome, Stage, Verdict},
};

use crate::stage_scene::{Scene, finish};

/// Lets every client in, and answers every query with one number, whatever it was.
fn server_that_answers_something_else() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let message = |kind: u8, body: &[u8]| {
        [&[kind, 0, 0, 0, u8::try_from(body.len() + 4).expect("short")], body].concat()
    };
    let column = b"\0\x01c\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x01";
    let ready = message(b'Z', b"I");
    let known = [message(b'R', &[0; 4]), message(b'K', &[7; 8]), ready.clone()].concat();
    let prepared =
        [message(b'1', b""), message(b't', b"\0\0"), message(b'T', column), ready.clone()].concat();
    let row = [
        message(b'2', b""),
        message(b'D', b"\0\x01\0\0\0\x04\0\0\0\x07"),
        message(b'C', b"SELECT 1\0"),
        ready,
    ]
    .concat();
    let answer = [prepared, row].concat();
    let set = [message(b'C', b"SET\0"), message(b'Z', b"I")].concat();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut said = [0; 4096];
            // The first query after the log-in is a setting, and has no rows.
            let mut answers = [&known, &set].into_iter().chain(std::iter::repeat(&answer));
            while stream.read(&mut said).is_ok_and(|read| read > 0)
                && answers.next().is_some_and(|answer| stream.write_all(answer).is_ok())
            {}
        }
    });
    port
}

#[tokio::test]
async fn a_panic_leaves_an_outcome_for_the_controller_and_for_the_next_stage() {
    let scene = Scene::new("panics", &[("1_first", "SELECT 1;")])
        .await
        .with("snapshot", "{dump: {volumeClaim: records}}");
    let object: DatabaseMigration = serde_saphyr::from_str(&scene.manifest()).expect("the manifest reads");
    let mut spec = serde_json::to_value(&object).expect("is JSON");
    spec["apiVersion"] = "sluice.dev/v1alpha1".into();
    spec["kind"] = "DatabaseMigration".into();
    let folder = tempfile::tempdir().expect("a folder");
    // An older one would not be started with a password and without TLS.
    let tool = folder.path().join("pg_dump");
    fs::write(&tool, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 18.1'\n").expect("writes a script");
    fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("makes it executable");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").expect("a PATH"));
    let url = format!(
        "postgres://app:hunter-of-s3crets@127.0.0.1:{}/records?sslmode=disable",
        server_that_answers_something_else()
    );
    let history = HistorySummary { pending_count: 1, server_major: 15, ..HistorySummary::default() };
    let plan = Outcome {
        history: Some(history),
        ..Outcome::passed(Stage::Plan, Reason::PlanReady, "one is pending")
    };
    fs::write(folder.path().join("plan.json"), serde_json::to_vec(&plan).expect("is JSON"))
        .expect("the plan's outcome");
    let mut told = Vec::new();
    for stage in [Stage::Snapshot, Stage::Migrate] {
        let message = folder.path().join("message");
        let mut command = Command::new("sh");
        // As on a machine that writes core files into the working directory.
        command.args([
            "-c",
            "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_sluice"),
            "stage",
            stage.name(),
        ]);
        command
            .arg("--snapshots")
            .arg(folder.path().join("snapshots"))
            .arg("--run")
            .arg(folder.path())
            .arg("--source")
            .arg(scene.source())
            .arg("--termination-log")
            .arg(&message);
        command
            .current_dir(folder.path())
            .env("SLUICE_SPEC", spec.to_string())
            .env("DATABASE_URL", &url)
            .env("PATH", &path);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = finish(command).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.status.core_dumped()), (Some(1), false), "{said}");
        assert!(!said.contains("hunter"), "{said}");
        let message = fs::read_to_string(&message).expect("a termination message");
        told.push(Outcome::from_message(&message).unwrap_or_else(|| panic!("{message:?}, {said}")));
    }
    let short: Vec<_> = told.iter().map(|outcome| (outcome.stage, outcome.verdict, outcome.reason)).collect();
    assert_eq!(
        short,
        [
            (Stage::Snapshot, Verdict::Failed, Reason::InternalError),
            (Stage::Migrate, Verdict::NotReached, Reason::InternalError),
        ],
        "{}",
        told[0].message
    );
    assert!(
        told[0].message.contains("please report it") && told[0].message.contains(".rs:"),
        "{}",
        told[0].message
    );
    let core = fs::read_dir(folder.path())
        .expect("lists")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    assert_eq!(core.filter(|name| name.starts_with("core")).count(), 0);
}

#[tokio::test]
async fn no_other_process_of_the_same_user_reads_the_environment_of_one_that_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url =
        format!("postgres://app:hunter-of-s3crets@{}/records", listener.local_addr().expect("an address"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["wait", "--require", "x", "--timeout", "30s"])
        .env("DATABASE_URL", url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    // It has begun once it connects.
    let connected = listener.accept().is_ok();
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap_or_default();
    let dumpable = std::os::unix::fs::MetadataExt::uid(
        &fs::metadata(format!("/proc/{}/environ", child.id())).expect("it lives"),
    );
    child.kill().expect("is ended");
    child.wait().expect("has ended");
    assert!(connected);
    let core =
        limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default().to_owned();
    assert!(core.split_whitespace().filter(|word| *word == "0").count() == 2, "{core:?}");
    // A process that is not dumpable belongs to root in /proc; the tests may run as root themselves.
    assert_eq!(dumpable, 0);
}
