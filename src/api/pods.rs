//! `spec.pods` of a MigrationPolicy, and `pods` of the chart: where the Pods of runs are placed, and how much
//! they may use.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How the Pods of runs are placed, and how much they may use. It counts from the next run on, and starts
/// none. Where the policy says nothing, the chart's `pods` counts: objects are merged field by field, a list
/// or a single value of the policy replaces the chart's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pods {
    /// What the container of each stage reserves and may use. Default: each reserves 10m of CPU and 32Mi of
    /// memory, and all but `snapshot` and `rehearse` may use 256Mi of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<StageResources>,

    /// Labels of the nodes that a Pod may run on. Default: any node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,

    /// Taints that a Pod tolerates. Default: none but those that Kubernetes adds to every Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    pub tolerations: Option<Vec<Toleration>>,

    /// The affinity of a Pod, as in its own spec. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "as_in_a_pod")]
    pub affinity: Option<Affinity>,

    /// The name of a Pod's PriorityClass. Default: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,

    /// The name of a Pod's RuntimeClass. Default: the node's own runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,

    /// Secrets of the DatabaseMigration's namespace with which images are pulled. Default: those of the
    /// ServiceAccount `default` there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub image_pull_secrets: Option<Vec<PullSecret>>,

    /// More labels of a Pod, for instance by which a service mesh leaves it alone or by which its cost is
    /// counted. Sluice's own win.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('sluice.dev/') && key != \
        'app.kubernetes.io/managed-by' && \
        !key.startsWith('batch.kubernetes.io/'))").message("spec.pods.labels must not have keys that begin \
        with sluice.dev/ or batch.kubernetes.io/, nor app.kubernetes.io/managed-by: these are Sluice's and \
        the Job controller's own"))]
    #[schemars(length(max = 50))]
    pub labels: Option<BTreeMap<String, String>>,

    /// More annotations of a Pod. Sluice's own win.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// Resources, stage by stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageResources {
    /// Reads the source and the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Resources>,
    /// Runs `pg_dump`, one process for each of `jobs`, and reads the dump back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Resources>,
    /// Runs `pg_restore` and the release on a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearse: Option<Resources>,
    /// Runs what is pending, and verifies it before COMMIT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrate: Option<Resources>,
    /// Verifies the schema from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Resources>,
}

/// What a container reserves and may use, as quantities of Kubernetes: `500m`, `1Gi`. `"0"` takes a default
/// away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is reserved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "quantities")]
    pub requests: BTreeMap<String, String>,
    /// What it may use. A container that needs more memory is killed, and the run says `OutOfMemory`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "quantities")]
    pub limits: BTreeMap<String, String>,
}

/// A Secret by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullSecret {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Kubernetes checks it when the Pod is made; its whole schema would be longer than all the rest.
fn as_in_a_pod(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 10,
        "additionalProperties": {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$", "maxLength": 20},
    })
}
