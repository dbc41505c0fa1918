//! The other DatabaseMigrations of a namespace: those that must be Ready first, and those of the same
//! database.

use kube::{
    Api, Resource, ResourceExt,
    api::ListParams,
    runtime::reflector::{ObjectRef, Store},
};

use super::{
    error::ObserveError,
    known::{Guarded, Known, Says},
    reader::Reader,
};
use crate::{
    api::{Before, DatabaseMigration, MigrationGate, Reason, RunStatus, entry},
    plan::{
        facts::{Dependency, Rival},
        order::{self, Member},
    },
};

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
    if *before == Before::default() && !reader.context.index.may_have_neighbours(&Known::of(object)) {
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
    let own = Known::of(object);
    let same = |other: &&DatabaseMigration| shares_database(&Known::of(other), &own);
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

fn shares_database(other: &Known, object: &Known) -> bool {
    let (Some(others), Some(own)) = (&other.says, &object.says) else { return false };
    are_neighbours(other, object) && others.database == own.database
}

fn are_neighbours(one: &Known, other: &Known) -> bool {
    let (one, other) = (one.meta(), other.meta());
    one.namespace == other.namespace && one.name != other.name
}

/// What the watches have seen. It decides only who is woken and what is worth reading, never what is done.
#[derive(Clone, Debug, Default)]
pub struct Index(Vec<Store<Known>>);

impl Index {
    /// An index over these caches. Without any, everything is worth reading.
    pub const fn new(stores: Vec<Store<Known>>) -> Self {
        Self(stores)
    }

    fn may_have_neighbours(&self, object: &Known) -> bool {
        let concerns = |other: &Known| shares_database(other, object) || asks_for_a_version_of(other, object);
        self.0.is_empty() || self.0.iter().any(|store| store.find(concerns).is_some())
    }

    /// Everything that was seen.
    pub fn all(&self) -> Vec<std::sync::Arc<Known>> {
        self.0.iter().flat_map(Store::state).collect()
    }
}

/// Everyone of `namespace` in the cache for whom `concerned` holds.
pub fn matching(
    store: &Store<Known>,
    namespace: Option<&str>,
    concerned: impl Fn(&Known) -> bool,
) -> Vec<ObjectRef<Known>> {
    store
        .state()
        .into_iter()
        .filter(|other| other.meta().namespace.as_deref() == namespace)
        .filter(|other| other.says.is_some() && concerned(other))
        .map(|other| ObjectRef::from_obj(&*other))
        .collect()
}

/// It waits for a version of `object`, so the run of `object` has to answer for that version.
fn asks_for_a_version_of(other: &Known, object: &Known) -> bool {
    let name = object.meta().name.as_deref();
    let mut wishes = other.says.iter().flat_map(|says| &says.depends_on);
    other.meta().namespace == object.meta().namespace
        && wishes.any(|wish| wish.min_version.is_some() && Some(wish.name.as_str()) == name)
}

/// The objects that wait for this one, of which it requires a version, or that run on the same database. An
/// edit of any member may cut a cycle.
pub fn affected_by(object: &Known, other: &Known) -> bool {
    let (Some(own), Some(others)) = (&object.says, &other.says) else { return false };
    let name = object.meta().name.as_deref();
    let named = || others.depends_on.iter().any(|dependency| Some(dependency.name.as_str()) == name);
    let follows = || match (&own.group, &others.group) {
        (Some(group), Some(others)) => group.name == others.name && group.position < others.position,
        _ => false,
    };
    named()
        || follows()
        || asks_for_a_version_of(object, other)
        || is_in_a_cycle(others)
        || shares_database(other, object)
}

fn is_in_a_cycle(says: &Says) -> bool {
    says.ready.is_some_and(|(_, reason)| reason == Reason::DependencyCycle)
}

/// The objects that read this ConfigMap.
pub fn reads(other: &Known, config_map: &str) -> bool {
    other.says.iter().flat_map(|says| &says.config_maps).any(|name| name == config_map)
}

/// The objects that verified something that the gate no longer says.
pub fn misses(other: &Known, gate: &MigrationGate) -> bool {
    let name = other.name_any();
    let mut applied = other.says.iter().flat_map(|says| &says.applied);
    applied.any(|applied| !gate.spec.satisfied.contains(&entry(&name, applied)))
}
