//! The gate beyond the newest versions: which database its entries are about, and older versions that
//! workloads and other DatabaseMigrations require by name.

use serde_json::json;
use sluice::{api::ConditionType, objects::gate_manager};

use super::{
    api_server::Fault,
    kubelet::Database,
    world::{World, key},
};

#[tokio::test]
async fn another_database_behind_the_same_name_closes_nothing_and_opens_nothing_until_a_person_says_so() {
    let mut world = World::new();
    world.run(&["records"]).await;
    let gate = world.gate();
    assert_eq!(world.databases(), [json!({"name": "records", "identity": "7/1"})]);
    assert_eq!(world.status("records").database.as_deref(), Some("7/1"));

    // An empty database of a user's own: everything of the source, and more, runs there.
    for identity in [Some("7/2".to_owned()), None] {
        world.database = Database {
            source: vec!["1_one".into(), "2_two".into(), "3_three".into()],
            identity: identity.clone(),
            ..Database::default()
        };
        let word = format!("{identity:?}");
        world.edit("records", |object| object["metadata"]["annotations"]["sluice.dev/retry"] = json!(word));
        world.run(&["records"]).await;
        assert_eq!(world.ready("records"), ("False".into(), "DatabaseChanged".into()));
        let (_, _, message) =
            world.condition("records", ConditionType::Stalled).expect("a person has to act");
        assert!(message.contains("7/1") && message.contains("bypass"), "{message}");
        assert_eq!(
            (world.gate(), world.databases().len()),
            (gate.clone(), 1),
            "nothing is taken away, nothing added"
        );
        let writes = world.writes().len();
        world.run_for(&["records"], 30).await;
        assert_eq!(world.writes().len(), writes, "and nothing goes on");
    }

    // The same object made anew is no way around it.
    world.server.cluster().objects.remove(&key("databasemigrations", "records"));
    world.put("records", &json!({}));
    world.database.identity = Some("7/2".into());
    world.run(&["records"]).await;
    assert_eq!((world.ready("records").1.as_str(), world.gate()), ("DatabaseChanged", gate.clone()));

    // A user who may writes the new identity into the gate, as the message says, and lets it run again.
    let (_, _, message) = world.condition("records", ConditionType::Stalled).expect("a person has to act");
    assert!(message.contains("{name: records, identity: 7/2}"), "{message}");
    let meant = json!([{"name": "records", "identity": "7/2"}]);
    world.server.cluster().edit(&key("migrationgates", "gates"), |gate| gate["spec"]["databases"] = meant);
    world.edit("records", |object| {
        object["metadata"]["annotations"]["sluice.dev/retry"] = json!("the new one is meant");
    });
    world.run(&["records"]).await;
    assert_eq!(world.ready("records").0, "True");
    assert_eq!(world.databases(), [json!({"name": "records", "identity": "7/2"})]);
    assert!(world.gate().contains(&"records@3_three".to_owned()));
}

/// Where nothing keeps people from deleting the gate, they delete its memory of the database with it.
#[tokio::test]
async fn a_gate_that_was_deleted_or_that_lost_the_database_forgets_nothing_of_it() {
    let lost: [fn(&World); 2] = [
        |world| drop(world.server.cluster().objects.remove(&key("migrationgates", "gates"))),
        |world| {
            world
                .server
                .cluster()
                .edit(&key("migrationgates", "gates"), |gate| gate["spec"]["databases"] = json!([]));
        },
    ];
    for lose in lost {
        let mut world = World::new();
        world.run(&["records"]).await;
        let retry = |world: &World, word: &str| {
            world.edit("records", |object| {
                object["metadata"]["annotations"]["sluice.dev/retry"] = json!(word);
            });
        };
        // The other database is seen once before the gate goes, so that what was seen last is no way around
        // it either.
        let third = vec!["1_one".into(), "2_two".into(), "3_three".into()];
        world.database = Database { source: third, identity: Some("7/2".into()), ..Database::default() };
        for word in ["before", "after", "and again"] {
            retry(&world, word);
            world.run(&["records"]).await;
            assert_eq!(world.ready("records").1, "DatabaseChanged", "{word}");
            assert!(!world.gate().contains(&"records@3_three".to_owned()), "{word}");
            let (_, _, message) =
                world.condition("records", ConditionType::Stalled).expect("a person has to act");
            assert!(message.contains("are about 7/1"), "{message}");
            lose(&world);
        }
        // Back in the old one the gate is as it was.
        world.database = Database {
            source: vec!["1_one".into(), "2_two".into()],
            identity: Some("7/1".into()),
            ..Database::default()
        };
        retry(&world, "the old one");
        world.run(&["records"]).await;
        assert_eq!(
            (world.ready("records").0.as_str(), world.databases()),
            ("True", vec![json!({"name": "records", "identity": "7/1"})])
        );
    }
}

#[tokio::test]
async fn a_database_that_does_not_say_which_one_it_is_passes_where_a_person_says_any() {
    let mut world = World::new();
    world.run(&["records"]).await;
    world.database.identity = None;
    world.edit("records", |object| object["metadata"]["annotations"]["sluice.dev/retry"] = json!("1"));
    world.run(&["records"]).await;
    let (_, reason, message) =
        world.condition("records", ConditionType::Stalled).expect("a person has to act");
    assert!(reason == "DatabaseChanged" && message.contains("{name: records, identity: any}"), "{message}");
    let any = json!([{"name": "records", "identity": "any"}]);
    world
        .server
        .cluster()
        .edit(&key("migrationgates", "gates"), |gate| gate["spec"]["databases"] = any.clone());
    world.edit("records", |object| object["metadata"]["annotations"]["sluice.dev/retry"] = json!("2"));
    world.run(&["records"]).await;
    assert_eq!((world.ready("records").0.as_str(), json!(world.databases())), ("True", any));
    // One that does say it is known from then on.
    world.database.identity = Some("7/3".into());
    world.edit("records", |object| object["metadata"]["annotations"]["sluice.dev/retry"] = json!("3"));
    world.run(&["records"]).await;
    assert_eq!(
        (world.ready("records").0, world.databases()),
        ("True".into(), vec![json!({"name": "records", "identity": "7/3"})])
    );
}

/// A history that is far too long for a termination message, adopted: everything was applied before.
fn adopted() -> World {
    let mut world = World::new();
    let names: Vec<String> =
        (0..120).map(|n| format!("20240101{n:06}_a_migration_with_an_ordinary_name")).collect();
    world.database.source.clone_from(&names);
    world.database.applied = names;
    world
}

const OLD: &str = "20240101000003_a_migration_with_an_ordinary_name";

/// A Pod that waits at the gate for a version of `records`.
fn put_pod(world: &World, name: &str, version: &str) {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
        "name": name, "labels": {"sluice.dev/gated": "true"}, "annotations": {"requires.sluice.dev/records": version}},
        "spec": {"containers": [], "schedulingGates": [{"name": "sluice.dev/migrated"}]}, "status": {"phase": "Pending"}});
    world.server.cluster().put(key("pods", name), pod);
}

fn put_deployment(world: &World, name: &str, version: &str) {
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
        "name": name, "labels": {"sluice.dev/gated": "true"}, "annotations": {"sluice.dev/held": "true"}},
        "spec": {"paused": true, "selector": {}, "template": {"metadata": {"annotations": {"requires.sluice.dev/records": version}}, "spec": {"containers": []}}}});
    world.server.cluster().put(key("deployments", name), deployment);
}

fn jobs_created(world: &World) -> usize {
    world.writes().iter().filter(|write| write.starts_with("create jobs")).count()
}

#[tokio::test]
async fn an_older_version_of_a_long_adopted_history_is_satisfied_once_a_workload_requires_it() {
    for put in [put_pod, put_deployment] {
        let mut world = adopted();
        world.run(&["records"]).await;
        let entry = format!("records@{OLD}");
        assert!(
            !world.gate().is_empty() && !world.gate().contains(&entry),
            "the newest names fill the message: {}",
            world.gate().len()
        );
        let before = (world.gate(), jobs_created(&world));
        put(&world, "app", OLD);
        world.run(&["records"]).await;
        assert!(
            world.gate().contains(&entry) && before.0.iter().all(|entry| world.gate().contains(entry)),
            "{:?}",
            world.gate()
        );
        assert_eq!(jobs_created(&world), before.1 + 1, "one query");
        assert_eq!(world.ready("records"), ("True".into(), "Verified".into()));
        assert!(!world.server.cluster().writes.iter().any(|write| write.contains("stage")));
    }
}

#[tokio::test]
async fn ready_stays_true_while_the_database_is_asked() {
    let mut world = adopted();
    world.run(&["records"]).await;
    put_pod(&world, "app", OLD);
    for _ in 0..40 {
        world.run_for(&["records"], 1).await;
        assert_eq!(world.ready("records").0, "True");
    }
    assert!(world.gate().contains(&format!("records@{OLD}")));
}

#[tokio::test]
async fn a_version_that_is_not_applied_is_asked_for_once_and_never_opened_also_where_it_sorts_before_one_that_is()
 {
    let mut world = adopted();
    world.run(&["records"]).await;
    let before = jobs_created(&world);
    let typo = "20240101000003_a_migration_with_an_ordinary_nam";
    put_pod(&world, "app", typo);
    put_pod(&world, "empty", "");
    world.run(&["records"]).await;
    assert_eq!(
        world.status("records").required.map(|required| required.missing),
        Some(vec![typo.to_owned()]),
        "and the status says so"
    );
    world.run_for(&["records"], 90).await;
    assert_eq!(jobs_created(&world), before + 1, "the answer is remembered");
    assert!(!world.gate().iter().any(|entry| entry.ends_with(typo) || entry.ends_with('@')));

    // It is applied after all, by a release: that run answers for it, however full its message is.
    world.database.source.push(typo.to_owned());
    world
        .server
        .cluster()
        .edit(&key("configmaps", "records-migrations"), |map| map["data"] = json!({"new": "file"}));
    world.run(&["records"]).await;
    assert!(world.gate().contains(&format!("records@{typo}")));
    assert_eq!(world.status("records").required.map(|required| required.missing), Some(Vec::new()));
}

#[tokio::test]
async fn invented_requirements_make_few_jobs_however_many_there_are() {
    let mut world = adopted();
    world.run(&["records"]).await;
    let before = jobs_created(&world);
    for n in 0..100 {
        put_pod(&world, &format!("pod-{n}"), &format!("invented_{n}"));
    }
    world.run_for(&["records"], 200).await;
    assert!((1..=3).contains(&(jobs_created(&world) - before)), "{} Jobs", jobs_created(&world) - before);
    let missing = world.status("records").required.expect("answers").missing;
    assert!(missing.len() <= 50, "{}", missing.len());
    assert_eq!(world.ready("records").0, "True");
}

#[tokio::test]
async fn whichever_write_is_the_last_of_a_process_the_older_version_is_satisfied_in_the_end() {
    for fault in [Fault::DiesBefore, Fault::DiesAfter, Fault::AnswerLost] {
        for at in 1..=3 {
            let mut world = adopted();
            world.run(&["records"]).await;
            put_pod(&world, "app", OLD);
            {
                let mut cluster = world.server.cluster();
                cluster.fault = Some((cluster.asked + at, fault));
            }
            world.run(&["records"]).await;
            assert!(world.gate().contains(&format!("records@{OLD}")), "{fault:?} at write {at}");
            assert_eq!(world.ready("records").0, "True", "{fault:?} at write {at}");
        }
    }
}

/// A DatabaseMigration of another database that waits until `records` has applied this version.
fn put_dependent(world: &World, name: &str, condition: &str, version: &str) {
    let before = json!({"dependsOn": [{"name": "records", "condition": condition, "minVersion": version}]});
    world.put(name, &json!({"before": before, "database": {"secretRef": {"name": format!("{name}-db")}}}));
}

fn jobs_of(world: &World, name: &str) -> usize {
    world.writes().iter().filter(|write| write.starts_with(&format!("create jobs {name}-"))).count()
}

#[tokio::test]
async fn an_older_version_that_another_database_depends_on_is_asked_for_once_and_lets_it_begin() {
    for condition in ["Ready", "Applied"] {
        let mut world = adopted();
        world.run(&["records"]).await;
        let before = jobs_of(&world, "records");
        assert!(before > 0 && !world.gate().contains(&format!("records@{OLD}")), "{:?}", world.writes());
        put_dependent(&world, "late", condition, OLD);
        world.run_for(&["late"], 5).await;
        assert!(
            world.condition("late", ConditionType::Ready).expect("Ready").2.contains(OLD),
            "alone it waits, and names the version"
        );
        for _ in 0..60 {
            world.run_for(&["records", "late"], 1).await;
            assert_eq!(world.ready("records").0, "True", "Ready stays as it is while the database is asked");
        }
        assert_eq!(
            world.ready("late").0,
            "True",
            "{condition}: {:?}",
            world.condition("late", ConditionType::Ready)
        );
        assert_eq!(jobs_of(&world, "records"), before + 1, "{condition}: one query");
        assert!(world.gate().contains(&format!("records@{OLD}")));
    }
}

#[tokio::test]
async fn a_version_that_the_gate_has_costs_no_job_and_neither_does_one_of_somebody_else() {
    let mut world = adopted();
    world.run(&["records"]).await;
    let before = jobs_of(&world, "records");
    let newest = world.database.applied.last().cloned().expect("a version");
    put_dependent(&world, "late", "Ready", &newest);
    let elsewhere = json!({"dependsOn": [{"name": "nobody", "minVersion": OLD}, {"name": "records"}]});
    world.put("other", &json!({"before": elsewhere, "database": {"secretRef": {"name": "other-db"}}}));
    world.run_for(&["records", "late", "other"], 60).await;
    assert_eq!((world.ready("late").0.as_str(), world.ready("other").0.as_str()), ("True", "False"));
    assert_eq!(jobs_of(&world, "records"), before);
}

#[tokio::test]
async fn invented_versions_of_dependents_make_few_jobs_and_let_nobody_begin() {
    let mut world = adopted();
    world.run(&["records"]).await;
    let before = jobs_of(&world, "records");
    let names: Vec<String> = (0..52).map(|n| format!("late-{n}")).collect();
    for name in &names {
        put_dependent(&world, name, "Applied", &format!("20230101000000_invented_by_{name}"));
    }
    world.run_for(&["records"], 130).await;
    assert!(
        (1..=3).contains(&(jobs_of(&world, "records") - before)),
        "{} Jobs",
        jobs_of(&world, "records") - before
    );
    assert!(world.status("records").required.expect("answers").missing.len() <= 50);
    world.run_for(&names.iter().map(String::as_str).collect::<Vec<_>>(), 2).await;
    for name in &names {
        assert_eq!(
            (world.ready(name).1.as_str(), jobs_of(&world, name)),
            ("DependencyNotReady", 0),
            "{name}"
        );
    }
    assert!(!world.gate().iter().any(|entry| entry.contains("invented")));
    assert_eq!(world.ready("records").0, "True");
}

#[tokio::test]
async fn whichever_write_is_the_last_of_a_process_the_dependent_begins_in_the_end() {
    let undisturbed = dependent_begins(None).await;
    assert!((4..=14).contains(&undisturbed), "{undisturbed} writes");
    for fault in [Fault::DiesBefore, Fault::DiesAfter, Fault::AnswerLost] {
        for at in 1..=undisturbed {
            dependent_begins(Some((at, fault))).await;
        }
    }
}

/// How many writes it took from the first reconcile of a dependent of an older version until all is at rest,
/// with this fault at this write of them.
async fn dependent_begins(fault: Option<(usize, Fault)>) -> usize {
    let mut world = adopted();
    world.run(&["records"]).await;
    let (jobs, asked) = (jobs_of(&world, "records"), world.server.cluster().asked);
    put_dependent(&world, "late", "Applied", OLD);
    world.server.cluster().fault = fault.map(|(at, fault)| (asked + at, fault));
    world.run(&["records", "late"]).await;
    assert_eq!((world.ready("late").0.as_str(), jobs_of(&world, "late")), ("True", 1), "{fault:?}");
    assert_eq!(
        (world.ready("records").0.as_str(), jobs_of(&world, "records")),
        ("True", jobs + 1),
        "{fault:?}"
    );
    assert!(world.gate().contains(&format!("records@{OLD}")), "{fault:?}");
    world.server.cluster().asked - asked
}

#[tokio::test]
async fn what_a_workload_waits_for_is_not_what_a_full_gate_loses() {
    let mut world = adopted();
    world.run(&["records"]).await;
    let full: Vec<String> = (0..600).map(|n| format!("records@99990101{n:06}_newer")).collect();
    let gate = key("migrationgates", "gates");
    world.server.cluster().publish(&gate, gate_manager("records"), full.into_iter().collect());
    put_pod(&world, "app", OLD);
    world.run(&["records"]).await;
    assert!(world.gate().contains(&format!("records@{OLD}")));
    let newest = world.database.applied.last().cloned().unwrap_or_default();
    assert!(world.gate().contains(&format!("records@{newest}")), "nor what was verified last");
    assert_eq!(world.gate().len(), 500);
}
