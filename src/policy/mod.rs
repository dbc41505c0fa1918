//! A manifest and its MigrationPolicy become the manifest in force. PURE: no client, no file, no clock.
//!
//! All of it works on manifests as written (JSON), because a default that is filled in looks like a value
//! that a person wrote. So this comes before the manifest is read as a type, and the defaults come last:
//! manifest, then policy, then preset, then default.

mod merge;
mod origin;
pub mod preset;

use serde_json::Value;

use crate::api::{MigrationPolicySpec, Pods};
pub use origin::{Field, Origin, fields};

/// The name of the policy that a manifest's spec asks for.
pub fn named(spec: &Value) -> Option<&str> {
    spec["policyRef"]["name"].as_str()
}

/// A policy's spec as written.
pub fn sections(policy: &MigrationPolicySpec) -> Value {
    serde_json::to_value(policy).expect("a policy that was read from JSON can be written as JSON")
}

/// The spec in force: merged with the policy's, presets spelled out. It refers to nothing any more, so it
/// says the same everywhere. Where a policy is asked for and none is given, the reference stays, and the
/// manifest is not valid.
pub fn in_force(spec: &Value, policy: Option<&Value>) -> Value {
    let mut merged = merged(spec, policy);
    if let Some(fields) = merged.as_object_mut().filter(|_| policy.is_some()) {
        fields.remove("policyRef");
    }
    if let Some(conventions) = merged.pointer_mut("/verify/conventions") {
        preset::spell_out(conventions);
    }
    merged
}

/// The spec with what only the policy says.
fn merged(spec: &Value, policy: Option<&Value>) -> Value {
    let mut policy = policy.cloned();
    // The Pods of runs are no part of any manifest.
    if let Some(sections) = policy.as_mut().and_then(Value::as_object_mut) {
        sections.remove("pods");
    }
    policy.map_or_else(|| spec.clone(), |policy| merge::specs(&policy, spec))
}

/// The Pods of runs as they are in force: what the policy says over what the chart says. The error is the
/// field's own.
pub fn pods(chart: &Pods, policy: Option<&Value>) -> Result<Pods, String> {
    let Some(said) = policy.map(|policy| &policy["pods"]).filter(|pods| !pods.is_null()) else {
        return Ok(chart.clone());
    };
    let chart =
        serde_json::to_value(chart).expect("settings that were read from JSON can be written as JSON");
    serde_json::from_value(merge::over(&chart, said))
        .map_err(|error| format!("spec.pods of its MigrationPolicy: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_in_force_refers_to_nothing_any_more() {
        let spec =
            json!({"policyRef": {"name": "house"}, "verify": {"conventions": {"preset": "PascalCamel"}}});
        let in_force = in_force(&spec, Some(&json!({"apply": {"deadline": "5m"}})));
        assert_eq!((named(&spec), named(&in_force)), (Some("house"), None));
        assert_eq!(in_force["apply"]["deadline"], "5m");
        assert_eq!(
            (&in_force["verify"]["conventions"]["tables"], &in_force["verify"]["conventions"]["preset"]),
            (&json!("PascalCase"), &Value::Null)
        );
    }

    #[test]
    fn a_policy_that_is_asked_for_and_not_given_stays_asked_for() {
        let spec = json!({"policyRef": {"name": "house"}});
        assert_eq!(in_force(&spec, None), spec);
    }

    #[test]
    fn what_is_in_force_stays_as_it_is_when_it_is_read_again() {
        let spec = json!({"verify": {"conventions": {"preset": "SnakePlural", "indexes": [], "migrations": {"preset": "Strict14"}}}});
        let once = in_force(&spec, None);
        assert_eq!(in_force(&once, None), once);
        assert_eq!(once["verify"]["conventions"]["indexes"], json!([]));
    }

    #[test]
    fn a_preset_fills_only_what_neither_the_manifest_nor_the_policy_says() {
        let policy =
            json!({"verify": {"conventions": {"preset": "PascalCamel", "indexes": ["ix_{columns}"]}}});
        let spec = json!({"policyRef": {"name": "house"}, "verify": {"conventions": {"preset": "SnakePlural", "columns": "camelCase"}}});
        let conventions = &in_force(&spec, Some(&policy))["verify"]["conventions"];
        assert_eq!(
            conventions,
            &json!({"tables": "snake_case", "columns": "camelCase", "indexes": ["ix_{columns}"]})
        );
    }

    #[test]
    fn the_pods_of_runs_are_what_the_policy_says_over_what_the_chart_says_and_in_no_manifest() {
        let chart: Pods = serde_json::from_value(json!({
            "resources": {"migrate": {"limits": {"memory": "1Gi", "cpu": "1"}}, "plan": {"limits": {"memory": "64Mi"}}},
            "nodeSelector": {"zone": "a"}, "tolerations": [{"key": "x"}], "labels": {"cost": "platform"},
        }))
        .expect("settings");
        let policy = json!({"apply": {"deadline": "5m"}, "pods": {
            "resources": {"migrate": {"limits": {"memory": "2Gi"}}}, "tolerations": [], "labels": {"team": "records"}, "priorityClassName": "high",
        }});
        let pods = serde_json::to_value(super::pods(&chart, Some(&policy)).expect("settings")).expect("JSON");
        let expected = json!({
            "resources": {"migrate": {"limits": {"memory": "2Gi", "cpu": "1"}}, "plan": {"limits": {"memory": "64Mi"}}},
            "nodeSelector": {"zone": "a"}, "tolerations": [], "labels": {"cost": "platform", "team": "records"}, "priorityClassName": "high",
        });
        assert_eq!(pods, expected);
        assert_eq!(super::pods(&chart, None), Ok(chart.clone()));
        let wrong = super::pods(&chart, Some(&json!({"pods": {"affinity": {"nodeAffinity": 7}}})));
        assert!(wrong.expect_err("is no affinity").starts_with("spec.pods of its MigrationPolicy: "));
        let spec = json!({"policyRef": {"name": "house"}});
        assert_eq!(in_force(&spec, Some(&policy)), json!({"apply": {"deadline": "5m"}}));
    }
}
