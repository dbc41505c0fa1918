//! Lint of the five platforms of `deploy/examples`: as they stand, and migration by migration.

use std::{fs, path::Path};

use sluice::{
    api::Format,
    lint::{self, Large, Preset, Size, Tables, Weight, Weights},
    migrations::{SourceTree, load},
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
    let remarks =
        lint::remarks(source, Format::Prisma, &release, tables, &weights).expect("there are threads");
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
