//! Where source and history do not tell the same story: one finding for each difference, as bad as
//! `spec.migrations.history` says. PURE.

use super::{
    HistoryRow, Migration, Rules,
    checksum::{self, Match},
    phase_of, words,
};
use crate::api::{CheckId, EditedMigrations, Finding, History, LateMigrations, MissingMigrations, Severity};

/// How many names a finding spells out.
const NAMED: usize = 10;

fn finding(
    check: CheckId,
    object: &str,
    severity: Severity,
    message: String,
    remedy: impl Into<String>,
) -> Finding {
    Finding { check, object: object.to_owned(), severity, message, remedy: remedy.into() }
}

/// The entry of the manifest that accepts a migration as it is.
fn entry(name: &str) -> String {
    format!("add to spec.migrations.history.accept: {{name: {name}, reason: \"…\"}}")
}

/// An applied migration whose file is not, byte for byte, the one that was applied.
pub(super) fn edited(migration: &Migration, row: &HistoryRow, rules: &Rules<'_>) -> Option<Finding> {
    let (name, history) = (&row.name, rules.history);
    match checksum::compare(&migration.sql, &migration.checksum, &row.checksum) {
        Match::Exact => return None,
        Match::LineEndings => {
            return Some(finding(
                CheckId::LineEndings,
                name,
                Severity::Information,
                format!("{name:?} has other line endings than when it was applied"),
                "nothing to do; a .gitattributes file with `*.sql text eol=lf` keeps them equal",
            ));
        }
        Match::Different => {}
    }
    if rules.texts.get(&row.checksum).is_some_and(|text| words::are_the_same(text, &migration.sql)) {
        let message = format!("{name:?} was edited after it was applied, in comments and blanks only");
        return Some(finding(
            CheckId::EditedMigration,
            name,
            Severity::Information,
            message,
            "nothing to do: it says the same as then",
        ));
    }
    let message = format!(
        "{name:?} was edited after it was applied: the history has {}, the source {}",
        row.checksum, migration.checksum
    );
    if let Some(reason) = history.accepted(name) {
        let message = format!("{message}; spec.migrations.history.accept accepts it: {reason}");
        return Some(finding(
            CheckId::EditedMigration,
            name,
            Severity::Information,
            message,
            "nothing to do",
        ));
    }
    let remedy = "restore the file as it was applied and put the change into a new migration";
    Some(match history.edited {
        EditedMigrations::Warn => finding(CheckId::EditedMigration, name, Severity::Warning, message, remedy),
        EditedMigrations::Refuse => finding(
            CheckId::EditedMigration,
            name,
            Severity::Error,
            message,
            format!(
                "{remedy}; or, if the database is right as it is, {}, or let edited files pass: \
                    spec.migrations.history.edited: Warn",
                entry(name)
            ),
        ),
    })
}

/// A pending migration that sorts before an applied one.
pub(super) fn late(name: &str, newer: &str, history: &History) -> Finding {
    let message = format!("{name:?} is pending but older than {newer:?}, which is applied");
    match history.late {
        LateMigrations::Apply => finding(
            CheckId::OutOfOrder,
            name,
            Severity::Warning,
            format!(
                "{message}: Sluice applies it now, so this database runs them in another order than an empty \
                    one"
            ),
            "nothing to do where the two do not depend on each other; spec.migrations.history.late: Refuse \
                stops instead",
        ),
        LateMigrations::Refuse => finding(
            CheckId::OutOfOrder,
            name,
            Severity::Error,
            message,
            "give it a name later than every applied one, or let it be applied as it is: \
                spec.migrations.history.late: Apply",
        ),
    }
}

/// An applied migration that the source lacks, as the manifest accepts.
pub(super) fn missing_and_accepted(name: &str, history: &History) -> Finding {
    let reason = history.accepted(name).unwrap_or_default();
    let message = format!(
        "{name:?} is applied but missing from the source; spec.migrations.history.accept accepts it: {reason}"
    );
    finding(CheckId::MissingMigration, name, Severity::Information, message, "nothing to do")
}

/// Applied migrations that the source lacks, in the middle of its history. What is let through is one
/// finding, what is refused is one each.
pub(super) fn missing(names: &[&str], history: &History) -> Vec<Finding> {
    let refused = |name: &&str| history.missing == MissingMigrations::Refuse || phase_of(name).is_some();
    let (refused, told): (Vec<&str>, Vec<&str>) = names.iter().copied().partition(|name| refused(name));
    let mut findings: Vec<Finding> = refused
        .into_iter()
        .map(|name| {
            let remedy = match phase_of(name) {
                None => "restore its folder, or let it be missing: spec.migrations.history.missing: Warn"
                    .to_owned(),
                Some(_) => {
                    format!("restore its file, and its phase in spec.migrations.phases; or {}", entry(name))
                }
            };
            let message = format!("{name:?} is applied but missing from the source");
            finding(CheckId::MissingMigration, name, Severity::Error, message, remedy)
        })
        .collect();
    if let Some(last) = told.last() {
        let verb = if told.len() == 1 { "is" } else { "are" };
        let message = format!(
            "{} {verb} applied but missing from the source: an empty database gets another schema than this \
                one",
            listed(&told)
        );
        findings.push(finding(
            CheckId::MissingMigration,
            last,
            Severity::Warning,
            message,
            "restore what was deleted; applied migrations stay in the source",
        ));
    }
    findings
}

/// The source is an older release than the database.
pub(super) fn ahead(names: &[String]) -> Finding {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let message = format!("the database is ahead of the source by {}", listed(&names));
    let remedy = "nothing to do after a revert: what is applied stays applied; the next release that has \
        them goes on from there";
    finding(
        CheckId::MissingMigration,
        names.last().copied().unwrap_or_default(),
        Severity::Information,
        message,
        remedy,
    )
}

/// Not one applied migration is in the source: this is the history of something else.
pub(super) fn nothing_in_common(applied: &[String]) -> Finding {
    let applied: Vec<&str> =
        applied.iter().map(String::as_str).filter(|name| phase_of(name).is_none()).collect();
    let newest = applied.last().copied().unwrap_or_default();
    let message = format!(
        "none of the {} applied migrations is in the source; the last one is {newest:?}",
        applied.len()
    );
    let remedy = "check spec.migrations and the database's URL, since one of them belongs to something else; \
        after a squash, record the \
                  new migration first, as `prisma migrate resolve --applied NAME` does";
    finding(CheckId::MissingMigration, newest, Severity::Error, message, remedy)
}

/// A row that was begun, by another tool, and did not end.
pub(super) fn failed(row: &HistoryRow) -> Finding {
    let name = &row.name;
    let message =
        format!("{name:?} began {} and did not finish, by another tool than Sluice", row.started_at);
    let remedy = format!(
        "find out whether its statements are there, then add to spec.migrations.resolve: {{name: {name}, as: \
            Applied}} or {{name: {name}, as: RolledBack}}"
    );
    finding(CheckId::FailedMigration, name, Severity::Error, message, remedy)
}

/// Names in quotes, the newest ones where there are many.
pub fn listed(names: &[&str]) -> String {
    let quoted = |names: &[&str]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{} and {more} more", quoted(&names[more..])),
        _ => quoted(names),
    }
}
