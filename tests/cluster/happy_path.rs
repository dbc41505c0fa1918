//! Nothing goes wrong: applied, snapshot, migrated, verified, gate open.

use serde_json::json;

use crate::story::{Story, find};

const FIRST: (&str, &str) =
    ("20260101000000_first", "CREATE TABLE patients (id int PRIMARY KEY, name text);");
const SECOND: (&str, &str) =
    ("20260102000000_second", "ALTER TABLE patients ADD COLUMN born date;\nCREATE INDEX ON patients (name);");

#[tokio::test]
async fn a_migration_is_planned_snapshotted_applied_and_verified_and_the_gate_opens() {
    let story = Story::begin("happy_path").await;
    story.everything(&[FIRST], json!({})).await;
    let object = story.ready_at(FIRST.0).await;

    for (kind, reason) in [
        ("Planned", "PlanReady"),
        ("Cleared", "Cleared"),
        ("SnapshotReady", "SnapshotTaken"),
        ("Applied", "Applied"),
        ("Verified", "Verified"),
    ] {
        let condition = find(&object, kind).unwrap_or_else(|| panic!("the condition {kind} is there"));
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str()),
            ("True", reason),
            "{kind}: {}",
            condition.message
        );
    }
    assert_eq!(find(&object, "Reconciling"), None);
    assert_eq!(story.gate().await, [format!("records@{}", FIRST.0)]);
    assert_eq!(
        story.number("SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NOT NULL").await,
        1
    );
    let status = object.status.expect("a status");
    assert_eq!(status.pending, Some(0));
    assert!(
        status
            .snapshot
            .is_some_and(|snapshot| snapshot.bytes > 0 && snapshot.reference.starts_with("snapshots:"))
    );

    story.migrations(&[FIRST, SECOND]).await;
    story.ready_at(SECOND.0).await;
    assert_eq!(story.gate().await.len(), 2, "older versions stay satisfied");
    assert_eq!(story.jobs().await.len(), 2);
}
