//! What must hold after every single step, read from what is published and held against what really happened.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sluice::api::{ANNOTATION_ABORT, ANNOTATION_HELD, ANNOTATION_RETRY, DatabaseMigrationStatus, entry};

use super::{
    api_server::Cluster, changes::Change, coverage::Coverage, people::key, postgres::Postgres, truth::Truth,
    world::Failure,
};

/// How many runs a status remembers.
const HISTORY: usize = 10;

/// Watches everything that is published.
pub struct Watchman {
    /// Two instances may take themselves for the leader, so two may each create a Job.
    two_leaders: bool,
    /// Entries that were in the gate at any time.
    published: BTreeSet<String>,
    /// What each Job was created for.
    jobs: BTreeMap<String, Begun>,
    /// When a person asked for another attempt at a DatabaseMigration, by the revision.
    retried: BTreeMap<String, u64>,
    /// The Jobs that a person has named to be aborted.
    aborted: BTreeSet<String>,
}

/// What a Job was created for.
struct Begun {
    digest: String,
    verifies: bool,
    manifest: Value,
    /// When, by the revision.
    revision: u64,
}

impl Watchman {
    pub const fn new(two_leaders: bool) -> Self {
        Self {
            two_leaders,
            published: BTreeSet::new(),
            jobs: BTreeMap::new(),
            retried: BTreeMap::new(),
            aborted: BTreeSet::new(),
        }
    }

    /// Every migration was run exactly once in each database that has it, and in time.
    #[expect(clippy::unused_self, reason = "one of the questions that the watchman answers")]
    pub fn databases(&self, postgres: &Postgres, truth: &Truth) -> Result<(), Failure> {
        if let Some(late) = &truth.late {
            return Err(Failure::new("window", late));
        }
        for (name, database) in postgres.all() {
            let twice = database.executed.iter().find(|(_, times)| **times != 1);
            if let Some((migration, times)) = twice {
                return Err(Failure::new(
                    "exactly once",
                    format!("{migration} was run {times} times in {name}"),
                ));
            }
        }
        Ok(())
    }

    /// Judges a change.
    pub fn see(
        &mut self,
        change: &Change,
        cluster: &Cluster,
        truth: &Truth,
        coverage: &mut Coverage,
    ) -> Result<(), Failure> {
        let Some(after) = &change.after else { return Ok(()) };
        let before = change.before.as_deref();
        match change.key.0.as_str() {
            "databasemigrations" => {
                counts(before, after, coverage);
                self.wishes(change, before, after);
                self.status(before, after, truth)
            }
            "migrationgates" => self.gate(before, after, truth),
            "jobs" if before.is_none() => self.job(change, after, cluster, truth),
            "pods" => pod(&change.key.2, truth),
            "deployments" => workload(before, after, truth, coverage),
            _ => Ok(()),
        }
    }

    /// A person asks for another attempt.
    fn wishes(&mut self, change: &Change, before: Option<&Value>, after: &Value) {
        let word = |object: &Value| object["metadata"]["annotations"][ANNOTATION_RETRY].clone();
        if before.is_some_and(|before| word(before) != word(after)) {
            self.retried.insert(change.key.2.clone(), change.revision);
        } else if before.is_none() {
            self.retried.remove(&change.key.2);
        }
        let job = after["metadata"]["annotations"][ANNOTATION_ABORT].as_str();
        self.aborted.extend(job.map(ToOwned::to_owned));
    }

    /// Only a run is aborted that a person has named.
    fn aborts(&self, after: &Value) -> Result<(), Failure> {
        let status = parsed(&after["status"]);
        let unwanted = status.history.iter().filter(|entry| entry.reason == "Aborting").find(|entry| {
            self.jobs.get(&entry.job).is_some_and(|begun| !begun.verifies)
                && !self.aborted.contains(&entry.job)
        });
        match unwanted {
            Some(entry) => Err(Failure::new("abort", format!("{} was aborted, and by no person", entry.job))),
            None => Ok(()),
        }
    }

    /// A person has aborted a run of this object.
    pub fn was_aborted(&self, status: &DatabaseMigrationStatus) -> bool {
        status.history.iter().any(|entry| entry.reason == "Aborting" && self.aborted.contains(&entry.job))
    }

    /// What has changed since the Job of a run was created, so that another run has to follow.
    pub fn outdated(&self, object: &Value, job: &str, cluster: &Cluster) -> Option<&'static str> {
        let begun = self.jobs.get(job)?;
        let spec = &object["spec"];
        let found = |kind: &str, name: &Value| cluster.objects.get(&key(kind, name.as_str()?));
        let source = found("configmaps", &spec["migrations"]["configMaps"][0])
            .and_then(|map| map["metadata"]["resourceVersion"].as_str()?.parse::<u64>().ok());
        if source.is_some_and(|source| source > begun.revision) {
            return Some("its source");
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if self.retried.get(name).is_some_and(|retried| *retried > begun.revision) {
            return Some("the annotation that asks for another attempt");
        }
        let deadline = found("migrationpolicies", &spec["policyRef"]["name"])
            .map(|policy| &policy["spec"]["apply"]["deadline"])
            .filter(|_| spec["apply"]["deadline"].is_null());
        let other = deadline.is_some_and(|deadline| begun.manifest["spec"]["apply"]["deadline"] != *deadline);
        other.then_some("its policy")
    }

    /// One Job for each attempt, and never a second one beside it.
    fn job(&mut self, change: &Change, job: &Value, cluster: &Cluster, truth: &Truth) -> Result<(), Failure> {
        let name = &change.key.2;
        let owner = &job["metadata"]["ownerReferences"][0]["uid"];
        let open = |other: &Value| {
            other["metadata"]["ownerReferences"][0]["uid"] == *owner
                && !other["status"]["conditions"].is_array()
        };
        let active = cluster.all("jobs").iter().filter(|(_, other)| open(other)).count();
        if active > 1 && !self.two_leaders {
            return Err(Failure::new(
                "one Job for each attempt",
                format!("{name} was created beside another Job"),
            ));
        }
        if truth.migrations_of(name) > 0 {
            return Err(Failure::new(
                "one Job for each attempt",
                format!("{name} was created again after it had migrated"),
            ));
        }
        let digest = job["metadata"]["labels"]["sluice.dev/digest"].as_str().unwrap_or_default().to_owned();
        let variables =
            job["spec"]["template"]["spec"]["containers"][0]["env"].as_array().into_iter().flatten();
        let purpose = |variable: &&Value| variable["name"] == "SLUICE_PURPOSE";
        let verifies = variables.clone().find(purpose).is_some_and(|found| found["value"] == "Verify");
        let spec = variables.into_iter().find(|variable| variable["name"] == "SLUICE_SPEC");
        let spec = spec.and_then(|variable| variable["value"].as_str()).map(|text| text.replace("$$", "$"));
        let manifest = spec.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let begun = Begun { digest: digest.clone(), verifies, manifest, revision: change.revision };
        if self.jobs.insert(name.to_owned(), begun).is_some_and(|former| former.digest != digest) {
            return Err(Failure::new(
                "one Job for each attempt",
                format!("{name} was created for two digests"),
            ));
        }
        Ok(())
    }

    /// What is in the gate is applied and verified, and nothing that was in it goes.
    fn gate(&mut self, before: Option<&Value>, after: &Value, truth: &Truth) -> Result<(), Failure> {
        let entries = |gate: &Value| -> BTreeSet<String> {
            serde_json::from_value(gate["spec"]["satisfied"].clone()).unwrap_or_default()
        };
        let now = entries(after);
        if let Some(unproven) = now.iter().find(|entry| !truth.proven.contains(*entry)) {
            return Err(Failure::new(
                "gate",
                format!("{unproven} is in the gate and was not applied and verified"),
            ));
        }
        if let Some(lost) = before.map(entries).unwrap_or_default().difference(&now).next() {
            return Err(Failure::new("gate", format!("{lost} was taken out of the gate")));
        }
        self.published.extend(now);
        Ok(())
    }

    fn status(&self, before: Option<&Value>, after: &Value, truth: &Truth) -> Result<(), Failure> {
        let Some(before) = before.filter(|before| before["status"] != after["status"]) else { return Ok(()) };
        remembers(&before["status"], &after["status"])?;
        self.aborts(after)?;
        let ready = &after["status"]["conditions"][0];
        if ready["type"] == "Ready" && ready["status"] == "True" { self.ready(after, truth) } else { Ok(()) }
    }

    /// Ready is True only for what is applied and verified, for the newest spec, and with the gate open.
    fn ready(&self, object: &Value, truth: &Truth) -> Result<(), Failure> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let untrue = |why: String| Err(Failure::new("Ready", format!("{name} is Ready, and {why}")));
        let generation = &object["metadata"]["generation"];
        if object["status"]["conditions"][0]["observedGeneration"] != *generation {
            return untrue(format!("its generation is {generation}: {}", object["status"]["conditions"][0]));
        }
        let status = parsed(&object["status"]);
        let Some(run) = &status.run else { return untrue("no run is told of".into()) };
        let verified = truth.ended.get(&run.job).is_some_and(|end| end.reason.is_ready());
        if !verified || run.finished_at.is_none() || run.reason.as_deref() != Some("Verified") {
            return untrue(format!("its run {} did not end so: {:?}", run.job, truth.ended.get(&run.job)));
        }
        match self.jobs.get(&run.job) {
            Some(begun) if begun.digest != run.digest => {
                return untrue(format!("{} is of another digest", run.job));
            }
            Some(begun) => {
                if let Some(field) = differs(&object["spec"], &begun.manifest["spec"]) {
                    return untrue(format!("{} was made for another {field}", run.job));
                }
            }
            None => return untrue(format!("no instance created {}", run.job)),
        }
        let applied = status.applied.iter().map(|applied| entry(name, &applied.name));
        match applied.into_iter().find(|entry| !self.published.contains(entry)) {
            Some(entry) => untrue(format!("the gate never had {entry}")),
            None => Ok(()),
        }
    }
}

/// What a status says for the first time.
fn counts(before: Option<&Value>, after: &Value, coverage: &mut Coverage) {
    let reason = |object: &Value| object["status"]["conditions"][0]["reason"].clone();
    if before.map(reason) != Some(reason(after)) {
        let waits = match reason(after).as_str().unwrap_or_default() {
            "WindowClosed" => Some("a run waits for a window"),
            "DependencyNotReady" => Some("a run waits for a dependency"),
            "DependencyCycle" => Some("a run waits for a cycle"),
            "DatabaseBusy" => Some("a run waits for another one of its database"),
            "Aborting" => Some("a run is aborted"),
            "Aborted" => Some("what an aborted run left is read"),
            _ => None,
        };
        if let Some(kind) = waits {
            coverage.saw(kind);
        }
    }
    let attempt = |object: &Value| object["status"]["run"]["attempt"].as_u64().unwrap_or(0);
    if attempt(after) > before.map_or(0, attempt).max(1) {
        coverage.saw("a run fails and another attempt follows");
    }
}

/// The first field by which people told the run something else.
fn differs(spec: &Value, of_the_job: &Value) -> Option<&'static str> {
    let fields = [
        ("apply.deadline", "/apply/deadline"),
        ("migrations.configMaps", "/migrations/configMaps"),
        ("database.secretRef.name", "/database/secretRef/name"),
        ("verify.every", "/verify/every"),
    ];
    let other = |(_, path): &&(&str, &str)| {
        spec.pointer(path).is_some_and(|value| of_the_job.pointer(path) != Some(value))
    };
    fields.iter().find(other).map(|(name, _)| *name)
}

pub fn parsed(status: &Value) -> DatabaseMigrationStatus {
    serde_json::from_value(status.clone()).unwrap_or_default()
}

/// A status forgets no run that ended, no snapshot, and no generation that it has seen.
fn remembers(before: &Value, after: &Value) -> Result<(), Failure> {
    let (before, after) = (parsed(before), parsed(after));
    let forgotten = |what: String| Err(Failure::new("the record", what));
    if after.observed_generation < before.observed_generation {
        return forgotten(format!(
            "the generation went from {} to {}",
            before.observed_generation, after.observed_generation
        ));
    }
    // A run that was only announced may be taken back; one that ended is told of until another one is announced.
    let ended = before.run.as_ref().is_some_and(|run| run.finished_at.is_some());
    if ended && after.run.is_none() || before.snapshot.is_some() && after.snapshot.is_none() {
        return forgotten("the run, or the snapshot, is no longer told of".into());
    }
    // Of verifications that only confirm one another the first and the last stay, and of all runs the last ten.
    let confirms = |reason: &str| reason == "Verified";
    let kept = |job: &str| after.history.iter().any(|entry| entry.job == job);
    let oldest = before.history.len().saturating_sub(usize::from(before.history.len() == HISTORY));
    if let Some(entry) =
        before.history.iter().take(oldest).find(|entry| !confirms(&entry.reason) && !kept(&entry.job))
    {
        return forgotten(format!("the end of {} is gone", entry.job));
    }
    let ended = before
        .run
        .as_ref()
        .filter(|run| run.finished_at.is_some() && !confirms(run.reason.as_deref().unwrap_or_default()));
    match ended.filter(|run| !kept(&run.job)) {
        Some(run) => forgotten(format!("how {} ended is not in the history", run.job)),
        None => Ok(()),
    }
}

/// Of one Job one Pod migrates, once.
fn pod(name: &str, truth: &Truth) -> Result<(), Failure> {
    let job = name.strip_suffix("-pod").unwrap_or(name);
    if truth.migrations_of(job) > 1 {
        return Err(Failure::new("one Job for each attempt", format!("two Pods of {job} migrated")));
    }
    Ok(())
}

/// What is let go requires only what is applied and verified.
fn workload(
    before: Option<&Value>,
    after: &Value,
    truth: &Truth,
    coverage: &mut Coverage,
) -> Result<(), Failure> {
    let held = |object: &Value| object["metadata"]["annotations"][ANNOTATION_HELD].is_string();
    if !before.is_some_and(held)
        || held(after)
        || before.map(|before| &before["spec"]["template"]) != Some(&after["spec"]["template"])
    {
        return Ok(());
    }
    coverage.saw("a workload is let go");
    let annotations =
        after["spec"]["template"]["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    for (annotation, version) in annotations {
        let name = annotation.strip_prefix("requires.sluice.dev/").unwrap_or_default();
        let required = entry(name, version.as_str().unwrap_or_default());
        if !truth.proven.contains(&required) {
            return Err(Failure::new("gate", format!("a workload was let go that requires {required}")));
        }
    }
    Ok(())
}
