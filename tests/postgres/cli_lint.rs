//! `sluice lint`: what a person sees, and what a pipeline is told by the exit code. It needs no database.

use std::{fs, path::Path, process::Command};

/// Runs `sluice lint` in a folder that holds these files below `migrations`; answers exit code, output and
/// errors.
fn lint(files: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join("migrations").join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.arg("lint").args(arguments).current_dir(folder.path()).env_remove("DATABASE_URL");
    let output = command.output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("is UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// The same, of which nothing may be said on standard error.
fn prisma(files: &[(&str, &str)]) -> (i32, String) {
    let (code, output, errors) = lint(files, &["migrations"]);
    assert_eq!(errors, "");
    (code, output)
}

const CLEAN: (&str, &str) = ("1_init/migration.sql", "CREATE TABLE t (x int);\nCREATE INDEX i ON t (x);\n");

#[test]
fn a_clean_folder_is_listed_in_order_and_passes() {
    let files = [
        ("2_more/migration.sql", "SELECT 1;"),
        CLEAN,
        ("migration_lock.toml", "provider = \"postgresql\"\n"),
    ];
    let expected = "1_init/migration.sql: 2 statements, in a transaction\n2_more/migration.sql: 1 statement, \
        in a transaction\n2 migrations\n";
    assert_eq!(prisma(&files), (0, expected.to_owned()));
}

#[test]
fn a_statement_that_cannot_run_in_a_transaction_is_named_with_its_line() {
    let index = "\n-- writers go on meanwhile\nCREATE INDEX CONCURRENTLY i\n  ON t (x);\n";
    let value = "ALTER TYPE mood ADD VALUE 'calm';\nUPDATE t SET m = 'odd';\n";
    let expected = "1_index/migration.sql: 1 statement, outside a transaction\n\
        \x20 line 3: cannot run in a transaction, so it runs alone: CREATE INDEX CONCURRENTLY i ON t (x)\n\
        2_value/migration.sql: 2 statements, in a transaction\n\
        \x20 line 1: adds an enum value, which can be used after COMMIT: ALTER TYPE mood ADD VALUE 'calm'\n2 \
        migrations\n";
    assert_eq!(
        prisma(&[("1_index/migration.sql", index), ("2_value/migration.sql", value)]),
        (0, expected.to_owned())
    );
}

#[test]
fn what_does_not_go_back_to_prisma_is_a_warning_with_its_place_and_says_nothing_of_constants() {
    let value = "ALTER TYPE mood ADD VALUE 'calm';\nUPDATE t SET m = 'calm';\n";
    let two = "SELECT 1;\nCREATE INDEX CONCURRENTLY i ON t (x) WHERE y = 'Jane Doe';\n";
    let files = [CLEAN, ("2_value/migration.sql", value), ("3_two/migration.sql", two)];
    let (code, output) = prisma(&files);
    let warnings: Vec<&str> =
        output.lines().filter(|line| line.starts_with("warning: not-portable-to-prisma: ")).collect();
    assert!(code == 0 && warnings.len() == 2 && output.ends_with("3 migrations, 2 warnings\n"), "{output}");
    assert!(warnings[0].contains(": 2_value/migration.sql:2: ") && warnings[0].contains("55P04"), "{output}");
    assert!(warnings[1].contains(": 3_two/migration.sql:2: ") && warnings[1].contains("25001"), "{output}");
    // The value of an enum is a name of the schema, and tells one line from the next.
    let values = output.matches("calm").count();
    assert!(values == 1 && output.contains("ADD VALUE 'calm'") && !output.contains("Jane"), "{output}");
    let flat = [("1_two.sql", two)];
    let (code, output, _) = lint(&flat, &["migrations", "--format", "Sql"]);
    assert!(code == 0 && output.ends_with("1 migration\n"), "{output}");
}

#[test]
fn a_long_statement_is_cut_with_a_mark() {
    let index = format!("CREATE INDEX CONCURRENTLY {} ON t (x);", "é".repeat(100));
    let (code, output) = prisma(&[("1_index/migration.sql", &index)]);
    assert!(
        code == 0 && output.contains(&format!("CREATE INDEX CONCURRENTLY {}…\n", "é".repeat(54))),
        "{output}"
    );
}

#[test]
fn a_statement_that_is_refused_fails_and_the_other_files_are_still_looked_at() {
    let files = [
        CLEAN,
        ("2_undo/migration.sql", "SELECT 1;\nROLLBACK;\n"),
        ("3_copy/migration.sql", "COPY t FROM STDIN;\n1\n\\.\n"),
    ];
    let (code, output) = prisma(&files);
    assert_eq!(code, 1, "{output}");
    let lines: Vec<&str> = output.lines().collect();
    assert!(lines[0].starts_with("1_init/migration.sql: 2 statements"), "{output}");
    assert!(
        lines[1].starts_with("2_undo/migration.sql: error: line 2: ROLLBACK is not allowed in a migration: "),
        "{output}"
    );
    assert!(lines[2].starts_with("3_copy/migration.sql: error: line 1: COPY from STDIN"), "{output}");
    assert_eq!(lines[3..], ["3 migrations, 2 errors"]);
}

#[test]
fn what_only_psql_understands_and_what_nobody_can_read_is_an_error_with_its_line() {
    for (sql, expected) in [
        ("SELECT 1;\n\\i more.sql\n", "line 2: \"\\\\i\" is a command of psql"),
        ("SELECT 1;\nSELECT 'a;\n", "line 2: the string that begins here is not closed"),
        ("SELECT\n\0", "line 2: the file contains a NUL byte"),
        ("CREATE TABEL u (x int);\nABORT;\n", "line 2: ABORT is not allowed"),
    ] {
        let (code, output) = prisma(&[("1_odd/migration.sql", sql)]);
        assert!(code == 1 && output.contains(expected), "{output}");
    }
}

#[test]
fn a_stray_file_is_a_warning_with_its_remedy() {
    let (code, output) = prisma(&[CLEAN, ("loose.sql", "SELECT 1;")]);
    let expected = "warning: stray-entry: \"loose.sql\" is no migration and is never run: put its SQL into \
        NAME/migration.sql";
    assert!(
        code == 0 && output.contains(expected) && output.ends_with("1 migration, 1 warning\n"),
        "{output}"
    );
}

#[test]
fn a_folder_of_another_format_is_told_from_an_empty_one() {
    let files = [("1_init.sql", "CREATE TABLE t (x int);"), ("2_more.sql", "SELECT 1;")];
    let (code, output) = prisma(&files);
    assert!(
        code == 1
            && output.contains("\"1_init.sql\", \"2_more.sql\"")
            && output.contains("format Sql reads files NAME.sql"),
        "{output}"
    );
    let (code, output, _) = lint(&files, &["migrations", "--format", "Sql"]);
    assert_eq!(
        (code, output.as_str()),
        (
            0,
            "1_init.sql: 1 statement, in a transaction\n2_more.sql: 1 statement, in a transaction\n2 \
                migrations\n"
        )
    );
    let (code, output, _) = lint(&[CLEAN], &["migrations", "--format", "sql"]);
    assert!(code == 1 && output.contains("format Prisma reads NAME/migration.sql"), "{output}");
}

#[test]
fn a_folder_without_a_migration_is_an_error_that_names_what_lies_there_unless_it_is_allowed() {
    let files = [("schema.prisma", ""), ("migrations/1_init/migration.sql", "SELECT 1;")];
    let (code, output) = prisma(&files);
    assert_eq!(code, 1, "{output}");
    assert!(
        output.starts_with(
            "error: \"migrations\" holds no migration: it has only \"migrations/\", \"schema.prisma\""
        ),
        "{output}"
    );
    assert!(output.contains("migrations lie in its folder \"migrations\""), "{output}");
    let (code, output, _) = lint(&[("schema.prisma", "")], &["migrations", "--allow-empty"]);
    assert_eq!((code, output.as_str()), (0, "0 migrations\n"));
    let (code, output, _) = lint(&[CLEAN, ("schema.prisma", "")], &["migrations"]);
    assert!(code == 0 && output.ends_with("1 migration\n"), "{output}");
}

#[test]
fn a_folder_that_breaks_a_rule_of_its_format_fails_with_the_remedy() {
    for (files, expected) in [
        (
            [("20240215120000_a/note.txt", "")],
            "error: the folder \"20240215120000_a\" has no migration.sql: delete the folder, or restore the \
                file\n",
        ),
        (
            [("migration_lock.toml", "provider = \"mysql\"")],
            "error: migration_lock.toml says provider = \"mysql\": Sluice migrates postgresql\n",
        ),
    ] {
        assert_eq!(prisma(&files), (1, expected.to_owned()));
    }
}

#[test]
fn a_folder_that_is_not_there_is_a_wrong_argument() {
    let (code, output, errors) = lint(&[CLEAN], &["migrashuns"]);
    assert_eq!((code, output.as_str(), errors.as_str()), (2, "", "sluice: migrashuns is no folder\n"));
    let (code, output, errors) = lint(&[CLEAN], &["migrations/1_init/migration.sql"]);
    assert_eq!(
        (code, output.as_str(), errors.as_str()),
        (2, "", "sluice: migrations/1_init/migration.sql is no folder\n")
    );
    let (code, _, errors) = lint(&[], &[]);
    assert!(code == 2 && errors.contains("<DIR>"), "{errors}");
}
