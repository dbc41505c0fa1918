//! All that a decision may read: plain values, gathered by `controller/observe.rs`. PURE: nothing here can
//! read anything.
//!
//! What could not be found out is a value too, and never counts as a pass.

pub use super::run::facts::{Fingerprint, JobState, ProgressFact, Run, RunPod, StageState};
use crate::{
    api::DatabaseMigrationStatus,
    contract::Route,
    validate::{ValidatedMigration, Violation},
};

/// Everything that is known about one DatabaseMigration at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`: another object of the same name is another object.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// It is being deleted.
    pub deleting: bool,
    /// The status as it was last written.
    pub published: DatabaseMigrationStatus,
    /// The policy that the manifest names.
    pub policy: PolicyFact,
    /// The manifest as meant, with what its policy says, or everything that is wrong with it.
    pub migration: Result<ValidatedMigration, Vec<Violation>>,
    /// The spec in its canonical form without `suspend`: the part of the digest that people write.
    pub spec: String,
    /// The value of the annotation `sluice.dev/retry`.
    pub retry: Option<String>,
    /// The value of the annotation `sluice.dev/abort`: the Job of a run.
    pub abort: Option<String>,
    /// The annotation `sluice.dev/paused` is set.
    pub paused: bool,
    /// Where the files are, and in which revision.
    pub source: SourceFact,
    /// Everyone whom `before` puts first: what `dependsOn` names, in its order, then those of the group.
    pub dependencies: Vec<Dependency>,
    /// Other DatabaseMigrations that run on the same database, or are about to.
    pub rivals: Vec<Rival>,
    /// The route of a run that may change something.
    pub route: Route,
    /// What the Jobs do that were created now; none while the manifest is not valid.
    pub fingerprints: Vec<Fingerprint>,
    /// The Jobs that say they belong to this object.
    pub runs: Vec<Run>,
    /// The entries of the MigrationGate that belong to this object.
    pub gate: Vec<String>,
    /// The database that they are about, as the gate says.
    pub gate_database: Option<String>,
    /// The versions of this object that gated workloads and other DatabaseMigrations wait for.
    pub required: Vec<String>,
    /// The step that the API server refused last, and its words.
    pub refused_step: Option<RefusedStep>,
    /// How far the run in hand is, as its Pod says.
    pub progress: Option<ProgressFact>,
    /// A person runs it outside a cluster: no controller follows with another attempt.
    pub by_hand: bool,
}

/// The MigrationPolicy that a manifest names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PolicyFact {
    /// It names none.
    #[default]
    NotNamed,
    /// The one of this name is there, and merged into the manifest.
    Found(String),
    /// There is none of this name in the namespace.
    Missing(String),
}

/// The source of the migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceFact {
    /// These ConfigMaps do not exist.
    Missing {
        /// Their names.
        names: Vec<String>,
    },
    /// It is there, as far as the controller can see.
    Found {
        /// Changes whenever the content does: names and resource versions of ConfigMaps, or the image's
        /// reference.
        revision: String,
    },
    /// Not read, because the spec does not say where it is.
    Unknown,
}

/// A DatabaseMigration that goes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Its name. Where no object has a place, the name of the group.
    pub name: String,
    /// Its place in the group, if that is why it goes first.
    pub position: Option<u32>,
    /// How it stands.
    pub state: DependencyState,
}

/// How a dependency stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DependencyState {
    /// There is no such object.
    Missing,
    /// It is being deleted.
    Deleting,
    /// No object has this place in the group.
    Vacant,
    /// It waits, directly or through others, for the object that waits for it: these, beginning and ending
    /// with the object in hand.
    Circular(Vec<String>),
    /// It is suspended before it was what is asked for; the reason it gives.
    Suspended(String),
    /// It is not Ready at its present generation; the reason it gives.
    NotReady(String),
    /// Its present generation is not applied; the reason it gives.
    NotApplied(String),
    /// It is far enough, but for this migration, which is not applied.
    Lacks(String),
    /// It is what is asked for.
    Ready,
}

/// Another DatabaseMigration of the same database with a run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Its name.
    pub name: String,
    /// It has an active Job. Otherwise it has only said that it will.
    pub running: bool,
    /// It was created before the object in hand (by time, then by name).
    pub older: bool,
}

/// A step that the API server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedStep {
    /// What could not be done and why, as a sentence.
    pub message: String,
}
