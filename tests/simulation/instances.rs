//! Two instances of the controller: the real loops of one process each, the real fence around what the leader does,
//! and a model of the lease. (The lease itself is kept by a library that reads the machine's clock, so it cannot be
//! played.)

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use sluice::{
    controller::{Context, Scope, Stop, rollout, watch, while_leading},
    objects::Images,
    telemetry::Metrics,
};
use tokio::{sync::watch as channel, task::JoinHandle, time::Instant};

use super::{network::Network, world::NAMESPACE};

/// A lease that is not renewed is free after so long.
pub const LEASE: u64 = 10_000;
/// How many objects are reconciled in parallel, as the chart has it.
const CONCURRENCY: u16 = 10;

/// The clocks of the world: all of them follow the virtual time, some with an error.
pub struct Clocks {
    start: Instant,
    pub server: AtomicI64,
    pub instances: [AtomicI64; 2],
}

impl Clocks {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            server: AtomicI64::new(0),
            instances: [AtomicI64::new(0), AtomicI64::new(0)],
        }
    }

    /// Milliseconds since the beginning.
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// What a clock shows that is right.
    pub fn right(&self) -> Timestamp {
        self.shown(&AtomicI64::new(0))
    }

    /// What a clock shows that is wrong by so many seconds.
    pub fn shown(&self, error: &AtomicI64) -> Timestamp {
        let elapsed = SignedDuration::from_millis(i64::try_from(self.now()).unwrap_or(i64::MAX));
        let begin = Timestamp::from_second(1_780_000_000 + error.load(Ordering::Relaxed)).expect("a moment");
        begin.saturating_add(elapsed).expect("a moment")
    }
}

/// An instance of the controller.
pub struct Instance {
    /// Which process it is now; `None` while it is dead.
    pub process: Option<usize>,
    /// When a dead one starts again.
    pub starts: u64,
    /// Until when it stands still.
    pub paused: u64,
    /// After it went on, until when it does not know that another one leads.
    pub unaware: u64,
    leads: Option<channel::Sender<bool>>,
    loops: Vec<JoinHandle<()>>,
}

impl Instance {
    pub const fn new() -> Self {
        Self { process: None, starts: 0, paused: 0, unaware: 0, leads: None, loops: Vec::new() }
    }

    /// Starts the loops of a process.
    pub fn start(&mut self, nth: usize, process: usize, network: &Network, clocks: &Arc<Clocks>) {
        let (leads, mut leading) = channel::channel(false);
        let stop: Stop = futures::future::pending().boxed().shared();
        let scopes: Vec<Scope> = vec![Some(NAMESPACE.to_owned())];
        let client = network.client(process);
        let workloads = {
            let (client, scopes, stop) = (client.clone(), scopes.clone(), stop.clone());
            async move { rollout::run(client, Arc::default(), &scopes, CONCURRENCY, stop).await }
        };
        let clocks = Arc::clone(clocks);
        let leader = async move {
            let lead = || {
                let clocks = Arc::clone(&clocks);
                let images = Images {
                    sluice: "registry.example/sluice:1".into(),
                    snapshot: "registry.example/stage:1".into(),
                };
                let context = Context::new(
                    client.clone(),
                    images,
                    format!("sluice-{nth}"),
                    Arc::new(Metrics::default()),
                )
                .with_clock(move || clocks.shown(&clocks.instances[nth]));
                watch::run(context, &scopes, CONCURRENCY, stop.clone())
            };
            while_leading(&mut leading, &stop, lead, || {}).await;
        };
        self.loops = vec![tokio::spawn(workloads), tokio::spawn(leader)];
        (self.process, self.leads, self.paused) = (Some(process), Some(leads), 0);
    }

    /// Ends every loop wherever it is.
    pub fn kill(&mut self, starts: u64) {
        self.loops.drain(..).for_each(|looped| looped.abort());
        (self.process, self.leads, self.starts) = (None, None, starts);
    }

    /// Tells it whether it leads.
    pub fn leads(&self, leads: bool) {
        if let Some(sender) = &self.leads {
            sender.send_if_modified(|before| std::mem::replace(before, leads) != leads);
        }
    }

    /// A loop has ended by itself, which none ever should.
    pub fn has_ended(&self) -> bool {
        self.loops.iter().any(JoinHandle::is_finished)
    }
}

/// Who holds the lease, and since when it was not renewed.
#[derive(Debug, Default)]
pub struct Lease {
    pub holder: Option<usize>,
    pub renewed: u64,
}
