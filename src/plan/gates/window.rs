//! `before.window`: a run that may change something begins while the window is open, and ends when it closes.
//! PURE.

use jiff::SignedDuration;

use crate::{
    api::Reason,
    limits::{CLOCK_SKEW, JOB_GRACE_SECONDS},
    plan::{run::gates::Standing, situation::Situation},
    validate::{Window, WindowState},
};

/// A run is not begun for less than this; it is also the shortest `spec.apply.deadline`.
const WORTHWHILE: SignedDuration = SignedDuration::from_secs(10);
// A run that has begun so late may still do something.
const _: () = assert!(CLOCK_SKEW.as_secs().cast_signed() < WORTHWHILE.as_secs());

/// Whether the window is open; `None` where the manifest has none.
pub fn stands(situation: &Situation) -> Option<Standing> {
    let migration = situation.facts.migration.as_ref().ok()?;
    let window = migration.window.as_ref()?;
    let now = situation.now;
    let deadline = SignedDuration::try_from(migration.deadline.duration()).unwrap_or(SignedDuration::MAX);
    // As far as Kubernetes lets a run go on.
    let enough = deadline.saturating_add(SignedDuration::from_secs(JOB_GRACE_SECONDS));
    let opens = match window.at(now, enough) {
        WindowState::Open { until } if until.duration_since(now) >= WORTHWHILE => {
            return Some(Standing::Open { until: Some(until) });
        }
        // Too little is left of this one.
        WindowState::Open { until } => match window.at(until, deadline) {
            WindowState::Closed { until } => until,
            WindowState::Open { .. } => Some(until),
        },
        WindowState::Closed { until } => until,
    };
    let message = waits(window, opens.map(|opens| window.local(opens)));
    Some(Standing::Closed { until: opens, reason: Reason::WindowClosed, message })
}

fn waits(window: &Window, opens: Option<String>) -> String {
    match opens {
        Some(opens) => format!("waits for spec.before.window ({window}): it opens at {opens}"),
        None => format!("spec.before.window ({window}) does not open any more: correct it"),
    }
}
