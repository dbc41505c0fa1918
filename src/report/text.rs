//! The form for a terminal or a log: aligned, and coloured where the reader can see colours. PURE.

use comfy_table::{ContentArrangement, Table as Grid, presets};

use super::{
    CheckResult, CheckVerdict, Consistency, Counts, Isolation, Report, Table, Verdict, count::count,
};
use crate::{
    api::{Finding, Severity},
    visible::visible,
};

/// How a line looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Careful,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\u{1b}[1m",
            Self::Dim => "\u{1b}[2m",
            Self::Good => "\u{1b}[32m",
            Self::Bad => "\u{1b}[1;31m",
            Self::Careful => "\u{1b}[33m",
        }
    }

    const fn of_severity(severity: Severity) -> Self {
        match severity {
            Severity::Error => Self::Bad,
            Severity::Warning => Self::Careful,
            Severity::Information => Self::Dim,
        }
    }

    const fn of_check(verdict: CheckVerdict) -> (Self, &'static str) {
        match verdict {
            CheckVerdict::Failed => (Self::Bad, "✗"),
            CheckVerdict::Unknown => (Self::Bad, "?"),
            CheckVerdict::Warned => (Self::Careful, "!"),
            CheckVerdict::Passed => (Self::Good, "✓"),
            CheckVerdict::NotAsked => (Self::Dim, "–"),
        }
    }

    pub(super) const fn of_verdict(verdict: Verdict) -> (Self, &'static str) {
        match verdict {
            Verdict::Passed => (Self::Good, "✓"),
            Verdict::Failed => (Self::Bad, "✗"),
        }
    }

    const fn of_isolation(isolation: Isolation) -> (Self, &'static str) {
        match isolation {
            Isolation::Isolated => (Self::Good, "✓"),
            Isolation::Exposed => (Self::Bad, "✗"),
            Isolation::Unknown => (Self::Bad, "?"),
            Isolation::Unproven => (Self::Careful, "?"),
            Isolation::Excepted => (Self::Careful, "–"),
            Isolation::Shared | Isolation::NotAsked => (Self::Plain, "·"),
        }
    }
}

/// Lines, some of them coloured.
pub(super) struct Page {
    pub(super) text: String,
    pub(super) coloured: bool,
}

impl Page {
    pub(super) fn line(&mut self, style: Style, text: &str) {
        let text = text.trim_end();
        if self.coloured && style != Style::Plain && !text.is_empty() {
            self.text.push_str(&format!("{}{text}\u{1b}[0m\n", style.code()));
        } else {
            self.text.push_str(&format!("{text}\n"));
        }
    }

    pub(super) fn heading(&mut self, text: &str) {
        self.line(Style::Plain, "");
        self.line(Style::Bold, text);
    }

    /// Rows whose columns stand below each other. A row is one line, so that a style fits.
    pub(super) fn grid(&mut self, rows: Vec<(Style, Vec<String>)>) {
        let mut grid = Grid::new();
        grid.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        let (styles, cells): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        grid.add_rows(cells);
        let lines: Vec<String> = grid.lines().collect();
        for (style, line) in styles.into_iter().zip(lines) {
            self.line(style, &format!(" {line}"));
        }
    }
}

/// What is said where rows are left out that are as they should be.
const LISTED_BY_ALL: &str = " (--all lists them)";

/// One report; all of it, or what a person has to look at and how much else there is.
pub(super) fn report(report: &Report, coloured: bool, all: bool) -> String {
    let mut page = Page { text: String::new(), coloured };
    let (style, mark) = Style::of_verdict(report.verdict);
    let name = format!("{}/{}", visible(&report.namespace), visible(&report.name));
    page.line(style, &format!("{mark} {name} {}: {}", report.verdict.word(), visible(&report.message)));
    page.grid(
        facts(report).into_iter().map(|(key, value)| (Style::Plain, vec![key.to_owned(), value])).collect(),
    );
    if !report.findings.is_empty() {
        page.heading(&format!("Findings: {}", counted(report.counts)));
        for finding in &report.findings {
            show(&mut page, finding);
        }
    }
    tables(&mut page, report, all);
    checks(&mut page, report, all);
    page.text
}

fn checks(page: &mut Page, report: &Report, all: bool) {
    let is_fine =
        |check: &&CheckResult| matches!(check.verdict, CheckVerdict::Passed | CheckVerdict::NotAsked);
    let shown: Vec<&CheckResult> = report.checks.iter().filter(|it| all || !is_fine(it)).collect();
    let of = |verdict: CheckVerdict| {
        let found = report.checks.iter().filter(|check| check.verdict == verdict).count();
        format!("{found} {}", verdict.word())
    };
    let left_out = if shown.len() == report.checks.len() { "" } else { LISTED_BY_ALL };
    page.heading(&format!("Checks: {}, {}{left_out}", of(CheckVerdict::Passed), of(CheckVerdict::NotAsked)));
    page.grid(shown.into_iter().map(check).collect());
}

fn check(check: &CheckResult) -> (Style, Vec<String>) {
    let (style, mark) = Style::of_check(check.verdict);
    let found = if check.findings == 0 { String::new() } else { check.findings.to_string() };
    (
        style,
        vec![
            mark.to_owned(),
            visible(check.id.name()),
            check.verdict.word().to_owned(),
            found,
            visible(&check.title),
        ],
    )
}

fn show(page: &mut Page, finding: &Finding) {
    let severity = format!("{:?}", finding.severity).to_lowercase();
    page.line(
        Style::of_severity(finding.severity),
        &format!("  {severity}  {}  {}", visible(finding.check.name()), visible(&finding.object)),
    );
    page.line(Style::Plain, &format!("    {}", visible(&finding.message)));
    page.line(Style::Dim, &format!("    → {}", visible(&finding.remedy)));
}

/// What the head of a report says, as pairs.
fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let server =
        report.server.as_ref().map(|server| format!(", PostgreSQL {}", visible(server))).unwrap_or_default();
    let mut facts = vec![
        ("database", format!("{}{server}", visible(&report.database))),
        ("version", report.progress(visible)),
        ("inspected", format!("{}, by Sluice {}", report.at, visible(&report.sluice))),
    ];
    if let Some(tenancy) = &report.tenancy {
        let (column, setting, role) =
            (visible(&tenancy.column), visible(&tenancy.setting), visible(&tenancy.app_role));
        facts.push(("tenants", format!("{column} is {setting}, for the role {role}{}", isolated(report))));
    }
    if let Some(why) = &report.unread {
        facts.push(("schema", format!("could not be read: {}", visible(why))));
    }
    facts
}

fn isolated(report: &Report) -> String {
    let Some(schema) = &report.schema else { return String::new() };
    let of = |isolation: Isolation| schema.tables.iter().filter(|table| table.isolation == isolation).count();
    let unproven = of(Isolation::Unproven);
    let unproven = if unproven == 0 { String::new() } else { format!(", {unproven} unproven") };
    format!(
        "; {} isolated, {} exposed{unproven}, {} shared",
        of(Isolation::Isolated),
        of(Isolation::Exposed),
        of(Isolation::Shared)
    )
}

fn tables(page: &mut Page, report: &Report, all: bool) {
    let Some(schema) = report.schema.as_ref().filter(|schema| !schema.tables.is_empty()) else { return };
    let (tables, relations) =
        (count(schema.tables.len(), "table"), count(schema.relations.len(), "foreign key"));
    let needs_a_look = |table: &&Table| {
        matches!(table.isolation, Isolation::Exposed | Isolation::Unknown | Isolation::Unproven)
    };
    let shown: Vec<&Table> = schema.tables.iter().filter(|it| all || needs_a_look(it)).collect();
    let left_out = if shown.len() == schema.tables.len() { "" } else { LISTED_BY_ALL };
    page.heading(&format!("Tables: {tables}, {relations}{left_out}"));
    let rows = shown.into_iter().map(|table| {
        let (style, mark) = Style::of_isolation(table.isolation);
        let rows = table.rows.map_or_else(String::new, |rows| {
            format!("~{}", count(usize::try_from(rows).unwrap_or(usize::MAX), "row"))
        });
        let cells = [
            mark.to_owned(),
            visible(&table.object()),
            table.kind.word().to_owned(),
            if table.isolation == Isolation::NotAsked {
                String::new()
            } else {
                table.isolation.word().to_owned()
            },
            count(table.columns.len(), "column"),
            if table.indexes.is_empty() { String::new() } else { count(table.indexes.len(), "index") },
            if table.policies.is_empty() { String::new() } else { count(table.policies.len(), "policy") },
            rows,
        ];
        (style, cells.to_vec())
    });
    page.grid(rows.collect());
}

fn counted(counts: Counts) -> String {
    format!(
        "{}, {}, {} for information",
        count(counts.errors, "error"),
        count(counts.warnings, "warning"),
        counts.information
    )
}

/// Several reports.
pub(super) fn consistency(several: &Consistency, coloured: bool) -> String {
    let mut page = Page { text: String::new(), coloured };
    let (style, mark) = Style::of_verdict(several.verdict);
    let services = count(several.services.len(), "service");
    page.line(style, &format!("{mark} {services} {}: {}", several.verdict.word(), counted(several.total)));
    services_of(&mut page, several);
    aspects_of(&mut page, several);
    for (_, report) in several.worst_first() {
        findings_of(&mut page, report);
    }
    page.text
}

fn services_of(page: &mut Page, several: &Consistency) {
    page.heading("Services");
    let head = ["", "service", "verdict", "version", "pending", "errors", "warnings", "information"]
        .map(str::to_owned)
        .to_vec();
    let mut rows = vec![(Style::Dim, head)];
    for service in &several.services {
        let (style, mark) = Style::of_verdict(service.verdict);
        let Counts { errors, warnings, information } = service.counts;
        let version = service.version.as_deref().map_or_else(|| "none".to_owned(), visible);
        let mut cells =
            vec![mark.to_owned(), visible(&service.name), service.verdict.word().to_owned(), version];
        cells.extend([service.pending, errors, warnings, information].map(|number| number.to_string()));
        rows.push((style, cells));
    }
    let Counts { errors, warnings, information } = several.total;
    let pending: usize = several.services.iter().map(|service| service.pending).sum();
    let mut sum = vec![String::new(), "sum".to_owned(), several.verdict.word().to_owned(), String::new()];
    sum.extend([pending, errors, warnings, information].map(|number| number.to_string()));
    rows.push((Style::Bold, sum));
    page.grid(rows);
}

fn aspects_of(page: &mut Page, several: &Consistency) {
    page.heading("Aspects");
    let rows = several.aspects.iter().map(|row| {
        let (style, mark) = Style::of_check(row.verdict);
        let bad: Vec<String> = several
            .services
            .iter()
            .zip(&row.services)
            .filter_map(|(service, verdict)| inconsistent(service, *verdict))
            .collect();
        (
            style,
            vec![
                mark.to_owned(),
                visible(&row.aspect),
                if bad.is_empty() { "consistent".to_owned() } else { bad.join(", ") },
            ],
        )
    });
    page.grid(rows.collect());
}

fn findings_of(page: &mut Page, report: &Report) {
    page.heading(&format!(
        "{}/{}: {}",
        visible(&report.namespace),
        visible(&report.name),
        counted(report.counts)
    ));
    for finding in &report.findings {
        if finding.severity == Severity::Information {
            page.line(
                Style::Dim,
                &format!("  information  {}  {}", visible(finding.check.name()), visible(&finding.object)),
            );
        } else {
            show(page, finding);
        }
    }
}

fn inconsistent(service: &super::Service, verdict: CheckVerdict) -> Option<String> {
    let wrong = !matches!(verdict, CheckVerdict::Passed | CheckVerdict::NotAsked);
    wrong.then(|| format!("{} {}", visible(&service.name), verdict.word()))
}
