//! Lint of the five platforms of `deploy/examples`: as they stand, and migration by migration.

use std::{fs, path::Path};

use serde_json::Value;
use sluice::{
    api::{CheckId, Finding, Format, Severity},
    lint::{self, Large, Preset, Size, Tables, Weight, Weights, form::Form},
    migrations::{Migration, SourceTree, load},
};

/// Every folder of migrations of the examples.
fn sources(folder: &Path, found: &mut Vec<(String, SourceTree)>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten().filter(|entry| entry.path().is_dir()) {
        let path = entry.path();
        if entry.file_name() == "migrations" {
            let source =
                load(Format::Prisma, &path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.push((path.display().to_string(), source));
        } else {
            sources(&path, found);
        }
    }
}

/// What weighs Fail with Standard: `FILE RULE`.
fn fails(source: &SourceTree, at: std::ops::Range<usize>, tables: &Tables) -> Vec<String> {
    let release: Vec<_> = source.migrations[at].iter().collect();
    let weights = Weights { preset: Preset::Standard, ..Weights::default() };
    let remarks = lint::remarks(source, Format::Prisma, &release, tables, &weights, &lint::Before::default())
        .expect("there are threads");
    let fails = remarks.iter().filter(|remark| remark.weight == Weight::Fail);
    fails
        .map(|remark| format!("{} {}", remark.place.as_ref().map_or("", |place| &place.file), remark.rule.id))
        .collect()
}

/// The tables of a platform, each as small as the rows of its example.
fn small(source: &SourceTree) -> Tables {
    let words = source.migrations.iter().flat_map(|migration| migration.sql.split([' ', '(', ';', '\n']));
    let names: Vec<String> = words.map(|word| word.replace('"', "")).collect();
    let places = names.iter().map(|name| match name.split_once('.') {
        Some((schema, name)) => (schema.to_owned(), name.to_owned()),
        None => ("public".to_owned(), name.clone()),
    });
    Tables::of(places.map(|place| (place, Size { rows: 100, bytes: 1 << 16 })), "public", Large::default())
}

#[test]
fn nothing_in_the_five_platforms_fails_and_on_large_tables_what_their_files_say_does() {
    let mut all = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples"), &mut all);
    assert_eq!(all.len(), 12, "databases of the five platforms");
    let (none, mut large) = (Tables::default(), Vec::new());
    for (folder, source) in &all {
        assert_eq!(fails(source, 0..source.migrations.len(), &none), [""; 0], "{folder}, as one release");
        let small = small(source);
        for at in 0..source.migrations.len() {
            assert_eq!(fails(source, at..at + 1, &small), [""; 0], "{folder}, by the size of its tables");
            large.extend(fails(source, at..at + 1, &none));
        }
    }
    large.sort();
    let expected = [
        "20240216140000_add_patient_preferred_name/migration.sql require-concurrent-index-creation",
        "20240219110000_add_transcription_status/migration.sql require-concurrent-index-creation",
        "20260107090100_change_missing_phones_to_empty/migration.sql unbatched-change",
    ];
    assert_eq!(large, expected, "where every table is large");
}

/// A release with a remark of each kind: with a place, waived, needing an approval, and about no file.
fn printed(form: Form) -> String {
    let sql = "CREATE INDEX i ON visits (day);\n-- sluice: allow ban-drop-column reason=\"unused \u{2013} since 2.3\"\n\
        ALTER TABLE visits DROP COLUMN note;\nDROP TABLE \"Odd \u{1b} name\";\nROLLBACK TO x;";
    let migrations = ["1_a", "2_b"].map(|name| {
        let sql = if name == "1_a" { sql.replace("ROLLBACK TO x;", "") } else { sql.to_owned() };
        Migration::new(name.to_owned(), format!("{name}/migration.sql"), sql)
    });
    let stray = Finding {
        check: CheckId::StrayEntry,
        object: "loose.sql".to_owned(),
        severity: Severity::Warning,
        message: "it is no migration".to_owned(),
        remedy: "move it".to_owned(),
    };
    let source = SourceTree { migrations: migrations.into(), findings: vec![stray], ..SourceTree::default() };
    let release: Vec<_> = source.migrations.iter().collect();
    let weights = Weights { preset: Preset::Standard, ..Weights::default() };
    let remarks = lint::remarks(
        &source,
        Format::Prisma,
        &release,
        &Tables::default(),
        &weights,
        &lint::Before::default(),
    )
    .expect("there are threads");
    lint::form::print(&remarks, &|_| None, form).expect("prints")
}

#[test]
fn sarif_keeps_to_its_schema() {
    let mut schema: Value = serde_json::from_str(include_str!("sarif/sarif-2.1.0.json")).expect("JSON");
    // Its pattern of a language has a bracket too many, and lint says no language.
    for of in ["run", "toolComponent"] {
        let language =
            schema.pointer_mut(&format!("/definitions/{of}/properties/language")).expect("is there");
        language.as_object_mut().expect("an object").remove("pattern");
    }
    let judge = jsonschema::validator_for(&schema).expect("a schema");
    let document: Value = serde_json::from_str(&printed(Form::Sarif)).expect("JSON");
    let faults: Vec<String> =
        judge.iter_errors(&document).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert_eq!(faults, [""; 0], "{document:#}");
    let results = document["runs"][0]["results"].as_array().expect("results");
    let levels: Vec<&str> = results.iter().filter_map(|result| result["level"].as_str()).collect();
    assert!(["error", "warning", "note"].iter().all(|level| levels.contains(level)), "{levels:?}");
    // The controls: what the schema forbids is found.
    let broken = |pointer: &str, value: Value| {
        let mut document = document.clone();
        *document.pointer_mut(pointer).expect("is there") = value;
        !judge.is_valid(&document)
    };
    assert!(broken("/runs/0/results/0/level", "fatal".into()));
    assert!(broken("/runs/0/results/0/message", serde_json::json!({})));
    assert!(broken("/version", "2.2.0".into()));
}
