//! What the cache keeps of each DatabaseMigration: as much as says who is woken and how many are in which state.
//! With 10,000 of them the cache is most of what the controller needs of memory.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, core::DeserializeGuard, runtime::watcher};

use crate::api::{
    ConditionType, DatabaseMigration, DatabaseMigrationStatus, Dependency, Group, Reason, SecretKeyRef,
};

/// A DatabaseMigration that is there, readable or not.
pub type Guarded = DeserializeGuard<DatabaseMigration>;

/// A DatabaseMigration as the cache knows it.
#[derive(Clone, Debug, Resource)]
#[resource(inherit = DatabaseMigration)]
pub struct Known {
    metadata: ObjectMeta,
    /// None where this version of Sluice cannot read it.
    pub(super) says: Option<Says>,
}

/// What it says that concerns others.
#[derive(Clone, Debug)]
pub(super) struct Says {
    pub(super) policy: Option<Box<str>>,
    pub(super) database: SecretKeyRef,
    /// ConfigMaps that a run of it reads.
    pub(super) config_maps: Box<[String]>,
    pub(super) depends_on: Box<[Dependency]>,
    pub(super) group: Option<Group>,
    /// Whether the condition Ready is True, and why.
    pub(super) ready: Option<(bool, Reason)>,
    /// The newest applied migrations.
    pub(super) applied: Box<[String]>,
}

impl Known {
    /// What is kept of an object.
    pub fn of(object: &DatabaseMigration) -> Self {
        Self { metadata: identity(&object.metadata), says: Some(Says::of(object)) }
    }

    /// The same of one that a watch delivers.
    fn of_watched(object: &Guarded) -> Self {
        let says = object.0.as_ref().ok().map(Says::of);
        Self { metadata: identity(object.meta()), says }
    }

    /// The same of all that an event has.
    pub(super) fn of_event(event: watcher::Event<Guarded>) -> watcher::Event<Self> {
        match event {
            watcher::Event::Apply(object) => watcher::Event::Apply(Self::of_watched(&object)),
            watcher::Event::Delete(object) => watcher::Event::Delete(Self::of_watched(&object)),
            watcher::Event::Init => watcher::Event::Init,
            watcher::Event::InitApply(object) => watcher::Event::InitApply(Self::of_watched(&object)),
            watcher::Event::InitDone => watcher::Event::InitDone,
        }
    }
}

impl Says {
    fn of(object: &DatabaseMigration) -> Self {
        let spec = &object.spec;
        let authority = spec.database.tls.iter().map(|tls| &tls.ca_from.config_map);
        let applied = object.status.iter().flat_map(|status| &status.applied);
        Self {
            policy: spec.policy_ref.as_ref().map(|policy| policy.name.as_str().into()),
            database: spec.database.secret_ref.clone(),
            config_maps: spec.migrations.sources().chain(authority).cloned().collect(),
            depends_on: spec.before.depends_on.clone().into(),
            group: spec.before.group.clone(),
            ready: object.status.as_ref().and_then(ready),
            applied: applied.map(|applied| applied.name.clone()).collect(),
        }
    }
}

fn ready(status: &DatabaseMigrationStatus) -> Option<(bool, Reason)> {
    let ready = status.conditions.iter().find(|condition| condition.type_ == ConditionType::Ready.name())?;
    Some((ready.status == "True", Reason::named(&ready.reason)))
}

/// By what the object is known, and nothing that only the API server needs.
fn identity(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        ..ObjectMeta::default()
    }
}
