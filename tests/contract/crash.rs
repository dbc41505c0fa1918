//! The crash matrix: each story again, cut off at its n-th write, for every n, before the write and after it. The end must be
//! the one of the undisturbed life, with one Job for each attempt.

use serde_json::json;
use sluice::{api::Reason, stage::outcome::Stage};

use super::{
    api_server::Fault,
    kubelet::Mishap,
    world::{World, key},
};

const NAMES: &[&str] = &["records"];

/// What happens in a story: something before the controller looks, and something after it came to rest.
struct Story {
    name: &'static str,
    begins: fn(&mut World),
    goes_on: fn(&mut World),
}

const STORIES: &[Story] = &[
    Story { name: "happy", begins: |_| {}, goes_on: |_| {} },
    Story { name: "a new source", begins: |_| {}, goes_on: new_source },
    Story {
        name: "a lock held by somebody, then a lost Pod",
        begins: |world| world.database.mishaps = vec![Mishap::Fails(Stage::Migrate, Reason::WaitingForLock), Mishap::Killed(Stage::Verify)],
        goes_on: |_| {},
    },
    Story {
        name: "a migration fails and is mended",
        begins: |world| world.database.mishaps = vec![Mishap::Fails(Stage::Migrate, Reason::MigrationFailed)],
        goes_on: new_source,
    },
    Story {
        name: "five specs",
        begins: |_| {},
        goes_on: |world| world.edit("records", |object| object["spec"]["apply"] = json!({"deadline": "10m"})),
    },
];

fn new_source(world: &mut World) {
    world.database.source.push("3_three".into());
    world.server.cluster().edit(&key("configmaps", "records-migrations"), |map| map["data"] = json!({"3_three.sql": ""}));
}

async fn live(story: &Story, fault: Option<(usize, Fault)>) -> World {
    let mut world = World::new();
    (story.begins)(&mut world);
    world.server.cluster().fault = fault;
    world.run(NAMES).await;
    (story.goes_on)(&mut world);
    world.run(NAMES).await;
    world
}

#[tokio::test]
async fn whichever_write_is_the_last_of_a_process_the_end_is_the_same() {
    for story in STORIES {
        let undisturbed = live(story, None).await;
        let (end, writes) = (undisturbed.end_state(), undisturbed.writes());
        for fault in [Fault::DiesBefore, Fault::DiesAfter, Fault::AnswerLost] {
            for at in 1..=writes.len() {
                let world = live(story, Some((at, fault))).await;
                let life = format!("{}: {fault:?} at write {at}, {}", story.name, writes[at - 1]);
                similar(&life, &end, &world.end_state());
                for job in world.jobs() {
                    let created = world.writes().iter().filter(|write| **write == format!("create jobs {job}")).count();
                    assert_eq!(created, 1, "{life}: {job} was created {created} times");
                }
                assert_eq!(world.database.applied, undisturbed.database.applied, "{life}");
                assert!(world.writes().len() <= writes.len() + 1, "{life}: {:#?}", world.writes());
            }
        }
    }
}

fn similar(life: &str, end: &serde_json::Value, other: &serde_json::Value) {
    if end == other {
        return;
    }
    let (left, right) = (format!("{end:#}"), format!("{other:#}"));
    let differing: Vec<String> =
        left.lines().zip(right.lines()).filter(|(a, b)| a != b).map(|(a, b)| format!("- {a}\n+ {b}")).take(20).collect();
    panic!("{life}:\n{}", differing.join("\n"));
}
