//! `spec.migrations.phases`: folders of SQL beside the format's own migrations.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// SQL that the format's own tool cannot express: policies, functions, grants, indexes `CONCURRENTLY`. A
/// folder of files `FILE.sql`, applied once each, in the order of their names, and recorded in Sluice's own
/// history under the name `PHASE/FILE`. Exactly one of `path` and `configMaps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.path) != (has(self.configMaps) && size(self.configMaps) > \
    0)").message("a phase needs exactly one source: either path or configMaps"))]
pub struct Phase {
    /// Its name, the first half of its files' versions: workloads require `security/010_policies`. To rename
    /// it is to begin a new history.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("the name of \
        a phase has lower-case letters, digits and inner dashes"))]
    pub name: String,

    /// Its folder inside `spec.migrations.image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    #[x_kube(validation = Rule::new("self.startsWith('/') && !self.contains('..')").message("the path of a \
        phase must be absolute and must not contain '..'"))]
    pub path: Option<String>,

    /// ConfigMaps of this namespace that together hold its files: the key `FILE.sql` is the file. A change of
    /// any of them is noticed at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 253)))]
    pub config_maps: Vec<String>,

    /// Whether its pending files run before or after the pending migrations of the same release. Default:
    /// `After`.
    #[serde(default)]
    pub when: PhaseWhen,

    /// Run a file again when its text has changed, instead of refusing it: for files that may run any number
    /// of times, as those of `CREATE OR REPLACE`. Default: false.
    #[serde(default)]
    pub repeatable: bool,
}

/// On which side of the format's own migrations a phase is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PhaseWhen {
    /// Before them: for what they need, as extensions and types.
    Before,
    /// After them.
    #[default]
    After,
}
