//! What a run is for, and its route: legs, each of which is one Pod. PURE.

use serde::{Deserialize, Serialize};

use super::Stage;
use crate::limits::CONTAINERS;

/// The stages of a run that goes through without a stop.
const WHOLE: &[Stage] = &[Stage::Plan, Stage::Snapshot, Stage::Rehearse, Stage::Migrate, Stage::Verify];
/// Those of a run that changes nothing.
const CONFIRMING: &[Stage] = &[Stage::Plan, Stage::Snapshot, Stage::Migrate, Stage::Verify];

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

    /// The route of a run for it, where the manifest asks for no rehearsal.
    pub const fn route(self) -> Route {
        const APPLY: Route = Route::of(&[Leg::new(1, &[Gate::Window], WHOLE)]);
        // It changes nothing, so nothing has to be open for it.
        const VERIFY: Route = Route::of(&[Leg::new(1, &[], CONFIRMING)]);
        match self {
            Self::Apply => APPLY,
            Self::Verify => VERIFY,
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
pub struct Route {
    legs: &'static [Leg],
    rehearses: bool,
}

impl Route {
    /// A route of these legs.
    ///
    /// # Panics
    ///
    /// Without a leg, where the legs are not numbered from 1 on, and where one has no stage, more than a Pod has
    /// room for, or a rehearsal at its beginning or end. In a constant this is an error of the compiler.
    pub const fn of(legs: &'static [Leg]) -> Self {
        assert!(!legs.is_empty(), "a route has a leg");
        let mut place = 0;
        while place < legs.len() {
            assert!(legs[place].number as usize == place + 1, "legs are numbered from 1 on");
            // The containers of a Pod share what Kubernetes keeps of their termination messages.
            assert!(
                !legs[place].stages.is_empty() && legs[place].stages.len() <= CONTAINERS,
                "a leg is one Pod"
            );
            let ends = [legs[place].first(), legs[place].last()];
            assert!(
                !matches!(ends, [Stage::Rehearse, _] | [_, Stage::Rehearse]),
                "a rehearsal is between others"
            );
            place += 1;
        }
        Self { legs, rehearses: false }
    }

    /// The same route with its rehearsal, or without.
    #[must_use]
    pub const fn rehearsing(self, rehearses: bool) -> Self {
        Self { rehearses, ..self }
    }

    /// The leg that a run begins with.
    pub const fn first(self) -> Leg {
        self.at(0)
    }

    /// The leg that a run ends with.
    pub const fn last(self) -> Leg {
        self.at(self.legs.len() - 1)
    }

    const fn at(self, place: usize) -> Leg {
        Leg { rehearses: self.rehearses, ..self.legs[place] }
    }

    /// The leg of this number; `None` where the route has none.
    pub fn leg(self, number: u32) -> Option<Leg> {
        self.legs().find(|leg| leg.number == number)
    }

    /// Every leg, in order.
    pub fn legs(self) -> impl DoubleEndedIterator<Item = Leg> {
        (0..self.legs.len()).map(move |place| self.at(place))
    }

    /// Every stage, in order. One that belongs to several legs comes with each of them.
    pub fn stages(self) -> impl Iterator<Item = Stage> {
        self.legs().flat_map(Leg::stages)
    }
}

/// The stages that share one Pod: they start together, run one after the other, and hand files on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Leg {
    number: u32,
    gates: &'static [Gate],
    stages: &'static [Stage],
    rehearses: bool,
}

impl Leg {
    /// The leg of this place in its route: what has to be open before it, and its stages. A rehearsal among them is
    /// one only in a route that rehearses.
    pub const fn new(number: u32, gates: &'static [Gate], stages: &'static [Stage]) -> Self {
        Self { number, gates, stages, rehearses: false }
    }

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
        self.stages.iter().copied().filter(move |stage| *stage != Stage::Rehearse || self.rehearses)
    }

    /// Its Pod does what that of the other leg does.
    pub fn works_as(self, other: Self) -> bool {
        self.stages().eq(other.stages())
    }

    /// Its first stage.
    pub const fn first(self) -> Stage {
        self.stages[0]
    }

    /// Its last stage, which decides that all went well.
    pub const fn last(self) -> Stage {
        self.stages[self.stages.len() - 1]
    }

    /// The stages before this one, in order; for a stage of another leg, all.
    pub fn before(self, stage: Stage) -> impl DoubleEndedIterator<Item = Stage> {
        let at = self.stages().position(|other| other == stage).unwrap_or(self.stages.len());
        let stages: Vec<Stage> = self.stages().take(at).collect();
        stages.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stage_is_twice_in_one_pod() {
        for (purpose, rehearses) in Purpose::ALL.into_iter().flat_map(|it| [(it, false), (it, true)]) {
            for leg in purpose.route().rehearsing(rehearses).legs() {
                let mut stages: Vec<Stage> = leg.stages().collect();
                stages.sort_unstable();
                stages.dedup();
                assert_eq!(stages.len(), leg.stages().count(), "{purpose:?}");
            }
        }
    }

    #[test]
    fn a_rehearsal_is_a_stage_only_where_it_is_asked_for_and_never_where_nothing_is_changed() {
        let plain = Purpose::Apply.route();
        let rehearsing = plain.rehearsing(true);
        assert!(!plain.stages().any(|stage| stage == Stage::Rehearse));
        assert!(plain.first().works_as(Purpose::Verify.route().first()));
        assert_eq!(
            rehearsing.first().before(Stage::Migrate).collect::<Vec<_>>(),
            [Stage::Plan, Stage::Snapshot, Stage::Rehearse]
        );
        assert!(!rehearsing.first().works_as(plain.first()) && rehearsing.rehearsing(false) == plain);
        assert_eq!(rehearsing.leg(1), Some(rehearsing.first()));
        assert!(!Purpose::Verify.route().rehearsing(true).stages().any(|stage| stage == Stage::Rehearse));
    }

    #[test]
    fn a_leg_is_found_by_its_number() {
        const TWO: Route =
            Route::of(&[Leg::new(1, &[], &[Stage::Plan]), Leg::new(2, &[Gate::Window], WHOLE)]);
        assert_eq!((TWO.leg(1), TWO.leg(2)), (Some(TWO.first()), Some(TWO.last())));
        assert_eq!((TWO.leg(0), TWO.leg(3)), (None, None));
        assert!(TWO.last().works_as(Purpose::Verify.route().first()) && !TWO.last().works_as(TWO.first()));
    }

    #[test]
    #[should_panic(expected = "legs are numbered from 1 on")]
    fn a_route_whose_legs_are_out_of_order_is_none() {
        static WRONG: &[Leg] = &[Leg::new(2, &[], WHOLE)];
        let _ = Route::of(WRONG);
    }

    #[test]
    fn a_stage_waits_for_all_before_it_in_its_leg_and_the_first_for_none() {
        let leg = Purpose::Apply.route().first();
        let before = |stage| leg.before(stage).collect::<Vec<_>>();
        assert_eq!(before(Stage::Plan), []);
        assert_eq!(before(Stage::Migrate), [Stage::Plan, Stage::Snapshot]);
        assert_eq!(leg.last(), Stage::Verify);
    }

    #[test]
    fn a_purpose_reads_back_from_its_name_and_an_unknown_one_is_none() {
        for purpose in Purpose::ALL {
            assert_eq!(Purpose::named(purpose.name()), Some(purpose));
        }
        assert_eq!(Purpose::named("FromTheFuture"), None);
    }
}
