//! What a decision about runs may read, whatever the kind of the object: its Jobs and Pods as Kubernetes tells
//! them, what its status remembers, and what it asks for. PURE.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    api::{Blocker, HistoryEntry, RunStatus},
    contract::{Leg, Outcome, Progress, Purpose, Route, Stage},
};

/// What is known about the runs of one object.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    /// `metadata.name`.
    pub name: &'a str,
    /// `metadata.uid`.
    pub uid: &'a str,
    /// The digest of the run that the object asks for; `None` while it asks for none.
    pub desired: Option<String>,
    /// The route of a run that may change something.
    pub route: Route,
    /// What the Jobs do that were created now; none while that is not known.
    pub fingerprints: &'a [Fingerprint],
    /// The image that the manifest brings, where it brings one.
    pub image: Option<&'a str>,
    /// The Jobs that say they belong to this object.
    pub runs: &'a [Run],
    /// What the status remembers, as it was last written.
    pub published: Remembered<'a>,
    /// How far the run in hand is, as its Pod says.
    pub progress: Option<&'a ProgressFact>,
    /// The Job of the run that a person aborts, where one does.
    pub abort: Option<&'a str>,
    /// A person lets nothing new start, and no batch of a backfill.
    pub paused: bool,
    /// A person runs it outside a cluster: no other attempt follows.
    pub by_hand: bool,
}

impl Known<'_> {
    /// The fingerprint of what the Job of a leg does that were created now; `None` while that is not known.
    pub fn fingerprint(&self, leg: Leg) -> Option<&String> {
        let found = self.fingerprints.iter().find(|known| known.leg.works_as(leg))?;
        Some(&found.work)
    }
}

/// By this Sluice recognises the Jobs of a leg, and of every other that does the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The leg.
    pub leg: Leg,
    /// The SHA-256 of what its Job does.
    pub work: String,
}

/// What a status remembers of runs.
#[derive(Clone, Copy, Debug)]
pub struct Remembered<'a> {
    /// The run that is under way, or the last one.
    pub run: Option<&'a RunStatus>,
    /// Those that ended, newest first.
    pub history: &'a [HistoryEntry],
    /// The sessions that the last run waited for, or the one in hand waits for.
    pub blocked_by: &'a [Blocker],
}

/// A Job and its Pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The Job's name.
    pub job: String,
    /// What it was created for.
    pub digest: String,
    /// Which attempt, counted from 1.
    pub attempt: u32,
    /// When it was created.
    pub started: Timestamp,
    /// It is being deleted; it stays until its Pod is gone.
    pub deleting: bool,
    /// What it is for.
    pub purpose: Purpose,
    /// Which leg of its route it is.
    pub leg: Leg,
    /// The fingerprint of what it does: by this Sluice recognises its own.
    pub fingerprint: String,
    /// The first place in which it differs from a Job that were created now.
    pub differs: Option<String>,
    /// The first place in which its Pod differs from what the Job says.
    pub pod_differs: Option<String>,
    /// What the Job controller says.
    pub state: JobState,
    /// `activeDeadlineSeconds` had passed, and the Job controller stops or stopped it.
    pub deadline: bool,
    /// What the kubelet says; `None` when there is no Pod.
    pub pod: Option<RunPod>,
}

/// What the Job controller says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It has not ended, or its Pod has not.
    Active,
    /// Every container ended with 0.
    Complete {
        /// When.
        at: Timestamp,
    },
    /// It failed.
    Failed {
        /// When.
        at: Timestamp,
        /// The Job controller's words.
        message: String,
    },
}

impl JobState {
    /// It has ended, and its Pod with it.
    pub const fn ended(&self) -> bool {
        !matches!(self, Self::Active)
    }
}

/// What the kubelet says about a run's Pod.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPod {
    /// Its name, for messages.
    pub name: String,
    /// Its address as the kubelet tells it, once it has one.
    pub address: Option<String>,
    /// Why the scheduler finds no place for it.
    pub unschedulable: Option<String>,
    /// How far each stage is; one that is missing is unknown.
    pub stages: BTreeMap<Stage, StageState>,
}

impl RunPod {
    /// How far one stage is.
    pub fn stage(&self, stage: Stage) -> &StageState {
        self.stages.get(&stage).unwrap_or(&StageState::Unknown)
    }
}

/// How far the container of a stage is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum StageState {
    /// The kubelet has said nothing about it.
    #[default]
    Unknown,
    /// It has not started.
    Waiting {
        /// The kubelet's reason, for instance `ImagePullBackOff`.
        reason: String,
        /// The kubelet's words.
        message: String,
    },
    /// It runs.
    Running,
    /// It ended.
    Terminated {
        /// When.
        at: Timestamp,
        /// What it left; `None` when there is nothing that can be read.
        outcome: Option<Box<Outcome>>,
        /// The kubelet's words where there is no Outcome: `OOMKilled`, `Error (137)`.
        why: String,
    },
}

/// What the Pod of a Job said of how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressFact {
    /// The Job.
    pub job: String,
    /// Bounded, and with names of the plan alone.
    pub progress: Progress,
}
