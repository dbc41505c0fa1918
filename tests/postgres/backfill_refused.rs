//! What would make a backfill end with other rows, or never: it is named, and what is committed stays and is
//! gone on from.

use sluice::{
    api::Reason,
    contract::{Outcome, Stage},
};

use crate::stage_scene::{Scene, until};

const INIT: (&str, &str) = (
    "1_init",
    "CREATE TABLE people (id int PRIMARY KEY, email text UNIQUE, code int NOT NULL, nickname text, \
       name text);\n\
     CREATE UNIQUE INDEX by_code ON people (code DESC);\n\
     INSERT INTO people SELECT i, 'p' || i, i, 'n' || i FROM generate_series(1, 1000) AS i;\n\
     CREATE VIEW seen AS SELECT * FROM people;\nCREATE TABLE parent (id int PRIMARY KEY, a int);\n\
     CREATE TABLE child () INHERITS (parent);\nCREATE TABLE sums (n bigint);\n",
);
const FILL: &str = "-- sluice: backfill key=id batch=100\n\
    UPDATE people SET name = nickname WHERE name IS NULL;\n";

async fn scene(test: &str, sql: &str) -> Scene {
    let scene = Scene::new(test, &[INIT]).await;
    scene.ready().await;
    scene.write("2_backfill", sql);
    scene
}

async fn named(scene: &Scene) -> String {
    scene.value("SELECT count(name)::text FROM people").await
}

fn place(outcome: &Outcome) -> Option<(&str, u32)> {
    outcome.failure.as_ref().map(|failure| (failure.migration.as_str(), failure.line))
}

#[tokio::test]
async fn a_table_whose_rows_policies_hide_is_refused_before_the_first_batch() {
    let scene = scene("rows_invisible", FILL).await;
    let force = "ALTER TABLE people ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY \
        by_code ON people USING (code = current_setting('app.code', true)::int)";
    scene.database.execute(force).await;
    let outcome = scene.stopped(Stage::Migrate, Reason::RowsInvisible).await;
    for part in ["public.people", scene.role.as_str(), "\"by_code\"", "BYPASSRLS", "2_backfill"] {
        assert!(outcome.message.contains(part), "{part}: {}", outcome.message);
    }
    assert_eq!(place(&outcome), Some(("2_backfill", 2)));
    assert_eq!((named(&scene).await.as_str(), scene.history_table().await.len()), ("0", 1));
    scene.database.execute("ALTER TABLE people NO FORCE ROW LEVEL SECURITY").await;
    scene.ready().await;
    assert_eq!(named(&scene).await, "1000", "an owner sees every row where it is not forced");
}

#[tokio::test]
async fn a_row_that_still_matches_ends_the_backfill_with_its_key_and_a_corrected_statement_finishes_it() {
    let scene = scene("no_progress", FILL).await;
    scene.database.execute("UPDATE people SET nickname = NULL WHERE id = 750").await;
    let outcome = scene.stopped(Stage::Migrate, Reason::NoProgress).await;
    assert!(
        outcome.message.contains("of public.people with id = \"750\" still matches"),
        "{}",
        outcome.message
    );
    assert_eq!(place(&outcome), Some(("2_backfill", 2)));
    let done: u32 = named(&scene).await.parse().expect("a number");
    assert!((1..750).contains(&done), "{done}");
    assert_eq!(scene.history_table().await[1], "2_backfill unfinished");
    scene.write("2_backfill", &FILL.replace("nickname", "COALESCE(nickname, '')"));
    scene.ready().await;
    assert_eq!(named(&scene).await, "1000");
}

#[tokio::test]
async fn what_is_no_key_or_no_table_of_its_own_is_named_and_changes_nothing() {
    let update =
        |key: &str, table: &str| format!("-- sluice: backfill key={key}\nUPDATE {table} SET name = 'x';\n");
    let scene = Scene::new("no_key", &[INIT]).await;
    scene.ready().await;
    let before = scene.catalog().await;
    for (sql, parts) in [
        (
            update("email", "people"),
            ["(email) is neither the primary key of public.people", "the columns of (id)"],
        ),
        (
            update("code", "people"),
            ["(code) is neither", "(code), (email) may be NULL, or is sorted otherwise"],
        ),
        (update("id,code", "people"), ["(id, code) is neither", "the columns of (id)"]),
        (update("missing", "people"), ["(missing) is neither", "the columns of (id)"]),
        (update("id", "seen"), ["public.seen is no table", "name the table itself"]),
        (update("id", "nowhere"), ["there is no table \"nowhere\"", "2_backfill"]),
        (
            "-- sluice: backfill key=id\nUPDATE parent SET a = 1;\n".to_owned(),
            ["other tables inherit from public.parent", "run the statement whole"],
        ),
        (
            "-- sluice: backfill key=id\nINSERT INTO sums SELECT count(*) FROM people;\n".to_owned(),
            ["the statement calls count", "move it into a subquery"],
        ),
    ] {
        scene.write("2_backfill", &sql);
        let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        assert_eq!(place(&outcome), Some(("2_backfill", 2)), "{sql}");
        for part in parts {
            assert!(outcome.message.contains(part), "{sql}: {}", outcome.message);
        }
        assert_eq!((named(&scene).await.as_str(), scene.history_table().await.len()), ("0", 1), "{sql}");
    }
    // Sluice's own tables are no trace of the statement.
    let of_the_team = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().filter(|line| !line.contains("sluice") && !line.contains("journal")).collect()
    };
    assert_eq!(of_the_team(scene.catalog().await), of_the_team(before));
}

#[tokio::test]
async fn a_table_that_vanishes_in_the_middle_ends_the_backfill_and_its_batches_stay_journaled() {
    let slowly = FILL.replace("batch=100", "batch=10 pause=50ms");
    let scene = scene("vanishes", &slowly).await;
    let (outcome, ()) = tokio::join!(scene.stopped(Stage::Migrate, Reason::MigrationFailed), async {
        until("a batch is committed", || async { named(&scene).await != "0" }).await;
        scene.database.execute("ALTER TABLE people RENAME TO gone").await;
    });
    let failure = outcome.failure.as_ref().expect("a failure");
    assert_eq!((failure.sqlstate.as_str(), failure.line), ("42P01", 2), "{}", outcome.message);
    assert!(outcome.message.contains("what its committed batches changed stays"), "{}", outcome.message);
    scene.database.execute("ALTER TABLE gone RENAME TO people").await;
    scene.ready().await;
    assert_eq!(named(&scene).await, "1000");
}
