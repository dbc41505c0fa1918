//! Between the controllers and the API server: every request waits here until the world lets it through, and every
//! watch hears what the world lets it hear. So whatever the runtime does, the world alone decides the order.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use fastrand::Rng;
use futures::channel::mpsc;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{Request, Response, StatusCode, body::Bytes, body::Frame, http::request::Parts};
use kube::{Client, client::Body};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tower::service_fn;

use super::{
    api_server::{Key, Path, metadata_only, seen},
    changes::Change,
};

/// What goes over the wire.
pub type Wire = UnsyncBoxBody<Bytes, io::Error>;
/// An answer, or that there is none.
pub type Answer = Result<Response<Wire>, io::Error>;

/// A request that has arrived.
pub struct Arrival {
    pub process: usize,
    pub parts: Parts,
    pub body: Bytes,
    pub reply: oneshot::Sender<Answer>,
}

impl Arrival {
    pub fn is_write(&self) -> bool {
        self.parts.method != hyper::Method::GET
    }

    pub fn is_watch(&self) -> bool {
        self.parts.uri.query().is_some_and(|query| query.contains("watch=true"))
    }

    /// What it asks for, for the trace and for an order that is always the same.
    pub fn words(&self) -> String {
        let uri = self.parts.uri.to_string();
        let short = uri.split("/namespaces/").nth(1).unwrap_or(&uri).to_owned();
        format!("{} {} {short}", self.process, self.parts.method)
    }
}

/// Where requests arrive.
#[derive(Clone, Default)]
pub struct Network {
    arrived: Arc<Mutex<Vec<Arrival>>>,
    bell: Arc<Notify>,
}

impl Network {
    /// A client of a process.
    pub fn client(&self, process: usize) -> Client {
        let network = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let network = network.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.map_err(|_| cut())?;
                let (reply, answer) = oneshot::channel();
                network.lock().push(Arrival { process, parts, body, reply });
                network.bell.notify_one();
                answer.await.unwrap_or_else(|_| Err(cut()))
            }
        });
        Client::new(service, "default")
    }

    /// Until something has arrived.
    pub async fn rings(&self) {
        self.bell.notified().await;
    }

    /// What has arrived, in an order that is always the same.
    pub fn take(&self) -> Vec<Arrival> {
        let mut arrived = std::mem::take(&mut *self.lock());
        arrived.sort_by_cached_key(|request| (request.words(), request.body.clone()));
        arrived
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arrival>> {
        self.arrived.lock().expect("no task panics while holding it")
    }
}

/// The end of a connection.
pub fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection is cut off")
}

/// An answer of the API server, for the wire.
pub async fn whole(answer: Response<Body>) -> Response<Wire> {
    let (parts, body) = answer.into_parts();
    let bytes = body.collect_bytes().await.unwrap_or_default();
    Response::from_parts(parts, once(bytes))
}

/// A refusal that is not about the request itself.
pub fn refused(code: u16) -> Response<Wire> {
    let reason = match code {
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "code": code,
        "message": "the API server has trouble"});
    let mut response = Response::new(once(Bytes::from(status.to_string())));
    *response.status_mut() = StatusCode::from_u16(code).expect("a status code");
    response
}

fn once(bytes: Bytes) -> Wire {
    let frame = futures::stream::once(async move { Ok::<_, io::Error>(Frame::data(bytes)) });
    StreamBody::new(frame).boxed_unsync()
}

/// A watch of a process.
pub struct Watch {
    pub process: usize,
    pub words: String,
    path: Path,
    metadata_only: bool,
    /// What it has heard: so many of the changes.
    heard: usize,
    /// When it hears what is new.
    pub due: Option<u64>,
    /// When the API server ends it.
    pub ends: u64,
    wire: mpsc::UnboundedSender<Result<Frame<Bytes>, io::Error>>,
}

impl Watch {
    /// Opens a watch, and the answer with which it begins.
    pub fn open(request: &Arrival, changes: &[Change], ends: u64) -> (Self, Response<Wire>) {
        let uri = &request.parts.uri;
        let path = Path::parse(uri.path(), uri.query().unwrap_or_default());
        let from: u64 =
            path.query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        let (wire, frames) = mpsc::unbounded();
        let watch = Self {
            process: request.process,
            words: request.words(),
            metadata_only: metadata_only(&request.parts),
            path,
            heard: changes.partition_point(|change| change.revision <= from),
            due: None,
            ends,
            wire,
        };
        (watch, Response::new(StreamBody::new(frames).boxed_unsync()))
    }

    /// Whether there is something that it has not heard. What does not concern it counts as heard.
    pub fn lags(&mut self, changes: &[Change]) -> bool {
        while let Some(change) = changes.get(self.heard) {
            if self.concerns(change) {
                return true;
            }
            self.heard += 1;
        }
        false
    }

    /// Hears everything that is new; the keys, for the trace.
    pub fn hear(&mut self, changes: &[Change]) -> BTreeSet<String> {
        let mut told = BTreeSet::new();
        let mut text = String::new();
        for change in &changes[self.heard..] {
            if let Some(line) = self.line(change) {
                text.push_str(&line);
                told.insert(format!("{} {}", change.key.0, change.key.2));
            }
        }
        self.heard = changes.len();
        let _ = self.wire.unbounded_send(Ok(Frame::data(Bytes::from(text))));
        told
    }

    /// Hears of everything that is there once more, in another order; of how much.
    pub fn hear_again(&mut self, changes: &[Change], rng: &mut Rng) -> usize {
        let mut there = BTreeMap::new();
        for change in &changes[..self.heard] {
            there.insert(&change.key, change.after.as_ref());
        }
        let selected = |(key, object): (&Key, Option<&Arc<Value>>)| {
            object.filter(|object| self.path.selects(key, object)).cloned()
        };
        let mut there: Vec<Arc<Value>> = there.into_iter().filter_map(selected).collect();
        rng.shuffle(&mut there);
        for object in &there {
            let line = Line { kind: "MODIFIED", object: seen(object, self.metadata_only) }.text();
            let _ = self.wire.unbounded_send(Ok(Frame::data(Bytes::from(line))));
        }
        there.len()
    }

    /// Breaks: the connection is cut off, or the API server has forgotten where the watch was.
    pub fn break_off(&mut self, gone: bool) {
        let status = json!({"type": "ERROR", "object": {"apiVersion": "v1", "kind": "Status", "status": "Failure",
            "reason": "Expired", "code": 410, "message": "too old resource version"}});
        let end = if gone { Ok(Frame::data(Bytes::from(format!("{status}\n")))) } else { Err(cut()) };
        let _ = self.wire.unbounded_send(end);
        self.wire.close_channel();
    }

    /// Ends as the API server ends each watch after some minutes.
    pub fn end(&mut self) {
        self.wire.close_channel();
    }

    /// No client listens any more.
    pub fn is_over(&self) -> bool {
        self.wire.is_closed()
    }

    fn concerns(&self, change: &Change) -> bool {
        let selected = |object: &Arc<Value>| self.path.selects(&change.key, object);
        change.before.iter().chain(&change.after).any(selected)
    }

    fn line(&self, change: &Change) -> Option<String> {
        let selects = |object: &&Arc<Value>| self.path.selects(&change.key, object);
        let before = change.before.as_ref().filter(selects);
        let (kind, object) = match (before, change.after.as_ref().filter(selects)) {
            (None, None) => return None,
            (None, Some(after)) => ("ADDED", after),
            (Some(_), Some(after)) => ("MODIFIED", after),
            (Some(before), None) => ("DELETED", before),
        };
        let mut object = seen(object, self.metadata_only);
        if kind == "DELETED" {
            object.to_mut()["metadata"]["resourceVersion"] = json!(change.revision.to_string());
        }
        Some(Line { kind, object }.text())
    }
}

/// A line of a watch.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    object: Cow<'a, Value>,
}

impl Line<'_> {
    fn text(&self) -> String {
        let mut text = serde_json::to_string(self).expect("JSON");
        text.push('\n');
        text
    }
}
