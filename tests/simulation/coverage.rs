//! What really happened in the worlds, counted: a fault that hits nothing proves nothing.

use std::{collections::BTreeMap, fmt};

use super::story::{Clock, What};

/// Everything that has to happen somewhere among a few hundred seeds.
pub const KINDS: [&str; 76] = [
    "a DatabaseMigration is created",
    "a spec is edited",
    "a spec is edited while a run goes on",
    "what goes first is edited",
    "a window is edited",
    "a DatabaseMigration is deleted",
    "a DatabaseMigration is deleted in the foreground",
    "another attempt is wanted",
    "an abort is wanted",
    "a DatabaseMigration is paused, or goes on",
    "a source changes",
    "a source changes while a run goes on",
    "a source goes",
    "a policy changes",
    "a policy goes",
    "a Secret comes or goes",
    "the gate is deleted",
    "a workload is rolled out",
    "a schema breaks or is mended",
    "a request is lost",
    "the reply to a write is lost",
    "the reply to a read is lost",
    "a request is refused",
    "an object is read stale",
    "a LIST is stale",
    "a watch is slow",
    "a watch breaks",
    "a watch is too old to go on",
    "wake-ups are doubled and reordered",
    "an instance dies",
    "an instance dies before it writes a status",
    "an instance dies after it wrote a status",
    "an instance dies before it creates a Job",
    "an instance dies after it created a Job",
    "an instance dies before it deletes a Job",
    "an instance dies after it deleted a Job",
    "an instance dies before it writes the gate",
    "an instance dies after it wrote the gate",
    "an instance dies before it creates an Event",
    "an instance dies after it created an Event",
    "an instance dies before it lets a workload go",
    "an instance dies after it let a workload go",
    "what a dead instance had sent arrives",
    "an instance stands still",
    "an instance writes that no longer leads",
    "a Pod is evicted",
    "a Pod is evicted that migrates",
    "a container dies",
    "a container that migrates dies",
    "a container dies unseen",
    "a container that migrates dies unseen",
    "a Pod starts late",
    "a stage takes long",
    "a release is rehearsed",
    "a Pod wakes up late",
    "a Pod works on that was given up",
    "a Pod stands still that migrates",
    "a node vanishes under a Pod",
    "a node vanishes under a Pod that migrates",
    "a commit takes effect after its client died",
    "the API server's clock jumps",
    "a controller's clock jumps",
    "the nodes' clock jumps",
    "a clock jumps over the edge of a window",
    "a run begins in a window",
    "a run is cut to what is left of a window",
    "a run ends because its window closes",
    "a run that only verifies begins while a window is closed",
    "a run waits for a window",
    "a run waits for a dependency",
    "a run waits for a cycle",
    "a run waits for another one of its database",
    "a run fails and another attempt follows",
    "a run is aborted",
    "what an aborted run left is read",
    "a workload is let go",
];

/// How often each kind happened, and in how many worlds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<&'static str, (u64, u64)>);

impl Coverage {
    /// It happened.
    pub fn saw(&mut self, kind: &'static str) {
        assert!(KINDS.contains(&kind), "{kind:?} is not listed");
        let (times, worlds) = self.0.entry(kind).or_default();
        (*times, *worlds) = (*times + 1, 1);
    }

    /// An event of a story happened.
    pub fn tells(&mut self, what: &What, is_running: bool) {
        let kind = match what {
            What::Create { .. } => "a DatabaseMigration is created",
            What::Edit { section, value, .. } if section == "before" => {
                let of_the_window = value["window"].is_object();
                if of_the_window { "a window is edited" } else { "what goes first is edited" }
            }
            What::Edit { .. } if is_running => "a spec is edited while a run goes on",
            What::Edit { .. } => "a spec is edited",
            What::Delete { foreground: true, .. } => "a DatabaseMigration is deleted in the foreground",
            What::Delete { .. } => "a DatabaseMigration is deleted",
            What::Retry { .. } => "another attempt is wanted",
            What::Abort { .. } => "an abort is wanted",
            What::Hold { .. } => "a DatabaseMigration is paused, or goes on",
            What::Source { .. } if is_running => "a source changes while a run goes on",
            What::Source { .. } => "a source changes",
            What::NoSource { .. } => "a source goes",
            What::Policy { .. } => "a policy changes",
            What::NoPolicy { .. } => "a policy goes",
            What::Secret { .. } => "a Secret comes or goes",
            What::NoGate => "the gate is deleted",
            What::Workload { .. } => "a workload is rolled out",
            What::Schema { .. } => "a schema breaks or is mended",
            What::Pause { .. } => "an instance stands still",
            What::Clock { whose: Clock::Server, .. } => "the API server's clock jumps",
            What::Clock { whose: Clock::Instance(_), .. } => "a controller's clock jumps",
            What::Clock { whose: Clock::Nodes, .. } => "the nodes' clock jumps",
            // These are counted where they hit something.
            _ => return,
        };
        self.saw(kind);
    }

    pub fn add(&mut self, other: &Self) {
        for (kind, (times, worlds)) in &other.0 {
            let sum = self.0.entry(kind).or_default();
            *sum = (sum.0 + times, sum.1 + worlds);
        }
    }

    /// What never happened.
    pub fn missing(&self) -> Vec<&'static str> {
        KINDS.into_iter().filter(|kind| !self.0.contains_key(kind)).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>9} {:>9}", "times", "worlds")?;
        KINDS.iter().try_for_each(|kind| {
            let (times, worlds) = self.0.get(kind).copied().unwrap_or_default();
            writeln!(f, "{times:>9} {worlds:>9}  {kind}")
        })
    }
}

#[test]
fn what_never_happened_is_named_and_what_did_is_not() {
    let mut coverage = Coverage::default();
    assert_eq!(coverage.missing(), KINDS);
    coverage.saw(KINDS[0]);
    coverage.saw(KINDS[0]);
    let mut sum = Coverage::default();
    sum.add(&coverage);
    sum.add(&coverage);
    assert_eq!(sum.missing(), KINDS[1..]);
    assert_eq!(sum.0[KINDS[0]], (4, 2), "four times, in two worlds");
}
