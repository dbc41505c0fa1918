//! The form for pull requests and wikis. PURE. Every name and every sentence is escaped: none can begin a
//! table, a link or an element.

use super::{CheckVerdict, Consistency, Counts, Isolation, Report, Verdict, count::count, remedy};
use crate::{api::Finding, visible::visible};

/// A text in which nothing means anything to Markdown. A backslash before a punctuation mark makes it a mark.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // Some readers turn addresses and @names into links; an entity in the middle is none.
            ':' => out.push_str("&#58;"),
            '@' => out.push_str("&#64;"),
            '.' | ',' | '(' | ')' | '-' | '/' | '"' | '\'' | ';' | '=' | '%' | '?' => out.push(c),
            c if c.is_ascii_punctuation() => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// Code in a cell of a table, which a pipe would end even there.
pub(super) fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// Code in a sentence, fenced by more backticks than it holds.
pub(super) fn code(text: &str) -> String {
    let text = visible(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let space = if text.is_empty() || text.contains('`') { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

/// Code between two lines of its own: a pipe is a pipe.
fn block(text: &str) -> String {
    let text = visible(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n  {text}\n  {fence}")
}

pub(super) fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

pub(super) fn head(cells: &[&str]) -> String {
    format!("| {} |\n|{}\n", cells.join(" | "), " --- |".repeat(cells.len()))
}

const fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "✅ passed",
        Verdict::Failed => "❌ failed",
    }
}

const fn check_mark(verdict: CheckVerdict) -> &'static str {
    match verdict {
        CheckVerdict::Failed => "❌ failed",
        CheckVerdict::Unknown => "❓ unknown",
        CheckVerdict::Warned => "⚠️ warned",
        CheckVerdict::Passed => "✅ passed",
        CheckVerdict::NotAsked => "not asked",
    }
}

fn counted(counts: Counts) -> String {
    format!(
        "{}, {}, {} for information",
        count(counts.errors, "error"),
        count(counts.warnings, "warning"),
        counts.information
    )
}

/// One report.
pub(super) fn report(report: &Report) -> String {
    let name = format!("{}/{}", plain(&report.namespace), plain(&report.name));
    let mut text = format!("# {name}: {}\n\n{}.\n\n", mark(report.verdict), plain(&report.message));
    let server =
        report.server.as_ref().map(|server| format!(", PostgreSQL {}", plain(server))).unwrap_or_default();
    text.push_str(&format!("- Database: {}{server}\n", code(&report.database)));
    text.push_str(&format!("- Version: {}\n", report.progress(code)));
    text.push_str(&format!("- Inspected: {}, by Sluice {}\n", report.at, plain(&report.sluice)));
    if let Some(tenancy) = &report.tenancy {
        let (column, setting, role) =
            (code(&tenancy.column), code(&tenancy.setting), code(&tenancy.app_role));
        text.push_str(&format!("- Tenants: {column} is {setting}, for the role {role}\n"));
    }
    if let Some(why) = &report.unread {
        text.push_str(&format!("- The schema could not be read: {}\n", plain(why)));
    }
    text.push_str(&format!("\n## Findings\n\n{}.\n", counted(report.counts)));
    text.push_str(&findings(&report.findings));
    text.push_str(&format!(
        "\n## Checks\n\n{}",
        head(&["Check", "Verdict", "Findings", "What must be true"])
    ));
    for check in &report.checks {
        let cells = [
            cell(check.id.name()),
            check_mark(check.verdict).to_owned(),
            check.findings.to_string(),
            plain(&check.title),
        ];
        text.push_str(&row(&cells));
    }
    text.push_str(&tables(report));
    text
}

fn findings(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let severity = format!("{:?}", finding.severity).to_lowercase();
        text.push_str(&format!(
            "\n- **{severity}** {} on {}\n\n",
            code(finding.check.name()),
            code(&finding.object)
        ));
        text.push_str(&format!("  {}\n", plain(&finding.message)));
        let (sql, words) = remedy::parts(&finding.remedy);
        text.extend(
            [sql.map(block), words.map(plain)].into_iter().flatten().map(|part| format!("\n  {part}\n")),
        );
    }
    text
}

fn tables(report: &Report) -> String {
    let Some(schema) = report.schema.as_ref().filter(|schema| !schema.tables.is_empty()) else {
        return String::new();
    };
    let mut text = format!(
        "\n## Tables\n\n{}",
        head(&["Table", "Kind", "Tenants", "Columns", "Indexes", "Policies", "Refers to"])
    );
    for table in &schema.tables {
        let object = table.object();
        let isolation = match table.isolation {
            Isolation::Exposed => "❌ exposed",
            Isolation::Isolated => "✅ isolated",
            Isolation::Unproven => "❔ unproven",
            other => other.word(),
        };
        let mut parents: Vec<&str> = schema
            .relations
            .iter()
            .filter(|relation| relation.from == object)
            .map(|relation| relation.to.as_str())
            .collect();
        parents.sort_unstable();
        parents.dedup();
        let parents: Vec<String> = parents.into_iter().map(cell).collect();
        let numbers =
            [table.columns.len(), table.indexes.len(), table.policies.len()].map(|number| number.to_string());
        let [columns, indexes, policies] = numbers;
        text.push_str(&row(&[
            cell(&object),
            table.kind.word().to_owned(),
            isolation.to_owned(),
            columns,
            indexes,
            policies,
            parents.join(", "),
        ]));
    }
    text
}

/// Several reports.
pub(super) fn consistency(several: &Consistency) -> String {
    let services = count(several.services.len(), "service");
    let mut text = format!("# {services}: {}\n\n{}.\n\n", mark(several.verdict), counted(several.total));
    text.push_str(&head(&["Service", "Verdict", "Version", "Pending", "Errors", "Warnings", "Information"]));
    for service in &several.services {
        let version = service.version.as_deref().map_or_else(|| "none".to_owned(), cell);
        let Counts { errors, warnings, information } = service.counts;
        let mut cells = vec![cell(&service.name), mark(service.verdict).to_owned(), version];
        cells.extend([service.pending, errors, warnings, information].map(|number| number.to_string()));
        text.push_str(&row(&cells));
    }
    let Counts { errors, warnings, information } = several.total;
    let pending: usize = several.services.iter().map(|service| service.pending).sum();
    let mut sum = vec!["**Sum**".to_owned(), mark(several.verdict).to_owned(), String::new()];
    sum.extend([pending, errors, warnings, information].map(|number| number.to_string()));
    text.push_str(&row(&sum));

    let names: Vec<String> = several.services.iter().map(|service| cell(&service.name)).collect();
    let columns: Vec<&str> = std::iter::once("Aspect").chain(names.iter().map(String::as_str)).collect();
    text.push_str(&format!("\n## Aspects\n\n{}", head(&columns)));
    for aspect in &several.aspects {
        let verdicts = aspect.services.iter().map(|verdict| check_mark(*verdict).to_owned());
        text.push_str(&row(&std::iter::once(plain(&aspect.aspect)).chain(verdicts).collect::<Vec<_>>()));
    }
    for (_, report) in several.worst_first() {
        text.push_str(&format!("\n## {}/{}\n", plain(&report.namespace), plain(&report.name)));
        text.push_str(&findings(&report.findings));
    }
    text
}
