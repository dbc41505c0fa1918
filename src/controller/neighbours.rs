//! The other DatabaseMigrations of a namespace: those that must be Ready first, and those of the same
//! database.

use kube::{
    Api, ResourceExt,
    api::ListParams,
    core::DeserializeGuard,
    runtime::reflector::{ObjectRef, Store},
};

use super::{error::ObserveError, reader::Reader};
use crate::{
    api::{Before, ConditionType, DatabaseMigration, MigrationGate, Reason, RunStatus, entry},
    plan::{
        facts::{Dependency, Rival},
        order::{self, Member},
    },
};

/// A DatabaseMigration that is there, readable or not.
pub type Guarded = DeserializeGuard<DatabaseMigration>;

/// What the others mean for one object.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// Whom it waits for, and how they stand.
    pub(super) dependencies: Vec<Dependency>,
    /// Who runs on its database.
    pub(super) rivals: Vec<Rival>,
    /// Its versions that others name in `dependsOn.minVersion`, whether or not the gate has them.
    pub(super) required: Vec<String>,
}

/// Reads what concerns one object. Most have no neighbours, and then nothing is read.
pub(super) async fn read(
    reader: &Reader<'_>,
    object: &DatabaseMigration,
) -> Result<Neighbours, ObserveError> {
    let before = &object.spec.before;
    if *before == Before::default() && !reader.context.index.may_have_neighbours(object) {
        return Ok(Neighbours::default());
    }
    let api: Api<Guarded> = Api::namespaced(reader.context.client.clone(), reader.namespace);
    let listed = reader.named("the neighbours", api.list(&ListParams::default()).await)?;
    let all: Vec<DatabaseMigration> = listed.items.into_iter().filter_map(|guarded| guarded.0.ok()).collect();
    let versions = before.depends_on.iter().any(|dependency| dependency.min_version.is_some());
    let satisfied = if versions { reader.satisfied().await? } else { Vec::new() };
    let members: Vec<Member> = all.iter().map(|other| Member::of(other, &satisfied)).collect();
    Ok(Neighbours {
        dependencies: order::dependencies(&Member::of(object, &satisfied), &members),
        rivals: rivals(reader, object, &all).await?,
        required: order::required_of(reader.name, &members),
    })
}

async fn rivals(
    reader: &Reader<'_>,
    object: &DatabaseMigration,
    all: &[DatabaseMigration],
) -> Result<Vec<Rival>, ObserveError> {
    let claims = |other: &&DatabaseMigration| {
        let run = other.status.as_ref().and_then(|status| status.run.as_ref());
        run.is_some_and(RunStatus::is_under_way)
    };
    let same = |other: &&DatabaseMigration| shares_database(other, object);
    let rivals: Vec<&DatabaseMigration> = all.iter().filter(same).filter(claims).collect();
    let names: Vec<String> = rivals.iter().map(|rival| rival.name_any()).collect();
    let running = reader.are_running(&names).await?;
    let age =
        |object: &DatabaseMigration| (object.creation_timestamp().map(|time| time.0), object.name_any());
    let rival = |(rival, running): (&&DatabaseMigration, bool)| Rival {
        name: rival.name_any(),
        running,
        older: age(rival) < age(object),
    };
    Ok(rivals.iter().zip(running).map(rival).collect())
}

fn shares_database(other: &DatabaseMigration, object: &DatabaseMigration) -> bool {
    other.metadata.namespace == object.metadata.namespace
        && other.metadata.name != object.metadata.name
        && other.spec.database.secret_ref == object.spec.database.secret_ref
}

/// What the watches have seen. It decides only who is woken and what is worth reading, never what is done.
#[derive(Clone, Debug, Default)]
pub struct Index(Vec<Store<Guarded>>);

impl Index {
    /// An index over these caches. Without any, everything is worth reading.
    pub const fn new(stores: Vec<Store<Guarded>>) -> Self {
        Self(stores)
    }

    fn may_have_neighbours(&self, object: &DatabaseMigration) -> bool {
        let concerns = |other: &DatabaseMigration| {
            shares_database(other, object) || asks_for_a_version_of(other, object)
        };
        self.0.is_empty() || self.all().iter().filter_map(|other| other.0.as_ref().ok()).any(concerns)
    }

    /// Everything that was seen.
    pub fn all(&self) -> Vec<std::sync::Arc<Guarded>> {
        self.0.iter().flat_map(Store::state).collect()
    }
}

/// Everyone of `namespace` in the cache for whom `concerned` holds.
pub fn matching(
    store: &Store<Guarded>,
    namespace: Option<&str>,
    concerned: impl Fn(&DatabaseMigration) -> bool,
) -> Vec<ObjectRef<Guarded>> {
    store
        .state()
        .into_iter()
        .filter(|other| other.namespace().as_deref() == namespace)
        .filter(|other| other.0.as_ref().is_ok_and(&concerned))
        .map(|other| ObjectRef::from_obj(&*other))
        .collect()
}

/// It waits for a version of `object`, so the run of `object` has to answer for that version.
fn asks_for_a_version_of(other: &DatabaseMigration, object: &DatabaseMigration) -> bool {
    let name = object.metadata.name.as_deref();
    let mut wishes = other.spec.before.depends_on.iter();
    other.metadata.namespace == object.metadata.namespace
        && wishes.any(|wish| wish.min_version.is_some() && Some(wish.name.as_str()) == name)
}

/// The objects that wait for this one, of which it requires a version, or that run on the same database. An
/// edit of any member may cut a cycle.
pub fn affected_by(object: &DatabaseMigration, other: &DatabaseMigration) -> bool {
    let name = object.name_any();
    let named = || other.spec.before.depends_on.iter().any(|dependency| dependency.name == name);
    let follows = || match (&object.spec.before.group, &other.spec.before.group) {
        (Some(group), Some(others)) => group.name == others.name && group.position < others.position,
        _ => false,
    };
    named()
        || follows()
        || asks_for_a_version_of(object, other)
        || is_in_a_cycle(other)
        || shares_database(other, object)
}

fn is_in_a_cycle(object: &DatabaseMigration) -> bool {
    let mut conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions.any(|condition| {
        condition.type_ == ConditionType::Ready.name() && condition.reason == Reason::DependencyCycle.name()
    })
}

/// The objects that read this ConfigMap.
pub fn reads(other: &DatabaseMigration, config_map: &str) -> bool {
    let authority = other.spec.database.tls.as_ref().is_some_and(|tls| tls.ca_from.config_map == config_map);
    authority || other.spec.migrations.reads(config_map)
}

/// The objects that verified something that the gate no longer says.
pub fn misses(other: &DatabaseMigration, gate: &MigrationGate) -> bool {
    let name = other.name_any();
    let applied = other.status.iter().flat_map(|status| &status.applied);
    applied.into_iter().any(|applied| !gate.spec.satisfied.contains(&entry(&name, &applied.name)))
}
