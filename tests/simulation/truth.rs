//! What really happened, as the nodes and the databases know it: the controllers never see this, and what they publish
//! is held against it.

use std::collections::{BTreeMap, BTreeSet};

use sluice::{
    api::{Reason, entry},
    contract::{Outcome, Stage, Verdict},
};

use super::{api_server::Key, stages::Work};

/// How a run ended.
#[derive(Clone, Debug)]
pub struct End {
    /// `Verified`, or the reason of the failure.
    pub reason: Reason,
    /// The migrations of the source, as they were mounted.
    pub source: Vec<String>,
}

/// What happened so far.
#[derive(Debug, Default)]
pub struct Truth {
    /// By the name of the Job.
    pub ended: BTreeMap<String, End>,
    /// Entries of a gate that are applied and verified.
    pub proven: BTreeSet<String>,
    /// What was committed when the window of its run had closed.
    pub late: Option<String>,
    /// The Pods of each Job whose migrate stage has begun.
    migrated: BTreeMap<String, BTreeSet<String>>,
}

/// The DatabaseMigration that a Job is named after.
pub fn owner_of(job: &str) -> &str {
    job.rsplitn(3, '-').nth(2).unwrap_or_default()
}

impl Truth {
    /// The migrate stage of a Pod has begun.
    pub fn migrates(&mut self, job: &str, pod: &Key, uid: &str) {
        self.migrated.entry(job.to_owned()).or_default().insert(format!("{} {uid}", pod.2));
    }

    /// How many Pods of a Job's name have begun to migrate.
    pub fn migrations_of(&self, job: &str) -> usize {
        self.migrated.get(job).map_or(0, BTreeSet::len)
    }

    /// A stage of a Job ended.
    pub fn ends(&mut self, job: &str, work: &Work, outcome: &Outcome) {
        let passed = outcome.verdict == Verdict::Passed;
        if passed && outcome.stage != Stage::Verify {
            return;
        }
        let end = End { reason: outcome.reason, source: work.source.clone() };
        self.ended.insert(job.to_owned(), end);
        if passed {
            let rows = outcome.history.iter().flat_map(|history| &history.applied);
            self.proven.extend(rows.map(|row| entry(owner_of(job), row)));
        }
    }
}
