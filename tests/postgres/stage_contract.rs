//! `-- sluice: contract`: the file and everything after it waits until its expansion is old enough, by the history;
//! to Prisma's own engine, and to psql, it is a comment.

use sluice::{
    api::Reason,
    contract::{Purpose, Stage, Verdict},
    stage,
};

use crate::stage_scene::{Scene, finish, said};

const EXPAND: (&str, &str) = (
    "1_expand",
    "CREATE TABLE people (name text, full_name text);\nINSERT INTO people VALUES ('a b', 'a b');\n",
);
const CONTRACT: (&str, &str) = (
    "2_contract",
    "-- The old column goes.\n-- sluice: contract of=1_expand min-age=1h\nALTER TABLE people DROP COLUMN name;\n",
);
const LATER: (&str, &str) = ("3_later", "ALTER TABLE people ADD COLUMN age int;\n");

/// The expansion has been applied for so long.
async fn ages(scene: &Scene, by: &str) {
    let sql = format!(
        "UPDATE _prisma_migrations SET finished_at = finished_at - interval '{by}', started_at = started_at - \
         interval '{by}'"
    );
    scene.database.execute(&sql).await;
}

#[tokio::test]
async fn a_contract_waits_for_its_age_with_everything_after_it_and_the_rest_is_verified() {
    let scene = Scene::new("contract", &[EXPAND, CONTRACT, LATER]).await;
    let outcomes = scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_expand applied"]);
    let history = outcomes[3].history.clone().expect("a history");
    let held = history.held.expect("is held");
    assert_eq!((held.migration.as_str(), held.of.as_str(), held.count), ("2_contract", "1_expand", 2));
    assert_eq!((history.pending_count, history.current.as_deref()), (0, Some("1_expand")));
    let (since, eligible_at) = (held.since.expect("is applied").0, held.eligible_at.expect("is known").0);
    assert_eq!(eligible_at.duration_since(since).as_secs(), 3600);
    assert!(
        outcomes[0].message.contains("2_contract is held, and 1 after it: it is the contract of 1_expand"),
        "{}",
        outcomes[0].message
    );

    // A second run finds nothing to do, and copies nothing.
    let again = scene.ready().await;
    assert_eq!((again[0].reason, again[1].reason), (Reason::NothingPending, Reason::SnapshotNotNeeded));
    let told = &again[0].message;
    assert!(told.contains(&format!("2_contract is held until {eligible_at}, and 1 after it")), "{told}");

    ages(&scene, "30 minutes").await;
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_expand applied"], "not too early");
    ages(&scene, "31 minutes").await;
    let due = scene.ready().await;
    assert_eq!(due[3].history.clone().expect("a history").held, None);
    let all = ["1_expand applied", "2_contract applied", "3_later applied"];
    assert_eq!(scene.history_table().await, all);
}

#[tokio::test]
async fn a_run_that_only_verifies_objects_to_no_contract_whether_it_is_due_or_not() {
    let scene = Scene::new("contract_verifies", &[EXPAND, CONTRACT]).await;
    scene.ready().await;
    for by in ["0 minutes", "2 hours"] {
        ages(&scene, by).await;
        let mut context = scene.context();
        context.purpose = Purpose::Verify;
        let mut before = Vec::new();
        for stage in [Stage::Plan, Stage::Snapshot, Stage::Migrate, Stage::Verify] {
            let outcome = stage::run(stage, &context, &before).await;
            assert_eq!(outcome.verdict, Verdict::Passed, "{by}: {}", outcome.message);
            before.push(outcome);
        }
        let held = before[3].history.clone().expect("a history").held.expect("is held");
        assert_eq!(held.migration, "2_contract");
        assert_eq!(scene.history_table().await, ["1_expand applied"]);
    }
}

#[tokio::test]
async fn what_becomes_due_between_plan_and_migrate_waits_for_the_next_plan() {
    let scene = Scene::new("contract_meanwhile", &[EXPAND, CONTRACT]).await;
    scene.ready().await;
    scene.write("1_late", "ALTER TABLE people ADD COLUMN late int;\n");
    let context = scene.context();
    let plan = stage::run(Stage::Plan, &context, &[]).await;
    assert_eq!(plan.history.clone().expect("a history").pending, ["1_late"], "{}", plan.message);
    // By the history of the plan it is not due, and by the clock of the next stage it is.
    let mut due = plan.clone();
    let held = due.history.as_mut().and_then(|history| history.held.as_mut()).expect("is held");
    held.eligible_at.clone_from(&held.since);
    let mut before = vec![due];
    for stage in [Stage::Snapshot, Stage::Migrate, Stage::Verify] {
        let outcome = stage::run(stage, &context, &before).await;
        assert_eq!(outcome.verdict, Verdict::Passed, "{}", outcome.message);
        before.push(outcome);
    }
    assert_eq!(scene.history_table().await, ["1_expand applied", "1_late applied"]);
}

#[tokio::test]
async fn the_verbs_say_until_when_it_is_held_and_a_contract_of_nothing_is_refused() {
    let scene = Scene::new("contract_verbs", &[EXPAND, CONTRACT]).await;
    scene.ready().await;
    for verb in ["plan", "run"] {
        let output = finish(scene.command(verb)).await;
        let told = said(&output);
        assert!(output.status.success() && told.contains("2_contract is held until"), "{verb}: {told}");
    }
    scene.write("2_contract", "-- sluice: contract of=1_expant\nALTER TABLE people DROP COLUMN name;\n");
    let outcome = scene.stopped(Stage::Plan, Reason::SourceInvalid).await;
    assert!(outcome.message.contains("\"1_expant\""), "{}", outcome.message);
    assert_eq!(scene.history_table().await, ["1_expand applied"]);
}
