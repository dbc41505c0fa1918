//! SIGKILL at many moments of `sluice run`. Whenever it dies, the next run ends where an undisturbed one
//! does: each migration applied exactly once, and nothing left over.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use futures::{StreamExt, future::join_all, stream};

use crate::{
    server::Server,
    stage_scene::{DEADLINE, Scene, finish, said, session, until},
};

/// Each file leaves a row for every time it ran, and takes its time: by sleeping, which a busy machine does
/// not change, so that the moments of the kills spread over all of them. The first build takes longer than
/// the server needs to find out that its client is gone; else it would come to its end, and no kill would
/// leave an invalid index.
const RELEASE: [(&str, &str); 7] = [
    (
        "1_patients",
        "CREATE TABLE ran (file text NOT NULL);\nCREATE TYPE state AS ENUM ('active', 'left');\n\
         CREATE TABLE patients (id int PRIMARY KEY, name text NOT NULL, state state NOT NULL DEFAULT \
         'active');\n\
         INSERT INTO patients (id, name) SELECT i, md5(i::text) FROM generate_series(1, 200) AS i;\n\
         CREATE FUNCTION slow(t anyelement) RETURNS anyelement LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN \
         PERFORM pg_catalog.pg_sleep(0.005); RETURN t; END $$;\n\
         INSERT INTO ran SELECT '1' FROM pg_sleep(0.05);\n",
    ),
    (
        "2_note",
        "ALTER TABLE patients ADD COLUMN note text NOT NULL DEFAULT '';\nINSERT INTO ran SELECT '2' FROM \
            pg_sleep(0.05);\n",
    ),
    (
        "3_visits",
        "CREATE TABLE visits (id serial PRIMARY KEY, patient int NOT NULL REFERENCES patients, at date NOT \
            NULL);\n\
         INSERT INTO visits (patient, at) SELECT id, date '2024-01-01' + id % 365 FROM patients;\n\
         CREATE INDEX visits_patient ON visits (patient);\nCREATE INDEX visits_at ON visits (at);\nCREATE \
         VIEW today AS SELECT * FROM visits WHERE at = CURRENT_DATE;\n\
         CREATE FUNCTION visit_count(p int) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM \
         visits WHERE patient = p; $$;\n\
         COMMENT ON TABLE visits IS 'who came; and when';\nINSERT INTO ran SELECT '3' FROM pg_sleep(0.05);\n",
    ),
    ("4_slow", "CREATE INDEX CONCURRENTLY visits_slow ON visits (slow(patient));\n"),
    (
        "5_mixed",
        "INSERT INTO ran SELECT '5 begins' FROM pg_sleep(0.05);\nALTER TABLE patients ADD COLUMN code \
            text;\nUPDATE patients SET code = md5(name);\n\
         CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS patients_code ON patients (code);\nDROP INDEX \
         CONCURRENTLY visits_at;\n\
         INSERT INTO ran SELECT '5 ends' FROM pg_sleep(0.05);\nALTER TABLE patients ALTER COLUMN code SET \
         NOT NULL;\n",
    ),
    (
        "6_archived",
        "ALTER TYPE state ADD VALUE 'archived';\nINSERT INTO ran SELECT '6' FROM pg_sleep(0.05);\n\
         UPDATE patients SET state = 'archived' WHERE id % 10 = 0;\n",
    ),
    ("7_last", "CREATE TABLE rooms (id int PRIMARY KEY);\nINSERT INTO ran SELECT '7' FROM pg_sleep(0.05);\n"),
];

/// How many databases of a sweep are worked on together.
const AT_A_TIME: u32 = 4;

/// What a database says about how it came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    history_table: Vec<String>,
    schema: String,
    rows: Vec<String>,
    left: Vec<String>,
}

const LEDGER: &str = "SELECT concat_ws(' ', migration_name, checksum, CASE WHEN finished_at IS NULL THEN \
    'unfinished' ELSE 'finished' END, \
     'rolled back: ' || rolled_back_at, 'logs: ' || logs, applied_steps_count) FROM _prisma_migrations ORDER \
     BY migration_name, started_at";
const ROWS: &str = "SELECT 'file ' || file || ' ran ' || count(*) || ' time(s)' FROM ran GROUP BY file \
     UNION ALL SELECT concat_ws(' ', 'patients', state, count(*), count(DISTINCT code), md5(string_agg(name \
     || code || note, '' ORDER BY id))) \
       FROM patients GROUP BY state \
     UNION ALL SELECT concat_ws(' ', 'visits', count(*), count(DISTINCT patient)) FROM visits ORDER BY 1";
const LEFT: &str = "SELECT 'invalid index ' || indexrelid::regclass FROM pg_index WHERE NOT (indisvalid AND \
    indisready AND indislive) \
     UNION ALL SELECT 'journal of ' || row_id || ', step ' || step FROM sluice.journal \
     UNION ALL SELECT 'session of ' || application_name FROM pg_stat_activity WHERE datname = \
     current_database() AND application_name LIKE 'sluice%' \
     UNION ALL SELECT 'advisory lock of ' || pid FROM pg_locks WHERE locktype = 'advisory' \
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1";

impl State {
    async fn of(scene: &Scene) -> Self {
        Self {
            history_table: scene.column(LEDGER).await,
            schema: schema(scene).await,
            rows: scene.column(ROWS).await,
            left: scene.column(LEFT).await.into_iter().chain(half_snapshots(scene)).collect(),
        }
    }

    /// Every line that only one of the two has.
    fn differences(&self, found: &Self) -> Vec<String> {
        let lines = |state: &Self| -> Vec<String> {
            state
                .schema
                .lines()
                .map(ToOwned::to_owned)
                .chain([&state.history_table, &state.rows, &state.left].into_iter().flatten().cloned())
                .collect()
        };
        let (mut missing, mut more) = (lines(self), Vec::new());
        for line in lines(found) {
            match missing.iter().position(|expected| *expected == line) {
                Some(at) => drop(missing.remove(at)),
                None => more.push(format!("+ {line}")),
            }
        }
        missing.into_iter().map(|line| format!("- {line}")).chain(more).collect()
    }
}

/// The snapshots that are not whole.
fn half_snapshots(scene: &Scene) -> Vec<String> {
    let entries =
        fs::read_dir(scene.folder.path().join("snapshots/medical/records")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with('.')).map(|name| format!("half a snapshot {name}")).collect()
}

/// The schema as pg_dump writes it, without what differs from one database or one call to the next. A run that
/// was killed behind its last COMMIT keeps no record of itself, and the next one has nothing to do.
async fn schema(scene: &Scene) -> String {
    let mut command = Command::new(Server::get().bin.join("pg_dump"));
    command
        .args(["--schema-only", "--exclude-table=sluice.records"])
        .arg(&scene.database.url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = finish(command).await;
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).expect("is UTF-8").replace(&scene.role, "ROLE");
    // A random key, against a role that could smuggle commands of psql into a dump.
    text.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

async fn scene(test: &str, sections: &[(&'static str, &str)]) -> Scene {
    sections.iter().fold(Scene::new(test, &RELEASE).await, |scene, (section, yaml)| scene.with(section, yaml))
}

/// Runs to the end, which must be Ready; answers how long it took.
async fn ready(scene: &Scene) -> Duration {
    let began = Instant::now();
    let output = finish(scene.command("run")).await;
    let took = began.elapsed();
    assert!(output.status.success(), "{}", said(&output));
    until("its sessions end", || async { scene.sessions().await == "0" }).await;
    took
}

/// Kills a run at a moment. False when it had ended before.
async fn killed(scene: &Scene, moment: Duration) -> bool {
    let mut command = scene.command("run");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child =
        tokio::process::Command::from(command).kill_on_drop(true).spawn().expect("the binary starts");
    if tokio::time::timeout(moment, child.wait()).await.is_ok() {
        return false;
    }
    child.start_kill().expect("SIGKILL is sent");
    let status =
        tokio::time::timeout(DEADLINE, child.wait()).await.expect("it is gone").expect("has a status");
    status.signal() == Some(9)
}

/// What a killed run left, in short.
async fn found(scene: &Scene) -> String {
    let exists = |table: &str| format!("SELECT (to_regclass('{table}') IS NOT NULL)::text");
    if scene.value(&exists("_prisma_migrations")).await != "true" {
        return "nothing".to_owned();
    }
    let history_table =
        scene.history_table().await.last().cloned().unwrap_or_else(|| "an empty history".to_owned());
    if scene.value(&exists("sluice.journal")).await != "true" {
        return history_table;
    }
    let journal = scene.value("SELECT count(*)::text FROM sluice.journal").await;
    let invalid = scene
        .value(
            "SELECT string_agg(', invalid index ' || indexrelid::regclass, '') FROM \
        pg_index WHERE NOT indisvalid",
        )
        .await;
    format!("{history_table}, {journal} step(s) in the journal{invalid}")
}

/// When the next run starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// When nothing of the killed one is left on the server.
    OnceTheServerKnows,
    /// At once: the server has yet to find out that its client is gone, and may still be at work for it.
    AtOnce,
}

/// Kills at moments spread evenly over a run, lets the next run end it, and compares with an undisturbed one.
/// Answers what the kills left, and how often.
async fn sweep(
    test: &str,
    moments: u32,
    next: Next,
    sections: &[(&'static str, &str)],
) -> BTreeMap<String, u32> {
    // A few at a time, since most of it is waiting; so the undisturbed runs, which are measured, are as many
    // at a time.
    let undisturbed = join_all((0..AT_A_TIME).map(async |_| {
        let scene = scene(test, sections).await;
        (ready(&scene).await, State::of(&scene).await)
    }))
    .await;
    let took = undisturbed.iter().map(|(took, _)| *took).sum::<Duration>() / AT_A_TIME;
    let expected = &undisturbed[0].1;
    assert_eq!(expected.differences(&undisturbed[1].1), [""; 0], "two undisturbed runs");

    let took = Cell::new(took);
    let kills = stream::iter(0..moments).map(async |number| {
        let fraction = f64::from(2 * number + 1) / f64::from(2 * moments);
        let scene = scene_killed_at(test, sections, &took, fraction).await;
        if next == Next::OnceTheServerKnows {
            until("the back end of the killed run is gone", || async { scene.sessions().await == "0" }).await;
        }
        let situation = found(&scene).await;
        ready(&scene).await;
        let differences = expected.differences(&State::of(&scene).await);
        assert_eq!(
            differences,
            [""; 0],
            "killed at {fraction:.3} of {:?}, which left: {situation}",
            took.get()
        );
        situation
    });
    let mut left = BTreeMap::new();
    for situation in kills.buffer_unordered(AT_A_TIME as usize).collect::<Vec<_>>().await {
        *left.entry(situation).or_default() += 1;
    }
    println!("{test}: {moments} kills within {:?} left {left:#?}", took.get());
    left
}

/// A database whose run was killed after this fraction of the time that a run takes.
async fn scene_killed_at(
    test: &str,
    sections: &[(&'static str, &str)],
    took: &Cell<Duration>,
    fraction: f64,
) -> Scene {
    for _ in 0..10 {
        let scene = scene(test, sections).await;
        if killed(&scene, took.get().mul_f64(fraction)).await {
            return scene;
        }
        // The machine was busier when it was measured.
        took.set(took.get().mul_f64(0.9));
    }
    panic!("no kill hits a run: each ends before {fraction:.3} of {:?}", took.get())
}

#[tokio::test]
async fn a_run_that_is_killed_at_any_moment_is_finished_by_the_next_one_exactly_once() {
    // Different enough to mean something. A machine whose speed changes makes the kills bunch, and it is
    // measured again.
    let various = |left: &BTreeMap<String, u32>| {
        left.len() >= 4 && left.keys().any(|found| found.contains("invalid index"))
    };
    let mut left = BTreeMap::new();
    for _ in 0..3 {
        left = sweep("killed_anywhere", 28, Next::OnceTheServerKnows, &[]).await;
        if various(&left) {
            return;
        }
    }
    panic!("the kills hit too few different moments: {left:#?}");
}

#[tokio::test]
async fn the_next_run_need_not_wait_until_the_server_knows_that_the_killed_one_is_gone() {
    sweep("killed_and_at_once", 12, Next::AtOnce, &[("apply", "{atomicity: Migration}")]).await;
}

const WITH_SNAPSHOT: [(&str, &str); 1] = [("snapshot", "{dump: {volumeClaim: records-snapshots}}")];

#[tokio::test]
async fn a_run_that_is_killed_while_it_takes_a_snapshot_leaves_half_of_one_that_the_next_run_removes() {
    let scene = scene("half_a_snapshot", &WITH_SNAPSHOT).await;
    let mut child = tokio::process::Command::from(scene.command("run"))
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    until("a snapshot grows", || async { !half_snapshots(&scene).is_empty() }).await;
    child.start_kill().expect("SIGKILL is sent");
    child.wait().await.expect("it is gone");
    assert_eq!((half_snapshots(&scene).len(), found(&scene).await.as_str()), (1, "nothing"));
    until("pg_dump ends too", || async { scene.sessions().await == "0" }).await;
    ready(&scene).await;
    assert_eq!(State::of(&scene).await.left, [""; 0]);
}

#[tokio::test]
async fn a_run_with_a_snapshot_that_is_killed_at_any_moment_is_finished_by_the_next_one_too() {
    sweep("killed_with_snapshot", 6, Next::OnceTheServerKnows, &WITH_SNAPSHOT).await;
}

/// What the comparison says after something was done to a finished database that no run would do. It is
/// undone again.
async fn noticed(scene: &Scene, expected: &State, script: &str, undo: &str) -> String {
    scene.database.execute(script).await;
    let differences = expected.differences(&State::of(scene).await).join("\n");
    scene.database.execute(undo).await;
    assert_eq!(expected.differences(&State::of(scene).await), [""; 0], "undone: {undo}");
    differences
}

#[tokio::test]
async fn the_comparison_notices_whatever_a_kill_could_have_left() {
    let scene = scene("noticed", &[]).await;
    ready(&scene).await;
    let expected = State::of(&scene).await;
    let record = "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, started_at, \
        applied_steps_count)";
    let duplicate = format!(
        "{record} SELECT 'again', checksum, migration_name, now(), now(), 1 FROM _prisma_migrations WHERE \
            migration_name = '2_note'"
    );
    let unfinished = "UPDATE _prisma_migrations SET finished_at = NULL WHERE migration_name = '2_note'";
    let finished = "UPDATE _prisma_migrations SET finished_at = now() WHERE migration_name = '2_note'";
    let valid = |valid: bool| {
        format!("UPDATE pg_index SET indisvalid = {valid} WHERE indexrelid = 'patients_code'::regclass")
    };
    for (script, undo, line) in [
        (
            "INSERT INTO ran VALUES ('5 ends')",
            "DELETE FROM ran WHERE ctid = (SELECT max(ctid) FROM ran)",
            "+ file 5 ends ran 2 time(s)",
        ),
        (&duplicate, "DELETE FROM _prisma_migrations WHERE id = 'again'", "+ 2_note "),
        (unfinished, finished, " unfinished 1"),
        (&valid(false), &valid(true), "+ invalid index patients_code"),
        (
            "INSERT INTO sluice.journal VALUES ('x', 1, 'y')",
            "DELETE FROM sluice.journal",
            "+ journal of x, step 1",
        ),
        ("ALTER TABLE rooms ADD COLUMN beds int", "ALTER TABLE rooms DROP COLUMN beds", "+     beds integer"),
        (
            "DROP INDEX visits_patient",
            "CREATE INDEX visits_patient ON visits (patient)",
            "- CREATE INDEX visits_patient ON public.visits",
        ),
    ] {
        let differences = noticed(&scene, &expected, script, undo).await;
        assert!(differences.contains(line), "{script}: {differences}");
    }
    let _holder = session(&scene.database.url, "sluice-left-over", "SELECT pg_advisory_lock(1)").await;
    let differences = expected.differences(&State::of(&scene).await).join("\n");
    assert!(
        differences.contains("+ session of sluice-left-over") && differences.contains("+ advisory lock of "),
        "{differences}"
    );
}

#[tokio::test]
async fn the_comparison_notices_a_migration_that_ran_twice_and_one_that_never_did() {
    const DATA: (&str, &str) = ("8_data", "INSERT INTO ran VALUES ('8');\n");
    let reference = scene("control", &[]).await;
    reference.write(DATA.0, DATA.1);
    ready(&reference).await;
    let expected = State::of(&reference).await;

    // An engine that forgets what it did: the same run applies it again.
    reference.database.execute("DELETE FROM _prisma_migrations WHERE migration_name = '8_data'").await;
    ready(&reference).await;
    let twice = expected.differences(&State::of(&reference).await);
    assert_eq!(twice, ["- file 8 ran 1 time(s)", "+ file 8 ran 2 time(s)"]);

    // An engine that records what it did not do.
    let skipped = scene("skipped", &[]).await;
    ready(&skipped).await;
    let record =
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count)";
    let values = format!(
        "VALUES ('8', encode(sha256(convert_to($sql${}$sql$, 'UTF8')), 'hex'), '8_data', now(), 1)",
        DATA.1
    );
    skipped.database.execute(&format!("{record} {values}")).await;
    skipped.write(DATA.0, DATA.1);
    ready(&skipped).await;
    assert_eq!(expected.differences(&State::of(&skipped).await), ["- file 8 ran 1 time(s)"]);
}
