//! `BEGIN; … COMMIT;` in a file: left out, so that the release stays one transaction, and cut where something
//! depends on it.

use sluice::{api::Reason, contract::Stage};

use crate::stage_scene::Scene;

const REMOVES_A_VALUE: &str = "BEGIN;\nCREATE TYPE mood_new AS ENUM ('calm');\nALTER TYPE mood RENAME TO \
    mood_old;\n\
    ALTER TYPE mood_new RENAME TO mood;\nDROP TYPE mood_old;\nCOMMIT;\n";

#[tokio::test]
async fn a_release_with_brackets_is_one_transaction() {
    let files = [
        ("1_init", "CREATE TYPE mood AS ENUM ('calm', 'odd');"),
        ("2_removes", REMOVES_A_VALUE),
        ("3_bad", "BEGIN;\nCREATE TABLE t (a int);\nCOMMIT;\nSELECT missing;"),
    ];
    let scene = Scene::new("brackets_release", &files).await;
    let before = scene.catalog().await;
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    let failure = outcome.failure.expect("a failure");
    assert_eq!(
        (failure.line, failure.statement.as_str(), failure.sqlstate.as_str()),
        (4, "SELECT missing", "42703")
    );
    assert_eq!(scene.catalog().await, before, "nothing of the release is left");
    scene.write("3_bad", "BEGIN;\nCREATE TABLE t (a int);\nCOMMIT;\nSELECT 1;");
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_init applied", "2_removes applied", "3_bad applied"]);
    assert_eq!(scene.value("SELECT string_agg(enumlabel, ' ') FROM pg_enum").await, "calm");
    let one = "SELECT (count(DISTINCT xmin::text) = 1)::text FROM _prisma_migrations";
    assert_eq!(scene.value(one).await, "true", "one transaction wrote all rows of the history");
}

#[tokio::test]
async fn a_deferred_constraint_is_checked_where_the_file_commits() {
    let sql = "CREATE TABLE p (id int PRIMARY KEY);\nCREATE TABLE c (p int PRIMARY KEY REFERENCES p \
        DEFERRABLE INITIALLY DEFERRED);\n\
        BEGIN;\nINSERT INTO c VALUES (1);\nCOMMIT;\nINSERT INTO p VALUES (1);\n";
    let scene = Scene::new("brackets_deferred", &[("1_a", sql)]).await;
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    let failure = outcome.failure.expect("a failure");
    assert_eq!((failure.line, failure.sqlstate.as_str()), (4, "23503"));
    scene.write(
        "1_a",
        &sql.replace(
            "INSERT INTO c VALUES (1);\n",
            "INSERT INTO p VALUES (1), (2);\nINSERT INTO c VALUES (2);\n",
        )
        .replace("(1);\n", "(3);\n"),
    );
    scene.ready().await;
}

#[tokio::test]
async fn a_file_that_begins_with_an_isolation_level_has_it() {
    let sql = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nINSERT INTO seen VALUES \
        (current_setting('transaction_isolation'));\n";
    let next = "INSERT INTO seen VALUES (current_setting('transaction_isolation'));\n";
    let scene = Scene::new(
        "isolation",
        &[("1_init", "CREATE TABLE seen (level text);"), ("2_isolated", sql), ("3_next", next)],
    )
    .await;
    scene.ready().await;
    assert_eq!(
        scene.value("SELECT string_agg(level, ', ' ORDER BY ctid) FROM seen").await,
        "serializable, read committed"
    );
}
