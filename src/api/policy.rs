//! The kind `MigrationPolicy`: what a platform team writes once, as defaults for every DatabaseMigration that
//! names it.
//!
//! A section is kept as it was written and not as it was meant: a default that were filled in here could not
//! be told from a value that a person wrote. What the sections may say is in the schema, which is that of the
//! DatabaseMigration without its defaults.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Apply, Format, History, OnFailure, Pods, Rehearsal, Snapshot, Verify, Window,
    schema::{drop_defaults, drop_unsigned_formats},
};

/// A section as it was written.
pub type Section = Map<String, Value>;

/// The sections of a DatabaseMigration that a policy has something to say about.
pub const SECTIONS: [&str; 7] =
    ["database", "migrations", "before", "snapshot", "apply", "verify", "onFailure"];

/// Defaults for the DatabaseMigrations of a namespace that name this policy in `spec.policyRef`. Objects are
/// merged field by field; a list or a single value of the DatabaseMigration replaces the policy's.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "MigrationPolicy",
    singular = "migrationpolicy",
    plural = "migrationpolicies",
    namespaced,
    shortname = "dbmp",
    category = "sluice",
    doc = "Defaults for the DatabaseMigrations of this namespace that name this policy in spec.policyRef. \
        Objects are merged field by field; a list or a single value of the DatabaseMigration replaces the \
        policy's.",
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct MigrationPolicySpec {
    /// Which schemas. Whose database it is, each DatabaseMigration says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DatabaseDefaults>")]
    pub database: Option<Section>,

    /// How migrations are written. Where they are, each DatabaseMigration says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<MigrationsDefaults>")]
    pub migrations: Option<Section>,

    /// What must hold before anything runs. Whom it waits for, each DatabaseMigration says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BeforeDefaults>")]
    pub before: Option<Section>,

    /// The copy that is taken, and proven, before anything changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Snapshot>")]
    pub snapshot: Option<Section>,

    /// How the migrations run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Apply>")]
    pub apply: Option<Section>,

    /// What must be true of the schema before it counts as migrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Verify>")]
    pub verify: Option<Section>,

    /// What happens when something fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OnFailure>")]
    pub on_failure: Option<Section>,

    /// How the Pods of runs are placed, and how much they may use. A DatabaseMigration has no such section:
    /// where things run is the platform team's to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Pods>")]
    pub pods: Option<Section>,
}

/// Which schemas.
#[derive(Clone, Debug, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
struct DatabaseDefaults {
    /// The schemas that belong to the application; every check reads all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 50), inner(length(min = 1, max = 63)))]
    schemas: Option<Vec<String>>,

    /// The schema that holds the history (`_prisma_migrations`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    history_schema: Option<String>,
}

/// How migrations are written.
#[derive(Clone, Debug, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
struct MigrationsDefaults {
    /// How the folders are laid out and which history they keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<Format>,

    /// The folder of the migrations inside an image. Ignored where they come from ConfigMaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    #[x_kube(validation = Rule::new("self.startsWith('/') && \
        !self.contains('..')").message("spec.migrations.path must be absolute and must not contain '..'"))]
    path: Option<String>,

    /// What is done where source and history differ: late, edited and missing migrations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    history: Option<History>,
}

/// What must hold before anything runs.
#[derive(Clone, Debug, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
struct BeforeDefaults {
    /// When a run may begin that may change something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<Window>,

    /// A trial of each release on a copy, before it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rehearsal: Option<Rehearsal>,
}

/// The MigrationPolicy of the same namespace whose fields are defaults for this object's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The CustomResourceDefinition.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = MigrationPolicy::crd();
    for schema in crd
        .spec
        .versions
        .iter_mut()
        .filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut())
    {
        drop_unsigned_formats(schema);
        drop_defaults(schema);
    }
    crd
}
