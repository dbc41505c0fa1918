//! The rule: objects are merged field by field; a list or a single value of the manifest replaces the
//! policy's; and of two fields that exclude each other the manifest's choice stands alone. PURE.

use serde_json::{Map, Value};

/// Fields of one object of which the manifest may have one: if it has, the policy's other one is not taken
/// over.
const ALTERNATIVES: [(&str, [&str; 2]); 1] = [("/snapshot", ["dump", "none"])];

/// A manifest's spec, with what only the policy says.
pub fn specs(policy: &Value, spec: &Value) -> Value {
    let mut policy = policy.clone();
    for (object, fields) in ALTERNATIVES {
        let chosen =
            fields.iter().find(|field| spec.pointer(object).is_some_and(|own| !own[**field].is_null()));
        if let (Some(chosen), Some(Value::Object(theirs))) = (chosen, policy.pointer_mut(object)) {
            theirs.retain(|field, _| field == chosen || !fields.contains(&field.as_str()));
        }
    }
    over(&policy, spec)
}

/// One value over another. Null says nothing: the API server drops it too.
pub fn over(below: &Value, above: &Value) -> Value {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            let mut merged: Map<String, Value> = below.clone();
            for (field, value) in above {
                let value = over(below.get(field).unwrap_or(&Value::Null), value);
                merged.insert(field.clone(), value);
            }
            Value::Object(merged)
        }
        (below, Value::Null) => below.clone(),
        (_, above) => above.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A section, as the policy has it, as the manifest has it, and as it must be merged.
    fn table() -> Vec<(&'static str, Value, Value, Value)> {
        vec![
            (
                "database",
                json!({"schemas": ["a", "b"], "historySchema": "a"}),
                json!({"secretRef": {"name": "s"}, "schemas": ["c"]}),
                json!({"secretRef": {"name": "s"}, "schemas": ["c"], "historySchema": "a"}),
            ),
            (
                "migrations",
                json!({"format": "Sql", "path": "/sql"}),
                json!({"format": "Prisma", "image": "i:1"}),
                json!({"format": "Prisma", "image": "i:1", "path": "/sql"}),
            ),
            (
                "before",
                json!({"window": {"schedule": "0 2 * * SUN", "duration": "1h", "timeZone": "Europe/Berlin"}}),
                json!({"dependsOn": [{"name": "auth"}], "window": {"schedule": "0 3 * * *", "duration": "2h", "timeZone": "Etc/UTC"}}),
                json!({"dependsOn": [{"name": "auth"}],
                    "window": {"schedule": "0 3 * * *", "duration": "2h", "timeZone": "Etc/UTC"}}),
            ),
            (
                "snapshot",
                json!({"dump": {"volumeClaim": "house", "jobs": 2}, "verify": "List", "keep": {"last": 3}}),
                json!({"dump": {"jobs": 4}, "keep": {"days": 9}}),
                json!({"dump": {"volumeClaim": "house", "jobs": 4}, "verify": "List", "keep": {"last": 3, "days": 9}}),
            ),
            (
                "apply",
                json!({"lockTimeout": "2s", "deadline": "5m"}),
                json!({"deadline": "1h", "atomicity": "Migration"}),
                json!({"lockTimeout": "2s", "deadline": "1h", "atomicity": "Migration"}),
            ),
            (
                "verify",
                json!({"every": "6h", "rowLevelSecurity": {"tenant": {"column": "clinic_id", "setting": "app.clinic_id"}, "except": ["a"]},
                    "indexes": {"redundant": true}, "conventions": {"tables": "PascalCase", "except": ["x"]}, "drift": {}}),
                json!({"rowLevelSecurity": {"appRole": "app", "tenant": {"column": "clinic"}}, "indexes": {"redundant": false}, "conventions": {"except": []}}),
                json!({"every": "6h", "rowLevelSecurity": {"appRole": "app", "tenant": {"column": "clinic", "setting": "app.clinic_id"}, "except": ["a"]},
                    "indexes": {"redundant": false}, "conventions": {"tables": "PascalCase", "except": []}, "drift": {}}),
            ),
            (
                "onFailure",
                json!({"migration": "Halt"}),
                json!({"migration": "Halt"}),
                json!({"migration": "Halt"}),
            ),
        ]
    }

    #[test]
    fn each_section_of_the_policy_alone_of_the_manifest_alone_and_of_both() {
        let sections: Vec<&str> = table().into_iter().map(|(section, ..)| section).collect();
        assert_eq!(sections, crate::api::POLICY_SECTIONS, "every section that a policy may have");
        for (section, policy, manifest, both) in table() {
            assert_eq!(
                specs(&json!({section: policy}), &json!({}))[section],
                policy,
                "{section}: only the policy"
            );
            assert_eq!(
                specs(&json!({}), &json!({section: manifest}))[section],
                manifest,
                "{section}: only the manifest"
            );
            assert_eq!(
                specs(&json!({section: policy}), &json!({section: manifest}))[section],
                both,
                "{section}: both"
            );
        }
    }

    #[test]
    fn an_empty_policy_changes_nothing_and_everything_that_a_manifest_says_stands() {
        let policy = Value::Object(
            table().into_iter().map(|(section, policy, ..)| (section.to_owned(), policy)).collect(),
        );
        for (section, _, manifest, _) in table() {
            let spec = json!({section: manifest, "suspend": true});
            assert_eq!(specs(&json!({}), &spec), spec);
            assert!(stands_in(&spec, &specs(&policy, &spec)), "{section}");
        }
    }

    /// Every value of `own` is the same in `merged`.
    fn stands_in(own: &Value, merged: &Value) -> bool {
        match (own, merged) {
            (Value::Object(own), Value::Object(merged)) => own
                .iter()
                .all(|(field, value)| merged.get(field).is_some_and(|other| stands_in(value, other))),
            _ => own == merged,
        }
    }

    #[test]
    fn random_manifests_always_win_and_random_policies_only_fill_gaps() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let (policy, spec) = (any(&mut random, 4), any(&mut random, 4));
            let merged = over(&policy, &spec);
            assert!(stands_in(&spec, &merged), "{policy} under {spec} is {merged}");
            assert_eq!(over(&json!({}), &spec), spec);
            assert_eq!(over(&policy, &merged), merged, "merging again changes nothing");
        }
    }

    /// An object of a few fields, so that the two often have the same ones.
    fn any(random: &mut fastrand::Rng, depth: u8) -> Value {
        let field = |random: &mut fastrand::Rng| match random.u8(0..6) {
            0 | 1 if depth > 0 => any(random, depth - 1),
            2 => json!([random.u8(0..3)]),
            3 => json!([]),
            4 => json!(random.bool()),
            _ => json!(random.u8(0..3)),
        };
        let mut object = Map::new();
        for name in ["a", "b", "c"] {
            if random.bool() {
                object.insert(name.to_owned(), field(random));
            }
        }
        Value::Object(object)
    }

    #[test]
    fn of_two_that_exclude_each_other_the_manifests_choice_stands_alone() {
        let policy = json!({"snapshot": {"dump": {"volumeClaim": "house"}, "keep": {"last": 3}}});
        let waived = specs(&policy, &json!({"snapshot": {"none": {"reason": "rebuilt each night"}}}));
        assert_eq!(
            waived["snapshot"],
            json!({"none": {"reason": "rebuilt each night"}, "keep": {"last": 3}})
        );
        let waives = json!({"snapshot": {"none": {"reason": "rebuilt each night"}}});
        assert_eq!(
            specs(&waives, &json!({"snapshot": {"dump": {"volumeClaim": "own"}}}))["snapshot"],
            json!({"dump": {"volumeClaim": "own"}})
        );
        assert_eq!(
            specs(&waives, &json!({"snapshot": {"verify": "List"}}))["snapshot"]["none"]["reason"],
            "rebuilt each night"
        );
    }

    #[test]
    fn null_says_nothing() {
        assert_eq!(over(&json!({"a": 1}), &json!({"a": null})), json!({"a": 1}));
    }
}
