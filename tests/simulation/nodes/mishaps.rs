//! What goes wrong with Pods and nodes.

use sluice::contract::{Purpose, Stage};

use super::{
    super::{
        api_server::Key,
        kubelet::not_reached,
        story::{PATIENCE, Victim, What},
    },
    GIVEN_UP, Hands, Nodes, Pod, Task,
};

impl Hands<'_> {
    /// It happened to a Pod that migrates.
    fn counts(&mut self, migrates: bool, kind: &'static str) {
        if migrates {
            self.coverage.saw(kind);
        }
    }
}

impl Nodes {
    /// A fault waits for a Pod that it can strike.
    pub fn waits_for(&mut self, victim: Victim, what: &What, now: u64) {
        self.waiting.push((now + PATIENCE, victim, what.clone()));
    }

    /// Something is about to work in a Pod: what waits for that strikes now.
    pub(super) fn struck(&mut self, hands: &mut Hands, key: &Key) {
        self.waiting.retain(|(until, _, _)| hands.now <= *until);
        let there = hands.cluster.objects.contains_key(key);
        let Some(pod) = self.pods.get(key).filter(|pod| !pod.ended && there && hands.now >= pod.frozen)
        else {
            return;
        };
        let Some(work) = &pod.work else { return };
        let (stage, turns) = (work.stage, work.turns);
        let fits = |victim: &Victim| victim.stage.is_none_or(|other| other == stage) && turns >= victim.turns;
        let Some(at) = self.waiting.iter().position(|(_, victim, _)| fits(victim)) else { return };
        let migrates = stage == Stage::Migrate && work.purpose == Purpose::Apply;
        match self.waiting.remove(at).2 {
            What::Evict { .. } => {
                hands.coverage.saw("a Pod is evicted");
                hands.counts(migrates, "a Pod is evicted that migrates");
                self.fail(hands, key, "BackoffLimitExceeded");
            }
            What::KillContainer { unseen, .. } => {
                hands.counts(migrates && unseen, "a container that migrates dies unseen");
                hands.counts(migrates && !unseen, "a container that migrates dies");
                self.kill_container(hands, key, unseen);
            }
            What::Freeze { ms, .. } => {
                hands.counts(migrates, "a Pod stands still that migrates");
                self.freeze(hands, key, ms);
            }
            What::NodeVanishes { ms, still, .. } => {
                hands.counts(migrates, "a node vanishes under a Pod that migrates");
                self.vanish(hands, key, ms, still);
            }
            other => unreachable!("no Pod is struck by {other:?}"),
        }
    }

    /// The container of the stage at work is killed. Those behind it end, if they can see it.
    fn kill_container(&mut self, hands: &mut Hands, key: &Key, unseen: bool) {
        self.kill(hands, key);
        let Some(pod) = self.pods.get_mut(key) else { return };
        let stage = pod.work.as_ref().map_or(Stage::Plan, |work| work.stage);
        pod.unsaid.push((stage, None));
        hands.coverage.saw(if unseen { "a container dies unseen" } else { "a container dies" });
        pod.hangs = unseen && stage < Stage::Verify;
        if !pod.hangs {
            let route = pod.work.as_ref().map_or(Purpose::Apply.route(), |work| work.route);
            let rest = route.stages().filter(|other| *other > stage);
            pod.unsaid.extend(rest.map(|other| (other, Some(not_reached(other)))));
        }
        self.speak(hands, key);
    }

    /// The node of a Pod is out of reach for so long; its Pods are given up some time later.
    fn vanish(&mut self, hands: &mut Hands, key: &Key, ms: u64, still: u64) {
        let Some(node) = self.pods.get(key).map(|pod| pod.node) else { return };
        self.unreachable[node] = self.unreachable[node].max(hands.now + ms);
        let on_it = |(_, pod): &(&Key, &Pod)| pod.node == node && !pod.ended;
        let pods: Vec<Key> = self.pods.iter().filter(on_it).map(|(key, _)| key.clone()).collect();
        for key in pods {
            hands.coverage.saw("a node vanishes under a Pod");
            if still > 0 {
                self.freeze(hands, &key, still);
            }
            self.later(hands.now, GIVEN_UP..GIVEN_UP + 5_000, Task::GiveUp(key));
        }
    }

    /// Nothing was heard of a Pod for long: it goes, and its Job has failed. What runs in it goes on until its node is
    /// reached again, or it ran on a machine that is no more.
    pub(super) fn give_up(&mut self, hands: &mut Hands, key: &Key) {
        let Some(until) = self.out_of_reach(hands.now, key) else { return };
        if self.rng.bool() {
            return self.fail(hands, key, "BackoffLimitExceeded");
        }
        let Some(job) = self.pods.get(key).map(|pod| pod.job.clone()) else { return };
        if hands.cluster.objects.contains_key(key) {
            hands.cluster.remove(key);
            self.later(hands.now, 50..1_000, Task::Conclude(job, "Failed", "BackoffLimitExceeded"));
            self.later(until, 100..5_000, Task::EndPod(key.clone()));
        }
    }

    /// A Pod stands still for so long. Whether its session outlives that, the server decides.
    fn freeze(&mut self, hands: &mut Hands, key: &Key, ms: u64) {
        let Some(pod) = self.pods.get_mut(key) else { return };
        pod.frozen = pod.frozen.max(hands.now + ms);
        let session = pod.work.as_ref().and_then(|work| Some((work.database.clone(), work.session?)));
        let noticed = self.rng.u64(5_000..20_000);
        if let Some((database, session)) = session.filter(|_| noticed < ms) {
            self.later(hands.now, noticed..noticed + 1, Task::EndSession(database, session));
        }
    }
}
