//! Reads everything that a decision may depend on, and decides nothing. Every read is fresh, because a cache
//! may lag behind the write that this very controller made a moment ago. Content of ConfigMaps is never read,
//! and Secrets not at all.

use futures::future::{join_all, try_join_all};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
    core::ApiResource,
};
use serde_json::Value;

use super::{
    Context,
    error::ObserveError,
    neighbours::{self, Neighbours},
    policies::{self, InForce},
    reader::Reader,
    required,
    runs::{self, StoredJob, StoredPod, Work},
};
use crate::{
    api::{
        ANNOTATION_ABORT, ANNOTATION_PAUSED, ANNOTATION_RETRY, DatabaseMigration, DatabaseMigrationSpec,
        DatabaseMigrationStatus, GATE_NAME, LABEL_MIGRATION, MigrationGate, Pods,
    },
    contract::{Leg, Purpose, Route},
    objects::{Images, fingerprint, job, work},
    plan::{
        facts::{Facts, Fingerprint, PolicyFact, Run, SourceFact},
        step::JobOrder,
    },
    validate::{Source, ValidatedMigration, Violation, validate},
};

/// What was read.
#[derive(Debug)]
pub struct Observed {
    /// The object with what its policy says; `None` when its spec cannot be read at all.
    pub object: Option<DatabaseMigration>,
    /// Its resourceVersion when it was read.
    pub version: Option<String>,
    /// The resourceVersion of the MigrationGate; `None` when there is none.
    pub gate_version: Option<String>,
    /// How the Pods of its runs are placed, and how much they may use.
    pub pods: Pods,
    /// What there is to know about it.
    pub facts: Facts,
}

/// Reads one DatabaseMigration and what belongs to it. An object that is gone is no error.
pub async fn observe(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Option<Observed>, ObserveError> {
    let reader = Reader { context, namespace, name };
    // As it was written: the policy is merged into it before anything is read as a type, and its defaults
    // with it.
    let kind = ApiResource::erase::<DatabaseMigration>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &kind);
    let Some(written) = reader.named("the spec", api.get_opt(name).await)? else { return Ok(None) };
    let InForce { object, policy, pods } = policies::read(&reader, &written).await?;
    match object {
        Ok(object) => {
            reader.readable(object, policy).await.map(|observed| Some(Observed { pods, ..observed }))
        }
        Err(problem) => Ok(Some(reader.unreadable(&written, policy, &problem))),
    }
}

/// Whether the object is still the one that was read, with everything that was read after it in between.
pub async fn is_unchanged(context: &Context, observed: &Observed) -> Result<bool, ObserveError> {
    let Facts { namespace, name, .. } = &observed.facts;
    let api: Api<DatabaseMigration> = Api::namespaced(context.client.clone(), namespace);
    let found = Reader { context, namespace, name }.named("the version", api.get_metadata_opt(name).await)?;
    Ok(found.is_some_and(|found| found.resource_version() == observed.version))
}

impl Reader<'_> {
    async fn readable(
        &self,
        object: DatabaseMigration,
        policy: PolicyFact,
    ) -> Result<Observed, ObserveError> {
        // Without the policy Sluice cannot say what is in force, but what is under way is observed all the
        // same.
        let migration =
            if matches!(policy, PolicyFact::Missing(_)) { Err(Vec::new()) } else { validate(&object) };
        let works = migration.as_ref().map(|migration| works_now(&object, migration, self.context));
        let works = works.unwrap_or_default();
        let (runs, shared, source, required, neighbours) = futures::try_join!(
            self.runs(object.uid().unwrap_or_default(), &works),
            self.shared_gate(),
            self.source(migration.as_ref().ok()),
            required::read(self),
            neighbours::read(self, &object),
        )?;
        let spec = canonical(&object);
        let published = object.status.clone().unwrap_or_default();
        let bare = self.bare(&object.metadata, published);
        let gate_version = shared.as_ref().and_then(ResourceExt::resource_version);
        let own = format!("{}@", self.name);
        let shared = shared.map(|gate| gate.spec).unwrap_or_default();
        let gate_database = shared
            .databases
            .into_iter()
            .find(|database| database.name == self.name)
            .map(|database| database.identity);
        let gate = shared.satisfied.into_iter().filter(|entry| entry.starts_with(&own)).collect();
        let fingerprint = |work: &Work| Fingerprint { leg: work.leg, work: fingerprint(&work.work) };
        let fingerprints = works.iter().map(fingerprint).collect();
        let Neighbours { dependencies, rivals, required: by_others } = neighbours;
        let required = required.into_iter().chain(by_others).collect();
        let facts = Facts {
            route: route_of(migration.as_ref().ok(), self.context),
            policy,
            migration,
            spec,
            source,
            dependencies,
            rivals,
            fingerprints,
            runs,
            gate,
            gate_database,
            required,
            ..bare
        };
        Ok(Observed {
            version: object.resource_version(),
            object: Some(object),
            gate_version,
            pods: Pods::default(),
            facts,
        })
    }

    /// A spec of a newer version of Sluice: shown as invalid, and nothing else is done with it.
    fn unreadable(&self, object: &DynamicObject, policy: PolicyFact, problem: &str) -> Observed {
        let status = object.data.get("status").cloned().unwrap_or_default();
        let problem = format!("this version of Sluice cannot read it: {problem}");
        let migration = Err(vec![Violation { field: "spec".into(), problem }]);
        let bare = self.bare(&object.metadata, serde_json::from_value(status).unwrap_or_default());
        Observed {
            object: None,
            version: object.resource_version(),
            gate_version: None,
            pods: Pods::default(),
            facts: Facts { policy, migration, ..bare },
        }
    }

    /// What metadata and status say; the rest is not read yet.
    fn bare(&self, metadata: &ObjectMeta, published: DatabaseMigrationStatus) -> Facts {
        let uid = metadata.uid.clone().unwrap_or_default();
        Facts {
            name: self.name.to_owned(),
            namespace: self.namespace.to_owned(),
            refused_step: self.context.failures.refused_step(&uid),
            progress: None,
            by_hand: false,
            uid,
            generation: metadata.generation.unwrap_or_default(),
            deleting: metadata.deletion_timestamp.is_some(),
            published,
            policy: PolicyFact::NotNamed,
            migration: Err(Vec::new()),
            spec: String::new(),
            retry: annotation(metadata, ANNOTATION_RETRY),
            abort: annotation(metadata, ANNOTATION_ABORT),
            paused: annotation(metadata, ANNOTATION_PAUSED).is_some_and(|value| value != "false"),
            source: SourceFact::Unknown,
            dependencies: Vec::new(),
            rivals: Vec::new(),
            route: self.context.route,
            fingerprints: Vec::new(),
            runs: Vec::new(),
            gate: Vec::new(),
            gate_database: None,
            required: Vec::new(),
        }
    }

    async fn runs(&self, uid: String, works: &[Work]) -> Result<Vec<Run>, ObserveError> {
        let ours = ListParams::default().labels(&format!("{LABEL_MIGRATION}={}", self.name));
        let jobs: Api<StoredJob> = Api::namespaced(self.context.client.clone(), self.namespace);
        let pods: Api<StoredPod> = Api::namespaced(self.context.client.clone(), self.namespace);
        let (jobs, pods) = futures::join!(jobs.list(&ours), pods.list(&ours));
        Ok(runs::runs(
            &uid,
            &self.named("the Jobs", jobs)?.items,
            &self.named("the Pods", pods)?.items,
            self.context.route,
            works,
        ))
    }

    /// The gate of the namespace, if there is one yet.
    async fn shared_gate(&self) -> Result<Option<MigrationGate>, ObserveError> {
        let api: Api<MigrationGate> = Api::namespaced(self.context.client.clone(), self.namespace);
        self.named("the MigrationGate", api.get_opt(GATE_NAME).await)
    }

    /// Every entry of the gate, whomever it belongs to.
    pub(super) async fn satisfied(&self) -> Result<Vec<String>, ObserveError> {
        Ok(self.shared_gate().await?.map(|gate| gate.spec.satisfied).unwrap_or_default())
    }

    /// Of ConfigMaps only the metadata.
    async fn source(&self, migration: Option<&ValidatedMigration>) -> Result<SourceFact, ObserveError> {
        let Some(migration) = migration else { return Ok(SourceFact::Unknown) };
        let image = if let Source::Image { reference, .. } = &migration.source {
            Some(reference.clone())
        } else {
            None
        };
        let names = migration.config_maps();
        let api: Api<ConfigMap> = Api::namespaced(self.context.client.clone(), self.namespace);
        let found = self.named(
            "the ConfigMaps",
            try_join_all(names.iter().map(|name| api.get_metadata_opt(name))).await,
        )?;
        let missing: Vec<String> = names
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .map(|(name, _)| (*name).to_owned())
            .collect();
        if !missing.is_empty() {
            return Ok(SourceFact::Missing { names: missing });
        }
        // Not a part of the source, but a run that failed for it has to be made again with another one. That
        // it is missing a stage says.
        let authority = match &migration.authority {
            Some((name, _)) => {
                self.named("the ConfigMap of spec.database.tls.caFrom", api.get_metadata_opt(name).await)?
            }
            None => None,
        };
        let revision = |map: &kube::core::PartialObjectMeta<ConfigMap>| {
            format!(
                "{}@{}@{}",
                map.name_any(),
                map.uid().unwrap_or_default(),
                map.resource_version().unwrap_or_default()
            )
        };
        let revisions = image.into_iter().chain(found.iter().flatten().chain(&authority).map(revision));
        Ok(SourceFact::Found { revision: revisions.collect::<Vec<_>>().join(",") })
    }

    /// Whether a DatabaseMigration of this namespace has a Job that has not ended.
    pub(super) async fn is_running(&self, name: &str) -> Result<bool, ObserveError> {
        let jobs: Api<StoredJob> = Api::namespaced(self.context.client.clone(), self.namespace);
        let theirs = ListParams::default().labels(&format!("{LABEL_MIGRATION}={name}"));
        Ok(self.named("the Jobs of a rival", jobs.list(&theirs).await)?.items.iter().any(runs::is_active))
    }

    /// Reads several at once.
    pub(super) async fn are_running(&self, names: &[String]) -> Result<Vec<bool>, ObserveError> {
        join_all(names.iter().map(|name| self.is_running(name))).await.into_iter().collect()
    }
}

fn annotation(metadata: &ObjectMeta, name: &str) -> Option<String> {
    metadata.annotations.as_ref()?.get(name).cloned()
}

/// The route of a run that may change something, as the manifest asks for it.
fn route_of(migration: Option<&ValidatedMigration>, context: &Context) -> Route {
    context.route.rehearsing(migration.is_some_and(|migration| migration.rehearsal.is_some()))
}

/// What the Jobs do that were created now, for each leg whose Pod does something of its own.
fn works_now(object: &DatabaseMigration, migration: &ValidatedMigration, context: &Context) -> Vec<Work> {
    let mut works: Vec<Work> = Vec::new();
    for leg in route_of(Some(migration), context).legs().chain(Purpose::Verify.route().legs()) {
        if !works.iter().any(|known| known.leg.works_as(leg)) {
            works.push(Work { leg, work: work_now(object, migration, (leg, &context.images)) });
        }
    }
    works
}

fn work_now(
    object: &DatabaseMigration,
    migration: &ValidatedMigration,
    (leg, images): (Leg, &Images),
) -> Value {
    let order = JobOrder {
        job: String::new(),
        digest: String::new(),
        attempt: 0,
        purpose: Purpose::Apply,
        leg,
        deadline: None,
        ends_by: None,
        required: Vec::new(),
    };
    let job = job(object, migration, &order, images, &Pods::default());
    work(&serde_json::to_value(job.spec).expect("a Job made of plain values can be written as JSON"))
}

/// The spec as far as it decides what a run does: `suspend` and gates only say when.
fn canonical(object: &DatabaseMigration) -> String {
    let before = object.spec.before.without_gates();
    let spec = DatabaseMigrationSpec { suspend: false, before, ..object.spec.clone() };
    serde_json::to_string(&spec).expect("a spec that was read from JSON can be written as JSON")
}
