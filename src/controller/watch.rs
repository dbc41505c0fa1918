//! What wakes whom. Objects are trimmed before they are kept, and of Jobs, Pods and ConfigMaps only the
//! metadata is watched.

use std::{sync::Arc, time::Instant};

use futures::{FutureExt, Stream, StreamExt, TryStreamExt, channel::mpsc, future::join_all, stream};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Client, Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::{
        Config, WatchStreamExt, applier,
        controller::{Action, Error, trigger_self, trigger_with},
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher,
    },
};
use tracing::{debug, warn};

use super::{
    Context, Stop,
    error::{ErrorClass, ReconcileError, chain},
    known::{Guarded, Known},
    neighbours::{Index, affected_by, matching, misses, reads},
    policies, reconcile, required, retry,
    scope::{Queue, Scope, api, watched},
    waiting,
};
use crate::{
    api::{Class, LABEL_MIGRATION, MANAGED_BY, MigrationGate, MigrationPolicy, Reason},
    telemetry::Census,
};

/// Reconciles every DatabaseMigration of the scopes until `stop` ends; a reconcile that has begun then ends
/// first.
pub async fn run(context: Context, scopes: &[Scope], concurrency: u16, stop: Stop) {
    let caches: Vec<(Store<Known>, Writer<Known>)> = scopes.iter().map(|_| reflector::store()).collect();
    let index = Index::new(caches.iter().map(|(store, _)| store.clone()).collect());
    context.metrics.leads(Some(census(index.clone())));
    let context = Arc::new(context.with_index(index));
    let tells = waiting::run(&context, scopes, stop.clone());
    let controllers = caches.into_iter().zip(scopes).map(|((store, writer), scope)| {
        let queue = queue(&context, store.clone(), writer, scope).take_until(stop.clone());
        let reconcile = |object, context| timed(object, context).boxed();
        let config = Config::default().concurrency(concurrency);
        applier(reconcile, on_error, Arc::clone(&context), store, queue, config).for_each(|result| {
            log(result);
            std::future::ready(())
        })
    });
    futures::join!(join_all(controllers), tells);
}

fn queue(context: &Arc<Context>, store: Store<Known>, writer: Writer<Known>, scope: &Scope) -> Queue<Known> {
    let client = &context.client;
    let ours = watcher::Config::default().labels(&format!("app.kubernetes.io/managed-by={MANAGED_BY}"));
    let jobs = watched(api::<PartialObjectMeta<Job>>(client, scope), ours.clone());
    let pods = watched(api::<PartialObjectMeta<Pod>>(client, scope), ours);
    // Of every ConfigMap, and none is kept: which of them are sources, the objects that name them say.
    let maps = watched(api::<PartialObjectMeta<ConfigMap>>(client, scope), watcher::Config::default());
    let policies =
        watched(api::<PartialObjectMeta<MigrationPolicy>>(client, scope), watcher::Config::default());
    let (woken, migrations) = migrations(context, store.clone(), writer, scope);
    let (gates_of, wait) = (store.clone(), required::woken(client, scope, store.clone()));
    stream::select_all([
        migrations,
        woken,
        wait,
        trigger_with(jobs.touched_objects(), |job| by_label(&job)).boxed(),
        trigger_with(pods.touched_objects(), |pod| by_label(&pod)).boxed(),
        by_name(maps, store.clone(), reads),
        by_name(policies, store, policies::names),
        trigger_with(gates(client, scope), move |gate: MigrationGate| {
            matching(&gates_of, gate.namespace().as_deref(), |object| misses(object, &gate))
        })
        .boxed(),
    ])
    .boxed()
}

/// The objects that name one that has changed. What went away while the watch was broken is not told
/// afterwards, so after each list every object is reconciled, and the objects in it, however many, wake no
/// neighbour.
fn by_name<K>(
    events: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
    store: Store<Known>,
    names: fn(&Known, &str) -> bool,
) -> Queue<Known>
where
    K: Resource + Send + 'static,
{
    let woken = move |event: watcher::Event<K>| match event {
        watcher::Event::Apply(object) | watcher::Event::Delete(object) => {
            matching(&store, object.namespace().as_deref(), |other| names(other, &object.name_any()))
        }
        watcher::Event::InitDone => {
            store.state().iter().map(|object| ObjectRef::from_obj(&**object)).collect()
        }
        watcher::Event::Init | watcher::Event::InitApply(_) => Vec::new(),
    };
    let requests = move |event: Result<_, _>| match event.map(&woken) {
        Ok(woken) => woken.into_iter().map(|object| Ok(object.into())).collect(),
        Err(error) => vec![Err(error)],
    };
    events.flat_map(move |event| stream::iter(requests(event))).boxed()
}

/// The DatabaseMigrations themselves, and the neighbours of those that changed.
fn migrations(
    context: &Arc<Context>,
    store: Store<Known>,
    writer: Writer<Known>,
    scope: &Scope,
) -> (Queue<Known>, Queue<Known>) {
    let (wake, woken) = mpsc::unbounded();
    let context = Arc::clone(context);
    let migrations = watched(api::<Guarded>(&context.client, scope), watcher::Config::default())
        .map_ok(Known::of_event)
        .reflect(writer);
    let migrations = migrations.inspect_ok(move |event| match event {
        watcher::Event::Apply(object) => wake_neighbours(object, &store, &wake),
        watcher::Event::Delete(object) => {
            context.failures.forget(&object.uid().unwrap_or_default());
            wake_neighbours(object, &store, &wake);
        }
        // At the start every object is reconciled anyway.
        watcher::Event::Init | watcher::Event::InitApply(_) | watcher::Event::InitDone => {}
    });
    let woken = woken.map(|neighbour: ObjectRef<Known>| Ok(neighbour.into()));
    (woken.boxed(), trigger_self(migrations.touched_objects(), ()).boxed())
}

fn wake_neighbours(object: &Known, store: &Store<Known>, wake: &mpsc::UnboundedSender<ObjectRef<Known>>) {
    for neighbour in matching(store, object.meta().namespace.as_deref(), |other| affected_by(object, other)) {
        // The receiver lives as long as the controller does.
        let _ = wake.unbounded_send(neighbour);
    }
}

/// Gates as they are now; one that was deleted says nothing any more.
fn gates(
    client: &Client,
    scope: &Scope,
) -> impl Stream<Item = Result<MigrationGate, watcher::Error>> + Send + use<> {
    watched(api::<MigrationGate>(client, scope), watcher::Config::default()).try_filter_map(|event| {
        std::future::ready(Ok(match event {
            watcher::Event::Apply(gate) => Some(gate),
            watcher::Event::Delete(mut gate) => {
                gate.spec.satisfied.clear();
                Some(gate)
            }
            watcher::Event::Init | watcher::Event::InitApply(_) | watcher::Event::InitDone => None,
        }))
    })
}

/// Whom a Job or a Pod belongs to.
fn by_label<K: Resource>(object: &PartialObjectMeta<K>) -> Option<ObjectRef<Known>> {
    let name = object.metadata.labels.as_ref()?.get(LABEL_MIGRATION)?;
    Some(ObjectRef::new(name).within(object.metadata.namespace.as_deref()?))
}

async fn timed(object: Arc<Known>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let begun = Instant::now();
    let result = reconcile(&context, &object.namespace().unwrap_or_default(), &object.name_any()).await;
    match &result {
        Ok(_) => context.metrics.reconciled(begun.elapsed()),
        Err(error) => context.metrics.failed(error.stage(), error.class().name(), begun.elapsed()),
    }
    result
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an error policy")]
fn on_error(object: Arc<Known>, error: &ReconcileError, context: Arc<Context>) -> Action {
    retry(&context, &object.uid().unwrap_or_default(), error)
}

/// The one place where a failed reconcile is logged.
fn log(result: Result<(ObjectRef<Known>, Action), Error<ReconcileError, watcher::Error>>) {
    match result {
        Ok((object, action)) => debug!(%object, ?action, "reconciled"),
        Err(Error::ReconcilerFailed(error, object)) if error.class() == ErrorClass::NamespaceTerminating => {
            debug!(%object, "its namespace is going away");
        }
        Err(Error::ReconcilerFailed(error, object)) if error.class() == ErrorClass::Conflict => {
            debug!(%object, stage = error.stage(), "it was written meanwhile: one more reconcile");
        }
        Err(Error::ReconcilerFailed(error, object)) => {
            warn!(%object, stage = error.stage(), class = error.class().name(), error = chain(&error), "reconcile failed");
        }
        Err(Error::ObjectNotFound(object)) => debug!(%object, "gone"),
        Err(error) => warn!(error = chain(&error), "a watch failed and is started again"),
    }
}

/// How many are in which state, from the caches.
fn census(index: Index) -> Census {
    Box::new(move || {
        let mut counts = [("ready", 0), ("reconciling", 0), ("stalled", 0), ("waiting", 0)];
        for object in index.all() {
            let state = match object.says.as_ref().and_then(|says| says.ready) {
                Some((true, _)) => 0,
                Some((false, Reason::Suspended)) => 3,
                Some((false, reason)) if reason.class() == Class::NeedsUser => 2,
                Some((false, _)) | None => 1,
            };
            counts[state].1 += 1;
        }
        counts
    })
}

#[cfg(test)]
mod tests {
    use kube::runtime::controller::ReconcileRequest;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::DatabaseMigration;

    fn object(namespace: &str, name: &str, migrations: &Value) -> DatabaseMigration {
        serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": name, "namespace": namespace},
            "spec": {"database": {"secretRef": {"name": "db"}}, "migrations": migrations},
        }))
        .expect("a manifest")
    }

    /// A ConfigMap without any label, as a watch of metadata delivers it.
    fn map(namespace: &str, name: &str) -> PartialObjectMeta<ConfigMap> {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": namespace}})).expect("metadata")
    }

    fn named(request: &ReconcileRequest<Known>) -> String {
        format!("{}/{}", request.obj_ref.namespace.as_deref().unwrap_or_default(), request.obj_ref.name)
    }

    async fn woken(event: watcher::Event<PartialObjectMeta<ConfigMap>>) -> Vec<String> {
        let (store, mut writer) = reflector::store();
        let phases = json!([{"name": "security", "configMaps": ["policies"]}]);
        let mut labs = object("medical", "labs", &json!({"configMaps": ["labs-migrations"]}));
        let tls =
            serde_json::from_value(json!({"caFrom": {"configMap": "authority"}})).expect("an authority");
        labs.spec.database.tls = Some(tls);
        for object in [
            object("medical", "records", &json!({"configMaps": ["records-migrations"], "phases": phases})),
            labs,
            object("dental", "records", &json!({"configMaps": ["records-migrations"]})),
        ] {
            writer.apply_watcher_event(&watcher::Event::Apply(Known::of(&object)));
        }
        let requests: Vec<_> = by_name(stream::iter([Ok(event)]), store, reads).collect().await;
        let mut names: Vec<String> =
            requests.into_iter().map(|request| named(&request.expect("a request"))).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_config_map_wakes_those_who_name_it_in_its_namespace_whatever_labels_it_has() {
        assert_eq!(
            woken(watcher::Event::Apply(map("medical", "records-migrations"))).await,
            ["medical/records"]
        );
        assert_eq!(woken(watcher::Event::Delete(map("medical", "policies"))).await, ["medical/records"]);
        assert_eq!(woken(watcher::Event::Apply(map("medical", "authority"))).await, ["medical/labs"]);
        assert_eq!(woken(watcher::Event::Apply(map("medical", "kube-root-ca.crt"))).await, [""; 0]);
    }

    #[tokio::test]
    async fn a_list_wakes_everyone_once_and_not_for_each_config_map_in_it() {
        assert_eq!(woken(watcher::Event::InitApply(map("medical", "records-migrations"))).await, [""; 0]);
        assert_eq!(
            woken(watcher::Event::InitDone).await,
            ["dental/records", "medical/labs", "medical/records"]
        );
    }
}
