//! What `docs/patterns` recommends is what lint has nothing to say against, on a table of any size; and what it warns
//! of, lint finds.

use std::{collections::BTreeMap, fs};

use sluice::{
    api::Format,
    lint::{self, Before, Preset, Tables, Weight, Weights},
    migrations::{Migration, SourceTree},
};

const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/patterns");

/// The SQL of each page: by hand, and by Sluice.
fn pages() -> BTreeMap<String, (Vec<String>, Vec<String>)> {
    let pages = fs::read_dir(PAGES).expect("docs/patterns").flatten();
    let read = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).expect("a page");
        let (by_hand, by_sluice) = text.split_once("## By Sluice")?;
        Some((entry.file_name().to_string_lossy().into_owned(), (blocks(by_hand), blocks(by_sluice))))
    };
    pages.filter_map(read).collect()
}

fn blocks(text: &str) -> Vec<String> {
    text.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

/// The rules by which Standard stops these files as one release.
fn fails(files: &[String]) -> Vec<String> {
    let migration = |(at, sql): (usize, &String)| {
        Migration::new(format!("{at}_file"), format!("{at}_file/migration.sql"), sql.as_str())
    };
    let migrations = files.iter().enumerate().map(migration).collect();
    let source = SourceTree { migrations, ..SourceTree::default() };
    let release: Vec<&Migration> = source.migrations.iter().collect();
    let weights = Weights { preset: Preset::Standard, ..Weights::default() };
    let remarks =
        lint::remarks(&source, Format::Prisma, &release, &Tables::default(), &weights, &Before::default());
    let remarks = remarks.expect("there are threads");
    let fails = remarks.iter().filter(|remark| remark.weight == Weight::Fail);
    fails.map(|remark| remark.rule.id.clone()).collect()
}

#[test]
fn what_a_pattern_recommends_lint_lets_pass_and_what_it_warns_of_lint_stops() {
    let pages = pages();
    assert!(pages.len() >= 7, "{:?}", pages.keys());
    let mut stopped = 0;
    for (page, (by_hand, by_sluice)) in &pages {
        assert_eq!(fails(by_sluice), [""; 0], "{page}");
        stopped += usize::from(!fails(by_hand).is_empty());
    }
    assert!(stopped >= 4, "only {stopped} pages have SQL by hand that lint stops");
}
