//! Who goes before whom in a namespace: `before.dependsOn` and `before.group` as one graph. PURE.
//!
//! The answer for one object depends only on how all of them stand at one moment, so whatever the order in
//! which they are created and reconciled, no object begins before those that go first have ended.

use std::collections::{BTreeMap, VecDeque};

use super::facts::{Dependency, DependencyState};
use crate::api::{self, Before, ConditionType, DatabaseMigration, DependencyCondition, Reason, entry};

/// How one DatabaseMigration of the namespace stands, and whom it puts first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that have nothing to do with each other")]
pub struct Member {
    /// `metadata.name`.
    pub name: String,
    /// Whom it puts first.
    pub before: Before,
    /// It is being deleted.
    pub deleting: bool,
    /// `spec.suspend`.
    pub suspended: bool,
    /// It is Ready at its present generation.
    pub ready: bool,
    /// Everything of its present generation is applied.
    pub applied: bool,
    /// The reason that Ready gives.
    pub reason: String,
    /// What is known to be applied.
    pub versions: Vec<String>,
}

impl Member {
    /// As the API server has it; `satisfied` are the entries of the gate. What was said of an older
    /// generation does not count.
    pub fn of(object: &DatabaseMigration, satisfied: &[String]) -> Self {
        let name = object.metadata.name.clone().unwrap_or_default();
        let status = object.status.as_ref();
        let present = |kind: ConditionType| {
            let mut conditions = status.into_iter().flat_map(|status| &status.conditions);
            conditions
                .find(|condition| condition.type_ == kind.name())
                .filter(|condition| condition.observed_generation == object.metadata.generation)
        };
        let holds = |kind| present(kind).is_some_and(|condition| condition.status == "True");
        // The status has the newest; the gate remembers more of them.
        let own = entry(&name, "");
        let applied =
            status.into_iter().flat_map(|status| &status.applied).map(|applied| applied.name.as_str());
        let versions = applied.chain(satisfied.iter().filter_map(|entry| entry.strip_prefix(&own)));
        Self {
            before: object.spec.before.clone(),
            deleting: object.metadata.deletion_timestamp.is_some(),
            suspended: object.spec.suspend,
            ready: holds(ConditionType::Ready),
            applied: holds(ConditionType::Applied),
            reason: present(ConditionType::Ready)
                .map_or(Reason::Pending.name(), |ready| &ready.reason)
                .to_owned(),
            versions: versions.map(ToOwned::to_owned).collect(),
            name,
        }
    }

    /// Its place, if it is in this group.
    fn position_in(&self, group: &str) -> Option<u32> {
        self.before.group.as_ref().filter(|own| own.name == group).map(|own| own.position)
    }
}

/// Every object that goes before `own`, and how it stands. Of a cycle only the cycle is told: nothing else
/// matters until it is cut.
pub fn dependencies(own: &Member, all: &[Member]) -> Vec<Dependency> {
    if let Some(cycle) = cycle(own, all) {
        let name = cycle.get(1).cloned().unwrap_or_default();
        return vec![Dependency { name, position: None, state: DependencyState::Circular(cycle) }];
    }
    let asked = |wish: &api::Dependency| {
        let found = all.iter().find(|other| other.name == wish.name);
        let state = found.map_or(DependencyState::Missing, |other| {
            standing(other, wish.condition, wish.min_version.as_deref())
        });
        Dependency { name: wish.name.clone(), position: None, state }
    };
    let turn = |(position, other): (u32, &Member)| {
        let state = standing(other, DependencyCondition::Ready, None);
        Dependency { name: other.name.clone(), position: Some(position), state }
    };
    let mut found: Vec<Dependency> = own.before.depends_on.iter().map(asked).collect();
    found.extend(first_vacancy(own, all));
    found.extend(ahead(own, all).into_iter().map(turn));
    found
}

/// The versions of `own` that others wait for by `dependsOn.minVersion`. An object that is being deleted
/// waits for nothing any more.
pub fn required_of(own: &str, all: &[Member]) -> Vec<String> {
    let waiting = all.iter().filter(|other| other.name != own && !other.deleting);
    let wishes = waiting.flat_map(|other| &other.before.depends_on).filter(|wish| wish.name == own);
    wishes.filter_map(|wish| wish.min_version.clone()).collect()
}

/// Whether it is as far as a dependent object requires, and if not, why.
fn standing(member: &Member, condition: DependencyCondition, version: Option<&str>) -> DependencyState {
    let reason = member.reason.clone();
    let lacks = version.filter(|version| !member.versions.iter().any(|known| known == version));
    let state = match condition {
        DependencyCondition::Ready if !member.ready => DependencyState::NotReady(reason.clone()),
        DependencyCondition::Applied if !member.applied && version.is_none() => {
            DependencyState::NotApplied(reason.clone())
        }
        _ => lacks.map_or(DependencyState::Ready, |version| DependencyState::Lacks(version.to_owned())),
    };
    match state {
        _ if member.deleting => DependencyState::Deleting,
        DependencyState::Ready => DependencyState::Ready,
        _ if member.suspended => DependencyState::Suspended(reason),
        state => state,
    }
}

/// Those of the group with an earlier place, in their order.
fn ahead<'a>(own: &Member, all: &'a [Member]) -> Vec<(u32, &'a Member)> {
    let Some(group) = &own.before.group else { return Vec::new() };
    let place = |other: &'a Member| Some((other.position_in(&group.name)?, other));
    let mut ahead: Vec<_> =
        all.iter().filter_map(place).filter(|(position, _)| *position < group.position).collect();
    ahead.sort_by_key(|(position, other)| (*position, &other.name));
    ahead
}

/// The first place before its own that no object has. The object that belongs there may only be created a
/// moment later.
fn first_vacancy(own: &Member, all: &[Member]) -> Option<Dependency> {
    let group = own.before.group.as_ref()?;
    let taken = ahead(own, all);
    let position = (1..group.position).find(|position| taken.iter().all(|(other, _)| other != position))?;
    Some(Dependency { name: group.name.clone(), position: Some(position), state: DependencyState::Vacant })
}

/// The shortest path from `own` back to itself, both ends included.
fn cycle(own: &Member, all: &[Member]) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next = VecDeque::from([own]);
    while let Some(member) = next.pop_front() {
        let named = member
            .before
            .depends_on
            .iter()
            .filter_map(|wish| all.iter().find(|other| other.name == wish.name));
        for other in named.chain(ahead(member, all).into_iter().map(|(_, other)| other)) {
            if other.name == own.name {
                return Some(way(&own.name, &member.name, &came_from));
            }
            if !came_from.contains_key(other.name.as_str()) {
                came_from.insert(&other.name, &member.name);
                next.push_back(other);
            }
        }
    }
    None
}

fn way(own: &str, last: &str, came_from: &BTreeMap<&str, &str>) -> Vec<String> {
    let mut way = vec![own.to_owned()];
    let mut at = last;
    while at != own {
        way.push(at.to_owned());
        at = came_from.get(at).copied().unwrap_or(own);
    }
    way.push(own.to_owned());
    way.reverse();
    way
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::api::Group;

    fn member(name: &str) -> Member {
        Member {
            name: name.to_owned(),
            before: Before::default(),
            deleting: false,
            suspended: false,
            ready: false,
            applied: false,
            reason: "Planning".to_owned(),
            versions: Vec::new(),
        }
    }

    fn after(name: &str, others: &[&str]) -> Member {
        let wish = |name: &&str| api::Dependency {
            name: (*name).to_owned(),
            condition: DependencyCondition::Ready,
            min_version: None,
        };
        Member {
            before: Before { depends_on: others.iter().map(wish).collect(), ..Before::default() },
            ..member(name)
        }
    }

    fn at(name: &str, position: u32) -> Member {
        Member {
            before: Before { group: Some(Group { name: "ghs".into(), position }), ..Before::default() },
            ..member(name)
        }
    }

    fn way_round(own: &str, all: &[Member]) -> Option<String> {
        cycle(all.iter().find(|member| member.name == own).expect("a member"), all)
            .map(|cycle| cycle.join(" -> "))
    }

    #[test]
    fn a_cycle_is_told_in_its_order_to_everyone_in_it_and_to_nobody_else() {
        let all = [
            after("a", &["b"]),
            after("b", &["x", "c"]),
            after("c", &["a"]),
            after("d", &["a"]),
            after("x", &[]),
        ];
        for (own, expected) in [
            ("a", Some("a -> b -> c -> a")),
            ("b", Some("b -> c -> a -> b")),
            ("c", Some("c -> a -> b -> c")),
            ("d", None),
            ("x", None),
        ] {
            assert_eq!(way_round(own, &all).as_deref(), expected, "{own}");
        }
        let mixed = [after("auth", &["imaging"]), at("api", 1), at("imaging", 2)];
        let mut early = mixed.clone();
        early[0].before.group = Some(Group { name: "ghs".into(), position: 1 });
        assert_eq!(way_round("imaging", &mixed), None, "it does not wait for auth");
        assert_eq!(way_round("imaging", &early).as_deref(), Some("imaging -> auth -> imaging"));
    }

    #[test]
    fn of_two_ways_round_the_shorter_one_is_told() {
        let all = [after("a", &["b", "c"]), after("b", &["d"]), after("d", &["a"]), after("c", &["a"])];
        assert_eq!(way_round("a", &all).as_deref(), Some("a -> c -> a"));
    }

    #[test]
    fn those_who_share_a_place_and_those_of_another_group_do_not_wait_for_each_other() {
        let mut other = at("other", 1);
        other.before.group = Some(Group { name: "another".into(), position: 1 });
        let all = [at("one", 1), at("two", 2), at("twin", 2), other];
        let names = |own: usize| -> Vec<String> {
            dependencies(&all[own], &all).into_iter().map(|found| found.name).collect()
        };
        assert_eq!(
            (names(0), names(1), names(2), names(3)),
            (vec![], vec!["one".to_owned()], vec!["one".to_owned()], vec![])
        );
    }

    #[test]
    fn a_place_that_nobody_has_is_waited_for() {
        let all = [at("one", 1), at("four", 4)];
        let found = dependencies(&all[1], &all);
        assert_eq!((found[0].state.clone(), found[0].position), (DependencyState::Vacant, Some(2)));
    }

    /// A namespace in which an object that may begin begins, and one that has begun ends, one event at a
    /// time, in any order.
    struct Life {
        all: Vec<Member>,
        running: Vec<bool>,
        begun: Vec<String>,
        /// Its run ends, and it is not Ready.
        broken: Option<String>,
    }

    impl Life {
        fn new(all: Vec<Member>) -> Self {
            Self { running: vec![false; all.len()], all, begun: Vec::new(), broken: None }
        }

        fn may_begin(&self, at: usize) -> bool {
            let free = !self.running[at] && !self.begun.contains(&self.all[at].name);
            free && dependencies(&self.all[at], &self.all)
                .iter()
                .all(|found| found.state == DependencyState::Ready)
        }

        /// One event; false when there is none any more.
        fn goes_on(&mut self, rng: &mut Rng) -> bool {
            let possible: Vec<usize> =
                (0..self.all.len()).filter(|at| self.running[*at] || self.may_begin(*at)).collect();
            if possible.is_empty() {
                return false;
            }
            let at = possible[rng.usize(..possible.len())];
            if self.running[at] {
                self.all[at].ready = Some(&self.all[at].name) != self.broken.as_ref();
            } else {
                let own = &self.all[at];
                for other in self.all.iter().filter(|other| goes_first(other, own)) {
                    assert!(other.ready, "{} began before {}: {:#?}", own.name, other.name, self.all);
                }
                self.begun.push(own.name.clone());
            }
            self.running[at] = !self.running[at];
            true
        }
    }

    /// By the definition, and not by the code above.
    fn goes_first(other: &Member, own: &Member) -> bool {
        let earlier = match (&own.before.group, &other.before.group) {
            (Some(own), Some(other)) => own.name == other.name && other.position < own.position,
            _ => false,
        };
        earlier || own.before.depends_on.iter().any(|wish| wish.name == other.name)
    }

    const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

    /// Eight members in a random row. Each names some of those before it, and a number of the first are in a
    /// group.
    fn eight(rng: &mut Rng) -> Vec<Member> {
        let mut names = NAMES;
        rng.shuffle(&mut names);
        let (grouped, mut position) = (rng.usize(0..=8), 0);
        let mut all: Vec<Member> = Vec::new();
        for (n, name) in names.into_iter().enumerate() {
            let earlier: Vec<&str> = names[..n].iter().filter(|_| rng.u8(0..4) == 0).copied().collect();
            let mut own = after(name, &earlier);
            if n < grouped {
                position += u32::from(position == 0 || rng.u8(0..3) > 0);
                own.before.group = Some(Group { name: "ghs".into(), position });
            }
            all.push(own);
        }
        rng.shuffle(&mut all);
        all
    }

    #[test]
    fn whatever_the_order_of_events_nobody_begins_before_its_turn_and_all_eight_finish() {
        for seed in 0..2_000 {
            let mut rng = Rng::with_seed(seed);
            let mut life = Life::new(eight(&mut rng));
            while life.goes_on(&mut rng) {}
            assert_eq!(life.begun.len(), 8, "seed {seed}: {:#?}", life.all);
            assert!(life.all.iter().all(|member| member.ready), "seed {seed}");
        }
    }

    #[test]
    fn with_a_cycle_everyone_in_it_is_told_who_reaches_it_waits_and_the_others_finish() {
        for seed in 0..2_000 {
            let mut rng = Rng::with_seed(seed);
            let mut all = eight(&mut rng);
            let (from, to) = (rng.usize(..8), rng.usize(..8));
            let name = all[to].name.clone();
            all[from].before.depends_on.push(api::Dependency {
                name,
                condition: DependencyCondition::Ready,
                min_version: None,
            });
            let circular: Vec<String> =
                all.iter().filter(|own| cycle(own, &all).is_some()).map(|own| own.name.clone()).collect();
            let mut life = Life::new(all);
            while life.goes_on(&mut rng) {}
            let waits = |own: &Member| {
                dependencies(own, &life.all).iter().any(|found| found.state != DependencyState::Ready)
            };
            for own in &life.all {
                assert_eq!(!own.ready, waits(own), "seed {seed}: {} rests for no reason", own.name);
                assert!(
                    !(own.ready && circular.contains(&own.name)),
                    "seed {seed}: {} is in a cycle",
                    own.name
                );
            }
            assert_eq!(circular.is_empty(), life.all.iter().all(|own| own.ready), "seed {seed}");
        }
    }

    #[test]
    fn a_failure_holds_those_who_come_after_it_and_nobody_else() {
        for seed in 0..2_000 {
            let mut rng = Rng::with_seed(seed);
            let mut life = Life::new(eight(&mut rng));
            let broken = rng.usize(..8);
            life.broken = Some(life.all[broken].name.clone());
            while life.goes_on(&mut rng) {}
            for own in life.all.iter().filter(|own| Some(&own.name) != life.broken.as_ref()) {
                assert_eq!(
                    own.ready,
                    !comes_after(own, &life.all[broken].name, &life.all),
                    "seed {seed}: {}",
                    own.name
                );
            }
        }
    }

    fn comes_after(own: &Member, name: &str, all: &[Member]) -> bool {
        let first = |other: &&Member| goes_first(other, own);
        all.iter().filter(first).any(|other| other.name == name || comes_after(other, name, all))
    }
}
