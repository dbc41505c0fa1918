//! A thousand and ten thousand settled objects, for `make bench`: what a restart of the controller reads,
//! writes and keeps in memory.
//!
//! One object is brought to Ready by a run. Its status is then given to the others, each under its own digest
//! and with its own entry in a gate, while no controller runs: that is what ten thousand runs would have left.

use std::{
    collections::BTreeMap,
    fmt::Write,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sluice::api::{DatabaseMigration, GATE_NAME, MigrationGate, entry};

use crate::{
    bench::{FIRST, keep, leader, resident_mb, writes},
    story::{Controller, SYSTEM, Story, kubectl},
};

/// So many objects share a namespace.
const EACH: usize = 100;
/// So many requests are under way at once.
const AT_ONCE: usize = 24;
/// The user that the controller is; the admission policies refuse a status or a gate of any other.
const CONTROLLER: &str = "system:serviceaccount:sluice-system:sluice";

/// The digest of the run that an object asks for, as `plan::digest` has it. The first object's run proves that
/// it is the same.
fn digest(object: &DatabaseMigration, map: &ConfigMap) -> String {
    let spec = serde_json::to_string(&object.spec).expect("a spec as JSON");
    let revision = format!(
        "{}@{}@{}",
        map.name_any(),
        map.uid().unwrap_or_default(),
        map.resource_version().unwrap_or_default()
    );
    let mut hash = Sha256::new();
    for part in [object.uid().unwrap_or_default(), spec, revision, String::new()] {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(30).map(|byte| format!("{byte:02x}")).collect()
}

/// A client that is the controller, faster than a person's.
async fn as_controller() -> Client {
    let mut config = Config::infer().await.expect("KUBECONFIG");
    config.auth_info.impersonate = Some(CONTROLLER.to_owned());
    Client::try_from(config).expect("a client")
}

/// One settled object, and what the others are made from.
struct Pattern {
    object: DatabaseMigration,
    map: ConfigMap,
    gate: MigrationGate,
    controller: Client,
}

impl Pattern {
    /// A namespace with a hundred objects that are as settled as the first one.
    async fn fill(&self, story: &Story, namespace: &str) {
        let meta = json!({"name": namespace, "labels": {"sluice.test/story": "bench_many"}});
        let space: Namespace = serde_json::from_value(json!({"metadata": meta})).expect("a Namespace");
        let posted = PostParams::default();
        Api::all(story.client.clone()).create(&posted, &space).await.expect("creates a namespace");
        let maps: Api<ConfigMap> = Api::namespaced(story.client.clone(), namespace);
        let mut map = ConfigMap { data: self.map.data.clone(), ..ConfigMap::default() };
        map.metadata.name = self.map.metadata.name.clone();
        let map = maps.create(&posted, &map).await.expect("creates the ConfigMap");
        let names: Vec<String> = (0..EACH).map(|number| format!("records-{number}")).collect();
        let mut gate = MigrationGate::new(GATE_NAME, self.gate.spec.clone());
        gate.spec.satisfied = names.iter().map(|name| entry(name, FIRST)).collect();
        let identity = self.gate.spec.databases[0].identity.clone();
        gate.spec.databases = serde_json::from_value(
            names.iter().map(|name| json!({"name": name, "identity": identity})).collect(),
        )
        .expect("databases of a gate");
        let gates: Api<MigrationGate> = Api::namespaced(self.controller.clone(), namespace);
        gates.create(&posted, &gate).await.expect("creates the gate");
        stream::iter(&names)
            .for_each_concurrent(AT_ONCE, |name| self.settle(story, namespace, name, &map))
            .await;
    }

    async fn settle(&self, story: &Story, namespace: &str, name: &str, map: &ConfigMap) {
        let mut object = DatabaseMigration::new(name, self.object.spec.clone());
        object.spec.database.secret_ref.name = format!("of-{name}");
        let objects: Api<DatabaseMigration> = Api::namespaced(story.client.clone(), namespace);
        let made = objects.create(&PostParams::default(), &object).await.expect("creates an object");
        let digest = digest(&made, map);
        let mut status = serde_json::to_value(&self.object.status).expect("a status as JSON");
        status["run"]["job"] = json!(format!("{name}-{}-a1", &digest[..8]));
        status["run"]["digest"] = json!(digest);
        let settled =
            DatabaseMigration { status: Some(serde_json::from_value(status).expect("a status")), ..made };
        let objects: Api<DatabaseMigration> = Api::namespaced(self.controller.clone(), namespace);
        objects
            .replace_status(name, &PostParams::default(), &settled)
            .await
            .expect("writes the status as the controller");
    }
}

/// What a controller that begins with so many objects did.
struct Restart {
    through: Duration,
    resident: f64,
    written: f64,
    changed: usize,
}

fn reconciles(pod: &str) -> f64 {
    let raw = format!("/api/v1/namespaces/{SYSTEM}/pods/{pod}:8080/proxy/metrics");
    let text = kubectl(&["get", "--raw", &raw]);
    let counts = text.lines().filter_map(|line| line.strip_prefix("sluice_reconcile_seconds_count "));
    counts.filter_map(|count| count.trim().parse::<f64>().ok()).sum()
}

async fn versions(client: &Client) -> BTreeMap<String, String> {
    let objects: Api<DatabaseMigration> = Api::all(client.clone());
    let list = objects.list_metadata(&ListParams::default()).await.expect("lists");
    list.iter()
        .map(|object| {
            let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
            (name, object.resource_version().unwrap_or_default())
        })
        .collect()
}

/// Starts the controller, and waits until it has looked at every object.
async fn restart(client: &Client, stopped: Controller, total: usize) -> Restart {
    let before = versions(client).await;
    assert!(before.len() >= total, "{} objects", before.len());
    stopped.start().await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    let deadline = Instant::now() + Duration::from_mins(5);
    let (pod, pid) = leader().await;
    let mut seen = reconciles(&pod);
    #[expect(clippy::cast_precision_loss, reason = "ten thousand")]
    while seen < before.len() as f64 {
        assert!(Instant::now() < deadline, "{seen} of {} after five minutes", before.len());
        tokio::time::sleep(Duration::from_millis(250)).await;
        seen = reconciles(&pod);
    }
    let begun = pods.get(&pod).await.expect("the leader's Pod").status.and_then(|status| {
        let running = status.container_statuses?.into_iter().next()?.state?.running?;
        Some(running.started_at?.0)
    });
    let through = begun
        .map(|begun| k8s_openapi::jiff::Timestamp::now().duration_since(begun).unsigned_abs())
        .unwrap_or_default();
    // What it would write, it writes in the look itself; the Event, and memory, come later.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let after = versions(client).await;
    let changed = before.iter().filter(|(name, version)| after.get(*name) != Some(version)).count();
    Restart { through, resident: resident_mb(pid), written: writes(&pod), changed }
}

#[tokio::test]
#[ignore = "a measurement: make bench"]
async fn a_restart_with_ten_thousand_settled_objects_writes_nothing() {
    let story = Story::alone("bench_many").await;
    story.everything(&[(FIRST, "CREATE TABLE patients (id int PRIMARY KEY);")], json!({})).await;
    let object = story.ready_at(FIRST).await;
    let maps: Api<ConfigMap> = story.api();
    let map = maps.get("migrations").await.expect("the ConfigMap");
    let run = object.status.as_ref().and_then(|status| status.run.as_ref()).expect("a run");
    assert_eq!(digest(&object, &map), run.digest, "plan::digest has changed: change it here");
    let gate = story.api::<MigrationGate>().get(GATE_NAME).await.expect("the gate");
    let pattern = Pattern { object, map, gate, controller: as_controller().await };
    let mut report = String::from(
        "### A restart with many settled objects\n\n| objects | all looked at, from the start of the container \
         | resident | writes | objects changed |\n|---|---|---|---|---|\n",
    );
    let (mut spaces, mut stopped) = (Vec::new(), Controller::stop().await);
    for total in [1_000, 10_000] {
        while spaces.len() * EACH < total {
            let space = format!("settled-{}", spaces.len());
            pattern.fill(&story, &space).await;
            spaces.push(space);
        }
        let Restart { through, resident, written, changed } = restart(&story.client, stopped, total).await;
        let _ = writeln!(
            report,
            "| {total} | {:.0} s | {resident:.1} MB | {} | {changed} |",
            through.as_secs_f64(),
            written.abs()
        );
        stopped = Controller::stop().await;
    }
    keep("cluster-3-many", &report);
    let all: Api<Namespace> = Api::all(story.client.clone());
    stream::iter(&spaces)
        .for_each_concurrent(AT_ONCE, |space| async {
            all.delete(space, &DeleteParams::default()).await.expect("deletes a namespace");
        })
        .await;
    stopped.start().await;
}
