//! The closed set of reasons. Each doc comment defines when the reason holds; `docs/runbooks/` has a page for
//! each.

use serde::{Deserialize, Serialize};

/// What a reason asks of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A milestone is reached.
    Success,
    /// Work is under way or about to begin.
    Progress,
    /// It will be tried again without anybody's help.
    Transient,
    /// Nothing moves until a person acts.
    NeedsUser,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident: $class:ident,)*) => {
        /// Why a condition has its status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
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

            /// What it asks of whom.
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* Self::Unknown => Class::Transient }
            }
        }
    };
}

reasons! {
    /// The object was seen; nothing was done yet.
    Pending: Progress,
    /// `spec.suspend` is true: nothing new starts.
    Suspended: Progress,
    /// The spec contradicts itself or lacks something; the message lists every violation.
    InvalidSpec: NeedsUser,
    /// `spec.policyRef` names a MigrationPolicy that does not exist in the namespace.
    PolicyNotFound: NeedsUser,

    /// The plan stage is running, or about to.
    Planning: Progress,
    /// The source was compared with the history, and there is something to do.
    PlanReady: Success,
    /// The source was compared with the history, and there is nothing to do.
    NothingPending: Success,
    /// The source lacks exactly the newest applied migrations, and has nothing pending: it is an older
    /// release, and what is applied stays.
    DatabaseAhead: Success,
    /// A ConfigMap, an image or a folder of the source is not there yet.
    SourceNotFound: Transient,
    /// The source breaks a rule of its format: the message names the file.
    SourceInvalid: NeedsUser,
    /// The Secret or its key is not there yet.
    SecretNotFound: Transient,
    /// The connection URL cannot be read.
    ConnectionInvalid: NeedsUser,
    /// The server cannot be reached, or refuses the login.
    ConnectionFailed: Transient,
    /// The server does not speak TLS, its certificate is not one that the URL or `spec.database.tls` accepts,
    /// or it asks for the password in clear where others could read it.
    TlsFailed: NeedsUser,
    /// The server has no database of this name. Sluice never creates one.
    DatabaseNotFound: NeedsUser,
    /// The URL leads through a pooler, where locks and sessions do not hold.
    DirectConnectionRequired: NeedsUser,
    /// The server is older than PostgreSQL 15.
    ServerTooOld: NeedsUser,
    /// The migration role lacks a right it needs.
    PrivilegesMissing: NeedsUser,
    /// An applied migration was edited or is missing from the source, or a pending one is older than an
    /// applied one, and `spec.migrations.history` does not let it through.
    HistoryDiverged: NeedsUser,
    /// The ledger has a failed or unfinished row that Sluice did not write.
    HistoryDirty: NeedsUser,
    /// Somebody else could forge the history, or make the migration role run code when it is written.
    HistoryUntrusted: NeedsUser,
    /// The database has tables but no history, so the first migrations would collide with what is there.
    NonEmptyDatabase: NeedsUser,
    /// `spec.migrations.baseline` was asked for, and the schema is not what the migrations make; the findings
    /// say where.
    BaselineDiffers: NeedsUser,
    /// `spec.migrations.target` names a migration that the source does not have.
    TargetNotFound: NeedsUser,

    /// Everything in `before` holds.
    Cleared: Success,
    /// A DatabaseMigration that `before` puts first is missing, or not as far as it must be.
    DependencyNotReady: Progress,
    /// It waits, through others, for itself; the message names everyone in the circle.
    DependencyCycle: NeedsUser,
    /// Another DatabaseMigration runs on the same database.
    DatabaseBusy: Progress,

    /// The snapshot is being taken or read back.
    SnapshotInProgress: Progress,
    /// A snapshot was taken and proven.
    SnapshotTaken: Success,
    /// Nothing is pending, so nothing needs a snapshot.
    SnapshotNotNeeded: Success,
    /// The manifest says to take none, and why.
    SnapshotWaived: Success,
    /// `pg_dump` failed; the message has its last words.
    SnapshotFailed: Transient,
    /// The snapshot's volume is full.
    NoSpace: NeedsUser,
    /// The snapshot could not be read back.
    SnapshotUnreadable: Transient,
    /// Row-level security hides rows from the migration role, so a dump would not be complete.
    SnapshotIncomplete: NeedsUser,
    /// `pg_dump` is older than the server.
    ClientTooOld: NeedsUser,

    /// The migrate stage is running.
    Migrating: Progress,
    /// Every pending migration is applied.
    Applied: Success,
    /// A migration failed; the message has SQLSTATE, file, line and statement.
    MigrationFailed: NeedsUser,
    /// The deadline of the run passed while a statement of a migration was at work, not waiting: starting it
    /// again would take as long.
    StatementTooSlow: NeedsUser,
    /// Somebody else holds a lock; the message names them and their age.
    WaitingForLock: Transient,
    /// The history changed between plan and migrate; the plan is made again.
    HistoryChanged: Transient,

    /// The verify stage is running.
    Verifying: Progress,
    /// The schema is the one that was meant.
    Verified: Success,
    /// The schema breaks a check; the findings say which.
    VerificationFailed: NeedsUser,

    /// The database is not the one that this object's entries of the gate are about, so nothing is added to
    /// them.
    DatabaseChanged: NeedsUser,

    /// The run did not end within `spec.apply.deadline`.
    DeadlineExceeded: Transient,
    /// The container of a stage needed more memory than its limit; the message names the setting to raise.
    OutOfMemory: Transient,
    /// The run's Pod died without a verdict; the next attempt asks the database.
    RunLost: Transient,
    /// The Job or the Pod of a run is not the one that Sluice makes: its result does not count.
    ForeignJob: NeedsUser,
    /// A stage failed for a reason that has no name of its own; its log says more.
    StageFailed: Transient,
    /// Sluice itself is wrong: it stopped at a place that the message names. Trying again would stop there
    /// again.
    InternalError: NeedsUser,
}

impl Reason {
    /// A reason by its name; `Unknown` for one of a newer version.
    pub fn named(name: &str) -> Self {
        Self::ALL.iter().copied().find(|reason| reason.name() == name).unwrap_or(Self::Unknown)
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
