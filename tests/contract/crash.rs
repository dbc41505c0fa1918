//! The crash matrix: each story again, cut off at its n-th write, for every n, before the write and after it.
//! The end must be the one of the undisturbed life, with one Job for each attempt.

use serde_json::json;
use sluice::{
    api::Reason,
    contract::{Purpose, Route, Stage},
};

use super::{
    api_server::Fault,
    kubelet::Mishap,
    world::{GATE_BETWEEN, TWO_LEGS, World, key},
};

const NAMES: &[&str] = &["records"];

/// What happens in a story: something before the controller looks, and something after it came to rest, or
/// after some seconds.
#[derive(Clone, Copy)]
struct Story {
    begins: fn(&mut World),
    after: Option<u32>,
    goes_on: fn(&mut World),
}

fn new_source(world: &mut World) {
    world.database.source.push("3_three".into());
    world
        .server
        .cluster()
        .edit(&key("configmaps", "records-migrations"), |map| map["data"] = json!({"3_three.sql": ""}));
}

async fn live(story: Story, route: Route, fault: Option<(usize, Fault)>) -> World {
    let mut world = World::with_route(route);
    (story.begins)(&mut world);
    world.server.cluster().fault = fault;
    match story.after {
        Some(seconds) => world.run_for(NAMES, seconds).await,
        None => world.run(NAMES).await,
    }
    (story.goes_on)(&mut world);
    world.run(NAMES).await;
    world
}

/// Over the routes of one leg and of two, with and without a gate between them.
async fn whichever_write_is_the_last(story: Story) {
    for route in [Purpose::Apply.route(), TWO_LEGS, GATE_BETWEEN] {
        on(story, route).await;
    }
}

async fn on(story: Story, route: Route) {
    let undisturbed = live(story, route, None).await;
    let (end, writes) = (undisturbed.end_state(), undisturbed.writes());
    for fault in [Fault::DiesBefore, Fault::DiesAfter, Fault::AnswerLost] {
        for at in 1..=writes.len() {
            let world = live(story, route, Some((at, fault))).await;
            let life = format!("{} legs, {fault:?} at write {at}, {}", route.legs().count(), writes[at - 1]);
            similar(&life, &end, &world.end_state());
            for job in world.jobs() {
                let created =
                    world.writes().iter().filter(|write| **write == format!("create jobs {job}")).count();
                assert_eq!(created, 1, "{life}: {job} was created {created} times");
            }
            assert_eq!(world.database.applied, undisturbed.database.applied, "{life}");
            // What was written and not heard of is written once more, and nothing else.
            assert!(world.writes().len() <= writes.len() + 1, "{life}: {:#?}", world.writes());
        }
    }
}

#[tokio::test]
async fn a_migration_survives_a_crash_at_every_write() {
    whichever_write_is_the_last(Story { begins: |_| {}, after: None, goes_on: |_| {} }).await;
}

/// The manifest asks for a rehearsal.
fn ask_for_a_rehearsal(world: &mut World) {
    world.edit("records", |object| object["spec"]["before"] = json!({"rehearsal": {}}));
}

#[tokio::test]
async fn a_rehearsal_survives_a_crash_at_every_write() {
    whichever_write_is_the_last(Story { begins: ask_for_a_rehearsal, after: None, goes_on: new_source })
        .await;
}

#[tokio::test]
async fn a_rehearsal_that_is_over_a_limit_and_one_that_is_lost_survive_a_crash_at_every_write() {
    let begins = |world: &mut World| {
        ask_for_a_rehearsal(world);
        world.database.mishaps =
            vec![Mishap::Killed(Stage::Rehearse), Mishap::Fails(Stage::Rehearse, Reason::RehearsalOverLimit)];
    };
    whichever_write_is_the_last(Story { begins, after: None, goes_on: new_source }).await;
}

#[tokio::test]
async fn a_rehearsal_that_is_asked_for_in_the_middle_of_a_run_survives_a_crash_at_every_write() {
    let goes_on = ask_for_a_rehearsal;
    whichever_write_is_the_last(Story { begins: |_| {}, after: Some(2), goes_on }).await;
}

#[tokio::test]
async fn a_new_source_survives_a_crash_at_every_write() {
    whichever_write_is_the_last(Story { begins: |_| {}, after: None, goes_on: new_source }).await;
}

#[tokio::test]
async fn a_new_spec_survives_a_crash_at_every_write() {
    let goes_on = |world: &mut World| {
        world.edit("records", |object| object["spec"]["apply"] = json!({"deadline": "10m"}));
    };
    whichever_write_is_the_last(Story { begins: |_| {}, after: None, goes_on }).await;
}

#[tokio::test]
async fn a_new_spec_in_the_middle_of_a_run_survives_a_crash_at_every_write() {
    let goes_on = |world: &mut World| {
        world.edit("records", |object| object["spec"]["apply"] = json!({"deadline": "10m"}));
    };
    whichever_write_is_the_last(Story { begins: |_| {}, after: Some(2), goes_on }).await;
}

#[tokio::test]
async fn waiting_for_a_lock_and_losing_a_pod_survive_a_crash_at_every_write() {
    let begins = |world: &mut World| {
        world.database.mishaps =
            vec![Mishap::Fails(Stage::Migrate, Reason::WaitingForLock), Mishap::Killed(Stage::Verify)];
    };
    whichever_write_is_the_last(Story { begins, after: None, goes_on: |_| {} }).await;
}

#[tokio::test]
async fn a_failed_migration_that_is_mended_survives_a_crash_at_every_write() {
    let begins = |world: &mut World| {
        world.database.mishaps = vec![Mishap::Fails(Stage::Migrate, Reason::MigrationFailed)];
    };
    whichever_write_is_the_last(Story { begins, after: None, goes_on: new_source }).await;
}

#[tokio::test]
async fn a_run_that_makes_way_survives_a_crash_at_every_write() {
    let begins = |world: &mut World| {
        world.database.mishaps =
            vec![Mishap::Waits("CreateContainerConfigError", "no such key in Secret db", 500)];
    };
    let goes_on = |world: &mut World| {
        world.edit("records", |object| object["spec"]["database"]["secretRef"]["key"] = json!("address"));
    };
    whichever_write_is_the_last(Story { begins, after: Some(8), goes_on }).await;
}

#[tokio::test]
async fn a_run_behind_a_window_survives_a_crash_at_every_write() {
    let begins = before_a_window;
    whichever_write_is_the_last(Story { begins, after: Some(30), goes_on: |world| world.pass(6000) }).await;
}

/// With a window that opens an hour and a half later.
fn before_a_window(world: &mut World) {
    let window = json!({"schedule": "0 22 * * *", "duration": "2h", "timeZone": "Etc/UTC"});
    world.edit("records", |object| object["spec"]["before"] = json!({"window": window}));
}

#[tokio::test]
async fn a_leg_whose_job_is_gone_before_the_gate_opens_survives_a_crash_at_every_write() {
    let goes_on = |world: &mut World| {
        world.server.cluster().objects.retain(|key, _| key.0 != "jobs" && key.0 != "pods");
        world.pass(6000);
    };
    whichever_write_is_the_last(Story { begins: before_a_window, after: Some(30), goes_on }).await;
}

#[tokio::test]
async fn a_new_spec_between_two_legs_survives_a_crash_at_every_write() {
    let goes_on = |world: &mut World| {
        world.edit("records", |object| object["spec"]["apply"] = json!({"deadline": "10m"}));
        world.pass(6000);
    };
    whichever_write_is_the_last(Story { begins: before_a_window, after: Some(30), goes_on }).await;
}

#[tokio::test]
async fn a_failure_in_each_leg_survives_a_crash_at_every_write() {
    let begins = |world: &mut World| {
        world.database.mishaps =
            vec![Mishap::Killed(Stage::Snapshot), Mishap::Fails(Stage::Migrate, Reason::WaitingForLock)];
    };
    whichever_write_is_the_last(Story { begins, after: None, goes_on: |_| {} }).await;
}

/// As `sluice abort` does.
fn abort(world: &mut World) {
    let job = world.status("records").run.expect("a run is under way").job;
    world.edit("records", |object| object["metadata"]["annotations"] = json!({"sluice.dev/abort": job}));
}

/// A run whose containers do not start, so that it is at the same place whenever it is aborted; and what goes
/// wrong with the one that reads what it left.
fn before_an_abort(world: &mut World, then: &[Mishap]) {
    world.database.mishaps = vec![Mishap::Waits("ContainerCreating", "", 500)];
    world.database.mishaps.extend(then);
}

#[tokio::test]
async fn an_abort_survives_a_crash_at_every_write() {
    let begins = |world: &mut World| before_an_abort(world, &[]);
    whichever_write_is_the_last(Story { begins, after: Some(8), goes_on: abort }).await;
}

#[tokio::test]
async fn an_abort_whose_result_cannot_be_read_at_once_survives_a_crash_at_every_write() {
    let begins = |world: &mut World| {
        before_an_abort(world, &[Mishap::Fails(Stage::Plan, Reason::ConnectionFailed)]);
    };
    whichever_write_is_the_last(Story { begins, after: Some(8), goes_on: abort }).await;
}

#[tokio::test]
async fn an_abort_beside_a_new_source_survives_a_crash_at_every_write() {
    let begins = |world: &mut World| before_an_abort(world, &[]);
    let goes_on = |world: &mut World| {
        abort(world);
        new_source(world);
    };
    whichever_write_is_the_last(Story { begins, after: Some(8), goes_on }).await;
}

fn similar(life: &str, end: &serde_json::Value, other: &serde_json::Value) {
    if end == other {
        return;
    }
    let (left, right) = (format!("{end:#}"), format!("{other:#}"));
    let differing: Vec<String> = left
        .lines()
        .zip(right.lines())
        .filter(|(a, b)| a != b)
        .map(|(a, b)| format!("- {a}\n+ {b}"))
        .take(20)
        .collect();
    panic!("{life}:\n{}", differing.join("\n"));
}
