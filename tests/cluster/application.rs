//! A gated application: a Deployment that needs a version, what of it runs, and whether it is held.

use std::collections::BTreeMap;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{ResourceExt, api::ListParams};
use serde_json::{Value, json};

use crate::story::Story;

/// An application of the gated kind, `replicas` times, that needs a version.
pub fn application(replicas: i32, requires: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "app", "labels": {"sluice.dev/gated": "true"}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "app"}},
            "template": {"metadata": {"labels": {"app": "app"}, "annotations": {"requires.sluice.dev/records": requires}},
                "spec": {"terminationGracePeriodSeconds": 1,
                    "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{"name": "app", "image": "10.99.0.2:5000/pause:1",
                        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}}})
}

/// How many Pods of the application run for each required version.
pub async fn running(story: &Story) -> BTreeMap<String, usize> {
    let pods = story.api::<Pod>().list(&ListParams::default().labels("app=app")).await.expect("lists");
    let mut count = BTreeMap::new();
    for pod in pods {
        let runs = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
            && pod.metadata.deletion_timestamp.is_none();
        if let Some(version) = pod.annotations().get("requires.sluice.dev/records").filter(|_| runs) {
            *count.entry(version.clone()).or_default() += 1;
        }
    }
    count
}

/// Whether the rollout of the application is held.
pub async fn held(story: &Story) -> bool {
    let deployment: Deployment = story.api().get("app").await.expect("the Deployment is there");
    deployment.annotations().contains_key("sluice.dev/held")
        && deployment.spec.and_then(|spec| spec.paused) == Some(true)
}
