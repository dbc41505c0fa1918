//! The status of a DatabaseMigration: what is known, and since when.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Finding, FindingCounts, ReadBack};

/// What is known about the database, and what was done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseMigrationStatus {
    /// The generation of the spec this status speaks of; -1 until Sluice has seen the object.
    #[serde(default)]
    pub observed_generation: i64,

    /// The newest applied migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_version: Option<String>,

    /// How many migrations of the source are not applied yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,

    /// Since when the MigrationPolicy that `spec.policyRef` names is missing. Absent where it is there, or
    /// where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_missing_since: Option<Time>,

    /// The first migration of the source that waits for its time, with everything after it, although the rest is
    /// applied: Ready stays True meanwhile, and they are not counted in `pending`. Absent where none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldMigration>,

    /// Which database was verified last: PostgreSQL's system identifier and the oid of the database, as
    /// `SYSTEM/OID`. Absent where the role may not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,

    /// The newest applied migrations, newest first, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applied: Vec<AppliedMigration>,

    /// What gated workloads, or other DatabaseMigrations by `dependsOn.minVersion`, require and the database
    /// did not have when Sluice read its history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<RequiredVersions>,

    /// The sessions of others that the run waits for, as its Pod says, written at most every 10 seconds; once it has
    /// ended, those that kept it from what it needed. At most 5. Absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<Blocker>,

    /// The newest snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotRecord>,

    /// The run that is under way, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunStatus>,

    /// What has to be open before the next run, while something of it is closed: all of it, so that the
    /// second is known of before the first has opened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub gates: Vec<GateStatus>,

    /// What the last plan or verification objects to, at most 20: errors first, then something of each check.
    /// `findingCounts` says how many there are; `sluice verify` prints all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,

    /// How many findings the last plan or verification has, those that are not in `findings` included. Absent
    /// where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding_counts: Option<FindingCounts>,

    /// The last ten runs, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,

    /// Ready, and one condition per section of the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// One applied migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppliedMigration {
    /// Its name, which is the version that workloads require.
    pub name: String,
}

/// A migration with `-- sluice: contract` that waits until its expansion is old enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldMigration {
    /// Its name.
    pub migration: String,
    /// The migration that made the expansion: `of` of the directive.
    pub of: String,
    /// How many migrations are held, it included.
    pub count: u32,
    /// Since when the expansion is applied. Absent where it is not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// From when on it may run. Absent while the expansion is not applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eligible_at: Option<Time>,
    /// What keeps it: `Age`.
    pub gate: String,
    /// What it waits for, for people.
    pub message: String,
}

/// Versions that gated workloads or other DatabaseMigrations wait for and the database does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequiredVersions {
    /// Those that were not applied when Sluice read the history, at most 50. A name that no migration has is
    /// most likely a typing error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// When Sluice read it last.
    pub asked_at: Time,
    /// How many answers in a row opened nothing. After each, Sluice waits twice as long before it asks for
    /// other names, at most an hour.
    #[serde(default)]
    pub in_vain: u32,
}

/// A snapshot that was taken and proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRecord {
    /// Where it is: `CLAIM:PATH`; its path where `sluice run` took it outside a cluster.
    pub reference: String,
    /// When it was taken; it holds everything committed before.
    pub taken_at: Time,
    /// Its size in bytes.
    pub bytes: u64,
    /// The SHA-256 of the dump file, or of the manifest of a folder.
    pub sha256: String,
    /// How it was proven.
    pub verified: ReadBack,
}

/// How something stands that has to be open before a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// What it is: `Window`.
    pub name: String,
    /// It keeps nothing from beginning.
    pub open: bool,
    /// When it opens without a person's help. Absent where it is open, and where another thing has to happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eligible_at: Option<Time>,
    /// What it waits for. Absent where it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One run: a Job and how far it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// The Job.
    pub job: String,
    /// What it was created for: a digest of the spec and the source.
    pub digest: String,
    /// Which attempt at this digest it is, counted from 1. A leg that follows another one has its number.
    pub attempt: u32,
    /// The SHA-256 of what its Job does: images, commands, environment and volumes. A Job that does anything
    /// else is not this one, whatever its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The stage it is in, or ended in: `plan`, `snapshot`, `rehearse`, `migrate` or `verify`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// When it ended. Absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How it ended: the reason of the condition it decided. Absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What this run has found about the sections of the manifest; and what an earlier attempt at the same
    /// digest has found, for as long as this one is not that far. A section that is missing was not reached.
    /// The conditions are made from this: Sluice never reads them back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["section"]))]
    pub sections: Vec<SectionResult>,
    /// The legs of the run that have passed, in order. A leg is what one Job does between two stops; most runs have
    /// one. A leg that is listed is not begun again for this digest, but for the last one where the run did not
    /// end well after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["number"]))]
    pub legs: Vec<LegStatus>,
    /// How far it is, as its Pod says while it works: names and counts, written at most every 10 seconds.
    /// Absent in its first 10 seconds, once it has ended, and while the controller cannot reach the Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<RunProgress>,
    /// The SHA-256 of the record of this run, which Sluice keeps in the table `sluice.records` of the
    /// database: `sluice report --from-database --record` reads it and compares the two. Absent where none is
    /// kept: nothing was to do, the run only verified, or the migration role may not create the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
}

impl RunStatus {
    /// A Job of it is at work, or is to be created now. Between two legs none is, and what the next one waits for
    /// may take days.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.finished_at.is_none() && !self.is_between_legs()
    }

    /// Its Job was that of a leg that has passed, and the next leg has not begun.
    #[must_use]
    pub fn is_between_legs(&self) -> bool {
        self.finished_at.is_none() && self.legs.iter().any(|leg| leg.job == self.job)
    }
}

/// A leg of a run that has passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LegStatus {
    /// Its place in the route of the run, counted from 1.
    pub number: u32,
    /// The Job that passed it.
    pub job: String,
    /// When it ended.
    pub finished_at: Time,
    /// The SHA-256 of the verdicts of its stages. Two legs with the same one have proven the same.
    pub verdict: String,
}

/// What a run has found about one section of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SectionResult {
    /// The section, by the type of its condition: `Planned`, `SnapshotReady`, `Rehearsed`, `Applied` or `Verified`.
    pub section: String,
    /// Whether the section holds. Absent where that is not known, which never counts as true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
    /// Why.
    pub reason: String,
    /// The sentence of the stage that decided, for people.
    pub message: String,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunProgress {
    /// In a few words: `20240216_visits (2 of 5), statement 3 of 7`. With how far an index is, in PostgreSQL's words
    /// and in percent of its phase, and the session that it waits for.
    pub summary: String,
    /// `plan`, `snapshot`, `rehearse`, `migrate` or `verify`.
    pub stage: String,
    /// The migration that runs. Absent where none does, and where the verdict of the plan, which is bounded,
    /// does not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<String>,
    /// Which of the pending migrations that is, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// How many are pending in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<u32>,
    /// Which of its statements runs, counted from 1. Absent where PostgreSQL gets several of them as one
    /// message, and answers when all have ended: mostly in a transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<u32>,
    /// How many it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statements: Option<u32>,
    /// Since when it has been at this migration, or this stage, by the Pod's clock.
    pub since: Time,
    /// When the controller read it.
    pub seen_at: Time,
}

/// One run of the past, or one leg of it: what one Job did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The Job.
    pub job: String,
    /// How it ended: as `status.run.reason`. A leg that passed and was not the last one has the reason of its last
    /// stage.
    pub reason: String,
    /// When it ended.
    pub finished_at: Time,
    /// The SHA-256 of its record, as in `status.run.record`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// How long each stage took, in the order they ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageTiming>,
}

/// How long one stage took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageTiming {
    /// `plan`, `snapshot`, `rehearse`, `migrate` or `verify`.
    pub stage: String,
    /// In milliseconds, by the stage's own clock.
    pub milliseconds: u64,
}

/// A migration that failed, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The migration.
    pub migration: String,
    /// The file inside the source.
    pub file: String,
    /// The line of the file, counted from 1.
    pub line: u32,
    /// The column of the line, in characters and counted from 1; none where PostgreSQL names no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The beginning of the statement.
    pub statement: String,
    /// PostgreSQL's five-character code; empty when the failure is not PostgreSQL's.
    pub sqlstate: String,
    /// PostgreSQL's message.
    pub message: String,
    /// What is left of the release in the database, and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub left: String,
}

/// How long a release kept a table locked that was there before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LockHold {
    /// The table, view or sequence, with its schema; an index counts for its table.
    pub table: String,
    /// The strongest lock on it: `ACCESS EXCLUSIVE` keeps readers and writers waiting, `SHARE`, `SHARE ROW
    /// EXCLUSIVE` and `EXCLUSIVE` keep writers.
    pub mode: String,
    /// The longest time in one transaction, in milliseconds; measured 50 times a second, so a shorter one may
    /// be missing.
    pub milliseconds: u64,
}

/// A session that others wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// Its process id on the server.
    pub pid: i32,
    /// Its application_name.
    pub application: String,
    /// Its role.
    pub user: String,
    /// `active`, `idle in transaction` and so on.
    pub state: String,
    /// How long its transaction has been open, in seconds.
    pub age_seconds: u64,
}
