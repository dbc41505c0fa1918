//! The kind `MigrationGate`: the one small object per namespace that the admission policies read.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};

/// The name of the one MigrationGate of a namespace.
pub const GATE_NAME: &str = "gates";

/// Which versions of which databases are applied and verified. Written by the controller, read by the
/// admission policies; one per namespace, named `gates`.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "MigrationGate",
    namespaced,
    category = "sluice",
    doc = "Which versions of which databases are applied and verified. Written by the controller, read by \
        the admission policies; one per namespace, named gates.",
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[kube(validation = Rule::new("self.metadata.name == 'gates'").message("a namespace has one MigrationGate, \
    named gates"))]
#[serde(rename_all = "camelCase")]
pub struct MigrationGateSpec {
    /// `NAME@VERSION` for each applied and verified version of each DatabaseMigration, the newest 500 of
    /// each, with those that gated workloads wait for.
    #[serde(default)]
    #[schemars(length(max = 5000), inner(length(max = 460)), extend("x-kubernetes-list-type" = "set"))]
    pub satisfied: Vec<String>,

    /// The database that the entries of each DatabaseMigration are about. A run that verified another one
    /// opens nothing: reason DatabaseChanged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub databases: Vec<GatedDatabase>,
}

/// The database behind the entries of one DatabaseMigration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatedDatabase {
    /// The DatabaseMigration.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// PostgreSQL's system identifier and the oid of the database, as `SYSTEM/OID`; or `any`, which a person
    /// writes, for whichever is verified next.
    #[schemars(length(min = 1, max = 64))]
    pub identity: String,
}

/// The identity that a person writes for a database that is not known: the one that is verified next, also
/// where it does not say which it is.
pub const ANY_DATABASE: &str = "any";

/// How a gate names one version of one DatabaseMigration.
pub fn entry(migration: &str, version: &str) -> String {
    format!("{migration}@{version}")
}

/// The CustomResourceDefinition.
pub fn crd() -> CustomResourceDefinition {
    MigrationGate::crd()
}
