//! What happens to a world from outside: what people do, and what goes wrong. A story is made from a seed, can be
//! written down, and stays a story when any of its events is taken out.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sluice::contract::Stage;

/// So long a fault waits for a Pod that it can strike, in milliseconds.
pub const PATIENCE: u64 = 60_000;

/// A story. The seed also decides how long everything takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Story {
    pub seed: u64,
    pub events: Vec<Event>,
}

/// Something that happens, this many milliseconds after the beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub at: u64,
    pub what: What,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum What {
    /// A person creates a DatabaseMigration.
    Create { name: String, spec: Value },
    /// A person replaces a section of the spec; null takes it out.
    Edit { name: String, section: String, value: Value },
    /// A person deletes a DatabaseMigration, and in the foreground waits for its Jobs.
    Delete { name: String, foreground: bool },
    /// A person asks for another attempt.
    Retry { name: String, word: String },
    /// A person aborts the run that the status tells of.
    Abort { name: String },
    /// A person pauses a DatabaseMigration, or lets it go on.
    Hold { name: String, paused: bool },
    /// A person writes a ConfigMap with these migrations.
    Source { map: String, migrations: Vec<String> },
    /// A person deletes a ConfigMap.
    NoSource { map: String },
    /// A person writes a MigrationPolicy with this deadline.
    Policy { name: String, deadline: String },
    /// A person deletes a MigrationPolicy.
    NoPolicy { name: String },
    /// A person creates the Secret of a database, or deletes it.
    Secret { name: String, there: bool },
    /// A person deletes the gate.
    NoGate,
    /// A person rolls out a workload that requires these versions of these DatabaseMigrations.
    Workload { name: String, requires: Vec<(String, String)> },
    /// The schema of a database breaks a check, or no longer does.
    Schema { database: String, broken: bool },

    /// An instance of the controller dies, and starts again after some seconds.
    Kill { instance: usize },
    /// The instance dies that makes the next write, or the next one of a kind.
    KillAtWrite { death: Death, write: Option<Write> },
    /// An instance stands still; when it goes on it does not know for a while that another one leads.
    Pause { instance: usize, ms: u64, unaware: u64 },
    /// Requests fail, so many of a thousand.
    Requests { trouble: Trouble, per_mille: u32, ms: u64 },
    /// Every watch of an instance breaks; it may have to list again.
    BreakWatches { instance: usize, gone: bool },
    /// Every watch of an instance tells of everything once more, in another order.
    WakeAgain { instance: usize },
    /// What an instance watches comes this much later, each kind in a time of its own.
    SlowWatches { instance: usize, upto: u64, ms: u64 },
    /// A Pod is evicted.
    Evict { victim: Victim },
    /// The container of the stage at work is killed; those behind it may not notice.
    KillContainer { victim: Victim, unseen: bool },
    /// A Pod stands still, and goes on this much later, whatever became of its session and of its Job.
    Freeze { victim: Victim, ms: u64 },
    /// The node of a Pod cannot be reached: nothing is heard of what runs there. It goes on, but for the first part of
    /// the time it may stand still.
    NodeVanishes { victim: Victim, ms: u64, still: u64 },
    /// Pods start this much later.
    SlowStart { upto: u64, ms: u64 },
    /// A stage takes this much longer.
    SlowStages { upto: u64, ms: u64 },
    /// A clock jumps, and is set right after a while.
    Clock { whose: Clock, seconds: i64, ms: u64 },
}

/// The Pod that a fault strikes: the next one at work, for as long as the fault has patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Victim {
    /// The stage at work; any where none is named.
    pub stage: Option<Stage>,
    /// How often that stage was at work before.
    pub turns: u32,
}

/// A kind of write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write {
    Status,
    Event,
    NewJob,
    JobGoes,
    Gate,
    /// A workload is let go.
    Workload,
}

/// When an instance dies that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Death {
    /// Before the write takes effect, which it never does.
    Before,
    /// While the write is on its way, where it stays for a moment.
    OnItsWay,
    /// After it took effect, and before the instance hears so.
    After,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// It never arrives.
    Lost,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// It is refused with this code.
    Refused(u16),
    /// The answer comes late, so that what it tells is old.
    Stale(u64),
}

/// Whose clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clock {
    Server,
    Instance(usize),
    Nodes,
}

impl What {
    /// The Pod that it strikes.
    pub const fn victim(&self) -> Option<Victim> {
        match self {
            Self::Evict { victim }
            | Self::KillContainer { victim, .. }
            | Self::Freeze { victim, .. }
            | Self::NodeVanishes { victim, .. } => Some(*victim),
            _ => None,
        }
    }

    /// When it no longer has an effect of its own.
    pub fn lasts(&self) -> u64 {
        match self {
            Self::Kill { .. } | Self::KillAtWrite { .. } => 5_000,
            Self::Pause { ms, unaware, .. } => ms + unaware,
            Self::Evict { .. } | Self::KillContainer { .. } => PATIENCE,
            Self::Freeze { ms, .. } | Self::NodeVanishes { ms, .. } => PATIENCE + ms,
            Self::Requests { ms, .. }
            | Self::SlowWatches { ms, .. }
            | Self::SlowStart { ms, .. }
            | Self::SlowStages { ms, .. }
            | Self::Clock { ms, .. } => *ms,
            _ => 0,
        }
    }
}

impl Story {
    /// When nothing is edited any more and nothing goes wrong.
    pub fn ends(&self) -> u64 {
        self.events.iter().map(|event| event.at + event.what.lasts()).max().unwrap_or(0)
    }

    /// Whether two instances may take themselves for the leader.
    pub fn has_two_leaders(&self) -> bool {
        self.events.iter().any(|event| matches!(event.what, What::Pause { .. }))
    }
}
