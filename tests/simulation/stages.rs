//! What the stages of a run do to a database, and what they say of it. Where the real stages ask PostgreSQL, these ask
//! the model of it, in the same order: the history is read, the lock is taken, the history is read again.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;
use sluice::{
    api::{Failure, ReadBack, Reason, SnapshotRecord, Span},
    contract::{HistorySummary, Outcome, Purpose, Required, Route, Stage},
    limits::CLOCK_SKEW,
};

use super::{
    api_server::Cluster,
    postgres::{Database, Postgres},
};

/// So long does the migrate stage wait for the lock, in milliseconds.
const LOCK_TIMEOUT: u64 = 5_000;
/// So long a migration takes that takes long, in milliseconds.
const LONG: u64 = 15_000;

/// A run as its stages know it.
#[derive(Clone, Debug)]
pub struct Work {
    /// The Secret of the database.
    pub database: String,
    /// The migrations of the source, as they were mounted.
    pub source: Vec<String>,
    pub purpose: Purpose,
    /// The stages of its Pod.
    pub route: Route,
    /// The versions of which the verification answers.
    pub required: Vec<String>,
    /// The stage at work.
    pub stage: Stage,
    /// How often that stage was at work before.
    pub turns: u32,
    /// The session of the migrate stage.
    pub session: Option<u64>,
    /// The history as the plan saw it.
    seen: Vec<String>,
    /// Until when the lock is waited for.
    waits: Option<u64>,
    /// When the migrations that go together are through, once they have begun.
    through: Option<u64>,
    /// Something was committed.
    applied: bool,
    /// Its deadline, which the stages keep themselves.
    until: u64,
    /// When its window closes.
    pub ends_by: Option<Timestamp>,
    /// It ended because its window closes.
    pub is_over: bool,
}

/// What comes of a moment of work.
pub enum Turn {
    /// The stage goes on.
    GoesOn,
    /// The stage ended.
    Ended(Box<Outcome>),
}

impl Work {
    /// What a Pod is to do, read from its environment and its volumes as they are now; or why it cannot start.
    pub fn of(
        spec: &Value,
        cluster: &Cluster,
        secrets: &BTreeSet<String>,
        now: u64,
    ) -> Result<Self, (&'static str, String)> {
        let containers = spec["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let container = containers.last().unwrap_or(&Value::Null);
        let rehearses = containers.iter().any(|container| container["name"] == Stage::Rehearse.name());
        let variable = |name: &str| {
            let mut variables = container["env"].as_array().into_iter().flatten();
            variables.find(|variable| variable["name"] == name)
        };
        let database = variable("DATABASE_URL").map(|url| url["valueFrom"]["secretKeyRef"]["name"].clone());
        let database = database.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        if !secrets.contains(&database) {
            return Err(("CreateContainerConfigError", format!("secret {database:?} not found")));
        }
        let value = |name: &str| variable(name).and_then(|variable| variable["value"].as_str());
        let required = value("SLUICE_REQUIRED").and_then(|text| serde_json::from_str(text).ok());
        let manifest: Value =
            value("SLUICE_SPEC").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let deadline = value("SLUICE_DEADLINE").or(manifest["spec"]["apply"]["deadline"].as_str());
        let deadline: Span = deadline.unwrap_or("30m").parse().expect("a deadline");
        let purpose = value("SLUICE_PURPOSE").and_then(Purpose::named).unwrap_or(Purpose::Apply);
        Ok(Self {
            database,
            source: mounted(spec, cluster)?,
            purpose,
            route: purpose.route().rehearsing(rehearses),
            required: required.unwrap_or_default(),
            stage: Stage::Plan,
            turns: 0,
            session: None,
            seen: Vec::new(),
            waits: None,
            through: None,
            applied: false,
            until: now + u64::try_from(deadline.duration().as_millis()).unwrap_or(u64::MAX / 2),
            ends_by: value("SLUICE_ENDS_BY").map(|text| text.parse().expect("a moment")),
            is_over: false,
        })
    }

    /// The next stage begins.
    pub const fn enters(&mut self, stage: Stage) {
        (self.stage, self.turns) = (stage, 0);
    }

    /// Works for a moment at the stage that it is in.
    pub fn turn(&mut self, postgres: &mut Postgres, now: u64, time: Timestamp) -> Turn {
        self.turns += 1;
        // As the real stages: a verification changes nothing, so it may outlast the window.
        self.is_over = self.stage != Stage::Verify && self.has_closed(time);
        if self.is_over {
            return self.ends(postgres, Reason::DeadlineExceeded, false);
        }
        if now > self.until {
            return self.ends(postgres, Reason::DeadlineExceeded, false);
        }
        match self.stage {
            Stage::Plan => Turn::Ended(Box::new(self.plan(postgres.database(&self.database)))),
            Stage::Snapshot => Turn::Ended(Box::new(self.snapshot(postgres.database(&self.database), time))),
            Stage::Rehearse => Turn::Ended(Box::new(self.rehearse(postgres.database(&self.database)))),
            Stage::Migrate => self.migrate(postgres, now),
            Stage::Verify => Turn::Ended(Box::new(self.verify(postgres.database(&self.database)))),
        }
    }

    /// Its window closes, by the clock of its node and as much earlier as clocks may differ.
    fn has_closed(&self, time: Timestamp) -> bool {
        let latest = self.ends_by.map(|ends_by| ends_by.saturating_sub(CLOCK_SKEW).expect("a moment"));
        latest.is_some_and(|latest| time >= latest)
    }

    fn plan(&mut self, database: &Database) -> Outcome {
        self.seen.clone_from(&database.rows);
        let ahead: Vec<&String> = database.rows.iter().filter(|row| !self.source.contains(row)).collect();
        let newest = database.rows.ends_with(&ahead.iter().map(|row| (*row).clone()).collect::<Vec<_>>());
        let pending = self.pending(database);
        let (reason, passed) = match (ahead.is_empty(), pending.is_empty()) {
            (true, false) => (Reason::PlanReady, true),
            (true, true) => (Reason::NothingPending, true),
            (false, true) if newest => (Reason::DatabaseAhead, true),
            (false, _) => (Reason::HistoryDiverged, false),
        };
        self.says(reason, passed, database)
    }

    fn snapshot(&self, database: &Database, time: Timestamp) -> Outcome {
        if self.purpose == Purpose::Verify || self.pending(database).is_empty() {
            return Outcome::passed(Stage::Snapshot, Reason::SnapshotNotNeeded, "nothing is pending");
        }
        let mut outcome = Outcome::passed(Stage::Snapshot, Reason::SnapshotTaken, "taken and read back");
        outcome.snapshot = Some(SnapshotRecord {
            reference: format!("snapshots:{}", self.database),
            taken_at: Time(Timestamp::from_second(time.as_second()).unwrap_or(time)),
            bytes: 42,
            sha256: "00".into(),
            verified: ReadBack::Read,
        });
        outcome
    }

    /// It passes. What is bad fails in the stage `migrate`, so that the two do not hide each other.
    fn rehearse(&self, database: &Database) -> Outcome {
        let pending = !self.pending(database).is_empty();
        let reason = if pending { Reason::Rehearsed } else { Reason::RehearsalNotNeeded };
        Outcome::passed(Stage::Rehearse, reason, "on a copy")
    }

    fn migrate(&mut self, postgres: &mut Postgres, now: u64) -> Turn {
        if self.purpose == Purpose::Verify {
            // As the real stage says, whatever is pending.
            return self.ends(postgres, Reason::Applied, true);
        }
        let session = *self.session.get_or_insert_with(|| postgres.connect());
        let until = *self.waits.get_or_insert(now + LOCK_TIMEOUT);
        let database = postgres.database(&self.database);
        if database.has_ended(session) {
            return self.ends(postgres, Reason::ConnectionFailed, false);
        }
        if !database.lock(session) {
            return if now < until {
                Turn::GoesOn
            } else {
                self.ends(postgres, Reason::WaitingForLock, false)
            };
        }
        if database.rows != self.seen {
            return self.ends(postgres, Reason::HistoryChanged, false);
        }
        let group = self.group(database);
        let long = group.iter().any(|name| name.ends_with("long"));
        if now < *self.through.get_or_insert(now + if long { LONG } else { 1 }) {
            return Turn::GoesOn;
        }
        if let Some(bad) = group.iter().find(|name| name.ends_with("bad")) {
            let mut outcome = self.says(Reason::MigrationFailed, false, database);
            outcome.failure = Some(Failure {
                column: None,
                left: String::new(),
                migration: bad.clone(),
                file: format!("{bad}/migration.sql"),
                line: 3,
                statement: "ALTER TABLE nowhere".into(),
                sqlstate: "42P01".into(),
                message: "relation \"nowhere\" does not exist".into(),
            });
            database.end(session);
            return Turn::Ended(Box::new(outcome));
        }
        database.commit(session, &group);
        self.applied |= !group.is_empty();
        self.seen.clone_from(&database.rows);
        self.waits = Some(u64::MAX);
        self.through = None;
        if !self.pending(database).is_empty() {
            return Turn::GoesOn;
        }
        self.ends(postgres, if self.applied { Reason::Applied } else { Reason::NothingPending }, true)
    }

    /// The next migrations that are committed together: what runs statement by statement is committed alone, and what
    /// comes before it, too.
    fn group(&self, database: &Database) -> Vec<String> {
        let mut pending = self.pending(database);
        let alone = pending.iter().position(|name| name.ends_with("alone"));
        pending.truncate(alone.map_or(pending.len(), |at| at.max(1)));
        pending
    }

    /// What is committed even if the process that works here dies now: it has sent all of it. One that has reached its
    /// end has cancelled what was at work.
    pub fn in_flight(&self, database: &Database, now: u64, time: Timestamp) -> Vec<String> {
        let goes_on = self.stage == Stage::Migrate && now <= self.until && !self.has_closed(time);
        let through = goes_on && self.through.is_some_and(|through| now >= through);
        let group = self.group(database);
        let fails = group.iter().any(|name| name.ends_with("bad"));
        if through && !fails && database.rows == self.seen { group } else { Vec::new() }
    }

    fn ends(&self, postgres: &mut Postgres, reason: Reason, passed: bool) -> Turn {
        let database = postgres.database(&self.database);
        if let Some(session) = self.session {
            database.end(session);
        }
        Turn::Ended(Box::new(self.says(reason, passed, database)))
    }

    fn verify(&self, database: &Database) -> Outcome {
        let passed = !database.broken && self.pending(database).is_empty();
        let reason = if passed { Reason::Verified } else { Reason::VerificationFailed };
        let mut outcome = self.says(reason, passed, database);
        let answer = |version: &String| Required {
            applied: database.rows.contains(version),
            version: version.clone(),
        };
        outcome.required = self.required.iter().map(answer).collect();
        outcome
    }

    fn pending(&self, database: &Database) -> Vec<String> {
        self.source.iter().filter(|name| !database.rows.contains(name)).cloned().collect()
    }

    fn says(&self, reason: Reason, passed: bool, database: &Database) -> Outcome {
        let words = format!("the stage {} says {}", self.stage.name(), reason.name());
        let mut outcome = if passed {
            Outcome::passed(self.stage, reason, words)
        } else {
            Outcome::failed(self.stage, reason, words)
        };
        let pending = self.pending(database);
        outcome.milliseconds = 7;
        outcome.history = Some(HistorySummary {
            current: database.rows.last().cloned(),
            applied_count: u32::try_from(database.rows.len()).unwrap_or(u32::MAX),
            applied: database.rows.iter().rev().cloned().collect(),
            pending_count: u32::try_from(pending.len()).unwrap_or(u32::MAX),
            pending,
            database: Some(format!("7/{}", self.database)),
            ..HistorySummary::default()
        });
        outcome
    }
}

/// The migrations of the source, as a Pod mounts them; or why it cannot.
fn mounted(spec: &Value, cluster: &Cluster) -> Result<Vec<String>, (&'static str, String)> {
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
    Ok(source)
}
