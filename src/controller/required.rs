//! Which versions of a DatabaseMigration the gated workloads of its namespace wait for. Read fresh for each
//! decision; the watches only wake.

use std::collections::BTreeMap;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt,
        controller::trigger_with,
        reflector::{ObjectRef, Store},
        watcher,
    },
};

use super::{
    error::ObserveError,
    known::Known,
    neighbours::matching,
    reader::Reader,
    scope::{Queue, Scope, api, watched},
};
use crate::api::{ANNOTATION_HELD, ANNOTATION_REQUIRES, LABEL_GATED, SCHEDULING_GATE};

/// The versions of this DatabaseMigration that held Deployments and gated Pods require, whether or not the
/// gate has them.
pub(super) async fn read(reader: &Reader<'_>) -> Result<Vec<String>, ObserveError> {
    let client = || reader.context.client.clone();
    let gated = ListParams::default().labels(&format!("{LABEL_GATED}=true"));
    let (deployments, pods) = (
        Api::<Deployment>::namespaced(client(), reader.namespace),
        Api::<Pod>::namespaced(client(), reader.namespace),
    );
    let pending = gated.clone().fields("status.phase=Pending");
    let (deployments, pods) = futures::join!(deployments.list(&gated), pods.list(&pending));
    let deployments = reader.named("the gated Deployments", deployments)?;
    let pods = reader.named("the gated Pods", pods)?;
    let held = deployments
        .items
        .iter()
        .filter(|deployment| deployment.annotations().contains_key(ANNOTATION_HELD))
        .filter_map(|deployment| {
            deployment
                .spec
                .as_ref()
                .and_then(|spec| spec.template.metadata.as_ref())
                .and_then(|template| template.annotations.as_ref())
        });
    let waiting = pods.items.iter().filter(|pod| waits(pod)).map(ResourceExt::annotations);
    let mut versions: Vec<String> =
        held.chain(waiting).filter_map(|annotations| version_of(annotations, reader.name)).collect();
    versions.sort();
    versions.dedup();
    Ok(versions)
}

fn waits(pod: &Pod) -> bool {
    let gates = pod.spec.iter().flat_map(|spec| spec.scheduling_gates.iter().flatten());
    gates.into_iter().any(|gate| gate.name == SCHEDULING_GATE)
}

fn version_of(annotations: &BTreeMap<String, String>, migration: &str) -> Option<String> {
    annotations.get(&format!("{ANNOTATION_REQUIRES}{migration}")).cloned()
}

/// Wakes the DatabaseMigrations that a gated Pod names. The requirements of a Deployment are in its template
/// and not in its metadata, so one that is held wakes every DatabaseMigration of its namespace.
pub(super) fn woken(client: &Client, scope: &Scope, store: Store<Known>) -> Queue<Known> {
    let gated = watcher::Config::default().labels(&format!("{LABEL_GATED}=true"));
    let pods =
        watched(api::<PartialObjectMeta<Pod>>(client, scope), gated.clone().fields("status.phase=Pending"));
    let deployments = watched(api::<PartialObjectMeta<Deployment>>(client, scope), gated);
    let pods = trigger_with(applied(pods), |pod| names(&pod)).boxed();
    let deployments = trigger_with(applied(deployments), move |deployment: PartialObjectMeta<Deployment>| {
        let held = deployment.annotations().contains_key(ANNOTATION_HELD);
        if held { matching(&store, deployment.namespace().as_deref(), |_| true) } else { Vec::new() }
    });
    stream::select_all([pods, deployments.boxed()]).boxed()
}

fn applied<K>(
    events: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send,
) -> impl Stream<Item = Result<K, watcher::Error>> + Send {
    events.applied_objects()
}

fn names(pod: &PartialObjectMeta<Pod>) -> Vec<ObjectRef<Known>> {
    let Some(namespace) = pod.namespace() else { return Vec::new() };
    let names = pod.annotations().keys().filter_map(|key| key.strip_prefix(ANNOTATION_REQUIRES));
    names.map(|name| ObjectRef::new(name).within(&namespace)).collect()
}
