//! Windows: when they open, held against a slow and obvious reference in the nights in which clocks change; what
//! is wrong with one; and the controller waiting for one.

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use kube::runtime::controller::Action;
use serde_json::{Value, json};
use sluice::{
    api::{self, ConditionType, DatabaseMigration},
    validate::{Window, WindowState, validate},
};

use super::world::{World, key};

fn read(schedule: &str, duration: &str, zone: &str) -> Result<Window, Vec<String>> {
    let object: DatabaseMigration = serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "records"},
        "spec": {
            "database": {"secretRef": {"name": "records-db"}},
            "migrations": {"configMaps": ["records-migrations"]},
            "before": {"window": {"schedule": schedule, "duration": duration, "timeZone": zone}},
            "snapshot": {"none": {"reason": "a database of a test"}},
        },
    }))
    .expect("a manifest");
    let valid = validate(&object).map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>());
    valid.map(|valid| valid.window.expect("a window"))
}

fn window(schedule: &str, duration: &str, zone: &str) -> Window {
    read(schedule, duration, zone).expect("a window")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

const ENOUGH: SignedDuration = SignedDuration::from_hours(12);

#[test]
fn both_nights_of_the_time_change_in_four_zones_open_when_they_should() {
    for (schedule, zone, asked, opens) in [
        ("0 2 * * SUN", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
        ("30 2 * * SUN", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"),
        ("0 2 * * SUN", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:00:00Z"),
        ("0 2 * * SUN", "Europe/Berlin", "2026-10-25T01:00:00Z", "2026-11-01T01:00:00Z"),
        ("30 2 * * *", "America/New_York", "2026-03-08T06:00:00Z", "2026-03-08T07:30:00Z"),
        ("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", "2026-11-01T05:30:00Z"),
        ("30 1 * * *", "America/New_York", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03T15:45:00Z"),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", "2026-04-04T14:45:00Z"),
        ("30 0 * * *", "Africa/Cairo", "2026-04-23T20:00:00Z", "2026-04-23T22:30:00Z"),
        ("30 23 * * *", "Africa/Cairo", "2026-10-29T12:00:00Z", "2026-10-29T20:30:00Z"),
        // The day that Samoa left out.
        ("0 12 30 12 *", "Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-30T22:00:00Z"),
    ] {
        let window = window(schedule, "30m", zone);
        let (asked, opens) = (at(asked), at(opens));
        assert_eq!(
            window.at(asked, ENOUGH),
            WindowState::Closed { until: Some(opens) },
            "{schedule} in {zone} after {asked}"
        );
        let closes = opens + SignedDuration::from_mins(30);
        for minute in [0, 1, 29] {
            let now = opens + SignedDuration::from_mins(minute);
            assert_eq!(window.at(now, ENOUGH), WindowState::Open { until: closes }, "{schedule} in {zone}");
        }
        assert!(matches!(window.at(closes, ENOUGH), WindowState::Closed { .. }), "{schedule} in {zone}");
    }
}

/// A schedule as five sets; `None` is a star.
struct Fields([Option<Vec<i8>>; 5]);

impl Fields {
    fn any(rng: &mut Rng) -> Self {
        let mut field = |least: i8, most: i8, star: u8| {
            let many = rng.usize(1..4);
            (rng.u8(0..10) >= star).then(|| (0..many).map(|_| rng.i8(least..=most)).collect::<Vec<i8>>())
        };
        Self([field(0, 59, 2), field(0, 4, 3), field(1, 31, 7), field(1, 12, 9), field(0, 6, 7)])
    }

    fn text(&self) -> String {
        let one = |field: &Option<Vec<i8>>| match field {
            None => "*".to_owned(),
            Some(values) => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// As cron has it: of the two days either is enough where both are given.
    fn has(&self, local: DateTime) -> bool {
        let is = |at: usize, value: i8| self.0[at].as_ref().is_none_or(|values| values.contains(&value));
        let (day, week) = (is(2, local.day()), is(4, local.weekday().to_sunday_zero_offset()));
        let days = if self.0[2].is_some() && self.0[4].is_some() { day || week } else { day && week };
        is(0, local.minute()) && is(1, local.hour()) && is(3, local.month()) && days
    }
}

/// Every local minute around a night, and the moment that it stands for: found by walking through all moments.
struct Night {
    zone: &'static str,
    around: Timestamp,
    minutes: BTreeMap<DateTime, Timestamp>,
}

impl Night {
    fn new(zone: &'static str, around: &str) -> Self {
        let around = at(around);
        let place = TimeZone::get(zone).expect("a zone");
        let mut minutes = BTreeMap::new();
        let mut last: Option<(DateTime, Timestamp)> = None;
        for minute in -4 * 1440..4 * 1440 {
            let moment = around + SignedDuration::from_mins(minute);
            let local = place.to_datetime(moment);
            // What was left out goes on counting from the minute before it.
            if let Some((before, then)) = last {
                let mut missing = before + SignedDuration::from_mins(1);
                let mut counted = then + SignedDuration::from_mins(1);
                while missing < local {
                    minutes.entry(missing).or_insert(counted);
                    missing += SignedDuration::from_mins(1);
                    counted += SignedDuration::from_mins(1);
                }
            }
            minutes.entry(local).or_insert(moment);
            last = Some((local, moment));
        }
        Self { zone, around, minutes }
    }

    fn openings(&self, fields: &Fields) -> Vec<Timestamp> {
        self.minutes.iter().filter(|(local, _)| fields.has(**local)).map(|(_, moment)| *moment).collect()
    }
}

fn nights() -> Vec<Night> {
    [
        ("Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("America/New_York", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("Africa/Cairo", "2026-04-23T22:00:00Z"),
        ("Africa/Cairo", "2026-10-29T21:00:00Z"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ]
    .map(|(zone, around)| Night::new(zone, around))
    .into()
}

/// Until when it is open at that moment, or when it opens next, as far as the night reaches.
fn reference(openings: &[Timestamp], duration: SignedDuration, now: Timestamp) -> WindowState {
    let mut until = now;
    loop {
        let begun = openings.iter().filter(|opening| **opening <= until);
        match begun.map(|opening| *opening + duration).max().filter(|later| *later > until) {
            Some(later) => until = later,
            None => break,
        }
    }
    if until > now {
        return WindowState::Open { until };
    }
    WindowState::Closed { until: openings.iter().filter(|opening| **opening > now).min().copied() }
}

#[test]
fn ten_thousand_random_schedules_are_as_a_slow_and_obvious_reference_has_them() {
    let nights = nights();
    let mut counts = [0_u32; 3];
    for seed in 0..10_000 {
        let mut rng = Rng::with_seed(seed);
        let night = &nights[rng.usize(..nights.len())];
        let fields = Fields::any(&mut rng);
        let minutes = rng.i64(1..240);
        let Ok(window) = read(&fields.text(), &format!("{minutes}m"), night.zone) else {
            assert_eq!(night.openings(&fields), [], "{} never comes", fields.text());
            continue;
        };
        let (openings, duration) = (night.openings(&fields), SignedDuration::from_mins(minutes));
        let now = night.around + SignedDuration::from_secs(rng.i64(-6 * 3600..6 * 3600));
        let story = format!("seed {seed}: {} for {minutes}m in {} at {now}", fields.text(), night.zone);
        let end = night.around + SignedDuration::from_hours(95);
        match (window.at(now, ENOUGH), reference(&openings, duration, now)) {
            (WindowState::Open { until }, WindowState::Open { until: expected }) => {
                // As far as was asked.
                assert_eq!(until.min(now + ENOUGH), expected.min(now + ENOUGH), "{story}");
                counts[0] += 1;
            }
            (WindowState::Closed { until }, WindowState::Closed { until: Some(expected) }) => {
                assert_eq!(until, Some(expected), "{story}");
                counts[1] += 1;
            }
            (WindowState::Closed { until: Some(until) }, WindowState::Closed { until: None }) => {
                assert!(until >= end, "{story}: {until}");
                counts[2] += 1;
            }
            (found, expected) => panic!("{story}: {found:?}, and not {expected:?}"),
        }
    }
    assert!(counts.iter().all(|count| *count > 300), "open, closed and far away: {counts:?}");
}

#[test]
fn what_is_wrong_with_a_window_is_named_with_what_to_write() {
    let zone = "Europe/Berlin";
    for (schedule, duration, zone, words) in [
        ("0 25 * * *", "1h", zone, ["spec.before.window.schedule", "\"0 2 * * SUN\""]),
        ("0 2 30 2 *", "1h", zone, ["spec.before.window.schedule", "never comes"]),
        ("0 0 2 * * *", "1h", zone, ["spec.before.window.schedule", "must match"]),
        ("@daily", "1h", zone, ["spec.before.window.schedule", "at least 9 characters"]),
        ("0 2 * * SUN", "30s", zone, ["spec.before.window.duration", "at least 1m"]),
        ("0 2 * * SUN", "0s", zone, ["spec.before.window.duration", "at least 1m"]),
        ("0 2 * * SUN", "169h", zone, ["spec.before.window.duration", "at most 168h"]),
        ("0 2 * * SUN", "1h", "Europe/Berlni", ["spec.before.window.timeZone", "Europe/Berlin"]),
        ("0 2 * * SUN", "1h", "CET-1CEST", ["spec.before.window.timeZone", "IANA"]),
        ("0 2 * * SUN", "1h", "/etc/passwd", ["spec.before.window.timeZone", "IANA"]),
    ] {
        let found = read(schedule, duration, zone).expect_err("it is wrong").join("; ");
        assert!(words.iter().all(|word| found.contains(word)), "{schedule} {duration} {zone}: {found}");
    }
    assert!(
        read("0 2 * * SUN", "1h", zone).is_ok() && read("*/5 0-4 1,15 JAN-MAR *", "1m", "Etc/UTC").is_ok()
    );
}

fn nightly(duration: &str) -> Value {
    json!({"window": {"schedule": "0 22 * * *", "duration": duration, "timeZone": "Etc/UTC"}})
}

/// The clock of a world begins at 20:26:40 UTC.
const UNTIL_TEN: i64 = 93 * 60 + 20;

#[tokio::test]
async fn a_closed_window_costs_one_write_and_no_job_and_the_run_begins_when_it_opens_with_what_is_left() {
    let mut world = World::new();
    world.edit("records", |object| object["spec"]["before"] = nightly("10m"));
    world.run_for(&["records"], 20).await;
    assert_eq!(world.ready("records"), ("False".to_owned(), "WindowClosed".to_owned()));
    assert_eq!((world.jobs().len(), world.writes().len()), (0, 1), "{:#?}", world.writes());
    let status = world.status("records");
    let [gate] = status.gates.as_slice() else { panic!("{:?}", status.gates) };
    let eligible = gate.eligible_at.as_ref().map(|at| at.0);
    assert_eq!(
        (gate.name.as_str(), gate.open, eligible),
        ("Window", false, Some(at("2026-05-28T22:00:00Z")))
    );
    let (cleared, _, message) = world.condition("records", ConditionType::Cleared).expect("Cleared");
    assert!(cleared == "False" && message.contains("2026-05-28T22:00:00+00:00"), "{message}");
    assert_eq!(world.condition("records", ConditionType::Stalled), None);

    let again = world.observe("records").await.expect("a reconcile");
    assert_eq!(again, Action::requeue(Duration::from_mins(10)), "the clock may be set right meanwhile");
    world.pass(UNTIL_TEN - 20 - 60);
    let again = world.observe("records").await.expect("a reconcile");
    assert_eq!(again, Action::requeue(Duration::from_mins(1)), "when it opens");
    world.pass(59);
    world.observe("records").await.expect("a reconcile");
    assert_eq!(world.writes().len(), 1, "a second too early");
    world.pass(1);
    world.run_for(&["records"], 20).await;
    assert_eq!(world.ready("records").0, "True");
    assert_eq!(world.status("records").gates, []);
    let jobs = world.jobs();
    let [job] = jobs.as_slice() else { panic!("{jobs:?}") };
    let spec = world.server.cluster().objects[&key("jobs", job)]["spec"].clone();
    assert_eq!(spec["activeDeadlineSeconds"], json!(10 * 60 + 60), "what is left of the window");
    let environment = &spec["template"]["spec"]["containers"][2]["env"];
    let told = json!({"name": "SLUICE_DEADLINE", "value": "10m"});
    assert!(environment.as_array().expect("variables").contains(&told), "{environment:#}");
    let closes = json!({"name": "SLUICE_ENDS_BY", "value": "2026-05-28T22:10:00Z"});
    assert!(environment.as_array().expect("variables").contains(&closes), "{environment:#}");
    let written = serde_json::to_string(environment).expect("JSON");
    assert!(!written.contains("window"), "what a Job does has nothing to do with when it begins");
}

/// Verb and kind of each write, or its object.
fn kinds(world: &World) -> Vec<String> {
    world.writes().iter().map(|write| write.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test]
async fn an_open_window_that_is_long_enough_changes_nothing_about_a_run() {
    let mut world = World::new();
    world.run(&["records"]).await;
    let without = kinds(&world);
    let mut world = World::new();
    let all_day = json!({"window": {"schedule": "0 0 * * *", "duration": "24h", "timeZone": "Etc/UTC"}});
    world.edit("records", |object| object["spec"]["before"] = all_day);
    world.run(&["records"]).await;
    assert_eq!(kinds(&world), without);
    let job = world.jobs().remove(0);
    let spec = world.server.cluster().objects[&key("jobs", &job)]["spec"].to_string();
    assert!(!spec.contains("SLUICE_DEADLINE") && !spec.contains("SLUICE_ENDS_BY"), "{spec}");
}

#[tokio::test]
async fn what_is_ready_stays_so_outside_the_window_and_an_edit_of_the_window_starts_nothing() {
    let mut world = World::new();
    world.run(&["records"]).await;
    world.edit("records", |object| object["spec"]["before"] = nightly("10m"));
    world.run(&["records"]).await;
    assert_eq!((world.ready("records").0.as_str(), world.jobs().len()), ("True", 1));
    world.edit("records", |object| object["spec"]["before"] = nightly("20m"));
    world.run(&["records"]).await;
    assert_eq!((world.ready("records").0.as_str(), world.jobs().len()), ("True", 1));
    world.edit("records", |object| object["spec"]["verify"] = json!({"every": "30m"}));
    world.run_for(&["records"], 5).await;
    assert_eq!(world.ready("records").1, "WindowClosed", "another spec has to be applied, and waits");
    world.pass(UNTIL_TEN);
    world.run_for(&["records"], 20).await;
    assert_eq!((world.ready("records").0.as_str(), world.jobs().len()), ("True", 2));
    world.pass(1800);
    world.run_for(&["records"], 20).await;
    assert_eq!((world.ready("records").0.as_str(), world.jobs().len()), ("True", 3), "a verification");
}

#[tokio::test]
async fn an_object_that_waits_for_a_database_says_so_whatever_its_window_and_is_not_written_at_each_edge() {
    let mut world = World::new();
    let waits = "CreateContainerConfigError";
    world.database.mishaps =
        vec![super::kubelet::Mishap::Waits(waits, "secret \"records-db\" not found", 60)];
    world.pass(1);
    let hourly = json!({"window": {"schedule": "0 * * * *", "duration": "10m", "timeZone": "Etc/UTC"}});
    world.put("second", &json!({"before": hourly}));
    world.run_for(&["records", "second"], 5).await;
    assert_eq!(world.ready("second").1, "DatabaseBusy", "the window is closed, too");
    let written = |world: &World| world.writes().iter().filter(|write| *write == "status second").count();
    let before = written(&world);
    for _ in 0..24 {
        world.pass(600);
        world.run_for(&["records", "second"], 1).await;
        assert_eq!((world.ready("second").1.as_str(), written(&world)), ("DatabaseBusy", before));
    }
    world.run(&["records"]).await;
    world.run_for(&["second"], 2).await;
    assert_eq!(world.ready("second").1, "WindowClosed", "the database is free, and the window is not open");
    world.pass(2000);
    world.run_for(&["second"], 20).await;
    assert_eq!(world.ready("second").0, "True");
}

#[tokio::test]
async fn a_policy_gives_the_window_and_that_of_the_manifest_wins() {
    let mut world = World::new();
    let policy = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "MigrationPolicy", "metadata": {"name": "house"},
        "spec": {"before": nightly("10m")}});
    world.server.cluster().put(key("migrationpolicies", "house"), policy);
    world.edit("records", |object| object["spec"]["policyRef"] = json!({"name": "house"}));
    world.run_for(&["records"], 5).await;
    assert_eq!((world.ready("records").1.as_str(), world.jobs().len()), ("WindowClosed", 0));
    let always = json!({"window": {"schedule": "* * * * *", "duration": "168h", "timeZone": "Etc/UTC"}});
    world.edit("records", |object| object["spec"]["before"] = always);
    world.run(&["records"]).await;
    assert_eq!((world.ready("records").0.as_str(), world.jobs().len()), ("True", 1));
}

#[tokio::test]
async fn the_attempt_after_a_failure_waits_for_the_next_window_where_too_little_is_left_of_this_one() {
    let mut world = World::new();
    let minute = json!({"window": {"schedule": "0 22,23 * * *", "duration": "1m", "timeZone": "Etc/UTC"}});
    world.edit("records", |object| object["spec"]["before"] = minute);
    world.database.mishaps =
        vec![super::kubelet::Mishap::Fails(sluice::contract::Stage::Migrate, api::Reason::WaitingForLock)];
    world.pass(UNTIL_TEN + 45);
    world.run_for(&["records"], 30).await;
    assert_eq!((world.ready("records").1.as_str(), world.jobs().len()), ("WindowClosed", 1));
    let eligible = world.status("records").gates[0].eligible_at.clone().expect("it opens");
    assert_eq!(eligible.0, at("2026-05-28T23:00:00Z"));
    let applied = world.condition("records", ConditionType::Applied).expect("Applied");
    assert_eq!(applied.1, "WaitingForLock", "and what failed is still told");
    world.pass(3600 - 75);
    world.run_for(&["records"], 20).await;
    assert_eq!((world.ready("records").0.as_str(), world.jobs().len()), ("True", 2));
}
