//! A cluster, its databases and two instances of the controller, under one virtual clock and one source of chance. The
//! world does one thing at a time: after whatever reaches a controller it waits until nothing moves any more.

mod faults;
mod requests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fastrand::Rng;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{sleep, sleep_until};

use super::{
    api_server::{Cluster, Key},
    changes::{Change, differences, summary},
    coverage::Coverage,
    instances::{Clocks, Instance, Lease},
    invariants::Watchman,
    network::{Answer, Arrival, Network, Watch},
    nodes::{Hands, Nodes},
    oracle,
    postgres::Postgres,
    story::{Clock, Death, Story, Trouble, Write},
    truth::Truth,
};

pub const NAMESPACE: &str = "medical";
/// After the last fault everything has come to its end within this time.
const PROGRESS: u64 = 20 * 60_000;
/// So long is a settled world watched.
const STILL: u64 = 150_000;
/// And so long may the last words take: Events come behind what they tell of.
const LAST_WORDS: u64 = 30_000;
/// So often all that can go on goes on, before something else happens.
const YIELDS: usize = 4;
/// How often the end is looked for.
const EVERY: u64 = 5_000;

/// What does not hold, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub invariant: &'static str,
    pub message: String,
}

impl Failure {
    pub fn new(invariant: &'static str, message: impl Into<String>) -> Self {
        Self { invariant, message: message.into() }
    }
}

/// A request on its way to the API server.
struct Flight {
    at: u64,
    arrival: Arrival,
    trouble: Option<Trouble>,
}

/// An answer on its way back.
struct Landing {
    at: u64,
    process: usize,
    words: String,
    /// The revision at which a late answer was given.
    stale: Option<u64>,
    /// The DatabaseMigration that it tells of, and its window.
    window: Option<(String, Value)>,
    reply: tokio::sync::oneshot::Sender<Answer>,
    answer: Answer,
}

/// What is due.
#[derive(Clone, Copy, Debug)]
enum Due {
    Event,
    Node,
    Lease,
    Start(usize),
    Flight(usize),
    Landing(usize),
    Watch(usize),
    Look,
}

/// How far the end is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Things happen.
    Acts,
    /// Nothing happens any more; everything must come to its end until this moment.
    Ends(u64),
    /// Everything has; so many writes were made, and until this moment there must be no other.
    Still(u64, usize),
    Over,
}

pub struct World {
    story: Story,
    told: usize,
    clocks: Arc<Clocks>,
    pub cluster: Cluster,
    pub postgres: Postgres,
    pub truth: Truth,
    pub nodes: Nodes,
    pub watchman: Watchman,
    network: Network,
    instances: [Instance; 2],
    lease: Lease,
    lease_at: u64,
    look_at: u64,
    processes: usize,
    flights: Vec<Flight>,
    landings: Vec<Landing>,
    watches: Vec<Watch>,
    changes: Vec<Change>,
    mirror: BTreeMap<Key, Arc<Value>>,
    seen: u64,
    troubles: Vec<(u64, u32, Trouble)>,
    slow_watches: [(u64, u64); 2],
    /// At which write the instance dies that makes it.
    doom: Vec<(Option<Write>, Death)>,
    rng: Rng,
    phase: Phase,
    /// The window of each DatabaseMigration, as each process read it last.
    windows: BTreeMap<(usize, String), Value>,
    pub coverage: Coverage,
    /// What happened, in words; `None` where no person will read it.
    pub trace: Option<Vec<String>>,
}

impl World {
    pub fn new(story: &Story, traced: bool) -> Self {
        // The controller's own jitter, and that of its watches, comes from the generator of the thread.
        fastrand::seed(story.seed);
        let mut rng = Rng::with_seed(story.seed ^ 0x5eed);
        Self {
            clocks: Arc::new(Clocks::new()),
            cluster: Cluster::default(),
            postgres: Postgres::default(),
            truth: Truth::default(),
            nodes: Nodes::new(rng.fork()),
            watchman: Watchman::new(story.has_two_leaders()),
            network: Network::default(),
            instances: [Instance::new(), Instance::new()],
            lease: Lease::default(),
            lease_at: 5,
            look_at: story.ends().max(10_000) + 1_000,
            processes: 0,
            flights: Vec::new(),
            landings: Vec::new(),
            watches: Vec::new(),
            changes: Vec::new(),
            mirror: BTreeMap::new(),
            seen: 0,
            troubles: Vec::new(),
            slow_watches: [(0, 0), (0, 0)],
            doom: Vec::new(),
            rng,
            phase: Phase::Acts,
            windows: BTreeMap::new(),
            coverage: Coverage::default(),
            trace: traced.then(Vec::new),
            told: 0,
            story: story.clone(),
        }
    }

    /// Lives until the end, or until something does not hold.
    pub async fn live(&mut self) -> Result<(), Failure> {
        let mut heard = false;
        while !matches!(self.phase, Phase::Over) {
            self.wait(heard).await;
            heard = false;
            self.depart()?;
            while let Some(due) = self.due().filter(|(at, _)| *at <= self.now()).map(|(_, due)| due) {
                self.cluster.now = self.clocks.shown(&self.clocks.server);
                heard = self.perform(due).await?;
                self.record()?;
                if heard || matches!(self.phase, Phase::Over) {
                    break;
                }
            }
        }
        Ok(())
    }

    pub fn now(&self) -> u64 {
        self.clocks.now()
    }

    /// What a clock shows that is right.
    pub fn right(&self) -> Timestamp {
        self.clocks.right()
    }

    /// A line of the trace, where one is kept.
    pub fn says(&mut self, words: impl FnOnce() -> String) {
        let now = self.now();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>5}.{:03} {}", now / 1000, now % 1000, words()));
        }
    }

    /// Until something is due, or a request arrives. The time passes only when no controller can do anything more.
    async fn wait(&mut self, heard: bool) {
        if heard {
            sleep(Duration::from_millis(1)).await;
        } else {
            let at = self.due().map_or(self.now() + 1_000, |(at, _)| at);
            let left = Duration::from_millis(at.saturating_sub(self.now()));
            tokio::select! {
                biased;
                () = self.network.rings() => sleep(Duration::from_millis(1)).await,
                () = sleep_until(tokio::time::Instant::now() + left) => {}
            }
        }
        // What else woke up at this very moment does what it can.
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
        }
    }

    fn instance_of(&self, process: usize) -> Option<usize> {
        self.instances.iter().position(|instance| instance.process == Some(process))
    }

    /// What is next. What comes first of two things at the same moment is decided by their order here.
    fn due(&self) -> Option<(u64, Due)> {
        let event = self.story.events.get(self.told).map(|event| (event.at, Due::Event));
        let node = self.nodes.due().map(|at| (at, Due::Node));
        let starts = self.instances.iter().enumerate().filter(|(_, instance)| instance.process.is_none());
        let flights = self.flights.iter().enumerate().map(|(nth, flight)| (flight.at, Due::Flight(nth)));
        let landings = self.landings.iter().enumerate().map(|(nth, landing)| (landing.at, Due::Landing(nth)));
        let watches = self.watches.iter().enumerate();
        [(self.lease_at, Due::Lease), (self.look_at, Due::Look)]
            .into_iter()
            .chain(event)
            .chain(node)
            .chain(starts.map(|(nth, instance)| (instance.starts, Due::Start(nth))))
            .chain(flights)
            .chain(landings)
            .chain(watches.map(|(nth, watch)| {
                (watch.due.map_or(watch.ends, |due| due.min(watch.ends)), Due::Watch(nth))
            }))
            .min_by_key(|(at, _)| *at)
    }

    /// Does it; true when a controller heard of it.
    async fn perform(&mut self, due: Due) -> Result<bool, Failure> {
        match due {
            Due::Event => {
                let event = self.story.events[self.told].clone();
                self.told += 1;
                self.says(|| format!("story {}", serde_json::to_string(&event.what).unwrap_or_default()));
                self.coverage.tells(&event.what, self.is_running());
                return Ok(self.happens(&event.what));
            }
            Due::Node => {
                let task = self.with_hands(Nodes::act);
                self.says(|| task.map_or(String::new(), |task| format!("node {task:?}")));
                self.watchman.databases(&self.postgres, &self.truth)?;
            }
            Due::Lease => return Ok(self.renew()),
            Due::Start(nth) => {
                self.processes += 1;
                let process = self.processes;
                self.says(|| format!("starts {nth} as process {process}"));
                self.instances[nth].start(nth, self.processes, &self.network, &self.clocks);
                return Ok(true);
            }
            Due::Flight(nth) => return Ok(self.arrives(nth).await),
            Due::Landing(nth) => return Ok(self.lands(nth)),
            Due::Watch(nth) => return Ok(self.tell(nth)),
            Due::Look => self.observe()?,
        }
        Ok(false)
    }

    pub fn with_hands<T>(&mut self, act: impl FnOnce(&mut Nodes, &mut Hands) -> T) -> T {
        let (now, time) = (self.clocks.now(), self.clocks.right());
        let (cluster, postgres, truth) = (&mut self.cluster, &mut self.postgres, &mut self.truth);
        let coverage = &mut self.coverage;
        act(&mut self.nodes, &mut Hands { cluster, postgres, truth, coverage, now, time })
    }

    /// Whether a Job goes on.
    fn is_running(&self) -> bool {
        let mut jobs = self.cluster.objects.iter().filter(|(key, _)| key.0 == "jobs");
        jobs.any(|(_, job)| !job["status"]["conditions"].is_array())
    }

    /// Until when a process stands still.
    fn pause_of(&self, process: usize) -> Option<u64> {
        let paused = self.instances[self.instance_of(process)?].paused;
        (self.now() < paused).then_some(paused + 1)
    }

    /// A watch hears what is new, or ends.
    fn tell(&mut self, nth: usize) -> bool {
        let now = self.now();
        if let Some(until) = self.pause_of(self.watches[nth].process) {
            let watch = &mut self.watches[nth];
            (watch.due, watch.ends) = (Some(until), watch.ends.max(until + 1));
            return false;
        }
        let watch = &mut self.watches[nth];
        watch.due = None;
        if watch.is_over() || now >= watch.ends {
            watch.end();
            self.watches.remove(nth);
            return true;
        }
        if !watch.lags(&self.changes) {
            return false;
        }
        let heard = watch.hear(&self.changes).into_iter().collect::<Vec<_>>().join(", ");
        let words = format!("told {}: {heard}", watch.words);
        self.says(|| words);
        true
    }

    /// Compares what is stored with what was, and tells every watch that is to know.
    fn record(&mut self) -> Result<(), Failure> {
        if self.cluster.revision() == self.seen {
            return Ok(());
        }
        self.seen = self.cluster.revision();
        let from = self.changes.len();
        self.changes.extend(differences(&self.cluster, &mut self.mirror));
        let now = self.now();
        for nth in from..self.changes.len() {
            let change = self.changes[nth].clone();
            let what = match (&change.before, &change.after) {
                (None, _) => "new",
                (_, None) => "gone",
                _ => "changed",
            };
            self.says(|| format!("{what} {} {} {}", change.key.0, change.key.2, summary(&change)));
            self.nodes.hear(&change, now);
            self.watchman.see(&change, &self.cluster, &self.truth, &mut self.coverage)?;
        }
        for watch in &mut self.watches {
            if watch.due.is_none() && watch.lags(&self.changes) {
                let nth = self.instances.iter().position(|instance| instance.process == Some(watch.process));
                let slow = nth.map(|nth| self.slow_watches[nth]).filter(|(until, _)| now < *until);
                if slow.is_some() {
                    self.coverage.saw("a watch is slow");
                }
                watch.due = Some(now + self.rng.u64(1..60 + slow.map_or(0, |(_, upto)| upto)));
            }
        }
        Ok(())
    }

    /// Whether the story is over, everything has come to its end, and nothing moves any more.
    fn observe(&mut self) -> Result<(), Failure> {
        if let Some(nth) = self.instances.iter().position(Instance::has_ended) {
            return Err(Failure::new("loops", format!("a loop of the instance {nth} ended by itself")));
        }
        let now = self.now();
        self.look_at = now + EVERY;
        let writes = self.cluster.writes.len();
        self.phase = match self.phase {
            Phase::Acts => {
                for whose in [Clock::Server, Clock::Instance(0), Clock::Instance(1), Clock::Nodes] {
                    self.set_clock(whose, 0);
                }
                self.doom.clear();
                self.says(|| "nothing happens any more".to_owned());
                Phase::Ends(now + PROGRESS)
            }
            Phase::Ends(until) => match oracle::unfinished(self) {
                None => Phase::Still(now + LAST_WORDS + STILL, writes),
                Some(words) if now >= until => return Err(Failure::new("progress", words)),
                Some(_) => Phase::Ends(until),
            },
            Phase::Still(until, before) => {
                if let Some(words) = oracle::unfinished(self) {
                    return Err(Failure::new("progress", format!("it was at its end, and then: {words}")));
                }
                let still = now + STILL > until;
                if still && before != writes && !oracle::repeats(self) {
                    let written = self.cluster.writes[before..].join("; ");
                    return Err(Failure::new("settled", format!("a settled world wrote: {written}")));
                }
                if now >= until {
                    Phase::Over
                } else {
                    Phase::Still(until, if still { before } else { writes })
                }
            }
            Phase::Over => Phase::Over,
        };
        Ok(())
    }
}
