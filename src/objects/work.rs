//! What a Job does, apart from where it runs and with how much: by this Sluice recognises its own Jobs and
//! their Pods. PURE.
//!
//! Names, labels and owners are easily forged, and the API server hides nothing that runs. So everything that
//! decides what happens in a Pod is compared: images, commands, environment, volumes, users. A field that
//! Sluice does not know counts as a difference.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Where a Pod runs, and with how much: the scheduler, quotas and the platform team's policies set these as
/// they like.
const PLACEMENT: [&str; 16] = [
    "affinity",
    "imagePullSecrets",
    "nodeName",
    "nodeSelector",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "resources",
    "runtimeClassName",
    "schedulerName",
    "schedulingGates",
    "schedulingGroup",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
];
/// How long a Job may take and how long it stays; `suspend` belongs to queues such as Kueue, `selector` to
/// the Job controller.
const TERMS: [&str; 5] =
    ["activeDeadlineSeconds", "scheduling", "selector", "suspend", "ttlSecondsAfterFinished"];
/// How a container is pulled and resized.
const SUPPLY: [&str; 3] = ["imagePullPolicy", "resizePolicy", "resources"];
/// What differs from one attempt to the next.
const OF_THE_ATTEMPT: [&str; 6] = [
    "SLUICE_ATTEMPT",
    "SLUICE_DEADLINE",
    "SLUICE_ENDS_BY",
    "SLUICE_LEG",
    "SLUICE_PURPOSE",
    "SLUICE_REQUIRED",
];

/// What the spec of a Job does.
pub fn work(spec: &Value) -> Value {
    let Some(fields) = spec.as_object() else { return spec.clone() };
    let mut work = without(fields, |field| field == "template" || TERMS.contains(&field));
    for (field, default) in [
        ("completionMode", "NonIndexed".into()),
        ("completions", 1.into()),
        ("manualSelector", false.into()),
        ("parallelism", 1.into()),
    ] {
        drop_default(&mut work, field, &default);
    }
    let template = work_of_pod(&spec["template"]["spec"]);
    work.insert("template".to_owned(), Value::Object(Map::from_iter([("spec".to_owned(), template)])));
    Value::Object(work)
}

/// What the spec of a Pod does.
pub fn work_of_pod(spec: &Value) -> Value {
    let Some(fields) = spec.as_object() else { return spec.clone() };
    let mut work = without(fields, |field| PLACEMENT.contains(&field));
    for (field, default) in
        [("dnsPolicy", "ClusterFirst"), ("serviceAccount", "default"), ("serviceAccountName", "default")]
    {
        drop_default(&mut work, field, &default.into());
    }
    each(&mut work, "containers", |container| {
        drop_fields(container, &SUPPLY);
        drop_default(container, "terminationMessagePath", &"/dev/termination-log".into());
        if let Some(Value::Array(variables)) = container.get_mut("env") {
            variables.retain(|variable| !OF_THE_ATTEMPT.iter().any(|name| variable["name"] == *name));
        }
    });
    each(&mut work, "volumes", |volume| {
        for source in ["configMap", "projected"] {
            if let Some(Value::Object(source)) = volume.get_mut(source) {
                drop_default(source, "defaultMode", &0o644.into());
            }
        }
        if let Some(Value::Object(image)) = volume.get_mut("image") {
            drop_fields(image, &["pullPolicy"]);
        }
    });
    Value::Object(work)
}

/// A copy that never has what would be dropped from it.
fn without(object: &Map<String, Value>, left_out: impl Fn(&str) -> bool) -> Map<String, Value> {
    let kept = object.iter().filter(|(field, _)| !left_out(field));
    kept.map(|(field, value)| (field.clone(), value.clone())).collect()
}

fn drop_fields(object: &mut Map<String, Value>, fields: &[&str]) {
    object.retain(|field, _| !fields.contains(&field.as_str()));
}

/// What the API server fills in says the same as its absence.
fn drop_default(object: &mut Map<String, Value>, field: &str, default: &Value) {
    if object.get(field) == Some(default) {
        object.remove(field);
    }
}

fn each(object: &mut Map<String, Value>, list: &str, change: impl Fn(&mut Map<String, Value>)) {
    object
        .get_mut(list)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
        .for_each(change);
}

/// The SHA-256 of a work, in hexadecimal digits.
pub fn fingerprint(work: &Value) -> String {
    // The fields of an object are sorted, so the same work is the same text.
    Sha256::digest(work.to_string()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where one work differs from the one that was expected, for a person; `None` when it is the same.
pub fn difference(expected: &Value, found: &Value) -> Option<String> {
    differs("spec", expected, found)
}

fn differs(path: &str, expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        _ if expected == found => None,
        (Value::Object(expected), Value::Object(found)) => {
            let added = found
                .keys()
                .find(|field| !expected.contains_key(*field))
                .map(|field| format!("{path}.{field} was added"));
            let changed = || {
                expected.iter().find_map(|(field, value)| match found.get(field) {
                    Some(other) => differs(&format!("{path}.{field}"), value, other),
                    None => Some(format!("{path}.{field} is missing")),
                })
            };
            added.or_else(changed)
        }
        (Value::Array(expected), Value::Array(found)) => Some(list_differs(path, expected, found)),
        // Values are not told: what a user put there may be anything.
        _ => Some(format!("{path} is another one")),
    }
}

fn list_differs(path: &str, expected: &[Value], found: &[Value]) -> String {
    let name = |item: &Value| item["name"].as_str().or_else(|| item["mountPath"].as_str()).map(shortened);
    let has = |list: &[Value], desired: &str| list.iter().any(|item| name(item).as_deref() == Some(desired));
    if let Some(added) = found.iter().filter_map(name).find(|added| !has(expected, added)) {
        return format!("{path}[{added}] was added");
    }
    if let Some(missing) = expected.iter().filter_map(name).find(|missing| !has(found, missing)) {
        return format!("{path}[{missing}] is missing");
    }
    let pairs = expected.iter().zip(found);
    let item = |(item, other): (&Value, &Value)| {
        differs(&format!("{path}[{}]", name(item).unwrap_or_default()), item, other)
    };
    pairs
        .filter(|_| expected.len() == found.len())
        .find_map(item)
        .unwrap_or_else(|| format!("{path} is another one"))
}

/// A name as Kubernetes allows it; anything else is not quoted.
fn shortened(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(63).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> Value {
        let env = json!([{"name": "SLUICE_SPEC", "value": "{}"}, {"name": "SLUICE_ATTEMPT", "value": "1"}]);
        json!({"backoffLimit": 0, "activeDeadlineSeconds": 660, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "plan", "image": "sluice:1", "env": env, "volumeMounts": [{"name": "run", "mountPath": "/run/sluice"}]}],
            "volumes": [{"name": "run", "emptyDir": {}}, {"name": "source", "projected": {"sources": []}}],
        }}})
    }

    fn told(change: impl FnOnce(&mut Value)) -> Option<String> {
        let mut other = spec();
        change(&mut other);
        difference(&work(&spec()), &work(&other))
    }

    #[test]
    fn what_the_api_server_fills_in_and_where_it_runs_is_no_difference() {
        let told = told(|spec| {
            spec["parallelism"] = json!(1);
            spec["completionMode"] = json!("NonIndexed");
            spec["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "1"}});
            let pod = &mut spec["template"]["spec"];
            for (field, value) in
                [("dnsPolicy", "ClusterFirst"), ("schedulerName", "default-scheduler"), ("nodeName", "n")]
            {
                pod[field] = json!(value);
            }
            pod["containers"][0]["terminationMessagePath"] = json!("/dev/termination-log");
            pod["containers"][0]["resources"] = json!({"limits": {"memory": "1Gi"}});
            pod["containers"][0]["env"][1]["value"] = json!("7");
            pod["volumes"][1]["projected"]["defaultMode"] = json!(420);
            pod["tolerations"] = json!([{"operator": "Exists"}]);
        });
        assert_eq!(told, None);
    }

    #[test]
    fn whatever_else_differs_is_told_by_its_place_and_never_by_its_value() {
        let pod = |change: fn(&mut Value)| told(move |spec| change(&mut spec["template"]["spec"]));
        for (found, words) in [
            (
                pod(|pod| pod["containers"][0]["image"] = json!("s3cret")),
                "containers[plan].image is another one",
            ),
            (pod(|pod| pod["containers"][0]["args"] = json!(["s3cret"])), "containers[plan].args was added"),
            (
                pod(|pod| pod["containers"][0]["env"][0]["value"] = json!("s3cret")),
                "containers[plan].env[SLUICE_SPEC].value is another one",
            ),
            (
                pod(|pod| pod["containers"][0]["terminationMessagePath"] = json!("/run/sluice/x")),
                "terminationMessagePath was added",
            ),
            (
                pod(|pod| {
                    pod["containers"].as_array_mut().expect("a list").push(json!({"name": "istio-proxy"}));
                }),
                "containers[istio-proxy] was added",
            ),
            (pod(|pod| pod["containers"] = json!([])), "containers[plan] is missing"),
            (pod(|pod| pod["hostAliases"] = json!([{"ip": "10.0.0.1"}])), "hostAliases was added"),
            (pod(|pod| pod["serviceAccountName"] = json!("other")), "serviceAccountName was added"),
            (pod(|pod| pod["aFieldOfTomorrow"] = json!(true)), "aFieldOfTomorrow was added"),
            (
                pod(|pod| pod["ephemeralContainers"] = json!([{"name": "debug"}])),
                "ephemeralContainers was added",
            ),
            (
                pod(|pod| pod["volumes"][0] = json!({"name": "run", "hostPath": {"path": "/"}})),
                "volumes[run].hostPath was added",
            ),
            (
                pod(|pod| pod["containers"][0]["volumeMounts"][0]["subPath"] = json!("x")),
                "volumeMounts[run].subPath was added",
            ),
            (told(|spec| spec["managedBy"] = json!("example.org/x")), "spec.managedBy was added"),
            (told(|spec| spec["backoffLimit"] = json!(6)), "spec.backoffLimit is another one"),
            (told(|spec| spec["parallelism"] = json!(2)), "spec.parallelism was added"),
        ] {
            let found = found.unwrap_or_else(|| panic!("no difference where {words} was expected"));
            assert!(found.contains(words) && !found.contains("s3cret"), "{found}");
        }
    }

    #[test]
    fn the_same_work_has_the_same_fingerprint_and_another_one_has_another() {
        let other = told(|spec| spec["backoffLimit"] = json!(1));
        assert!(other.is_some());
        assert_eq!(fingerprint(&work(&spec())), fingerprint(&work(&spec())));
        let mut changed = spec();
        changed["template"]["spec"]["containers"][0]["image"] = json!("sluice:2");
        assert_ne!(fingerprint(&work(&spec())), fingerprint(&work(&changed)));
    }
}
