//! `spec.before.rehearsal`: the release is tried on a copy of the database before it runs.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ReaderSecret, Span};

/// A trial of each release in a scratch database, after the snapshot and before the first statement. What fails
/// there, or in the checks on the copy, or is over a limit, does not run. docs/rehearsal.md says what it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.limits) || !has(self.on) || self.on == \
    'Snapshot'").message("spec.before.rehearsal.limits need on: Snapshot: times and sizes of an empty schema mean \
    nothing"))]
pub struct Rehearsal {
    /// What the release is tried on. Default: `Snapshot`, which needs `spec.snapshot.dump`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<RehearsalGround>,

    /// The server that the copy is made on. Default: that of the database itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<RehearsalServer>,

    /// What must not be exceeded on the copy. Default: no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RehearsalLimits>,
}

/// What a release is tried on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RehearsalGround {
    /// The snapshot that was just taken, restored: with its rows. That it can be restored is proven by it.
    #[default]
    Snapshot,
    /// The applied migrations, replayed: an empty schema.
    Schema,
}

/// A server for copies, of the same major version as the database. The roles that own something in the database, or may
/// do something in it, have to exist there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RehearsalServer {
    /// The Secret that holds the connection URL of a role that may create databases there
    /// (`postgres://user:password@host:5432/name`). Only the stage `rehearse` gets it; without a cluster it comes from the
    /// environment: `SLUICE_REHEARSAL_URL`.
    pub secret_ref: ReaderSecret,
}

/// What a release must not exceed on the copy. A release that does ends with `RehearsalOverLimit`, and nothing
/// of it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RehearsalLimits {
    /// How long a table, view or sequence that was there before a transaction may stay locked in it against
    /// writers, or readers and writers, from the beginning of the statement that locks it until COMMIT. Default:
    /// no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_held: Option<Span>,

    /// How much of existing tables and indexes may be written anew, all statements together, as Kubernetes writes
    /// quantities: `256Mi`. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,15}(Ki|Mi|Gi|Ti)?$"))]
    pub rewrite: Option<String>,

    /// How long all statements may take together, with their COMMITs. To restore the copy does not count.
    /// Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
}
