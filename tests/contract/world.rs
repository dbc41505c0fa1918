//! A cluster, a database and the controller, wound forward until nothing moves any more.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::runtime::controller::Action;
use serde_json::{Value, json};
use sluice::{
    api::{ConditionType, DatabaseMigrationStatus},
    contract::{Gate, Leg, Purpose, Route, Stage},
    controller::{Context, error::ReconcileError, reconcile, retry},
    objects::Images,
    telemetry::Metrics,
};

use super::{
    api_server::{Key, Server},
    kubelet::Database,
};

pub const NAMESPACE: &str = "medical";
/// More than any story needs; a loop that never ends fails.
const LONGEST: u32 = 600;

/// With a rehearsal where the manifest asks for one.
const WHOLE: &[Stage] = &[Stage::Plan, Stage::Snapshot, Stage::Rehearse, Stage::Migrate, Stage::Verify];
/// What is planned and copied first is applied by another Job.
pub const TWO_LEGS: Route =
    Route::of(&[Leg::new(1, &[], &[Stage::Plan, Stage::Snapshot]), Leg::new(2, &[], WHOLE)]);
/// The same, and the second waits for the window.
pub const GATE_BETWEEN: Route =
    Route::of(&[Leg::new(1, &[], &[Stage::Plan, Stage::Snapshot]), Leg::new(2, &[Gate::Window], WHOLE)]);

pub struct World {
    pub server: Server,
    pub database: Database,
    context: Context,
    image: String,
    route: Route,
}

impl World {
    /// One DatabaseMigration, `records`, with two migrations in its ConfigMap.
    pub fn new() -> Self {
        Self::with_route(Purpose::Apply.route())
    }

    /// The same, and its runs go this route.
    pub fn with_route(route: Route) -> Self {
        let server = Server::new(Timestamp::from_second(1_780_000_000).expect("a moment"));
        let image = "registry.example/sluice:1".to_owned();
        let context = context(&server, &image, route);
        let database = Database {
            source: vec!["1_one".into(), "2_two".into()],
            identity: Some("7/1".into()),
            ..Database::default()
        };
        let world = Self { server, database, context, image, route };
        world.put_source("records-migrations");
        world.put("records", &json!({}));
        world
    }

    /// With Pods that answer like this when they are asked how far they are.
    pub fn with_ask(mut self, ask: sluice::controller::progress::Ask) -> Self {
        self.context = context(&self.server, &self.image, self.route).with_ask(ask);
        self
    }

    pub fn put_source(&self, name: &str) {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        self.server.cluster().put(key("configmaps", name), map);
    }

    /// A DatabaseMigration, with sections of its spec replaced.
    pub fn put(&self, name: &str, sections: &Value) {
        let mut spec = json!({
            "database": {"secretRef": {"name": "records-db", "key": "url"}, "schemas": ["public"]},
            "migrations": {"configMaps": ["records-migrations"]},
            "snapshot": {"dump": {"volumeClaim": "records-snapshots", "jobs": 1}},
        });
        for (section, value) in sections.as_object().expect("sections") {
            spec[section] = value.clone();
        }
        let object = json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "DatabaseMigration",
            "metadata": {"name": name},
            "spec": spec,
            "status": {"observedGeneration": -1},
        });
        self.server.cluster().put(key("databasemigrations", name), object);
    }

    /// What the controller knows, for what it does beside its reconciles.
    pub const fn context(&self) -> &Context {
        &self.context
    }

    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        self.server.cluster().edit(&key("databasemigrations", name), change);
    }

    /// A new version of the controller, with another image.
    pub fn upgrade(&mut self, image: &str) {
        image.clone_into(&mut self.image);
        self.context = context(&self.server, &self.image, self.route);
    }

    /// Looks once, as a process that starts again when it has died.
    pub async fn observe(&mut self, name: &str) -> Result<Action, ReconcileError> {
        if self.server.is_dead() {
            self.context = context(&self.server, &self.image, self.route);
        }
        let result = reconcile(&self.context, NAMESPACE, name).await;
        if let Err(error) = &result {
            let uid = self.server.cluster().objects[&key("databasemigrations", name)]["metadata"]["uid"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let _ = retry(&self.context, &uid, error);
        }
        result
    }

    /// Looks until nothing is left to do at this moment.
    async fn look_until_quiet(&mut self, name: &str) -> bool {
        for _ in 0..20 {
            match self.observe(name).await {
                Ok(action) if action == Action::requeue(Duration::ZERO) => {}
                Ok(action) => return action == Action::await_change(),
                Err(_) if self.server.is_dead() => {}
                Err(_) => return false,
            }
        }
        panic!("{name} was reconciled twenty times in a moment: {:#?}", self.server.cluster().writes);
    }

    pub fn pass(&self, seconds: i64) {
        let mut cluster = self.server.cluster();
        cluster.now = cluster.now.saturating_add(jiff::SignedDuration::from_secs(seconds)).expect("a moment");
    }

    /// Winds forward, a second at a time, until nothing moves and everyone awaits a change.
    pub async fn run(&mut self, names: &[&str]) {
        for _ in 0..LONGEST {
            let mut quiet = true;
            for name in names {
                quiet &= self.look_until_quiet(name).await;
            }
            let busy = self.database.tick(&self.server);
            if quiet && !busy {
                return;
            }
            self.pass(1);
        }
        panic!("it does not come to rest: {:#?}", self.server.cluster().writes);
    }

    /// Winds forward for this long, whatever happens.
    pub async fn run_for(&mut self, names: &[&str], seconds: u32) {
        for _ in 0..seconds {
            for name in names {
                self.look_until_quiet(name).await;
            }
            self.database.tick(&self.server);
            self.pass(1);
        }
    }

    pub fn status(&self, name: &str) -> DatabaseMigrationStatus {
        let object = self.server.cluster().objects[&key("databasemigrations", name)].clone();
        serde_json::from_value(object["status"].clone()).expect("a status")
    }

    /// Status and reason of a condition, and its message.
    pub fn condition(&self, name: &str, kind: ConditionType) -> Option<(String, String, String)> {
        let conditions = self.status(name).conditions;
        let found = conditions.into_iter().find(|condition| condition.type_ == kind.name())?;
        Some((found.status, found.reason, found.message))
    }

    pub fn ready(&self, name: &str) -> (String, String) {
        let (status, reason, _) = self.condition(name, ConditionType::Ready).expect("Ready is always there");
        (status, reason)
    }

    pub fn writes(&self) -> Vec<String> {
        self.server.cluster().writes.clone()
    }

    pub fn gate(&self) -> Vec<String> {
        let gate =
            self.server.cluster().objects.get(&key("migrationgates", "gates")).cloned().unwrap_or_default();
        serde_json::from_value(gate["spec"]["satisfied"].clone()).unwrap_or_default()
    }

    /// The databases that the entries of the gate are about.
    pub fn databases(&self) -> Vec<Value> {
        let gate =
            self.server.cluster().objects.get(&key("migrationgates", "gates")).cloned().unwrap_or_default();
        gate["spec"]["databases"].as_array().cloned().unwrap_or_default()
    }

    pub fn jobs(&self) -> Vec<String> {
        self.server.cluster().all("jobs").into_iter().map(|(key, _)| key.2).collect()
    }

    /// Everything that is stored, without what may differ between two lives: times, versions and uids of
    /// children.
    pub fn end_state(&self) -> Value {
        let cluster = self.server.cluster();
        let objects =
            cluster.objects.iter().map(|(key, object)| (format!("{key:?}"), timeless(object))).collect();
        Value::Object(objects)
    }
}

fn timeless(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| !["resourceVersion", "uid"].contains(&name.as_str()));
            // The digest of verdicts that say when a snapshot was taken.
            let digested = |name: &str| name == "verdict";
            let plain = |(name, value): (&String, &Value)| {
                (name.clone(), if digested(name) { json!("a digest of times") } else { timeless(value) })
            };
            kept.map(plain).collect()
        }
        Value::Array(items) => items.iter().map(timeless).collect(),
        Value::String(text) if text.parse::<Timestamp>().is_ok() => json!("a time"),
        Value::String(text) if text.contains("finishedAt") || text.contains("takenAt") => json!("an outcome"),
        other => other.clone(),
    }
}

pub fn key(kind: &str, name: &str) -> Key {
    (kind.to_owned(), NAMESPACE.to_owned(), name.to_owned())
}

fn context(server: &Server, image: &str, route: Route) -> Context {
    let images = Images { sluice: image.to_owned(), snapshot: "registry.example/sluice-stage:1".into() };
    let clock = server.clone();
    Context::new(server.client(), images, "a-test".into(), Arc::new(Metrics::default()))
        .with_route(route)
        .with_clock(move || clock.cluster().now)
}
