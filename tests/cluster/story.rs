//! The stage on which a story is played: a namespace, a database, and conditions that are waited for with a
//! deadline. When the deadline passes, the story prints what a person would inspect.

use std::{collections::BTreeMap, fmt::Debug, process::Command, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod, Secret},
    },
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::{DeleteParams, ListParams, LogParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sluice::api::{DatabaseMigration, MigrationGate};
use sqlx::PgConnection;
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::server::{FROM_PODS, Server, connect, execute};

/// The API server of the local cluster.
const NODE: &str = "10.99.0.2";
/// Where the chart is installed.
pub const SYSTEM: &str = "sluice-system";
/// How long anything may take on two cores.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// The password of every story's role; a story greps for it.
pub const PASSWORD: &str = "s3cret-Pa55-of-a-story";

static CONTROLLER: RwLock<()> = RwLock::const_new(());

/// A namespace and a database.
pub struct Story {
    /// For the API server, as its administrator.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
    /// The database, which is also the name of the role that owns it.
    pub database: String,
    _shared: Option<RwLockReadGuard<'static, ()>>,
    _alone: Option<RwLockWriteGuard<'static, ()>>,
}

impl Story {
    /// Beside other stories.
    pub async fn begin(name: &str) -> Self {
        let guard = CONTROLLER.read().await;
        Self::set_up(name, Some(guard), None).await
    }

    /// With the controller for itself.
    pub async fn alone(name: &str) -> Self {
        let guard = CONTROLLER.write().await;
        Self::set_up(name, None, Some(guard)).await
    }

    async fn set_up(
        name: &str,
        shared: Option<RwLockReadGuard<'static, ()>>,
        alone: Option<RwLockWriteGuard<'static, ()>>,
    ) -> Self {
        let client = client().await;
        let database = Server::get().database(name).await.name;
        let mut administrator = connect(&Server::get().url("postgres", &database)).await;
        execute(
            &mut administrator,
            &format!(
                "CREATE ROLE {database} LOGIN PASSWORD '{PASSWORD}'; ALTER \
            DATABASE {database} OWNER TO {database}; GRANT ALL ON SCHEMA public TO {database}"
            ),
        )
        .await;
        let namespace = database.replace('_', "-").trim_matches('-').to_owned();
        let api = forget(&client, &namespace).await;
        let labels = BTreeMap::from([
            ("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned()),
            ("sluice.test/story".to_owned(), name.chars().take(60).collect()),
        ]);
        let object = Namespace {
            metadata: ObjectMeta {
                name: Some(namespace.clone()),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        api.create(&PostParams::default(), &object).await.expect("creates the namespace");
        Self { client, namespace, database, _shared: shared, _alone: alone }
    }

    /// Beside other stories, in a namespace that the story makes and with a database that it brings.
    pub async fn with_its_own(namespace: &str) -> Self {
        let guard = CONTROLLER.read().await;
        let client = client().await;
        forget(&client, namespace).await;
        Self {
            client,
            namespace: namespace.to_owned(),
            database: String::new(),
            _shared: Some(guard),
            _alone: None,
        }
    }

    /// The API of a kind in the story's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The URL that Pods use.
    pub fn url(&self) -> String {
        format!(
            "postgres://{0}:{PASSWORD}@{FROM_PODS}:{1}/{0}?sslmode=disable",
            self.database,
            Server::get().port
        )
    }

    /// A session of the superuser in the story's database.
    pub async fn sql(&self) -> PgConnection {
        connect(&Server::get().url("postgres", &self.database)).await
    }

    /// Runs a script as the superuser.
    pub async fn execute(&self, script: &str) {
        execute(&mut self.sql().await, script).await;
    }

    /// One number.
    pub async fn number(&self, query: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned()))
            .fetch_one(&mut self.sql().await)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Creates the Secret `db`.
    pub async fn secret(&self) {
        let data = BTreeMap::from([("url".to_owned(), self.url())]);
        self.create(Secret { metadata: named("db"), string_data: Some(data), ..Secret::default() }).await;
    }

    /// Creates or replaces the ConfigMap `migrations` with these names and texts.
    pub async fn migrations(&self, files: &[(&str, &str)]) {
        let mut data: BTreeMap<_, _> =
            files.iter().map(|(name, text)| (format!("{name}.sql"), (*text).to_owned())).collect();
        data.insert("migration_lock.toml".to_owned(), "provider = \"postgresql\"\n".to_owned());
        let object = ConfigMap { metadata: named("migrations"), data: Some(data), ..ConfigMap::default() };
        let api: Api<ConfigMap> = self.api();
        if api.get_opt("migrations").await.expect("the API server answers").is_some() {
            api.replace("migrations", &PostParams::default(), &object).await.expect("replaces the ConfigMap");
        } else {
            self.create(object).await;
        }
    }

    /// Creates a claim; below 64Mi its file system is really that small.
    pub async fn claim(&self, size: &str) {
        let object = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "snapshots"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}});
        self.create::<PersistentVolumeClaim>(serde_json::from_value(object).expect("a claim")).await;
    }

    /// Creates the DatabaseMigration `records` from the given spec merged over a minimal one.
    pub async fn migrate(&self, overrides: Value) {
        self.migrate_as("records", overrides).await;
    }

    /// The same under another name.
    pub async fn migrate_as(&self, name: &str, overrides: Value) {
        let mut object = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": name},
            "spec": {"database": {"secretRef": {"name": "db"}}, "migrations": {"configMaps": ["migrations"]},
                     "snapshot": {"dump": {"volumeClaim": "snapshots"}}, "apply": {"deadline": "2m"}}});
        merge(&mut object["spec"], overrides);
        self.create::<DatabaseMigration>(serde_json::from_value(object).expect("a DatabaseMigration")).await;
    }

    /// Secret, claim, migrations and DatabaseMigration at once.
    pub async fn everything(&self, files: &[(&str, &str)], overrides: Value) {
        self.secret().await;
        self.claim("1Gi").await;
        self.migrations(files).await;
        self.migrate(overrides).await;
    }

    /// Changes the spec of `records`.
    pub async fn change(&self, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.api::<DatabaseMigration>()
            .patch("records", &PatchParams::default(), &patch)
            .await
            .expect("changes the spec");
    }

    /// Asks for another attempt.
    pub async fn retry(&self, word: &str) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"sluice.dev/retry": word}}}));
        self.api::<DatabaseMigration>()
            .patch("records", &PatchParams::default(), &patch)
            .await
            .expect("annotates");
    }

    /// Creates an object.
    pub async fn create<K>(&self, object: K)
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
        K::DynamicType: Default,
    {
        self.api::<K>()
            .create(&PostParams::default(), &object)
            .await
            .unwrap_or_else(|error| panic!("cannot create {}: {error}", object.name_any()));
    }

    /// Applies YAML of any kind, as a GitOps tool would.
    pub async fn apply<K>(&self, object: Value)
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        self.api::<K>()
            .patch(&name, &PatchParams::apply("gitops").force(), &Patch::Apply(object))
            .await
            .unwrap_or_else(|error| panic!("cannot apply {name}: {error}"));
    }

    /// The DatabaseMigration.
    pub async fn object(&self, name: &str) -> DatabaseMigration {
        self.api().get(name).await.expect("the object is there")
    }

    /// Waits until a condition of `records` has a status and a reason, at the present generation; answers its
    /// message.
    pub async fn until(&self, kind: &str, status: &str, reason: &str) -> String {
        self.until_of("records", kind, status, reason).await
    }

    /// The same for another object.
    pub async fn until_of(&self, name: &str, kind: &str, status: &str, reason: &str) -> String {
        let what = format!("{name}: {kind}={status} {reason}");
        let found = self
            .wait(&what, || async {
                let object = self.api::<DatabaseMigration>().get_opt(name).await.ok().flatten()?;
                let condition = find(&object, kind)?.clone();
                let current = condition.observed_generation == object.metadata.generation;
                (current && condition.status == status && condition.reason == reason).then_some(condition)
            })
            .await;
        found.message
    }

    /// Waits until `records` is Ready for its newest spec and source, at this version.
    pub async fn ready_at(&self, version: &str) -> DatabaseMigration {
        self.ready_of("records", version).await
    }

    /// The same for another object.
    pub async fn ready_of(&self, name: &str, version: &str) -> DatabaseMigration {
        self.wait(&format!("{name} to be Ready at {version}"), || async {
            let object = self.api::<DatabaseMigration>().get_opt(name).await.ok().flatten()?;
            let ready = find(&object, "Ready").is_some_and(|ready| {
                ready.status == "True" && ready.observed_generation == object.metadata.generation
            });
            let at =
                object.status.as_ref().and_then(|status| status.current_version.as_deref()) == Some(version);
            (ready && at).then_some(object)
        })
        .await
    }

    /// The versions that the gate of this namespace lets through.
    pub async fn gate(&self) -> Vec<String> {
        let gate = self.api::<MigrationGate>().get_opt("gates").await.expect("the API server answers");
        gate.map(|gate| gate.spec.satisfied).unwrap_or_default()
    }

    /// The names of the Jobs.
    pub async fn jobs(&self) -> Vec<String> {
        let jobs = self.api::<Job>().list(&ListParams::default()).await.expect("lists");
        jobs.iter().map(ResourceExt::name_any).collect()
    }

    /// Waits for something, and tells everything when it does not come.
    pub async fn wait<T, F: Future<Output = Option<T>>>(&self, what: &str, observe: impl Fn() -> F) -> T {
        match tokio::time::timeout(PATIENCE, poll(observe)).await {
            Ok(found) => found,
            Err(_) => panic!("gave up waiting for {what}\n{}", self.tell().await),
        }
    }

    /// What a person would inspect.
    pub async fn tell(&self) -> String {
        let mut text = String::new();
        for what in ["databasemigrations,migrationgates,deployments,jobs,pods", "events"] {
            text += &kubectl(&["-n", &self.namespace, "get", what, "-o", "wide"]);
        }
        text += &kubectl(&["-n", &self.namespace, "get", "databasemigrations", "-o", "yaml"]);
        for pod in self.api::<Pod>().list(&ListParams::default()).await.into_iter().flatten() {
            for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
                let parameters = LogParams {
                    container: Some(container.name.clone()),
                    tail_lines: Some(15),
                    ..LogParams::default()
                };
                let log = self
                    .api::<Pod>()
                    .logs(&pod.name_any(), &parameters)
                    .await
                    .unwrap_or_else(|error| error.to_string());
                text += &format!("--- {} {}\n{log}\n", pod.name_any(), container.name);
            }
        }
        text + &kubectl(&["-n", SYSTEM, "logs", "deploy/sluice", "--tail=40", "--all-pods=true"])
    }
}

/// Waits for something that no story belongs to.
pub async fn wait_for<T, F: Future<Output = Option<T>>>(what: &str, observe: impl Fn() -> F) -> T {
    tokio::time::timeout(PATIENCE, poll(observe))
        .await
        .unwrap_or_else(|_| panic!("gave up waiting for {what}"))
}

async fn poll<T, F: Future<Output = Option<T>>>(observe: impl Fn() -> F) -> T {
    loop {
        if let Some(found) = observe().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A condition of an object.
pub fn find<'a>(object: &'a DatabaseMigration, kind: &str) -> Option<&'a Condition> {
    object.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
}

/// What kubectl prints, errors included.
pub fn kubectl(arguments: &[&str]) -> String {
    match Command::new("kubectl").args(arguments).output() {
        Ok(output) => format!(
            "$ kubectl {}\n{}{}\n",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => format!("kubectl does not run: {error}\n"),
    }
}

/// The controller, stopped; a story that drops it without starting it again would leave the others without
/// one.
pub struct Controller {
    replicas: i32,
}

impl Controller {
    /// Scales it to zero and waits until its Pods are gone.
    pub async fn stop() -> Self {
        let client = client().await;
        let api: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM);
        let replicas = api
            .get("sluice")
            .await
            .expect("the controller's Deployment")
            .spec
            .and_then(|spec| spec.replicas)
            .unwrap_or(1);
        Self::scale(&api, 0).await;
        let pods: Api<Pod> = Api::namespaced(client, SYSTEM);
        wait_for("the controller to stop", || async {
            pods.list(&ListParams::default()).await.ok()?.items.is_empty().then_some(())
        })
        .await;
        Self { replicas }
    }

    /// Starts it again.
    pub async fn start(self) {
        let api: Api<Deployment> = Api::namespaced(client().await, SYSTEM);
        Self::scale(&api, self.replicas).await;
        wait_for("the controller to start", || async {
            (api.get("sluice").await.ok()?.status?.ready_replicas.unwrap_or(0) >= 1).then_some(())
        })
        .await;
    }

    async fn scale(api: &Api<Deployment>, replicas: i32) {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        api.patch("sluice", &PatchParams::default(), &patch).await.expect("scales the controller");
    }
}

/// A story that ended well leaves nothing; one that failed leaves its namespace to inspect.
impl Drop for Story {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]);
        }
    }
}

/// Removes a namespace that an interrupted run left over.
async fn forget(client: &Client, namespace: &str) -> Api<Namespace> {
    let api: Api<Namespace> = Api::all(client.clone());
    if api.get_opt(namespace).await.expect("the API server answers").is_some() {
        api.delete(namespace, &DeleteParams::default()).await.expect("deletes");
        wait_for("the old namespace to go", || async {
            api.get_opt(namespace).await.ok().flatten().is_none().then_some(())
        })
        .await;
    }
    api
}

async fn client() -> Client {
    static READY: OnceCell<()> = OnceCell::const_new();
    let config = Config::infer()
        .await
        .expect("KUBECONFIG names the local cluster: run these with `make test-cluster`");
    // Stories remove namespaces that are in their way.
    assert_eq!(
        config.cluster_url.host(),
        Some(NODE),
        "KUBECONFIG names another cluster than the local one: nothing was touched"
    );
    let client = Client::try_from(config).expect("a client");
    READY
        .get_or_init(|| async {
            let api: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM);
            wait_for("the controller to run: `make test-cluster` installs the chart", || async {
                let status = api.get("sluice").await.ok()?.status?;
                (status.ready_replicas.unwrap_or(0) >= 1).then_some(())
            })
            .await;
        })
        .await;
    client
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// Merges JSON as `kubectl patch --type=merge` would.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                if value.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (into, from) => *into = from,
    }
}
