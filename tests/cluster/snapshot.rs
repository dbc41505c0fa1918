//! No migration without a proven snapshot.

use serde_json::json;

use crate::story::Story;

const FIRST: (&str, &str) = ("20260101000000_first", "CREATE TABLE patients (id int PRIMARY KEY, photo bytea);");
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
    story.execute("INSERT INTO patients SELECT n, (SELECT string_agg(decode(md5(random()::text), 'hex'), '') FROM generate_series(1, 2000 + n * 0)) FROM generate_series(1, 200) AS n").await;
    story.migrations(&[FIRST, SECOND]).await;
    let message = story.until("SnapshotReady", "False", "NoSpace").await;
    assert!(message.contains("snapshots"), "names the volume: {message}");
    assert_eq!(story.number("SELECT count(*) FROM pg_class WHERE relname = 'visits'").await, 0, "no migration ran");
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
