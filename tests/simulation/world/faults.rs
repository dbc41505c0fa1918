//! What goes wrong with the controllers: who leads, who dies, who stands still, and what becomes of what was on its way.

use std::sync::atomic::Ordering;

use super::{
    super::{
        instances::{Instance, LEASE, Lease},
        network::Watch,
        people,
        story::{Clock, What},
        windows,
    },
    World,
};

impl World {
    /// Who leads.
    pub(super) fn renew(&mut self) -> bool {
        let now = self.now();
        self.lease_at = now + 1_000;
        let awake = |instance: &Instance| instance.process.is_some() && now >= instance.paused;
        if self.lease.holder.is_some_and(|holder| awake(&self.instances[holder])) {
            self.lease.renewed = now;
        } else if self.lease.holder.is_none() || now >= self.lease.renewed + LEASE {
            let free: Vec<usize> = (0..2).filter(|nth| awake(&self.instances[*nth])).collect();
            if let Some(nth) = self.rng.choice(free) {
                self.says(|| format!("leads {nth}"));
                self.lease = Lease { holder: Some(nth), renewed: now };
            }
        }
        for (nth, instance) in self.instances.iter().enumerate() {
            let leads = self.lease.holder == Some(nth);
            if awake(instance) && (leads || now >= instance.unaware) {
                instance.leads(leads);
            }
        }
        true
    }

    /// A process dies. What it had sent arrives, or does not.
    pub(super) fn kill(&mut self, nth: usize) {
        let Some(process) = self.instances[nth].process else { return };
        let starts = self.now() + self.rng.u64(1_000..4_000);
        self.instances[nth].kill(starts);
        let rng = &mut self.rng;
        self.flights
            .retain(|flight| flight.arrival.process != process || flight.arrival.is_write() && rng.bool());
        self.landings.retain(|landing| landing.process != process);
        self.watches.retain(|watch| watch.process != process);
    }

    /// What goes wrong, or what people do; true when a controller notices at once.
    pub(super) fn happens(&mut self, what: &What) -> bool {
        let now = self.now();
        match what {
            What::Kill { instance } => {
                self.coverage.saw("an instance dies");
                self.kill(*instance);
                return true;
            }
            What::KillAtWrite { death, write } => self.doom.push((*write, *death)),
            What::Pause { instance, ms, unaware } => {
                self.instances[*instance].paused = now + ms;
                self.instances[*instance].unaware = now + ms + unaware;
            }
            What::Requests { trouble, per_mille, ms } => self.troubles.push((now + ms, *per_mille, *trouble)),
            What::BreakWatches { instance, gone } => {
                self.coverage.saw(if *gone { "a watch is too old to go on" } else { "a watch breaks" });
                let process = self.instances[*instance].process;
                let broken = |watch: &mut Watch| Some(watch.process) == process;
                self.watches
                    .iter_mut()
                    .filter_map(|watch| broken(watch).then_some(watch))
                    .for_each(|watch| watch.break_off(*gone));
                self.watches.retain(|watch| Some(watch.process) != process);
                return true;
            }
            What::WakeAgain { instance } => {
                let process = self.instances[*instance].process;
                let mut told = 0;
                for watch in self.watches.iter_mut().filter(|watch| Some(watch.process) == process) {
                    told += watch.hear_again(&self.changes, &mut self.rng);
                }
                if told > 1 {
                    self.coverage.saw("wake-ups are doubled and reordered");
                }
                return true;
            }
            What::SlowWatches { instance, upto, ms } => self.slow_watches[*instance] = (now + ms, *upto),
            What::Clock { whose, seconds, .. } => self.set_clock(*whose, *seconds),
            other => people::act(self, other),
        }
        false
    }

    pub(super) fn set_clock(&mut self, whose: Clock, seconds: i64) {
        let before = self.open_windows();
        match whose {
            Clock::Server => self.clocks.server.store(seconds, Ordering::Relaxed),
            Clock::Instance(nth) => self.clocks.instances[nth].store(seconds, Ordering::Relaxed),
            Clock::Nodes => self.nodes.skew = seconds,
        }
        if before != self.open_windows() {
            self.coverage.saw("a clock jumps over the edge of a window");
        }
    }

    /// Which windows are open, by the clock of each instance.
    fn open_windows(&self) -> Vec<bool> {
        let objects = self.cluster.objects.iter().filter(|(key, _)| key.0 == "databasemigrations");
        let windows = objects.map(|(_, object)| &object["spec"]["before"]["window"]);
        let shown = |nth: usize| self.clocks.shown(&self.clocks.instances[nth]);
        windows
            .filter(|window| window.is_object())
            .flat_map(|window| [0, 1].map(|nth| windows::left(window, shown(nth)) > 0))
            .collect()
    }
}
