//! The Job controller, the garbage collector, the kubelets and the nodes: Jobs become Pods, Pods become work on a
//! database, and what comes of it is written into their status. A node that cannot be reached works on unheard.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use serde_json::{Value, json};
use sluice::contract::{Outcome, Purpose, Stage, Verdict};

use super::{
    api_server::{Cluster, Key},
    changes::Change,
    kubelet::{conclude, new_pod, not_reached, terminate},
    postgres::Postgres,
    stages::{Turn, Work},
    truth::Truth,
};

/// After so long a Pod on a node that cannot be reached is taken away.
const GIVEN_UP: u64 = 40_000;
/// How often what is missing is tried again.
const AGAIN: u64 = 2_000;

/// What is going to happen by itself.
#[derive(Clone, Debug)]
enum Deed {
    MakePod(Key),
    Start(Key),
    Turn(Key),
    Speak(Key),
    GiveUp(Key),
    RemovePod(Key),
    RemoveJob(Key),
    RemoveOwner(Key),
    Orphans,
    Conclude(Key, &'static str, &'static str),
    Deadline(Key, String),
    /// A commit that was on its way when its client died.
    Commit(String, u64, Vec<String>),
    EndSession(String, u64),
}

/// A Pod of a run.
#[derive(Clone, Debug)]
struct Pod {
    job: Key,
    node: usize,
    work: Option<Work>,
    /// What the kubelet could not say yet.
    unsaid: Vec<(Stage, Option<Outcome>)>,
    /// Nothing works in it any more.
    ended: bool,
}

/// All of them.
pub struct Nodes {
    agenda: BTreeMap<(u64, u64), Deed>,
    count: u64,
    rng: Rng,
    pods: BTreeMap<Key, Pod>,
    /// Which databases have their Secret.
    pub secrets: BTreeSet<String>,
    /// Until when each node cannot be reached.
    pub unreachable: [u64; 2],
    /// Until when Pods start late, and how late.
    pub slow_start: (u64, u64),
    /// Until when stages take longer, and how long.
    pub slow_stages: (u64, u64),
    /// By how many seconds the nodes' clocks are ahead.
    pub skew: i64,
}

/// What the nodes work with at one moment.
pub struct Hands<'a> {
    pub cluster: &'a mut Cluster,
    pub postgres: &'a mut Postgres,
    pub truth: &'a mut Truth,
    pub now: u64,
}

impl Nodes {
    pub fn new(rng: Rng) -> Self {
        Self {
            agenda: BTreeMap::new(),
            count: 0,
            rng,
            pods: BTreeMap::new(),
            secrets: BTreeSet::new(),
            unreachable: [0, 0],
            slow_start: (0, 0),
            slow_stages: (0, 0),
            skew: 0,
        }
    }

    /// When something happens next.
    pub fn due(&self) -> Option<u64> {
        self.agenda.keys().next().map(|(at, _)| *at)
    }

    fn later(&mut self, now: u64, range: std::ops::Range<u64>, deed: Deed) {
        let at = now + self.rng.u64(range);
        self.count += 1;
        self.agenda.insert((at, self.count), deed);
    }

    /// Hears of a change, as the Job controller and the garbage collector do.
    pub fn hear(&mut self, change: &Change, now: u64) {
        let Some(after) = &change.after else {
            if change.key.0 == "databasemigrations" {
                self.later(now, 100..5_000, Deed::Orphans);
            }
            return;
        };
        let leaves = |object: &Value| object["metadata"]["deletionTimestamp"].is_string();
        let leaves_now = leaves(after) && !change.before.as_deref().is_some_and(leaves);
        match change.key.0.as_str() {
            "jobs" if leaves_now => self.later(now, 200..3_000, Deed::RemoveJob(change.key.clone())),
            "jobs" if change.before.is_none() => {
                let seconds = after["spec"]["activeDeadlineSeconds"].as_u64().unwrap_or(3_600);
                let uid = after["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                self.later(now, 20..800, Deed::MakePod(change.key.clone()));
                self.later(now, 5_000..15_000, Deed::Orphans);
                let deadline = seconds * 1_000;
                self.later(now, deadline..deadline + 1, Deed::Deadline(change.key.clone(), uid));
            }
            "databasemigrations" if leaves_now => {
                self.later(now, 100..1_000, Deed::RemoveOwner(change.key.clone()));
            }
            _ => {}
        }
    }

    /// Does what is due; a word about it for the trace.
    pub fn act(&mut self, hands: &mut Hands) -> Option<String> {
        let (at, count) = *self.agenda.keys().next().filter(|(at, _)| *at <= hands.now)?;
        let deed = self.agenda.remove(&(at, count))?;
        let words = format!("{deed:?}");
        match deed {
            Deed::MakePod(job) => self.make_pod(hands, &job),
            Deed::Start(pod) => self.start(hands, &pod),
            Deed::Turn(pod) => self.turn(hands, &pod),
            Deed::Speak(pod) => self.speak(hands, &pod),
            Deed::Orphans => self.remove_orphans(hands),
            Deed::GiveUp(pod) => {
                if self.out_of_reach(hands.now, &pod).is_some() {
                    self.fail(hands, &pod, "BackoffLimitExceeded");
                }
            }
            Deed::RemovePod(pod) => remove(hands.cluster, &pod),
            Deed::RemoveJob(job) => self.remove_job(hands, &job),
            Deed::RemoveOwner(owner) => self.remove_owner(hands, &owner),
            Deed::Conclude(job, kind, reason) => {
                let open = hands
                    .cluster
                    .objects
                    .get(&job)
                    .is_some_and(|job| !job["status"]["conditions"].is_array());
                if open {
                    conclude(hands.cluster, &job, (kind, reason));
                }
            }
            Deed::Deadline(job, uid) => self.deadline(hands, &job, &uid),
            Deed::Commit(database, session, migrations) => {
                hands.postgres.database(&database).commit(session, &migrations);
            }
            Deed::EndSession(database, session) => hands.postgres.database(&database).end(session),
        }
        Some(words)
    }

    fn make_pod(&mut self, hands: &mut Hands, key: &Key) {
        let Some(job) = hands.cluster.objects.get(key).cloned() else { return };
        let pod = ("pods".to_owned(), key.1.clone(), format!("{}-pod", key.2));
        if job["metadata"]["deletionTimestamp"].is_string() || job["status"]["conditions"].is_array() {
            return;
        }
        if hands.cluster.objects.contains_key(&pod) {
            return self.later(hands.now, AGAIN..AGAIN + 1, Deed::MakePod(key.clone()));
        }
        let mut object = new_pod(&job);
        for status in object["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
            status["state"] = json!({"waiting": {"reason": "ContainerCreating"}});
        }
        hands.cluster.put(pod.clone(), object);
        let node = self.rng.usize(0..2);
        self.pods.insert(
            pod.clone(),
            Pod { job: key.clone(), node, work: None, unsaid: Vec::new(), ended: false },
        );
        let late = if hands.now < self.slow_start.0 { self.slow_start.1 } else { 0 };
        self.later(hands.now, 100..2_000 + late, Deed::Start(pod));
    }

    /// Until when the node of a Pod cannot be reached.
    fn out_of_reach(&self, now: u64, pod: &Key) -> Option<u64> {
        let until = self.unreachable[self.pods.get(pod)?.node];
        (now < until).then_some(until)
    }

    /// The containers start, once everything is there that they need.
    fn start(&mut self, hands: &mut Hands, key: &Key) {
        if !hands.cluster.objects.contains_key(key) || self.pods.get(key).is_none_or(|pod| pod.ended) {
            return;
        }
        if let Some(until) = self.out_of_reach(hands.now, key) {
            return self.later(until, 100..2_000, Deed::Start(key.clone()));
        }
        let spec = hands.cluster.objects[key]["spec"].clone();
        let work = match work(&spec, hands.cluster, &self.secrets) {
            Ok(work) => work,
            Err((reason, message)) => {
                let waiting = json!({"waiting": {"reason": reason, "message": message}});
                set_states(hands.cluster, key, &waiting);
                return self.later(hands.now, AGAIN..AGAIN + 500, Deed::Start(key.clone()));
            }
        };
        set_states(hands.cluster, key, &json!({"running": {}}));
        if let Some(pod) = self.pods.get_mut(key) {
            pod.work = Some(work);
        }
        self.next(hands.now, key);
    }

    fn next(&mut self, now: u64, key: &Key) {
        let late = if now < self.slow_stages.0 { self.slow_stages.1 } else { 0 };
        self.later(now, 30..1_500 + late, Deed::Turn(key.clone()));
    }

    fn turn(&mut self, hands: &mut Hands, key: &Key) {
        let time = hands.cluster.now;
        let Some(pod) = self.pods.get_mut(key).filter(|pod| !pod.ended) else { return };
        let Some(work) = &mut pod.work else { return };
        if work.stage == Stage::Migrate && work.purpose == Purpose::Apply {
            let uid = hands
                .cluster
                .objects
                .get(key)
                .map(|pod| pod["metadata"]["uid"].to_string())
                .unwrap_or_default();
            hands.truth.migrates(&pod.job.2, key, &uid);
        }
        let turn = work.turn(hands.postgres, hands.now, time);
        let Turn::Ended(outcome) = turn else { return self.next(hands.now, key) };
        let stage = work.stage;
        hands.truth.ends(&pod.job.2, &work.clone(), &outcome);
        pod.unsaid.push((stage, Some((*outcome).clone())));
        let following = work.purpose.route().stages().find(|other| *other > stage);
        if let Some(next) = following.filter(|_| outcome.verdict == Verdict::Passed) {
            work.stage = next;
            self.next(hands.now, key);
        } else {
            pod.ended = true;
            let rest = Purpose::Apply.route().stages().filter(|other| *other > stage);
            pod.unsaid.extend(rest.map(|other| (other, Some(not_reached(other)))));
        }
        self.speak(hands, key);
    }

    /// Writes what the containers left, as soon as the node is reached.
    fn speak(&mut self, hands: &mut Hands, key: &Key) {
        if let Some(until) = self.out_of_reach(hands.now, key) {
            return self.later(until, 100..2_000, Deed::Speak(key.clone()));
        }
        let Some(pod) = self.pods.get_mut(key) else { return };
        if !hands.cluster.objects.contains_key(key) {
            return;
        }
        let failed = pod
            .unsaid
            .iter()
            .any(|(_, outcome)| outcome.as_ref().is_none_or(|outcome| outcome.verdict != Verdict::Passed));
        for (stage, outcome) in std::mem::take(&mut pod.unsaid) {
            terminate(hands.cluster, key, stage, outcome.as_ref(), self.skew);
        }
        if pod.ended {
            let (kind, reason) =
                if failed { ("Failed", "BackoffLimitExceeded") } else { ("Complete", "CompletionsReached") };
            let job = pod.job.clone();
            self.later(hands.now, 300..2_500, Deed::Conclude(job, kind, reason));
        }
    }

    /// Ends whatever works in a Pod. Its session ends a while later; what it had sent may still be committed.
    fn kill(&mut self, hands: &mut Hands, key: &Key) {
        let Some(pod) = self.pods.get_mut(key) else { return };
        pod.ended = true;
        let Some(work) = pod.work.clone() else { return };
        let Some(session) = work.session else { return };
        let sent = work.in_flight(hands.postgres.database(&work.database));
        if !sent.is_empty() && self.rng.u8(0..3) == 0 {
            self.later(hands.now, 0..2_000, Deed::Commit(work.database.clone(), session, sent));
        }
        self.later(hands.now, 2_000..6_000, Deed::EndSession(work.database, session));
    }

    /// The Pod goes at once, and its Job has failed.
    fn fail(&mut self, hands: &mut Hands, key: &Key, reason: &'static str) {
        let Some(job) = self.pods.get(key).map(|pod| pod.job.clone()) else { return };
        self.kill(hands, key);
        if hands.cluster.objects.contains_key(key) {
            hands.cluster.remove(key);
            self.later(hands.now, 50..1_000, Deed::Conclude(job, "Failed", reason));
        }
    }

    fn deadline(&mut self, hands: &mut Hands, job: &Key, uid: &str) {
        let open = hands
            .cluster
            .objects
            .get(job)
            .is_some_and(|job| job["metadata"]["uid"] == *uid && !job["status"]["conditions"].is_array());
        let pod = ("pods".to_owned(), job.1.clone(), format!("{}-pod", job.2));
        if open && hands.cluster.objects.contains_key(&pod) {
            self.fail(hands, &pod, "DeadlineExceeded");
        } else if open {
            conclude(hands.cluster, job, ("Failed", "DeadlineExceeded"));
        }
    }

    /// Its Pod first, and only where that can be heard of.
    fn remove_job(&mut self, hands: &mut Hands, job: &Key) {
        let pod = ("pods".to_owned(), job.1.clone(), format!("{}-pod", job.2));
        if let Some(until) =
            self.out_of_reach(hands.now, &pod).filter(|_| hands.cluster.objects.contains_key(&pod))
        {
            return self.later(until.min(hands.now + GIVEN_UP), 100..2_000, Deed::RemoveJob(job.clone()));
        }
        self.kill(hands, &pod);
        remove(hands.cluster, &pod);
        remove(hands.cluster, job);
    }

    /// The Jobs of an owner that is gone follow it, and their Pods a while later.
    fn remove_orphans(&mut self, hands: &mut Hands) {
        let owners: BTreeSet<String> = hands
            .cluster
            .all("databasemigrations")
            .iter()
            .map(|(_, owner)| owner["metadata"]["uid"].to_string())
            .collect();
        for (key, job) in hands.cluster.all("jobs") {
            if !owners.contains(&job["metadata"]["ownerReferences"][0]["uid"].to_string()) {
                hands.cluster.remove(&key);
                let pod = ("pods".to_owned(), key.1.clone(), format!("{}-pod", key.2));
                self.kill(hands, &pod);
                self.later(hands.now, 100..5_000, Deed::RemovePod(pod));
            }
        }
    }

    /// An owner that is deleted in the foreground goes when its Jobs are gone.
    fn remove_owner(&mut self, hands: &mut Hands, key: &Key) {
        let Some(owner) = hands.cluster.objects.get(key).cloned() else { return };
        let uid = &owner["metadata"]["uid"];
        let jobs = hands.cluster.all("jobs");
        let mine: Vec<_> = jobs
            .into_iter()
            .filter(|(_, job)| job["metadata"]["ownerReferences"][0]["uid"] == *uid)
            .collect();
        if mine.is_empty() {
            hands.cluster.remove(key);
            return;
        }
        for (job, _) in mine {
            self.remove_job(hands, &job);
        }
        self.later(hands.now, 100..2_000, Deed::RemoveOwner(key.clone()));
    }

    /// The Pods in which something works, in the order of their names.
    fn working(&self, hands: &Hands) -> Vec<Key> {
        let there = |(key, pod): &(&Key, &Pod)| {
            !pod.ended && pod.work.is_some() && hands.cluster.objects.contains_key(*key)
        };
        self.pods.iter().filter(there).map(|(key, _)| key.clone()).collect()
    }

    pub fn evict(&mut self, hands: &mut Hands, pick: u64) {
        let working = self.working(hands);
        if let Some(pod) = chosen(&working, pick) {
            self.fail(hands, &pod, "BackoffLimitExceeded");
        }
    }

    /// The container of the stage at work is killed. Those behind it end, if they can see it.
    pub fn kill_container(&mut self, hands: &mut Hands, pick: u64, unseen: bool) {
        let working = self.working(hands);
        let Some(key) = chosen(&working, pick) else { return };
        self.kill(hands, &key);
        let Some(pod) = self.pods.get_mut(&key) else { return };
        let stage = pod.work.as_ref().map_or(Stage::Plan, |work| work.stage);
        pod.unsaid.push((stage, None));
        if unseen && stage < Stage::Verify {
            let until = self.out_of_reach(hands.now, &key);
            if until.is_none() {
                terminate(hands.cluster, &key, stage, None, self.skew);
            }
            return;
        }
        let rest = Purpose::Apply.route().stages().filter(|other| *other > stage);
        pod.unsaid.extend(rest.map(|other| (other, Some(not_reached(other)))));
        self.speak(hands, &key);
    }

    /// A node is out of reach for so long; its Pods are given up some time later.
    pub fn vanish(&mut self, hands: &Hands, node: usize, ms: u64) {
        self.unreachable[node] = self.unreachable[node].max(hands.now + ms);
        let on_it = |(_, pod): &(&Key, &Pod)| pod.node == node;
        let pods: Vec<Key> = self.pods.iter().filter(on_it).map(|(key, _)| key.clone()).collect();
        for pod in pods {
            self.later(hands.now, GIVEN_UP..GIVEN_UP + 5_000, Deed::GiveUp(pod));
        }
    }
}

fn chosen(keys: &[Key], pick: u64) -> Option<Key> {
    let count = u64::try_from(keys.len()).ok().filter(|count| *count > 0)?;
    keys.get(usize::try_from(pick % count).ok()?).cloned()
}

/// Takes away what is there.
fn remove(cluster: &mut Cluster, key: &Key) {
    if cluster.objects.contains_key(key) {
        cluster.remove(key);
    }
}

fn set_states(cluster: &mut Cluster, pod: &Key, state: &Value) {
    cluster.edit(pod, |pod| {
        for status in pod["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
            status["state"] = state.clone();
        }
    });
}

/// What a Pod is to do, read from its environment and its volumes as they are now; or why it cannot start.
fn work(spec: &Value, cluster: &Cluster, secrets: &BTreeSet<String>) -> Result<Work, (&'static str, String)> {
    let container = &spec["containers"][3];
    let variable = |name: &str| {
        let mut variables = container["env"].as_array().into_iter().flatten();
        variables.find(|variable| variable["name"] == name)
    };
    let database = variable("DATABASE_URL").map(|url| url["valueFrom"]["secretKeyRef"]["name"].clone());
    let database = database.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    if !secrets.contains(&database) {
        return Err(("CreateContainerConfigError", format!("secret {database:?} not found")));
    }
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let maps =
        volumes.flat_map(|volume| volume["projected"]["sources"].as_array().cloned().unwrap_or_default());
    let mut source = Vec::new();
    for map in maps {
        let name = map["configMap"]["name"].as_str().unwrap_or_default();
        let key = ("configmaps".to_owned(), super::world::NAMESPACE.to_owned(), name.to_owned());
        let Some(map) = cluster.objects.get(&key) else { return Err(("ContainerCreating", String::new())) };
        source.extend(map["data"].as_object().into_iter().flat_map(|data| data.keys().cloned()));
    }
    let value = |name: &str| variable(name).and_then(|variable| variable["value"].as_str());
    let required =
        value("SLUICE_REQUIRED").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let purpose = value("SLUICE_PURPOSE").and_then(Purpose::named).unwrap_or(Purpose::Apply);
    Ok(Work::new(database, source, purpose, required))
}
