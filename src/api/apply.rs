//! The section `apply`: how the migrations run.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// How the migrations run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Apply {
    /// What is one transaction. Default: `Release`.
    #[serde(default)]
    pub atomicity: Atomicity,

    /// How long one attempt may make others queue behind its lock request; Sluice retries until the deadline.
    /// Default: `100ms`.
    #[serde(default = "default_lock_timeout")]
    pub lock_timeout: Span,

    /// How long a table, view or sequence that was there before a transaction may stay locked in it against
    /// writers, or readers and writers: by SHARE or a stronger lock. CREATE INDEX CONCURRENTLY takes none. Once
    /// that is over Sluice cancels the statement that is at work, the transaction is rolled back, and the run
    /// ends with `LockHeldTooLong`. At least `100ms`. Absent: for as long as the migration takes, as with
    /// Prisma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('100ms')").message("spec.apply.lockHeld must be \
        at least 100ms; leave it out to set no limit"))]
    pub lock_held: Option<Span>,

    /// What becomes of the sessions of others that a migration waits for. Absent: Sluice names them, and ends
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blockers: Option<Blockers>,

    /// How long one statement may run; index builds that are CONCURRENTLY are exempt. Default: `5m`.
    #[serde(default = "default_statement_timeout")]
    pub statement_timeout: Span,

    /// How long a whole attempt may take, snapshot and verification included. Default: `30m`.
    #[serde(default = "default_deadline")]
    pub deadline: Span,

    /// How many attempts Sluice makes at the same spec and source before a person has to act: after the last one
    /// `Stalled` is True, with the reason of its failure, until the source, the spec or the annotation
    /// `sluice.dev/retry` changes. A failure that would come again ends it at once, whatever this says; a
    /// verification that is only repeated is not counted. From 1 to 1000. Absent: Sluice retries for as long as it
    /// may help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub attempts: Option<u32>,

    /// Whether the log of a stage's container repeats everything that PostgreSQL says: DETAIL, CONTEXT,
    /// NOTICEs and texts of RAISE, which may quote rows and literals. They stand nowhere else, whatever this
    /// says. Default: `false`.
    #[serde(default)]
    pub log_data: bool,

    /// How statements under `-- sluice: backfill` run. Default: as each of them says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<BackfillLimits>,
}

impl Default for Apply {
    fn default() -> Self {
        Self {
            atomicity: Atomicity::default(),
            lock_timeout: default_lock_timeout(),
            lock_held: None,
            blockers: None,
            statement_timeout: default_statement_timeout(),
            deadline: default_deadline(),
            attempts: None,
            log_data: false,
            backfill: None,
        }
    }
}

/// What becomes of the sessions of others that a migration waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Blockers {
    /// Which of them Sluice ends: their transactions are rolled back, and their clients get an error. Only sessions
    /// of clients, never one of Sluice's own or of a replica; and those that the migration role may end, because
    /// they are of the same role or it has pg_signal_backend. Default: `Never`.
    #[serde(default)]
    pub terminate: Terminate,

    /// How old the transaction of such a session must be. At least `1s`. Default: `30s`.
    #[serde(default = "default_blockers_after")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("spec.apply.blockers.after must \
        be at least 1s"))]
    pub after: Span,
}

impl Default for Blockers {
    fn default() -> Self {
        Self { terminate: Terminate::default(), after: default_blockers_after() }
    }
}

/// Which sessions that block are ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Terminate {
    /// None.
    #[default]
    Never,
    /// Those that do nothing: `idle in transaction`, aborted or not.
    IdleInTransaction,
    /// Whatever they do, except those that wait for a lock themselves.
    Any,
}

/// What holds for every statement that runs in batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackfillLimits {
    /// How far a replica may be behind before a batch begins; Sluice waits for it, and says so. More than
    /// `0s`. Where a directive says `max-lag=` too, the smaller one counts. The migration role needs
    /// `pg_monitor` to see it; without, the run fails with PrivilegesMissing where a replica is connected.
    /// Default: any lag, where the directive allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) > \
        duration('0s')").message("spec.apply.backfill.maxLag must be more than 0s"))]
    pub max_lag: Option<Span>,
}

/// What is one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Atomicity {
    /// Everything that is pending, with its history rows and the verification; cut only where PostgreSQL
    /// demands it.
    #[default]
    Release,
    /// Each migration with its history row.
    Migration,
}

const fn default_lock_timeout() -> Span {
    Span::from_millis(100)
}

const fn default_blockers_after() -> Span {
    Span::from_secs(30)
}

const fn default_statement_timeout() -> Span {
    Span::from_secs(300)
}

const fn default_deadline() -> Span {
    Span::from_secs(1800)
}
