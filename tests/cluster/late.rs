//! What a run needs arrives later than the DatabaseMigration.

use serde_json::json;

use crate::story::Story;

const FIRST: (&str, &str) = ("20260101000000_first", "CREATE TABLE patients (id int PRIMARY KEY);");

#[tokio::test]
async fn a_secret_that_arrives_late_is_named_and_waited_for() {
    let story = Story::begin("secret_late").await;
    story.claim("1Gi").await;
    story.migrations(&[FIRST]).await;
    story.migrate(json!({})).await;
    let message = story.until("Ready", "False", "SecretNotFound").await;
    assert!(message.contains("\"db\""), "names the Secret: {message}");
    story.until("Reconciling", "True", "SecretNotFound").await;
    story.secret().await;
    story.ready_at(FIRST.0).await;
    assert_eq!(story.jobs().await.len(), 1, "waiting for a Secret uses up no attempt");
}

#[tokio::test]
async fn a_config_map_that_arrives_late_is_named_and_no_job_is_created_before() {
    let story = Story::begin("config_map_late").await;
    story.secret().await;
    story.claim("1Gi").await;
    story.migrate(json!({})).await;
    let message = story.until("Ready", "False", "SourceNotFound").await;
    assert!(message.contains("migrations"), "names the ConfigMap: {message}");
    assert!(story.jobs().await.is_empty());
    story.migrations(&[FIRST]).await;
    story.ready_at(FIRST.0).await;
}
