//! `spec.verify.every`: what is settled is verified again when its time has come. PURE.
//!
//! Such a run, like one that answers what workloads require, is quiet: it is not announced, and while it goes
//! on the status stays as it is. Ready turns off when the run has failed and on again when a later one has
//! passed; the gate keeps its entries, because what is applied stays applied.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    before,
    decision::Decision,
    facts::Facts,
    held, required,
    run::{
        course::{self, Beginning},
        gates::End,
        own,
        record::has_a_verdict,
    },
    situation::Situation,
    step::Step,
};
use crate::{
    api::{ConditionType, Reason, RunStatus, Span},
    contract::Purpose,
};

/// Whatever blocks it, a Job or another object, wakes this one; this is for a change that was missed.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// How long a verification holds.
pub fn interval(facts: &Facts) -> Option<Span> {
    facts.migration.as_ref().ok().and_then(|migration| migration.verify_every)
}

/// Adds to the verdict about a settled run that it is verified again, and when. Where nothing new may start,
/// it stays as it is.
pub fn on_schedule(situation: &Situation, decision: Decision) -> Decision {
    let Some(run) = situation.runs.record.run.as_ref().filter(|run| has_a_verdict(run)) else {
        return decision;
    };
    let (Some(every), Some(finished_at)) = (interval(situation.facts), &run.finished_at) else {
        return decision;
    };
    if let Some(left) = left(finished_at.0, every, situation.now) {
        let requeue = Some(decision.requeue.map_or(left, |requeue| requeue.min(left)));
        return Decision { requeue, ..decision };
    }
    verifies_now(situation, run, Decision { requeue: Some(LOOK_AGAIN), ..decision })
}

/// Adds to the verdict about a settled run that a run queries the database once more. Ready stays as it is
/// meanwhile.
pub fn on_demand(situation: &Situation, decision: Decision) -> Decision {
    let Some(run) = situation.runs.record.run.as_ref().filter(|run| has_a_verdict(run)) else {
        return decision;
    };
    if decision.step.is_some() || required::unasked(situation.facts, &situation.status).is_empty() {
        return decision;
    }
    let sooner = |left: Duration| Some(decision.requeue.map_or(left, |requeue| requeue.min(left)));
    if let Some(left) = required::pause(&situation.status, situation.now) {
        return Decision { requeue: sooner(left), ..decision };
    }
    verifies_now(situation, run, Decision { requeue: sooner(LOOK_AGAIN), ..decision })
}

/// Adds to the verdict about a settled run that it is verified now, unless something is in the way.
fn verifies_now(situation: &Situation, run: &RunStatus, decision: Decision) -> Decision {
    // Set back, the clock would give the next Job an older date than the last one has, and its result would
    // be taken for history.
    let set_back = own::newest_concluded(situation.runs.known.published, situation.runs.known.runs)
        .is_some_and(|newest| situation.now <= newest);
    // An object that goes first does so because of what this one changes, and a verification changes nothing.
    let waits = [before::is_not_suspended, before::database_is_free];
    if set_back
        || situation.facts.paused
        || situation.runs.occupied()
        || waits.iter().any(|section| section(situation).is_some())
    {
        return decision;
    }
    let purpose = Purpose::Verify;
    let required = required::asked(situation.facts, &situation.status);
    let leg = situation.runs.next_leg(purpose);
    let beginning = Beginning { purpose, leg, end: End::default(), required };
    let order = course::order(&situation.runs, &run.digest, beginning);
    Decision { step: Some(Step::CreateJob(order)), ..decision }
}

/// What is left of the time for which a verification holds; `None` when it is over, and when the clock was
/// set back behind it.
fn left(finished_at: Timestamp, every: Span, now: Timestamp) -> Option<Duration> {
    if now < finished_at {
        return None;
    }
    let every = SignedDuration::try_from(every.duration()).ok()?;
    let due = finished_at.saturating_add(every).ok()?;
    Duration::try_from(due.duration_since(now)).ok().filter(|left| !left.is_zero())
}

/// What the next attempt is for. After one that could not say, everything was applied for this digest, so it
/// only verifies; after one that was aborted it only reads what that has left.
pub fn purpose(situation: &Situation) -> Purpose {
    match situation.runs.concluded() {
        Some((_, Reason::Aborting)) => return Purpose::Verify,
        Some((run, Reason::Verified)) if held::is_due(situation, run) => return Purpose::Apply,
        _ => {}
    }
    let known = situation.runs.record.about(situation.runs.known.desired.as_deref());
    let applied = known.is_some_and(|sections| sections.holds(ConditionType::Applied));
    if interval(situation.facts).is_some() && applied { Purpose::Verify } else { Purpose::Apply }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::entry,
        plan::{
            fixture::{facts, moment, passed},
            plan,
        },
    };

    /// Verified at the moment 0, to be verified again an hour later.
    fn verified() -> Facts {
        let mut facts = facts();
        if let Ok(migration) = &mut facts.migration {
            migration.verify_every = Some(Span::from_secs(3600));
        }
        facts.published = plan(&facts, moment(0)).status;
        let run = facts.published.run.as_mut().expect("a run is announced");
        run.stage = Some("verify".into());
        run.reason = Some("Verified".into());
        run.finished_at = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(moment(0)));
        run.sections = passed();
        facts.gate = vec![entry("records", "1_one")];
        facts.published = plan(&facts, moment(0)).status;
        facts
    }

    #[test]
    fn a_settled_object_is_looked_at_again_when_its_time_comes() {
        let facts = verified();
        let early = plan(&facts, moment(600));
        assert_eq!(
            (early.status, early.step, early.requeue),
            (facts.published.clone(), None, Some(Duration::from_mins(50)))
        );
        let due = plan(&facts, moment(3600));
        assert_eq!(due.status, facts.published);
        let Some(Step::CreateJob(order)) = due.step else { panic!("{:?}", due.step) };
        assert_eq!((order.attempt, order.purpose), (2, Purpose::Verify));
        assert_eq!(Some(order.digest), facts.published.run.map(|run| run.digest));
    }

    #[test]
    fn nothing_is_verified_again_without_an_interval_or_where_nothing_may_start() {
        let step = |change: fn(&mut Facts)| {
            let mut facts = verified();
            change(&mut facts);
            plan(&facts, moment(4000)).step
        };
        assert!(step(|_| {}).is_some());
        assert_eq!(step(|facts| facts.migration.as_mut().expect("valid").verify_every = None), None);
        assert_eq!(step(|facts| facts.migration.as_mut().expect("valid").suspend = true), None);
        assert_eq!(
            step(|facts| facts.rivals =
                vec![crate::plan::facts::Rival { name: "twin".into(), running: true, older: false }]),
            None
        );
    }

    #[test]
    fn the_time_that_is_left_ends() {
        let every = Span::from_secs(60);
        assert_eq!(left(moment(0), every, moment(10)), Some(Duration::from_secs(50)));
        assert_eq!(left(moment(0), every, moment(60)), None);
        assert_eq!(left(moment(0), every, moment(10_000)), None);
        assert_eq!(left(moment(3600), every, moment(0)), None, "the clock was set back");
    }
}
