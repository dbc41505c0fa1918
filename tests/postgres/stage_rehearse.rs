//! The stage `rehearse` of a run: a release that fails on the copy, or is over a limit there, does not run, and
//! the database is as it was.

use std::fs;

use sluice::{
    api::{ReadBack, Reason},
    contract::{Outcome, Stage, Verdict},
    stage,
};

use crate::{
    rehearse::{scratch_databases, state, with_snapshot},
    server::{Server, connect, execute},
    stage_scene::{Scene, finish, planned, run_all, said, until, value},
};

const WIDER: &str = "ALTER TABLE visits ALTER COLUMN cost TYPE bigint;\n\
    UPDATE rooms SET name = upper(name) FROM pg_sleep(0.3);";

/// Rows, a snapshot, and a rehearsal with this section.
async fn scene(test: &str, rehearsal: &str) -> Scene {
    let mut scene = with_snapshot(test).await;
    ask_for(&mut scene, rehearsal);
    scene
}

fn ask_for(scene: &mut Scene, rehearsal: &str) {
    scene.set("before", &format!("{{rehearsal: {rehearsal}}}"));
}

/// It ends in the rehearsal for this reason, and the database is as it was.
async fn stopped(scene: &Scene, reason: Reason) -> Outcome {
    let before = state(scene).await;
    let outcome = scene.stopped(Stage::Rehearse, reason).await;
    assert_eq!(state(scene).await, before, "{}", outcome.message);
    assert_eq!(scratch_databases(scene).await, Vec::<String>::new());
    outcome
}

fn reasons(outcomes: &[Outcome]) -> Vec<Reason> {
    outcomes.iter().map(|outcome| outcome.reason).collect()
}

#[tokio::test]
async fn a_release_over_a_limit_stops_before_it_runs_and_under_it_goes_on() {
    let mut scene = scene("stage_rehearse_limit", "{limits: {lockHeld: 200ms}}").await;
    scene.write("2_wider", WIDER);
    let outcome = stopped(&scene, Reason::RehearsalOverLimit).await;
    let line = "2_wider/migration.sql:1 locks public.visits (ACCESS EXCLUSIVE) for ";
    assert!(outcome.message.starts_with(line), "{}", outcome.message);
    assert!(
        outcome.message.ends_with("spec.before.rehearsal.limits.lockHeld is 200ms"),
        "{}",
        outcome.message
    );
    let longest = &outcome.locks[0];
    assert_eq!((longest.table.as_str(), longest.mode.as_str()), ("public.visits", "ACCESS EXCLUSIVE"));
    assert!(longest.milliseconds >= 300, "until COMMIT: {longest:?}");

    ask_for(&mut scene, "{limits: {rewrite: 16Ki}}");
    let outcome = stopped(&scene, Reason::RehearsalOverLimit).await;
    assert!(outcome.message.contains("are written anew"), "{}", outcome.message);

    ask_for(&mut scene, "{limits: {duration: 300ms}}");
    let outcome = stopped(&scene, Reason::RehearsalOverLimit).await;
    assert!(outcome.message.contains("migration.sql:2 takes "), "{}", outcome.message);

    ask_for(&mut scene, "{limits: {lockHeld: 10m, rewrite: 1Gi, duration: 20m}}");
    let outcomes = scene.ready().await;
    let expected =
        [Reason::PlanReady, Reason::SnapshotTaken, Reason::Rehearsed, Reason::Applied, Reason::Verified];
    assert_eq!(reasons(&outcomes), expected);
    assert!(outcomes[2].message.contains("locks public.visits for longest"), "{}", outcomes[2].message);
    let again = scene.ready().await;
    assert_eq!(again[2].reason, Reason::RehearsalNotNeeded, "nothing is pending: {}", again[2].message);
}

#[tokio::test]
async fn a_release_that_fails_on_the_rows_of_the_copy_is_named_and_the_mended_one_runs() {
    let scene = scene("stage_rehearse_fails", "{}").await;
    scene.write("2_unique", "CREATE UNIQUE INDEX cost_once ON visits (cost);");
    let outcome = stopped(&scene, Reason::RehearsalFailed).await;
    let failure = outcome.failure.as_ref().unwrap_or_else(|| panic!("{outcome:#?}"));
    assert_eq!((failure.file.as_str(), failure.sqlstate.as_str()), ("2_unique/migration.sql", "23505"));
    assert!(outcome.message.contains("nothing of the real one was changed"), "{}", outcome.message);
    scene.write("2_unique", "CREATE UNIQUE INDEX cost_once ON visits (cost, id);");
    scene.ready().await;
}

#[tokio::test]
async fn a_check_that_finds_an_error_on_the_copy_stops_the_release() {
    let mut scene = scene("stage_rehearse_checks", "{}").await;
    scene.set(
        "verify",
        "{queries: [{name: no free visit, sql: 'SELECT id FROM visits WHERE cost < 0', expect: NoRows}]}",
    );
    scene.write("2_discount", "UPDATE visits SET cost = cost - 1;");
    let outcome = stopped(&scene, Reason::RehearsalFailed).await;
    assert!(outcome.message.contains("the checks found 1 error(s)"), "{}", outcome.message);
    assert!(!outcome.findings.is_empty(), "{outcome:#?}");
    scene.write("2_discount", "UPDATE visits SET cost = cost + 1;");
    scene.ready().await;
}

#[tokio::test]
async fn on_an_empty_schema_a_release_is_tried_without_its_rows() {
    let mut scene = scene("stage_rehearse_schema", "{on: Schema}").await;
    scene.set("snapshot", "{none: {reason: a database of a test}}");
    scene.write("2_wrong", "ALTER TABLE nowhere ADD COLUMN a int;");
    let outcome = stopped(&scene, Reason::RehearsalFailed).await;
    assert!(outcome.message.contains("\"nowhere\" does not exist"), "{}", outcome.message);
    scene.write("2_wrong", "ALTER TABLE rooms ADD COLUMN a int;");
    let outcomes = scene.ready().await;
    assert_eq!(outcomes[2].reason, Reason::Rehearsed);
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_restored_stops_the_release() {
    let scene = scene("stage_rehearse_restore", "{}").await;
    scene.database.execute("CREATE EXTENSION dblink").await;
    scene.write("2_floor", "ALTER TABLE rooms ADD COLUMN floor int;");
    let outcome = stopped(&scene, Reason::RestoreFailed).await;
    assert!(outcome.message.contains("create extension \"dblink\""), "{}", outcome.message);
    scene.database.execute("DROP EXTENSION dblink").await;
    scene.ready().await;
}

#[tokio::test]
async fn a_dump_that_was_damaged_is_not_rehearsed_on_and_nothing_is_migrated_without_a_rehearsal() {
    let scene = scene("stage_rehearse_damaged", "{}").await;
    scene.write("2_floor", "ALTER TABLE rooms ADD COLUMN floor int;");
    let context = scene.context();
    let mut outcomes = planned(&context).await;
    let taken = outcomes[1].snapshot.as_ref().expect("a snapshot");
    let (_, path) = taken.reference.split_once(':').expect("CLAIM:PATH");
    let dump = context.snapshots.join(path).join("dump");
    let whole = fs::read(&dump).expect("a dump");
    fs::write(&dump, &whole[..whole.len() - 1024]).expect("cuts it");
    let rehearsed = stage::run(Stage::Rehearse, &context, &outcomes).await;
    assert_eq!(rehearsed.reason, Reason::SnapshotUnreadable, "{}", rehearsed.message);

    let before = state(&scene).await;
    let refused = stage::run(Stage::Migrate, &context, &outcomes).await;
    assert!(refused.message.contains("spec.before.rehearsal asks"), "{}", refused.message);
    outcomes.push(rehearsed);
    let refused = stage::run(Stage::Migrate, &context, &outcomes).await;
    assert_eq!((refused.verdict, refused.reason), (Verdict::Failed, Reason::StageFailed));
    assert_eq!(state(&scene).await, before);

    fs::write(&dump, whole).expect("mends it");
    outcomes[2] = stage::run(Stage::Rehearse, &context, &outcomes[..2]).await;
    assert_eq!(outcomes[2].reason, Reason::Rehearsed, "{}", outcomes[2].message);
    let applied = stage::run(Stage::Migrate, &context, &outcomes).await;
    assert_eq!(applied.reason, Reason::Applied, "{}", applied.message);
}

#[tokio::test]
async fn a_run_that_is_killed_in_its_rehearsal_changes_nothing_and_the_next_one_leaves_no_scratch_database() {
    let scene = scene("stage_rehearse_killed", "{}").await;
    scene.write("2_slow", "ALTER TABLE rooms ADD COLUMN floor int;\nSELECT pg_sleep(600);");
    let before = state(&scene).await;
    let mut killed = scene.command("run").spawn().expect("sluice starts");
    let at_work = format!(
        "SELECT (count(*) > 0)::text FROM pg_stat_activity WHERE usename = '{}' AND datname LIKE \
            'sluice_scratch_%' AND query LIKE '%pg_sleep%' AND state = 'active'",
        scene.role
    );
    until("the rehearsal is at work", || async { scene.value(&at_work).await == "true" }).await;
    killed.kill().expect("SIGKILL is sent");
    killed.wait().expect("it is gone");
    until("its sessions are gone", || async { scene.sessions().await == "0" }).await;
    assert_eq!(state(&scene).await, before);
    assert_eq!(scratch_databases(&scene).await.len(), 1, "no process was there to drop it");
    scene.write("2_slow", "ALTER TABLE rooms ADD COLUMN floor int;");
    scene.ready().await;
    assert_eq!(scratch_databases(&scene).await, Vec::<String>::new());
}

#[tokio::test]
async fn sluice_run_tells_the_rehearsal_and_stops_where_it_is_over_a_limit() {
    let mut scene = scene("stage_rehearse_run", "{limits: {lockHeld: 200ms}}").await;
    scene.write("2_wider", WIDER);
    let before = state(&scene).await;
    let output = finish(scene.command("run")).await;
    let printed = said(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("rehearse  RehearsalOverLimit"), "{printed}");
    assert!(printed.contains("2_wider/migration.sql:1 locks public.visits (ACCESS EXCLUSIVE)"), "{printed}");
    let condition = printed.lines().find(|line| line.starts_with("Rehearsed "));
    assert!(condition.is_some_and(|line| line.contains("False   RehearsalOverLimit")), "{printed}");
    assert_eq!(state(&scene).await, before);

    ask_for(&mut scene, "{}");
    let output = finish(scene.command("run")).await;
    let printed = said(&output);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(printed.contains("Rehearsed     True    Rehearsed"), "{printed}");
}

#[tokio::test]
async fn a_snapshot_that_has_to_be_restored_is_and_one_that_cannot_be_stops_the_run() {
    let scene = with_snapshot("snapshot_restored").await;
    let scene = scene.with("snapshot", "{dump: {volumeClaim: records-snapshots}, verify: Restore}");
    scene.write("2_floor", "ALTER TABLE rooms ADD COLUMN floor int;");
    scene.database.execute("CREATE EXTENSION dblink").await;
    let before = state(&scene).await;
    let outcome = scene.stopped(Stage::Snapshot, Reason::RestoreFailed).await;
    assert!(outcome.message.contains("create extension \"dblink\""), "{}", outcome.message);
    assert_eq!(
        outcome.snapshot.map(|taken| taken.verified),
        Some(ReadBack::Read),
        "it stays, and says no more"
    );
    assert_eq!((state(&scene).await, scratch_databases(&scene).await.len()), (before, 0));

    scene.database.execute("DROP EXTENSION dblink").await;
    let outcomes = scene.ready().await;
    assert_eq!(outcomes[1].snapshot.as_ref().map(|taken| taken.verified), Some(ReadBack::Restore));
    assert_eq!(scratch_databases(&scene).await, Vec::<String>::new());
}

#[tokio::test]
async fn where_a_rehearsal_is_on_the_snapshot_it_is_the_proof_that_the_snapshot_can_be_restored() {
    let scene = scene("snapshot_rehearsed", "{}").await;
    let scene = scene.with("snapshot", "{dump: {volumeClaim: records-snapshots}, verify: Restore}");
    scene.write("2_floor", "ALTER TABLE rooms ADD COLUMN floor int;");
    let outcomes = scene.ready().await;
    let verified = |at: usize| outcomes[at].snapshot.as_ref().map(|taken| taken.verified);
    assert_eq!((verified(1), verified(2)), (Some(ReadBack::Read), Some(ReadBack::Restore)));
}

#[tokio::test]
async fn the_copy_is_made_on_the_server_that_the_manifest_names_and_the_real_one_makes_none() {
    let mut scene = scene("stage_rehearse_server", "{}").await;
    scene.write("2_floor", "ALTER TABLE rooms ADD COLUMN floor int;");
    // On the real server the role may create no database any more.
    scene.database.execute(&format!("ALTER ROLE {} NOCREATEDB", scene.role)).await;
    let outcome = stopped(&scene, Reason::PrivilegesMissing).await;
    assert!(outcome.message.contains("CREATEDB"), "the control: {}", outcome.message);

    ask_for(&mut scene, "{server: {secretRef: {name: scratch}}}");
    let outcome = stopped(&scene, Reason::ConnectionInvalid).await;
    assert!(outcome.message.contains("SLUICE_REHEARSAL_URL"), "{}", outcome.message);

    let other = Server::another(None, None);
    let role = format!("CREATE ROLE {} LOGIN CREATEDB", scene.role);
    execute(&mut connect(&other.url("postgres", "postgres")).await, &role).await;
    let url = other.url(&scene.role, "postgres");
    let context =
        scene.context().with_elsewhere(|name| (name == "SLUICE_REHEARSAL_URL").then(|| url.clone()));
    let outcomes = run_all(&context).await;
    let last = outcomes.last().expect("a stage");
    assert_eq!((outcomes.len(), last.reason), (5, Reason::Verified), "{}", last.message);
    let left = "SELECT count(*)::text FROM pg_database WHERE datname LIKE 'sluice_scratch_%'";
    let mut connection = connect(&other.url("postgres", "postgres")).await;
    assert_eq!(value(&mut connection, left).await, "0");
}
