//! The closed set of condition types and how one condition is made.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::Reason;

/// One condition per section of the manifest, in its order, and the three that GitOps tools read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The newest migration is applied and verified, and the gate says so.
    Ready,
    /// Work is under way. Absent otherwise.
    Reconciling,
    /// Nothing moves until a person acts. Absent otherwise.
    Stalled,
    /// The source was read and compared with the database.
    Planned,
    /// Everything in `before` holds.
    Cleared,
    /// A proven snapshot exists, or none was needed.
    SnapshotReady,
    /// The release ran on a copy, within its limits, or none was needed. Absent where the manifest asks for no
    /// rehearsal.
    Rehearsed,
    /// Every pending migration is applied.
    Applied,
    /// The schema is the one that was meant.
    Verified,
}

impl ConditionType {
    /// Every type, in the order of the status.
    pub const ALL: [Self; 9] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::Planned,
        Self::Cleared,
        Self::SnapshotReady,
        Self::Rehearsed,
        Self::Applied,
        Self::Verified,
    ];

    /// The name as it stands in the status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Planned => "Planned",
            Self::Cleared => "Cleared",
            Self::SnapshotReady => "SnapshotReady",
            Self::Rehearsed => "Rehearsed",
            Self::Applied => "Applied",
            Self::Verified => "Verified",
        }
    }
}

/// A condition. `status` is `None` where it is not known: unknown is never a pass.
pub fn condition(
    kind: ConditionType,
    status: Option<bool>,
    reason: Reason,
    message: String,
    generation: i64,
    now: Timestamp,
) -> Condition {
    Condition {
        type_: kind.name().to_owned(),
        status: match status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
        .to_owned(),
        reason: reason.name().to_owned(),
        message,
        observed_generation: Some(generation),
        last_transition_time: Time(now),
    }
}
