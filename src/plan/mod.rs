//! From facts to what is done next and what the status says. PURE: no client, no pool, no clock, no `async`.
//! [`plan`] runs the sections of the manifest one after the other, in its order. The first that has something
//! to say decides, and the list of them is the definition of Ready.

mod again;
mod apply;
mod before;
mod database;
mod decision;
mod digest;
pub mod events;
pub mod facts;
#[cfg(test)]
mod fixture;
pub mod gate;
mod gates;
mod held;
pub mod order;
mod policy;
pub mod progress;
mod record;
mod required;
mod run;
mod situation;
mod source;
mod spec;
mod status;
pub mod step;
mod transition;
pub mod waiting;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::api::{DatabaseMigrationStatus, Reason};
pub use record::findings;

use decision::Decision;
use events::Announcement;
use facts::Facts;
use run::{course, stopped, tidy};
use situation::Situation;
use step::Step;

/// What follows from the facts.
#[must_use]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The status as it should be. While it differs from the published one it is written, and the step waits.
    pub status: DatabaseMigrationStatus,
    /// What to do once the status is written.
    pub step: Option<Step>,
    /// When to reconcile again, should nothing happen.
    pub requeue: Option<Duration>,
    /// What people hear about, together with the status.
    pub events: Vec<Announcement>,
}

/// A section of the manifest: `Some` when it has something to say.
type Section = fn(&Situation) -> Option<Decision>;

/// The sections, in the order in which they run. When none objects, the next run starts.
const SECTIONS: [Section; 13] = [
    |situation| stopped::is_gone(&situation.runs),
    policy::is_there,
    spec::is_valid,
    source::is_there,
    apply::is_settled,
    |situation| course::is_under_way(&situation.runs),
    |situation| course::none_is_left_over(&situation.runs),
    before::is_not_suspended,
    |situation| stopped::is_not_paused(&situation.runs),
    |situation| course::pause_is_over(&situation.runs),
    before::dependencies_are_ready,
    // Before the gates: the clock alone would change what an object says that waits for both.
    before::database_is_free,
    gates::are_open,
];

/// Decides. The same facts at the same moment give the same plan, and every set of facts gives one.
pub fn plan(facts: &Facts, now: Timestamp) -> Plan {
    let unchanged = |step| Plan { status: facts.published.clone(), step, requeue: None, events: Vec::new() };
    if facts.deleting {
        // The Job goes with its owner; the gate's entries stay, because workloads of these versions may be
        // running.
        return unchanged(None);
    }
    let situation = Situation::of(facts, now);
    // The gate opens before Ready turns True: a client that sees Ready may rely on it.
    if let Some(step) = gate::publish(&situation) {
        let plan = unchanged(Some(step));
        return match refusal(&situation, plan.step.as_ref()) {
            Some(refusal) => told(&situation, plan, &refusal),
            None => plan,
        };
    }
    let decision =
        SECTIONS.iter().find_map(|section| section(&situation)).unwrap_or_else(|| apply::starts(&situation));
    let step = decision.step.clone().or_else(|| tidy::oldest_job(&situation.runs));
    let status = status::compose(&situation, &decision);
    let refusal = refusal(&situation, step.as_ref());
    let plan = Plan { status, step, requeue: decision.requeue, events: Vec::new() };
    match refusal {
        Some(refusal) => told(&situation, plan, &refusal),
        None => announced(&situation, plan, &decision),
    }
}

/// The API server's objection to a step. An old Job that cannot be deleted is no reason to take Ready away.
fn refusal(situation: &Situation, step: Option<&Step>) -> Option<Decision> {
    step.filter(|step| !matches!(step, Step::DeleteJob { .. }))?;
    let refused_step = situation.facts.refused_step.as_ref()?;
    Some(Decision::reconciling(Reason::StageFailed, refused_step.message.clone()))
}

/// With that objection in the place of the decision.
fn told(situation: &Situation, plan: Plan, refusal: &Decision) -> Plan {
    let status = status::refused(situation, plan.status, refusal);
    announced(situation, Plan { status, ..plan }, refusal)
}

/// With the Events that go with the status.
fn announced(situation: &Situation, plan: Plan, decision: &Decision) -> Plan {
    let speaks = plan.speaks(situation.facts);
    if !speaks {
        return plan;
    }
    let ended = events::on_ended_sessions(situation, &plan.status);
    let events = ended.into_iter().chain(events::on_transition(situation.facts, &plan.status, decision));
    Plan { events: events.collect(), ..plan }
}

impl Plan {
    /// The status says something new.
    pub fn speaks(&self, facts: &Facts) -> bool {
        self.status != facts.published
    }
}
