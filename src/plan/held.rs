//! A migration that is held becomes due: the plan judges it once more, in a run like any other. PURE.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{decision::Decision, situation::Situation};
use crate::{api::RunStatus, limits::CLOCK_SKEW};

/// A run whose plan still holds it was made by another clock: the next one follows no sooner than this.
const NOT_BEFORE: SignedDuration = SignedDuration::from_mins(1);
/// The longest time between two reconciles: a clock that was wrong and is set right wakes no object.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// What is in the way wakes the object when it changes; this is for a change that was missed.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// When a run is to follow the last one, because what is held may run by then.
fn due(situation: &Situation, run: &RunStatus) -> Option<Timestamp> {
    let eligible_at = situation.status.held.as_ref()?.eligible_at.as_ref()?.0;
    let due = eligible_at.saturating_add(CLOCK_SKEW).unwrap_or(Timestamp::MAX);
    let ended = run.finished_at.as_ref().map_or(Timestamp::MIN, |ended| ended.0);
    if ended < due {
        return Some(due);
    }
    Some(ended.saturating_add(NOT_BEFORE).unwrap_or(Timestamp::MAX))
}

/// What is held may run, as far as its own gate is concerned.
pub fn is_due(situation: &Situation, run: &RunStatus) -> bool {
    due(situation, run).is_some_and(|due| situation.now >= due)
}

/// Adds to the verdict about a settled run that it is judged again then.
pub fn until_due(situation: &Situation, run: &RunStatus, decision: Decision) -> Decision {
    let Some(due) = due(situation, run) else { return decision };
    let left = Duration::try_from(due.duration_since(situation.now).min(LONGEST_PAUSE));
    let left = left.ok().filter(|left| !left.is_zero()).unwrap_or(LOOK_AGAIN);
    Decision { requeue: Some(decision.requeue.map_or(left, |requeue| requeue.min(left))), ..decision }
}
