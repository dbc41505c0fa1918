//! The Job of one attempt. PURE.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::batch::v1::{Job, JobSpec},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::Resource;

use super::pod::{Images, pod};
use crate::{
    api::{DatabaseMigration, LABEL_ATTEMPT, LABEL_DIGEST, LABEL_MIGRATION, MANAGED_BY},
    plan::step::JobOrder,
    validate::ValidatedMigration,
};

/// The stages keep to `spec.apply.deadline` themselves; Kubernetes steps in this much later, should one hang.
const GRACE_SECONDS: i64 = 60;
/// How long a Job's log stays when no newer Job takes its place: a week.
const KEPT_SECONDS: i32 = 7 * 24 * 3600;

/// The Job: one Pod that is never restarted and never replaced, because what is repeated is decided from the ledger.
pub fn job(object: &DatabaseMigration, migration: &ValidatedMigration, order: &JobOrder, images: &Images) -> Job {
    let labels = labels(&migration.name, order);
    let deadline = i64::try_from(migration.deadline.duration().as_secs()).unwrap_or(i64::MAX - GRACE_SECONDS);
    Job {
        metadata: ObjectMeta {
            name: Some(order.job.clone()),
            namespace: Some(migration.namespace.clone()),
            labels: Some(labels.clone()),
            owner_references: Some(vec![owner(object)]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            // Never a second Pod while the first may still hold a session.
            pod_replacement_policy: Some("Failed".to_owned()),
            active_deadline_seconds: Some(deadline + GRACE_SECONDS),
            ttl_seconds_after_finished: Some(KEPT_SECONDS),
            template: pod(object, migration, order, images, labels),
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn labels(migration: &str, order: &JobOrder) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/managed-by", MANAGED_BY.to_owned()),
        (LABEL_MIGRATION, migration.to_owned()),
        (LABEL_DIGEST, order.digest.clone()),
        (LABEL_ATTEMPT, order.attempt.to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// The Job goes when its DatabaseMigration does.
fn owner(object: &DatabaseMigration) -> OwnerReference {
    OwnerReference {
        api_version: DatabaseMigration::api_version(&()).into_owned(),
        kind: DatabaseMigration::kind(&()).into_owned(),
        name: object.metadata.name.clone().unwrap_or_default(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
