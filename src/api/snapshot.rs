//! The section `snapshot`: what is kept before anything changes.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// The copy that is taken, and proven, before anything changes. Exactly one of `dump` and `none`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.dump) && has(self.none))").message("spec.snapshot has both dump \
    and none: keep one of them"))]
pub struct Snapshot {
    /// A dump by `pg_dump` on a PersistentVolumeClaim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<Dump>,

    /// No snapshot, and why. The reason is shown in the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none: Option<Waiver>,

    /// How the snapshot is proven before a migration may run. Default: `Read`.
    #[serde(default)]
    pub verify: ReadBack,

    /// How old the snapshot of an earlier attempt may be that a retry uses again, instead of taking another one: of
    /// the same spec and source, of a history that has not changed, read back once more. What was written to the
    /// database since it was taken is not in it. `0s`: each attempt takes its own. A changed spec, source or
    /// annotation `sluice.dev/retry` always takes its own. Absent: `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Span>,

    /// Which older snapshots are kept. Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
}

/// Where the dump goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dump {
    /// A PersistentVolumeClaim of this namespace. Its files outlive the DatabaseMigration. Required, here or
    /// in the policy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 253))]
    pub volume_claim: String,

    /// How many tables are dumped at once. Default: 1, a single compressed file; more make a folder.
    #[serde(default = "default_jobs")]
    #[schemars(range(min = 1, max = 32))]
    pub jobs: u32,
}

/// Why there is no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waiver {
    /// The reason, for the people who will miss a snapshot later.
    #[schemars(length(min = 10, max = 500))]
    pub reason: String,
}

/// How a snapshot is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReadBack {
    /// Its table of contents can be listed. Does not notice a truncated dump.
    List,
    /// Every byte is read back and unpacked.
    #[default]
    Read,
    /// That, and it is restored into a scratch database, which is dropped. Needs CREATEDB for the migration role and
    /// room for a second copy on the server. Where `before.rehearsal` is on the snapshot, the rehearsal is this proof.
    Restore,
}

/// Which snapshots stay. One goes when it is neither among the last ones nor young enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Keep {
    /// How many of the newest always stay. Default: 7.
    #[serde(default = "default_last")]
    #[schemars(range(min = 1, max = 1000))]
    pub last: u32,

    /// How many days each one stays. Default: 30.
    #[serde(default = "default_days")]
    #[schemars(range(min = 0, max = 36500))]
    pub days: u32,
}

const fn default_jobs() -> u32 {
    1
}

const fn default_last() -> u32 {
    7
}

const fn default_days() -> u32 {
    30
}
