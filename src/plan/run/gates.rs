//! Gates before a leg of a run: how each stands the kind of the object says, and what follows from that is the
//! same for all. PURE.
//!
//! A closed gate costs no Pod. The status says of all of them how they stand, so that the second is known of
//! before the first has opened.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::clock::whole_seconds;
use crate::{
    api::{ConditionType, GateStatus, Reason, Span},
    contract::Gate,
    limits::JOB_GRACE_SECONDS,
    plan::decision::Decision,
};

/// The longest time between two reconciles. A clock that was wrong when the pause began and is set right wakes
/// no object: so late, at most, Sluice notices that a gate is open.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// How a gate stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The leg may begin.
    Open {
        /// It has to end by then.
        until: Option<Timestamp>,
    },
    /// It may not.
    Closed {
        /// When the gate opens without a person's help; `None` where another thing has to happen.
        until: Option<Timestamp>,
        /// Why.
        reason: Reason,
        /// For people.
        message: String,
    },
}

/// The first gate that is closed decides; the status lists all. `None` where every gate is open.
pub fn closed(gates: Vec<(Gate, Standing)>, now: Timestamp) -> Option<Decision> {
    let closed = gates.iter().find_map(|(_, standing)| match standing {
        Standing::Closed { until, reason, message } => Some((*until, *reason, message.clone())),
        Standing::Open { .. } => None,
    });
    let (until, reason, message) = closed?;
    let requeue = until.and_then(|until| {
        let left = until.duration_since(now).min(LONGEST_PAUSE);
        Duration::try_from(left).ok()
    });
    let decision = Decision::reconciling(reason, message).decides(ConditionType::Cleared, false);
    Some(Decision { gates: gates.into_iter().map(status).collect(), requeue, ..decision })
}

fn status((gate, standing): (Gate, Standing)) -> GateStatus {
    let name = gate.name().to_owned();
    match standing {
        Standing::Open { .. } => GateStatus { name, open: true, eligible_at: None, message: None },
        Standing::Closed { until, message, .. } => GateStatus {
            name,
            open: false,
            eligible_at: until.map(|until| Time(whole_seconds(until))),
            message: Some(message),
        },
    }
}

/// When a Job has to have ended because its gates close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// How long it may take from its creation, where that is less than the manifest says.
    pub within: Option<Span>,
    /// The moment, where Kubernetes would let it go on for longer.
    pub by: Option<Timestamp>,
}

/// What follows for a Job that may take `most`, and is ended a while later by Kubernetes.
pub fn end(gates: impl Iterator<Item = (Gate, Standing)>, most: Span, now: Timestamp) -> End {
    let closes = gates.filter_map(|(_, standing)| match standing {
        Standing::Open { until } => until,
        Standing::Closed { .. } => None,
    });
    let Some(closes) = closes.min() else { return End::default() };
    let left = u64::try_from(closes.duration_since(now).as_secs()).unwrap_or_default();
    let ended = most.duration().as_secs().saturating_add(JOB_GRACE_SECONDS.unsigned_abs());
    End {
        within: Some(Span::from_secs(left)).filter(|left| *left < most),
        by: Some(closes).filter(|_| left < ended),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::moment;

    #[test]
    fn a_job_is_told_when_its_gates_close_unless_it_has_ended_by_then_in_any_case() {
        let end = |until: &[Option<i64>]| {
            let open = |until: &Option<i64>| (Gate::Window, Standing::Open { until: until.map(moment) });
            end(until.iter().map(open), Span::from_secs(600), moment(0))
        };
        let (some, grace) = (|seconds| Some(Span::from_secs(seconds)), JOB_GRACE_SECONDS);
        assert_eq!(end(&[]), End::default());
        assert_eq!(end(&[None]), End::default());
        assert_eq!(end(&[Some(90)]), End { within: some(90), by: Some(moment(90)) });
        assert_eq!(end(&[None, Some(90), Some(50)]), End { within: some(50), by: Some(moment(50)) });
        assert_eq!(end(&[Some(600)]), End { within: None, by: Some(moment(600)) });
        assert_eq!(end(&[Some(599 + grace)]), End { within: None, by: Some(moment(599 + grace)) });
        assert_eq!(end(&[Some(600 + grace)]), End::default());
    }
}
