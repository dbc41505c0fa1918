//! Small folders of migrations, one for each habit that was seen in real ones (`tests/corpus`). Sluice, with
//! nothing but defaults, and Prisma's own engine apply each to an empty database, release by release; schema,
//! rows and history must be equal. Then Sluice inspects what Prisma made: nothing is pending, nothing has
//! drifted, and it is Ready.
//!
//! `NAME/1`, `NAME/2`, … are the folder as each release has it; `NAME/2.accept` names the edited migrations
//! that the manifest of release 2 acknowledges, `NAME/adopted.accept` those of a database that Prisma made:
//! what was applied there is not known to the letter.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::server::{Database, Server};

/// The small folders.
pub fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// Both databases of one folder.
pub struct Pair {
    pub sluice: Database,
    pub prisma: Database,
    pub scratch: tempfile::TempDir,
}

impl Pair {
    pub async fn new(name: &str) -> Self {
        let database = async |of| Server::get().database(&format!("{of}_{}", name.replace('-', "_"))).await;
        Self {
            sluice: database("s").await,
            prisma: database("p").await,
            scratch: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// `sluice run` on a database with the smallest manifest, and more sections of it.
    pub fn run(
        &self,
        database: &Database,
        folder: &Path,
        accept: &[String],
        more: &str,
    ) -> Result<(), String> {
        let history = if accept.is_empty() {
            String::new()
        } else {
            let entries: Vec<String> =
                accept.iter().map(|name| format!("{{name: {name}, reason: only said otherwise}}")).collect();
            format!("    history: {{accept: [{}]}}\n", entries.join(", "))
        };
        let manifest = self.scratch.path().join("migration.yaml");
        let text = format!(
            "apiVersion: sluice.dev/v1alpha1\nkind: DatabaseMigration\nmetadata: {{name: corpus, namespace: \
                corpus}}\nspec:\n  \
             database: {{secretRef: {{name: corpus}}}}\n  migrations:\n    configMaps: [corpus]\n{history}  \
             snapshot: {{none: {{reason: the database is made for a test}}}}\n{more}"
        );
        fs::write(&manifest, text).expect("writes the manifest");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command
            .arg("run")
            .arg("--file")
            .arg(manifest)
            .arg("--source")
            .arg(folder)
            .env("DATABASE_URL", &database.url);
        answer(&command.output().expect("sluice runs"))
    }

    /// Prisma's engine, on its own database.
    pub fn deploy(&self, folder: &Path) -> Result<(), String> {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/prisma"));
        answer(
            &command
                .args(["engine", &self.prisma.url])
                .arg(folder)
                .arg("apply")
                .output()
                .expect("tests/interop/prisma runs"),
        )
    }

    /// What differs between the two databases.
    pub fn differences(&self) -> Vec<String> {
        let (ours, theirs) = (described(&self.sluice), described(&self.prisma));
        let (ours, theirs): (BTreeSet<&str>, BTreeSet<&str>) =
            (ours.lines().collect(), theirs.lines().collect());
        let only = |these: &BTreeSet<&str>, those: &BTreeSet<&str>, sign: char| -> Vec<String> {
            these.difference(those).map(|line| format!("{sign} {line}")).collect()
        };
        [only(&theirs, &ours, '-'), only(&ours, &theirs, '+')].concat()
    }
}

fn answer(output: &Output) -> Result<(), String> {
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(said) }
}

/// Schema, rows and history, without what Sluice keeps beside them and without what differs from one database
/// to the next.
fn described(database: &Database) -> String {
    let dump = |arguments: &[&str]| {
        let mut command = Command::new(Server::get().bin.join("pg_dump"));
        let output = command
            .args(arguments)
            .args(["--exclude-schema=sluice", &database.url])
            .output()
            .expect("pg_dump runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("is UTF-8")
    };
    let history = "select migration_name || ' ' || checksum || ' ' || applied_steps_count from \
        _prisma_migrations \
                   where finished_at is not null and rolled_back_at is null";
    let mut psql = Command::new(Server::get().bin.join("psql"));
    let history = psql.args(["-XAtq", "-c", history, &database.url]).output().expect("psql runs");
    let text = [
        dump(&["--schema-only"]),
        dump(&["--data-only", "--inserts", "--exclude-table=_prisma_migrations"]),
        String::from_utf8(history.stdout).expect("is UTF-8"),
    ];
    let lines = text.iter().flat_map(|text| text.lines());
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("--") && !line.starts_with('\\'))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The lines of a file; none where it is not there.
fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The releases of one folder, each with what its manifest accepts.
fn releases(name: &str) -> Vec<(PathBuf, Vec<String>)> {
    let folder = corpus().join(name);
    let numbers = (1..).take_while(|number| folder.join(number.to_string()).is_dir());
    let releases: Vec<_> = numbers
        .map(|number| (folder.join(number.to_string()), lines(&folder.join(format!("{number}.accept")))))
        .collect();
    assert!(!releases.is_empty(), "{} holds no release", folder.display());
    releases
}

async fn equal(name: &str) {
    let about =
        fs::read_to_string(corpus().join(name).join("about.txt")).expect("about.txt says what is shown");
    let pair = Pair::new(name).await;
    let releases = releases(name);
    for (folder, accepted) in &releases {
        pair.deploy(folder).unwrap_or_else(|said| panic!("{about}{}: Prisma: {said}", folder.display()));
        if !accepted.is_empty() {
            let refused = pair
                .run(&pair.sluice, folder, &[], "")
                .expect_err("an edited statement is refused until it is accepted");
            assert!(accepted.iter().all(|name| refused.contains(name)), "{refused}");
        }
        pair.run(&pair.sluice, folder, accepted, "")
            .unwrap_or_else(|said| panic!("{about}{}: {said}", folder.display()));
        assert_eq!(pair.differences(), Vec::<String>::new(), "{about}{}", folder.display());
    }
    let (folder, _) = releases.last().expect("there is one");
    let mut accepted: Vec<String> = releases.iter().flat_map(|(_, accepted)| accepted.clone()).collect();
    accepted.extend(lines(&corpus().join(name).join("adopted.accept")));
    let drift = "  verify: {drift: {}}\n";
    for database in [&pair.prisma, &pair.sluice] {
        let verdict = pair.run(database, folder, &accepted, drift);
        verdict.unwrap_or_else(|said| {
            panic!("{about}{}: what is there has not drifted: {said}", folder.display())
        });
    }
}

/// A test for each folder, and a test that none is left out.
macro_rules! folders {
    ($($test:ident = $folder:literal),* $(,)?) => {
        $(#[tokio::test]
        async fn $test() { equal($folder).await; })*

        #[test]
        fn every_folder_has_a_test() {
            let named: BTreeSet<String> = [$($folder),*].map(str::to_owned).into();
            let found: BTreeSet<String> =
                fs::read_dir(corpus()).expect("the \
                    corpus").map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
            assert_eq!(named, found);
        }
    };
}

folders! {
    an_enum_value_is_removed = "enum-value-removed",
    brackets_stand_around_a_file = "brackets-around-a-file",
    a_commit_stands_without_its_begin = "commit-without-begin",
    savepoints_stay_inside = "savepoints",
    an_isolation_level_comes_first = "isolation-level-first",
    foreign_keys_have_no_index = "foreign-keys-without-index",
    a_partial_index_serves_a_key = "partial-index-serves-a-key",
    a_join_table_has_no_primary_key = "table-without-primary-key",
    a_name_comes_late = "late-name",
    a_comment_is_edited = "edited-comment",
    a_statement_is_edited = "edited-statement",
    line_endings_change = "line-endings",
    a_release_is_reverted = "reverted-release",
    names_sort_differently = "names-that-sort-differently",
    a_name_is_long = "long-name",
    an_index_is_built_concurrently = "index-concurrently",
    an_enum_value_is_used_in_the_next_file = "enum-value-used-in-the-next-file",
    semicolons_stand_in_bodies_and_quotes = "bodies-and-quotes",
    a_schema_has_elements = "schema-with-elements",
    a_file_sets_what_it_needs = "settings-in-a-file",
    a_temporary_table_lives_as_long_as_its_file = "temporary-table",
    files_hold_little = "byte-order-and-blanks",
    other_things_lie_in_the_folder = "other-things-in-the-folder",
    keys_are_deferred = "deferred-keys",
    extensions_bring_types = "extensions",
    the_parser_cannot_read_everything = "what-the-parser-cannot-read",
}

#[tokio::test]
async fn a_difference_between_the_two_databases_is_seen() {
    let pair = Pair::new("control").await;
    let (folder, _) = releases("foreign-keys-without-index").pop().expect("a release");
    pair.deploy(&folder).expect("Prisma deploys it");
    pair.run(&pair.sluice, &folder, &[], "").expect("Sluice runs it");
    for (harm, seen) in [
        ("ALTER TABLE \"Visit\" ALTER COLUMN \"state\" SET NOT NULL", "NOT NULL"),
        ("INSERT INTO \"Visit\" (\"state\") VALUES ('more')", "'more'"),
        ("UPDATE _prisma_migrations SET checksum = 'other'", "other"),
    ] {
        assert!(
            !pair.differences().iter().any(|line| line.starts_with('+') && line.contains(seen)),
            "{seen}"
        );
        pair.sluice.execute(harm).await;
        assert!(
            pair.differences().iter().any(|line| line.starts_with('+') && line.contains(seen)),
            "{:?}",
            pair.differences()
        );
    }
}

#[tokio::test]
async fn what_prisma_cannot_deploy_is_refused_as_well() {
    let pair = Pair::new("refused").await;
    let folder = pair.scratch.path().join("migrations");
    fs::create_dir_all(folder.join("20240101000000_init")).expect("makes the folder");
    fs::write(folder.join("migration_lock.toml"), "provider = \"postgresql\"\n").expect("writes");
    fs::write(
        folder.join("20240101000000_init/migration.sql"),
        "CREATE TABLE a (id int PRIMARY KEY);\nSELECT 1/0;\n",
    )
    .expect("writes");
    pair.deploy(&folder).expect_err("a division by zero");
    pair.run(&pair.sluice, &folder, &[], "").expect_err("a division by zero");
}
