//! `sluice rehearse`: what a release would lock, hold and write anew is told before it runs, and the database
//! is as it was.

use std::{fs, path::PathBuf};

use sluice::{
    contract::Verdict,
    sql::LockMode,
    stage::{Ground, Rehearsal, RehearsedStatement, rehearse},
};

use crate::stage_scene::{Scene, finish, said, until};

const VISITS: (&str, &str) = (
    "1_visits",
    "CREATE TABLE visits (id int PRIMARY KEY, cost int NOT NULL);\n\
     CREATE TABLE rooms (id int PRIMARY KEY, name text);",
);

/// An applied migration with rows in its tables, and a role that may create databases and reads everything.
async fn scene(test: &str) -> Scene {
    let scene = Scene::new(test, &[VISITS]).await;
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    scene.ready().await;
    scene
        .database
        .execute(
            "INSERT INTO visits SELECT i, i % 500 FROM generate_series(1, 20000) AS i;\n\
             INSERT INTO rooms SELECT i, 'room ' || i FROM generate_series(1, 100) AS i",
        )
        .await;
    scene
}

/// The same, whose manifest asks for a snapshot.
pub async fn with_snapshot(test: &str) -> Scene {
    scene(test).await.with("snapshot", "{dump: {volumeClaim: records-snapshots}}")
}

async fn rehearsed(scene: &Scene, on: &Ground) -> Rehearsal {
    let mut context = scene.context();
    context.by_hand = true;
    rehearse(&context, on).await
}

/// It passed, and left no scratch database.
async fn passed(scene: &Scene, on: &Ground) -> Rehearsal {
    let rehearsal = rehearsed(scene, on).await;
    assert_eq!(rehearsal.verdict, Verdict::Passed, "{rehearsal:#?}");
    assert_eq!(scratch_databases(scene).await, Vec::<String>::new());
    rehearsal
}

fn statements(rehearsal: &Rehearsal) -> Vec<&RehearsedStatement> {
    rehearsal.transactions.iter().flat_map(|transaction| &transaction.statements).collect()
}

fn lock<'a>(statement: &'a RehearsedStatement, relation: &str) -> Option<(&'a LockMode, u64)> {
    let mut locks = statement.locks.iter().filter(|lock| lock.relation == relation);
    locks.next().map(|lock| (&lock.mode, lock.held_milliseconds))
}

pub async fn scratch_databases(scene: &Scene) -> Vec<String> {
    let sql = format!(
        "SELECT d.datname::text FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE r.rolname = \
            '{}' AND datname LIKE 'sluice_scratch_%'",
        scene.role
    );
    scene.column(&sql).await
}

/// What the database is, and how many rows were ever written to each table: a session counts that when it
/// ends.
pub async fn state(scene: &Scene) -> (Vec<String>, Vec<String>, Vec<String>) {
    let others = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND pid <> \
        pg_backend_pid() AND backend_type = 'client backend'";
    until("every other session has ended", || async { scene.value(others).await == "0" }).await;
    let written = "SELECT relname || ' ' || n_tup_ins || ' ' || n_tup_upd || ' ' || n_tup_del FROM \
        pg_stat_user_tables ORDER BY relname";
    (scene.catalog().await, scene.column(written).await, scene.history_table().await)
}

#[tokio::test]
async fn a_rewrite_is_told_with_the_lock_that_is_held_until_commit_and_the_database_stays_as_it_is() {
    let scene = with_snapshot("rehearse_rewrite").await;
    scene.write(
        "2_wider",
        "ALTER TABLE visits ALTER COLUMN cost TYPE bigint;\n\
         UPDATE rooms SET name = upper(name) FROM pg_sleep(0.3);",
    );
    let before = state(&scene).await;
    let rehearsal = passed(&scene, &Ground::Snapshot(None)).await;
    assert_eq!(state(&scene).await, before);

    let [transaction] = &rehearsal.transactions[..] else { panic!("{rehearsal:#?}") };
    let [wider, update] = &transaction.statements[..] else { panic!("{transaction:#?}") };
    let rewrite = wider.rewrites.iter().find(|rewrite| rewrite.relation == "public.visits");
    let bytes = rewrite.unwrap_or_else(|| panic!("no rewrite: {wider:#?}")).bytes;
    assert!(bytes > 20_000 * 30, "{bytes} bytes of 20,000 rows");
    let (mode, held) = lock(wider, "public.visits").unwrap_or_else(|| panic!("no lock: {wider:#?}"));
    assert_eq!(*mode, LockMode::AccessExclusive);
    assert!(
        update.milliseconds >= 300 && held >= wider.milliseconds + update.milliseconds,
        "it is held while the second statement runs: {transaction:#?}"
    );
    assert_eq!((wider.place.line, update.place.line, update.rows), (1, 2, 100), "{transaction:#?}");
    assert_eq!(update.rewrites, [], "{update:#?}");
    let (mode, _) = lock(update, "public.rooms").expect("rows are written");
    assert_eq!(*mode, LockMode::RowExclusive);
}

#[tokio::test]
async fn what_runs_concurrently_is_a_transaction_by_itself_and_keeps_no_writer_waiting() {
    let scene = scene("rehearse_concurrently").await;
    scene.write(
        "2_index",
        "CREATE INDEX CONCURRENTLY visits_cost ON visits (cost);\nCREATE INDEX rooms_name ON rooms \
            (name);\nVACUUM FULL rooms;",
    );
    let rehearsal = passed(&scene, &Ground::Schema).await;
    let [alone, plain, full] = &rehearsal.transactions[..] else { panic!("{rehearsal:#?}") };
    assert!(!alone.in_transaction && plain.in_transaction, "{rehearsal:#?}");
    assert_eq!(alone.statements[0].keeps_writers_waiting(), 0, "{alone:#?}");
    assert_eq!((&alone.statements[0].locks[..], &alone.statements[0].rewrites[..]), (&[][..], &[][..]));
    let control = lock(&plain.statements[0], "public.rooms").map(|(mode, _)| *mode);
    assert_eq!(control, Some(LockMode::Share), "one that is not concurrent does: {plain:#?}");
    let rewritten = lock(&full.statements[0], "public.rooms").map(|(mode, _)| *mode);
    assert_eq!(rewritten, Some(LockMode::AccessExclusive), "and so does what rewrites: {full:#?}");
}

#[tokio::test]
async fn a_table_of_the_release_itself_is_no_table_that_anyone_waits_for() {
    let scene = scene("rehearse_new").await;
    scene.write("2_new", "CREATE TABLE fresh (id int);\nALTER TABLE fresh ALTER COLUMN id TYPE bigint;");
    let rehearsal = passed(&scene, &Ground::Schema).await;
    for statement in statements(&rehearsal) {
        assert_eq!((statement.locks.len(), statement.rewrites.len()), (0, 0), "{statement:#?}");
    }
}

#[tokio::test]
async fn a_migration_that_fails_on_the_rows_that_are_there_is_named_with_its_line_and_no_row() {
    let scene = with_snapshot("rehearse_fails").await;
    scene.write("2_fine", "ALTER TABLE rooms ADD COLUMN floor int;");
    scene.write("3_unique", "SELECT 'Ada Lovelace';\nCREATE UNIQUE INDEX cost_once ON visits (cost);");
    let before = state(&scene).await;
    let rehearsal = rehearsed(&scene, &Ground::Snapshot(None)).await;
    assert_eq!((rehearsal.verdict, state(&scene).await), (Verdict::Failed, before));
    let failure = rehearsal.failure.as_ref().unwrap_or_else(|| panic!("{rehearsal:#?}"));
    assert_eq!(
        (failure.file.as_str(), failure.line, failure.sqlstate.as_str()),
        ("3_unique/migration.sql", 2, "23505"),
        "{rehearsal:#?}"
    );
    assert!(rehearsal.message.contains("nothing of the real one was changed"), "{}", rehearsal.message);
    let [transaction] = &rehearsal.transactions[..] else { panic!("{rehearsal:#?}") };
    assert!(!transaction.committed && transaction.statements.len() == 2, "what ran before is told");
    assert!(!format!("{rehearsal:?}").contains("Lovelace"), "{rehearsal:#?}");
    assert_eq!(scratch_databases(&scene).await, Vec::<String>::new());
    // The same release on an empty schema finds no row that hinders it.
    passed(&scene, &Ground::Schema).await;
}

#[tokio::test]
async fn what_would_change_the_server_is_left_out_or_rolled_back() {
    let scene = scene("rehearse_server").await;
    let app = format!("app_of_{}", scene.database.name);
    scene.database.execute(&format!("ALTER ROLE {} CREATEROLE", scene.role)).await;
    scene.write("2_role", &format!("CREATE ROLE {app};\nALTER TABLE rooms ADD COLUMN floor int;"));
    let rehearsal = passed(&scene, &Ground::Schema).await;
    assert_eq!((rehearsal.left_out.len(), statements(&rehearsal).len()), (1, 1), "{rehearsal:#?}");

    // What no text shows is seen before COMMIT.
    scene.write("2_role", &format!("DO $$ BEGIN EXECUTE 'CREATE ' || 'ROLE {app}'; END $$;"));
    let rehearsal = rehearsed(&scene, &Ground::Schema).await;
    assert_eq!(rehearsal.verdict, Verdict::Failed);
    assert!(rehearsal.message.contains("would change more than a scratch database"), "{}", rehearsal.message);
    let roles = scene.column(&format!("SELECT rolname::text FROM pg_roles WHERE rolname = '{app}'")).await;
    assert_eq!(roles, Vec::<String>::new());
}

#[tokio::test]
async fn a_snapshot_of_which_a_byte_is_another_is_not_rehearsed_on() {
    let scene = with_snapshot("rehearse_damaged").await;
    scene.write("2_floor", "ALTER TABLE rooms ADD COLUMN floor int;");
    passed(&scene, &Ground::Snapshot(None)).await;
    let snapshots = scene.folder.path().join("snapshots/medical/records");
    let taken: Vec<PathBuf> = fs::read_dir(snapshots)
        .expect("there are some")
        .map(|entry| entry.expect("is read").path())
        .collect();
    let [folder] = &taken[..] else { panic!("{taken:?}") };
    passed(&scene, &Ground::Snapshot(Some(folder.clone()))).await;

    let mut bytes = fs::read(folder.join("dump")).expect("a dump");
    let end = bytes.len() - 1024;
    bytes.truncate(end);
    fs::write(folder.join("dump"), bytes).expect("cuts it");
    let rehearsal = rehearsed(&scene, &Ground::Snapshot(Some(folder.clone()))).await;
    assert_eq!(rehearsal.verdict, Verdict::Failed);
    assert!(rehearsal.message.contains("cannot be restored"), "{}", rehearsal.message);

    fs::remove_file(folder.join("manifest.json")).expect("it had one");
    let rehearsal = rehearsed(&scene, &Ground::Snapshot(Some(folder.clone()))).await;
    assert!(rehearsal.message.contains("holds no snapshot"), "{}", rehearsal.message);
    assert_eq!(scratch_databases(&scene).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_snapshot_that_the_role_cannot_restore_is_told_with_what_hinders_it() {
    let scene = with_snapshot("rehearse_extension").await;
    scene.database.execute("CREATE EXTENSION dblink").await;
    scene.write("2_floor", "ALTER TABLE rooms ADD COLUMN floor int;");
    let rehearsal = rehearsed(&scene, &Ground::Snapshot(None)).await;
    assert_eq!(rehearsal.verdict, Verdict::Failed);
    assert!(
        rehearsal.message.contains("cannot be restored")
            && rehearsal.message.contains("permission denied to create extension \"dblink\""),
        "{}",
        rehearsal.message
    );
    assert_eq!(scratch_databases(&scene).await, Vec::<String>::new());
    scene.database.execute("DROP EXTENSION dblink").await;
    passed(&scene, &Ground::Snapshot(None)).await;
}

#[tokio::test]
async fn a_snapshot_from_before_the_last_release_is_refused() {
    let scene = with_snapshot("rehearse_outdated").await;
    scene.write("2_floor", "ALTER TABLE rooms ADD COLUMN floor int;");
    let outcomes = scene.ready().await;
    let taken = outcomes.iter().find_map(|outcome| outcome.snapshot.as_ref()).expect("a snapshot was taken");
    let name = taken.reference.rsplit('/').next().expect("a name");
    let folder = scene.folder.path().join("snapshots/medical/records").join(name);
    scene.write("3_more", "ALTER TABLE rooms ADD COLUMN more int;");
    let rehearsal = rehearsed(&scene, &Ground::Snapshot(Some(folder))).await;
    assert_eq!(rehearsal.verdict, Verdict::Failed);
    assert!(rehearsal.message.contains("is of another history"), "{}", rehearsal.message);
}

#[tokio::test]
async fn an_assertion_about_rows_is_checked_on_the_copy() {
    let mut scene = with_snapshot("rehearse_checks").await;
    scene.set(
        "verify",
        "{queries: [{name: no free visit, sql: 'SELECT id FROM visits WHERE cost < 0', expect: NoRows}]}",
    );
    scene.write("2_discount", "UPDATE visits SET cost = cost - 1;");
    let rehearsal = rehearsed(&scene, &Ground::Snapshot(None)).await;
    assert_eq!((rehearsal.verdict, rehearsal.failure.is_none()), (Verdict::Failed, true), "{rehearsal:#?}");
    assert!(
        rehearsal
            .findings
            .iter()
            .any(|finding| finding.message.contains("no free visit")
                || finding.object.contains("no free visit")),
        "{rehearsal:#?}"
    );
    scene.write("2_discount", "UPDATE visits SET cost = cost + 1;");
    passed(&scene, &Ground::Snapshot(None)).await;
}

#[tokio::test]
async fn the_binary_prints_the_worst_statement_first_and_its_json_has_every_lock() {
    let scene = scene("rehearse_binary").await;
    scene.write(
        "2_two",
        "INSERT INTO rooms VALUES (7, 'Ada Lovelace');\nALTER TABLE visits ALTER COLUMN cost TYPE bigint;",
    );
    let output = finish(scene.command("rehearse")).await;
    let printed = said(&output);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    let place = |text: &str| printed.find(text).unwrap_or_else(|| panic!("no {text:?} in\n{printed}"));
    assert!(place("2_two/migration.sql:2") < place("2_two/migration.sql:1"), "{printed}");
    assert!(
        printed.contains("public.visits ACCESS EXCLUSIVE, ") && !printed.contains("Lovelace"),
        "{printed}"
    );
    assert!(printed.contains("2 statement(s) in 1 transaction(s) on the schema"), "{printed}");

    let mut command = scene.command("rehearse");
    command.args(["-o", "json"]);
    let output = finish(command).await;
    let rehearsal: Rehearsal = serde_json::from_slice(&output.stdout).expect("is JSON");
    assert!(lock(statements(&rehearsal)[0], "public.rooms").is_some(), "{rehearsal:#?}");

    scene.write("2_two", "ALTER TABLE nowhere ADD COLUMN a int;");
    let output = finish(scene.command("rehearse")).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("2_two/migration.sql:1"), "{}", said(&output));

    let mut command = scene.command("rehearse");
    command.args(["--snapshot", "."]);
    let output = finish(command).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("--on snapshot"), "{}", said(&output));
}

#[tokio::test]
async fn a_role_that_may_not_create_databases_is_told_so() {
    let scene = scene("rehearse_no_right").await;
    scene.database.execute(&format!("ALTER ROLE {} NOCREATEDB", scene.role)).await;
    scene.write("2_floor", "ALTER TABLE rooms ADD COLUMN floor int;");
    let rehearsal = rehearsed(&scene, &Ground::Schema).await;
    assert_eq!(rehearsal.verdict, Verdict::Failed);
    assert!(rehearsal.message.contains("in which the release is rehearsed"), "{}", rehearsal.message);
    assert!(rehearsal.message.contains("CREATEDB"), "{}", rehearsal.message);
}

#[tokio::test]
async fn what_a_killed_rehearsal_leaves_the_next_one_removes() {
    let scene = scene("rehearse_killed").await;
    scene.write("2_slow", "ALTER TABLE rooms ADD COLUMN floor int;\nSELECT pg_sleep(60);");
    let mut killed = scene.command("rehearse").spawn().expect("sluice starts");
    let at_work = format!(
        "SELECT (count(*) > 0)::text FROM pg_stat_activity WHERE usename = '{}' AND datname LIKE \
            'sluice_scratch_%' AND query LIKE '%pg_sleep%' AND state = 'active'",
        scene.role
    );
    until("the rehearsal is at work", || async { scene.value(&at_work).await == "true" }).await;
    let left = scratch_databases(&scene).await;
    killed.kill().expect("SIGKILL is sent");
    killed.wait().expect("it is gone");
    until("its sessions are gone", || async { scene.sessions().await == "0" }).await;
    assert_eq!(scratch_databases(&scene).await, left, "no process was there to drop it");
    scene.write("2_slow", "ALTER TABLE rooms ADD COLUMN floor int;");
    passed(&scene, &Ground::Schema).await;
}
