//! A migration that fails: the user sees where and why, and nothing of it is left.

use sluice::{
    api::{Failure, Reason},
    contract::{Outcome, Stage},
};

use crate::stage_scene::Scene;

/// A file, and what must be said about it: SQLSTATE, line, the beginning of the statement.
struct Case {
    name: &'static str,
    sql: &'static str,
    expected: (&'static str, u32, &'static str),
}

const fn case(name: &'static str, sql: &'static str, expected: (&'static str, u32, &'static str)) -> Case {
    Case { name, sql, expected }
}

const CASES: &[Case] = &[
    case(
        "position_in_the_first_statement",
        "SELECT nothing_like_it;\nSELECT 2;\nSELECT 3;",
        ("42703", 1, "SELECT nothing_like_it"),
    ),
    case(
        "position_in_the_middle",
        "CREATE TABLE a (x int);\nINSERT INTO\n  a (y)\nVALUES (1);\nSELECT 3;",
        ("42703", 3, "INSERT INTO a (y)"),
    ),
    case(
        "position_in_the_last_statement",
        "SELECT 1;\n\n-- a comment\nSELECT\n  1,\n  missing FROM pg_class",
        ("42703", 6, "SELECT $1, missing"),
    ),
    case(
        "no_position_in_the_first_statement",
        "SELECT 1 / (SELECT 0);\nSELECT 2;",
        ("22012", 1, "SELECT $1 / (SELECT $2)"),
    ),
    case(
        "no_position_in_the_middle",
        "SELECT 1;\n\nSELECT 1 / (SELECT 0);\nSELECT 3;",
        ("22012", 3, "SELECT $1 / (SELECT $2)"),
    ),
    case(
        "no_position_in_the_last_statement",
        "SELECT 1;\nDO $$ BEGIN\n  RAISE EXCEPTION 'no;thing';\nEND $$;",
        ("P0001", 2, "DO $1"),
    ),
    case(
        "multi_byte_characters_before_it",
        "SELECT 'äöü ☂ 漢字 🐘🐘🐘🐘';\n-- Größe\nSELECT 'ß', missing;",
        ("42703", 3, "SELECT $1, missing"),
    ),
    case(
        "multi_byte_characters_and_no_position",
        "SELECT '漢字';\nSELECT '🐘' || 1 / (SELECT 0);",
        ("22012", 2, "SELECT $1 || $2 / (SELECT $3)"),
    ),
    case(
        "carriage_returns_with_a_position",
        "SELECT 1;\r\nSELECT 2;\r\n\r\nSELECT\r\n  missing;\r\n",
        ("42703", 5, "SELECT missing"),
    ),
    case(
        "carriage_returns_without_a_position",
        "SELECT 1;\r\nSELECT 2;\r\n\r\nSELECT 1 / (SELECT 0);\r\n",
        ("22012", 4, "SELECT $1 / (SELECT $2)"),
    ),
    case(
        "two_statements_on_one_line",
        "SELECT 1;\nSELECT missing; SELECT 2;",
        ("42703", 2, "SELECT missing"),
    ),
    case(
        "two_on_one_line_and_no_position",
        "SELECT 1;\nSELECT 1 / (SELECT 0); SELECT 2;",
        ("22012", 2, "SELECT $1 / (SELECT $2)"),
    ),
    case("a_syntax_error", "SELECT 1;\nCREATE TABEL a (x int);\nSELECT 2;", ("42601", 2, "CREATE TABEL a")),
    case("a_syntax_error_at_the_end", "SELECT 1;\nCREATE TABLE a\n", ("42601", 2, "CREATE TABLE a")),
    case(
        "an_error_inside_a_function",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1 / 0';\nSELECT 1;\nSELECT f();",
        ("22012", 3, "SELECT f()"),
    ),
    case(
        "a_unique_violation",
        "CREATE TABLE a (x int UNIQUE);\nINSERT INTO a VALUES (1);\nINSERT INTO a VALUES (1);",
        ("23505", 3, "INSERT INTO a"),
    ),
    case(
        "a_deferred_constraint",
        "CREATE TABLE a (x int PRIMARY KEY, y int REFERENCES a DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO \
            a VALUES (1, 2);\nSELECT 1;",
        ("23503", 3, "a deferred constraint"),
    ),
    case(
        "index_concurrently_in_a_step",
        "CREATE TABLE a (x int);\nCREATE INDEX CONCURRENTLY i\n  ON a (y);",
        ("42703", 2, "CREATE INDEX CONCURRENTLY"),
    ),
    case(
        "first_step_of_several",
        "SELECT 1;\nSELECT 'ü',\n  missing;\nVACUUM pg_class;",
        ("42703", 3, "SELECT $1, missing"),
    ),
    case(
        "first_step_and_no_position",
        "SELECT 1;\nSELECT 1 / (SELECT 0);\nVACUUM pg_class;",
        ("22012", 2, "SELECT $1 / (SELECT $2)"),
    ),
];

fn judge(case: &Case, file: &str, outcome: &Outcome) {
    let name = case.name;
    let Failure { sqlstate, line, statement, file: told, message, .. } =
        outcome.failure.clone().unwrap_or_else(|| panic!("{name}: {}", outcome.message));
    let (code, expected_line, beginning) = case.expected;
    assert_eq!(
        (sqlstate.as_str(), line, told.as_str()),
        (code, expected_line, file),
        "{name}: {}",
        outcome.message
    );
    assert!(statement.starts_with(beginning), "{name}: {statement}");
    for part in [file, code, &message] {
        assert!(outcome.message.contains(part), "{name}: {}", outcome.message);
    }
}

#[tokio::test]
async fn a_failing_migration_is_told_by_sqlstate_file_line_and_statement_and_leaves_nothing() {
    for case in CASES {
        let scene = Scene::new(
            case.name,
            &[("20240215120000_first", "CREATE TABLE first ();"), ("20240216120000_failing", case.sql)],
        )
        .await;
        let before = scene.catalog().await;
        let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        judge(case, "20240216120000_failing/migration.sql", &outcome);
        if !case.sql.contains("CONCURRENTLY") && !case.sql.contains("VACUUM") {
            assert_eq!(scene.catalog().await, before, "{}", case.name);
        }
    }
}

#[tokio::test]
async fn with_atomicity_release_the_earlier_pending_ones_go_too() {
    let scene = Scene::new("all_or_none", &[("1_good", "CREATE TABLE good ();")]).await;
    scene.ready().await;
    scene.write("2_also_good", "CREATE TABLE also_good ();");
    scene.write("3_bad", "CREATE TABLE bad ();\nSELECT missing;");
    let before = scene.catalog().await;
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert_eq!(
        (scene.catalog().await, scene.history_table().await),
        (before, vec!["1_good applied".to_owned()])
    );
    let history = outcome.history.expect("a failed stage says what the database holds");
    assert_eq!(
        (history.applied_count, history.pending),
        (1, vec!["2_also_good".to_owned(), "3_bad".to_owned()])
    );
}

#[tokio::test]
async fn with_atomicity_migration_the_earlier_pending_ones_stay() {
    let files = [
        ("1_good", "CREATE TABLE good ();"),
        ("2_bad", "CREATE TABLE bad ();\nSELECT missing;"),
        ("3_never", "CREATE TABLE never ();"),
    ];
    let scene = Scene::new("one_by_one", &files).await.with("apply", "{atomicity: Migration}");
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert_eq!(scene.history_table().await, ["1_good applied"]);
    assert_eq!(
        scene
            .value(
                "SELECT string_agg(tablename, ' ') FROM pg_tables WHERE schemaname = 'public' AND \
            tablename !~ '^_'"
            )
            .await,
        "good"
    );
    assert_eq!(outcome.history.and_then(|history| history.current).as_deref(), Some("1_good"));
    scene.write("2_bad", "CREATE TABLE bad ();");
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_good applied", "2_bad applied", "3_never applied"]);
}

#[tokio::test]
async fn transaction_control_is_refused_with_its_line_before_anything_runs() {
    for (sql, line) in [
        ("CREATE TABLE a ();\n\nROLLBACK;", 3),
        ("CREATE TABLE a ();\nABORT;", 2),
        ("BEGIN;\nCREATE TABLE a ();\nPREPARE TRANSACTION 'a';", 3),
        ("CREATE TABLE a ();\nCOMMIT PREPARED 'a';", 2),
        // What PostgreSQL will not understand must not smuggle it in either.
        ("CREATE TABEL a ();\nROLLBACK;\nSELECT 1;", 2),
        ("SELECT 1 +;\n/* ; */ ROLLBACK ; CREATE TABLE a ();", 2),
    ] {
        let scene = Scene::new("transaction_control", &[("1_a", sql)]).await;
        let before = scene.catalog().await;
        let outcome = scene.stopped(Stage::Plan, Reason::SourceInvalid).await;
        assert!(
            outcome.message.contains(&format!("1_a/migration.sql: line {line}:")),
            "{sql}: {}",
            outcome.message
        );
        assert_eq!(scene.catalog().await, before);
    }
}

#[tokio::test]
async fn copy_from_stdin_is_refused_with_its_line_and_does_not_hang() {
    for sql in [
        "CREATE TABLE a (x int);\nCOPY a FROM stdin;",
        "CREATE TABLE a (x int);\nCOPY a (x) FROM STDIN WITH (FORMAT csv);\n1\n2\n\\.\nSELECT 1;",
        "CREATE TABLE a (x int);\nCOPY a TO STDOUT;",
    ] {
        let scene = Scene::new("copy", &[("1_a", sql)]).await;
        let outcome = scene.stopped(Stage::Plan, Reason::SourceInvalid).await;
        assert!(outcome.message.contains("1_a/migration.sql: line 2: COPY"), "{}", outcome.message);
    }
}

#[tokio::test]
async fn a_password_in_a_failing_statement_is_not_repeated() {
    for secret in [
        "PASSWORD 's3cret-1'",
        "password E's3cret-2'",
        "PASSWORD\n  $x$s3cret-3$x$",
        "ENCRYPTED PASSWORD 's3cret-ß-4'",
    ] {
        let sql = format!("SELECT 'ßßßßßßßßßß';\nCREATE ROLE \"a_role_ß\" LOGIN {secret};");
        let scene = Scene::new("statement_secret", &[("1_a", &sql)]).await;
        let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        assert_eq!(outcome.failure.as_ref().map(|failure| failure.line), Some(2));
        let text = serde_json::to_string(&outcome).expect("serialises");
        assert!(!text.contains("s3cret"), "{text}");
    }
}
