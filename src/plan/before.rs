//! The section `before`, and `suspend`: may anything begin? PURE.

use super::{
    decision::Decision,
    facts::{Dependency, DependencyState},
    situation::Situation,
};
use crate::api::{Class, ConditionType, Reason};

/// Dependencies and rivals wake this object when they change; this is for a change that was missed.
const LOOK_AGAIN_SECONDS: u64 = 60;

/// `spec.suspend`: nothing new starts.
pub fn is_not_suspended(situation: &Situation) -> Option<Decision> {
    let suspended = situation.facts.migration.as_ref().is_ok_and(|migration| migration.suspend);
    let message = "spec.suspend is true: nothing new starts. Set it to false to go on";
    suspended.then(|| Decision::idle(Reason::Suspended, message))
}

/// Everyone whom `before.dependsOn` and `before.group` put first is as far as it must be.
pub fn dependencies_are_ready(situation: &Situation) -> Option<Decision> {
    let dependencies = &situation.facts.dependencies;
    let decision = match dependencies.iter().find_map(cycle) {
        Some(cycle) => Decision::stalled(Reason::DependencyCycle, message_of_cycle(cycle)),
        None => Decision::reconciling(Reason::DependencyNotReady, message(dependencies)?),
    };
    Some(decision.decides(ConditionType::Cleared, false).again_after(LOOK_AGAIN_SECONDS))
}

fn cycle(dependency: &Dependency) -> Option<&[String]> {
    match &dependency.state {
        DependencyState::Circular(cycle) => Some(cycle),
        _ => None,
    }
}

fn message_of_cycle(cycle: &[String]) -> String {
    format!(
        "it waits for itself: {}. No object in this cycle runs until one of them drops a dependsOn or \
            changes \
            its group",
        cycle.join(" -> ")
    )
}

/// `None` when it waits for no object.
fn message(dependencies: &[Dependency]) -> Option<String> {
    let waited_for: Vec<&Dependency> =
        dependencies.iter().filter(|dependency| dependency.state != DependencyState::Ready).collect();
    let named = waited_for.iter().filter(|dependency| dependency.position.is_none());
    let mut parts: Vec<String> = named.clone().map(|dependency| one(dependency)).collect();
    let turns: Vec<&&Dependency> =
        waited_for.iter().filter(|dependency| dependency.position.is_some()).collect();
    let told = |turn: &Dependency| {
        named.clone().any(|dependency| dependency.name == turn.name && dependency.state == turn.state)
    };
    parts.extend(worth_telling(&turns).into_iter().filter(|turn| !told(turn)).map(one));
    (!waited_for.is_empty()).then(|| format!("waiting for {}", parts.join("; ")))
}

/// Of those with an earlier place: who needs a person, and else the nearest. So the message does not change
/// with each step of each of them, and it names the cause of a halt.
fn worth_telling<'a>(turns: &[&&'a Dependency]) -> Vec<&'a Dependency> {
    let stuck: Vec<&Dependency> =
        turns.iter().map(|turn| **turn).filter(|turn| needs_somebody(&turn.state)).collect();
    if !stuck.is_empty() {
        return stuck;
    }
    let nearest = turns.iter().filter_map(|turn| turn.position).max();
    turns.iter().map(|turn| **turn).filter(|turn| turn.position == nearest).collect()
}

fn needs_somebody(state: &DependencyState) -> bool {
    match state {
        DependencyState::NotReady(reason) | DependencyState::NotApplied(reason) => {
            Reason::named(reason).class() == Class::NeedsUser
        }
        DependencyState::Ready => false,
        _ => true,
    }
}

/// What goes on without a person's help changes its reason often, and each change would be one more status
/// for everyone who waits.
fn because(reason: &str) -> String {
    if Reason::named(reason).class() == Class::Progress { " yet".to_owned() } else { format!(" ({reason})") }
}

fn one(dependency: &Dependency) -> String {
    let name = &dependency.name;
    let place = dependency.position.map(|position| format!(" at position {position}")).unwrap_or_default();
    let who = format!("the DatabaseMigration {name:?}{place}");
    match (&dependency.state, dependency.position) {
        (DependencyState::Vacant, position) => format!(
            "position {} of the group {name:?}, which no DatabaseMigration of this namespace has: create it, \
                or move up those after it",
            position.unwrap_or_default()
        ),
        (DependencyState::Missing, _) => format!("{who}, which does not exist in this namespace: create it"),
        (DependencyState::Deleting, _) => {
            format!("{who}, which is being deleted: create it again, or wait for it no longer")
        }
        (DependencyState::Suspended(reason), _) => {
            format!("{who}, which is suspended and not that far ({reason}): set its spec.suspend to false")
        }
        (DependencyState::NotReady(reason), _) => format!("{who}, which is not Ready{}", because(reason)),
        (DependencyState::NotApplied(reason), _) => format!("{who}, which is not applied{}", because(reason)),
        (DependencyState::Lacks(version), _) => {
            format!("{who}, which has not applied {version:?} yet: its source must bring it")
        }
        (DependencyState::Circular(_) | DependencyState::Ready, _) => who,
    }
}

/// No other object runs on the same database. Of two that are about to, the older goes first; the locks in
/// the database decide for those that did not see each other.
pub fn database_is_free(situation: &Situation) -> Option<Decision> {
    let rival = situation.facts.rivals.iter().find(|rival| rival.running || rival.older)?;
    let message = format!(
        "the DatabaseMigration {:?} is running on the same database; this one follows when it has ended",
        rival.name
    );
    Some(
        Decision::reconciling(Reason::DatabaseBusy, message)
            .decides(ConditionType::Cleared, false)
            .again_after(LOOK_AGAIN_SECONDS),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::DatabaseMigration,
        plan::{
            fixture::{facts, moment},
            order::{self, Member},
            plan,
        },
    };

    /// An object with these fields of `spec.before`, at this generation, with these conditions of generation
    /// 1.
    fn object(
        name: &str,
        before: &Value,
        generation: i64,
        conditions: &[(&str, &str, &str)],
    ) -> DatabaseMigration {
        let condition = |(kind, status, reason): &(&str, &str, &str)| {
            json!({"type": kind, "status": status, "reason": reason, "message": "m", "observedGeneration": 1,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let applied = [json!({"name": "2_two"})];
        serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "DatabaseMigration",
            "metadata": {"name": name, "namespace": "medical", "generation": generation},
            "spec": {
                "database": {"secretRef": {"name": "db"}},
                "migrations": {"configMaps": ["migrations"]},
                "snapshot": {"none": {"reason": "a database of a test"}},
                "before": before,
            },
            "status": {"applied": applied, "conditions": conditions.iter().map(condition).collect::<Vec<_>>()},
        }))
        .expect("a manifest")
    }

    /// What `records`, with this `before`, says beside the others; `None` when it may begin. The gate
    /// remembers `auth@1_one`.
    fn said(before: &Value, others: &[DatabaseMigration]) -> Option<(String, String, bool)> {
        let own = object("records", before, 1, &[]);
        let gate = ["auth@1_one".to_owned(), "author@9_nine".to_owned()];
        let members: Vec<Member> =
            others.iter().chain([&own]).map(|object| Member::of(object, &gate)).collect();
        let dependencies = order::dependencies(members.last().expect("itself"), &members);
        let plan = plan(&super::super::facts::Facts { dependencies, ..facts() }, moment(0));
        let ready = &plan.status.conditions[0];
        let cleared =
            plan.status.conditions.iter().find(|condition| condition.type_ == "Cleared").expect("Cleared");
        let stalled = plan.status.conditions.iter().any(|condition| condition.type_ == "Stalled");
        assert_eq!(
            (plan.step.is_some(), cleared.status == "False"),
            (ready.reason == "Planning", ready.reason != "Planning")
        );
        (ready.reason != "Planning").then(|| (ready.reason.clone(), ready.message.clone(), stalled))
    }

    fn auth(generation: i64, conditions: &[(&str, &str, &str)]) -> DatabaseMigration {
        object("auth", &json!({}), generation, conditions)
    }

    const READY: &[(&str, &str, &str)] = &[("Ready", "True", "Verified"), ("Applied", "True", "Applied")];
    const UNVERIFIED: &[(&str, &str, &str)] =
        &[("Ready", "False", "VerificationFailed"), ("Applied", "True", "Applied")];
    const FAILED: &[(&str, &str, &str)] =
        &[("Ready", "False", "MigrationFailed"), ("Applied", "False", "MigrationFailed")];

    #[test]
    fn a_dependency_is_waited_for_until_it_is_as_far_as_is_asked() {
        let on = |fields: Value| {
            let mut wish = json!({"name": "auth"});
            wish.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
            json!({"dependsOn": [wish]})
        };
        let applied = |version: &str| on(json!({"condition": "Applied", "minVersion": version}));
        let mut suspended = auth(1, FAILED);
        suspended.spec.suspend = true;
        let mut deleted = auth(1, READY);
        deleted.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(moment(0)));
        let mut ready_and_suspended = auth(1, READY);
        ready_and_suspended.spec.suspend = true;
        for (before, other, expected) in vec![
            (on(json!({})), auth(1, READY), None),
            (on(json!({})), auth(2, READY), Some("\"auth\", which is not Ready yet")),
            (on(json!({})), auth(1, &[]), Some("\"auth\", which is not Ready yet")),
            (on(json!({})), auth(1, UNVERIFIED), Some("\"auth\", which is not Ready (VerificationFailed)")),
            (
                on(json!({})),
                object("other", &json!({}), 1, READY),
                Some("\"auth\", which does not exist in this namespace: create it"),
            ),
            (
                on(json!({})),
                suspended,
                Some("\"auth\", which is suspended and not that far (MigrationFailed): set its spec.suspend"),
            ),
            (on(json!({})), ready_and_suspended, None),
            (on(json!({})), deleted, Some("\"auth\", which is being deleted")),
            (on(json!({"condition": "Applied"})), auth(1, UNVERIFIED), None),
            (
                on(json!({"condition": "Applied"})),
                auth(2, UNVERIFIED),
                Some("\"auth\", which is not applied yet"),
            ),
            (
                on(json!({"condition": "Applied"})),
                auth(1, FAILED),
                Some("\"auth\", which is not applied (MigrationFailed)"),
            ),
            (on(json!({"minVersion": "2_two"})), auth(1, READY), None),
            (
                on(json!({"minVersion": "2_two"})),
                auth(1, FAILED),
                Some("\"auth\", which is not Ready (MigrationFailed)"),
            ),
            (
                on(json!({"minVersion": "3_three"})),
                auth(1, READY),
                Some("\"auth\", which has not applied \"3_three\" yet"),
            ),
            (applied("2_two"), auth(2, FAILED), None),
            (applied("1_one"), auth(2, FAILED), None),
            (applied("9_nine"), auth(1, READY), Some("\"auth\", which has not applied \"9_nine\" yet")),
        ] {
            let found = said(&before, std::slice::from_ref(&other));
            let (reason, message, stalled) = found.clone().unwrap_or_default();
            assert_eq!(found.is_some(), expected.is_some(), "{before} beside {other:?}: {found:?}");
            if let Some(part) = expected {
                assert!(message.contains(part), "{before}: {message}");
                assert_eq!((reason.as_str(), stalled), (Reason::DependencyNotReady.name(), false));
            }
        }
    }

    fn place(name: &str, position: u32, conditions: &[(&str, &str, &str)]) -> DatabaseMigration {
        object(name, &json!({"group": {"name": "ghs", "position": position}}), 1, conditions)
    }

    #[test]
    fn in_a_group_the_nearest_is_named_or_whoever_needs_a_person() {
        let waiting: &[(&str, &str, &str)] = &[("Ready", "False", "DependencyNotReady")];
        let own = json!({"group": {"name": "ghs", "position": 4}});
        let message = |others: &[DatabaseMigration]| {
            said(&own, others).map(|(_, message, _)| message).unwrap_or_default()
        };
        let nearest =
            message(&[place("auth", 1, &[]), place("api", 2, waiting), place("telehealth", 3, waiting)]);
        assert_eq!(
            nearest,
            "waiting for the DatabaseMigration \"telehealth\" at position 3, which is not Ready yet"
        );
        let halted =
            message(&[place("auth", 1, READY), place("api", 2, FAILED), place("telehealth", 3, waiting)]);
        assert_eq!(
            halted,
            "waiting for the DatabaseMigration \"api\" at position 2, which is not Ready (MigrationFailed)"
        );
        let vacant = message(&[place("auth", 1, READY), place("telehealth", 3, READY)]);
        assert!(
            vacant.contains(
                "position 2 of the group \"ghs\", which no DatabaseMigration of this namespace has"
            ),
            "{vacant}"
        );
        assert_eq!(
            message(&[place("auth", 1, READY), place("api", 2, READY), place("telehealth", 3, READY)]),
            ""
        );
        let both = json!({"dependsOn": [{"name": "api"}], "group": {"name": "ghs", "position": 3}});
        let (_, told, _) =
            said(&both, &[place("auth", 1, READY), place("api", 2, FAILED)]).expect("it waits");
        assert_eq!(
            told, "waiting for the DatabaseMigration \"api\", which is not Ready (MigrationFailed)",
            "told once"
        );
    }

    #[test]
    fn a_cycle_stalls_and_names_everyone_in_it_in_order_and_an_edit_mends_it() {
        let on = |name: &str| json!({"dependsOn": [{"name": name}]});
        let cycle = [object("a", &on("b"), 1, READY), object("b", &on("records"), 1, READY)];
        let (reason, message, stalled) = said(&on("a"), &cycle).expect("it waits");
        assert_eq!((reason.as_str(), stalled), (Reason::DependencyCycle.name(), true));
        assert!(message.contains("records -> a -> b -> records"), "{message}");
        let mended = [cycle[0].clone(), object("b", &json!({}), 1, READY)];
        assert_eq!(said(&on("a"), &mended), None);
    }
}
