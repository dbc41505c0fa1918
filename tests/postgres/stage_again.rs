//! A run that only verifies, as `spec.verify.every` asks for: it copies nothing and changes nothing, whatever
//! it finds.

use sluice::{
    api::Reason,
    contract::{Stage, Verdict},
    stage::Context,
};

use crate::stage_scene::{Scene, run_all};

const FIRST: (&str, &str) = ("1_patients", "CREATE TABLE patients (id int PRIMARY KEY);");
const SECOND: (&str, &str) = ("2_visits", "CREATE TABLE visits (id int PRIMARY KEY);");

fn only_verifying(scene: &Scene) -> Context {
    let mut context = scene.context();
    context.purpose = sluice::contract::Purpose::Verify;
    context
}

#[tokio::test]
async fn what_is_applied_is_verified_and_every_stage_passes() {
    let scene = Scene::new("again_applied", &[FIRST]).await;
    scene.ready().await;
    let outcomes = run_all(&only_verifying(&scene)).await;
    assert_eq!(outcomes.len(), 4);
    assert!(outcomes.iter().all(|outcome| outcome.verdict == Verdict::Passed), "{outcomes:#?}");
}

#[tokio::test]
async fn a_row_that_was_taken_out_of_the_history_is_told_and_its_migration_does_not_run_again() {
    let scene = Scene::new("again_taken_out", &[FIRST, SECOND]).await;
    scene.ready().await;
    scene
        .database
        .execute("DELETE FROM _prisma_migrations WHERE migration_name = '2_visits'; DROP TABLE visits")
        .await;
    let before = scene.catalog().await;
    let outcomes = run_all(&only_verifying(&scene)).await;
    let last = outcomes.last().expect("verify");
    assert_eq!((last.stage, last.reason), (Stage::Verify, Reason::VerificationFailed), "{}", last.message);
    assert!(last.findings.iter().any(|finding| finding.object == "2_visits"), "{:?}", last.findings);
    assert_eq!((scene.catalog().await, scene.history_table().await.len()), (before, 1));
}
