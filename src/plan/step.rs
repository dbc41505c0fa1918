//! What may be done next. PURE: `controller/act.rs` does it.

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    api::Span,
    contract::{Leg, Purpose},
};

/// One thing to do. Doing it twice is doing it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Step {
    /// Start an attempt.
    CreateJob(JobOrder),
    /// Let the MigrationGate say, for this object, exactly these entries.
    PublishGate {
        /// Every entry of this object, those that are there already included.
        entries: Vec<String>,
        /// The database that they are about, where that is known.
        database: Option<String>,
    },
    /// Throw away a Job, and its Pod with it.
    DeleteJob {
        /// Its name.
        job: String,
    },
}

impl Step {
    /// A word for logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CreateJob(_) => "job",
            Self::PublishGate { .. } => "gate",
            Self::DeleteJob { .. } => "delete",
        }
    }
}

/// Which attempt to start. Only the section `run` of the plan makes one, after every section before it has
/// passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobOrder {
    /// The Job's name.
    pub job: String,
    /// What it is created for.
    pub digest: String,
    /// Which attempt, counted from 1.
    pub attempt: u32,
    /// What the run is for.
    pub purpose: Purpose,
    /// Which leg of its route this Job is.
    pub leg: Leg,
    /// How long it may take, where that is less than `spec.apply.deadline`.
    pub deadline: Option<Span>,
    /// The moment at which it must have ended, whenever its Pod starts; `None` where Kubernetes has ended it by then.
    pub ends_by: Option<Timestamp>,
    /// The versions of which the verification says whether they are applied: what gated workloads wait for.
    pub required: Vec<String>,
}
