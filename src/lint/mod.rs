//! What is to be said of migrations before they run, beyond what stops a run anyway. PURE. One file for each
//! rule; `rules.yaml` has the words and the kind of each, and so how much it weighs.
//!
//! `safety` is about those who use the database meanwhile, `portable` about what Prisma's engine refuses or runs
//! differently. `form` prints what was said.

mod edited;
pub mod form;
mod judge;
mod name;
mod objection;
mod portable;
mod remark;
mod rule;
mod safety;
mod tables;
mod waiver;

use std::{io, thread};

pub use edited::Before;
use judge::Judge;
use objection::{About, Objection, Said, line};
pub use remark::{Class, Effort, Place, Remark, class, effort};
pub use rule::{Kind, Rule, Weights, all, find};
pub use safety::required_columns;
pub use tables::{Column, Large, Place as TablePlace, Size, Tables};

pub use crate::api::{LintPreset as Preset, LintWeight as Weight};
use crate::{
    api::Format,
    migrations::{Migration, SourceError, SourceTree},
};

/// What is to be said of these migrations of a source, which are a release together; and where the release is
/// the whole source, of what else lies there. `before` is how its files differ from those of a commit.
///
/// # Errors
/// There is no thread for it.
pub fn remarks(
    source: &SourceTree,
    format: Format,
    release: &[&Migration],
    tables: &Tables,
    weights: &Weights,
    before: &Before,
) -> io::Result<Vec<Remark>> {
    let read = || {
        let matters = |id: &str| find(id).is_some_and(|rule| weights.of(rule) > Weight::Off);
        let safety = safety::read(source, release, tables, matters);
        let unreadable = release
            .iter()
            .filter_map(|migration| Objection::unreadable(migration, migration.script().err()?));
        let whole = release.len() == source.migrations.len();
        let stray = source.findings.iter().filter_map(Objection::stray);
        let beside = stray
            .chain(portable::objections(source, format))
            .filter(|objection| whole || matches!(objection.about, About::Place(..)));
        Judge { release, tables, weights }
            .remarks(unreadable.chain(beside).chain(safety).chain(before.objections(release)).collect())
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(safety::STACK).spawn_scoped(scope, read);
        let thread = thread.map_err(|error| {
            io::Error::other(format!(
                "no thread for the parser of lint: {error}; it needs {} MiB of address space and one more process: \
                    raise the limits (ulimit -v, ulimit -u, or pids of the container)",
                safety::STACK >> 20
            ))
        })?;
        thread.join().map_err(|_| {
            io::Error::other(
                "the parser of lint failed on a file of the release, which is a bug: report it with the file that \
                    `sluice lint` fails on alone",
            )
        })
    })
}

/// What is to be said of a source that cannot be read at all.
pub fn unreadable(source: &str, error: &SourceError) -> Vec<Remark> {
    let (tables, weights) = (Tables::default(), Weights::default());
    let judge = Judge { release: &[], tables: &tables, weights: &weights };
    let remedy = "correct the source: as it is, Sluice runs nothing of it".to_owned();
    let about = About::Source(source.to_owned());
    judge.remarks(Objection::in_words("unreadable", about, error.to_string(), remedy).into_iter().collect())
}

/// That a file of a source fails when it runs, at a line counted from 1.
pub fn fails(migration: &Migration, at: u32, message: String) -> Vec<Remark> {
    let (tables, weights) = (Tables::default(), Weights::default());
    let judge = Judge { release: &[migration], tables: &tables, weights: &weights };
    let about = About::Place(migration, line(&migration.sql, at));
    let remedy = "correct the statement: what it needs is not there, or not as it has to be".to_owned();
    judge.remarks(Objection::in_words("unreadable", about, message, remedy).into_iter().collect())
}

#[cfg(test)]
fn said(files: &[&str], tables: &Tables, preset: Preset) -> Vec<(String, Weight, Option<String>)> {
    let migrations: Vec<Migration> = files
        .iter()
        .enumerate()
        .map(|(at, sql)| Migration::new(format!("{at}_m"), format!("{at}_m/migration.sql"), *sql))
        .collect();
    let source = SourceTree { migrations, ..SourceTree::default() };
    let release: Vec<&Migration> = source.migrations.iter().collect();
    remarks(
        &source,
        Format::Sql,
        &release,
        tables,
        &Weights { preset, ..Weights::default() },
        &Before::default(),
    )
    .expect("there are threads")
    .into_iter()
    .map(|remark| (remark.rule.id.clone(), remark.weight, remark.waived))
    .collect()
}

/// How often a rule objects to a release.
#[cfg(test)]
fn times(rule: &str, files: &[&str]) -> usize {
    said(files, &Tables::default(), Preset::Standard).iter().filter(|(id, ..)| id == rule).count()
}
