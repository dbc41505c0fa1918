//! No migration without a proven snapshot.

use std::{path::Path, process::Command};

use serde_json::json;

use crate::story::Story;

const FIRST: (&str, &str) =
    ("20260101000000_first", "CREATE TABLE patients (id int PRIMARY KEY, photo bytea);");
const SECOND: (&str, &str) = ("20260102000000_second", "CREATE TABLE visits (id int PRIMARY KEY);");

#[tokio::test]
async fn a_full_snapshot_volume_stops_the_run_before_anything_changes() {
    let story = Story::begin("volume_full").await;
    story.secret().await;
    story.claim("2Mi").await;
    story.migrations(&[FIRST]).await;
    story.migrate(json!({})).await;
    story.ready_at(FIRST.0).await;
    // Bytes that no compression makes smaller, more of them than the volume holds.
    story
        .execute(
            "INSERT INTO patients SELECT n, (SELECT string_agg(decode(md5(random()::text), 'hex'), '') \
        FROM generate_series(1, 2000 + n * 0)) FROM generate_series(1, 200) AS n",
        )
        .await;
    story.migrations(&[FIRST, SECOND]).await;
    let message = story.until("SnapshotReady", "False", "NoSpace").await;
    assert!(message.contains("snapshots"), "names the volume: {message}");
    assert_eq!(
        story.number("SELECT count(*) FROM pg_class WHERE relname = 'visits'").await,
        0,
        "no migration ran"
    );
    assert_eq!(story.number("SELECT count(*) FROM _prisma_migrations").await, 1);
    story.until("Stalled", "True", "NoSpace").await;
}

#[tokio::test]
async fn nothing_pending_takes_no_snapshot_and_a_waiver_shows_its_reason() {
    let story = Story::begin("waiver").await;
    story.secret().await;
    story.migrations(&[FIRST]).await;
    story.migrate(json!({"snapshot": {"dump": null, "none": {"reason": "a database of a test"}}})).await;
    story.ready_at(FIRST.0).await;
    let message = story.until("SnapshotReady", "True", "SnapshotWaived").await;
    assert!(message.contains("a database of a test"), "{message}");
    story.retry("1").await;
    story.until("SnapshotReady", "True", "SnapshotNotNeeded").await;
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; `make prerequisites` installs it"));
    assert!(output.status.success(), "{program} {arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn stage_image() -> String {
    std::env::var("SLUICE_STAGE_IMAGE").expect("SLUICE_STAGE_IMAGE: run this with `make test-cluster`")
}

/// The chart with another image for the snapshot stage.
fn install(image: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/local-cluster/install");
    let output =
        Command::new(script).env("SLUICE_STAGE_IMAGE", image).output().expect("the chart's script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The image of the snapshot stage with a `pg_dump` in front that loses the second half of what it wrote.
fn faulty_image() -> String {
    let image = stage_image();
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root/faulty");
    std::fs::create_dir_all(&root).expect("a folder");
    let (program, layer) = (root.join("pg_dump"), folder.path().join("layer.tar"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/faulty/pg_dump.c");
    let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    run(
        "musl-gcc",
        &["-static", "-Os", "-Wall", "-Wextra", "-Werror", "-o", &text(&program), &text(&source)],
    );
    run("tar", &["-C", &text(&folder.path().join("root")), "-cf", &text(&layer), "faulty"]);
    let faulty = "10.99.0.2:5000/sluice-stage:faulty";
    run(
        "crane",
        &["append", "--insecure", "--base", &image, "--new_layer", &text(&layer), "--new_tag", faulty],
    );
    run(
        "crane",
        &[
            "mutate",
            "--insecure",
            "--env",
            "PATH=/faulty:/usr/lib/postgresql/18/bin:/usr/bin",
            "--tag",
            faulty,
            faulty,
        ],
    );
    // As the chart takes it: repository, tag and digest.
    let digest =
        Command::new("crane").args(["digest", "--insecure", faulty]).output().expect("crane runs").stdout;
    format!("{faulty}@{}", String::from_utf8_lossy(&digest).trim())
}

#[tokio::test]
async fn a_truncated_dump_is_caught_and_no_migration_runs() {
    let story = Story::alone("truncated").await;
    story.secret().await;
    story.claim("1Gi").await;
    story.migrations(&[FIRST]).await;
    install(&faulty_image());
    story.migrate(json!({})).await;
    let message = story.until("SnapshotReady", "False", "SnapshotUnreadable").await;
    assert!(message.contains("read"), "{message}");
    assert_eq!(
        story.number("SELECT count(*) FROM pg_class WHERE relname = 'patients'").await,
        0,
        "no migration ran"
    );
    assert!(story.gate().await.is_empty());
    // With a client that works the next attempt goes through.
    install(&stage_image());
    story.retry("with a client that works").await;
    story.ready_at(FIRST.0).await;
}
