//! A MigrationPolicy on a real API server: what it says is in force, what it stores is only what was written,
//! and a change of it verifies again.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use sluice::api::{DatabaseMigration, MigrationPolicy};

use crate::story::{Story, kubectl};

const FIRST: (&str, &str) = ("20260101000000_first", "CREATE TABLE lab_results (id int PRIMARY KEY);");

/// As a person writes it: a type would write its defaults, too.
async fn apply_short(story: &Story) {
    let object = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "records"},
        "spec": {"policyRef": {"name": "house"}, "database": {"secretRef": {"name": "db"}}, "migrations": {"configMaps": ["migrations"]},
                 "snapshot": {"dump": {"jobs": 2}}, "verify": {"conventions": {}}}});
    story.apply::<DatabaseMigration>(object).await;
}

async fn change_policy(story: &Story, spec: Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    story
        .api::<MigrationPolicy>()
        .patch("house", &PatchParams::default(), &patch)
        .await
        .expect("changes the policy");
}

#[tokio::test]
async fn a_policy_is_waited_for_then_in_force_and_a_change_of_it_verifies_again() {
    let story = Story::begin("policy").await;
    story.secret().await;
    story.claim("1Gi").await;
    story.migrations(&[FIRST]).await;
    apply_short(&story).await;
    let message = story.until("Stalled", "True", "PolicyNotFound").await;
    assert!(message.contains("\"house\""), "{message}");
    assert!(story.jobs().await.is_empty());

    let policy = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "MigrationPolicy", "metadata": {"name": "house"},
        "spec": {"snapshot": {"dump": {"volumeClaim": "snapshots"}}, "apply": {"deadline": "2m"}}});
    story.apply::<MigrationPolicy>(policy).await;
    let object = story.ready_at(FIRST.0).await;
    let taken = object.status.and_then(|status| status.snapshot).expect("a snapshot");
    assert!(taken.reference.starts_with("snapshots:"), "the claim is the policy's: {}", taken.reference);
    let stored = kubectl(&["-n", &story.namespace, "get", "dbm", "records", "-o", "jsonpath={.spec}"]);
    assert!(stored.contains("\"jobs\":2"), "{stored}");
    assert!(
        !["lockTimeout", "\"verify\":\"Read\"", "severity"].iter().any(|default| stored.contains(default)),
        "a default was stored: {stored}"
    );

    change_policy(&story, json!({"verify": {"conventions": {"preset": "PascalCamel"}}})).await;
    let message = story.until("Verified", "False", "VerificationFailed").await;
    assert!(message.contains("lab_results"), "{message}");
    assert_eq!(story.gate().await, [format!("records@{}", FIRST.0)], "what is applied stays applied");
    change_policy(&story, json!({"verify": {"conventions": {"preset": "SnakePlural"}}})).await;
    story.ready_at(FIRST.0).await;
    assert_eq!(story.number("SELECT count(*) FROM _prisma_migrations").await, 1);
}

#[tokio::test]
async fn a_contradiction_in_a_policy_is_refused_by_the_api_server() {
    let story = Story::begin("policy_refused").await;
    let policy = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "MigrationPolicy", "metadata": {"name": "house"},
        "spec": {"snapshot": {"dump": {"volumeClaim": "snapshots"}, "none": {"reason": "rebuilt each \
            night"}}}});
    let parameters = PatchParams::apply("gitops").force();
    let refused = story
        .api::<MigrationPolicy>()
        .patch("house", &parameters, &Patch::Apply(policy))
        .await
        .expect_err("is refused");
    assert!(refused.to_string().contains("spec.snapshot has both dump and none"), "{refused}");
}
