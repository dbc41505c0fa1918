//! A small truthful API server in memory, as a service under `kube::Client`: enough of GET, LIST, POST, PATCH
//! and DELETE for the kinds that the controller touches, with resource versions, uids, generations and
//! refusals; and a fault that cuts the process off at its n-th write.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use hyper::{Method, Request, Response, StatusCode, header::ACCEPT, http::request::Parts};
use jiff::Timestamp;
use kube::{Client, client::Body};
use serde::Serialize;
use serde_json::{Value, json};
use tower::service_fn;

/// Kind (its plural), namespace, name.
pub type Key = (String, String, String);

/// What the fault does to the n-th write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies before it takes effect.
    DiesBefore,
    /// It takes effect, and the process dies before it hears so.
    DiesAfter,
    /// It takes effect, and the process hears of an error.
    AnswerLost,
}

/// What another client does.
pub type Happening = fn(&mut Cluster);

/// Everything that is stored, and what was done.
#[derive(Debug, Default)]
pub struct Cluster {
    pub objects: BTreeMap<Key, Value>,
    /// Who owns which entries of a gate: (namespace, manager).
    owners: BTreeMap<(String, String), BTreeSet<String>>,
    /// Each write that took effect: verb, kind and name.
    pub writes: Vec<String>,
    /// Writes that were asked for.
    pub asked: usize,
    /// At which write, counted from 1, and what.
    pub fault: Option<(usize, Fault)>,
    /// What another client does right before the write of this number, counted from 1.
    pub meanwhile: Option<(usize, Happening)>,
    /// What another client does right before the objects of this kind are listed next.
    pub before_list: Option<(&'static str, Happening)>,
    /// For the controls: takes every write, whatever it was meant to be written upon.
    pub careless: bool,
    /// Fields of the status that the definition does not know, and that are not kept.
    pub unknown: Vec<String>,
    /// Statuses that said Ready about another generation than the newest.
    pub untrue: Vec<String>,
    /// Kind of which every creation is refused, with these words.
    pub refuse: Option<(String, String)>,
    pub now: Timestamp,
    revision: u64,
    /// Processes that have died: their clients hear nothing any more.
    dead: BTreeSet<usize>,
    processes: usize,
}

/// A shared cluster.
#[derive(Clone, Debug)]
pub struct Server(Arc<Mutex<Cluster>>);

impl Server {
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Cluster { now, ..Cluster::default() })))
    }

    pub fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.0.lock().expect("no test panics while it holds the lock")
    }

    /// A client of a new process.
    pub fn client(&self) -> Client {
        let server = self.clone();
        let process = {
            let mut cluster = self.cluster();
            cluster.processes += 1;
            cluster.processes
        };
        Client::new(
            service_fn(move |request: Request<Body>| {
                let server = server.clone();
                async move { server.answer(process, request).await }
            }),
            "default",
        )
    }

    /// Whether the newest process has died.
    pub fn is_dead(&self) -> bool {
        let cluster = self.cluster();
        cluster.dead.contains(&cluster.processes)
    }

    async fn answer(&self, process: usize, request: Request<Body>) -> Result<Response<Body>, std::io::Error> {
        let cut = || std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the process is cut off");
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.map_err(|_| cut())?;
        let mut cluster = self.cluster();
        if cluster.dead.contains(&process) {
            return Err(cut());
        }
        let write = parts.method != Method::GET;
        cluster.asked += usize::from(write);
        if let Some((_, happens)) = cluster.meanwhile.filter(|(at, _)| write && *at == cluster.asked) {
            happens(&mut cluster);
        }
        let fault = cluster.fault.filter(|(at, _)| write && *at == cluster.asked).map(|(_, fault)| fault);
        if fault == Some(Fault::DiesBefore) {
            cluster.dead.insert(process);
            return Err(cut());
        }
        let answer = cluster.serve(&parts, &body);
        match fault {
            Some(Fault::DiesAfter) => {
                cluster.dead.insert(process);
                Err(cut())
            }
            Some(Fault::AnswerLost) => Err(cut()),
            _ => Ok(answer),
        }
    }
}

/// Whether a request is about metadata alone.
pub fn metadata_only(parts: &Parts) -> bool {
    let accept = parts.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("PartialObject"))
}

/// What a request is about.
#[derive(Debug)]
pub struct Path {
    pub kind: String,
    pub namespace: String,
    name: Option<String>,
    subresource: Option<String>,
    pub query: BTreeMap<String, String>,
}

impl Path {
    /// `/api/v1/namespaces/NS/KIND[/NAME[/SUB]]` or `/apis/GROUP/VERSION/namespaces/…`.
    pub fn parse(path: &str, query: &str) -> Self {
        let mut parts = path
            .trim_matches('/')
            .split('/')
            .skip_while(|part| *part != "namespaces")
            .skip(1)
            .map(ToOwned::to_owned);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Self {
            namespace: parts.next().expect("every request names a namespace"),
            kind: parts.next().expect("every request names a kind"),
            name: parts.next(),
            subresource: parts.next(),
            query: pairs
                .map(|(key, value)| {
                    (key.to_owned(), value.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/"))
                })
                .collect(),
        }
    }

    /// Whether a list, or a watch, has this object. Of fields only the phase of a Pod can be asked for.
    pub fn selects(&self, key: &Key, object: &Value) -> bool {
        let selector = |name: &str| self.query.get(name).map(String::as_str).unwrap_or_default();
        let mut labels = selector("labelSelector").split(',').filter_map(|pair| pair.split_once('='));
        let phase = selector("fieldSelector").strip_prefix("status.phase=");
        key.0 == self.kind
            && key.1 == self.namespace
            && labels.all(|(label, value)| object["metadata"]["labels"][label].as_str() == Some(value))
            && phase.is_none_or(|phase| object["status"]["phase"].as_str() == Some(phase))
    }
}

/// What a LIST answers. The objects are written as they are stored, and copied nowhere before.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Value,
    items: Vec<Cow<'a, Value>>,
}

type Answer = Result<Response<Body>, Response<Body>>;

impl Cluster {
    /// Answers a request.
    pub fn serve(&mut self, parts: &Parts, body: &[u8]) -> Response<Body> {
        let path = Path::parse(parts.uri.path(), parts.uri.query().unwrap_or_default());
        self.handle(&parts.method, &path, body, metadata_only(parts)).unwrap_or_else(|refusal| refusal)
    }

    fn handle(&mut self, method: &Method, path: &Path, body: &[u8], metadata_only: bool) -> Answer {
        let name = path.name.clone();
        let key = |name: &str| (path.kind.clone(), path.namespace.clone(), name.to_owned());
        match (method, name) {
            (&Method::GET, Some(name)) => {
                self.get(&key(&name)).map(|object| ok(seen(object, metadata_only).as_ref()))
            }
            (&Method::GET, None) => {
                if let Some((_, happens)) = self.before_list.take_if(|(kind, _)| *kind == path.kind) {
                    happens(self);
                }
                Ok(self.list(path, metadata_only))
            }
            (&Method::POST, None) => {
                let object: Value = serde_json::from_slice(body).expect("JSON");
                let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
                self.create(&key(&name), object)
            }
            (&Method::PUT, Some(name)) => {
                self.replace(&key(&name), path, &serde_json::from_slice(body).expect("JSON"))
            }
            (&Method::PATCH, Some(name)) => {
                self.apply(&key(&name), path, &serde_json::from_slice(body).expect("JSON"))
            }
            (&Method::DELETE, Some(name)) => self.delete(&key(&name)),
            other => panic!("the controller has no business with {other:?} {path:?}"),
        }
    }

    fn get(&self, key: &Key) -> Result<&Value, Response<Body>> {
        self.objects.get(key).ok_or_else(|| {
            refusal(StatusCode::NOT_FOUND, "NotFound", &format!("{} {:?} not found", key.0, key.2))
        })
    }

    fn list(&self, path: &Path, metadata_only: bool) -> Response<Body> {
        let selected = self.objects.iter().filter(|(key, object)| path.selects(key, object));
        respond(
            StatusCode::OK,
            &List {
                api_version: "v1",
                kind: "List",
                metadata: json!({"resourceVersion": self.revision.to_string()}),
                items: selected.map(|(_, object)| seen(object, metadata_only)).collect(),
            },
        )
    }

    fn create(&mut self, key: &Key, object: Value) -> Answer {
        if let Some((_, words)) = self.refuse.as_ref().filter(|(kind, _)| *kind == key.0) {
            return Err(refusal(StatusCode::FORBIDDEN, "Forbidden", words));
        }
        if self.objects.contains_key(key) {
            return Err(refusal(
                StatusCode::CONFLICT,
                "AlreadyExists",
                &format!("{} {:?} already exists", key.0, key.2),
            ));
        }
        self.writes.push(format!("create {} {}", key.0, key.2));
        let object = if key.0 == "jobs" { as_stored(object) } else { object };
        self.put(key.clone(), object);
        Ok(ok(&self.objects[key]))
    }

    /// Stores an object as new.
    pub fn put(&mut self, key: Key, mut object: Value) {
        self.revision += 1;
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(format!("uid-{}", self.revision));
        metadata["generation"] = json!(1);
        metadata["namespace"] = json!(key.1);
        metadata["creationTimestamp"] = json!(second(self.now));
        metadata["resourceVersion"] = json!(self.revision.to_string());
        self.objects.insert(key, object);
    }

    /// The newest resourceVersion.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Takes an object away, as another client would; the revision at which it went.
    pub fn remove(&mut self, key: &Key) -> u64 {
        self.objects.remove(key);
        self.revision += 1;
        self.revision
    }

    /// Changes an object as another client would; `generation` moves with the spec.
    pub fn edit(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        let object = self.objects.get_mut(key).unwrap_or_else(|| panic!("{key:?} is not there"));
        let before = object.clone();
        change(object);
        if *object == before {
            return;
        }
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        if object["spec"] != before["spec"] {
            object["metadata"]["generation"] =
                json!(before["metadata"]["generation"].as_i64().expect("a number") + 1);
        }
    }

    /// The status, whole.
    fn replace(&mut self, key: &Key, path: &Path, object: &Value) -> Answer {
        assert_eq!((key.0.as_str(), path.subresource.as_deref()), ("databasemigrations", Some("status")));
        assert_eq!(
            path.query.get("fieldManager").map(String::as_str),
            Some("sluice-status"),
            "every write names its manager"
        );
        if self.get(key)?["metadata"]["uid"] != object["metadata"]["uid"] {
            return Err(refusal(StatusCode::CONFLICT, "Conflict", "uid mismatch"));
        }
        self.is_upon_the_newest(key, object)?;
        let generation = self.objects[key]["metadata"]["generation"].clone();
        let of_another =
            |ready: &&Value| ready["status"] == "True" && ready["observedGeneration"] != generation;
        let ready = object["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == "Ready");
        if let Some(ready) = ready.filter(of_another) {
            self.untrue.push(format!("at generation {generation}: {ready}"));
        }
        self.writes.push(format!("status {}", key.2));
        let mut status = object["status"].clone();
        for field in &self.unknown {
            status.as_object_mut().and_then(|fields| fields.remove(field));
        }
        self.edit(key, |object| object["status"] = status);
        Ok(ok(&self.objects[key]))
    }

    fn apply(&mut self, key: &Key, path: &Path, patch: &Value) -> Answer {
        if matches!(key.0.as_str(), "deployments" | "pods") {
            return self.let_go(key, path, patch);
        }
        let manager = path.query.get("fieldManager").expect("every apply names its manager").clone();
        assert_eq!(
            path.query.get("force").map(String::as_str),
            Some("true"),
            "an apply of one's own fields is forced"
        );
        match (key.0.as_str(), path.subresource.as_deref()) {
            ("migrationgates", None) => {
                assert_eq!(key.2, "gates");
                self.is_upon_the_newest(key, patch)?;
                let entries = patch["spec"]["satisfied"].as_array().expect("entries");
                let entries = entries.iter().map(|entry| entry.as_str().expect("text").to_owned()).collect();
                let database = patch["spec"]["databases"][0].clone();
                self.publish(key, manager, entries);
                self.edit(key, |object| {
                    let mut databases: Vec<Value> =
                        object["spec"]["databases"].as_array().cloned().unwrap_or_default();
                    databases.retain(|known| known["name"] != database["name"]);
                    databases.extend((!database.is_null()).then_some(database));
                    object["spec"]["databases"] = json!(databases);
                });
            }
            other => panic!("the controller has no business with a patch of {other:?}"),
        }
        Ok(ok(&self.objects[key]))
    }

    /// A merge patch of a Deployment, or a JSON patch of a Pod, as they let a workload go.
    fn let_go(&mut self, key: &Key, path: &Path, patch: &Value) -> Answer {
        assert_eq!(path.query.get("fieldManager").map(String::as_str), Some("sluice-rollout"));
        let mut changed = self.get(key)?.clone();
        if let Ok(steps) = serde_json::from_value::<json_patch::Patch>(patch.clone()) {
            json_patch::patch(&mut changed, &steps).map_err(|error| {
                refusal(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", &format!("the patch fails: {error}"))
            })?;
        } else {
            self.is_upon_the_newest(key, patch)?;
            json_patch::merge(&mut changed, patch);
        }
        self.writes.push(format!("let go {} {}", key.0, key.2));
        self.edit(key, |object| *object = changed);
        Ok(ok(&self.objects[key]))
    }

    /// What a field manager says in a gate, and no more.
    pub fn publish(&mut self, key: &Key, manager: String, entries: BTreeSet<String>) {
        self.owners.insert((key.1.clone(), manager), entries);
        let of_namespace = self.owners.iter().filter(|((namespace, _), _)| *namespace == key.1);
        let all: BTreeSet<String> = of_namespace.flat_map(|(_, entries)| entries.clone()).collect();
        self.writes.push(format!("gate {}", key.1));
        if !self.objects.contains_key(key) {
            let bare = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "MigrationGate", "metadata": {"name": key.2}});
            self.put(key.clone(), bare);
        }
        self.edit(key, |object| object["spec"]["satisfied"] = json!(all));
    }

    /// A patch that says upon which resourceVersion it was made is refused when the object has another one.
    fn is_upon_the_newest(&self, key: &Key, patch: &Value) -> Result<(), Response<Body>> {
        let (upon, present) = (
            &patch["metadata"]["resourceVersion"],
            self.objects.get(key).map(|object| &object["metadata"]["resourceVersion"]),
        );
        if self.careless || upon.is_null() || Some(upon) == present {
            return Ok(());
        }
        Err(refusal(StatusCode::CONFLICT, "Conflict", "the object has been modified"))
    }

    /// In the foreground: it stays until its Pod is gone, which the kubelet sees to.
    fn delete(&mut self, key: &Key) -> Answer {
        self.get(key)?;
        self.writes.push(format!("delete {} {}", key.0, key.2));
        let now = second(self.now);
        self.edit(key, |object| object["metadata"]["deletionTimestamp"] = json!(now));
        Ok(ok(&self.objects[key]))
    }

    /// Every object of a kind.
    pub fn all(&self, kind: &str) -> Vec<(Key, Value)> {
        self.objects
            .iter()
            .filter(|(key, _)| key.0 == kind)
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect()
    }
}

/// A Job with what a real API server fills in (taken from one of version 1.36).
fn as_stored(mut job: Value) -> Value {
    fill(
        &mut job["spec"],
        &json!({"completionMode": "NonIndexed", "completions": 1, "manualSelector": false, "parallelism": 1, "suspend": false,
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "a-uid"}}}),
    );
    job["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] = json!("a-uid");
    let pod = &mut job["spec"]["template"]["spec"];
    fill(pod, &json!({"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}));
    for container in pod["containers"].as_array_mut().into_iter().flatten() {
        fill(container, &json!({"terminationMessagePath": "/dev/termination-log"}));
    }
    for volume in pod["volumes"].as_array_mut().into_iter().flatten() {
        if volume["projected"].is_object() {
            fill(&mut volume["projected"], &json!({"defaultMode": 420}));
        }
    }
    job
}

/// Each field that is not there yet.
pub fn fill(object: &mut Value, defaults: &Value) {
    for (field, value) in defaults.as_object().expect("fields") {
        if object[field].is_null() {
            object[field] = value.clone();
        }
    }
}

/// As Kubernetes writes times.
pub fn second(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An object as a request has it.
pub fn seen(object: &Value, metadata_only: bool) -> Cow<'_, Value> {
    if metadata_only {
        let metadata = &object["metadata"];
        return Cow::Owned(
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata}),
        );
    }
    Cow::Borrowed(object)
}

fn ok(object: &Value) -> Response<Body> {
    respond(StatusCode::OK, object)
}

/// The answer to what is refused.
pub fn refusal(code: StatusCode, reason: &str, message: &str) -> Response<Body> {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code.as_u16(),
    });
    respond(code, &status)
}

fn respond(code: StatusCode, body: &impl Serialize) -> Response<Body> {
    let body = Body::from(serde_json::to_vec(body).expect("JSON"));
    Response::builder().status(code).body(body).expect("a response")
}
