//! Where each field of the manifest in force came from. PURE.

use serde::Serialize;
use serde_json::Value;

use super::{in_force, merge, merged};
use crate::api::DatabaseMigrationSpec;

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// The DatabaseMigration.
    Manifest,
    /// The MigrationPolicy.
    Policy,
    /// The preset that one of them names.
    Preset,
    /// None of them: it is Sluice's own default.
    Default,
}

/// One field that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its path, for instance `spec.apply.deadline`.
    pub field: String,
    /// Its value, as it was written.
    pub value: Value,
    /// Who said it.
    pub from: Origin,
}

/// The sections in the manifest's order.
const ORDER: [&str; 9] =
    ["policyRef", "database", "migrations", "before", "snapshot", "apply", "verify", "onFailure", "suspend"];

/// Every field that is in force, in the manifest's order, and how the policy places the Pods of runs; a list
/// is one field. `meant` is the spec in force, read: it has the defaults.
pub fn fields(spec: &Value, policy: Option<&Value>, meant: &DatabaseMigrationSpec) -> Vec<Field> {
    let defaults =
        serde_json::to_value(meant).expect("a spec that was read from JSON can be written as JSON");
    let written = merge::over(&in_force(spec, policy), &merged(spec, policy));
    let says = |place: Option<&Value>, pointer: &str| {
        place.and_then(|place| place.pointer(pointer)).is_some_and(|value| !value.is_null())
    };
    let mut found = Vec::new();
    for (path, value) in leaves(&merge::over(&defaults, &written)) {
        let pointer: String = path.iter().map(|name| format!("/{name}")).collect();
        let from = if says(Some(spec), &pointer) {
            Origin::Manifest
        } else if says(policy, &pointer) {
            Origin::Policy
        } else if says(Some(&written), &pointer) {
            Origin::Preset
        } else {
            Origin::Default
        };
        // A section of which nothing is said and nothing is a default.
        let silent = from == Origin::Default && value.as_object().is_some();
        if !silent {
            let at = ORDER.iter().position(|section| path.first() == Some(section)).unwrap_or(ORDER.len());
            found.push((at, Field { field: format!("spec.{}", path.join(".")), value: value.clone(), from }));
        }
    }
    found.extend(pods(policy).into_iter().map(|field| (ORDER.len(), field)));
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, field)| field).collect()
}

/// How the policy places the Pods of runs. No manifest says anything about them, and what the chart says is
/// not known here. An affinity is one field: it is Kubernetes' own, and its paths are longer than a line.
fn pods(policy: Option<&Value>) -> Vec<Field> {
    let said = policy
        .and_then(|policy| policy["pods"].as_object())
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null());
    let below = said.flat_map(|(name, value)| {
        let inner = if name == "affinity" { vec![(Vec::new(), value)] } else { leaves(value) };
        inner
            .into_iter()
            .map(move |(path, value)| ([vec!["spec.pods", name.as_str()], path].concat().join("."), value))
    });
    below.map(|(field, value)| Field { field, value: value.clone(), from: Origin::Policy }).collect()
}

/// Everything that is no object with fields, with its path.
fn leaves(value: &Value) -> Vec<(Vec<&str>, &Value)> {
    let Some(fields) = value.as_object().filter(|fields| !fields.is_empty()) else {
        return vec![(Vec::new(), value)];
    };
    let below = fields.iter().filter(|(_, value)| !value.is_null()).flat_map(|(name, value)| {
        leaves(value).into_iter().map(move |(path, value)| ([vec![name.as_str()], path].concat(), value))
    });
    below.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_field_says_where_it_came_from() {
        let spec = json!({
            "policyRef": {"name": "house"},
            "database": {"secretRef": {"name": "records-db"}},
            "migrations": {"configMaps": ["records"]},
            "apply": {"deadline": "60s"},
            "verify": {"conventions": {"except": []}},
        });
        let policy = json!({
            "snapshot": {"dump": {"volumeClaim": "house"}},
            "apply": {"deadline": "5m", "lockTimeout": "2s"},
            "verify": {"conventions": {"preset": "SnakePlural", "except": ["old"]}, "drift": {}},
        });
        let meant = serde_json::from_value(in_force(&spec, Some(&policy))).expect("a spec");
        let found = fields(&spec, Some(&policy), &meant);
        for (field, value, from) in [
            ("spec.policyRef.name", json!("house"), Origin::Manifest),
            ("spec.database.secretRef.key", json!("url"), Origin::Default),
            ("spec.database.schemas", json!(["public"]), Origin::Default),
            ("spec.snapshot.dump.volumeClaim", json!("house"), Origin::Policy),
            ("spec.snapshot.dump.jobs", json!(1), Origin::Default),
            ("spec.apply.deadline", json!("60s"), Origin::Manifest),
            ("spec.apply.lockTimeout", json!("2s"), Origin::Policy),
            ("spec.verify.conventions.preset", json!("SnakePlural"), Origin::Policy),
            ("spec.verify.conventions.tables", json!("snake_case"), Origin::Preset),
            ("spec.verify.conventions.except", json!([]), Origin::Manifest),
            ("spec.verify.conventions.severity", json!("Error"), Origin::Default),
            ("spec.verify.drift", json!({}), Origin::Policy),
        ] {
            let expected = Field { field: field.to_owned(), value, from };
            assert_eq!(found.iter().filter(|other| other.field == field).collect::<Vec<_>>(), [&expected]);
        }
        assert!(!found.iter().any(|field| field.field == "spec.before"), "what nothing sets is left out");
        let sections: Vec<&str> = found.iter().filter_map(|field| field.field.split('.').nth(1)).collect();
        let mut in_order = sections.clone();
        in_order.sort_by_key(|section| ORDER.iter().position(|known| known == section));
        assert_eq!(sections, in_order);
    }
}
