//! Where the controller watches and until when, and what every watch is made of.

use std::fmt::Debug;

use futures::{
    Stream,
    future::{BoxFuture, Shared},
    stream::BoxStream,
};
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource, ResourceExt,
    runtime::{
        WatchStreamExt,
        controller::ReconcileRequest,
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;

/// What to watch: one namespace, or all of them.
pub type Scope = Option<String>;

/// The API of a kind in a scope.
pub fn api<K>(client: &Client, scope: &Scope) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Ends when the process is told to stop.
pub type Stop = Shared<BoxFuture<'static, ()>>;

/// The objects to reconcile.
pub type Queue<K> = BoxStream<'static, Result<ReconcileRequest<K>, watcher::Error>>;

/// So many objects are in one answer to a LIST. Parsed, with the fields that their managers own, each takes some
/// ten kilobytes until it is trimmed, and every watch lists at the start.
const PAGE: u32 = 100;

/// A watch that recovers automatically, without what only the API server needs.
pub fn watched<K>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + use<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(api, config.page_size(PAGE))
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
}
