//! The gates before a leg of a run: each is one file, a function from the facts and the moment to open, closed
//! until, or closed because. PURE.
//!
//! A closed gate costs no Pod. The status says of all of them how they stand, so that the second is known of
//! before the first has opened.

mod window;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{again, situation::Situation, transition::whole_seconds, verdict::Verdict};
use crate::{
    api::{ConditionType, GateStatus, Reason, Span},
    contract::{Gate, Leg},
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

/// How each kind of gate stands; `None` where the manifest does not ask for it.
fn standing(gate: Gate, situation: &Situation) -> Option<Standing> {
    match gate {
        Gate::Window => window::stands(situation),
    }
}

/// The gates before a leg that the manifest asks for.
fn before<'a>(leg: Leg, situation: &'a Situation) -> impl Iterator<Item = (Gate, Standing)> + 'a {
    leg.gates().filter_map(|gate| Some((gate, standing(gate, situation)?)))
}

/// Every gate before the run is open. The first that is closed decides; the status lists all.
pub fn are_open(situation: &Situation) -> Option<Verdict> {
    let leg = again::purpose(situation).route().first();
    let gates: Vec<(Gate, Standing)> = before(leg, situation).collect();
    let closed = gates.iter().find_map(|(_, standing)| match standing {
        Standing::Closed { until, reason, message } => Some((*until, *reason, message.clone())),
        Standing::Open { .. } => None,
    });
    let (until, reason, message) = closed?;
    let requeue = until.and_then(|until| {
        let left = until.duration_since(situation.now).min(LONGEST_PAUSE);
        Duration::try_from(left).ok()
    });
    let verdict = Verdict::reconciling(reason, message).decides(ConditionType::Cleared, false);
    Some(Verdict { gates: gates.into_iter().map(status).collect(), requeue, ..verdict })
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

/// How long the Job of a leg may take: as long as the manifest says, and no longer than its gates stay open.
pub fn deadline(situation: &Situation, leg: Leg) -> Option<Span> {
    let said = situation.facts.migration.as_ref().ok()?.deadline;
    let closes = before(leg, situation).filter_map(|(_, standing)| match standing {
        Standing::Open { until } => until,
        Standing::Closed { .. } => None,
    });
    let left = u64::try_from(closes.min()?.duration_since(situation.now).as_secs()).ok()?;
    Some(Span::from_secs(left)).filter(|left| *left < said)
}
