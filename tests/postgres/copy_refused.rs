//! A copy that cannot be made, or that cannot be finished, is told with what stands in the way, and nothing
//! of it is left.

use sluice::{api::Reason, contract::Stage};

use crate::{
    copy_swap::{LEFT, copies},
    stage_scene::{Scene, until},
};

const INIT: (&str, &str) = (
    "1_init",
    "CREATE TABLE items (id int PRIMARY KEY, n text NOT NULL, m int, at date);\n\
     INSERT INTO items SELECT i, i::text, i, '2024-01-01' FROM generate_series(1, 2000) i;\n\
     CREATE UNIQUE INDEX items_m ON items (m);\n",
);
const BY_COPY: &str = "-- sluice: copy key=id\nALTER TABLE items ALTER n TYPE int USING n::int;\n";

/// What is in the way, the file, and what is said of it.
const REFUSED: [(&str, &str, &str); 14] = [
    (
        "SELECT 1",
        "-- sluice: copy key=m\nALTER TABLE items ALTER n TYPE int USING n::int;",
        "(m) may be NULL",
    ),
    (
        "SELECT 1",
        "-- sluice: copy key=id\nALTER TABLE others ALTER n TYPE int;",
        "there is no table \"others\"",
    ),
    (
        "SELECT 1",
        "-- sluice: copy key=id\nALTER TABLE items ALTER n TYPE int;",
        "cannot be cast automatically",
    ),
    (
        "SELECT 1",
        "-- sluice: copy key=id\nALTER TABLE items ALTER id TYPE text USING n;",
        "column \"n\" does not exist",
    ),
    (
        "CREATE SCHEMA sluice_copy; CREATE TABLE sluice_copy.of_theirs ()",
        BY_COPY,
        "schema sluice_copy is there",
    ),
    ("CREATE VIEW v AS SELECT n FROM items", BY_COPY, "view public.v uses the column n"),
    (
        "CREATE MATERIALIZED VIEW v AS SELECT m FROM items",
        BY_COPY,
        "materialized view public.v depends on it",
    ),
    ("CREATE TABLE more () INHERITS (items)", BY_COPY, "other tables inherit from it"),
    (
        "CREATE FUNCTION f(items) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        BY_COPY,
        "function public.f(public.items) depends on it",
    ),
    ("CREATE STATISTICS s ON m, at FROM items", BY_COPY, "statistics object public.s depends on it"),
    (
        "CREATE RULE r AS ON DELETE TO items DO INSTEAD NOTHING",
        BY_COPY,
        "rule r on table public.items depends on it",
    ),
    (
        "CREATE PUBLICATION p FOR TABLE items",
        BY_COPY,
        "publication of table public.items in publication p depends on it",
    ),
    ("CREATE TABLE seen (item items)", BY_COPY, "table public.seen depends on it"),
    (
        "ALTER TABLE items ADD CONSTRAINT small CHECK (m < 10) NOT VALID",
        BY_COPY,
        "constraint small is not validated",
    ),
];

#[tokio::test]
async fn what_cannot_be_copied_is_told_before_anything_is_made() {
    for (number, (first, file, told)) in REFUSED.into_iter().enumerate() {
        let scene = Scene::new(&format!("copy_refused_{number}"), &[INIT]).await;
        scene.ready().await;
        scene.database.execute(first).await;
        let before = scene.catalog().await;
        scene.write("2_n", file);
        let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        assert!(outcome.message.contains(told), "{first}: {}", outcome.message);
        assert!(outcome.message.contains("nothing of it is left"), "{first}: {}", outcome.message);
        let own = |line: &&String| !line.contains("journal") && !line.contains("sluice.texts");
        let after = scene.catalog().await;
        let new: Vec<&String> = after.iter().filter(own).filter(|line| !before.contains(line)).collect();
        assert!(new.is_empty(), "{first}: {new:#?}");
        assert_eq!(scene.history_table().await, ["1_init applied"], "{first}");
    }
}

#[tokio::test]
async fn a_table_whose_rows_policies_hide_is_not_copied() {
    let hides = "ALTER TABLE items ENABLE ROW LEVEL SECURITY; ALTER TABLE items FORCE ROW LEVEL SECURITY; \
        CREATE POLICY few ON items USING (id < 10);";
    let scene = Scene::new("copy_invisible", &[INIT, ("2_hides", hides)]).await;
    scene.ready().await;
    scene.write("3_n", BY_COPY);
    let outcome = scene.stopped(Stage::Migrate, Reason::RowsInvisible).await;
    assert!(outcome.message.contains("\"few\""), "{}", outcome.message);
    assert_eq!(scene.value(LEFT).await, "");
    scene.database.execute(&format!("ALTER ROLE {} BYPASSRLS", scene.role)).await;
    scene.ready().await;
    assert_eq!(scene.value("SELECT count(*)::text FROM items").await, "2000");
}

#[tokio::test]
async fn a_row_that_the_new_type_does_not_take_undoes_the_copy_and_a_corrected_file_finishes_it() {
    let scene = Scene::new("copy_undone", &[INIT]).await;
    scene.ready().await;
    scene.database.execute("UPDATE items SET n = 'many' WHERE id = 1999").await;
    scene.write("2_n", BY_COPY);
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert!(outcome.message.contains("invalid input syntax"), "{}", outcome.message);
    assert!(!outcome.message.contains("many"), "{}", outcome.message);
    assert_eq!(scene.value(LEFT).await, "");
    // What two keys become is one: PostgreSQL would say so of its index.
    scene.write("2_n", "-- sluice: copy key=id\nALTER TABLE items ALTER id TYPE int USING id / 2;\n");
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert!(outcome.message.contains("differ (2000 and 1001 of them)"), "{}", outcome.message);
    assert_eq!(scene.value(LEFT).await, "");
    let corrected = "-- sluice: copy key=id\nALTER TABLE items ALTER n TYPE int \
        USING CASE WHEN n = 'many' THEN 1000 ELSE n::int END;\n";
    scene.write("2_n", corrected);
    scene.ready().await;
    assert_eq!(scene.value("SELECT sum(n)::text FROM items").await, "2000001");
}

/// What another session does to the table meanwhile, and what is said of it.
const MEANWHILE: [(&str, &str); 4] = [
    (
        "ALTER TABLE items RENAME TO things; CREATE TABLE items (id int PRIMARY KEY, n text)",
        "renamed or replaced",
    ),
    ("CREATE INDEX items_at ON items (at)", "another session changed public.items"),
    ("GRANT SELECT ON items TO pg_monitor", "another session changed public.items"),
    ("DROP TABLE items", "renamed or replaced"),
];

#[tokio::test]
async fn a_table_that_others_change_while_it_is_copied_is_not_swapped() {
    for (number, (sql, told)) in MEANWHILE.into_iter().enumerate() {
        let scene = Scene::new(&format!("copy_meanwhile_{number}"), &[INIT]).await;
        scene.ready().await;
        let file =
            "-- sluice: copy key=id batch=900 pause=2s\nALTER TABLE items ALTER n TYPE int USING n::int;\n";
        scene.write("2_n", file);
        let (outcome, ()) = tokio::join!(scene.stopped(Stage::Migrate, Reason::MigrationFailed), async {
            until("a batch is committed", || copies(&scene, "1")).await;
            scene.database.execute(sql).await;
        });
        assert!(outcome.message.contains(told), "{sql}: {}", outcome.message);
        assert_eq!(scene.value(LEFT).await, "", "{sql}");
    }
}
