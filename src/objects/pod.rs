//! The Pod of one attempt: one container for each stage, all started at once. PURE.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapProjection, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar,
        EnvVarSource, ImageVolumeSource, LocalObjectReference, PersistentVolumeClaimVolumeSource,
        PodSecurityContext, PodSpec, PodTemplateSpec, ProjectedVolumeSource, ResourceRequirements,
        SeccompProfile, SecretKeySelector, SecurityContext, Volume, VolumeMount, VolumeProjection,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use serde_json::json;

use super::elsewhere;
use crate::{
    api::{DatabaseMigration, DatabaseMigrationSpec, GROUP, Pods, VERSION},
    contract::{Purpose, Stage},
    limits::POD_GRACE_SECONDS,
    plan::step::JobOrder,
    validate::{PhaseSource, SnapshotPolicy, Source, ValidatedMigration},
};

/// Which images the stages run from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// `plan`, `migrate` and `verify`: the binary and nothing else.
    pub sluice: String,
    /// `snapshot` and `rehearse`: the binary and PostgreSQL's client tools.
    pub snapshot: String,
}

/// The user of every image.
const USER: i64 = 65532;

const RUN: &str = "run";
const SCRATCH: &str = "tmp";
const SOURCE: &str = "source";
const SNAPSHOTS: &str = "snapshots";
const AUTHORITY: &str = "authority";

/// The volume of a phase that comes from ConfigMaps of its own.
fn phase_volume(name: &str) -> String {
    format!("phase-{name}")
}

/// The template of the Job.
pub fn pod(
    object: &DatabaseMigration,
    migration: &ValidatedMigration,
    order: &JobOrder,
    (images, pods): (&Images, &Pods),
    labels: BTreeMap<String, String>,
) -> PodTemplateSpec {
    let secrets = pods
        .image_pull_secrets
        .iter()
        .flatten()
        .map(|secret| LocalObjectReference { name: secret.name.clone() });
    // A cluster autoscaler that moves the Pod would only make the attempt begin again.
    let annotations =
        BTreeMap::from([("cluster-autoscaler.kubernetes.io/safe-to-evict".to_owned(), "false".to_owned())]);
    let environment = environment(object, migration, order);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(beside(pods.labels.as_ref(), labels)),
            annotations: Some(beside(pods.annotations.as_ref(), annotations)),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            restart_policy: Some("Never".to_owned()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            // The stages roll back and report when they are told to stop.
            termination_grace_period_seconds: Some(POD_GRACE_SECONDS),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                fs_group: Some(USER),
                // A large snapshot volume is not walked through at each start.
                fs_group_change_policy: Some("OnRootMismatch".to_owned()),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            containers: order
                .leg
                .stages()
                .map(|stage| container(stage, migration, (images, pods), &environment))
                .collect(),
            volumes: Some(volumes(migration)),
            node_selector: pods.node_selector.clone(),
            tolerations: pods.tolerations.clone(),
            affinity: pods.affinity.clone(),
            priority_class_name: pods.priority_class_name.clone(),
            runtime_class_name: pods.runtime_class_name.clone(),
            image_pull_secrets: pods.image_pull_secrets.as_ref().map(|_| secrets.collect()),
            ..PodSpec::default()
        }),
    }
}

/// The team's labels or annotations, and Sluice's own, which win.
fn beside(
    theirs: Option<&BTreeMap<String, String>>,
    own: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    theirs.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).chain(own).collect()
}

fn container(
    stage: Stage,
    migration: &ValidatedMigration,
    (images, pods): (&Images, &Pods),
    environment: &[EnvVar],
) -> Container {
    let needs_tools = matches!(stage, Stage::Snapshot | Stage::Rehearse);
    Container {
        name: stage.name().to_owned(),
        image: Some(if needs_tools { &images.snapshot } else { &images.sluice }.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec!["/sluice".to_owned()]),
        args: Some(vec!["stage".to_owned(), stage.name().to_owned()]),
        env: Some([environment, &elsewhere::variables(stage, migration)].concat()),
        // Only what a stage writes itself is an Outcome: the last lines of a log must not look like one.
        termination_message_policy: Some("File".to_owned()),
        resources: Some(resources(stage, pods)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(mounts(stage, migration)),
        ..Container::default()
    }
}

fn environment(object: &DatabaseMigration, migration: &ValidatedMigration, order: &JobOrder) -> Vec<EnvVar> {
    // When it may begin was decided; the stages need not know.
    let before = object.spec.before.without_gates();
    let spec = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "DatabaseMigration",
        "metadata": {"name": migration.name, "namespace": migration.namespace},
        "spec": DatabaseMigrationSpec { before, ..object.spec.clone() },
    });
    let (name, key) = migration.secret.clone();
    let url = EnvVarSource {
        secret_key_ref: Some(SecretKeySelector { name, key, optional: None }),
        ..EnvVarSource::default()
    };
    let plain =
        |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), value_from: None };
    let mut environment = vec![
        EnvVar { name: "DATABASE_URL".to_owned(), value: None, value_from: Some(url) },
        // Kubernetes expands $(NAME) in values; `$$` stands for a dollar sign.
        plain("SLUICE_SPEC", spec.to_string().replace('$', "$$")),
        plain("SLUICE_ATTEMPT", attempt(&migration.name, order)),
    ];
    if !order.required.is_empty() {
        environment.push(plain("SLUICE_REQUIRED", json!(order.required).to_string().replace('$', "$$")));
    }
    environment.extend(
        migration
            .authority
            .iter()
            .map(|(_, key)| plain("SLUICE_DATABASE_CA", format!("/run/sluice-authority/{key}"))),
    );
    environment.extend(order.deadline.map(|deadline| plain("SLUICE_DEADLINE", deadline.to_string())));
    environment.extend(order.ends_by.map(|ends_by| plain("SLUICE_ENDS_BY", ends_by.to_string())));
    // What is not said is usual: a run that may change something, and the first leg.
    if order.purpose != Purpose::Apply {
        environment.push(plain("SLUICE_PURPOSE", order.purpose.name().to_owned()));
    }
    if order.leg.number() > 1 {
        environment.push(plain("SLUICE_LEG", order.leg.number().to_string()));
    }
    environment
}

/// Which attempt at what: as the name of the Job has it behind that of the object. The name of a session has room for
/// that, and none for a whole digest.
fn attempt(migration: &str, order: &JobOrder) -> String {
    let named = order.job.strip_prefix(migration).and_then(|job| job.strip_prefix('-'));
    named.unwrap_or(&order.job).to_owned()
}

/// What a stage reserves and may use: Sluice's defaults, with what the settings say.
fn resources(stage: Stage, pods: &Pods) -> ResourceRequirements {
    let stages = pods.resources.clone().unwrap_or_default();
    let own = match stage {
        Stage::Plan => stages.plan,
        Stage::Snapshot => stages.snapshot,
        Stage::Rehearse => stages.rehearse,
        Stage::Migrate => stages.migrate,
        Stage::Verify => stages.verify,
    };
    let own = own.unwrap_or_default();
    // pg_dump and pg_restore take what the schema needs.
    let limits: &[(&str, &str)] = match stage {
        Stage::Snapshot | Stage::Rehearse => &[],
        Stage::Plan | Stage::Migrate | Stage::Verify => &[("memory", "256Mi")],
    };
    ResourceRequirements {
        requests: quantities(&[("cpu", "10m"), ("memory", "32Mi")], &own.requests),
        limits: quantities(limits, &own.limits),
        ..ResourceRequirements::default()
    }
}

/// `"0"` takes a default away.
fn quantities(
    defaults: &[(&str, &str)],
    own: &BTreeMap<String, String>,
) -> Option<BTreeMap<String, Quantity>> {
    let mut all: BTreeMap<String, String> =
        defaults.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.extend(own.clone());
    all.retain(|_, value| value != "0");
    (!all.is_empty()).then(|| all.into_iter().map(|(name, value)| (name, Quantity(value))).collect())
}

fn volumes(migration: &ValidatedMigration) -> Vec<Volume> {
    let empty = |name: &str| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let mut volumes = vec![empty(RUN), empty(SCRATCH), source(&migration.source)];
    volumes.extend(migration.phases.iter().filter_map(|phase| match &phase.source {
        PhaseSource::ConfigMaps(names) => Some(config_maps(phase_volume(&phase.name), names)),
        PhaseSource::Folder(_) => None,
    }));
    // Optional: that the ConfigMap is missing is for the stage to say, in words.
    volumes.extend(migration.authority.iter().map(|(name, _)| Volume {
        name: AUTHORITY.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: name.clone(),
            optional: Some(true),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }));
    if let SnapshotPolicy::Dump { claim, .. } = &migration.snapshot {
        let claim = PersistentVolumeClaimVolumeSource { claim_name: claim.clone(), read_only: None };
        volumes.push(Volume {
            name: SNAPSHOTS.to_owned(),
            persistent_volume_claim: Some(claim),
            ..Volume::default()
        });
    }
    volumes
}

fn source(source: &Source) -> Volume {
    match source {
        Source::ConfigMaps(names) => config_maps(SOURCE.to_owned(), names),
        Source::Image { reference, .. } => {
            let image = ImageVolumeSource {
                reference: Some(reference.clone()),
                pull_policy: Some("IfNotPresent".to_owned()),
            };
            Volume { name: SOURCE.to_owned(), image: Some(image), ..Volume::default() }
        }
    }
}

/// These ConfigMaps as one folder.
fn config_maps(volume: String, names: &[String]) -> Volume {
    let projection = |name: &String| VolumeProjection {
        config_map: Some(ConfigMapProjection { name: name.clone(), ..ConfigMapProjection::default() }),
        ..VolumeProjection::default()
    };
    let sources = Some(names.iter().map(projection).collect());
    let projected = Some(ProjectedVolumeSource { sources, ..ProjectedVolumeSource::default() });
    Volume { name: volume, projected, ..Volume::default() }
}

fn mounts(stage: Stage, migration: &ValidatedMigration) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    };
    let mut source = VolumeMount { read_only: Some(true), ..mount(SOURCE, "/migrations") };
    if let Source::Image { path, .. } = &migration.source {
        source.sub_path = Some(path.clone()).filter(|path| !path.is_empty());
    }
    let mut mounts = vec![mount(RUN, "/run/sluice"), mount(SCRATCH, "/tmp"), source];
    // A phase of the image has the whole of it: that its folder is missing is for the stage to say, in words.
    mounts.extend(migration.phases.iter().map(|phase| {
        let volume = if let PhaseSource::ConfigMaps(_) = phase.source {
            phase_volume(&phase.name)
        } else {
            SOURCE.to_owned()
        };
        VolumeMount { read_only: Some(true), ..mount(&volume, &format!("/phases/{}", phase.name)) }
    }));
    mounts.extend(
        migration
            .authority
            .iter()
            .map(|_| VolumeMount { read_only: Some(true), ..mount(AUTHORITY, "/run/sluice-authority") }),
    );
    let snapshots = matches!(migration.snapshot, SnapshotPolicy::Dump { .. });
    match stage {
        Stage::Snapshot if snapshots => mounts.push(mount(SNAPSHOTS, "/snapshots")),
        Stage::Rehearse if snapshots => {
            mounts.push(VolumeMount { read_only: Some(true), ..mount(SNAPSHOTS, "/snapshots") });
        }
        _ => {}
    }
    mounts
}
