//! The Job of one attempt. PURE.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::batch::v1::{Job, JobSpec},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::Resource;

use super::pod::{Images, pod};
use crate::{
    api::{DatabaseMigration, LABEL_ATTEMPT, LABEL_DIGEST, LABEL_MIGRATION, MANAGED_BY, Pods},
    contract::Purpose,
    limits::JOB_GRACE_SECONDS,
    plan::step::JobOrder,
    validate::ValidatedMigration,
};

/// How long a Job's log stays when no newer Job takes its place: that of a run 30 days, that of a repeated
/// verification a week.
const DAY_SECONDS: i32 = 24 * 3600;

/// The Job: one Pod that is never restarted and never replaced, because what is repeated is decided from the
/// history.
pub fn job(
    object: &DatabaseMigration,
    migration: &ValidatedMigration,
    order: &JobOrder,
    images: &Images,
    pods: &Pods,
) -> Job {
    let labels = labels(&migration.name, order);
    let deadline = order.deadline.unwrap_or(migration.deadline).duration().as_secs();
    let deadline = i64::try_from(deadline).unwrap_or(i64::MAX - JOB_GRACE_SECONDS);
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
            // The stages keep to `spec.apply.deadline` themselves; this is for one that hangs.
            active_deadline_seconds: Some(deadline + JOB_GRACE_SECONDS),
            ttl_seconds_after_finished: Some(match order.purpose {
                Purpose::Apply => 30 * DAY_SECONDS,
                Purpose::Verify => 7 * DAY_SECONDS,
            }),
            template: pod(object, migration, order, (images, pods), labels),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{contract::Stage, validate::validate};
    use k8s_openapi::api::core::v1::{Container, PodSpec};
    use serde_json::{Value, json};

    fn built(migrations: &Value, snapshot: &Value) -> Job {
        let indexes =
            json!({"indexes": {"require": [{"table": "t", "columns": ["c"], "where": "c <> '$(HOME) $$'"}]}});
        verifying(migrations, snapshot, &indexes)
    }

    fn verifying(migrations: &Value, snapshot: &Value, verify: &Value) -> Job {
        of_spec(&json!({
            "database": {"secretRef": {"name": "records-db", "key": "address"}},
            "migrations": migrations,
            "snapshot": snapshot,
            "verify": verify,
            "apply": {"deadline": "10m"},
        }))
    }

    fn of_spec(spec: &Value) -> Job {
        let object: DatabaseMigration = serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "DatabaseMigration",
            "metadata": {"name": "records", "namespace": "medical", "uid": "0d1f"},
            "spec": spec,
        }))
        .expect("a manifest");
        let order = JobOrder {
            job: "records-0123abcd-a2".into(),
            digest: "0123abcd".repeat(7),
            attempt: 2,
            purpose: Purpose::Apply,
            leg: Purpose::Apply.route().first(),
            deadline: None,
            ends_by: None,
            required: vec!["1_$(HOME)".into()],
        };
        let images = Images { sluice: "sluice:1".into(), snapshot: "sluice-stage:1".into() };
        job(&object, &validate(&object).expect("valid"), &order, &images, &Pods::default())
    }

    fn dumped() -> Job {
        built(&json!({"configMaps": ["one", "two"]}), &json!({"dump": {"volumeClaim": "snapshots"}}))
    }

    fn pod(job: &Job) -> &PodSpec {
        job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).expect("a Pod")
    }

    fn container(job: &Job, stage: Stage) -> &Container {
        pod(job)
            .containers
            .iter()
            .find(|container| container.name == stage.name())
            .expect("a container for each stage")
    }

    #[test]
    fn one_pod_that_is_neither_restarted_nor_replaced_and_goes_with_its_owner() {
        let job = dumped();
        let spec = job.spec.as_ref().expect("a spec");
        assert_eq!((spec.backoff_limit, spec.pod_replacement_policy.as_deref()), (Some(0), Some("Failed")));
        assert_eq!(
            spec.active_deadline_seconds,
            Some(660),
            "later than spec.apply.deadline, which the stages keep to themselves"
        );
        assert_eq!(pod(&job).restart_policy.as_deref(), Some("Never"));
        let owner = &job.metadata.owner_references.as_ref().expect("an owner")[0];
        assert_eq!(
            (owner.kind.as_str(), owner.uid.as_str(), owner.controller),
            ("DatabaseMigration", "0d1f", Some(true))
        );
        assert_eq!(
            job.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL_ATTEMPT)).map(String::as_str),
            Some("2")
        );
    }

    #[test]
    fn the_attempt_is_told_as_in_the_name_of_the_job_so_that_the_name_of_a_session_has_room_for_it() {
        let job = dumped();
        let environment = container(&job, Stage::Migrate).env.iter().flatten();
        let told: Vec<_> = environment.filter(|variable| variable.name == "SLUICE_ATTEMPT").collect();
        assert_eq!(told[0].value.as_deref(), Some("0123abcd-a2"));
    }

    #[test]
    fn every_container_passes_the_restricted_standard_and_the_pod_has_no_token() {
        let job = dumped();
        let security = pod(&job).security_context.as_ref().expect("a security context");
        assert_eq!(
            (security.run_as_non_root, pod(&job).automount_service_account_token),
            (Some(true), Some(false))
        );
        assert_eq!(
            security.seccomp_profile.as_ref().map(|profile| profile.type_.as_str()),
            Some("RuntimeDefault")
        );
        for container in &pod(&job).containers {
            let security = container.security_context.as_ref().expect("a security context");
            assert_eq!(
                (security.allow_privilege_escalation, security.read_only_root_filesystem),
                (Some(false), Some(true))
            );
            assert_eq!(
                security.capabilities.as_ref().and_then(|capabilities| capabilities.drop.clone()),
                Some(vec!["ALL".to_owned()])
            );
        }
    }

    #[test]
    fn the_url_comes_from_the_secret_and_stands_nowhere_else() {
        let job = dumped();
        for stage in Purpose::Apply.route().stages() {
            let environment = container(&job, stage).env.as_ref().expect("an environment");
            let url = environment.iter().find(|variable| variable.name == "DATABASE_URL").expect("the URL");
            let secret =
                url.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref()).expect("from a Secret");
            assert_eq!(
                (url.value.as_ref(), secret.name.as_str(), secret.key.as_str()),
                (None, "records-db", "address")
            );
        }
    }

    #[test]
    fn the_url_of_another_database_is_given_to_the_verify_stage_alone() {
        let relation = |table: &str| {
            json!({"table": table, "columns": ["a"], "references": "t", "referencedColumns": ["id"],
                   "database": {"name": "mental-health", "secretRef": {"name": "reader", "key": "address"}}})
        };
        let verify = json!({"orphans": [relation("one"), relation("two")]});
        let job = verifying(
            &json!({"configMaps": ["one"]}),
            &json!({"none": {"reason": "rebuilt each night"}}),
            &verify,
        );
        for stage in Purpose::Apply.route().stages() {
            let environment = container(&job, stage).env.iter().flatten();
            let found: Vec<_> =
                environment.filter(|variable| variable.name == "DATABASE_URL_MENTAL_HEALTH").collect();
            assert_eq!(found.len(), usize::from(stage == Stage::Verify), "{stage:?}");
            for variable in found {
                let secret = variable
                    .value_from
                    .as_ref()
                    .and_then(|from| from.secret_key_ref.as_ref())
                    .expect("from a Secret");
                assert_eq!(
                    (secret.name.as_str(), secret.key.as_str(), variable.value.as_ref()),
                    ("reader", "address", None)
                );
            }
        }
    }

    #[test]
    fn the_authority_of_the_server_is_there_for_every_stage_and_its_absence_starts_the_pod_all_the_same() {
        let job = of_spec(&json!({
            "database": {"secretRef": {"name": "records-db"}, "tls": {"caFrom": {"configMap": "records-ca", "key": "root.pem"}}},
            "migrations": {"configMaps": ["one"]},
            "snapshot": {"none": {"reason": "rebuilt each night"}},
        }));
        let volume = pod(&job)
            .volumes
            .iter()
            .flatten()
            .find_map(|volume| volume.config_map.as_ref())
            .expect("a ConfigMap");
        assert_eq!((volume.name.as_str(), volume.optional), ("records-ca", Some(true)));
        for stage in Purpose::Apply.route().stages() {
            let container = container(&job, stage);
            let said = container
                .env
                .iter()
                .flatten()
                .find(|variable| variable.name == "SLUICE_DATABASE_CA")
                .expect("where it is");
            assert_eq!(said.value.as_deref(), Some("/run/sluice-authority/root.pem"));
            let mount = container
                .volume_mounts
                .iter()
                .flatten()
                .find(|mount| mount.mount_path == "/run/sluice-authority")
                .expect("mounted");
            assert_eq!(mount.read_only, Some(true));
        }
        assert!(pod(&dumped()).volumes.iter().flatten().all(|volume| volume.config_map.is_none()));
    }

    #[test]
    fn the_spec_survives_the_expansion_of_variables() {
        let job = dumped();
        let environment = container(&job, Stage::Verify).env.as_ref().expect("an environment");
        let spec = environment
            .iter()
            .find_map(|variable| variable.value.as_ref().filter(|_| variable.name == "SLUICE_SPEC"))
            .expect("the spec");
        // What the kubelet makes of it: `$$` is a dollar sign, and no `$(` is left to expand.
        let expanded = spec.replace("$$", "$");
        let object: DatabaseMigration = serde_json::from_str(&expanded).expect("JSON");
        assert_eq!(object.spec.verify.indexes.require[0].predicate.as_deref(), Some("c <> '$(HOME) $$'"));
        assert!(!spec.replace("$$", "").contains('$'));
    }

    #[test]
    fn only_the_snapshot_stage_has_the_claim_and_the_client_tools() {
        let job = dumped();
        for stage in Purpose::Apply.route().stages() {
            let container = container(&job, stage);
            let mounted =
                container.volume_mounts.iter().flatten().any(|mount| mount.mount_path == "/snapshots");
            let tools = container.image.as_deref() == Some("sluice-stage:1");
            assert_eq!((mounted, tools), (stage == Stage::Snapshot, stage == Stage::Snapshot), "{stage:?}");
        }
        let waived =
            built(&json!({"configMaps": ["one"]}), &json!({"none": {"reason": "rebuilt each night"}}));
        assert!(pod(&waived).volumes.iter().flatten().all(|volume| volume.persistent_volume_claim.is_none()));
    }

    #[test]
    fn the_source_is_read_only_whether_it_is_config_maps_or_a_folder_of_an_image() {
        let image = built(
            &json!({"image": "registry.example/records:1", "path": "/app/migrations"}),
            &json!({"none": {"reason": "rebuilt each night"}}),
        );
        for (job, folder) in [(&dumped(), None), (&image, Some("app/migrations"))] {
            let source = container(job, Stage::Plan)
                .volume_mounts
                .iter()
                .flatten()
                .find(|mount| mount.name == "source")
                .expect("the source");
            assert_eq!((source.read_only, source.sub_path.as_deref()), (Some(true), folder));
        }
        let volume = pod(&image)
            .volumes
            .iter()
            .flatten()
            .find(|volume| volume.name == "source")
            .and_then(|volume| volume.image.as_ref());
        assert_eq!(volume.and_then(|volume| volume.reference.as_deref()), Some("registry.example/records:1"));
    }

    #[test]
    fn each_phase_is_mounted_under_its_name_from_the_image_or_from_config_maps_of_its_own() {
        let phases = json!([{"name": "security", "path": "/sql/security"}, {"name": "functions", "configMaps": ["one", "two"]}]);
        let job = built(
            &json!({"image": "registry.example/records:1", "path": "/app/migrations", "phases": phases}),
            &json!({"none": {"reason": "rebuilt each night"}}),
        );
        for stage in [Stage::Plan, Stage::Migrate, Stage::Verify] {
            let mounts = container(&job, stage).volume_mounts.iter().flatten();
            let phases: Vec<_> = mounts
                .filter(|mount| mount.mount_path.starts_with("/phases/"))
                .map(|mount| {
                    (
                        mount.mount_path.as_str(),
                        mount.name.as_str(),
                        mount.sub_path.as_deref(),
                        mount.read_only,
                    )
                })
                .collect();
            let expected = [
                ("/phases/security", "source", None, Some(true)),
                ("/phases/functions", "phase-functions", None, Some(true)),
            ];
            assert_eq!(phases, expected, "{stage:?}");
        }
        let volume = pod(&job)
            .volumes
            .iter()
            .flatten()
            .find(|volume| volume.name == "phase-functions")
            .expect("a volume");
        let sources =
            volume.projected.as_ref().and_then(|projected| projected.sources.as_ref()).expect("sources");
        assert_eq!(sources.len(), 2);
    }
}
