//! The section `before`: what must hold before anything runs.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What must hold before anything runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Before {
    /// DatabaseMigrations of this namespace that go first. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub depends_on: Vec<Dependency>,

    /// Its turn among others that run one after the other. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
}

/// Another DatabaseMigration of the same namespace, and how far it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// How far it must be. Default: `Ready`.
    // Left out where it is the default: a default inside a list is a difference in the eyes of GitOps tools.
    #[serde(default, skip_serializing_if = "DependencyCondition::is_ready")]
    pub condition: DependencyCondition,

    /// A migration that it must have applied, by its name: `20250918120000_add_visits`. For the release that
    /// needs this very migration, whichever of the two is applied first. Default: none in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub min_version: Option<String>,
}

/// How far a dependency must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DependencyCondition {
    /// It is Ready for its newest spec: applied, verified, and nothing is under way.
    #[default]
    Ready,
    /// What is needed is applied. With `minVersion` that migration, whatever has happened since, a failure
    /// included; without it everything of its newest spec, verified or not.
    Applied,
}

impl DependencyCondition {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_ready(&self) -> bool {
        *self == Self::Ready
    }
}

/// A place in a row of DatabaseMigrations of one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The name of the row.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,

    /// Its place, counted from 1. It runs when every place before it is taken and everyone there is Ready.
    /// Those who share a place do not wait for each other.
    #[schemars(range(min = 1, max = 1000))]
    pub position: u32,
}
