//! What another session does to the database between two stages of a run: the stage that meets it says so,
//! and nothing is changed.

use sluice::{
    api::Reason,
    contract::{Outcome, Stage, Verdict},
    stage,
};

use crate::{
    server::{Server, connect, execute},
    stage_scene::{Scene, planned},
};

const FILES: [(&str, &str); 2] =
    [("1_init", "CREATE TABLE visits (id int);"), ("2_note", "ALTER TABLE visits ADD COLUMN note text;")];

/// A database with the first migration, whose second one was planned.
async fn scene(test: &str) -> (Scene, Vec<Outcome>) {
    let scene = Scene::new(test, &FILES[..1]).await;
    scene.ready().await;
    scene.write(FILES[1].0, FILES[1].1);
    let outcomes = planned(&scene.context()).await;
    let plan = &outcomes[0];
    assert_eq!((plan.reason, plan.verdict), (Reason::PlanReady, Verdict::Passed), "{}", plan.message);
    (scene, outcomes)
}

/// The stage `migrate`, in a process of its own, after these.
async fn migrated(scene: &Scene, before: &[Outcome]) -> Outcome {
    stage::run(Stage::Migrate, &scene.context(), before).await
}

#[tokio::test]
async fn a_database_that_is_renamed_between_plan_and_migrate_is_not_found_and_nothing_runs() {
    let (scene, outcomes) = scene("renamed").await;
    let (name, other) = (&scene.database.name, format!("{}_moved", scene.database.name));
    let mut administrator = connect(&Server::get().url("postgres", "postgres")).await;
    execute(&mut administrator, &format!("ALTER DATABASE {name} RENAME TO {other}")).await;
    let outcome = migrated(&scene, &outcomes).await;
    assert_eq!(
        (outcome.reason, outcome.verdict),
        (Reason::DatabaseNotFound, Verdict::Failed),
        "{}",
        outcome.message
    );
    assert!(outcome.message.contains(name.as_str()), "{}", outcome.message);
    execute(&mut administrator, &format!("ALTER DATABASE {other} RENAME TO {name}")).await;
    assert_eq!(scene.history_table().await, ["1_init applied"]);
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_init applied", "2_note applied"]);
}

#[tokio::test]
async fn a_role_that_loses_its_rights_between_plan_and_migrate_is_told_what_it_may_not_do() {
    for (test, takes, gives) in [
        ("loses_table", "ALTER TABLE visits OWNER TO postgres", "ALTER TABLE visits OWNER TO ROLE_"),
        (
            "loses_history",
            "ALTER TABLE _prisma_migrations OWNER TO postgres",
            "ALTER TABLE _prisma_migrations OWNER TO ROLE_",
        ),
        (
            "loses_schema",
            "ALTER SCHEMA public OWNER TO postgres; REVOKE ALL ON SCHEMA public FROM public",
            "ALTER SCHEMA public OWNER TO ROLE_",
        ),
    ] {
        let (scene, outcomes) = scene(test).await;
        let before = scene.catalog().await.len();
        scene.database.execute(&takes.replace("ROLE_", &scene.role)).await;
        let outcome = migrated(&scene, &outcomes).await;
        assert_eq!(outcome.verdict, Verdict::Failed, "{test}: {}", outcome.message);
        let told = format!(
            "{} {}",
            outcome.message,
            outcome.failure.as_ref().map_or("", |failure| failure.message.as_str())
        );
        assert!(
            told.contains("permission denied") || told.contains("must be owner"),
            "{test}: {:?} {told}",
            outcome.reason
        );
        assert_eq!(
            outcome.reason.class(),
            sluice::api::Class::NeedsUser,
            "{test}: {:?} {told}",
            outcome.reason
        );
        assert_eq!(scene.catalog().await.len(), before, "{test}");
        assert_eq!(scene.history_table().await, ["1_init applied"], "{test}");
        scene.database.execute(&gives.replace("ROLE_", &scene.role)).await;
        scene.ready().await;
    }
}
