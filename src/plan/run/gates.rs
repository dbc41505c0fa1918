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
    plan::decision::Decision,
};

/// The longest time between two reconciles: timers have an end, and schedules need not.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(24);

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

/// How long a Job that may take `most` may take, where its gates do not stay open for so long.
pub fn deadline(gates: impl Iterator<Item = (Gate, Standing)>, most: Span, now: Timestamp) -> Option<Span> {
    let closes = gates.filter_map(|(_, standing)| match standing {
        Standing::Open { until } => until,
        Standing::Closed { .. } => None,
    });
    let left = u64::try_from(closes.min()?.duration_since(now).as_secs()).ok()?;
    Some(Span::from_secs(left)).filter(|left| *left < most)
}
