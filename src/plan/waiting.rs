//! What a gated workload waits for, in words: which of its requirements is not satisfied, and how the
//! DatabaseMigration stands that it names. PURE: `controller/waiting.rs` reads, and says it once.

use std::collections::{BTreeMap, BTreeSet};

use super::gate::is_satisfied;
use crate::api::{ANNOTATION_REQUIRES, Class, ConditionType, DatabaseMigration, LABEL_GATED, Reason};

/// As much as is quoted of what another object says about itself.
const QUOTED: usize = 300;

/// What is told about a workload that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// A function of what it waits for and why, without the details: what is told already has the same.
    pub key: String,
    /// For people.
    pub message: String,
    /// It waits until a person changes something.
    pub warning: bool,
}

/// Why one requirement is not satisfied.
struct Missing {
    key: &'static str,
    why: String,
    warning: bool,
}

/// What a workload with these annotations on its Pods waits for; `None` when it need not wait.
pub fn notice(
    requires: &BTreeMap<String, String>,
    satisfied: &BTreeSet<String>,
    migrations: &BTreeMap<String, Option<DatabaseMigration>>,
) -> Option<Notice> {
    if is_satisfied(requires, satisfied) {
        return None;
    }
    let required: Vec<(&str, &str)> = requires
        .iter()
        .filter_map(|(key, version)| Some((key.strip_prefix(ANNOTATION_REQUIRES)?, version.as_str())))
        .collect();
    if required.is_empty() {
        let message = format!(
            "waits for ever: it is gated (label {LABEL_GATED}) and its Pods have no annotation \
                {ANNOTATION_REQUIRES}<DatabaseMigration>: <version>; \
             add the annotation, or take the label off"
        );
        return Some(Notice { key: "nothing required".into(), message, warning: true });
    }
    let alone = |name: &str, version: &str| {
        BTreeMap::from([(format!("{ANNOTATION_REQUIRES}{name}"), version.to_owned())])
    };
    let (mut keys, mut sentences, mut warning) = (Vec::new(), Vec::new(), false);
    for (name, version) in
        required.into_iter().filter(|(name, version)| !is_satisfied(&alone(name, version), satisfied))
    {
        let missing = missing(name, version, migrations);
        keys.push(format!("{name}@{version}:{}", missing.key));
        sentences.push(format!("{name}@{version}: {}", missing.why));
        warning |= missing.warning;
    }
    Some(Notice {
        key: keys.join(","),
        message: format!("waits for {}", sentences.join("; and for ")),
        warning,
    })
}

fn missing(name: &str, version: &str, migrations: &BTreeMap<String, Option<DatabaseMigration>>) -> Missing {
    if version.is_empty() {
        let why = format!("the annotation {ANNOTATION_REQUIRES}{name} names no migration");
        return Missing { key: "no version", why, warning: true };
    }
    let object = match migrations.get(name) {
        Some(Some(object)) => object,
        Some(None) => {
            return Missing {
                key: "unreadable",
                why: format!("this version of Sluice cannot read {name:?}"),
                warning: true,
            };
        }
        None => {
            let there: Vec<&str> = migrations.keys().map(String::as_str).take(10).collect();
            let there = if there.is_empty() {
                "has none at all".to_owned()
            } else {
                format!("has {}", there.join(", "))
            };
            let why = format!("no DatabaseMigration has the name {name:?}; the namespace {there}");
            return Missing { key: "no DatabaseMigration", why, warning: true };
        }
    };
    stands(name, object)
}

/// How a DatabaseMigration stands of which something is required that it does not have.
fn stands(name: &str, object: &DatabaseMigration) -> Missing {
    let status = object.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().find(|condition| condition.type_ == ConditionType::Ready.name());
    let Some(ready) = ready.filter(|ready| ready.observed_generation == object.metadata.generation) else {
        return Missing {
            key: "unseen",
            why: format!("Sluice has not reconciled {name:?} yet"),
            warning: false,
        };
    };
    let reason = Reason::named(&ready.reason);
    if ready.status == "True" {
        let at = status.current_version.as_deref().map_or(String::new(), |version| format!(" at {version}"));
        let why = format!(
            "{name:?} is Ready{at}, and what it has applied does not contain it; correct the annotation, or \
                add the migration"
        );
        return Missing { key: "not in the source", why, warning: true };
    }
    let why = format!("{name:?} is not Ready ({}): {}", reason.name(), quoted(&ready.message));
    Missing { key: reason.name(), why, warning: reason.class() == Class::NeedsUser }
}

fn quoted(message: &str) -> String {
    match message.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn migration(status: &str, reason: &str, message: &str) -> DatabaseMigration {
        serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "records", "generation": 2},
            "spec": {"database": {"secretRef": {"name": "db"}}, "migrations": {"configMaps": ["m"]}},
            "status": {"observedGeneration": 2, "currentVersion": "2_two", "conditions": [{"type": "Ready", "status": status, "reason": reason,
                "message": message, "observedGeneration": 2, "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        }))
        .expect("a manifest")
    }

    fn told(requires: &[(&str, &str)], migrations: Vec<(&str, Option<DatabaseMigration>)>) -> Option<Notice> {
        let requires = requires.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let satisfied = ["records@1_one", "records@2_two"].map(ToOwned::to_owned).into();
        notice(
            &requires,
            &satisfied,
            &migrations.into_iter().map(|(name, object)| (name.to_owned(), object)).collect(),
        )
    }

    const THIRD: (&str, &str) = ("requires.sluice.dev/records", "3_three");

    #[test]
    fn what_is_satisfied_waits_for_nothing() {
        assert_eq!(told(&[("requires.sluice.dev/records", "2_two")], vec![]), None);
    }

    #[test]
    fn each_cause_is_named_with_what_is_required_and_who_must_act() {
        for (requires, migrations, words, warning) in [
            (
                THIRD,
                vec![],
                "no DatabaseMigration has the name \"records\"; the namespace has none at all",
                true,
            ),
            (
                ("requires.sluice.dev/recrods", "3"),
                vec![("records", None)],
                "has the name \"recrods\"; the namespace has records",
                true,
            ),
            (THIRD, vec![("records", None)], "this version of Sluice cannot read \"records\"", true),
            (("requires.sluice.dev/records", ""), vec![("records", None)], "names no migration", true),
            (
                THIRD,
                vec![("records", Some(migration("True", "Verified", "2_two is applied")))],
                "\"records\" is Ready at 2_two, and what it has applied does not contain it",
                true,
            ),
            (
                THIRD,
                vec![(
                    "records",
                    Some(migration("False", "MigrationFailed", "relation \"x\" does not exist")),
                )],
                "\"records\" is not Ready (MigrationFailed): relation \"x\" does not exist",
                true,
            ),
            (
                THIRD,
                vec![("records", Some(migration("False", "Migrating", "the Job runs")))],
                "is not Ready (Migrating): the Job runs",
                false,
            ),
        ] {
            let notice = told(&[requires], migrations).expect("it waits");
            assert!(
                notice.message.starts_with(&format!("waits for {}@{}", &requires.0[20..], requires.1)),
                "{}",
                notice.message
            );
            assert!(notice.message.contains(words), "{}", notice.message);
            assert_eq!(notice.warning, warning, "{}", notice.message);
        }
    }

    #[test]
    fn only_what_is_missing_is_told_and_all_of_it() {
        let requires = [THIRD, ("requires.sluice.dev/labs", "7"), ("requires.sluice.dev/recrods", "1")];
        let notice = told(&requires, vec![("records", None)]).expect("it waits");
        assert_eq!(notice.message.matches("waits for").count(), 1);
        assert_eq!(notice.message.matches("; and for ").count(), 2, "{}", notice.message);
        let satisfied_too = [("requires.sluice.dev/records", "1_one"), ("requires.sluice.dev/labs", "7")];
        assert!(!told(&satisfied_too, vec![]).expect("it waits").message.contains("records@1_one"));
    }

    #[test]
    fn a_gated_workload_without_a_requirement_is_told_to_be_a_mistake() {
        let notice = told(&[("prometheus.io/scrape", "true")], vec![]).expect("it waits");
        assert!(notice.warning && notice.message.contains("waits for ever"), "{}", notice.message);
    }

    #[test]
    fn a_status_about_an_older_generation_says_nothing() {
        let mut object = migration("True", "Verified", "2_two is applied");
        object.metadata.generation = Some(3);
        let notice = told(&[THIRD], vec![("records", Some(object))]).expect("it waits");
        assert!(notice.message.contains("has not reconciled"), "{}", notice.message);
    }

    #[test]
    fn the_key_stays_while_only_the_details_change() {
        let key = |reason: &str, message: &str| {
            told(&[THIRD], vec![("records", Some(migration("False", reason, message)))])
                .expect("it waits")
                .key
        };
        assert_eq!(key("Migrating", "the Job a runs"), key("Migrating", "the Job b runs"));
        assert_ne!(key("Migrating", "the Job runs"), key("MigrationFailed", "the Job runs"));
    }
}
