//! A clock that jumps, by an hour, forwards or backwards, at any moment: what is due happens in time all the
//! same, and once.

use serde_json::json;
use sluice::{api::Reason, contract::Stage};

use super::{
    kubelet::Mishap,
    world::{World, key},
};

const HOUR: i64 = 3600;
/// So long may it take after the jump: a pause between attempts, and the attempts themselves.
const IN_TIME: u32 = 40;

/// A life in which the clock jumps after so many seconds.
async fn jumps(begins: fn(&mut World), after: u32, by: i64) -> World {
    let mut world = World::new();
    begins(&mut world);
    world.run_for(&["records"], after).await;
    world.pass(by);
    world.run_for(&["records"], IN_TIME).await;
    world
}

#[tokio::test]
async fn a_migration_is_applied_in_time_by_one_job_whenever_the_clock_jumps() {
    for after in 0..7 {
        for by in [-HOUR, HOUR] {
            let world = jumps(|_| {}, after, by).await;
            assert_eq!(world.ready("records").0, "True", "{by} s after {after} s");
            assert_eq!(world.jobs().len(), 1, "{by} s after {after} s");
            assert!(world.writes().len() <= 8, "{by} s after {after} s: {:#?}", world.writes());
        }
    }
}

#[tokio::test]
async fn a_stage_that_works_for_long_is_reported_whenever_the_clock_jumps() {
    for by in [-HOUR, HOUR] {
        let mut world = World::new();
        world.database.mishaps = vec![Mishap::Waits("ContainerCreating", "", 500)];
        world.run_for(&["records"], 2).await;
        world.pass(by);
        world.run_for(&["records"], 2).await;
        let writes = world.writes().len();
        world.run_for(&["records"], 100).await;
        assert!(world.writes().len() <= writes + 2, "{by} s: {:#?}", world.writes());
        let message = world.condition("records", sluice::api::ConditionType::Planned).expect("Planned").2;
        assert!(message.contains("at work"), "{by} s: {message}");
    }
}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_the_next_in_time_and_not_by_a_storm_of_them() {
    let fails = |world: &mut World| {
        world.database.mishaps =
            vec![Mishap::Fails(Stage::Migrate, Reason::WaitingForLock), Mishap::Killed(Stage::Verify)];
    };
    for after in [0, 2, 3, 5, 6, 7, 9, 12] {
        for by in [-HOUR, HOUR] {
            let world = jumps(fails, after, by).await;
            assert_eq!(world.ready("records").0, "True", "{by} s after {after} s");
            assert_eq!(world.status("records").run.expect("a run").attempt, 3, "{by} s after {after} s");
        }
    }
}

#[tokio::test]
async fn the_pause_between_attempts_holds_where_the_clock_of_the_node_is_another_one() {
    for skew in [-HOUR, HOUR] {
        let mut world = World::new();
        world.database.skew = skew;
        world.database.mishaps = vec![Mishap::Fails(Stage::Migrate, Reason::WaitingForLock); 40];
        world.run_for(&["records"], 120).await;
        let attempts = world.status("records").run.expect("a run").attempt;
        assert!((3..=8).contains(&attempts), "{attempts} attempts in two minutes, with a node {skew} s off");
    }
}

#[tokio::test]
async fn a_job_that_waits_for_a_dead_container_is_deleted_where_the_clock_of_the_node_is_another_one() {
    for skew in [-HOUR, 0, HOUR] {
        let mut world = World::new();
        world.database.skew = skew;
        world.database.mishaps = vec![Mishap::Unseen(Stage::Plan)];
        world.run_for(&["records"], 60).await;
        assert_eq!(world.ready("records").0, "True", "a node {skew} s off: {:#?}", world.writes());
        assert_eq!(world.status("records").run.expect("a run").attempt, 2, "a node {skew} s off");
    }
}

#[tokio::test]
async fn what_is_verified_again_goes_on_being_verified_and_not_more_often() {
    for by in [-HOUR, HOUR] {
        for after in [0, 580, 582, 584] {
            let mut world = World::new();
            world.edit("records", |object| object["spec"]["verify"] = json!({"every": "10m"}));
            world.run_for(&["records"], 12).await;
            world.pass(after);
            world.run_for(&["records"], 4).await;
            world.pass(by);
            // Twenty-two minutes, some seconds of each minute.
            for _ in 0..22 {
                world.run_for(&["records"], 8).await;
                world.pass(52);
            }
            world.run_for(&["records"], 8).await;
            let created = |world: &World| {
                world.writes().iter().filter(|write| write.starts_with("create jobs")).count()
            };
            let meanwhile = created(&world);
            let expected = if by > 0 { 3..=5 } else { 1..=3 };
            assert!(expected.contains(&meanwhile), "{meanwhile} Jobs, {by} s after {after} s");
            // Set back, it goes on when the clock has passed the last run.
            world.pass(HOUR);
            world.run_for(&["records"], 8).await;
            assert_eq!(created(&world), meanwhile + 1, "{by} s after {after} s");
            assert_eq!(world.ready("records").0, "True", "{by} s after {after} s");
        }
    }
}

#[tokio::test]
async fn what_workloads_require_is_asked_once_after_the_clock_has_passed_the_last_run() {
    for by in [-HOUR, HOUR] {
        let mut world = World::new();
        world.run_for(&["records"], 12).await;
        world.pass(by);
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app",
            "labels": {"sluice.dev/gated": "true"}, "annotations": {"requires.sluice.dev/records": "0_zero"}},
            "spec": {"containers": [], "schedulingGates": [{"name": "sluice.dev/migrated"}]},
            "status": {"phase": "Pending"}});
        world.server.cluster().put(key("pods", "app"), pod);
        let created =
            |world: &World| world.writes().iter().filter(|write| write.starts_with("create jobs")).count();
        let before = created(&world);
        world.run_for(&["records"], IN_TIME).await;
        assert_eq!(created(&world), before + usize::from(by > 0), "{by} s");
        world.pass(2 * HOUR);
        world.run_for(&["records"], IN_TIME).await;
        assert_eq!(created(&world), before + 1, "{by} s: asked once");
        let missing = world.status("records").required.map(|required| required.missing);
        assert_eq!(missing, Some(vec!["0_zero".to_owned()]), "{by} s");
        assert_eq!(world.ready("records").0, "True", "{by} s");
    }
}
