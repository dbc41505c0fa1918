//! The kind `DatabaseMigration`: one database, its migrations, and what must hold around them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    Apply, Before, Database, DatabaseMigrationStatus, Migrations, OnFailure, PolicyRef, Snapshot, Verify,
    policy::SECTIONS,
    schema::{drop_defaults, drop_unsigned_formats},
};

/// One database and the migrations it must have. The sections stand in the order in which things happen.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "DatabaseMigration",
    namespaced,
    shortname = "dbm",
    category = "sluice",
    status = "DatabaseMigrationStatus",
    doc = "A DatabaseMigration says which database, which migrations, which snapshot and which checks. \
        Sluice takes the snapshot, runs what is pending, verifies the schema and opens the gate for the \
        versions that are applied.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status","description":"Whether the newest migration is applied and verified"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".status.currentVersion"}"#,
    printcolumn = r#"{"name":"Pending","type":"integer","jsonPath":".status.pending"}"#,
    printcolumn = r#"{"name":"Progress","type":"string","jsonPath":".status.run.progress.summary","description":"How far a run is that takes longer than ten seconds"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Message","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Ready\")].message"}"#
)]
#[kube(validation = Rule::new("size(self.metadata.name) <= 45").message("metadata.name may have at most 45 \
    characters: Jobs and annotations are named after it"))]
#[kube(validation = Rule::new("has(self.spec.policyRef) || !has(self.spec.snapshot) || \
    has(self.spec.snapshot.dump) || has(self.spec.snapshot.none)").message("spec.snapshot needs dump (a \
    pg_dump on a PersistentVolumeClaim) or none (with a reason), or spec.policyRef a policy that has one"))]
#[kube(validation = Rule::new("has(self.spec.policyRef) || !has(self.spec.snapshot) || \
    !has(self.spec.snapshot.dump) || has(self.spec.snapshot.dump.volumeClaim)").message("spec.snapshot.dump \
    needs volumeClaim, or spec.policyRef a policy that has one"))]
#[kube(validation = Rule::new("has(self.spec.policyRef) || !has(self.spec.verify) || \
    !has(self.spec.verify.rowLevelSecurity) || (has(self.spec.verify.rowLevelSecurity.appRole) && \
    has(self.spec.verify.rowLevelSecurity.tenant) && has(self.spec.verify.rowLevelSecurity.tenant.column) && \
    has(self.spec.verify.rowLevelSecurity.tenant.setting))").message("spec.verify.rowLevelSecurity needs \
    appRole, tenant.column and tenant.setting, or spec.policyRef a policy that has them"))]
#[serde(rename_all = "camelCase")]
pub struct DatabaseMigrationSpec {
    /// The MigrationPolicy of this namespace that has defaults for the sections below. What stands here wins:
    /// objects are merged field by field, a list or a single value replaces the policy's. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_ref: Option<PolicyRef>,

    /// Which database, and as which role.
    pub database: Database,

    /// Where the migrations are, and how they are written.
    pub migrations: Migrations,

    /// What must hold before anything runs.
    #[serde(default)]
    pub before: Before,

    /// The copy that is taken, and proven, before anything changes. Sluice does not migrate without one, or
    /// without a stated reason for having none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,

    /// How the migrations run.
    #[serde(default)]
    pub apply: Apply,

    /// What must be true of the schema before it counts as migrated.
    #[serde(default)]
    pub verify: Verify,

    /// What happens when something fails.
    #[serde(default)]
    pub on_failure: OnFailure,

    /// Start nothing new; a run that has started ends. Default: false.
    #[serde(default)]
    pub suspend: bool,
}

/// The CustomResourceDefinition, with the status default that keeps GitOps tools from taking a new object for
/// a finished one.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = DatabaseMigration::crd();
    let schemas = crd
        .spec
        .versions
        .iter_mut()
        .filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    for schema in schemas {
        drop_unsigned_formats(schema);
        let sections = schema
            .properties
            .iter_mut()
            .filter_map(|properties| properties.get_mut("spec")?.properties.as_mut());
        sections
            .flatten()
            .filter(|(name, _)| SECTIONS.contains(&name.as_str()))
            .for_each(|(_, section)| drop_defaults(section));
        if let Some(status) = schema.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
        }
    }
    crd
}
