//! How far a run is, while it runs: from the port of its Pod to `kubectl get dbm`.

use serde_json::json;

use crate::story::{Story, kubectl};

const FIRST: (&str, &str) = ("20260101000000_first", "CREATE TABLE visits (id int);");
/// Long enough to be asked and shown, and each statement a message by itself.
const SLOW: (&str, &str) = (
    "20260102000000_slow",
    "-- sluice: no-transaction\nCREATE TABLE rooms (id int);\nSELECT pg_sleep(40);\nCREATE TABLE beds (id int);",
);

#[tokio::test]
async fn progress_is_seen_while_a_migration_runs() {
    let story = Story::begin("progress").await;
    story.everything(&[FIRST, SLOW], json!({})).await;
    let expected = format!("{} (2 of 2), statement 2 of 3", SLOW.0);
    story
        .wait("how far the run is to be shown", || async {
            let progress = story.object("records").await.status?.run?.progress?;
            (progress.summary == expected).then_some(())
        })
        .await;
    let shown = kubectl(&["-n", &story.namespace, "get", "dbm", "records"]);
    assert!(shown.contains("PROGRESS") && shown.contains(&expected), "{shown}");
    let run = story.ready_at(SLOW.0).await.status.and_then(|status| status.run).expect("a run");
    assert_eq!(run.progress, None, "nothing of it is left when the run has ended");
    assert!(run.record.is_some(), "and its record is kept");
}
