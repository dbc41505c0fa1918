//! `sluice lint`: what a person sees, and what a pipeline is told by the exit code.

use std::{fs, path::Path, process::Command};

use crate::{
    stage_scene::{Scene, finish},
    trust_history::PLANTED,
};

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
        in a transaction\n2 migrations: Additive, Small\n";
    assert_eq!(prisma(&files), (0, expected.to_owned()));
}

#[test]
fn a_statement_that_cannot_run_in_a_transaction_is_named_with_its_line() {
    let index = "\n-- writers go on meanwhile\nCREATE INDEX CONCURRENTLY i\n  ON t (x);\n";
    let value = "ALTER TYPE mood ADD VALUE 'calm';\nUPDATE t SET m = 'odd' WHERE x = 1;\n";
    let expected = "1_index/migration.sql: 1 statement, outside a transaction\n\
        \x20 line 3: cannot run in a transaction, so it runs alone: CREATE INDEX CONCURRENTLY i ON t (x)\n\
        2_value/migration.sql: 2 statements, in a transaction\n\
        \x20 line 1: adds an enum value, which can be used after COMMIT: ALTER TYPE mood ADD VALUE 'calm'\n2 \
        migrations: Additive, Small\n";
    assert_eq!(
        prisma(&[("1_index/migration.sql", index), ("2_value/migration.sql", value)]),
        (0, expected.to_owned())
    );
}

#[test]
fn what_does_not_go_back_to_prisma_is_a_warning_with_its_place_and_says_nothing_of_constants() {
    let value = "ALTER TYPE mood ADD VALUE 'calm';\nUPDATE t SET m = 'calm' WHERE x = 1;\n";
    let two = "SELECT 1;\nCREATE INDEX CONCURRENTLY i ON t (x) WHERE y = 'Jane Doe';\n";
    let files = [CLEAN, ("2_value/migration.sql", value), ("3_two/migration.sql", two)];
    let (code, output) = prisma(&files);
    assert!(code == 0 && output.ends_with("3 migrations, 2 warnings: Additive, Small\n"), "{output}");
    for shown in [
        "warning[not-portable-to-prisma]: Prisma fails with SQLSTATE 55P04",
        "--> 2_value/migration.sql:2:1",
        "warning[not-portable-to-prisma]: Prisma fails with SQLSTATE 25001",
        "--> 3_two/migration.sql:2:1",
        "2 | CREATE INDEX CONCURRENTLY i ON t (x) WHERE y = '···· ···';",
    ] {
        assert!(output.contains(shown), "{shown}: {output}");
    }
    // The value of an enum is a name of the schema, and tells one line from the next.
    let values = output.matches("calm").count();
    assert!(values == 1 && output.contains("ADD VALUE 'calm'") && !output.contains("Jane"), "{output}");
    let flat = [("1_two.sql", two)];
    let (code, output, _) = lint(&flat, &["migrations", "--format", "Sql"]);
    assert!(code == 0 && output.ends_with("1 migration: Additive, Small\n"), "{output}");
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
    for shown in [
        "error[unreadable]: ROLLBACK is not allowed in a migration: ",
        "--> 2_undo/migration.sql:2:1",
        "error[unreadable]: COPY from STDIN",
        "--> 3_copy/migration.sql:1:1",
    ] {
        assert!(output.contains(shown), "{shown}: {output}");
    }
    let told = "1_init/migration.sql: 2 statements, in a transaction\n2_undo/migration.sql: cannot \
        run\n3_copy/migration.sql: cannot run\n3 migrations, 2 errors: Additive, Small\n";
    assert!(output.ends_with(told), "{output}");
}

#[test]
fn what_only_psql_understands_and_what_nobody_can_read_is_an_error_with_its_line() {
    for (sql, expected) in [
        ("SELECT 1;\n\\i more.sql\n", "\"\\\\i\" is a command of psql"),
        ("SELECT 1;\nSELECT 'a;\n", "the string that begins here is not closed"),
        ("SELECT\n\0", "the file contains a NUL byte"),
        ("CREATE TABEL u (x int);\nABORT;\n", "ABORT is not allowed"),
    ] {
        let (code, output) = prisma(&[("1_odd/migration.sql", sql)]);
        let place = "--> 1_odd/migration.sql:2:1";
        assert!(code == 1 && output.contains(expected) && output.contains(place), "{output}");
    }
}

#[test]
fn a_stray_file_is_a_warning_with_its_remedy() {
    let (code, output) = prisma(&[CLEAN, ("loose.sql", "SELECT 1;")]);
    let expected = "warning[stray-entry]: loose.sql: \"loose.sql\" is no migration and is never run";
    assert!(
        code == 0
            && output.contains(expected)
            && output.contains("help: put its SQL into NAME/migration.sql")
            && output.ends_with("1 migration, 1 warning: Additive, Small\n"),
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
                migrations: Additive, Small\n"
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
            "error[unreadable]: migrations: \"migrations\" holds no migration: it has only \"migrations/\", \"schema.prisma\""
        ),
        "{output}"
    );
    assert!(output.contains("migrations lie in its folder \"migrations\""), "{output}");
    let (code, output, _) = lint(&[("schema.prisma", "")], &["migrations", "--allow-empty"]);
    assert_eq!((code, output.as_str()), (0, "0 migrations: Additive, Small\n"));
    let (code, output, _) = lint(&[CLEAN, ("schema.prisma", "")], &["migrations"]);
    assert!(code == 0 && output.ends_with("1 migration: Additive, Small\n"), "{output}");
}

#[test]
fn a_folder_that_breaks_a_rule_of_its_format_fails_with_the_remedy() {
    for (files, expected) in [
        (
            [("20240215120000_a/note.txt", "")],
            "error[unreadable]: migrations: the folder \"20240215120000_a\" has no migration.sql: delete the \
                folder, or restore the file\n",
        ),
        (
            [("migration_lock.toml", "provider = \"mysql\"")],
            "error[unreadable]: migrations: migration_lock.toml says provider = \"mysql\": Sluice migrates \
                postgresql\n",
        ),
    ] {
        let (code, output) = prisma(&files);
        let help = "help: correct the source: as it is, Sluice runs nothing of it";
        assert!(code == 1 && output.starts_with(expected) && output.contains(help), "{output}");
    }
}

#[test]
fn a_source_that_cannot_be_read_is_said_in_the_form_that_was_chosen() {
    let broken = [("1_a/note.txt", "")];
    let of = |form| {
        let (code, output, errors) = lint(&broken, &["migrations", "-o", form]);
        assert_eq!((code, errors.as_str()), (1, ""), "{form}: {output}");
        output
    };
    for form in ["json", "sarif"] {
        let document: serde_json::Value = serde_json::from_str(&of(form)).expect("JSON");
        let remark =
            if form == "json" { &document[0]["rule"] } else { &document["runs"][0]["results"][0]["ruleId"] };
        assert_eq!(remark, "unreadable", "{form}: {document:#}");
    }
    for (form, shown) in [
        ("junit", "<testsuite name=\"sluice lint\" tests=\"1\" skipped=\"0\" errors=\"0\" failures=\"1\">"),
        ("markdown", "| error | migrations | unreadable |"),
        ("github", "::error title=unreadable::migrations: "),
    ] {
        let output = of(form);
        assert!(output.contains(shown), "{form}: {output}");
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

/// A release that locks, loses and breaks, behind the migration that makes its table.
const RELEASE: [(&str, &str); 3] = [
    ("migration_lock.toml", "provider = \"postgresql\"\n"),
    ("1_init/migration.sql", "CREATE TABLE \"Patient\" (id uuid PRIMARY KEY, name text, ssn text);\n"),
    (
        "2_more/migration.sql",
        "CREATE INDEX i ON \"Patient\" (name);\n-- sluice: allow ban-drop-column reason=\"unused since 2.3\"\n\
         ALTER TABLE \"Patient\" DROP COLUMN ssn;\nUPDATE \"Patient\" SET name = 'Jane Doe';\n",
    ),
];

/// Git in a folder.
fn git(folder: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.args(["-c", "user.email=team@example.org", "-c", "user.name=team"]).arg("-C").arg(folder);
    let output = git.args(arguments).output().expect("git");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Writes a file of a folder.
fn write(folder: &Path, (name, text): (&str, &str)) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, text).expect("a file");
}

/// A repository that has these files below `migrations`, committed.
fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    git(folder.path(), &["init", "-q"]);
    for file in files {
        write(&folder.path().join("migrations"), *file);
    }
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "-qm", "first"]);
    folder
}

/// `sluice lint --since HEAD` in a repository.
fn since_head(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(["lint", "migrations", "--since", "HEAD", "--preset", "Standard"]).args(arguments);
    let output = command.current_dir(folder).env_remove("DATABASE_URL").output().expect("starts");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stdout).expect("is UTF-8"))
}

/// The same of the release alone.
fn since(arguments: &[&str]) -> (i32, String) {
    let folder = repository(&RELEASE[..2]);
    write(&folder.path().join("migrations"), RELEASE[2]);
    since_head(folder.path(), arguments)
}

/// A file that Git lists in no commit, because it lies in a repository of its own; one whose entry is the same and
/// whose text is not; and one that is there again under another name.
#[test]
fn what_git_does_not_know_to_be_unchanged_is_judged() {
    let index = "CREATE INDEX i ON visits (day);";
    let shared = ("shared/migration.sql", "SELECT 1;");
    let folder = repository(&[CLEAN, shared]);
    let migrations = folder.path().join("migrations");
    let (code, text) = since_head(folder.path(), &[]);
    assert!(code == 0 && text.starts_with("0 migrations, 2 left out (unchanged since HEAD): "), "{text}");

    write(&migrations, ("2_own/migration.sql", index));
    git(&migrations.join("2_own"), &["init", "-q"]);
    let (code, text) = since_head(folder.path(), &[]);
    assert!(code == 1 && text.contains("--> 2_own/migration.sql:1:1"), "{text}");

    fs::remove_dir_all(migrations.join("2_own")).expect("the migration was there");
    fs::create_dir(migrations.join("3_link")).expect("a folder");
    std::os::unix::fs::symlink("../shared/migration.sql", migrations.join("3_link/migration.sql"))
        .expect("a link");
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "-qm", "second"]);
    let (code, text) = since_head(folder.path(), &[]);
    assert!(code == 0 && text.starts_with("0 migrations, 3 left out (unchanged since HEAD): "), "{text}");
    write(&migrations, (shared.0, index));
    let (code, text) = since_head(folder.path(), &[]);
    assert!(code == 1 && text.contains("--> 3_link/migration.sql:1:1"), "{text}");

    git(folder.path(), &["mv", "migrations/1_init", "migrations/4_moved"]);
    let (_, text) = since_head(folder.path(), &[]);
    assert!(text.contains("4_moved/migration.sql: "), "{text}");
}

#[test]
fn what_is_new_since_a_commit_is_judged_alone_and_in_each_form() {
    let (code, text) = since(&[]);
    let told = "1 migration, 1 left out (unchanged since HEAD), 2 errors, 1 warning, 1 allowed: Destructive, Large\n";
    assert!(code == 1 && text.ends_with(told) && !text.contains("Jane"), "{text}");
    for (form, shown) in [
        ("json", "\"rule\": \"require-concurrent-index-creation\""),
        ("json", "\"waived\": \"unused since 2.3\""),
        ("sarif", "\"justification\": \"unused since 2.3\""),
        ("sarif", "\"startLine\": 4"),
        ("junit", "<testsuite name=\"sluice lint\" tests=\"4\" skipped=\"1\" errors=\"0\" failures=\"2\">"),
        ("junit", "<failure message=\"a plain CREATE INDEX keeps writers of"),
        ("junit", "<skipped message=\"unused since 2.3\""),
        ("markdown", "| error | 2\\_more/migration.sql&#58;4 | unbatched-change |"),
        (
            "github",
            "::error file=migrations/2_more/migration.sql,line=1,col=1,title=require-concurrent-index-creation::",
        ),
    ] {
        let (code, text) = since(&["-o", form]);
        assert!(code == 1 && text.contains(shown) && !text.contains("Jane"), "{shown} in {form}:\n{text}");
    }
    let (code, text) = since(&[
        "--rule",
        "unbatched-change=Off",
        "--rule",
        "require-concurrent-index-creation=Warn",
        "-o",
        "github",
    ]);
    assert!(code == 0 && text.lines().count() == 2, "{text}");
}

#[test]
fn a_rule_that_nobody_knows_and_a_commit_that_is_not_there_are_wrong_arguments() {
    let (code, _, errors) = lint(&[CLEAN], &["migrations", "--rule", "ban-drop-colum=Fail"]);
    assert!(code == 2 && errors.contains("there is no rule \"ban-drop-colum\""), "{errors}");
    let (code, _, errors) = lint(&[CLEAN], &["migrations", "--since", "v1"]);
    assert!(code == 2 && errors.contains("--since: "), "{errors}");
}

#[tokio::test]
async fn with_a_database_what_is_pending_is_judged_by_the_size_of_its_tables() {
    let init = "CREATE TABLE visits (day date); CREATE TABLE years (y int) PARTITION BY RANGE (y); CREATE \
        TABLE years_1 PARTITION OF years FOR VALUES FROM (0) TO (9);";
    let scene = Scene::new("lint_sizes", &[("1_init", init)]).await;
    scene.ready().await;
    scene.write("2_index", "CREATE INDEX i ON visits (day); CREATE INDEX j ON years (y);");
    let remarks = async || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.arg("lint").arg(scene.source()).args([
            "-o",
            "json",
            "--preset",
            "Standard",
            "--database-url",
        ]);
        let output = finish_with(command, &scene.url).await;
        let remarks: Vec<serde_json::Value> = serde_json::from_str(&output).expect("an array");
        let told = |remark: &serde_json::Value| {
            format!("{} {}", remark["object"].as_str().unwrap_or("?"), remark["severity"])
        };
        remarks.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(remarks().await, ["visits \"warning\"", "years \"warning\""]);
    // They were never analyzed: what their pages could hold counts.
    scene.database.execute("INSERT INTO visits SELECT '2026-01-01' FROM generate_series(1, 20000)").await;
    scene.database.execute("INSERT INTO years SELECT 1 FROM generate_series(1, 20000)").await;
    assert_eq!(remarks().await, ["visits \"error\"", "years \"error\""]);
    scene.database.execute("TRUNCATE visits; ANALYZE visits; ANALYZE years").await;
    assert_eq!(remarks().await, ["visits \"warning\"", "years \"error\""]);
    scene.ready().await;
    assert_eq!(remarks().await, [""; 0], "nothing is pending");
}

/// `sluice lint` of a scene by its database: exit code, output, errors.
async fn by_database(scene: &Scene, role: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.arg("lint").arg(scene.source()).args(arguments).arg("--database-url");
    command.env("DATABASE_URL", scene.url.replacen(&scene.role, role, 1));
    let output = finish(command).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_history_that_another_role_planted_leaves_no_migration_out() {
    let scene = Scene::new("lint_planted", &[("2_second", "SELECT 1;")]).await;
    let intruder = format!("{}_intruder", scene.database.name);
    let role = format!("CREATE ROLE {intruder}; GRANT CREATE, USAGE ON SCHEMA public TO {intruder}");
    scene.database.execute(&role).await;
    scene.database.execute(&PLANTED.replace("{intruder}", &intruder)).await;
    let (code, output, errors) = by_database(&scene, &scene.role, &[]).await;
    let told = errors.contains(&format!("belongs to {intruder:?}")) && errors.contains("--history-owner");
    assert!(code == Some(2) && output.is_empty() && told, "{output}{errors}");
    // A user who names the owner says that the history is to be believed.
    let (code, output, errors) = by_database(&scene, &scene.role, &["--history-owner", &intruder]).await;
    assert!(
        code == Some(0) && output.starts_with("0 migrations, 1 left out (applied): "),
        "{output}{errors}"
    );
}

#[tokio::test]
async fn an_edited_file_of_a_phase_is_judged_again_because_it_may_run_again() {
    let scene = Scene::new("lint_phases", &[("1_init", "CREATE TABLE visits (day date);")]).await;
    let phases = "{configMaps: [records], phases: [{name: security, configMaps: [security]}]}";
    let scene = scene.with("migrations", phases);
    let folder = scene.folder.path().join("security");
    write(&folder, ("010_day.sql", "COMMENT ON TABLE visits IS 'a';"));
    scene.ready().await;
    let phase = format!("security={}", folder.display());
    let (_, output, errors) = by_database(&scene, &scene.role, &["--phase", &phase]).await;
    assert!(output.starts_with("0 migrations, 2 left out (applied): "), "{output}{errors}");
    write(&folder, ("010_day.sql", "CREATE INDEX i ON visits (day);"));
    let (_, output, errors) = by_database(&scene, &scene.role, &["--phase", &phase]).await;
    assert!(output.contains("warning[require-concurrent-index-creation]"), "{output}{errors}");
}

/// The standard output of a command that is given a database by the variable.
async fn finish_with(mut command: Command, url: &str) -> String {
    command.env("DATABASE_URL", url);
    let output = finish(command).await;
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).expect("is UTF-8")
}
