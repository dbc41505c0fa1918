//! The closed set of reasons. Each doc comment defines when the reason holds; `docs/runbooks/` has a page for
//! each.

use serde::{Deserialize, Serialize};

use super::ConditionType;

/// Who has to act on a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A milestone is reached.
    Success,
    /// Work is under way or about to begin.
    Progress,
    /// Sluice retries automatically.
    Transient,
    /// Nothing moves until a person acts.
    NeedsUser,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident: $class:ident on $($condition:ident),*;)*) => {
        /// Why a condition has its status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[doc = $doc])* $name,)*
            /// Written by a newer version of Sluice than the one that reads it; never a pass.
            #[serde(other)]
            Unknown,
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)* Self::Unknown];

            /// The name as it stands in conditions.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* Self::Unknown => "Unknown" }
            }

            /// Who has to act on it.
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* Self::Unknown => Class::Transient }
            }

            /// The conditions on which it stands, the most telling first; none where it may be any.
            pub const fn conditions(self) -> &'static [ConditionType] {
                match self { $(Self::$name => &[$(ConditionType::$condition),*],)* Self::Unknown => &[] }
            }

            /// When it holds: the first paragraph of its runbook.
            pub fn definition(self) -> String {
                let text = match self {
                    $(Self::$name => concat!($($doc),*),)*
                    Self::Unknown => "A newer version of Sluice wrote it than the one that reads it. It is never a pass.",
                };
                text.trim().to_owned()
            }
        }
    };
}

reasons! {
    /// The object was seen; nothing was done yet.
    Pending: Progress on Ready;
    /// `spec.suspend` is true: nothing new starts.
    Suspended: Progress on Ready;
    /// The annotation `sluice.dev/paused` is set: nothing new starts, and a backfill stops after its batch.
    Paused: Progress on Ready, Applied;
    /// The spec contradicts itself or lacks something; the message lists every violation.
    InvalidSpec: NeedsUser on Ready;
    /// `spec.policyRef` names a MigrationPolicy that does not exist in the namespace.
    PolicyNotFound: NeedsUser on Ready;

    /// The plan stage is running, or about to.
    Planning: Progress on Planned;
    /// The source was compared with the history, and there is something to do.
    PlanReady: Success on Planned;
    /// The source was compared with the history, and there is nothing to do.
    NothingPending: Success on Planned;
    /// The source lacks exactly the newest applied migrations, and has nothing pending: it is an older
    /// release, and what is applied stays.
    DatabaseAhead: Success on Planned, Ready;
    /// Lint objects to the release with the weight Fail; each objection is a finding with its remedy.
    LintFailed: NeedsUser on Planned;
    /// Lint objects to the release with the weight Approve, and no waiver says why it is right.
    ApprovalNeeded: NeedsUser on Planned;
    /// A ConfigMap, an image or a folder of the source is not there yet.
    SourceNotFound: Transient on Planned;
    /// The source breaks a rule of its format: the message names the file.
    SourceInvalid: NeedsUser on Planned;
    /// The Secret or its key is not there yet.
    SecretNotFound: Transient on Planned;
    /// The connection URL cannot be read.
    ConnectionInvalid: NeedsUser on Planned;
    /// The server cannot be reached, or refuses the login.
    ConnectionFailed: Transient on Planned;
    /// The server does not speak TLS, its certificate is not one that the URL or `spec.database.tls` accepts,
    /// or it asks for the password in clear where others could read it.
    TlsFailed: NeedsUser on Planned;
    /// The server has no database of this name. Sluice never creates one.
    DatabaseNotFound: NeedsUser on Planned;
    /// The URL leads through a pooler, where locks and sessions do not hold.
    DirectConnectionRequired: NeedsUser on Planned;
    /// The server is older than PostgreSQL 15.
    ServerTooOld: NeedsUser on Planned;
    /// The migration role lacks a right it needs.
    PrivilegesMissing: NeedsUser on Planned;
    /// An applied migration was edited or is missing from the source, or a pending one is older than an
    /// applied one, and `spec.migrations.history` does not allow it.
    HistoryDiverged: NeedsUser on Planned;
    /// The history has a failed or unfinished row that Sluice did not write.
    HistoryDirty: NeedsUser on Planned;
    /// Another role could forge the history, or make the migration role run code when it is written.
    HistoryUntrusted: NeedsUser on Planned, Applied, Verified;
    /// The database has tables but no history, so the first migrations would collide with what is there.
    NonEmptyDatabase: NeedsUser on Planned;
    /// `spec.migrations.baseline` was asked for, and the schema is not what the migrations make; the findings
    /// say where.
    BaselineDiffers: NeedsUser on Planned, Applied;
    /// `spec.migrations.target` names a migration that the source does not have.
    TargetNotFound: NeedsUser on Planned;

    /// Everything in `before` holds.
    Cleared: Success on Cleared;
    /// A DatabaseMigration that `before` puts first is missing, or not as far as it must be.
    DependencyNotReady: Progress on Cleared;
    /// It waits, through others, for itself; the message names every member of the cycle.
    DependencyCycle: NeedsUser on Cleared, Stalled;
    /// `spec.before.window` is closed; the message says when it opens.
    WindowClosed: Progress on Cleared;
    /// Another DatabaseMigration runs on the same database.
    DatabaseBusy: Progress on Cleared;

    /// The snapshot is being taken or read back.
    SnapshotInProgress: Progress on SnapshotReady;
    /// A snapshot was taken and proven.
    SnapshotTaken: Success on SnapshotReady;
    /// Nothing is pending, so nothing needs a snapshot.
    SnapshotNotNeeded: Success on SnapshotReady;
    /// The manifest says to take none, and why.
    SnapshotWaived: Success on SnapshotReady;
    /// `pg_dump` failed; the message has its last words.
    SnapshotFailed: Transient on SnapshotReady;
    /// The snapshot's volume is full.
    NoSpace: NeedsUser on SnapshotReady;
    /// The snapshot could not be read back.
    SnapshotUnreadable: Transient on SnapshotReady;
    /// Row-level security hides rows from the migration role, so a dump would not be complete.
    SnapshotIncomplete: NeedsUser on SnapshotReady;
    /// `pg_dump` is older than the server.
    ClientTooOld: NeedsUser on SnapshotReady;

    /// The release is running on a copy.
    Rehearsing: Progress on Rehearsed;
    /// The release ran on a copy, within the limits of `spec.before.rehearsal`, and the checks found no error there.
    Rehearsed: Success on Rehearsed;
    /// Nothing is pending, so there is nothing to rehearse.
    RehearsalNotNeeded: Success on Rehearsed;
    /// The release failed on the copy, or a check found an error there; nothing of it runs on the database.
    RehearsalFailed: NeedsUser on Rehearsed;
    /// The release ran on the copy and exceeded a limit of `spec.before.rehearsal`; nothing of it runs on the
    /// database.
    RehearsalOverLimit: NeedsUser on Rehearsed;
    /// The snapshot cannot be restored into a scratch database; the message names what hinders it.
    RestoreFailed: NeedsUser on SnapshotReady, Rehearsed;

    /// The migrate stage is running.
    Migrating: Progress on Applied;
    /// Every pending migration is applied.
    Applied: Success on Applied;
    /// A migration failed; the message has SQLSTATE, file, line and statement.
    MigrationFailed: NeedsUser on Applied;
    /// The deadline of the run passed while a statement of a migration was at work, not waiting: starting it
    /// again would take as long.
    StatementTooSlow: NeedsUser on Applied;
    /// A migration kept a table locked against readers or writers for longer than `spec.apply.lockHeld`, while
    /// it worked: it was rolled back, and starting it again would keep them waiting for as long.
    LockHeldTooLong: NeedsUser on Applied;
    /// Row-level security hides rows of a table from the migration role, so a backfill would leave them as they
    /// are.
    RowsInvisible: NeedsUser on Applied;
    /// A row still matches the condition of a backfill when it was changed: it would never be done.
    NoProgress: NeedsUser on Applied;
    /// A person has aborted the run: its Pod is ended, and then Sluice reads what it left.
    Aborting: Progress on Ready, Applied;
    /// A person has aborted the run, and its sessions are gone; the message says what is applied.
    Aborted: NeedsUser on Applied;
    /// Another session holds a lock; the message names it and its age.
    WaitingForLock: Transient on Applied;
    /// The history changed between plan and migrate; Sluice plans again.
    HistoryChanged: Transient on Applied;

    /// The verify stage is running.
    Verifying: Progress on Verified;
    /// The schema is the one that was meant.
    Verified: Success on Verified;
    /// The schema breaks a check; the findings say which.
    VerificationFailed: NeedsUser on Verified;

    /// The database is not the one that this object's entries of the gate are about, so nothing is added to
    /// them.
    DatabaseChanged: NeedsUser on Verified;

    /// The run did not end within `spec.apply.deadline`, or before its window closed.
    DeadlineExceeded: Transient on Ready;
    /// The container of a stage needed more memory than its limit; the message names the setting to raise.
    OutOfMemory: Transient on Ready;
    /// The run's Pod died without a verdict; the next attempt reads the database.
    RunLost: Transient on Ready;
    /// The Job or the Pod of a run is not the one that Sluice makes: its result does not count.
    ForeignJob: NeedsUser on Ready, Stalled;
    /// A stage failed for a reason that has no name of its own; its log says more.
    StageFailed: Transient on Ready;
    /// A bug in Sluice: it stopped at a place that the message names. A retry would stop there again.
    InternalError: NeedsUser on Ready;
}

impl Reason {
    /// A reason by its name; `Unknown` for one of a newer version.
    pub fn named(name: &str) -> Self {
        Self::ALL.iter().copied().find(|reason| reason.name() == name).unwrap_or(Self::Unknown)
    }

    /// Whether a person has stopped the run, which is neither a failure nor the end of what it is for.
    pub const fn is_stop(self) -> bool {
        matches!(self, Self::Paused | Self::Aborting)
    }

    /// Whether Ready may be True for it.
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Verified | Self::DatabaseAhead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_a_newer_version_is_read_as_unknown() {
        assert_eq!(serde_json::from_str::<Reason>("\"FromTheFuture\"").ok(), Some(Reason::Unknown));
    }

    #[test]
    fn every_reason_reads_back_from_its_name() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::from_value::<Reason>(reason.name().into()).ok(), Some(*reason));
        }
    }

    #[test]
    fn unknown_is_never_a_pass() {
        assert_ne!(Reason::Unknown.class(), Class::Success);
    }
}
