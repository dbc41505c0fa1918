//! What `sluice lint` warns of beyond what stops a run. PURE. One file for each rule.
//!
//! The rules of [`CheckId::NotPortableToPrisma`] name every file that Sluice runs and that Prisma's engine
//! refuses or runs differently, because a team that goes back to `prisma migrate deploy` must not find out then.
//! `tests/postgres/portable.rs` holds each rule against Prisma's own engine.

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

use crate::{
    api::{CheckId, Finding, Format, Severity},
    migrations::{FormatRules, SourceTree},
};

/// What is wrong with a file, and where.
struct Objection {
    /// The line of the file, counted from 1.
    line: u32,
    message: String,
    remedy: String,
}

type Rule = fn(&File<'_>) -> Option<Objection>;

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

/// Warnings about a source, in its order. A file that cannot be read has its error already and is left out.
pub fn findings(source: &SourceTree, format: Format) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut temporary = temporary_table::Tables::default();
    let mut settings = session_setting::Leaks::default();
    let goes_back = FormatRules::of(format).is_of_another_tool;
    for migration in source.migrations.iter().filter(|migration| migration.script().is_ok()) {
        let file = File::read(migration);
        if goes_back && migration.phase().is_none() {
            findings.extend(settings.left_to(&file));
            let objections = OF_ONE_FILE.iter().filter_map(|rule| rule(&file));
            findings
                .extend(objections.map(|objection| file.finding(CheckId::NotPortableToPrisma, objection)));
            settings.after(&file);
        }
        findings.extend(temporary.used_in(&file));
        temporary.after(&file);
    }
    if goes_back {
        findings.extend(settings.left_to_prisma());
        findings.extend(phase::rule(source));
        findings.extend(folder_without_script::rule(source));
    }
    findings
}

/// A finding about something that has no line.
fn of_the_source(object: &str, message: String, remedy: &str) -> Finding {
    Finding {
        check: CheckId::NotPortableToPrisma,
        object: object.to_owned(),
        severity: Severity::Warning,
        message,
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::Migration;

    /// `LINE` of each finding about the last of these files, with its message.
    pub(super) fn said(files: &[&str]) -> Vec<String> {
        let migration =
            |(number, sql): (usize, &&str)| Migration::new(format!("{number}_x"), format!("{number}"), *sql);
        let source = SourceTree {
            migrations: files.iter().enumerate().map(migration).collect(),
            ..SourceTree::default()
        };
        findings(&source, Format::Prisma).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_plain_file_is_silent_and_so_is_whatever_else_is_migrated() {
        assert_eq!(
            said(&["CREATE TABLE t (a int);", "BEGIN; ALTER TABLE t ADD COLUMN b int; COMMIT;", ""]),
            Vec::<String>::new()
        );
        let two = Migration::new("1".into(), "1".into(), "CREATE INDEX CONCURRENTLY i ON t (a); VACUUM t;");
        let source = SourceTree { migrations: vec![two], ..SourceTree::default() };
        assert_eq!(findings(&source, Format::Sql), []);
        assert_eq!(findings(&source, Format::Prisma).len(), 1);
    }
}
