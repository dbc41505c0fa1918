//! What goes wrong with Pods and nodes.

use sluice::contract::{Purpose, Stage};

use super::{
    super::{
        api_server::Key,
        kubelet::{not_reached, terminate},
    },
    GIVEN_UP, Hands, Nodes, Pod, Task,
};

impl Nodes {
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
            hands.coverage.saw("a Pod is evicted");
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
        hands.coverage.saw(if unseen { "a container dies unseen" } else { "a container dies" });
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
    pub fn vanish(&mut self, hands: &mut Hands, node: usize, ms: u64) {
        self.unreachable[node] = self.unreachable[node].max(hands.now + ms);
        let on_it = |(_, pod): &(&Key, &Pod)| pod.node == node && !pod.ended;
        let pods: Vec<Key> = self.pods.iter().filter(on_it).map(|(key, _)| key.clone()).collect();
        for pod in pods {
            hands.coverage.saw("a node vanishes under a Pod");
            self.later(hands.now, GIVEN_UP..GIVEN_UP + 5_000, Task::GiveUp(pod));
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
    pub fn freeze(&mut self, hands: &mut Hands, pick: u64, ms: u64) {
        let working = self.working(hands);
        let Some(key) = chosen(&working, pick) else { return };
        let Some(pod) = self.pods.get_mut(&key) else { return };
        pod.frozen = hands.now + ms;
        let session = pod.work.as_ref().and_then(|work| Some((work.database.clone(), work.session?)));
        let noticed = self.rng.u64(5_000..20_000);
        if let Some((database, session)) = session.filter(|_| noticed < ms) {
            self.later(hands.now, noticed..noticed + 1, Task::EndSession(database, session));
        }
    }
}

fn chosen(keys: &[Key], pick: u64) -> Option<Key> {
    let count = u64::try_from(keys.len()).ok().filter(|count| *count > 0)?;
    keys.get(usize::try_from(pick % count).ok()?).cloned()
}
