//! What a run is for, and its route: legs, each of which is one Pod. PURE.

use serde::{Deserialize, Serialize};

use super::Stage;
use crate::limits::CONTAINERS;

/// The stages of a run that goes through without a stop.
const WHOLE: &[Stage] = &[Stage::Plan, Stage::Snapshot, Stage::Migrate, Stage::Verify];

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// Bring the database to what the source says, and verify it.
    Apply,
    /// Copy nothing and change nothing: what is there is verified again.
    Verify,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 2] = [Self::Apply, Self::Verify];

    /// The name, as a Job's environment has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Verify => "Verify",
        }
    }

    /// A purpose by its name; `None` for one of another version.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name)
    }

    /// The route of a run for it.
    pub const fn route(self) -> Route {
        match self {
            Self::Apply => Route(&[Leg { number: 1, gates: &[Gate::Window], stages: WHOLE }]),
            // It changes nothing, so nothing has to be open for it.
            Self::Verify => Route(&[Leg { number: 1, gates: &[], stages: WHOLE }]),
        }
    }
}

/// What may have to be open before a leg begins, where the manifest asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Gate {
    /// `spec.before.window`.
    Window,
}

impl Gate {
    /// The name, as the status has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Window => "Window",
        }
    }
}

/// The legs of a run, in order. There is at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route(&'static [Leg]);

impl Route {
    /// The leg that a run begins with.
    pub const fn first(self) -> Leg {
        self.0[0]
    }

    /// The most stages that one Pod runs.
    const fn longest(self) -> usize {
        let (mut leg, mut longest) = (0, 0);
        while leg < self.0.len() {
            if self.0[leg].stages.len() > longest {
                longest = self.0[leg].stages.len();
            }
            leg += 1;
        }
        longest
    }

    /// Every stage, in order.
    pub fn stages(self) -> impl Iterator<Item = Stage> {
        self.0.iter().flat_map(|leg| leg.stages.iter().copied())
    }
}

// The containers of a Pod share what Kubernetes keeps of their termination messages.
const _: () = {
    let mut purpose = 0;
    while purpose < Purpose::ALL.len() {
        assert!(Purpose::ALL[purpose].route().longest() <= CONTAINERS);
        purpose += 1;
    }
};

/// The stages that share one Pod: they start together, run one after the other, and hand files on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Leg {
    number: u32,
    gates: &'static [Gate],
    stages: &'static [Stage],
}

impl Leg {
    /// Its place in the route, counted from 1.
    pub const fn number(self) -> u32 {
        self.number
    }

    /// What has to be open before it begins, in the order in which it is told.
    pub fn gates(self) -> impl Iterator<Item = Gate> {
        self.gates.iter().copied()
    }

    /// Its stages, in order.
    pub fn stages(self) -> impl DoubleEndedIterator<Item = Stage> {
        self.stages.iter().copied()
    }

    /// Its last stage, which decides that all went well.
    pub fn last(self) -> Option<Stage> {
        self.stages().next_back()
    }

    /// The stages before this one, in order; for a stage of another leg, all.
    pub fn before(self, stage: Stage) -> impl DoubleEndedIterator<Item = Stage> {
        let at = self.stages.iter().position(|other| *other == stage).unwrap_or(self.stages.len());
        self.stages.iter().take(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_has_a_leg_of_every_number_and_no_stage_twice_in_one_pod() {
        for purpose in Purpose::ALL {
            let Route(legs) = purpose.route();
            let numbers: Vec<u32> = legs.iter().map(|leg| leg.number()).collect();
            let counted: Vec<u32> = (1..).take(legs.len()).collect();
            assert_eq!(numbers, counted, "{purpose:?}");
            for leg in legs {
                let mut stages: Vec<Stage> = leg.stages().collect();
                stages.dedup();
                assert!(!stages.is_empty() && stages.len() == leg.stages.len(), "{purpose:?}");
            }
        }
    }

    #[test]
    fn a_stage_waits_for_all_before_it_in_its_leg_and_the_first_for_none() {
        let leg = Purpose::Apply.route().first();
        let before = |stage| leg.before(stage).collect::<Vec<_>>();
        assert_eq!(before(Stage::Plan), []);
        assert_eq!(before(Stage::Migrate), [Stage::Plan, Stage::Snapshot]);
        assert_eq!(leg.last(), Some(Stage::Verify));
    }

    #[test]
    fn a_purpose_reads_back_from_its_name_and_an_unknown_one_is_none() {
        for purpose in Purpose::ALL {
            assert_eq!(Purpose::named(purpose.name()), Some(purpose));
        }
        assert_eq!(Purpose::named("FromTheFuture"), None);
    }
}
