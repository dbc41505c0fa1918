//! Every file that Sluice runs and that Prisma's engine refuses or runs differently, because a team that goes back to
//! `prisma migrate deploy` must not find out then. PURE. `tests/postgres/portable.rs` holds each rule against
//! Prisma's own engine. One file for each rule.

mod file;
mod folder_without_script;
mod isolation_level;
mod new_enum_value;
mod no_transaction;
mod open_transaction;
mod outside_a_transaction;
mod phase;
mod read_only;
mod session_setting;
mod temporary_table;
mod transaction_needed;

use file::File;
pub(super) use new_enum_value::stands_in;

use super::objection::{About, Objection, line as line_of};
use crate::{
    api::Format,
    migrations::{FormatRules, SourceTree},
};

const NOT_PORTABLE: &str = "not-portable-to-prisma";

/// What is wrong with a file, and where.
struct Fault {
    /// The line of the file, counted from 1.
    line: u32,
    message: String,
    remedy: String,
}

type Rule = fn(&File<'_>) -> Option<Fault>;

/// Rules that read one file: each says the first thing that it objects to.
const OF_ONE_FILE: [Rule; 7] = [
    outside_a_transaction::rule,
    new_enum_value::rule,
    transaction_needed::rule,
    isolation_level::rule,
    read_only::rule,
    open_transaction::rule,
    no_transaction::rule,
];

/// What these rules object to in a source, in its order. A file that cannot run is left out.
pub(super) fn objections(source: &SourceTree, format: Format) -> Vec<Objection<'_>> {
    let mut objections = Vec::new();
    let mut temporary = temporary_table::Tables::default();
    let mut settings = session_setting::Leaks::default();
    let goes_back = FormatRules::of(format).is_of_another_tool;
    for migration in source.migrations.iter().filter(|migration| migration.script().is_ok()) {
        let file = File::read(migration);
        if goes_back && migration.phase().is_none() {
            objections.extend(settings.left_to(&file));
            let faults = OF_ONE_FILE.iter().filter_map(|rule| rule(&file));
            objections.extend(faults.filter_map(|fault| file.objection(NOT_PORTABLE, fault)));
            settings.after(&file);
        }
        objections.extend(temporary.used_in(&file));
        temporary.after(&file);
    }
    if goes_back {
        objections.extend(settings.left_to_prisma());
        objections.extend(phase::rule(source));
        objections.extend(folder_without_script::rule(source));
    }
    objections
}

/// An objection to what has no line.
fn beside(object: &str, message: String, remedy: &str) -> Option<Objection<'static>> {
    Objection::in_words(NOT_PORTABLE, About::Source(object.to_owned()), message, remedy.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::Migration;

    /// `FILE:LINE: MESSAGE` of each objection.
    pub(super) fn said(files: &[&str]) -> Vec<String> {
        let migration =
            |(number, sql): (usize, &&str)| Migration::new(format!("{number}_x"), format!("{number}"), *sql);
        let source = SourceTree {
            migrations: files.iter().enumerate().map(migration).collect(),
            ..SourceTree::default()
        };
        let said = |objection: Objection<'_>| {
            let message = objection.said.map(|said| said.message).unwrap_or_default();
            match objection.about {
                About::Place(migration, place) => {
                    let line = migration.sql[..place.start].matches('\n').count() + 1;
                    format!("{}:{line}: {message}", migration.file)
                }
                About::Source(object) => format!("{object}: {message}"),
            }
        };
        objections(&source, Format::Prisma).into_iter().map(said).collect()
    }

    #[test]
    fn a_plain_file_is_silent_and_so_is_whatever_else_is_migrated() {
        assert_eq!(
            said(&["CREATE TABLE t (a int);", "BEGIN; ALTER TABLE t ADD COLUMN b int; COMMIT;", ""]),
            Vec::<String>::new()
        );
        let two = Migration::new("1".into(), "1".into(), "CREATE INDEX CONCURRENTLY i ON t (a); VACUUM t;");
        let source = SourceTree { migrations: vec![two], ..SourceTree::default() };
        assert!(objections(&source, Format::Sql).is_empty());
        assert_eq!(objections(&source, Format::Prisma).len(), 1);
    }
}
