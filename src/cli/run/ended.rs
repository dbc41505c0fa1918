//! How a run ended, for a person: what failed once, with its place in the file, and how the object stands.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::{
    api::{DatabaseMigrationStatus, Failure, Finding, FindingCounts, Reason, Severity, keep},
    contract::{Outcome, Verdict},
    lint::form::excerpt,
    migrations::SourceTree,
    visible::visible,
};

/// So many findings are printed, and every error.
const LISTED: usize = 20;

/// A stage that has ended, in a line. What a failed one says stands below, with its place.
pub(super) fn stage(outcome: &Outcome) -> String {
    let message = if outcome.verdict == Verdict::Passed { outcome.message.as_str() } else { "" };
    let (reason, took) = (outcome.reason.name(), outcome.milliseconds);
    let line = format!("{:<9} {reason:<18} {took:>6} ms  {message}", outcome.stage.name());
    line.trim_end().to_owned() + "\n"
}

/// What failed: the message, the place in the file, what is left in the database and what to do.
pub(super) fn failure(outcome: &Outcome, source: Option<&SourceTree>, coloured: bool) -> String {
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    let whole = || {
        let message = visible(&outcome.message);
        Group::with_title(Level::ERROR.primary_title(message).id(outcome.reason.name()))
    };
    let failed = outcome.failure.as_ref().map(|failed| at_its_place(outcome.reason, failed, source));
    let group = failed.unwrap_or_else(whole);
    format!("\n{}\n", renderer.render(&[group]))
}

fn at_its_place<'a>(reason: Reason, failed: &Failure, source: Option<&SourceTree>) -> Group<'a> {
    let code =
        if failed.sqlstate.is_empty() { String::new() } else { format!(" (SQLSTATE {})", failed.sqlstate) };
    let title = Level::ERROR.primary_title(visible(&format!("{}{code}", failed.message))).id(reason.name());
    let found = source.and_then(|source| source.migrations.iter().find(|it| it.file == failed.file));
    let place = found.and_then(|migration| place(failed, &migration.sql));
    let left = Level::NOTE.message(visible(&failed.left));
    let Some((line, span)) = place else {
        let at = format!("{}:{}, in: {}", failed.file, failed.line, failed.statement);
        return title.element(Level::NOTE.message(visible(&at))).element(left);
    };
    let snippet = Snippet::source(line)
        .path(visible(&failed.file))
        .line_start(failed.line as usize)
        .annotation(AnnotationKind::Primary.span(span));
    title.element(snippet).element(left)
}

/// The line of the file as it may be shown, and where in it the error is: the character that PostgreSQL names,
/// or the whole line.
fn place(failed: &Failure, sql: &str) -> Option<(String, std::ops::Range<usize>)> {
    let line = (failed.line as usize).checked_sub(1)?;
    let begins: usize = sql.split_inclusive('\n').take(line).map(str::len).sum();
    let text = sql.get(begins..)?.lines().next()?;
    let span = match failed.column {
        Some(column) => {
            let at =
                text.char_indices().nth((column as usize).checked_sub(1)?).map_or(text.len(), |(at, _)| at);
            let word = text[at..].find(|c: char| !is_word(c)).unwrap_or(text.len() - at);
            at..at + word.max(1)
        }
        None => text.len() - text.trim_start().len()..text.trim_end().len(),
    };
    Some(excerpt(sql, &(begins + span.start..begins + span.end)))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How the object stands: each condition, with its message where that was not said before.
pub(super) fn conditions(status: &DatabaseMigrationStatus, said: &[Outcome]) -> String {
    let mut said: Vec<&str> = said.iter().map(|outcome| outcome.message.as_str()).collect();
    let mut text = "\n".to_owned();
    for condition in &status.conditions {
        // That it is Ready, and at which version, is the answer.
        let answers = condition.type_ == "Ready" && condition.status == "True";
        let mut before = said.iter().filter(|_| !answers);
        let known = before.find_map(|known| condition.message.strip_prefix(known));
        // What is added to a message that was said stands in parentheses behind it.
        let message = match known {
            Some(rest) => rest.trim().trim_start_matches('(').trim_end_matches(')'),
            None => &condition.message,
        };
        let message = visible(message);
        let line =
            format!("{:<13} {:<7} {:<20} {message}", condition.type_, condition.status, condition.reason);
        text += line.trim_end();
        text.push('\n');
        said.push(&condition.message);
    }
    text + &listed(&status.findings)
}

/// Every error, and of the rest so many that the last page of a terminal is enough; what is left out is
/// counted.
fn listed(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let shown = keep(findings.to_vec(), LISTED.max(errors));
    let mut text: String = shown.iter().map(|finding| describe(finding) + "\n").collect();
    let left_out = FindingCounts::of(findings.iter().filter(|finding| !shown.contains(finding)));
    if left_out.all() > 0 {
        let checks: Vec<String> =
            left_out.checks.iter().map(|counted| format!("{} {}", counted.check, counted.count)).collect();
        text += &visible(&format!(
            "and {} more: {}; `sluice verify` prints all",
            left_out.all(),
            checks.join(", ")
        ));
        text.push('\n');
    }
    text
}

fn describe(finding: &Finding) -> String {
    visible(&format!(
        "{:?} {} {}: {}; {}",
        finding.severity, finding.check, finding.object, finding.message, finding.remedy
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CheckId;

    fn of(check: &CheckId, severity: Severity, count: usize) -> Vec<Finding> {
        let text = |n: usize| format!("public.table_{n:03}");
        let finding = |n| Finding {
            check: check.clone(),
            object: text(n),
            severity,
            message: "m".into(),
            remedy: "r".into(),
        };
        (0..count).map(finding).collect()
    }

    #[test]
    fn of_many_findings_each_check_is_shown_and_what_is_left_out_is_counted() {
        let warnings = [
            of(&CheckId::ForeignKeyIndexed, Severity::Warning, 60),
            of(&CheckId::IndexRedundant, Severity::Warning, 73),
        ]
        .concat();
        let text = listed(&warnings);
        let shown = |check: CheckId| {
            text.lines().filter(|line| line.starts_with(&format!("Warning {check} "))).count()
        };
        assert_eq!(
            (shown(CheckId::ForeignKeyIndexed), shown(CheckId::IndexRedundant), text.lines().count()),
            (10, 10, 21),
            "{text}"
        );
        let last = text.lines().last();
        assert_eq!(
            last,
            Some("and 113 more: index-redundant 63, foreign-key-indexed 50; `sluice verify` prints all")
        );
    }

    #[test]
    fn every_error_is_shown_and_a_short_list_says_nothing_of_others() {
        let text = listed(
            &[
                of(&CheckId::RlsEnabled, Severity::Error, 30),
                of(&CheckId::IndexRedundant, Severity::Warning, 1),
            ]
            .concat(),
        );
        assert_eq!(text.lines().count(), 31, "{text}");
        assert!(text.ends_with("and 1 more: index-redundant 1; `sluice verify` prints all\n"), "{text}");
        assert_eq!(listed(&of(&CheckId::IndexRedundant, Severity::Warning, 2)).lines().count(), 2);
    }
}
