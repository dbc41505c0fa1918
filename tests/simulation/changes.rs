//! What changes in the cluster: found by comparing what is stored with what was, whichever client wrote it.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::api_server::{Cluster, Key};

/// One change of an object, as the API server tells watchers.
#[derive(Clone, Debug)]
pub struct Change {
    pub revision: u64,
    pub key: Key,
    /// As it was; `None` when it is new.
    pub before: Option<Arc<Value>>,
    /// As it is; `None` when it is gone.
    pub after: Option<Arc<Value>>,
}

/// What has changed since `mirror` was taken, in the order of the revisions.
pub fn differences(cluster: &Cluster, mirror: &mut BTreeMap<Key, Arc<Value>>) -> Vec<Change> {
    let revision = |object: &Value| -> Option<u64> {
        object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok())
    };
    let mut changes = Vec::new();
    let gone: Vec<Key> = mirror.keys().filter(|key| !cluster.objects.contains_key(*key)).cloned().collect();
    for key in gone {
        let before = mirror.remove(&key);
        changes.push(Change { revision: cluster.revision(), key, before, after: None });
    }
    for (key, object) in &cluster.objects {
        let before = mirror.get(key);
        let same = |other: &Value, field: &str| other["metadata"][field] == object["metadata"][field];
        if before.is_some_and(|before| same(before, "resourceVersion")) {
            continue;
        }
        let before = before.cloned();
        let after = Arc::new(object.clone());
        mirror.insert(key.clone(), Arc::clone(&after));
        let at: u64 = revision(object).unwrap_or_default();
        let another = before.as_ref().filter(|before| !same(before, "uid")).cloned();
        let before = before.filter(|_| another.is_none());
        let gone = another.map(|old| Change {
            revision: at.saturating_sub(1),
            key: key.clone(),
            before: Some(old),
            after: None,
        });
        changes.extend(gone);
        changes.push(Change { revision: at, key: key.clone(), before, after: Some(after) });
    }
    changes.sort_by_key(|change| change.revision);
    changes
}

/// What a change says, for the trace.
pub fn summary(change: &Change) -> String {
    let Some(after) = &change.after else { return String::new() };
    match change.key.0.as_str() {
        "databasemigrations" => {
            let ready = &after["status"]["conditions"][0];
            format!(
                "g{} {} {} run {}",
                after["metadata"]["generation"], ready["status"], ready["reason"], after["status"]["run"]
            )
        }
        "migrationgates" => after["spec"]["satisfied"].to_string(),
        "jobs" => after["status"]["conditions"][0]["type"].to_string(),
        _ => String::new(),
    }
}
