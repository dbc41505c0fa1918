//! How a seed becomes a story: who is there at the beginning, what people do, and what goes wrong.

use fastrand::Rng;
use serde_json::{Value, json};
use sluice::contract::Stage;

use super::story::{Clock, Death, Event, Story, Trouble, Victim, What, Write};

/// So long do people and faults act.
const ACTED: u64 = 150_000;

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
        // A few fail, a few run statement by statement, and a few take long.
        let kind = match self.rng.u8(0..12) {
            0 => "bad",
            1 | 2 => "alone",
            3 | 4 => "long",
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
        if self.chance(3) {
            spec["before"]["window"] = self.window();
        }
        // No throw of the dice: the other stories stay as they are.
        if nth % 2 == 1 {
            spec["before"]["rehearsal"] = json!({});
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
        let what = match self.rng.u8(0..28) {
            0..8 => self.source(nth),
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
            19 | 20 => section("before", json!({"window": self.window()})),
            21 => {
                let before = self.other_before(nth);
                section("before", before)
            }
            22 | 23 => {
                // Mostly while there is a run to abort.
                let soon_after = self.rng.choice(&self.events).map_or(at, |event| event.at);
                let at = soon_after + self.rng.u64(100..8_000);
                return self.says(at, What::Abort { name });
            }
            24 => {
                if self.chance(7) {
                    let later = at + self.rng.u64(10..40_000);
                    self.says(later, What::Hold { name: name.clone(), paused: false });
                }
                What::Hold { name, paused: true }
            }
            _ => return self.workload(at),
        };
        self.says(at, what);
    }

    /// Another release: a newer one, an older one, or one that is mended.
    fn source(&mut self, nth: usize) -> What {
        let known = self.objects[nth].migrations.len();
        match self.rng.u8(0..8) {
            0 => {
                let migrations = self.objects[nth].migrations[..known.saturating_sub(1)].to_vec();
                return What::Source { map: self.objects[nth].map.clone(), migrations };
            }
            1 => {
                for migration in &mut self.objects[nth].migrations {
                    *migration = migration.replace("bad", "plain");
                }
            }
            _ => {
                let added = self.migration(known + 1);
                self.objects[nth].migrations.push(added);
            }
        }
        What::Source { map: self.objects[nth].map.clone(), migrations: self.objects[nth].migrations.clone() }
    }

    /// The section `before` written anew: other neighbours go first, or none, and the window is gone.
    fn other_before(&mut self, nth: usize) -> Value {
        if self.chance(3) {
            return Value::Null;
        }
        let names: Vec<String> = self.objects.iter().map(|object| object.name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.before(nth, &names)
    }

    /// Mostly one that opens every few minutes; now and then one that is open for hours, or that does not open
    /// as long as the story lasts.
    fn window(&mut self) -> Value {
        let zone = ["Etc/UTC", "Asia/Kolkata"][self.rng.usize(0..2)];
        let (schedule, duration) = match self.rng.u8(0..10) {
            0 => ("0 2 * * *", "1h"),
            1 => ("0 20 * * *", "3h"),
            2..5 => ("*/2 * * * *", "1m"),
            5..8 => ("*/3 * * * *", "1m"),
            8 => ("*/5 * * * *", "2m"),
            _ => ("*/10 * * * *", "8m"),
        };
        json!({"schedule": schedule, "duration": duration, "timeZone": zone})
    }

    fn policy(&mut self) -> What {
        if self.chance(2) {
            return What::NoPolicy { name: "house".into() };
        }
        What::Policy { name: "house".into(), deadline: format!("{}m", self.rng.u8(15..30)) }
    }

    /// What goes wrong: half of the time while the controllers are busy with something else.
    fn fault(&mut self, at: u64) {
        let rng = &mut self.rng;
        let soon_after = rng.choice(&self.events).map(|event| event.at + rng.u64(10..3_000));
        let at = soon_after.filter(|_| rng.bool()).unwrap_or(at);
        let instance = rng.usize(0..2);
        let ms = rng.u64(1_000..40_000);
        let what = match rng.u8(0..30) {
            0 => What::Kill { instance },
            1..5 | 27..30 => kill_at_write(rng),
            5 | 6 => What::Pause { instance, ms: rng.u64(500..40_000), unaware: rng.u64(0..8_000) },
            7..11 => What::Requests { trouble: trouble(rng), per_mille: rng.u32(20..500), ms },
            11 => What::BreakWatches { instance, gone: rng.bool() },
            12 => What::SlowWatches { instance, upto: rng.u64(100..20_000), ms },
            13 => What::Evict { victim: victim(rng) },
            14..17 => What::KillContainer { victim: victim(rng), unseen: rng.bool() },
            17..20 => node_vanishes(rng),
            20 => What::SlowStart { upto: rng.u64(1_000..60_000), ms },
            21 => What::SlowStages { upto: rng.u64(1_000..30_000), ms },
            22 => What::WakeAgain { instance },
            23 | 24 => What::Freeze { victim: victim(rng), ms: rng.u64(1_000..60_000) },
            25.. => {
                let whose = [Clock::Server, Clock::Instance(instance), Clock::Nodes][rng.usize(0..3)];
                let by = [2, 15, 90, 3600][rng.usize(0..4)];
                What::Clock { whose, seconds: if rng.bool() { by } else { -by }, ms: rng.u64(1_000..60_000) }
            }
        };
        self.says(at, what);
    }
}

fn kill_at_write(rng: &mut Rng) -> What {
    // The rarer a write, the more often it is named.
    let write = match rng.u8(0..15) {
        0 => Some(Write::Status),
        1 => Some(Write::Event),
        2 | 3 => Some(Write::NewJob),
        4 | 5 => Some(Write::Gate),
        6..9 => Some(Write::JobGoes),
        9..14 => Some(Write::Workload),
        _ => None,
    };
    let death = match rng.u8(0..7) {
        0..3 => Death::Before,
        3..6 => Death::After,
        _ => Death::OnItsWay,
    };
    What::KillAtWrite { death, write }
}

/// Mostly one that migrates: there is the most to lose.
fn victim(rng: &mut Rng) -> Victim {
    let stage = match rng.u8(0..8) {
        0 | 1 => None,
        2 => Some(Stage::Plan),
        3 => Some(Stage::Snapshot),
        4 => Some(Stage::Verify),
        _ => Some(Stage::Migrate),
    };
    Victim { stage, turns: rng.u32(0..3) }
}

fn node_vanishes(rng: &mut Rng) -> What {
    let ms = rng.u64(2_000..90_000);
    let still = if rng.bool() { rng.u64(0..=ms) } else { 0 };
    What::NodeVanishes { victim: victim(rng), ms, still }
}

fn trouble(rng: &mut Rng) -> Trouble {
    match rng.u8(0..6) {
        0 => Trouble::Lost,
        1 | 2 => Trouble::AnswerLost,
        3 => Trouble::Refused([409, 429, 500, 503][rng.usize(0..4)]),
        _ => Trouble::Stale(rng.u64(50..15_000)),
    }
}
