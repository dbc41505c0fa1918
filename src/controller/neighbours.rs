//! The other DatabaseMigrations of a namespace: those that must be Ready first, and those of the same database.

use kube::{
    Api, ResourceExt,
    api::ListParams,
    core::DeserializeGuard,
    runtime::reflector::{ObjectRef, Store},
};

use super::{error::ObserveError, observe::Reader};
use crate::{
    api::{ConditionType, DatabaseMigration, MigrationGate, entry},
    plan::facts::{Dependency, DependencyState, Rival},
};

/// A DatabaseMigration that is there, readable or not.
pub type Guarded = DeserializeGuard<DatabaseMigration>;

/// Reads what concerns one object. Most have no neighbours, and then nothing is read.
pub(super) async fn read(reader: &Reader<'_>, object: &DatabaseMigration) -> Result<(Vec<Dependency>, Vec<Rival>), ObserveError> {
    if object.spec.before.depends_on.is_empty() && !reader.context.index.may_have_rivals(object) {
        return Ok((Vec::new(), Vec::new()));
    }
    let api: Api<Guarded> = Api::namespaced(reader.context.client.clone(), reader.namespace);
    let listed = reader.named("the neighbours", api.list(&ListParams::default()).await)?;
    let all: Vec<DatabaseMigration> = listed.items.into_iter().filter_map(|guarded| guarded.0.ok()).collect();
    Ok((dependencies(object, &all), rivals(reader, object, &all).await?))
}

fn dependencies(object: &DatabaseMigration, all: &[DatabaseMigration]) -> Vec<Dependency> {
    let own = object.name_any();
    let state = |name: &str| match all.iter().find(|other| other.name_any() == name) {
        None => DependencyState::Missing,
        Some(other) if waits_for(other, &own, all) => DependencyState::Circular,
        Some(other) => readiness(other),
    };
    let names = object.spec.before.depends_on.iter().map(|dependency| dependency.name.clone());
    names.map(|name| Dependency { state: state(&name), name }).collect()
}

/// Whether `object` waits for `target`, directly or through others.
fn waits_for(object: &DatabaseMigration, target: &str, all: &[DatabaseMigration]) -> bool {
    let mut seen: Vec<String> = Vec::new();
    let mut next = vec![object];
    while let Some(object) = next.pop() {
        for dependency in &object.spec.before.depends_on {
            if dependency.name == target {
                return true;
            }
            if !seen.contains(&dependency.name) {
                seen.push(dependency.name.clone());
                next.extend(all.iter().filter(|other| other.name_any() == dependency.name));
            }
        }
    }
    false
}

/// Ready counts only for the generation it was said of.
fn readiness(object: &DatabaseMigration) -> DependencyState {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    match conditions.into_iter().find(|condition| condition.type_ == ConditionType::Ready.name()) {
        Some(ready) if ready.observed_generation != object.metadata.generation => DependencyState::NotReady("Pending".to_owned()),
        Some(ready) if ready.status == "True" => DependencyState::Ready,
        Some(ready) => DependencyState::NotReady(ready.reason.clone()),
        None => DependencyState::NotReady("Pending".to_owned()),
    }
}

async fn rivals(reader: &Reader<'_>, object: &DatabaseMigration, all: &[DatabaseMigration]) -> Result<Vec<Rival>, ObserveError> {
    let claims = |other: &&DatabaseMigration| {
        let run = other.status.as_ref().and_then(|status| status.run.as_ref());
        run.is_some_and(|run| run.finished_at.is_none())
    };
    let same = |other: &&DatabaseMigration| shares_database(other, object);
    let rivals: Vec<&DatabaseMigration> = all.iter().filter(same).filter(claims).collect();
    let names: Vec<String> = rivals.iter().map(|rival| rival.name_any()).collect();
    let running = reader.are_running(&names).await?;
    let age = |object: &DatabaseMigration| (object.creation_timestamp().map(|time| time.0), object.name_any());
    let rival = |(rival, running): (&&DatabaseMigration, bool)| Rival { name: rival.name_any(), running, older: age(rival) < age(object) };
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

    fn may_have_rivals(&self, object: &DatabaseMigration) -> bool {
        self.0.is_empty() || self.all().iter().filter_map(|other| other.0.as_ref().ok()).any(|other| shares_database(other, object))
    }

    /// Everything that was seen.
    pub fn all(&self) -> Vec<std::sync::Arc<Guarded>> {
        self.0.iter().flat_map(Store::state).collect()
    }
}

/// Everyone of `namespace` in the cache for whom `concerned` holds.
pub fn whoever(store: &Store<Guarded>, namespace: Option<&str>, concerned: impl Fn(&DatabaseMigration) -> bool) -> Vec<ObjectRef<Guarded>> {
    store
        .state()
        .into_iter()
        .filter(|other| other.namespace().as_deref() == namespace)
        .filter(|other| other.0.as_ref().is_ok_and(&concerned))
        .map(|other| ObjectRef::from_obj(&*other))
        .collect()
}

/// Whoever waits for this object, or runs on the same database.
pub fn affected_by(object: &DatabaseMigration, other: &DatabaseMigration) -> bool {
    let name = object.name_any();
    other.spec.before.depends_on.iter().any(|dependency| dependency.name == name) || shares_database(other, object)
}

/// Whoever reads this ConfigMap.
pub fn reads(other: &DatabaseMigration, config_map: &str) -> bool {
    other.spec.migrations.reads(config_map)
}

/// Whoever verified something that the gate no longer says.
pub fn misses(other: &DatabaseMigration, gate: &MigrationGate) -> bool {
    let name = other.name_any();
    let applied = other.status.iter().flat_map(|status| &status.applied);
    applied.into_iter().any(|applied| !gate.spec.satisfied.contains(&entry(&name, &applied.name)))
}
