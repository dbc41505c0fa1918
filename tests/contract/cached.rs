//! How much memory the cache needs for an object: with ten thousand of them that is most of the controller.

use allocation_counter::measure;
use serde_json::{Value, json};
use sluice::{api::DatabaseMigration, controller::known::Known};

/// As the API server has it after a run, with so many migrations, findings and former runs.
fn settled(many: usize) -> DatabaseMigration {
    let at = "2026-01-02T03:04:05Z";
    let list = |one: fn(usize) -> Value| (0..many).map(one).collect::<Vec<_>>();
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "Verified", "message": "as meant", "lastTransitionTime": at});
    let kinds = ["Ready", "Planned", "Cleared", "SnapshotReady", "Applied", "Verified"];
    let object = json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "DatabaseMigration",
        "metadata": {
            "name": "records-77", "namespace": "settled-42", "uid": "7f1f0f66-1c5e-4a05-9be4-5f7d5d2ba0b7", "resourceVersion": "123456789",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x".repeat(100 * many)},
            "managedFields": [{"manager": "kubectl", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:database": {"f:secretRef": {}}}}}],
        },
        "spec": {
            "database": {"secretRef": {"name": "of-records-77"}},
            "migrations": {"configMaps": ["migrations"]},
            "verify": {"queries": list(|n| json!({"name": format!("query {n}"), "sql": "SELECT 1", "expect": "NoRows"}))},
        },
        "status": {
            "observedGeneration": 1,
            "currentVersion": "20250918120000_first",
            "applied": [{"name": "20250918120000_first", "appliedAt": at}],
            "findings": list(|n| json!({"check": "rls-enabled", "object": format!("public.t{n}"), "severity": "Warning", "message": "m", "remedy": "r"})),
            "history": list(|n| json!({"job": format!("records-{n}"), "reason": "Verified", "finishedAt": "2026-01-02T03:04:05Z"})),
            "conditions": kinds.map(condition),
        },
    });
    serde_json::from_value(object).expect("a DatabaseMigration")
}

/// What stays allocated, with the value itself.
fn bytes<T>(make: impl FnOnce() -> T) -> u64 {
    let mut kept = None;
    let measured = measure(|| kept = Some(Box::new(make())));
    drop(kept);
    u64::try_from(measured.bytes_current).expect("something is kept")
}

#[test]
fn what_the_cache_keeps_of_an_object_is_small_and_does_not_grow_with_what_it_verifies_and_has_been_through() {
    let (small, large) = (settled(1), settled(50));
    let kept = [&small, &large].map(|object| bytes(|| Known::of(object)));
    let whole = [&small, &large].map(|object| bytes(|| object.clone()));
    println!("kept {kept:?} bytes of {whole:?}");
    assert_eq!(kept[0], kept[1]);
    assert!(kept[0] <= 1_000, "{} bytes", kept[0]);
    assert!(
        whole[0] > 4 * kept[0] && whole[1] > 10 * kept[1],
        "the control: the whole takes {whole:?} bytes"
    );
}
