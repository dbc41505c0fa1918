//! The section `onFailure`: what happens when a migration fails.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens when something fails.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnFailure {
    /// When a migration or its verification fails. Default: `Halt`.
    #[serde(default)]
    pub migration: OnMigrationFailure,
}

/// What happens when a migration or its verification fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnMigrationFailure {
    /// Stop, say why, and wait for a new source, a new spec or a retry.
    #[default]
    Halt,
}
