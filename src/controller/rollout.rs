//! Lets workloads go whose requirements are applied: un-pauses held Deployments and lifts the scheduling gate
//! of Pods.
//!
//! Every replica does this, not only the leader, because doing it twice is doing it once. The decision is
//! [`is_satisfied`]; an admission policy checks again, from a cache of its own, and may hold once more for a
//! moment.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::join_all, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    core::PartialObjectMeta,
    runtime::{
        Config, WatchStreamExt, applier,
        controller::{Action, trigger_self, trigger_with},
        reflector::{self, ObjectRef, store::Writer},
        watcher,
    },
};
use serde_json::json;
use tracing::{debug, info, warn};

use super::{
    Stop,
    error::{chain, pause},
    scope::{Queue, Scope, api, watched},
};
use crate::{
    api::{ANNOTATION_HELD, FieldManager, GATE_NAME, LABEL_GATED, MigrationGate, SCHEDULING_GATE},
    plan::gate::is_satisfied,
    telemetry::Metrics,
};

/// The API server's own cache of the gate is a few milliseconds behind; then it holds again what was just let
/// go.
const AGAIN: Duration = Duration::from_millis(50);

/// What could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} in the namespace {namespace:?}")]
pub struct RolloutError {
    what: &'static str,
    namespace: String,
    source: kube::Error,
}

/// What every reconcile knows.
pub struct Rollout {
    client: Client,
    metrics: Arc<Metrics>,
}

/// Serves every namespace of the scopes until `stop` ends.
pub async fn run(client: Client, metrics: Arc<Metrics>, scopes: &[Scope], concurrency: u16, stop: Stop) {
    let rollout = Arc::new(Rollout { client, metrics });
    let controllers = scopes.iter().map(|scope| {
        let (store, writer) = reflector::store();
        let queue = queue(&rollout.client, writer, scope).take_until(stop.clone());
        let reconcile = |gate, rollout| let_go(gate, rollout).boxed();
        let config = Config::default().concurrency(concurrency);
        applier(reconcile, on_error, Arc::clone(&rollout), store, queue, config).for_each(|result| {
            if let Err(error) = result {
                debug!(error = chain(&error), "the reconcile of a gate did not end");
            }
            std::future::ready(())
        })
    });
    join_all(controllers).await;
}

/// The gates themselves, and the gate at which a workload may wait.
fn queue(client: &Client, writer: Writer<MigrationGate>, scope: &Scope) -> Queue<MigrationGate> {
    let gated = watcher::Config::default().labels(&format!("{LABEL_GATED}=true"));
    // A Pod that waits at a gate is Pending.
    let pending = gated.clone().fields("status.phase=Pending");
    let gates = watched(api::<MigrationGate>(client, scope), watcher::Config::default()).reflect(writer);
    let deployments = watched(api::<PartialObjectMeta<Deployment>>(client, scope), gated);
    let pods = watched(api::<PartialObjectMeta<Pod>>(client, scope), pending);
    stream::select_all([
        trigger_self(gates.applied_objects(), ()).boxed(),
        trigger_with(deployments.applied_objects(), |deployment: PartialObjectMeta<Deployment>| {
            gate_of(&deployment).filter(|_| deployment.annotations().contains_key(ANNOTATION_HELD))
        })
        .boxed(),
        trigger_with(pods.applied_objects(), |pod| gate_of(&pod)).boxed(),
    ])
    .boxed()
}

fn gate_of<K: Resource>(object: &PartialObjectMeta<K>) -> Option<ObjectRef<MigrationGate>> {
    Some(ObjectRef::new(GATE_NAME).within(&object.metadata.namespace.clone()?))
}

/// Releases the workloads that are satisfied in the namespace of this gate.
async fn let_go(gate: Arc<MigrationGate>, rollout: Arc<Rollout>) -> Result<Action, RolloutError> {
    let namespace = gate.namespace().unwrap_or_default();
    let failed = |what| {
        let namespace = namespace.clone();
        move |source| RolloutError { what, namespace, source }
    };
    let satisfied: BTreeSet<String> = gate.spec.satisfied.iter().cloned().collect();
    let gated = ListParams::default().labels(&format!("{LABEL_GATED}=true"));
    let deployments: Api<Deployment> = Api::namespaced(rollout.client.clone(), &namespace);
    let pods: Api<Pod> = Api::namespaced(rollout.client.clone(), &namespace);

    let mut again = false;
    for deployment in deployments.list(&gated).await.map_err(failed("list the Deployments"))? {
        if is_held(&deployment, &satisfied) {
            again |=
                !rollout.unpause(&deployments, &deployment).await.map_err(failed("un-pause a Deployment"))?;
        }
    }
    for pod in pods.list(&gated.fields("status.phase=Pending")).await.map_err(failed("list the Pods"))? {
        if let Some(at) = gate_at(&pod, &satisfied) {
            again |=
                !rollout.lift(&pods, &pod, at).await.map_err(failed("lift the scheduling gate of a Pod"))?;
        }
    }
    Ok(if again { Action::requeue(AGAIN) } else { Action::await_change() })
}

/// The hold policy paused it.
pub fn is_paused_by_us(deployment: &Deployment) -> bool {
    deployment.annotations().contains_key(ANNOTATION_HELD)
}

/// Where our scheduling gate stands in a Pod.
pub fn scheduling_gate(pod: &Pod) -> Option<usize> {
    let gates = pod.spec.as_ref()?.scheduling_gates.as_ref()?;
    gates.iter().position(|gate| gate.name == SCHEDULING_GATE)
}

/// The hold policy paused it, and it need not be any more.
fn is_held(deployment: &Deployment, satisfied: &BTreeSet<String>) -> bool {
    let template = deployment.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    let requires = template.and_then(|template| template.annotations.as_ref());
    is_paused_by_us(deployment) && requires.is_some_and(|requires| is_satisfied(requires, satisfied))
}

/// Where our scheduling gate stands in a Pod that need not wait any more.
fn gate_at(pod: &Pod, satisfied: &BTreeSet<String>) -> Option<usize> {
    let at = scheduling_gate(pod)?;
    is_satisfied(pod.annotations(), satisfied).then_some(at)
}

impl Rollout {
    /// Un-pauses exactly the Deployment that was read; false when it has to be read again.
    async fn unpause(&self, api: &Api<Deployment>, deployment: &Deployment) -> kube::Result<bool> {
        let name = deployment.name_any();
        let patch = json!({
            "metadata": {"resourceVersion": deployment.metadata.resource_version, "annotations": {ANNOTATION_HELD: null}},
            "spec": {"paused": false},
        });
        let patched = api.patch(&name, &writer(), &Patch::Merge(patch)).await;
        let Some(deployment) = unless_changed(patched)? else { return Ok(false) };
        let let_go = !deployment.annotations().contains_key(ANNOTATION_HELD);
        if let_go {
            self.metrics.released("deployment");
            info!(
                deployment = name,
                namespace = deployment.namespace(),
                "un-paused: what it requires is applied"
            );
        }
        Ok(let_go)
    }

    /// Lifts our gate and no other, of exactly the Pod that was read; false when the Pod has to be read
    /// again.
    async fn lift(&self, api: &Api<Pod>, pod: &Pod, at: usize) -> kube::Result<bool> {
        let path = format!("/spec/schedulingGates/{at}");
        let patch = serde_json::from_value(json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": pod.metadata.resource_version},
            {"op": "test", "path": format!("{path}/name"), "value": SCHEDULING_GATE},
            {"op": "remove", "path": path},
        ]))
        .expect("a JSON patch");
        let patched = api.patch(&pod.name_any(), &writer(), &Patch::<()>::Json(patch)).await;
        let Some(pod) = unless_changed(patched)? else { return Ok(false) };
        self.metrics.released("pod");
        info!(
            pod = pod.name_any(),
            namespace = pod.namespace(),
            "lifted the scheduling gate: what it requires is applied"
        );
        Ok(true)
    }
}

fn writer() -> PatchParams {
    PatchParams { field_manager: Some(FieldManager::Rollout.name().to_owned()), ..PatchParams::default() }
}

/// `None` when another client was faster: the object changed or is gone.
fn unless_changed<K>(patched: kube::Result<K>) -> kube::Result<Option<K>> {
    match patched {
        Ok(object) => Ok(Some(object)),
        // 422 is what a JSON patch gets whose test fails.
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409 | 422) => Ok(None),
        Err(error) => Err(error),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an error policy")]
fn on_error(gate: Arc<MigrationGate>, error: &RolloutError, _: Arc<Rollout>) -> Action {
    warn!(namespace = gate.namespace(), error = chain(error), "cannot let workloads go; trying again");
    Action::requeue(pause(4))
}
