//! The section `before`: what must hold before anything runs.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lint, Rehearsal, Span};

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

    /// When a run may begin that may change something. It has to end before the window closes. Default: at
    /// any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,

    /// What of a release warns, needs an approval, or stops it before it runs. Default: everything warns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lint: Option<Lint>,

    /// A trial of each release on a copy, before it runs. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Rehearsal>,
}

impl Before {
    /// What of it decides what a run does: gates only say when it begins. Each field is named, so that a new one
    /// has to be put on one of the two sides.
    #[must_use]
    pub fn without_gates(&self) -> Self {
        let Self { depends_on, group, window: _, lint, rehearsal } = self;
        Self {
            depends_on: depends_on.clone(),
            group: group.clone(),
            window: None,
            lint: lint.clone(),
            rehearsal: rehearsal.clone(),
        }
    }
}

/// Recurring times at which a run may begin. A run that only verifies may begin at any time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// When it opens, as five fields of cron in local time: minute, hour, day of the month, month and day of
    /// the week. `0 2 * * SUN` is each Sunday at two. A local time that does not exist, because the clock is
    /// set forward, moves forward by as much; of one that exists twice the first counts.
    #[schemars(length(min = 9, max = 100), regex(pattern = r"^[^ ]+( [^ ]+){4}$"))]
    pub schedule: String,

    /// How long it is open, from `1m` to `168h`. The deadline of a run is cut to what is left of it.
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m') && duration(self) <= \
        duration('168h')").message("spec.before.window.duration must be at least 1m and at most 168h"))]
    pub duration: Span,

    /// The time zone of the schedule, by its name in the IANA database: `Europe/Berlin`, `Etc/UTC`.
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
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

    /// Its place, counted from 1. It runs when every place before it is taken and every object there is
    /// Ready. Objects that share a place do not wait for each other.
    #[schemars(range(min = 1, max = 1000))]
    pub position: u32,
}
