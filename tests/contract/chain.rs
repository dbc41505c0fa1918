//! The chain of a Pod's stages as processes, where no database is needed to see how it ends.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;

fn stage(stage: &str, folder: &Path, spec: Option<&str>) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command
        .args(["stage", stage, "--run"])
        .arg(folder)
        .arg("--termination-log")
        .arg(folder.join(format!("{stage}.message")));
    command
        .env("DATABASE_URL", "postgres://127.0.0.1:1/none")
        .env_remove("SLUICE_SPEC")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.envs(spec.map(|spec| ("SLUICE_SPEC", spec))).spawn().expect("the binary starts")
}

/// Waits for a process without the patience of a deadline.
fn end(child: &mut Child, patience: Duration) -> Option<i32> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().expect("asks") {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    panic!("it still waits after {patience:?}");
}

#[test]
fn a_stage_whose_environment_is_unreadable_ends_those_behind_it_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let spec = json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "records", "namespace": "medical"},
        "spec": {"database": {"secretRef": {"name": "db"}}, "migrations": {"configMaps": ["m"]}, "snapshot": {"none": {"reason": "a database of a test"}},
            "apply": {"deadline": "1h"}},
    });
    let mut snapshot = stage("snapshot", folder.path(), Some(&spec.to_string()));
    let mut plan = stage("plan", folder.path(), None);
    assert_eq!(end(&mut plan, Duration::from_mins(1)), Some(2));
    assert_eq!(end(&mut snapshot, Duration::from_mins(1)), Some(1));
    let message = std::fs::read_to_string(folder.path().join("snapshot.message")).expect("a message");
    assert!(
        message.contains("RunLost") && message.contains("the stage plan ended without a result"),
        "{message}"
    );
}
