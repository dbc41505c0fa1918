//! What happens to a world from outside: what people do, and what goes wrong. A story is made from a seed, can be
//! written down, and stays a story when any of its events is taken out.

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A story. The seed also decides how long everything takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Story {
    pub seed: u64,
    pub events: Vec<Event>,
}

/// Something that happens, this many milliseconds after the beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub at: u64,
    pub what: What,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum What {
    /// A person creates a DatabaseMigration.
    Create { name: String, spec: Value },
    /// A person replaces a section of the spec; null takes it out.
    Edit { name: String, section: String, value: Value },
    /// A person deletes a DatabaseMigration, and in the foreground waits for its Jobs.
    Delete { name: String, foreground: bool },
    /// A person asks for another attempt.
    Retry { name: String, word: String },
    /// A person writes a ConfigMap with these migrations.
    Source { map: String, migrations: Vec<String> },
    /// A person deletes a ConfigMap.
    NoSource { map: String },
    /// A person writes a MigrationPolicy with this deadline.
    Policy { name: String, deadline: String },
    /// A person deletes a MigrationPolicy.
    NoPolicy { name: String },
    /// A person creates the Secret of a database, or deletes it.
    Secret { name: String, there: bool },
    /// A person deletes the gate.
    NoGate,
    /// A person rolls out a workload that requires these versions of these DatabaseMigrations.
    Workload { name: String, requires: Vec<(String, String)> },
    /// The schema of a database breaks a check, or no longer does.
    Schema { database: String, broken: bool },

    /// An instance of the controller dies, and starts again after some seconds.
    Kill { instance: usize },
    /// An instance dies at its next write: before it takes effect, or before it hears so.
    KillAtWrite { instance: usize, after: bool },
    /// An instance stands still; when it goes on it does not know for a while that another one leads.
    Pause { instance: usize, ms: u64, unaware: u64 },
    /// Requests fail, so many of a thousand.
    Requests { trouble: Trouble, per_mille: u32, ms: u64 },
    /// Every watch of an instance breaks; it may have to list again.
    BreakWatches { instance: usize, gone: bool },
    /// What an instance watches comes this much later, each kind in a time of its own.
    SlowWatches { instance: usize, upto: u64, ms: u64 },
    /// A running Pod is evicted.
    Evict { pick: u64 },
    /// The container of a stage is killed; those behind it may not notice.
    KillContainer { pick: u64, unseen: bool },
    /// A node cannot be reached: what runs there goes on, and nothing is heard of it.
    NodeVanishes { node: usize, ms: u64 },
    /// Pods start this much later.
    SlowStart { upto: u64, ms: u64 },
    /// A stage takes this much longer.
    SlowStages { upto: u64, ms: u64 },
    /// A clock jumps, and is set right after a while.
    Clock { whose: Clock, seconds: i64, ms: u64 },
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// It never arrives.
    Lost,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// It is refused with this code.
    Refused(u16),
    /// The answer comes late, so that what it tells is old.
    Stale(u64),
}

/// Whose clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clock {
    Server,
    Instance(usize),
    Nodes,
}

/// So long do people and faults act.
const ACTED: u64 = 150_000;

impl What {
    /// When it no longer has an effect of its own.
    pub fn lasts(&self) -> u64 {
        match self {
            Self::Kill { .. } | Self::KillAtWrite { .. } => 5_000,
            Self::Pause { ms, unaware, .. } => ms + unaware,
            Self::Requests { ms, .. }
            | Self::SlowWatches { ms, .. }
            | Self::NodeVanishes { ms, .. }
            | Self::SlowStart { ms, .. }
            | Self::SlowStages { ms, .. }
            | Self::Clock { ms, .. } => *ms,
            _ => 0,
        }
    }
}

impl Story {
    /// The story of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut plot = Plot { rng: rng.fork(), events: Vec::new(), objects: Vec::new() };
        plot.cast();
        for _ in 0..rng.usize(2..10) {
            let at = rng.u64(1_000..ACTED);
            plot.edit(at);
        }
        // Some worlds have no faults at all: what goes wrong there is the story's.
        let faults = if rng.u8(0..10) == 0 { 0 } else { rng.usize(1..8) };
        for _ in 0..faults {
            let at = rng.u64(0..ACTED);
            plot.fault(at);
        }
        plot.events.sort_by_key(|event| event.at);
        Self { seed, events: plot.events }
    }

    /// When nothing is edited any more and nothing goes wrong.
    pub fn ends(&self) -> u64 {
        self.events.iter().map(|event| event.at + event.what.lasts()).max().unwrap_or(0)
    }

    /// Whether two instances may take themselves for the leader.
    pub fn has_two_leaders(&self) -> bool {
        self.events.iter().any(|event| matches!(event.what, What::Pause { .. }))
    }
}

/// A story that is being made.
struct Plot {
    rng: Rng,
    events: Vec<Event>,
    /// Name, database and source of each object; how many migrations its source has.
    objects: Vec<Object>,
}

#[derive(Clone)]
struct Object {
    name: String,
    database: String,
    map: String,
    migrations: Vec<String>,
    spec: Value,
}

impl Plot {
    fn says(&mut self, at: u64, what: What) {
        self.events.push(Event { at, what });
    }

    fn chance(&mut self, of_ten: u8) -> bool {
        self.rng.u8(0..10) < of_ten
    }

    /// Who is there at the beginning.
    fn cast(&mut self) {
        let names = ["auth", "billing", "clinic", "dental"];
        let count = self.rng.usize(1..=names.len());
        for (nth, name) in names.iter().take(count).enumerate() {
            let twin = self.objects.last().cloned().filter(|_| self.rng.u8(0..10) < 3);
            let (database, map, migrations) = if let Some(twin) = twin {
                (twin.database, twin.map, twin.migrations)
            } else {
                let many = self.rng.usize(0..4);
                let source = (1..=many).map(|n| self.migration(n)).collect();
                (format!("{name}-db"), format!("{name}-migrations"), source)
            };
            let spec = self.spec(nth, &names[..count], &database, &map);
            let object = Object { name: (*name).to_owned(), database, map, migrations, spec };
            self.introduce(&object);
            self.objects.push(object);
        }
        if self
            .events
            .iter()
            .any(|event| matches!(&event.what, What::Create { spec, .. } if spec["policyRef"].is_object()))
            && self.chance(8)
        {
            let at = self.rng.u64(0..20_000);
            self.says(at, What::Policy { name: "house".into(), deadline: "20m".into() });
        }
        if self.chance(5) {
            let at = self.rng.u64(0..60_000);
            self.workload(at);
        }
    }

    fn introduce(&mut self, object: &Object) {
        let soon = |rng: &mut Rng| if rng.u8(0..4) == 0 { rng.u64(0..30_000) } else { rng.u64(0..500) };
        let (map, migrations) = (object.map.clone(), object.migrations.clone());
        let at = soon(&mut self.rng);
        if !self
            .events
            .iter()
            .any(|event| matches!(&event.what, What::Source { map: other, .. } if *other == map))
        {
            self.says(at, What::Source { map, migrations });
        }
        let at = soon(&mut self.rng);
        self.says(at, What::Secret { name: object.database.clone(), there: true });
        let at = soon(&mut self.rng);
        self.says(at, What::Create { name: object.name.clone(), spec: object.spec.clone() });
    }

    fn migration(&mut self, n: usize) -> String {
        // A few fail, and a few run statement by statement.
        let kind = match self.rng.u8(0..12) {
            0 => "bad",
            1 | 2 => "alone",
            _ => "plain",
        };
        format!("{n:02}_{kind}")
    }

    fn spec(&mut self, nth: usize, names: &[&str], database: &str, map: &str) -> Value {
        let mut spec = json!({
            "database": {"secretRef": {"name": database, "key": "url"}, "schemas": ["public"]},
            "migrations": {"configMaps": [map]},
            "snapshot": {"dump": {"volumeClaim": "snapshots", "jobs": 1}},
        });
        if self.chance(3) {
            spec["before"] = self.before(nth, names);
        }
        if self.chance(2) {
            spec["verify"] = json!({"every": "2m"});
        }
        if self.chance(2) {
            spec["policyRef"] = json!({"name": "house"});
        }
        if self.chance(1) {
            spec["suspend"] = json!(true);
        }
        spec
    }

    /// Mostly someone earlier; now and then anyone, so that there are cycles.
    fn before(&mut self, nth: usize, names: &[&str]) -> Value {
        let before = if nth > 0 && !self.chance(1) { nth } else { names.len() };
        let other = names[self.rng.usize(0..before)];
        if other == names[nth] || self.chance(3) {
            return json!({"group": {"name": "services", "position": nth + 1}});
        }
        let condition = if self.chance(5) { "Applied" } else { "Ready" };
        json!({"dependsOn": [{"name": other, "condition": condition}]})
    }

    fn workload(&mut self, at: u64) {
        let object = self.objects[self.rng.usize(0..self.objects.len())].clone();
        let version = object.migrations.last().cloned().unwrap_or_else(|| "01_plain".to_owned());
        let name = format!("app-{}", self.rng.u8(0..2));
        self.says(at, What::Workload { name, requires: vec![(object.name, version)] });
    }

    /// What a person does.
    fn edit(&mut self, at: u64) {
        let nth = self.rng.usize(0..self.objects.len());
        let Object { name, database, map, spec, .. } = self.objects[nth].clone();
        let section = |section: &str, value: Value| What::Edit {
            name: name.clone(),
            section: section.to_owned(),
            value,
        };
        let what = match self.rng.u8(0..20) {
            0..6 => {
                let next = self.objects[nth].migrations.len() + 1;
                let added = self.migration(next);
                self.objects[nth].migrations.push(added);
                What::Source { map, migrations: self.objects[nth].migrations.clone() }
            }
            6 => {
                // Back to an older release.
                let keep = self.objects[nth].migrations.len().saturating_sub(1);
                What::Source { map, migrations: self.objects[nth].migrations[..keep].to_vec() }
            }
            7 => {
                // A failed migration is mended: its file is another one.
                for migration in &mut self.objects[nth].migrations {
                    *migration = migration.replace("bad", "plain");
                }
                What::Source { map, migrations: self.objects[nth].migrations.clone() }
            }
            8 | 9 => section("apply", json!({"deadline": format!("{}m", self.rng.u8(11..15))})),
            10 => section("apply", json!({"deadline": "1s", "lockTimeout": "0s"})),
            11 => section("suspend", json!(self.rng.bool())),
            12 => What::Retry { name, word: self.rng.u16(..).to_string() },
            13 => {
                let foreground = self.rng.bool();
                if self.chance(7) {
                    let later = at + self.rng.u64(10..20_000);
                    self.says(later, What::Create { name: name.clone(), spec });
                }
                What::Delete { name, foreground }
            }
            14 => What::Secret { name: database, there: self.rng.bool() },
            15 => self.policy(),
            16 if self.chance(3) => What::NoGate,
            16 => section("verify", if self.rng.bool() { json!({"every": "2m"}) } else { Value::Null }),
            17 => What::Schema { database, broken: self.rng.bool() },
            18 if self.chance(5) => What::NoSource { map },
            _ => return self.workload(at),
        };
        self.says(at, what);
    }

    fn policy(&mut self) -> What {
        if self.chance(2) {
            return What::NoPolicy { name: "house".into() };
        }
        What::Policy { name: "house".into(), deadline: format!("{}m", self.rng.u8(15..30)) }
    }

    /// What goes wrong.
    fn fault(&mut self, at: u64) {
        let rng = &mut self.rng;
        let instance = rng.usize(0..2);
        let ms = rng.u64(1_000..40_000);
        let what = match rng.u8(0..18) {
            0 => What::Kill { instance },
            1..4 => What::KillAtWrite { instance, after: rng.bool() },
            4 | 5 => What::Pause { instance, ms: rng.u64(500..40_000), unaware: rng.u64(0..8_000) },
            6..10 => What::Requests { trouble: trouble(rng), per_mille: rng.u32(20..500), ms },
            10 => What::BreakWatches { instance, gone: rng.bool() },
            11 => What::SlowWatches { instance, upto: rng.u64(100..20_000), ms },
            12 => What::Evict { pick: rng.u64(..) },
            13 => What::KillContainer { pick: rng.u64(..), unseen: rng.bool() },
            14 => What::NodeVanishes { node: rng.usize(0..2), ms: rng.u64(2_000..90_000) },
            15 => What::SlowStart { upto: rng.u64(1_000..60_000), ms },
            16 => What::SlowStages { upto: rng.u64(1_000..30_000), ms },
            _ => {
                let whose = [Clock::Server, Clock::Instance(instance), Clock::Nodes][rng.usize(0..3)];
                let by = [2, 15, 90, 3600][rng.usize(0..4)];
                What::Clock { whose, seconds: if rng.bool() { by } else { -by }, ms: rng.u64(1_000..60_000) }
            }
        };
        self.says(at, what);
    }
}

fn trouble(rng: &mut Rng) -> Trouble {
    match rng.u8(0..6) {
        0 => Trouble::Lost,
        1 | 2 => Trouble::AnswerLost,
        3 => Trouble::Refused([409, 429, 500, 503][rng.usize(0..4)]),
        _ => Trouble::Stale(rng.u64(50..15_000)),
    }
}
