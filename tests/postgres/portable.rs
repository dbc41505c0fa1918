//! What Sluice runs and Prisma's engine refuses, or runs differently, and the other way round: each rule of
//! `sluice lint` on the real engine, in a file that breaks it and mended as its remedy says. What the mended
//! files leave is the same with both, and lint is silent.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sqlx::Row;

use crate::{
    corpus::{Pair, corpus},
    server::{Database, Server},
};

const FIRST: &str = "CREATE TABLE t (a int, b int);\nCREATE SCHEMA side;\nCREATE TYPE mood AS ENUM \
    ('calm');\nCREATE TABLE m (a mood);\n\
    CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;\n";

/// What Prisma does with the files.
enum Prisma {
    /// It refuses the first of them, with these words of PostgreSQL's; and the SQLSTATE.
    Refuses(&'static str, &'static str),
    /// It runs the file and fails to write its history, with these words; and what lint calls it.
    Stops(&'static str, &'static str),
    /// It says that all is well, and something else is there; and words of what lint says.
    Differs(&'static str),
}

/// Files that are not portable, the line of the first that lint names, and the same work in files that are.
struct Case {
    files: &'static [&'static str],
    line: u32,
    prisma: Prisma,
    mended: &'static [&'static str],
}

/// Writes the first file and these behind it.
fn folder(pair: &Pair, name: &str, files: &[&str]) -> PathBuf {
    let folder = pair.scratch.path().join(name);
    for (number, sql) in std::iter::once(&FIRST).chain(files).enumerate() {
        let migration = folder.join(format!("2024010{number}000000_x"));
        fs::create_dir_all(&migration).expect("makes the folder");
        fs::write(migration.join("migration.sql"), sql).expect("writes");
    }
    fs::write(folder.join("migration_lock.toml"), "provider = \"postgresql\"\n").expect("writes");
    folder
}

/// What `sluice lint` says about another engine, and passes with it: `RULE: PLACE: MESSAGE`.
fn warnings(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    let output = command
        .arg("lint")
        .arg(folder)
        .args(["-o", "json"])
        .args(arguments)
        .output()
        .expect("the binary starts");
    let text = String::from_utf8(output.stdout).expect("is UTF-8");
    assert!(output.status.success(), "{text}");
    let remarks: Vec<serde_json::Value> = serde_json::from_str(&text).expect("an array");
    let said = |remark: &serde_json::Value| {
        let [rule, object, file, message] =
            ["rule", "object", "file", "message"].map(|key| remark[key].as_str().unwrap_or_default());
        match remark["line"].as_u64() {
            Some(line) => format!("{rule}: {file}:{line}: {message}"),
            None => format!("{rule}: {object}: {message}"),
        }
    };
    let about_engines = |said: &String| {
        ["not-portable-to-prisma: ", "temporary-table: "].iter().any(|rule| said.starts_with(rule))
    };
    remarks.iter().map(said).filter(about_engines).collect()
}

/// The SQLSTATE with which PostgreSQL refuses a file that is sent as one query.
fn sqlstate(database: &Database, sql: &str) -> String {
    let mut command = Command::new(Server::get().bin.join("psql"));
    let output = command
        .args(["-XAtq", "-v", "VERBOSITY=sqlstate", "-c", sql, &database.url])
        .output()
        .expect("psql runs");
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

async fn prove(name: &str, case: Case) {
    let pair = Pair::new(name).await;
    let broken = folder(&pair, "broken", case.files);
    let prisma = pair.deploy(&broken);
    pair.run(&pair.sluice, &broken, &[], "").unwrap_or_else(|said| panic!("{name}: Sluice runs it: {said}"));
    let said = warnings(&broken, &[]);
    let place = format!("not-portable-to-prisma: 20240101000000_x/migration.sql:{}: ", case.line);
    assert!(said.len() == 1 && said[0].starts_with(&place), "{name}: {said:#?}");
    match case.prisma {
        Prisma::Refuses(words, code) => {
            let refused = prisma.expect_err(name);
            assert!(refused.contains(words), "{name}: {refused}");
            let database = Server::get().database(&format!("q_{name}")).await;
            database.execute(FIRST).await;
            let answered = sqlstate(&database, case.files[0]);
            assert!(answered.contains(code) && said[0].contains(code), "{name}: {answered}: {said:?}");
        }
        Prisma::Stops(words, code) => {
            let stopped = prisma.expect_err(name);
            assert!(stopped.contains(words) && said[0].contains(code), "{name}: {stopped}: {said:?}");
        }
        Prisma::Differs(words) => {
            prisma.unwrap_or_else(|error| panic!("{name}: Prisma says that it runs it: {error}"));
            assert!(!pair.differences().is_empty() && said[0].contains(words), "{name}: {said:?}");
        }
    }
    let pair = Pair::new(&format!("{name}_mended")).await;
    let mended = folder(&pair, "mended", case.mended);
    assert_eq!(warnings(&mended, &[]), Vec::<String>::new(), "{name}");
    pair.deploy(&mended).unwrap_or_else(|said| panic!("{name}: Prisma: {said}"));
    pair.run(&pair.sluice, &mended, &[], "").unwrap_or_else(|said| panic!("{name}: {said}"));
    assert_eq!(pair.differences(), Vec::<String>::new(), "{name}");
}

#[tokio::test]
async fn several_statements_that_run_alone_need_a_file_each() {
    let prisma = Prisma::Refuses("cannot run inside a transaction block", "25001");
    let files = &["CREATE INDEX CONCURRENTLY i ON t (a);\nCREATE INDEX CONCURRENTLY j ON t (b);"];
    let mended =
        &["-- alone\nCREATE INDEX CONCURRENTLY i ON t (a);", "CREATE INDEX CONCURRENTLY j ON t (b);"];
    prove("not_alone", Case { files, line: 1, prisma, mended }).await;
    let prisma = Prisma::Refuses("cannot run inside a transaction block", "25001");
    let files = &["BEGIN;\nUPDATE t SET a = 1;\nCOMMIT;\nVACUUM t;"];
    prove(
        "behind_commit",
        Case { files, line: 4, prisma, mended: &["BEGIN;\nUPDATE t SET a = 1;\nCOMMIT;", "VACUUM t;"] },
    )
    .await;
}

#[tokio::test]
async fn a_new_enum_value_is_used_after_a_commit() {
    for (name, uses) in [
        ("enum_constant", "ALTER TYPE mood ADD VALUE 'odd';\nINSERT INTO m VALUES ('odd');"),
        ("enum_array", "ALTER TYPE mood ADD VALUE 'odd';\nINSERT INTO m SELECT unnest('{odd}'::mood[]);"),
        (
            "enum_range",
            "ALTER TYPE mood ADD VALUE 'odd';\nINSERT INTO m SELECT max(a) FROM \
                unnest(enum_range(NULL::mood)) AS u (a);",
        ),
        ("enum_block", "ALTER TYPE mood ADD VALUE 'odd';\nDO $$ BEGIN INSERT INTO m VALUES ('odd'); END $$;"),
    ] {
        let prisma = Prisma::Refuses("unsafe use of new value", "55P04");
        let files = Box::leak(Box::new([uses]));
        let mended = &["ALTER TYPE mood ADD VALUE 'odd';\nCOMMIT;\nINSERT INTO m VALUES ('odd');"];
        prove(name, Case { files, line: 2, prisma, mended }).await;
    }
}

#[tokio::test]
async fn savepoints_chains_and_a_lonely_lock_need_a_begin() {
    let words = "can only be used in transaction blocks";
    for (name, file, line, mended) in [
        (
            "savepoint",
            "UPDATE t SET a = 1;\nSAVEPOINT one;\nDROP TABLE m;\nROLLBACK TO one;",
            2,
            "BEGIN;\nUPDATE t SET a = 1;\nSAVEPOINT one;\nDROP TABLE m;\nROLLBACK TO one;\nCOMMIT;",
        ),
        (
            "chain",
            "UPDATE t SET a = 1;\nCOMMIT AND CHAIN;",
            2,
            "BEGIN;\nUPDATE t SET a = 1;\nCOMMIT AND CHAIN;\nUPDATE t SET b = 1;\nCOMMIT;",
        ),
        ("lock", "LOCK TABLE t;", 1, "BEGIN;\nLOCK TABLE t;\nCOMMIT;"),
        ("cursor", "DECLARE c CURSOR FOR SELECT 1;", 1, "BEGIN;\nDECLARE c CURSOR FOR SELECT 1;\nCOMMIT;"),
    ] {
        let (files, mended) = (Box::leak(Box::new([file])), Box::leak(Box::new([mended])));
        prove(name, Case { files, line, prisma: Prisma::Refuses(words, "25P01"), mended }).await;
    }
}

#[tokio::test]
async fn an_isolation_level_and_read_only_are_prismas_as_they_stand() {
    let prisma = Prisma::Refuses("must be called before any query", "25001");
    let files = &["CREATE TABLE u (a int);\nBEGIN ISOLATION LEVEL SERIALIZABLE;\nDROP TABLE u;\nCOMMIT;"];
    let mended =
        &["CREATE TABLE u (a int);\nCOMMIT;\nBEGIN ISOLATION LEVEL SERIALIZABLE;\nDROP TABLE u;\nCOMMIT;"];
    prove("level", Case { files, line: 2, prisma, mended }).await;
    let prisma = Prisma::Refuses("in a read-only transaction", "25006");
    let files = &["BEGIN READ ONLY;\nCREATE TABLE u (a int);\nCOMMIT;"];
    prove(
        "read_only",
        Case { files, line: 2, prisma, mended: &["BEGIN;\nCREATE TABLE u (a int);\nCOMMIT;"] },
    )
    .await;
}

#[tokio::test]
async fn prisma_does_not_know_no_transaction() {
    let prisma = Prisma::Refuses("invalid transaction termination", "2D000");
    let files = &["-- sluice: no-transaction\nUPDATE t SET a = 1;\nCALL p();"];
    let mended = &["UPDATE t SET a = 1;", "-- sluice: no-transaction\nCALL p();"];
    prove("directive", Case { files, line: 1, prisma, mended }).await;
}

#[tokio::test]
async fn a_begin_without_commit_is_lost_with_prisma_which_says_that_it_is_applied() {
    let files = &["BEGIN;\nCREATE TABLE u (a int);", "CREATE TABLE v (a int);"];
    let mended = &["BEGIN;\nCREATE TABLE u (a int);\nCOMMIT;", "CREATE TABLE v (a int);"];
    prove("open", Case { files, line: 1, prisma: Prisma::Differs("keeps nothing of it"), mended }).await;
}

/// Prisma has one session for all files: what one of them sets holds for the next, and for Prisma's own
/// history.
#[tokio::test]
async fn settings_of_the_session_reach_the_next_files_with_prisma() {
    let next = "CREATE TABLE u AS SELECT current_setting('bytea_output') AS b;";
    let leaks = "SELECT 1;\nSET search_path = side, public;\nSET bytea_output = 'escape';";
    let holds = "SET LOCAL search_path = side, public;\nSET LOCAL bytea_output = 'escape';\nSELECT 1;";
    let files = Box::leak(Box::new([leaks, next]));
    let mended = Box::leak(Box::new([holds, next]));
    prove(
        "leak",
        Case { files, line: 2, prisma: Prisma::Differs("bytea_output, search_path set here"), mended },
    )
    .await;
}

#[tokio::test]
async fn some_settings_keep_prisma_from_its_own_history() {
    let history = "The underlying table for model `_prisma_migrations` does not exist";
    for (name, file, words, code, mended) in [
        (
            "path",
            "SET search_path = side;\nCREATE TABLE u (a int);",
            history,
            "P1014",
            "SET LOCAL search_path = side;\nCREATE TABLE u (a int);",
        ),
        (
            "dumped",
            "SELECT pg_catalog.set_config('search_path', '', false);\nCREATE TABLE side.u (a int);",
            history,
            "P1014",
            "SELECT pg_catalog.set_config('search_path', '', true);\nCREATE TABLE side.u (a int);",
        ),
        (
            "role",
            "SET ROLE pg_monitor;\nSELECT 1;",
            "permission denied for table _prisma_migrations",
            "42501",
            "SET LOCAL ROLE pg_monitor;\nSELECT 1;",
        ),
        (
            "writes",
            "SET default_transaction_read_only = on;\nSELECT 1;",
            "cannot execute UPDATE in a read-only transaction",
            "25006",
            "SET LOCAL default_transaction_read_only = on;\nSELECT 1;",
        ),
    ] {
        let (files, mended) = (Box::leak(Box::new([file])), Box::leak(Box::new([mended])));
        prove(name, Case { files, line: 1, prisma: Prisma::Stops(words, code), mended }).await;
    }
}

#[tokio::test]
async fn a_folder_without_a_script_stops_prisma() {
    let pair = Pair::new("script").await;
    let folder = folder(&pair, "migrations", &[]);
    fs::create_dir(folder.join("notes")).expect("makes the folder");
    let stopped = pair.deploy(&folder).expect_err("P3015");
    assert!(stopped.contains("Could not find the migration file"), "{stopped}");
    pair.run(&pair.sluice, &folder, &[], "").expect("Sluice passes over it");
    let said = warnings(&folder, &[]);
    assert!(
        said.iter().any(|line| line.starts_with("not-portable-to-prisma: ")
            && line.contains("P3015")
            && line.contains("\"notes\"")),
        "{said:?}"
    );
    fs::remove_dir(folder.join("notes")).expect("removes it");
    pair.deploy(&folder).expect("Prisma deploys it");
    assert_eq!(warnings(&folder, &[]), Vec::<String>::new());
}

#[tokio::test]
async fn a_phase_is_told_once_and_its_files_are_not_judged_by_what_prisma_takes() {
    let pair = Pair::new("phase").await;
    let folder = folder(&pair, "migrations", &[]);
    let phase = pair.scratch.path().join("security");
    fs::create_dir(&phase).expect("makes the folder");
    for file in ["010_one.sql", "020_two.sql"] {
        fs::write(phase.join(file), "CREATE INDEX CONCURRENTLY i ON t (a);\nVACUUM t;").expect("writes");
    }
    let said = warnings(&folder, &["--phase", &format!("security={}", phase.display())]);
    assert!(
        said.len() == 1 && said[0].contains("the phase \"security\" and runs none of its 2 files"),
        "{said:?}"
    );
}

/// The other way round: this runs with Prisma and not with Sluice.
#[tokio::test]
async fn a_temporary_table_of_an_earlier_file_is_gone_whatever_the_atomicity() {
    let pair = Pair::new("temporary").await;
    let folder_of = |name, files: &[&str]| folder(&pair, name, files);
    let broken = folder_of(
        "broken",
        &["CREATE TEMP TABLE kept AS SELECT 1 AS a;", "SELECT 1;\nINSERT INTO t SELECT a, a FROM kept;"],
    );
    pair.deploy(&broken).expect("Prisma's session is one");
    for atomicity in ["Release", "Migration"] {
        let database = Server::get().database("temporary").await;
        let refused = pair
            .run(&database, &broken, &[], &format!("  apply: {{atomicity: {atomicity}}}\n"))
            .expect_err("it is gone");
        assert!(refused.contains("42P01") && refused.contains("20240102000000_x"), "{atomicity}: {refused}");
    }
    let said = warnings(&broken, &[]);
    assert!(
        said.len() == 1 && said[0].starts_with("temporary-table: 20240102000000_x/migration.sql:2: "),
        "{said:?}"
    );
    let pair = Pair::new("temporary_mended").await;
    let mended = folder(
        &pair,
        "mended",
        &["CREATE TEMP TABLE kept AS SELECT 1 AS a;\nINSERT INTO t SELECT a, a FROM kept;"],
    );
    assert_eq!(warnings(&mended, &[]), Vec::<String>::new());
    pair.deploy(&mended).expect("Prisma deploys it");
    pair.run(&pair.sluice, &mended, &[], "").expect("Sluice runs it");
    assert_eq!(pair.differences(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lonely_call_that_commits_and_what_takes_back_run_with_prisma_alone() {
    for (name, sql, code) in [
        ("call", "CALL p();", "2D000"),
        ("rollback", "SELECT 1;\nROLLBACK;", "ROLLBACK is not allowed"),
        ("discard", "DISCARD ALL;", "DISCARD ALL is not allowed"),
    ] {
        let pair = Pair::new(name).await;
        let broken = folder(&pair, "broken", &[sql]);
        pair.deploy(&broken).unwrap_or_else(|said| panic!("{name}: Prisma runs it: {said}"));
        let refused = pair.run(&pair.sluice, &broken, &[], "").expect_err(name);
        assert!(refused.contains(code), "{name}: {refused}");
    }
}

#[tokio::test]
async fn now_is_one_moment_in_a_release_and_one_for_each_file_where_the_manifest_says_so() {
    let moment = "SELECT pg_sleep(0.02);\nINSERT INTO seen VALUES (now());";
    let pair = Pair::new("moments").await;
    let folder = folder(&pair, "migrations", &["CREATE TABLE seen (at timestamptz);", moment, moment]);
    let moments = async |database: &Database| -> i64 {
        let query = sqlx::query("SELECT count(DISTINCT at) FROM seen");
        query.fetch_one(&mut database.connect().await).await.expect("counts").get(0)
    };
    pair.deploy(&folder).expect("Prisma deploys it");
    assert_eq!(moments(&pair.prisma).await, 2);
    for (atomicity, expected) in [("Release", 1), ("Migration", 2)] {
        let database = Server::get().database("moments").await;
        pair.run(&database, &folder, &[], &format!("  apply: {{atomicity: {atomicity}}}\n"))
            .expect("Sluice runs it");
        assert_eq!(moments(&database).await, expected, "{atomicity}");
    }
    assert_eq!(warnings(&folder, &[]), Vec::<String>::new());
}

/// Prisma deploys every folder of the corpus and leaves what Sluice leaves: whatever lint said of one would
/// be a false alarm.
#[test]
fn lint_says_nothing_of_what_prisma_deploys_alike() {
    let mut releases = 0;
    for entry in fs::read_dir(corpus()).expect("the corpus") {
        let folder = entry.expect("readable").path();
        for release in
            (1..).map(|number| folder.join(number.to_string())).take_while(|release| release.is_dir())
        {
            let said: Vec<_> =
                warnings(&release, &[]).into_iter().filter(|line| !line.starts_with("stray-entry")).collect();
            assert_eq!(said, Vec::<String>::new(), "{}", release.display());
            releases += 1;
        }
    }
    assert!(releases >= 26, "{releases} releases were read");
}
