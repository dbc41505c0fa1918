//! `before.window` on a cluster: a run waits for its window and says until when; it begins when an edit opens it.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::story::{Story, find, kubectl};

const FIRST: (&str, &str) = ("20260101000000_first", "CREATE TABLE visits (id int);");

/// Opens for two minutes a day, this long from now.
fn window(from_now: SignedDuration) -> Value {
    let opens = Timestamp::now().saturating_add(from_now).expect("a moment").in_tz("UTC").expect("a zone");
    let schedule = format!("{} {} * * *", opens.minute(), opens.hour());
    json!({"schedule": schedule, "duration": "2m", "timeZone": "Etc/UTC"})
}

#[tokio::test]
async fn a_run_waits_for_its_window_and_begins_when_an_edit_opens_it() {
    let story = Story::begin("windows").await;
    story.everything(&[FIRST], json!({"before": {"window": window(SignedDuration::from_hours(12))}})).await;
    let message = story.until("Cleared", "False", "WindowClosed").await;
    let object = story.object("records").await;
    let gates = object.status.as_ref().map(|status| status.gates.clone()).unwrap_or_default();
    let opens = gates.first().and_then(|gate| gate.eligible_at.clone()).expect("it says when it opens").0;
    let shown = kubectl(&["-n", &story.namespace, "get", "dbm", "records", "-o", "wide"]);
    let local = opens.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    assert!(message.contains("spec.before.window") && message.contains(&local), "{message}\n{shown}");
    let left = opens.duration_since(Timestamp::now());
    assert!(
        left > SignedDuration::from_hours(11) && left <= SignedDuration::from_hours(12),
        "{opens}\n{shown}"
    );
    assert!(shown.contains("WindowClosed") && shown.contains("False"), "{shown}");
    assert_eq!(find(&object, "Ready").map(|ready| ready.message.clone()), Some(message), "{shown}");
    assert_eq!(story.jobs().await, [""; 0], "waiting costs no Pod\n{}", story.tell().await);

    // As docs/windows.md says of one that must not wait.
    let always = json!({"schedule": "* * * * *", "duration": "168h", "timeZone": "Etc/UTC"});
    story.change(json!({"before": {"window": always}})).await;
    let ready = story.ready_at(FIRST.0).await;
    let status = ready.status.expect("a status");
    assert_eq!((status.gates.len(), story.jobs().await.len()), (0, 1), "{}", story.tell().await);
    assert_eq!(story.number("SELECT count(*) FROM pg_class WHERE relname = 'visits'").await, 1);
}
