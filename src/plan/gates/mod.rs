//! The gates before a leg of a run: each is one file, a function from the facts and the moment to open, closed
//! until, or closed because. PURE.

mod window;

use super::{
    again,
    decision::Decision,
    run::gates::{self, End, Standing},
    situation::Situation,
};
use crate::contract::{Gate, Leg};

/// How each kind of gate stands; `None` where the manifest does not ask for it.
fn standing(gate: Gate, situation: &Situation) -> Option<Standing> {
    match gate {
        Gate::Window => window::stands(situation),
    }
}

/// The gates before a leg that the manifest asks for. A person who runs it by hand waits for none.
fn before<'a>(leg: Leg, situation: &'a Situation) -> impl Iterator<Item = (Gate, Standing)> + 'a {
    let gates = leg.gates().filter(|_| !situation.facts.by_hand);
    gates.filter_map(|gate| Some((gate, standing(gate, situation)?)))
}

/// Every gate before the next leg of the run is open.
pub fn are_open(situation: &Situation) -> Option<Decision> {
    let leg = situation.runs.next_leg(again::purpose(situation));
    gates::closed(before(leg, situation).collect(), situation.now)
}

/// When the Job of a leg has to have ended: it may take as long as the manifest says, and no longer than its gates
/// stay open.
pub fn end(situation: &Situation, leg: Leg) -> End {
    let Ok(migration) = &situation.facts.migration else { return End::default() };
    gates::end(before(leg, situation), migration.deadline, situation.now)
}
