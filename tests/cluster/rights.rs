//! What the controller may and may not do, asked of the API server itself.

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    core::v1::Secret,
};
use kube::{
    Api, Client, Config,
    api::{ListParams, PostParams},
};
use serde_json::json;

use crate::story::{SYSTEM, Story};

const CONTROLLER: &str = "system:serviceaccount:sluice-system:sluice";

async fn may(story: &Story, verb: &str, group: &str, resource: &str) -> bool {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(CONTROLLER.to_owned()),
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(story.namespace.clone()),
                verb: Some(verb.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = Api::all(story.client.clone())
        .create(&PostParams::default(), &review)
        .await
        .expect("the API server answers");
    answer.status.is_some_and(|status| status.allowed)
}

#[tokio::test]
async fn the_controllers_service_account_is_refused_a_secret() {
    let story = Story::begin("no_secrets").await;
    story.secret().await;
    let mut config = Config::infer().await.expect("a kubeconfig");
    config.auth_info.impersonate = Some(CONTROLLER.to_owned());
    let controller = Client::try_from(config).expect("a client");
    let secrets: Api<Secret> = Api::namespaced(controller.clone(), &story.namespace);
    let error = secrets.get("db").await.expect_err("is refused");
    assert!(error.to_string().contains("cannot get resource \"secrets\""), "{error}");
    // The same client may do what the controller is for, so that it is the right that is missing and nothing
    // else.
    let objects: Api<sluice::api::DatabaseMigration> = Api::namespaced(controller, &story.namespace);
    objects.list(&ListParams::default()).await.expect("the controller may list its own kind");
}

#[tokio::test]
async fn the_controller_may_not_read_logs_run_commands_or_create_pods() {
    let story = Story::begin("least_rights").await;
    for (verb, group, resource) in [
        ("list", "", "secrets"),
        ("watch", "", "secrets"),
        ("get", "", "pods/log"),
        ("create", "", "pods/exec"),
        ("create", "", "pods"),
        ("delete", "", "pods"),
        ("create", "apps", "deployments"),
        ("delete", "apps", "deployments"),
        ("update", "", "configmaps"),
        ("patch", "sluice.dev", "databasemigrations"),
        ("delete", "sluice.dev", "migrationgates"),
        ("patch", "sluice.dev", "migrationpolicies"),
        ("create", "rbac.authorization.k8s.io", "rolebindings"),
        // Nor what it has no use for.
        ("get", "", "pods"),
        ("get", "", "persistentvolumeclaims"),
        ("patch", "batch", "jobs"),
        ("patch", "sluice.dev", "databasemigrations/status"),
        ("get", "apps", "deployments"),
        ("patch", "events.k8s.io", "events"),
    ] {
        assert!(!may(&story, verb, group, resource).await, "the controller may {verb} {resource}");
    }
    for (verb, group, resource) in [
        ("create", "batch", "jobs"),
        ("update", "sluice.dev", "databasemigrations/status"),
        ("patch", "apps", "deployments"),
    ] {
        assert!(may(&story, verb, group, resource).await, "the controller may not {verb} {resource}");
    }
}

#[tokio::test]
async fn the_pods_of_a_run_have_no_token_and_pass_the_restricted_standard() {
    let story = Story::begin("restricted").await;
    story.everything(&[("20260101000000_first", "CREATE TABLE t (id int PRIMARY KEY);")], json!({})).await;
    // The namespace enforces the restricted standard: had the Pod not passed, there would be none.
    story.ready_at("20260101000000_first").await;
    let pods =
        story.api::<k8s_openapi::api::core::v1::Pod>().list(&ListParams::default()).await.expect("lists");
    let spec = pods.items[0].spec.as_ref().expect("a spec");
    assert_eq!(spec.automount_service_account_token, Some(false));
    assert!(spec.volumes.iter().flatten().all(|volume| {
        volume.projected.as_ref().is_none_or(|projected| {
            projected.sources.iter().flatten().all(|source| source.service_account_token.is_none())
        })
    }));
    assert_ne!(story.namespace, SYSTEM);
}
