//! What the files of the platforms say fits together: manifests, migrations, pages.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::platform_stand::{Platform, examples, folders, read};
use crate::platforms::{PLATFORMS, SERVICES};

/// What the examples are meant to show stands in their manifests, and in their READMEs.
#[test]
fn each_kind_of_verification_is_asked_for_by_a_platform_whose_readme_says_so() {
    for (folder, manifest, asked, said) in [
        ("medical-records", "migration.yaml", "    drift: {}", "`drift`"),
        ("medical-records", "migration.yaml", "    every: 6h", "`every: 6h`"),
        ("smartmed", "migration.yaml", "compare: NotLessThanBefore", "`compare`"),
        ("elderly-care", "migration.yaml", "compare: NotLessThanBefore", "`compare`"),
        ("elderly-care", "migration.yaml", "    every: 6h", "`every`"),
        ("global-healthcare", "policy.yaml", "    every: 6h", "`verify.every`"),
        (
            "global-healthcare",
            "services/telehealth/migration.yaml",
            "database: {name: api",
            "`verify.orphans`",
        ),
        ("neonpro", "migration.yaml", "    rowLevelSecurity:", "row-level security"),
    ] {
        let folder = examples().join(folder);
        assert!(
            read(&folder.join(manifest)).contains(asked),
            "{} lacks {asked}",
            folder.join(manifest).display()
        );
        assert!(
            read(&folder.join("README.md")).contains(said),
            "{} does not say {said}",
            folder.join("README.md").display()
        );
    }
}

#[test]
fn every_migration_of_a_platform_is_in_its_config_map_and_the_application_asks_for_one_that_runs() {
    for folder in ["medical-records", "smartmed", "elderly-care", "global-healthcare"] {
        let kustomization = read(&examples().join(folder).join("kustomization.yaml"));
        let app = read(&examples().join(folder).join("app.yaml"));
        let mut known = BTreeSet::new();
        for platform in PLATFORMS.iter().filter(|platform| platform.folder.starts_with(folder)) {
            let within = platform.folder.strip_prefix(folder).expect("its folder").trim_start_matches('/');
            let prefix = if within.is_empty() { String::new() } else { format!("{within}/") };
            for name in folders(&platform.path().join("migrations")) {
                let line = format!("- {name}.sql={prefix}migrations/{name}/migration.sql");
                assert!(
                    kustomization.lines().any(|found| found.trim() == line),
                    "{folder}/kustomization.yaml lacks {line}"
                );
                known.insert(name);
            }
        }
        let asked: Vec<_> = app
            .lines()
            .filter_map(|line| line.trim().strip_prefix("requires.sluice.dev/")?.split_once(": "))
            .collect();
        assert!(
            !asked.is_empty() && asked.iter().all(|(_, name)| known.contains(*name)),
            "{folder}/app.yaml asks for {asked:?}"
        );
    }
}

#[test]
fn names_of_migrations_follow_the_rules_of_their_teams() {
    let verbs = |platform: &Platform| -> &[&str] {
        match platform.folder {
            "smartmed" => &["add", "create", "remove", "change"],
            "medical-records" => &["add", "remove", "update", "rename", "create", "revert"],
            folder if folder.starts_with("global-healthcare") => {
                &["add", "remove", "alter", "create", "drop", "rename", "migrate"]
            }
            _ => &[],
        }
    };
    for platform in PLATFORMS {
        for name in folders(&platform.path().join("migrations")) {
            let (stamp, description) = name.split_once('_').expect("an underscore");
            assert!(
                stamp.len() == 14 && stamp.bytes().all(|byte| byte.is_ascii_digit()),
                "{name}: fourteen digits"
            );
            let snake = description
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            assert!(snake && description.len() < 50, "{name}: snake_case, fewer than 50 characters");
            let (verb, _) = description.split_once('_').unwrap_or((description, ""));
            let verbs = verbs(platform);
            assert!(
                verbs.is_empty()
                    || verbs.contains(&verb)
                    || ["init", "initial_schema"].contains(&description),
                "{name}: {verbs:?}"
            );
        }
    }
}

/// PostgreSQL keeps the lock of ADD CONSTRAINT, which keeps even readers out, until COMMIT. A release of
/// Sluice's is one transaction, and so is a file of Prisma's; so the proof has a file and a transaction of
/// its own, and so has an index that is built beside the writers.
#[test]
fn no_platform_reads_rows_under_the_lock_of_the_constraint_that_it_adds() {
    let mut proofs = 0;
    for platform in PLATFORMS {
        for name in folders(&platform.path().join("migrations")) {
            let sql = read(&platform.path().join("migrations").join(&name).join("migration.sql"));
            let statements: Vec<_> = sql.lines().filter(|line| !line.starts_with("--")).collect();
            let text = statements.join("\n");
            if text.contains("VALIDATE CONSTRAINT") {
                proofs += 1;
                let alone = text.matches(';').count() == 1
                    && sql.lines().any(|line| line == "-- sluice: no-transaction");
                assert!(alone, "{}: {name} validates beside something else", platform.folder);
            }
            let concurrent = text.matches("CONCURRENTLY").count();
            assert!(
                concurrent == 0 || text.matches(';').count() == 1,
                "{}: Prisma cannot run {name}",
                platform.folder
            );
        }
    }
    assert!(proofs >= 7, "{proofs} files that validate were read");
}

#[test]
fn the_eight_services_have_the_positions_of_the_documented_order() {
    for (at, service) in SERVICES.iter().enumerate() {
        let manifest: Value =
            serde_saphyr::from_str(&read(&service.path().join("migration.yaml"))).expect("YAML");
        let name = manifest["metadata"]["name"].as_str().expect("a name").to_owned();
        assert_eq!(manifest["spec"]["before"]["group"], json!({"name": "ghs", "position": at + 1}), "{name}");
        let list = manifest["spec"]["before"]["dependsOn"].as_array().cloned().unwrap_or_default();
        let names: Vec<_> = list.iter().filter_map(|entry| entry["name"].as_str()).collect();
        assert_eq!(names, if at < 2 { vec![] } else { vec!["api"] }, "{name} keeps ids of the API's rows");
    }
}
