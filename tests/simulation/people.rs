//! What people do in the cluster, and what happens to the nodes.

use serde_json::{Value, json};
use sluice::api::{
    ANNOTATION_ABORT, ANNOTATION_HELD, ANNOTATION_PAUSED, ANNOTATION_REQUIRES, ANNOTATION_RETRY, LABEL_GATED,
    entry,
};

use super::{
    api_server::{Key, second},
    story::What,
    world::{NAMESPACE, World},
};

/// The key of an object in the one namespace of the world.
pub fn key(kind: &str, name: &str) -> Key {
    (kind.to_owned(), NAMESPACE.to_owned(), name.to_owned())
}

/// Does it. What is not there is not edited.
pub fn act(world: &mut World, what: &What) {
    let cluster = &mut world.cluster;
    match what {
        What::Create { name, spec } => {
            let at = key("databasemigrations", name);
            if !cluster.objects.contains_key(&at) {
                cluster.put(at, migration(name, spec));
            }
        }
        What::Edit { name, section, value } => edit(world, name, |object| {
            if value.is_null() {
                object["spec"].as_object_mut().map(|spec| spec.remove(section));
            } else {
                object["spec"][section] = value.clone();
            }
        }),
        What::Retry { name, word } => {
            edit(world, name, |object| object["metadata"]["annotations"][ANNOTATION_RETRY] = json!(word));
        }
        What::Abort { name } => edit(world, name, |object| {
            let job = object["status"]["run"]["job"].clone();
            if job.is_string() {
                object["metadata"]["annotations"][ANNOTATION_ABORT] = job;
            }
        }),
        What::Hold { name, paused } => {
            let word = json!(paused.to_string());
            edit(world, name, |object| object["metadata"]["annotations"][ANNOTATION_PAUSED] = word);
        }
        What::Delete { name, foreground } => {
            let now = second(cluster.now);
            if *foreground {
                edit(world, name, |object| object["metadata"]["deletionTimestamp"] = json!(now));
            } else if cluster.objects.contains_key(&key("databasemigrations", name)) {
                cluster.remove(&key("databasemigrations", name));
            }
        }
        What::Source { map, migrations } => {
            let data: Value = migrations
                .iter()
                .map(|name| (name.clone(), json!("")))
                .collect::<serde_json::Map<_, _>>()
                .into();
            put(
                world,
                "configmaps",
                map,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": map}}),
                "data",
                data,
            );
        }
        What::NoSource { map } => take(world, "configmaps", map),
        What::Policy { name, deadline } => {
            let spec = json!({"apply": {"deadline": deadline}});
            let bare = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "MigrationPolicy", "metadata": {"name": name}});
            put(world, "migrationpolicies", name, bare, "spec", spec);
        }
        What::NoPolicy { name } => take(world, "migrationpolicies", name),
        What::NoGate => take(world, "migrationgates", "gates"),
        What::Secret { name, there } => {
            if *there {
                world.nodes.secrets.insert(name.clone());
            } else {
                world.nodes.secrets.remove(name);
            }
        }
        What::Schema { database, broken } => world.postgres.database(database).broken = *broken,
        What::Workload { name, requires } => workload(world, name, requires),
        other => befall(world, other),
    }
}

/// What happens to nodes and their Pods.
fn befall(world: &mut World, what: &What) {
    let now = world.now();
    match what {
        What::SlowStart { upto, ms } => world.nodes.slow_start = (now + ms, *upto),
        What::SlowStages { upto, ms } => world.nodes.slow_stages = (now + ms, *upto),
        other => match other.victim() {
            Some(victim) => world.nodes.waits_for(victim, other, now),
            None => unreachable!("the world itself does {other:?}"),
        },
    }
}

fn migration(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "DatabaseMigration",
        "metadata": {"name": name},
        "spec": spec,
        "status": {"observedGeneration": -1},
    })
}

fn edit(world: &mut World, name: &str, change: impl FnOnce(&mut Value)) {
    let at = key("databasemigrations", name);
    let there = world
        .cluster
        .objects
        .get(&at)
        .is_some_and(|object| object["metadata"]["deletionTimestamp"].is_null());
    if there {
        world.cluster.edit(&at, change);
    }
}

fn put(world: &mut World, kind: &str, name: &str, mut bare: Value, section: &str, value: Value) {
    let at = key(kind, name);
    if world.cluster.objects.contains_key(&at) {
        world.cluster.edit(&at, |object| object[section] = value);
    } else {
        bare[section] = value;
        world.cluster.put(at, bare);
    }
}

fn take(world: &mut World, kind: &str, name: &str) {
    let at = key(kind, name);
    if world.cluster.objects.contains_key(&at) {
        world.cluster.remove(&at);
    }
}

/// A Deployment as it comes out of admission: held, unless the gate has what it requires.
fn workload(world: &mut World, name: &str, requires: &[(String, String)]) {
    let gate = world.cluster.objects.get(&key("migrationgates", "gates")).cloned().unwrap_or_default();
    let satisfied = |(name, version): &(String, String)| {
        gate["spec"]["satisfied"]
            .as_array()
            .is_some_and(|entries| entries.contains(&json!(entry(name, version))))
    };
    let held = !requires.iter().all(satisfied);
    let annotations: serde_json::Map<String, Value> = requires
        .iter()
        .map(|(name, version)| (format!("{ANNOTATION_REQUIRES}{name}"), json!(version)))
        .collect();
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {LABEL_GATED: "true"}, "annotations": {}},
        "spec": {"paused": held, "selector": {}, "template": {"metadata": {"annotations": annotations}, "spec": {"containers": []}}},
    });
    if held {
        object["metadata"]["annotations"][ANNOTATION_HELD] = json!("true");
    }
    let at = key("deployments", name);
    if world.cluster.objects.contains_key(&at) {
        let (metadata, spec) = (object["metadata"]["annotations"].take(), object["spec"].take());
        world.cluster.edit(&at, |deployment| {
            deployment["metadata"]["annotations"] = metadata;
            deployment["spec"] = spec;
        });
    } else {
        world.cluster.put(at, object);
    }
}
