//! Phases where the schema is compared, and where a run is killed: drift, baseline, SIGKILL.

use std::time::{Duration, Instant};

use sluice::{
    api::Reason,
    contract::{Outcome, Stage},
};

use crate::{
    phases::{INDEX, PATIENTS, POLICIES, TYPES, of_phases, put, scene},
    stage_scene::{Scene, finish, said, until},
};

async fn may_create_databases(scene: &Scene) {
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
}

fn objects(outcome: &Outcome) -> Vec<&str> {
    outcome
        .findings
        .iter()
        .filter(|finding| finding.check.name() == "schema-drift")
        .map(|finding| finding.object.as_str())
        .collect()
}

#[tokio::test]
async fn a_policy_of_a_phase_that_was_dropped_by_hand_is_drift() {
    let scene =
        scene("phases_drift", &[PATIENTS], &[TYPES, POLICIES, INDEX]).await.with("verify", "{drift: {}}");
    may_create_databases(&scene).await;
    scene.ready().await;
    scene.database.execute("DROP POLICY own ON patients").await;
    let outcome = scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
    assert_eq!(objects(&outcome).len(), 1, "{:#?}", outcome.findings);
    assert!(outcome.message.contains("missing policy"), "{}", outcome.message);
    scene.database.execute("CREATE POLICY own ON patients USING (clinic = current_user)").await;
    scene.ready().await;
}

#[tokio::test]
async fn the_replay_goes_release_by_release_so_a_table_that_went_later_disturbs_no_phase() {
    let notes = ("2_notes", "CREATE TABLE notes (id int PRIMARY KEY);");
    let scene = scene("phases_drift_order", &[PATIENTS, notes], &[TYPES, POLICIES])
        .await
        .with("verify", "{drift: {}}");
    put(&scene, "security/020_notes", "ALTER TABLE notes ENABLE ROW LEVEL SECURITY;");
    may_create_databases(&scene).await;
    scene.ready().await;
    scene.write("3_no_notes", "DROP TABLE notes;");
    scene.ready().await;
    scene.database.execute("CREATE TABLE notes (id int PRIMARY KEY)").await;
    let outcome = scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
    assert!(objects(&outcome).contains(&"public.notes"), "{:#?}", outcome.findings);
}

const BASELINE: &str = "{configMaps: [records], baseline: {upTo: 1_patients, phases: [types/1, \
    security/010_policies]}, phases: [{name: types, configMaps: [types], when: Before}, \
     {name: security, configMaps: [security]}, {name: performance, configMaps: [performance]}]}";

#[tokio::test]
async fn a_baseline_records_the_phases_that_it_names_and_runs_the_others() {
    let scene = scene("phases_baseline", &[PATIENTS], &[TYPES, POLICIES, INDEX])
        .await
        .with("migrations", BASELINE)
        .with("verify", "{drift: {}}");
    may_create_databases(&scene).await;
    scene
        .database
        .execute(&format!("SET ROLE {}; {} {} {}", scene.role, TYPES.1, PATIENTS.1, POLICIES.1))
        .await;
    let outcomes = scene.ready().await;
    assert!(
        outcomes[0].message.contains("3 are recorded as applied; 1 pending: performance/010_clinic"),
        "{}",
        outcomes[0].message
    );
    assert_eq!(scene.history_table().await, ["1_patients applied"]);
    assert_eq!(
        of_phases(&scene).await,
        ["types/1 applied", "security/010_policies applied", "performance/010_clinic applied"]
    );
    scene.ready().await;
}

#[tokio::test]
async fn a_baseline_that_names_a_phase_whose_policies_are_not_there_is_refused() {
    let mut scene =
        scene("phases_baseline_not", &[PATIENTS], &[TYPES, POLICIES]).await.with("migrations", BASELINE);
    may_create_databases(&scene).await;
    scene.database.execute(&format!("SET ROLE {}; {} {}", scene.role, TYPES.1, PATIENTS.1)).await;
    let outcome = scene.stopped(Stage::Plan, Reason::BaselineDiffers).await;
    assert!(
        outcome.message.contains("missing policy")
            || outcome.findings.iter().any(|finding| finding.message.contains("missing policy")),
        "{}",
        outcome.message
    );
    assert_eq!(
        scene.value("SELECT count(*)::text FROM pg_namespace WHERE nspname = 'sluice'").await,
        "0",
        "nothing was recorded"
    );
    scene.set("migrations", &BASELINE.replace("security/010_policies", "security/nothing"));
    let outcome = scene.stopped(Stage::Plan, Reason::TargetNotFound).await;
    assert!(
        outcome.message.contains("spec.migrations.baseline.phases names \"security/nothing\""),
        "{}",
        outcome.message
    );
}

/// How many times a release is killed, at moments spread over all of it.
const KILLS: u32 = 10;

#[tokio::test]
async fn a_release_that_is_killed_at_any_moment_runs_each_file_once() {
    let reference = slow("phases_kill_reference").await;
    let began = Instant::now();
    let output = finish(reference.command("run")).await;
    let took = began.elapsed();
    assert!(output.status.success(), "{}", said(&output));
    let expected = state(&reference).await;
    assert_eq!(expected.len(), 10, "{expected:#?}");
    for kill in 0..KILLS {
        let scene = slow("phases_kill").await;
        kill_after(&scene, took * (kill + 1) / (KILLS + 1)).await;
        let output = finish(scene.command("run")).await;
        assert!(output.status.success(), "kill {kill}: {}", said(&output));
        assert_eq!(state(&scene).await, expected, "kill {kill}");
    }
}

/// Starts a run and sends it SIGKILL after this time.
async fn kill_after(scene: &Scene, time: Duration) {
    let mut run = tokio::process::Command::from(scene.command("run"))
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    // However it goes: within the time it ends, or it is killed.
    if tokio::time::timeout(time, run.wait()).await.is_err() {
        run.kill().await.expect("SIGKILL is sent");
    }
    until("its sessions end", || async { scene.sessions().await == "0" }).await;
}

/// A release whose files leave a row each time they run and take their time by sleeping, which a busy machine
/// does not change.
async fn slow(test: &str) -> Scene {
    let slow = "CREATE FUNCTION slow(t anyelement) RETURNS anyelement LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN \
        PERFORM pg_catalog.pg_sleep(0.005); RETURN t; END $$;";
    let patients = format!(
        "CREATE TABLE ran (file text);{slow}\nCREATE TABLE patients AS SELECT i AS id, i::text AS clinic \
            FROM generate_series(1, 40) AS i;\n\
         INSERT INTO ran SELECT 'patients' FROM pg_sleep(0.1);"
    );
    let ran = |file: &str| format!("INSERT INTO ran SELECT '{file}' FROM pg_sleep(0.1);");
    let scene = scene(test, &[("1_patients", &patients)], &[TYPES]).await;
    put(
        &scene,
        "security/010",
        &format!("ALTER TABLE patients ENABLE ROW LEVEL SECURITY; {}", ran("security/010")),
    );
    put(&scene, "security/020", &ran("security/020"));
    put(&scene, "performance/010", "CREATE INDEX CONCURRENTLY patients_slow ON patients (slow(id));");
    put(
        &scene,
        "performance/020",
        &format!(
            "CREATE INDEX CONCURRENTLY patients_clinic ON patients (clinic);\n{}",
            ran("performance/020")
        ),
    );
    scene
}

async fn state(scene: &Scene) -> Vec<String> {
    scene
        .column(
            "SELECT 'ran ' || file FROM ran UNION ALL \
             SELECT concat_ws(' ', 'row', migration_name, finished_at IS NOT NULL, rolled_back_at) FROM \
             sluice.phases_public UNION ALL \
             SELECT concat_ws(' ', 'row', migration_name, finished_at IS NOT NULL, rolled_back_at) FROM \
             _prisma_migrations UNION ALL \
             SELECT 'journal of ' || row_id FROM sluice.journal UNION ALL \
             SELECT 'invalid ' || indexrelid::regclass FROM pg_index WHERE NOT indisvalid ORDER BY 1",
        )
        .await
}
