//! A statement under `-- sluice: backfill` ends with the rows that it ends with as a whole, whatever its key
//! is and whatever interrupts it, and no row is changed twice.

use std::process::{Command, Stdio};

use sluice::{api::Reason, contract::Stage};

use crate::{
    server::{Database, Server},
    stage_scene::{DEADLINE, Scene, finish, said, session, until, value},
};

/// Rows whose keys are of several types, in an order of their own each.
pub const INIT: (&str, &str) = (
    "1_init",
    "CREATE TABLE people (id int PRIMARY KEY, first text NOT NULL, last text NOT NULL, full_name text, \
       left_at date);\n\
     INSERT INTO people SELECT i, 'f' || i, 'l' || i % 7, CASE WHEN i % 5 = 0 THEN 'there' END, \
       CASE WHEN i % 3 = 0 THEN date '2024-01-01' + i % 365 END FROM generate_series(1, 1000) AS i;\n\
     CREATE TABLE stays (clinic int, id int, note text, PRIMARY KEY (clinic, id));\n\
     INSERT INTO stays SELECT i % 7, i, 'n' || i FROM generate_series(1, 1000) AS i;\n\
     CREATE TABLE \"Files\" (\"fileId\" uuid PRIMARY KEY, \"size\" int NOT NULL, \
       name varchar(40) NOT NULL UNIQUE);\n\
     INSERT INTO \"Files\" SELECT md5(i::text)::uuid, i, 'Ä ''' || i FROM generate_series(1, 1000) AS i;\n\
     CREATE TABLE archive (person int PRIMARY KEY, name text NOT NULL, stays bigint);\n\
     CREATE TABLE events (at timestamptz NOT NULL, n numeric NOT NULL, seen boolean, UNIQUE (at, n));\n\
     INSERT INTO events SELECT timestamptz '2024-02-29 23:59:59.123456+05' + i % 50 * interval '1.5 s', \
       i / 3.0, NULL FROM generate_series(1, 1000) AS i;\n\
     CREATE TABLE parts (clinic int, id int, n int, PRIMARY KEY (clinic, id)) PARTITION BY LIST (clinic);\n\
     CREATE TABLE parts_even PARTITION OF parts FOR VALUES IN (0, 2, 4, 6);\n\
     CREATE TABLE parts_other PARTITION OF parts DEFAULT;\n\
     INSERT INTO parts SELECT i % 7, i, i FROM generate_series(1, 1000) AS i;\n",
);
/// Each statement is about another kind of key, of statement, or of name.
const FILE: &str = "-- sluice: backfill key=id batch=90\n\
     UPDATE people SET full_name = first || ' ' || last WHERE full_name IS NULL; -- fills\n\
     -- sluice: backfill key=clinic,id batch=64 pause=1ms\n\
     UPDATE public.stays AS s SET note = p.full_name FROM people p \
       WHERE p.id = s.id AND (p.id % 2 = 0 OR s.clinic = 1);\n\
     -- sluice: backfill key=\"fileId\" batch=100\n\
     UPDATE \"Files\" SET \"size\" = \"size\" + 1;\n\
     -- sluice: backfill key=name batch=100\n\
     DELETE FROM \"Files\" f WHERE f.\"size\" % 4 = 0;\n\
     -- sluice: backfill key=id batch=77\n\
     INSERT INTO archive (person, name, stays)\n\
     SELECT p.id, p.full_name, (SELECT count(*) FROM stays s WHERE s.id = p.id)\n\
     FROM people AS p LEFT JOIN stays x ON x.id = p.id WHERE p.left_at IS NOT NULL OR p.id > 990\n\
     ON CONFLICT (person) DO NOTHING;\n\
     -- sluice: backfill key=at,n batch=90\n\
     UPDATE events SET seen = true;\n\
     -- sluice: backfill key=clinic,id batch=80\n\
     UPDATE parts p SET n = -n WHERE n % 10 > 0;\n\
     ALTER TABLE people ALTER COLUMN full_name SET NOT NULL;\n";
const ROWS: &str = "SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (\
    SELECT 'p' || p::text FROM people p UNION ALL SELECT 's' || s::text FROM stays s UNION ALL \
    SELECT 'f' || f::text FROM \"Files\" f UNION ALL SELECT 'a' || a::text FROM archive a UNION ALL \
    SELECT 'e' || e::text FROM events e UNION ALL SELECT 'r' || r::text FROM parts r) AS t(line)";
/// How many transactions the rows that are there are of.
const TRANSACTIONS: &str = "SELECT count(DISTINCT xmin::text)::text FROM ";

/// The same files as psql sends them, each as a whole.
async fn whole(test: &str, files: &[&str]) -> Database {
    let database = Server::get().database(test).await;
    for file in files {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", &database.url]);
        psql.args(["--command", file]);
        let output = finish(psql).await;
        assert!(output.status.success(), "{}", said(&output));
    }
    database
}

#[tokio::test]
async fn statements_in_batches_end_with_the_rows_of_the_same_file_run_whole() {
    let scene = Scene::new("batches", &[INIT, ("2_backfill", FILE)]).await;
    let whole = whole("batches_whole", &[INIT.1, FILE]).await;
    scene.ready().await;
    let expected = value(&mut whole.connect().await, ROWS).await;
    assert_eq!(scene.value(ROWS).await, expected);
    for table in ["people", "stays", "\"Files\"", "archive", "events", "parts"] {
        let of = format!("{TRANSACTIONS}{table}");
        let in_batches: u32 = scene.value(&of).await.parse().expect("a number");
        let at_once = value(&mut whole.connect().await, &of).await;
        assert!(
            in_batches >= 4 && ["1", "2"].contains(&at_once.as_str()),
            "{table}: {in_batches}, {at_once}"
        );
    }
    assert_eq!(scene.history_table().await, ["1_init applied", "2_backfill applied"]);
    assert_eq!(scene.value("SELECT count(*)::text FROM sluice.journal").await, "0");
    scene.ready().await;
    assert_eq!(scene.value(ROWS).await, expected, "the second run has nothing to do");
}

#[tokio::test]
async fn a_row_that_is_different_is_noticed() {
    let scene = Scene::new("noticed", &[INIT]).await;
    scene.ready().await;
    let before = scene.value(ROWS).await;
    scene.database.execute("UPDATE events SET seen = false WHERE n = 1").await;
    assert_ne!(scene.value(ROWS).await, before);
}

#[tokio::test]
async fn an_empty_table_and_a_condition_that_matches_no_row_are_done_at_once() {
    let file = "-- sluice: backfill key=person\nUPDATE archive SET stays = 1;\n\
         -- sluice: backfill key=id batch=300\nUPDATE people SET last = 'x' WHERE id < 0;\n\
         -- sluice: backfill key=id batch=300\nDELETE FROM people WHERE full_name = 'unknown';\n";
    let scene = Scene::new("nothing_to_do", &[INIT, ("2_backfill", file)]).await;
    scene.ready().await;
    assert_eq!(scene.value("SELECT count(*)::text FROM people WHERE last <> 'x'").await, "1000");
    assert_eq!(scene.history_table().await, ["1_init applied", "2_backfill applied"]);
}

/// Each change of a row leaves a line, in the transaction that changes it, and one row makes its batch wait
/// for an advisory lock.
pub const WATCHED: (&str, &str) = (
    "2_watched",
    "CREATE TABLE changed (id int NOT NULL);\n\
     CREATE TABLE gate (id int NOT NULL);\nINSERT INTO gate VALUES (0);\n\
     CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
       IF NEW.id = (SELECT id FROM gate) THEN PERFORM pg_advisory_xact_lock(4711); END IF; \
       INSERT INTO changed VALUES (NEW.id); RETURN NEW; END $$;\n\
     CREATE TRIGGER watch BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION watch();\n",
);
/// Not idempotent: a row that is changed twice shows it.
pub const ADD: (&str, &str) = (
    "3_add",
    "-- sluice: backfill key=id batch=100\nUPDATE people SET last = last || '+';\n\
     INSERT INTO changed VALUES (-1);\n",
);
pub const EACH_ONCE: &str =
    "SELECT concat_ws(' ', count(*), count(DISTINCT id), min(id), max(id)) FROM changed";

async fn watched(test: &str) -> Scene {
    // Longer than the test waits for anything, so that a batch at the gate stays there.
    let scene = Scene::new(test, &[INIT, WATCHED]).await.with("apply", "{lockTimeout: 1m}");
    scene.ready().await;
    scene.write(ADD.0, ADD.1);
    scene
}

#[tokio::test]
async fn a_backfill_that_is_killed_in_any_batch_goes_on_behind_the_last_one_and_changes_each_row_once() {
    let scene = watched("killed_in_batches").await;
    let mut behind = 0;
    for gate in [1, 350, 999] {
        scene.database.execute(&format!("UPDATE gate SET id = {gate}")).await;
        let holder = session(&scene.database.url, "holder", "SELECT pg_advisory_lock(4711)").await;
        let mut command = scene.command("run");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child =
            tokio::process::Command::from(command).kill_on_drop(true).spawn().expect("the binary starts");
        until("a batch is at the gate", || scene.waits_at(4711)).await;
        child.start_kill().expect("SIGKILL is sent");
        tokio::time::timeout(DEADLINE, child.wait()).await.expect("it is gone").expect("has a status");
        drop(holder);
        until("the server knows that it is gone", || async { scene.sessions().await == "0" }).await;
        let done: i32 = scene.value("SELECT count(*)::text FROM changed").await.parse().expect("a number");
        // The batch at the gate is not there, and none before it is gone.
        assert!(done < gate && done >= behind && gate - done <= 100, "{done} rows, killed at {gate}");
        behind = done;
        assert_eq!(scene.history_table().await[2], "3_add unfinished");
    }
    scene.database.execute("UPDATE gate SET id = 0").await;
    scene.ready().await;
    assert_eq!(scene.value(EACH_ONCE).await, "1001 1001 -1 1000");
    let changed_once = "SELECT count(*)::text FROM people WHERE last LIKE '%+' AND last NOT LIKE '%++'";
    assert_eq!(scene.value(changed_once).await, "1000");
    assert_eq!(scene.value("SELECT count(*)::text FROM sluice.journal").await, "0");
}

#[tokio::test]
async fn a_batch_that_meets_a_lock_waits_without_losing_the_batches_before_it() {
    let scene = watched("locked_batch").await.with("apply", "{lockTimeout: 100ms}");
    let holds = "BEGIN; SELECT FROM people WHERE id = 500 FOR UPDATE";
    let holder = session(&scene.database.url, "application", holds).await;
    let (outcomes, ()) = tokio::join!(scene.run(), async {
        until("a batch is committed", || async {
            scene.value("SELECT count(*)::text FROM changed").await != "0"
        })
        .await;
        until("a batch has met the lock", || async {
            let waits = "SELECT (count(*) > 0)::text FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
                WHERE NOT l.granted AND a.datname = current_database()";
            scene.value(waits).await == "true"
        })
        .await;
        drop(holder);
    });
    let last = outcomes.last().expect("a stage");
    assert_eq!((last.stage, last.reason), (Stage::Verify, Reason::Verified), "{}", last.message);
    assert_eq!(scene.value(EACH_ONCE).await, "1001 1001 -1 1000");
}
