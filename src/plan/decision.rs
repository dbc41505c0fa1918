//! What a section of the plan decides. PURE.

use std::time::Duration;

use super::step::Step;
use crate::api::{ConditionType, GateStatus, Reason, RunStatus};

/// Whether work is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Nothing to do, or nothing that may be done.
    Idle,
    /// Something is being done, or will be without a person's help.
    Reconciling,
    /// Nothing moves until a person acts.
    Stalled,
}

/// The decision of the first section that has something to say.
#[must_use]
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Ready's reason. Ready is True for `Verified` and `DatabaseAhead` alone.
    pub reason: Reason,
    /// Ready's message.
    pub message: String,
    /// Whether work is under way.
    pub activity: Activity,
    /// A condition that this section decides itself.
    pub section: Option<(ConditionType, bool)>,
    /// The run that is about to begin.
    pub begins: Option<RunStatus>,
    /// How the gates before the run stand, where one is closed.
    pub gates: Vec<GateStatus>,
    /// What to do.
    pub step: Option<Step>,
    /// When to reconcile again, should nothing happen.
    pub requeue: Option<Duration>,
}

impl Decision {
    /// Work is under way.
    pub fn reconciling(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            activity: Activity::Reconciling,
            section: None,
            begins: None,
            gates: Vec::new(),
            step: None,
            requeue: None,
        }
    }

    /// A person must act.
    pub fn stalled(reason: Reason, message: impl Into<String>) -> Self {
        Self { activity: Activity::Stalled, ..Self::reconciling(reason, message) }
    }

    /// There is nothing to do.
    pub fn idle(reason: Reason, message: impl Into<String>) -> Self {
        Self { activity: Activity::Idle, ..Self::reconciling(reason, message) }
    }

    /// The condition of this section has the same reason and message.
    pub fn decides(self, kind: ConditionType, holds: bool) -> Self {
        Self { section: Some((kind, holds)), ..self }
    }

    /// Reconcile again after this many seconds.
    pub fn again_after(self, seconds: u64) -> Self {
        Self { requeue: Some(Duration::from_secs(seconds)), ..self }
    }
}
