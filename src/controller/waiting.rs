//! Says what held Deployments and gated Pods wait for: an Event on each, once for each cause. It decides
//! nothing; what lets workloads go is `rollout.rs`.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ObjectReference, core::v1::Pod};
use kube::{
    Api, Resource, ResourceExt,
    api::ListParams,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use tracing::warn;

use super::{
    Context, Stop,
    error::chain,
    known::Guarded,
    report::{self, digest},
    rollout::{is_paused_by_us, scheduling_gate},
    scope::{Scope, api, watched},
};
use crate::{
    api::{ANNOTATION_HELD, DatabaseMigration, GATE_NAME, LABEL_GATED, MigrationGate},
    plan::waiting::{Notice, notice},
};

/// What is satisfied is let go within moments, and then there is nothing to tell.
const SETTLE: Duration = Duration::from_secs(2);
/// So many are remembered as told; the API server knows the others by their names.
const REMEMBERED: usize = 10_000;

/// Who was touched.
enum Touched {
    /// A workload of this namespace waits.
    Workload(String),
    /// A DatabaseMigration of this namespace changed, which concerns those who wait there.
    Migration(String),
}

/// What was told, and where a workload waits.
#[derive(Debug, Default)]
pub struct Told {
    names: HashSet<String>,
    waiting: BTreeSet<String>,
}

/// Serves every namespace of the scopes until `stop` ends.
pub async fn run(context: &Context, scopes: &[Scope], stop: Stop) {
    let mut touched =
        stream::select_all(scopes.iter().map(|scope| touched(context, scope).boxed())).take_until(stop);
    let (mut told, mut due) = (Told::default(), BTreeSet::new());
    loop {
        if due.is_empty() {
            let Some(first) = touched.next().await else { return };
            due.extend(concerned(first, &told));
            continue;
        }
        let settled = tokio::time::sleep(SETTLE);
        tokio::pin!(settled);
        loop {
            tokio::select! {
                () = &mut settled => break,
                next = touched.next() => match next {
                    Some(next) => due.extend(concerned(next, &told)),
                    None => return,
                },
            }
        }
        for namespace in std::mem::take(&mut due) {
            if let Err(error) = tell(context, &namespace, &mut told).await {
                warn!(namespace, error = chain(&error), "cannot say what workloads wait for; trying again");
                due.insert(namespace);
            }
        }
    }
}

fn concerned(touched: Touched, told: &Told) -> Option<String> {
    match touched {
        Touched::Workload(namespace) => Some(namespace),
        Touched::Migration(namespace) => told.waiting.contains(&namespace).then_some(namespace),
    }
}

fn touched(context: &Context, scope: &Scope) -> impl Stream<Item = Touched> + Send + use<> {
    let client = &context.client;
    let gated = watcher::Config::default().labels(&format!("{LABEL_GATED}=true"));
    let deployments =
        watched(api::<PartialObjectMeta<Deployment>>(client, scope), gated.clone()).applied_objects();
    let pods = watched(api::<PartialObjectMeta<Pod>>(client, scope), gated.fields("status.phase=Pending"))
        .applied_objects();
    let migrations =
        watched(api::<PartialObjectMeta<DatabaseMigration>>(client, scope), watcher::Config::default())
            .touched_objects();
    // A watch that fails recovers automatically, and its failure is told by those who decide by it.
    stream::select_all([
        deployments
            .filter_map(|deployment| async move {
                let deployment = deployment
                    .ok()
                    .filter(|deployment| deployment.annotations().contains_key(ANNOTATION_HELD))?;
                Some(Touched::Workload(deployment.namespace()?))
            })
            .boxed(),
        pods.filter_map(|pod| async move { Some(Touched::Workload(pod.ok()?.namespace()?)) }).boxed(),
        migrations
            .filter_map(|object| async move { Some(Touched::Migration(object.ok()?.namespace()?)) })
            .boxed(),
    ])
}

/// Tells each workload of a namespace that waits what it waits for, unless that was told before.
pub async fn tell(context: &Context, namespace: &str, told: &mut Told) -> kube::Result<()> {
    let waiting = waiting(context, namespace).await?;
    if waiting.is_empty() {
        told.waiting.remove(namespace);
    } else {
        told.waiting.insert(namespace.to_owned());
    }
    for (workload, notice) in waiting {
        let name = workload.name.clone().unwrap_or_default();
        let event = format!("{name}.{}", digest([workload.uid.as_deref().unwrap_or_default(), &notice.key]));
        if told.names.contains(&event) {
            continue;
        }
        report::tell_waiting(context, &event, workload, &notice).await?;
        if told.names.len() >= REMEMBERED {
            told.names.clear();
        }
        told.names.insert(event);
    }
    Ok(())
}

/// Every held Deployment and every gated Pod of a namespace, with what it waits for.
async fn waiting(context: &Context, namespace: &str) -> kube::Result<Vec<(ObjectReference, Notice)>> {
    let client = || context.client.clone();
    let gated = ListParams::default().labels(&format!("{LABEL_GATED}=true"));
    let deployments = Api::<Deployment>::namespaced(client(), namespace).list(&gated).await?.items;
    let held: Vec<Deployment> = deployments.into_iter().filter(is_paused_by_us).collect();
    let pods =
        Api::<Pod>::namespaced(client(), namespace).list(&gated.fields("status.phase=Pending")).await?.items;
    let pods: Vec<Pod> = pods.into_iter().filter(|pod| scheduling_gate(pod).is_some()).collect();
    if held.is_empty() && pods.is_empty() {
        return Ok(Vec::new());
    }
    // The gate after them: it opens before Ready turns True, so that what is Ready here is in the gate there.
    let migrations = Api::<Guarded>::namespaced(client(), namespace).list(&ListParams::default()).await?;
    let migrations: BTreeMap<_, _> =
        migrations.into_iter().map(|object| (object.name_any(), object.0.ok())).collect();
    let gate = Api::<MigrationGate>::namespaced(client(), namespace).get_opt(GATE_NAME).await?;
    let satisfied = gate.into_iter().flat_map(|gate| gate.spec.satisfied).collect();
    let nothing = BTreeMap::new();
    let held = held.iter().map(|deployment| {
        let template = deployment.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
        (
            reference(deployment),
            template.and_then(|template| template.annotations.as_ref()).unwrap_or(&nothing),
        )
    });
    let pods = pods.iter().map(|pod| (reference(pod), pod.annotations()));
    let told = held
        .chain(pods)
        .filter_map(|(workload, requires)| Some((workload, notice(requires, &satisfied, &migrations)?)));
    Ok(told.collect())
}

fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    ObjectReference { resource_version: None, ..object.object_ref(&()) }
}
