//! The Kubernetes API of Sluice: group `sluice.dev/v1alpha1`, its three kinds, and the closed vocabulary of
//! conditions and reasons.
//!
//! `///` on a field is user documentation (`kubectl explain`). Nothing here knows a client, a pool, a clock
//! or `async`.

mod apply;
mod before;
mod check_id;
mod condition;
mod conventions;
mod database;
mod database_migration;
mod declared;
mod drift;
mod duration;
mod elsewhere;
mod finding;
mod finding_counts;
mod history;
mod lint;
mod migration_gate;
mod migrations;
mod on_failure;
mod phase;
mod pods;
mod policy;
mod queries;
mod reason;
mod rehearsal;
mod schema;
mod snapshot;
mod status;
mod verify;

pub use apply::{Apply, Atomicity, BackfillLimits, Blockers, Terminate};
pub use before::{Before, Dependency, DependencyCondition, Group, Window};
pub use check_id::{CheckId, UnknownCheck};
pub use condition::{ConditionType, condition};
pub use conventions::{
    ConventionPreset, ConventionSeverity, Conventions, MigrationNamePreset, MigrationNames, Style,
};
pub use database::{CaFrom, Database, DatabaseTls, SecretKeyRef};
pub use database_migration::{DatabaseMigration, DatabaseMigrationSpec, crd as database_migration_crd};
pub use declared::{
    ExpectedCounts, ForeignKeyVerification, KeyAction, RequiredColumn, RequiredEnum, RequiredForeignKey,
    RequiredTable, TableVerification,
};
pub use drift::DriftVerification;
pub use duration::{InvalidSpan, Span};
pub use elsewhere::{OtherDatabase, ReaderSecret};
pub use finding::{Finding, Severity};
pub use finding_counts::{CheckCount, FindingCounts, keep, spread};
pub use history::{AcceptedMigration, EditedMigrations, History, LateMigrations, MissingMigrations};
pub use lint::{LINT_RULES, LargeTable, Lint, LintPreset, LintWeight};
pub use migration_gate::{
    ANY_DATABASE, GATE_NAME, GatedDatabase, MigrationGate, MigrationGateSpec, crd as migration_gate_crd,
    entry,
};
pub use migrations::{Baseline, Format, Migrations, Resolve, ResolveAs};
pub use on_failure::{OnFailure, OnMigrationFailure};
pub use phase::{Phase, PhaseWhen};
pub use pods::{Pods, PullSecret, Resources, StageResources};
pub use policy::{
    MigrationPolicy, MigrationPolicySpec, PolicyRef, SECTIONS as POLICY_SECTIONS, Section,
    crd as migration_policy_crd,
};
pub use queries::{Compare, Expectation, PlannedQuery, QueryAssertion, Relation, RowCount, RowCounts};
pub use reason::{Class, Reason};
pub use rehearsal::{Rehearsal, RehearsalGround, RehearsalLimits, RehearsalServer};
pub use snapshot::{Dump, Keep, ReadBack, Snapshot, Waiver};
pub use status::{
    AppliedMigration, Blocker, DatabaseMigrationStatus, Failure, GateStatus, HeldMigration, HistoryEntry,
    LegStatus, LockHold, RequiredVersions, RunProgress, RunStatus, SectionResult, SnapshotRecord,
    StageTiming,
};
pub use verify::{
    ForeignKeyIndexes, IndexVerification, KeyChoice, Level, RequiredIndex, RowLevelSecurity, Tenant, Verify,
};

/// The API group of every kind.
pub const GROUP: &str = "sluice.dev";
/// The served and stored version.
pub const VERSION: &str = "v1alpha1";
/// Marks the Jobs and Pods that belong to a DatabaseMigration; the value is its name.
pub const LABEL_MIGRATION: &str = "sluice.dev/migration";
/// On a Job: the digest of what it was created for (spec and source).
pub const LABEL_DIGEST: &str = "sluice.dev/digest";
/// On a Job: which attempt it is, counted from 1.
pub const LABEL_ATTEMPT: &str = "sluice.dev/attempt";
/// Workloads that carry this label with the value `true` are gated.
pub const LABEL_GATED: &str = "sluice.dev/gated";
/// Written by the hold policy on a Deployment whose rollout it paused.
pub const ANNOTATION_HELD: &str = "sluice.dev/held";
/// Prefix of the annotations by which a Pod template says which version of which DatabaseMigration it needs.
pub const ANNOTATION_REQUIRES: &str = "requires.sluice.dev/";
/// Any new value makes Sluice try again after a halt.
pub const ANNOTATION_RETRY: &str = "sluice.dev/retry";
/// Its value is the name of the Job of the run that is to be aborted: `status.run.job`.
pub const ANNOTATION_ABORT: &str = "sluice.dev/abort";
/// While it is there, with any value but `false`, nothing new starts and a backfill stops after its batch.
pub const ANNOTATION_PAUSED: &str = "sluice.dev/paused";
/// The scheduling gate of a Pod template that must not start before its migration.
pub const SCHEDULING_GATE: &str = "sluice.dev/migrated";
/// Value of `app.kubernetes.io/managed-by` on everything the controller creates.
pub const MANAGED_BY: &str = "sluice";

/// Who wrote a field: one manager for each writer, so that `kubectl get -o yaml --show-managed-fields` tells
/// them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldManager {
    /// Creates Jobs.
    Jobs,
    /// Writes the status of DatabaseMigrations.
    Status,
    /// Un-pauses Deployments and lifts Pod gates.
    Rollout,
    /// Creates an empty MigrationGate. Its entries belong to a manager for each DatabaseMigration.
    Gate,
}

impl FieldManager {
    /// The name as the API server records it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jobs => "sluice-jobs",
            Self::Status => "sluice-status",
            Self::Rollout => "sluice-rollout",
            Self::Gate => "sluice-gate",
        }
    }
}
