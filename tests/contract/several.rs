//! Several databases in one namespace: whatever the order in which they are applied and reconciled, they run
//! in the order that `before` says, and a failure holds only those who come after it.

use fastrand::Rng;
use serde_json::{Value, json};
use sluice::{
    api::{ConditionType, DatabaseMigration, Reason},
    contract::Stage,
    controller::{known::Known, neighbours::affected_by},
};

use super::{
    kubelet::Mishap,
    world::{World, key},
};

/// As deploy/examples/global-healthcare documents it.
const SERVICES: [&str; 8] =
    ["auth", "api", "telehealth", "mental-health", "chronic-care", "pharmacy", "laboratory", "imaging"];

fn before(position: usize) -> Value {
    let depends_on = if position > 2 { json!([{"name": "api"}]) } else { json!([]) };
    json!({"dependsOn": depends_on, "group": {"name": "ghs", "position": position}})
}

fn put(world: &World, name: &str, before: &Value) {
    world.put(name, &json!({"before": before, "database": {"secretRef": {"name": format!("{name}-db")}}}));
}

fn put_service(world: &World, name: &str) {
    let position = SERVICES.iter().position(|service| *service == name).expect("a service") + 1;
    put(world, name, &before(position));
}

/// A world without `records`.
fn empty() -> World {
    let world = World::new();
    world.server.cluster().objects.remove(&key("databasemigrations", "records"));
    world
}

fn is_ready(world: &World, name: &str) -> bool {
    world.condition(name, ConditionType::Ready).is_some_and(|(status, _, _)| status == "True")
}

/// Reconciles every object once each second, each time in another order, until everyone is Ready.
async fn until_ready(world: &mut World, names: &[&str], rng: &mut Rng) {
    for _ in 0..200 {
        if names.iter().all(|name| is_ready(world, name)) {
            return;
        }
        let mut names = names.to_vec();
        rng.shuffle(&mut names);
        world.run_for(&names, 1).await;
    }
    let states: Vec<_> =
        names.iter().map(|name| (name, world.condition(name, ConditionType::Ready))).collect();
    panic!("not everyone is Ready: {states:#?}");
}

/// Whose Jobs were created, in that order.
fn begun(world: &World) -> Vec<String> {
    let jobs = world
        .writes()
        .into_iter()
        .filter_map(|write| write.strip_prefix("create jobs ").map(ToOwned::to_owned));
    jobs.map(|job| job.rsplitn(3, '-').nth(2).expect("NAME-DIGEST-aN").to_owned()).collect()
}

fn reason(world: &World, name: &str) -> (String, String) {
    let (_, reason, message) = world.condition(name, ConditionType::Ready).expect("Ready");
    (reason, message)
}

#[tokio::test]
async fn eight_services_applied_in_random_order_run_in_the_documented_order() {
    for seed in 0..5 {
        let mut rng = Rng::with_seed(seed);
        let (mut world, mut names, mut present) = (empty(), SERVICES, Vec::new());
        rng.shuffle(&mut names);
        for name in names {
            put_service(&world, name);
            present.push(name);
            // Some are reconciled before the others are there.
            let (some, seconds) = (rng.usize(..=present.len()), rng.u32(0..3));
            world.run_for(&present[..some], seconds).await;
        }
        until_ready(&mut world, &names, &mut rng).await;
        assert_eq!(begun(&world), SERVICES, "seed {seed}, applied as {names:?}");
    }
}

#[tokio::test]
async fn while_they_wait_their_status_is_written_a_few_times_and_not_with_each_step_of_each_other() {
    let mut world = empty();
    for name in SERVICES {
        put_service(&world, name);
    }
    until_ready(&mut world, &SERVICES, &mut Rng::with_seed(1)).await;
    for name in SERVICES {
        let written = world.writes().iter().filter(|write| **write == format!("status {name}")).count();
        assert!(written <= 6, "{name}: {written} of {:#?}", world.writes());
    }
}

#[tokio::test]
async fn a_service_that_fails_holds_those_after_it_and_nobody_else() {
    let (mut world, mut rng) = (empty(), Rng::with_seed(7));
    for name in SERVICES {
        put_service(&world, name);
    }
    put(&world, "billing", &json!({}));
    put(&world, "invoices", &json!({"dependsOn": [{"name": "billing"}]}));
    until_ready(&mut world, &["auth"], &mut rng).await;
    world.database.mishaps = vec![Mishap::Fails(Stage::Migrate, Reason::MigrationFailed)];
    world.run_for(&["api"], 20).await;
    world.run_for(&SERVICES, 30).await;
    until_ready(&mut world, &["billing", "invoices"], &mut rng).await;

    assert!(is_ready(&world, "auth"));
    assert_eq!(reason(&world, "api").0, "MigrationFailed");
    for name in &SERVICES[2..] {
        let (reason, message) = reason(&world, name);
        assert_eq!(reason, "DependencyNotReady");
        assert!(
            message.contains("\"api\"") && message.contains("MigrationFailed"),
            "{name} names the cause: {message}"
        );
        assert_eq!(world.condition(name, ConditionType::Stalled), None, "{name} needs no person itself");
    }
    assert_eq!(begun(&world), ["auth", "api", "billing", "invoices"]);

    world.edit("api", |object| object["metadata"]["annotations"] = json!({"sluice.dev/retry": "1"}));
    until_ready(&mut world, &SERVICES, &mut rng).await;
    assert_eq!(begun(&world)[4..], SERVICES[1..]);
}

#[tokio::test]
async fn a_cycle_stalls_everyone_in_it_and_is_mended_by_an_edit() {
    let (mut world, mut rng) = (empty(), Rng::with_seed(3));
    for (name, after) in [("a", "b"), ("b", "c"), ("c", "a"), ("outside", "a")] {
        put(&world, name, &json!({"dependsOn": [{"name": after}]}));
    }
    put(&world, "beside", &json!({}));
    world.run_for(&["a", "b", "c", "outside", "beside"], 20).await;
    for (name, cycle) in [("a", "a -> b -> c -> a"), ("b", "b -> c -> a -> b"), ("c", "c -> a -> b -> c")] {
        let (reason, message) = reason(&world, name);
        assert_eq!(reason, "DependencyCycle");
        assert!(message.contains(cycle), "{message}");
        assert_eq!(world.condition(name, ConditionType::Stalled).expect("Stalled").0, "True");
        assert_eq!(world.condition(name, ConditionType::Cleared).expect("Cleared").0, "False");
    }
    assert!(reason(&world, "outside").1.contains("\"a\", which is not Ready (DependencyCycle)"));
    assert_eq!(begun(&world), ["beside"]);
    assert_eq!(
        world.writes().iter().filter(|write| write.starts_with("create events")).count(),
        4,
        "each of the three says so once"
    );

    world.edit("c", |object| object["spec"]["before"] = json!({}));
    until_ready(&mut world, &["a", "b", "c", "outside"], &mut rng).await;
    assert_eq!(begun(&world), ["beside", "c", "b", "a", "outside"]);
}

#[tokio::test]
async fn a_dependency_whose_newest_spec_was_not_looked_at_yet_is_not_ready() {
    let mut world = empty();
    put(&world, "auth", &json!({}));
    world.run(&["auth"]).await;
    world.edit("auth", |object| object["spec"]["apply"] = json!({"deadline": "10m"}));
    assert!(is_ready(&world, "auth"), "what it says is of the older one");
    put(&world, "late", &json!({"dependsOn": [{"name": "auth"}]}));
    world.run_for(&["late"], 2).await;
    assert_eq!(reason(&world, "late").0, "DependencyNotReady");
    world.run(&["auth", "late"]).await;
    assert!(is_ready(&world, "late"));
}

#[tokio::test]
async fn a_version_that_the_status_no_longer_lists_is_found_in_the_gate_and_one_that_is_missing_is_named() {
    let mut world = empty();
    world.database.source = (10..40).map(|n| format!("{n}_n")).collect();
    put(&world, "auth", &json!({}));
    world.run(&["auth"]).await;
    let listed = world.status("auth").applied;
    let forgotten =
        (10..40).map(|n| format!("{n}_n")).find(|name| listed.iter().all(|applied| applied.name != *name));
    let remembered = forgotten
        .filter(|name| world.gate().contains(&format!("auth@{name}")))
        .expect("the gate remembers more");
    put(&world, "late", &json!({"dependsOn": [{"name": "auth", "minVersion": remembered}]}));
    world.run(&["late"]).await;
    assert!(is_ready(&world, "late"));

    put(&world, "later", &json!({"dependsOn": [{"name": "auth", "minVersion": "40_n"}]}));
    world.run_for(&["later"], 2).await;
    assert!(reason(&world, "later").1.contains("\"auth\", which has not applied \"40_n\" yet"));
    world.database.source.push("40_n".into());
    world
        .server
        .cluster()
        .edit(&key("configmaps", "records-migrations"), |map| map["data"] = json!({"40_n.sql": ""}));
    world.run(&["auth", "later"]).await;
    assert!(is_ready(&world, "later"));
}

#[tokio::test]
async fn what_is_settled_is_verified_again_whoever_else_has_failed() {
    let mut world = empty();
    put(&world, "auth", &json!({}));
    put(&world, "late", &json!({"dependsOn": [{"name": "auth"}]}));
    world.edit("late", |object| object["spec"]["verify"] = json!({"every": "6h"}));
    world.run_for(&["auth", "late"], 20).await;
    assert!(is_ready(&world, "late"));
    world.database.mishaps = vec![Mishap::Fails(Stage::Migrate, Reason::MigrationFailed)];
    world.edit("auth", |object| object["spec"]["apply"] = json!({"deadline": "10m"}));
    world.run_for(&["auth"], 20).await;
    assert_eq!(reason(&world, "auth").0, "MigrationFailed");
    let before = begun(&world).len();
    world.pass(6 * 3600);
    world.run_for(&["auth", "late"], 20).await;
    assert_eq!(begun(&world)[before..], ["late"]);
    assert!(is_ready(&world, "late"));
}

fn object(name: &str, before: &Value) -> DatabaseMigration {
    serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "DatabaseMigration",
        "metadata": {"name": name, "namespace": "medical"},
        "spec": {
            "database": {"secretRef": {"name": format!("{name}-db")}},
            "migrations": {"configMaps": ["migrations"]},
            "snapshot": {"none": {"reason": "a database of a test"}},
            "before": before,
        },
    }))
    .expect("a manifest")
}

#[test]
fn whoever_waits_is_woken_by_those_it_waits_for() {
    let affected_by =
        |one: &DatabaseMigration, other: &DatabaseMigration| affected_by(&Known::of(one), &Known::of(other));
    let (auth, api) = (object("auth", &before(1)), object("api", &before(2)));
    assert!(affected_by(&auth, &api), "a later place");
    assert!(!affected_by(&api, &auth), "an earlier one");
    let named = object("late", &json!({"dependsOn": [{"name": "api"}]}));
    assert!(affected_by(&api, &named) && !affected_by(&auth, &named));
    let versioned = object("versioned", &json!({"dependsOn": [{"name": "api", "minVersion": "1_one"}]}));
    assert!(affected_by(&versioned, &api), "whose run has to answer for that version");
    assert!(!affected_by(&named, &api) && !affected_by(&versioned, &auth));
    let mut circular = object("circular", &json!({}));
    assert!(!affected_by(&auth, &circular));
    let condition = json!({"type": "Ready", "status": "False", "reason": "DependencyCycle", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    circular.status = serde_json::from_value(json!({"conditions": [condition]})).expect("a status");
    assert!(affected_by(&auth, &circular), "anyone may have cut it");
}

#[tokio::test]
async fn of_two_on_one_database_the_second_waits_until_the_first_has_ended() {
    let mut world = World::new();
    world.pass(1);
    world.put("second", &json!({}));
    world.run_for(&["records", "second"], 3).await;
    let (status, reason, message) = world.condition("second", ConditionType::Cleared).expect("Cleared");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "DatabaseBusy"), "{message}");
    assert!(message.contains("\"records\""), "{message}");
    world.run(&["records", "second"]).await;
    assert!(is_ready(&world, "records") && is_ready(&world, "second"));
}
