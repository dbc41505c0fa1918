//! Where everything must end once nothing goes wrong any more: Ready, or a reason that is right.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;
use sluice::api::{ANNOTATION_HELD, ANNOTATION_PAUSED, ANNOTATION_REQUIRES, DatabaseMigrationStatus, entry};

use super::{api_server::Key, invariants::parsed, people::key, windows, world::World};

/// What is not at its end, in words.
pub fn unfinished(world: &World) -> Option<String> {
    let objects = world.cluster.all("databasemigrations");
    let migrations = objects.iter().find_map(|(key, object)| {
        let why = Standing::of(world, object).unfinished()?;
        Some(format!("{}: {why}; its status: {:#}", key.2, object["status"]))
    });
    migrations.or_else(|| workloads(world))
}

/// Whether something is verified or begun again and again, so that the world is never still.
pub fn repeats(world: &World) -> bool {
    let every = |object: &Value| object["spec"]["verify"]["every"].is_string();
    let all = world.cluster.all("databasemigrations");
    all.iter().any(|(_, object)| every(object) || Standing::of(world, object).comes_and_goes())
}

/// A DatabaseMigration, and how it stands.
struct Standing<'a> {
    world: &'a World,
    object: &'a Value,
    status: DatabaseMigrationStatus,
    reason: String,
    ready: bool,
}

impl<'a> Standing<'a> {
    fn of(world: &'a World, object: &'a Value) -> Self {
        let ready = &object["status"]["conditions"][0];
        let reason = ready["reason"].as_str().unwrap_or_default().to_owned();
        Self { world, object, status: parsed(&object["status"]), reason, ready: ready["status"] == "True" }
    }

    fn there(&self, kind: &str, name: &Value) -> bool {
        self.world.cluster.objects.contains_key(&key(kind, name.as_str().unwrap_or_default()))
    }

    /// Why it is not at its end; `None` when it is.
    fn unfinished(&self) -> Option<String> {
        if self.object["metadata"]["deletionTimestamp"].is_string() {
            return Some("it is being deleted".into());
        }
        if self.status.observed_generation != self.object["metadata"]["generation"] {
            return Some(format!("generation {} was not seen", self.object["metadata"]["generation"]));
        }
        let spec = &self.object["spec"];
        let policy = &spec["policyRef"]["name"];
        let must = |holds: bool, reason: &str| {
            holds.then(|| (self.reason != reason).then(|| format!("{reason} is expected")))
        };
        let invalid = spec["apply"]["deadline"] == "1s";
        let map = &spec["migrations"]["configMaps"][0];
        must(policy.is_string() && !self.there("migrationpolicies", policy), "PolicyNotFound")
            .or_else(|| must(invalid, "InvalidSpec"))
            .or_else(|| must(!self.there("configmaps", map), "SourceNotFound"))
            .unwrap_or_else(|| if self.ready { self.is_ready_wrongly() } else { self.waits_wrongly() })
            .or_else(|| self.is_unasked())
    }

    /// A version that a workload waits for, of which the database was not asked yet. A clock that was set back, or an
    /// answer before it, only delays that.
    fn is_unasked(&self) -> Option<String> {
        let starts_nothing = self.object["spec"]["suspend"] == true || self.is_paused();
        if !self.ready || starts_nothing || self.waits_for_a_secret() || self.set_back() {
            return None;
        }
        let name = self.object["metadata"]["name"].as_str().unwrap_or_default();
        let gate = gate(self.world);
        let known = |version: &String| {
            let answers = self.status.required.iter().flat_map(|required| &required.missing);
            gate.contains(&entry(name, version)) || answers.into_iter().any(|missing| missing == version)
        };
        let held = |object: &Value| object["metadata"]["annotations"][ANNOTATION_HELD].is_string();
        let all = self.world.cluster.all("deployments");
        let held = all.iter().filter(|(_, object)| held(object));
        let required = held.flat_map(|(_, object)| requirements(object));
        let of_this = required.filter(|(other, _)| other == name).map(|(_, version)| version);
        let unasked = of_this.into_iter().find(|version| !known(version));
        unasked.map(|version| format!("a workload waits for {version}, and no run was asked for it"))
    }

    /// One of its Jobs was created while the API server's clock was ahead: none is created before that moment.
    fn set_back(&self) -> bool {
        let own = |job: &Value| {
            let mut owners = job["metadata"]["ownerReferences"].as_array().into_iter().flatten();
            owners.any(|owner| owner["uid"] == self.object["metadata"]["uid"])
        };
        let right = self.world.right();
        let created = |job: &Value| job["metadata"]["creationTimestamp"].as_str()?.parse::<Timestamp>().ok();
        let jobs = self.world.cluster.all("jobs");
        jobs.iter().any(|(_, job)| own(job) && created(job).is_some_and(|created| created > right))
    }

    /// The migrations of its source, as they are now.
    fn source(&self) -> BTreeSet<String> {
        let map = self.object["spec"]["migrations"]["configMaps"][0].as_str().unwrap_or_default();
        let data = self.world.cluster.objects.get(&key("configmaps", map)).map(|map| map["data"].clone());
        data.iter().filter_map(Value::as_object).flat_map(|data| data.keys().cloned()).collect()
    }

    fn is_ready_wrongly(&self) -> Option<String> {
        let name = self.object["metadata"]["name"].as_str().unwrap_or_default();
        let run = self.status.run.as_ref()?;
        let mounted = self
            .world
            .truth
            .ended
            .get(&run.job)
            .map(|end| end.source.iter().cloned().collect::<BTreeSet<_>>());
        if mounted.as_ref() != Some(&self.source()) {
            return Some(format!(
                "it is Ready with the source {mounted:?}, which is {:?} now",
                self.source()
            ));
        }
        if let Some(what) = self.outdated() {
            return Some(format!("it is Ready by {}, and {what} has changed since", run.job));
        }
        let gate = gate(self.world);
        let lacks = self.status.applied.iter().find(|applied| !gate.contains(&entry(name, &applied.name)));
        lacks.map(|applied| format!("the gate lacks {}", applied.name))
    }

    /// What has changed since its run began.
    fn outdated(&self) -> Option<&'static str> {
        let job = &self.status.run.as_ref()?.job;
        self.world.watchman.outdated(self.object, job, &self.world.cluster)
    }

    /// It is not Ready: whether the reason is right. What its run says is right as long as no other has to follow.
    fn waits_wrongly(&self) -> Option<String> {
        let spec = &self.object["spec"];
        let right = self.comes_and_goes()
            || match self.reason.as_str() {
                "Suspended" => spec["suspend"] == true,
                "Paused" => self.is_paused(),
                "Aborted" => self.world.watchman.was_aborted(&self.status) && self.outdated().is_none(),
                "SecretNotFound" => self.waits_for_a_secret() && self.outdated().is_none(),
                "DatabaseBusy" => self.waits_for_a_secret(),
                "WindowClosed" => self.is_held_for_hours(&spec["before"]["window"]),
                "DependencyNotReady" => self.depends(spec),
                "DependencyCycle" => self.waits_for_itself(),
                reason => self.status.run.as_ref().is_some_and(|run| {
                    let ended = self.world.truth.ended.get(&run.job);
                    let so = ended.is_some_and(|end| end.reason.name() == reason && stalls(reason));
                    so && self.outdated().is_none()
                }),
            };
        (!right).then(|| format!("it is not Ready, and {} is not right", self.reason))
    }

    fn is_paused(&self) -> bool {
        self.object["metadata"]["annotations"][ANNOTATION_PAUSED] == "true"
    }

    fn waits_for_a_secret(&self) -> bool {
        let secret = self.object["spec"]["database"]["secretRef"]["name"].as_str().unwrap_or_default();
        !self.world.nodes.secrets.contains(secret)
    }

    /// A run on its database begins whenever a window opens, waits for the Secret, and is stopped when the window closes.
    fn comes_and_goes(&self) -> bool {
        let secret = &self.object["spec"]["database"]["secretRef"];
        let all = self.world.cluster.all("databasemigrations");
        let has_a_window = |object: &Value| {
            object["spec"]["database"]["secretRef"] == *secret
                && object["spec"]["before"]["window"].is_object()
        };
        self.waits_for_a_secret() && all.iter().any(|(_, object)| has_a_window(object))
    }

    /// Whom it waits for, they wait for in the end for it.
    fn waits_for_itself(&self) -> bool {
        let all = self.world.cluster.all("databasemigrations");
        let own = self.object["metadata"]["name"].as_str().unwrap_or_default();
        let (mut reached, mut open) = (BTreeSet::new(), ahead_of(own, &all));
        while let Some(name) = open.pop() {
            if reached.insert(name.clone()) {
                open.extend(ahead_of(&name, &all));
            }
        }
        reached.contains(own)
    }

    /// Its window does not open as long as the story lasts, or not for long enough.
    fn is_held_for_hours(&self, window: &Value) -> bool {
        let (now, worthwhile) = (self.world.cluster.now, 10);
        window.is_object()
            && windows::left(window, now) <= worthwhile
            && windows::opens_in(window, now) > 3_600
    }

    /// An object goes first that is not Ready, is not there, or is in a cycle with it.
    fn depends(&self, spec: &Value) -> bool {
        let all = self.world.cluster.all("databasemigrations");
        let stands = |name: &str| {
            let found =
                all.iter().find(|(key, _)| key.2 == name).map(|(_, object)| Standing::of(self.world, object));
            found.is_some_and(|other| other.ready)
        };
        let named = spec["before"]["dependsOn"].as_array().into_iter().flatten();
        let waits = named.into_iter().any(|wish| !stands(wish["name"].as_str().unwrap_or_default()));
        let position = |object: &Value| object["spec"]["before"]["group"]["position"].as_u64();
        let own = spec["before"]["group"]["position"].as_u64().unwrap_or(0);
        let vacant = (1..own).any(|place| !all.iter().any(|(_, other)| position(other) == Some(place)));
        let ahead = all.iter().any(|(_, other)| {
            position(other).is_some_and(|place| place < own) && !Standing::of(self.world, other).ready
        });
        waits || vacant || ahead
    }
}

/// Who goes before one of them.
fn ahead_of(name: &str, all: &[(Key, Value)]) -> Vec<String> {
    let Some((_, object)) = all.iter().find(|(key, _)| key.2 == name) else { return Vec::new() };
    let before = &object["spec"]["before"];
    let named = before["dependsOn"].as_array().into_iter().flatten();
    let named = named.filter_map(|wish| wish["name"].as_str().map(ToOwned::to_owned));
    let position = |object: &Value| object["spec"]["before"]["group"]["position"].as_u64();
    let own = position(object).unwrap_or(0);
    let earlier = all.iter().filter(|(_, other)| position(other).is_some_and(|place| place < own));
    named.chain(earlier.map(|(key, _)| key.2.clone())).collect()
}

/// What a person has to mend.
fn stalls(reason: &str) -> bool {
    matches!(reason, "MigrationFailed" | "VerificationFailed" | "HistoryDiverged")
}

/// The entries of the gate.
fn gate(world: &World) -> BTreeSet<String> {
    let gate = world.cluster.objects.get(&key("migrationgates", "gates"));
    let entries = gate.and_then(|gate| gate["spec"]["satisfied"].as_array()).into_iter().flatten();
    entries.filter_map(|entry| entry.as_str().map(ToOwned::to_owned)).collect()
}

/// The versions that a Deployment requires: of whom, and which.
fn requirements(object: &Value) -> impl Iterator<Item = (String, String)> {
    let annotations = object["spec"]["template"]["metadata"]["annotations"].as_object().into_iter().flatten();
    annotations.filter_map(|(annotation, version)| {
        let name = annotation.strip_prefix(ANNOTATION_REQUIRES)?;
        Some((name.to_owned(), version.as_str()?.to_owned()))
    })
}

/// A workload is held exactly as long as the gate lacks what it requires.
fn workloads(world: &World) -> Option<String> {
    let gate = gate(world);
    world.cluster.all("deployments").into_iter().find_map(|(key, object)| {
        let held = object["metadata"]["annotations"][ANNOTATION_HELD].is_string();
        let satisfied = requirements(&object).all(|(name, version)| gate.contains(&entry(&name, &version)));
        (held && satisfied)
            .then(|| format!("the Deployment {} is held, and the gate has what it requires", key.2))
    })
}
