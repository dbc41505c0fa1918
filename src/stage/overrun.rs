//! A run does not outlast its end: what would begin to change something after it is refused.
//!
//! The deadline counts from when the Pod started, and a window closes at a moment. The earlier of the two counts.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{Context, context::latest};
use crate::{
    api::Reason,
    contract::{Outcome, Stage},
    limits::CLOCK_SKEW,
};

/// The end of a run that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// Its deadline has passed.
    Deadline,
    /// Its window closes at this moment, or has closed.
    Window(Timestamp),
}

/// Which end is over. `left` is what is left of the run since its process began.
fn over(ends_by: Option<Timestamp>, now: Timestamp, left: Duration) -> Option<Over> {
    match ends_by {
        Some(ends_by) if now >= latest(ends_by) => Some(Over::Window(ends_by)),
        _ => left.is_zero().then_some(Over::Deadline),
    }
}

/// The end of the run that is over by now, in words.
pub(super) fn passed(context: &Context) -> Option<String> {
    let left = context.until.saturating_duration_since(Instant::now());
    over(context.ends_by, Timestamp::now(), left).map(|over| match over {
        Over::Deadline => format!("the deadline of the run ({}) passed", context.manifest.deadline),
        Over::Window(closes) => format!(
            "the window of the run (until {closes}, less {} s because clocks differ) passed",
            CLOCK_SKEW.as_secs()
        ),
    })
}

/// What a stage says that would begin after the end; `None` while it may begin. A verification changes nothing, and
/// what was applied in time is verified.
pub(super) fn refusal(stage: Stage, context: &Context) -> Option<Outcome> {
    match stage {
        Stage::Plan | Stage::Snapshot | Stage::Rehearse | Stage::Migrate => {}
        Stage::Verify => return None,
    }
    let message = format!("{} before the stage {} began, so it did nothing", passed(context)?, stage.name());
    Some(Outcome::failed(stage, Reason::DeadlineExceeded, message))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn the_earlier_end_counts_and_a_window_ends_sooner_by_as_much_as_clocks_may_differ() {
        let moment = |second: i64| Timestamp::from_second(1_780_000_000 + second).expect("a moment");
        let (window, skew) = (moment(600), SignedDuration::try_from(CLOCK_SKEW).expect("seconds"));
        let (some, none) = (Duration::from_mins(1), Duration::ZERO);
        for (ends_by, now, left, expected) in [
            (None, moment(0), some, None),
            (None, moment(0), none, Some(Over::Deadline)),
            (Some(window), moment(0), some, None),
            (Some(window), moment(0), none, Some(Over::Deadline)),
            (Some(window), window - skew - SignedDuration::from_millis(1), some, None),
            (Some(window), window - skew, some, Some(Over::Window(window))),
            (Some(window), moment(9_000), some, Some(Over::Window(window))),
            (Some(window), moment(9_000), none, Some(Over::Window(window))),
        ] {
            assert_eq!(over(ends_by, now, left), expected, "{ends_by:?} {now} {left:?}");
        }
    }
}
