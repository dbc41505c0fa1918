//! The invariants of ARCHITECTURE.md, each by its number: what must be absent from the source tree. Which room
//! imports which: `walls/`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sluice::api::Reason;

pub fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file below the top, with its text.
pub struct File {
    pub path: String,
    pub text: String,
}

impl File {
    fn is_in(&self, room: &str) -> bool {
        self.path.starts_with(&format!("src/{room}/")) || self.path == format!("src/{room}.rs")
    }

    /// The code: without comments, and without the tests at its end.
    fn code(&self) -> String {
        let code = self.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }
}

pub fn files(folder: &str, ending: &str) -> Vec<File> {
    let mut found = Vec::new();
    let mut folders = vec![top().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let text = fs::read_to_string(&path).expect("a text");
                found.push(File {
                    path: path.strip_prefix(top()).expect("below the top").to_string_lossy().into_owned(),
                    text,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "{folder} has no {ending}");
    found
}

pub fn sources() -> Vec<File> {
    files("src", ".rs")
}

/// Complains about every occurrence of a word in the code of the files.
fn absent(invariant: u32, files: &[File], words: &[&str]) {
    let mut found = Vec::new();
    for file in files {
        let code = file.code();
        for (number, line) in code.lines().enumerate() {
            found.extend(
                words
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("{}: {word:?} in {line:?} (line {number} of the code)", file.path)),
            );
        }
    }
    assert!(found.is_empty(), "ARCHITECTURE.md, invariant {invariant}:\n{}", found.join("\n"));
}

fn rooms(names: &[&str]) -> Vec<File> {
    let found: Vec<File> =
        sources().into_iter().filter(|file| names.iter().any(|name| file.is_in(name))).collect();
    for name in names {
        assert!(found.iter().any(|file| file.is_in(name)), "there is no room {name:?}");
    }
    found
}

#[test]
fn every_invariant_has_a_test_that_quotes_its_number() {
    let architecture = fs::read_to_string(top().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let invariants = architecture
        .split("## Invariants")
        .nth(1)
        .expect("a section about invariants")
        .split("\n## ")
        .next()
        .expect("its text");
    let numbered = invariants
        .lines()
        .filter(|line| line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok()))
        .count();
    let own = fs::read_to_string(top().join("tests/contract/tidy.rs")).expect("this file");
    assert!(numbered >= 12, "the list of invariants was not found");
    for number in 1..=numbered {
        assert!(
            own.contains(&format!("fn invariant_{number}_")),
            "no test defends invariant {number} of ARCHITECTURE.md"
        );
    }
}

#[test]
fn invariant_1_pure_rooms_know_no_client_no_pool_no_file_no_clock_no_chance_and_no_async() {
    let pure = rooms(&["api", "sql", "lint", "policy", "validate", "contract", "plan", "objects", "report"]);
    let words = [
        "kube::Client",
        "kube::Api",
        "kube::runtime",
        "kube::client",
        "sqlx",
        "tokio",
        "futures",
        "async ",
        ".await",
        "std::fs",
        "std::env",
        "std::process",
        "std::net",
        "Timestamp::now",
        "SystemTime",
        "Instant",
        "fastrand",
        "tracing",
    ];
    absent(1, &pure, &words);
}

#[test]
fn invariant_2_only_some_rooms_import_the_database_driver() {
    let others: Vec<File> = sources()
        .into_iter()
        .filter(|file| {
            !["postgres", "inspect", "probe", "across", "check", "catalog", "snapshot", "stage"]
                .iter()
                .any(|room| file.is_in(room))
        })
        .collect();
    absent(2, &others, &["sqlx"]);
}

#[test]
fn invariant_3_the_controller_knows_no_database_and_no_secret() {
    let controller = rooms(&["controller", "serve", "telemetry"]);
    absent(3, &controller, &["sqlx", "v1::Secret", "Secret,", "Secret}", "DATABASE_URL"]);
    let rights =
        fs::read_to_string(top().join("charts/sluice/templates/rbac.yaml")).expect("the chart's rights");
    let granted = rights
        .lines()
        .filter(|line| line.trim_start().starts_with("resources:"))
        .find(|line| line.contains("secrets") || line.contains('*'));
    assert_eq!(granted, None, "ARCHITECTURE.md, invariant 3");
}

#[test]
fn invariant_4_what_runs_in_a_stage_knows_no_kubernetes_api() {
    let stage = rooms(&[
        "stage",
        "inspect",
        "probe",
        "across",
        "check",
        "catalog",
        "snapshot",
        "postgres",
        "migrations",
    ]);
    absent(4, &stage, &["kube::", "k8s_openapi::api::"]);
}

#[test]
fn invariant_5_each_thing_has_one_writer() {
    let readers: Vec<File> = rooms(&["controller"])
        .into_iter()
        .filter(|file| {
            !["act.rs", "report.rs", "rollout.rs"].iter().any(|writer| file.path.ends_with(writer))
        })
        .collect();
    absent(
        5,
        &readers,
        &[
            ".create(",
            ".patch(",
            ".patch_status(",
            ".delete(",
            ".replace(&",
            ".apply(",
            "PatchParams",
            "DeleteParams",
            "PostParams",
        ],
    );
    let others: Vec<File> =
        sources().into_iter().filter(|file| !file.path.ends_with("controller/report.rs")).collect();
    absent(5, &others, &["patch_status", "replace_status"]);
    let rollout: Vec<File> = rooms(&["controller"])
        .into_iter()
        .filter(|file| !file.path.ends_with("act.rs") && !file.path.ends_with("report.rs"))
        .collect();
    absent(5, &rollout, &[".create(", ".delete("]);
}

#[test]
fn invariant_6_one_clock() {
    let controller = rooms(&["controller"]);
    absent(6, &controller, &["Timestamp::now()", "SystemTime"]);
    let asking: Vec<&str> = controller
        .iter()
        .filter(|file| file.code().contains("Timestamp::now"))
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(asking, ["src/controller/mod.rs"], "ARCHITECTURE.md, invariant 6");
}

#[test]
fn invariant_7_no_conversion_of_errors_in_passing() {
    absent(7, &sources(), &["#[from]"]);
}

#[test]
fn invariant_8_every_reason_is_documented_and_reached() {
    // That a test produces it: `reached.rs`.
    let mut lacking: Vec<String> = Reason::ALL
        .iter()
        .map(|reason| reason.name())
        .filter(|name| !top().join(format!("docs/runbooks/{name}.md")).exists())
        .map(|name| format!("{name}: no docs/runbooks/{name}.md"))
        .collect();
    for page in files("docs/runbooks", ".md") {
        let name = page.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".md").to_owned();
        if name != "README" && !Reason::ALL.iter().any(|reason| reason.name() == name) {
            lacking.push(format!("{}: there is no such reason", page.path));
        }
    }
    assert!(lacking.is_empty(), "ARCHITECTURE.md, invariant 8:\n{}", lacking.join("\n"));
}

#[test]
fn invariant_9_nobody_imports_cli_and_main_decides_nothing() {
    // That no room imports it: `walls/mod.rs`.
    let main = sources().into_iter().find(|file| file.path == "src/main.rs").expect("main.rs");
    absent(9, &[main], &["if ", "match ", "kube", "sqlx"]);
}

#[test]
fn invariant_10_every_file_says_what_lives_in_it_and_is_short() {
    let mut complaints = Vec::new();
    for file in sources().into_iter().chain(files("tests", ".rs")) {
        let lines = file.text.lines().count();
        if lines > 500 {
            complaints.push(format!("{} has {lines} lines", file.path));
        }
        if !file.text.starts_with("//!") {
            complaints.push(format!("{} does not begin with //!", file.path));
        }
        let stem = Path::new(&file.path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = Path::new(&file.path)
            .parent()
            .and_then(Path::file_name)
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if [&stem, &folder]
            .iter()
            .any(|name| ["utils", "util", "helpers", "helper", "common", "misc"].contains(&name.as_str()))
        {
            complaints.push(format!("{} is named after nothing", file.path));
        }
    }
    assert!(complaints.is_empty(), "ARCHITECTURE.md, invariant 10:\n{}", complaints.join("\n"));
}

#[test]
fn invariant_11_what_is_exceptional_in_cargo_toml_says_why() {
    let text = fs::read_to_string(top().join("Cargo.toml")).expect("Cargo.toml");
    let lines: Vec<&str> = text.lines().collect();
    let mut silent = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let exceptional = line.contains("\"=") || line.ends_with("= \"allow\"");
        // A comment speaks for all lines up to the next comment or blank line.
        let explained = lines[..at]
            .iter()
            .rev()
            .take_while(|line| !line.is_empty() && !line.starts_with('['))
            .any(|line| line.starts_with('#'));
        if exceptional && !explained {
            silent.push(format!("line {}: {line}", at + 1));
        }
    }
    assert!(silent.is_empty(), "ARCHITECTURE.md, invariant 11:\n{}", silent.join("\n"));
}

/// `tests/contract/crds.rs` and `cel.rs` compare; here only that both are compiled in.
#[test]
fn invariant_12_what_is_generated_is_compared() {
    let main = fs::read_to_string(PathBuf::from(top()).join("tests/contract/main.rs")).expect("main.rs");
    assert!(main.contains("mod crds;") && main.contains("mod cel;"), "ARCHITECTURE.md, invariant 12");
}

#[test]
fn invariant_13_no_question_leaves_a_prepared_statement_on_the_server() {
    let all: Vec<File> = sources().into_iter().filter(|file| file.path != "src/postgres/query.rs").collect();
    absent(13, &all, &["sqlx::query"]);
}

#[test]
fn invariant_14_one_place_writes_to_standard_output_and_one_logs() {
    let all: Vec<File> = sources()
        .into_iter()
        .filter(|file| !["src/cli/print.rs", "src/telemetry.rs"].contains(&file.path.as_str()))
        .collect();
    absent(
        14,
        &all,
        &[
            "println!",
            "eprint",
            " print!",
            "io::stdout(",
            "io::stderr(",
            "stdout().lock",
            "stderr().lock",
            "dbg!",
        ],
    );
}

#[test]
fn invariant_15_one_place_says_what_may_be_repeated_of_an_error_of_the_server() {
    let all: Vec<File> = sources().into_iter().filter(|file| file.path != "src/postgres/said.rs").collect();
    absent(15, &all, &[".detail()", ".r#where()", ".data_type()"]);
}

#[test]
fn invariant_17_conditions_are_made_from_the_record_and_never_read_back() {
    let (comparing, making) = ("src/plan/transition.rs", "src/plan/status.rs");
    // These read how another object stands, by what it shows everyone.
    let of_others = ["src/plan/order.rs", "src/plan/waiting.rs"];
    let known = |path: &str| path == comparing || path == making || of_others.contains(&path);
    let others: Vec<File> = rooms(&["plan"]).into_iter().filter(|file| !known(&file.path)).collect();
    absent(17, &others, &[".conditions", "last_transition_time"]);
    let making = rooms(&["plan"]).into_iter().find(|file| file.path == making).expect("status.rs");
    absent(17, &[making], &["published"]);
    let read = rooms(&["plan"]).into_iter().find(|file| file.path == comparing).expect("transition.rs");
    assert!(read.code().contains("facts.published.conditions"), "the rule searches for what is there");
    absent(17, &[read], &[".message"]);
}

#[test]
fn invariant_16_sluices_own_statements_look_names_up_in_pg_catalog_alone() {
    let beside = |known: &[&str]| -> Vec<File> {
        sources().into_iter().filter(|file| !known.contains(&file.path.as_str())).collect()
    };
    absent(
        16,
        &beside(&["src/postgres/connect.rs"]),
        &["PgConnection::connect", "PgPool", "PgConnectOptions"],
    );
    // Each of these sets Sluice's own, or says why the team's is needed.
    let known = [
        "src/postgres/mod.rs",
        "src/postgres/connect.rs",
        "src/postgres/startup.rs",
        "src/postgres/session.rs",
        "src/postgres/copy_notes.rs",
        "src/check/mod.rs",
        "src/inspect/trial.rs",
        "src/inspect/column.rs",
        "src/check/index/index_required/catalog.rs",
        "src/probe/attempt.rs",
        "src/probe/sequence.rs",
        // Their subject is the setting of the team's functions and of the attempts.
        "src/check/isolation/rls_function.rs",
        "src/probe/apart.rs",
        // They send nothing: they name the setting that a statement of the team changes.
        "src/sql/transaction.rs",
        "src/lint/portable/session_setting.rs",
    ];
    absent(16, &beside(&known), &["search_path"]);
    let teams = [
        "src/postgres/session.rs",
        "src/stage/refill.rs",
        "src/stage/rehearse/release.rs",
        "src/stage/release.rs",
        "src/stage/step.rs",
    ];
    absent(16, &beside(&teams), &["hand_over"]);
    let session =
        sources().into_iter().find(|file| file.path == "src/postgres/session.rs").expect("session.rs");
    absent(16, &[session], &["pub connection"]);
}
