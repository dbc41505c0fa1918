//! The Job controller, the garbage collector, the kubelets and the nodes: Jobs become Pods, Pods become work on a
//! database, and what comes of it is written into their status. A node that cannot be reached works on unheard.

mod mishaps;

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sluice::{
    api::Reason,
    contract::{Outcome, Purpose, Stage, Verdict},
    limits::CLOCK_SKEW,
};

use super::{
    api_server::{Cluster, Key},
    changes::Change,
    coverage::Coverage,
    kubelet::{conclude, new_pod, not_reached, terminate},
    postgres::Postgres,
    stages::{Turn, Work},
    story::{Victim, What},
    truth::Truth,
};

/// After so long a Pod on a node that cannot be reached is taken away.
const GIVEN_UP: u64 = 40_000;
/// How often the kubelet retries what is missing.
const AGAIN: u64 = 2_000;

/// What is going to happen by itself.
#[derive(Clone, Debug)]
pub enum Task {
    MakePod(Key),
    Start(Key),
    Turn(Key),
    Speak(Key),
    GiveUp(Key),
    EndPod(Key),
    RemovePod(Key),
    RemoveJob(Key),
    RemoveOwner(Key),
    Orphans,
    Conclude(Key, &'static str, &'static str),
    Deadline(Key, String),
    /// A commit that was on its way when its client died, of a run that has to have ended by a moment.
    Commit(String, u64, Vec<String>, Option<Timestamp>),
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
    /// Containers wait in it for one that died before they could see it.
    hangs: bool,
    /// Until when it stands still.
    frozen: u64,
    uid: String,
}

/// All of them.
pub struct Nodes {
    agenda: BTreeMap<(u64, u64), Task>,
    count: u64,
    rng: Rng,
    pods: BTreeMap<Key, Pod>,
    /// What waits for a Pod that it can strike, and until when.
    waiting: Vec<(u64, Victim, What)>,
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
    pub coverage: &'a mut Coverage,
    pub now: u64,
    /// The same moment by a clock that is right.
    pub time: Timestamp,
}

impl Nodes {
    pub fn new(rng: Rng) -> Self {
        Self {
            agenda: BTreeMap::new(),
            count: 0,
            rng,
            pods: BTreeMap::new(),
            waiting: Vec::new(),
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

    fn later(&mut self, now: u64, range: std::ops::Range<u64>, task: Task) {
        let at = now + self.rng.u64(range);
        self.count += 1;
        self.agenda.insert((at, self.count), task);
    }

    /// Hears of a change, as the Job controller and the garbage collector do.
    pub fn hear(&mut self, change: &Change, now: u64) {
        let Some(after) = &change.after else {
            if change.key.0 == "databasemigrations" {
                self.later(now, 100..5_000, Task::Orphans);
            }
            return;
        };
        let leaves = |object: &Value| object["metadata"]["deletionTimestamp"].is_string();
        let leaves_now = leaves(after) && !change.before.as_deref().is_some_and(leaves);
        match change.key.0.as_str() {
            "jobs" if leaves_now => self.later(now, 200..3_000, Task::RemoveJob(change.key.clone())),
            "jobs" if change.before.is_none() => {
                let seconds = after["spec"]["activeDeadlineSeconds"].as_u64().unwrap_or(3_600);
                let uid = after["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                self.later(now, 20..800, Task::MakePod(change.key.clone()));
                self.later(now, 5_000..15_000, Task::Orphans);
                let deadline = seconds * 1_000;
                self.later(now, deadline..deadline + 1, Task::Deadline(change.key.clone(), uid));
            }
            "databasemigrations" if leaves_now => {
                self.later(now, 100..1_000, Task::RemoveOwner(change.key.clone()));
            }
            _ => {}
        }
    }

    /// Does what is due, and says what that was.
    pub fn act(&mut self, hands: &mut Hands) -> Option<Task> {
        let (at, count) = *self.agenda.keys().next().filter(|(at, _)| *at <= hands.now)?;
        let task = self.agenda.remove(&(at, count))?;
        match task.clone() {
            Task::MakePod(job) => self.make_pod(hands, &job),
            Task::Start(pod) => self.start(hands, &pod),
            Task::Turn(pod) => self.turn(hands, &pod),
            Task::Speak(pod) => self.speak(hands, &pod),
            Task::Orphans => self.remove_orphans(hands),
            Task::GiveUp(pod) => self.give_up(hands, &pod),
            Task::EndPod(pod) => self.kill(hands, &pod),
            Task::RemovePod(pod) => remove(hands.cluster, &pod),
            Task::RemoveJob(job) => self.remove_job(hands, &job),
            Task::RemoveOwner(owner) => self.remove_owner(hands, &owner),
            Task::Conclude(job, kind, reason) => {
                let open = hands
                    .cluster
                    .objects
                    .get(&job)
                    .is_some_and(|job| !job["status"]["conditions"].is_array());
                if open {
                    conclude(hands.cluster, &job, (kind, reason));
                }
            }
            Task::Deadline(job, uid) => self.deadline(hands, &job, &uid),
            Task::Commit(database, session, migrations, ends_by) => {
                if hands.postgres.database(&database).commit(session, &migrations) {
                    hands.coverage.saw("a commit takes effect after its client died");
                    self.committed(hands, &database, ends_by);
                }
            }
            Task::EndSession(database, session) => hands.postgres.database(&database).end(session),
        }
        Some(task)
    }

    fn make_pod(&mut self, hands: &mut Hands, key: &Key) {
        let Some(job) = hands.cluster.objects.get(key).cloned() else { return };
        let pod = ("pods".to_owned(), key.1.clone(), format!("{}-pod", key.2));
        if job["metadata"]["deletionTimestamp"].is_string() || job["status"]["conditions"].is_array() {
            return;
        }
        if hands.cluster.objects.contains_key(&pod) {
            return self.later(hands.now, AGAIN..AGAIN + 1, Task::MakePod(key.clone()));
        }
        let mut object = new_pod(&job);
        for status in object["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
            status["state"] = json!({"waiting": {"reason": "ContainerCreating"}});
        }
        hands.cluster.put(pod.clone(), object);
        let node = self.rng.usize(0..2);
        let uid = hands.cluster.objects[&pod]["metadata"]["uid"].to_string();
        let (work, unsaid) = (None, Vec::new());
        let made = Pod { job: key.clone(), node, work, unsaid, ended: false, hangs: false, frozen: 0, uid };
        self.pods.insert(pod.clone(), made);
        let late = if hands.now < self.slow_start.0 { self.slow_start.1 } else { 0 };
        if late > 0 {
            hands.coverage.saw("a Pod starts late");
        }
        self.later(hands.now, 100..2_000 + late, Task::Start(pod));
    }

    /// What the clocks of the nodes show.
    fn shown(&self, hands: &Hands) -> Timestamp {
        hands.time.saturating_add(SignedDuration::from_secs(self.skew)).expect("a moment")
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
            return self.later(until, 100..2_000, Task::Start(key.clone()));
        }
        let spec = hands.cluster.objects[key]["spec"].clone();
        let work = match Work::of(&spec, hands.cluster, &self.secrets, hands.now) {
            Ok(work) => work,
            Err((reason, message)) => {
                let waiting = json!({"waiting": {"reason": reason, "message": message}});
                set_states(hands.cluster, key, &waiting);
                return self.later(hands.now, AGAIN..AGAIN + 500, Task::Start(key.clone()));
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
        self.later(now, 30..1_500 + late, Task::Turn(key.clone()));
    }

    fn turn(&mut self, hands: &mut Hands, key: &Key) {
        let time = self.shown(hands);
        self.struck(hands, key);
        let Some(pod) = self.pods.get_mut(key).filter(|pod| !pod.ended) else { return };
        if hands.now < pod.frozen {
            let until = pod.frozen;
            hands.coverage.saw("a Pod wakes up late");
            return self.later(until, 1..100, Task::Turn(key.clone()));
        }
        if hands.now < self.slow_stages.0 {
            hands.coverage.saw("a stage takes long");
        }
        let Some(work) = &mut pod.work else { return };
        if !hands.cluster.objects.contains_key(key) {
            hands.coverage.saw("a Pod works on that was given up");
        }
        if work.stage == Stage::Migrate && work.purpose == Purpose::Apply {
            hands.truth.migrates(&pod.job.2, key, &pod.uid);
        }
        let (database, ends_by) = (work.database.clone(), work.ends_by);
        let before = hands.postgres.database(&database).rows.len();
        let turn = work.turn(hands.postgres, hands.now, time);
        if hands.postgres.database(&database).rows.len() > before {
            self.committed(hands, &database, ends_by);
        }
        self.turned(hands, key, turn);
    }

    /// Something was committed: a run does not outlast its window, as long as the clocks of nodes are right.
    fn committed(&self, hands: &mut Hands, database: &str, ends_by: Option<Timestamp>) {
        if let Some(ends_by) = ends_by.filter(|ends_by| hands.time > *ends_by)
            && self.skew.unsigned_abs() <= CLOCK_SKEW.as_secs()
        {
            let late =
                format!("{database} was changed at {}, and the window closed at {ends_by}", hands.time);
            hands.truth.late.get_or_insert(late);
        }
    }

    /// What comes of a moment of work.
    fn turned(&mut self, hands: &mut Hands, key: &Key, turn: Turn) {
        let Turn::Ended(outcome) = turn else { return self.next(hands.now, key) };
        let Some(pod) = self.pods.get_mut(key) else { return };
        let Some(work) = &mut pod.work else { return };
        let stage = work.stage;
        if work.is_over {
            hands.coverage.saw("a run ends because its window closes");
        }
        if stage == Stage::Rehearse && outcome.reason == Reason::Rehearsed {
            hands.coverage.saw("a release is rehearsed");
        }
        hands.truth.ends(&pod.job.2, &work.clone(), &outcome);
        pod.unsaid.push((stage, Some((*outcome).clone())));
        let following = work.route.stages().find(|other| *other > stage);
        if let Some(next) = following.filter(|_| outcome.verdict == Verdict::Passed) {
            work.enters(next);
            self.next(hands.now, key);
        } else {
            pod.ended = true;
            let rest = work.route.stages().filter(|other| *other > stage);
            pod.unsaid.extend(rest.map(|other| (other, Some(not_reached(other)))));
        }
        self.speak(hands, key);
    }

    /// Writes what the containers left, as soon as the node is reached.
    fn speak(&mut self, hands: &mut Hands, key: &Key) {
        if let Some(until) = self.out_of_reach(hands.now, key) {
            return self.later(until, 100..2_000, Task::Speak(key.clone()));
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
        if pod.ended && !pod.hangs {
            let (kind, reason) =
                if failed { ("Failed", "BackoffLimitExceeded") } else { ("Complete", "CompletionsReached") };
            let job = pod.job.clone();
            self.later(hands.now, 300..2_500, Task::Conclude(job, kind, reason));
        }
    }

    /// Ends whatever works in a Pod. Its session ends a while later; what it had sent may still be committed.
    fn kill(&mut self, hands: &mut Hands, key: &Key) {
        let Some(pod) = self.pods.get_mut(key) else { return };
        // What is dead sends nothing once more.
        if std::mem::replace(&mut pod.ended, true) {
            return;
        }
        let Some(work) = pod.work.clone() else { return };
        let Some(session) = work.session else { return };
        let time = self.shown(hands);
        let sent = work.in_flight(hands.postgres.database(&work.database), hands.now, time);
        if !sent.is_empty() && self.rng.bool() {
            let commit = Task::Commit(work.database.clone(), session, sent, work.ends_by);
            self.later(hands.now, 0..2_000, commit);
        }
        self.later(hands.now, 2_000..6_000, Task::EndSession(work.database, session));
    }

    /// The Pod goes at once, and its Job has failed.
    fn fail(&mut self, hands: &mut Hands, key: &Key, reason: &'static str) {
        let Some(job) = self.pods.get(key).map(|pod| pod.job.clone()) else { return };
        self.kill(hands, key);
        if hands.cluster.objects.contains_key(key) {
            hands.cluster.remove(key);
            self.later(hands.now, 50..1_000, Task::Conclude(job, "Failed", reason));
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
            return self.later(until.min(hands.now + GIVEN_UP), 100..2_000, Task::RemoveJob(job.clone()));
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
                self.later(hands.now, 100..5_000, Task::RemovePod(pod));
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
        self.later(hands.now, 100..2_000, Task::RemoveOwner(key.clone()));
    }
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
