//! For a comment on a pull request. PURE.

use super::{Told, text::sum};
use crate::{
    contract::Verdict,
    lint::form::{self, Form},
    report::markdown_text,
    stage::{RehearsedStatement, RelationKind},
    visible::visible,
};

/// The most characters of the schema's changes: a comment has 65,536 at most.
const LONGEST: usize = 40_000;

pub(super) fn page(told: &Told<'_>) -> String {
    let rehearsal = told.rehearsal;
    let mark = if rehearsal.verdict == Verdict::Passed { "✅" } else { "❌" };
    let mut text = format!("### Migrations: {}\n\n", sum(told).trim_end());
    text += &format!("{mark} {}\n", markdown_text(&rehearsal.message));
    if !rehearsal.changes.is_empty() {
        text += &format!("\n#### The schema\n\n{}", changes(told));
    }
    let locking: Vec<&RehearsedStatement> =
        rehearsal.worst_first().into_iter().filter(|statement| !locks(statement).is_empty()).collect();
    if !locking.is_empty() {
        text += "\n#### Existing tables that are locked against writers\n\n| Where | Statement | Locks |\n|---|---|---|\n";
        for statement in locking {
            let place = format!("{}:{}", statement.place.file, statement.place.line);
            let cells =
                [place, statement.place.statement.clone(), locks(statement)].map(|cell| markdown_text(&cell));
            text += &format!("| {} |\n", cells.join(" | "));
        }
    }
    for finding in &rehearsal.findings {
        let line = format!(
            "{:?} {} {}: {}; {}",
            finding.severity, finding.check, finding.object, finding.message, finding.remedy
        );
        text += &format!("\n* {}", markdown_text(&line));
    }
    let objections = form::print(told.remarks, &|_| None, Form::Markdown).unwrap_or_default();
    text + &format!("\n#### Lint\n\n{objections}")
}

/// The changes as a diff that GitHub and GitLab colour. No line of it ends the block.
fn changes(told: &Told<'_>) -> String {
    let mut block = String::new();
    for line in told.rehearsal.changes.iter().flat_map(|change| change.text.lines()) {
        let (sign, rest) = match line.trim_start().split_at_checked(1) {
            Some((sign @ ("+" | "-"), rest)) => (sign, rest),
            _ => (" ", line),
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        let line =
            if sign == " " { format!("  {line}") } else { format!("{sign} {indent}{}", rest.trim_start()) };
        let line = visible(&line).replace("```", "` ` `");
        if block.len() + line.len() > LONGEST {
            block += "  … and more: `sluice diff` in a terminal has all\n";
            break;
        }
        block += &format!("{line}\n");
    }
    format!("```diff\n{block}```\n")
}

fn locks(statement: &RehearsedStatement) -> String {
    let strong =
        statement.locks.iter().filter(|lock| lock.mode.is_strong() && lock.kind != RelationKind::Index);
    strong.map(|lock| format!("{} {}", lock.relation, lock.mode.words())).collect::<Vec<_>>().join(", ")
}
