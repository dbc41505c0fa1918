//! Which legs of a run have passed, and which one is next. PURE.
//!
//! A leg that passed is written into the record of the run, in the same status that goes on with what comes after
//! it. So it is passed once: whichever write is the last of a process, and whatever becomes of its Job.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sha2::{Digest as _, Sha256};

use super::{current::CurrentRun, facts::Run};
use crate::{
    api::{LegStatus, RunStatus},
    contract::{Leg, Outcome, Purpose, Route},
};

/// Those that a run remembers, as far as its route has them.
pub fn of(run: &RunStatus, route: Route) -> Vec<LegStatus> {
    run.legs.iter().filter(|leg| route.leg(leg.number).is_some()).cloned().collect()
}

/// The leg that is to be run: the first that has not passed. Where all have, and what followed did not end well,
/// it is the last one, which decides.
pub fn next(route: Route, passed: &[LegStatus]) -> Leg {
    let open = |leg: &Leg| passed.iter().all(|passed| passed.number != leg.number());
    route.legs().find(open).unwrap_or(route.last())
}

/// Whether no leg follows after that of this Job. A run that only verifies has one leg, whatever the route.
pub fn is_last(route: Route, run: &Run) -> bool {
    match run.purpose {
        Purpose::Apply => run.leg.number() == route.last().number(),
        Purpose::Verify => true,
    }
}

/// Writes down that the leg of a Job has passed. One that only verifies has no place in the route.
pub fn enter(passed: &mut Vec<LegStatus>, current: &CurrentRun, at: Timestamp) {
    let run = current.run;
    let number = match run.purpose {
        Purpose::Apply => run.leg.number(),
        Purpose::Verify => return,
    };
    passed.retain(|leg| leg.number != number);
    let leg = LegStatus {
        number,
        job: run.job.clone(),
        finished_at: Time(at),
        verdict: verdict(current.outcomes()),
    };
    passed.push(leg);
    passed.sort_by_key(|leg| leg.number);
}

/// The SHA-256 of what the stages of a leg left, in hexadecimal digits. How long they took proves nothing.
fn verdict<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> String {
    let mut hash = Sha256::new();
    for outcome in outcomes {
        let timeless = Outcome { milliseconds: 0, ..outcome.clone() };
        let text = serde_json::to_vec(&timeless).unwrap_or_default();
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
