//! One page that needs nothing else: no script, no picture, no font and no style from elsewhere. Its content
//! policy forbids them all, so that even a name that got out of its quotes could load and run nothing. PURE.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    CheckResult, CheckVerdict, Counts, Isolation, Report, Schema, Table, TableKind, Verdict,
    count::count,
    model::UNREAD,
    picture::{picture, svg},
    remedy,
};
use crate::{
    api::{Finding, Severity},
    visible::visible,
};

const STYLE: &str = include_str!("page.css");

/// A whole page.
pub(super) fn shell(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src \
                    'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Without it a browser asks the server for one.
                link rel="icon" href="data:,";
                title { (visible(title)) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    };
    let mut text = page.into_string();
    text.push('\n');
    text
}

/// One report.
pub(super) fn report(report: &Report) -> String {
    let title = format!("{}/{}: {}", report.namespace, report.name, report.verdict.word());
    let body = html! {
        (header(report))
        (glance(report))
        (findings_section(report))
        @let schema = report.schema.as_ref().filter(|schema| !schema.tables.is_empty());
        @if let Some(schema) = schema { (tables(schema)) (drawing(report, schema)) }
        (checks(report))
        @if let Some(schema) = schema { (details(schema)) }
        (explanations(&report.checks))
        footer { "Sluice " (visible(&report.sluice)) ", " (report.at.to_string()) }
    };
    shell(&title, &body)
}

/// A word on a coloured ground, with a mark, so that the colour alone says nothing.
pub(super) fn badge(class: &str, mark: &str, word: &str) -> Markup {
    html! { span class={ "badge " (class) } { span aria-hidden="true" { (mark) } " " (word) } }
}

pub(super) fn verdict_badge(verdict: Verdict) -> Markup {
    match verdict {
        Verdict::Passed => badge("good", "✓", "passed"),
        Verdict::Failed => badge("bad", "✗", "failed"),
    }
}

pub(super) fn check_badge(verdict: CheckVerdict) -> Markup {
    let (class, mark) = match verdict {
        CheckVerdict::Failed => ("bad", "✗"),
        CheckVerdict::Unknown => ("bad", "?"),
        CheckVerdict::Warned => ("careful", "!"),
        CheckVerdict::Passed => ("good", "✓"),
        CheckVerdict::NotAsked => ("none", "–"),
    };
    badge(class, mark, verdict.word())
}

fn header(report: &Report) -> Markup {
    html! {
        header class=(report.verdict.word()) {
            h1 { (visible(&report.namespace)) "/" (visible(&report.name)) " " (verdict_badge(report.verdict)) }
            p class="message" { (visible(&report.message)) }
            dl {
                dt { "Database" }
                dd { code { (visible(&report.database)) } @if let Some(server) = &report.server { ", \
                    PostgreSQL " (visible(server)) } }
                dt { "Version" }
                dd {
                    @if let Some(applied) = report.applied {
                        @if let Some(version) = &report.version { code { (visible(version)) } } @else { "nothing is applied" }
                        ", " (applied) " applied, " (report.pending.len()) " pending"
                    } @else { (UNREAD) }
                }
                @if let Some(tenancy) = &report.tenancy {
                    dt { "Tenants" }
                    dd { code { (visible(&tenancy.column)) } " is " code { (visible(&tenancy.setting)) } ", \
                        for the role " code { (visible(&tenancy.app_role)) } }
                }
                dt { "Inspected" }
                dd { (report.at.to_string()) }
                @if let Some(why) = &report.unread {
                    dt { "Schema" }
                    dd { "could not be read: " (visible(why)) }
                }
            }
        }
    }
}

/// A number with what it counts.
pub(super) fn tile(number: usize, what: &str, class: &str) -> Markup {
    html! { li class={ "tile " (class) } { strong { (number) } " " span { (what) } } }
}

/// The number is bad unless it is zero.
const fn unless_zero(number: usize, class: &'static str) -> &'static str {
    if number == 0 { "none" } else { class }
}

pub(super) fn finding_tiles(counts: Counts) -> Markup {
    html! {
        (tile(counts.errors, if counts.errors == 1 { "error" } else { "errors" }, unless_zero(counts.errors, "bad")))
        (tile(counts.warnings, if counts.warnings == 1 { "warning" } else { "warnings" }, unless_zero(counts.warnings, "careful")))
        (tile(counts.information, "information", "none"))
    }
}

fn glance(report: &Report) -> Markup {
    let of = |verdict| report.checks.iter().filter(|check| check.verdict == verdict).count();
    html! {
        ul class="tiles" {
            (finding_tiles(report.counts))
            (tile(of(CheckVerdict::Passed), "checks \
                passed", if of(CheckVerdict::Passed) == 0 { "none" } else { "good" }))
            (tile(of(CheckVerdict::NotAsked), "not asked", "none"))
            @if let Some(schema) = &report.schema {
                @let isolated = |isolation| schema.tables.iter().filter(|table| table.isolation == isolation).count();
                @if report.tenancy.is_some() {
                    (tile(isolated(Isolation::Isolated), "isolated", unless_zero(isolated(Isolation::Isolated), "good")))
                    @let exposed = isolated(Isolation::Exposed) + isolated(Isolation::Unknown);
                    (tile(exposed, "exposed", unless_zero(exposed, "bad")))
                    @let unproven = isolated(Isolation::Unproven);
                    @if unproven > 0 { (tile(unproven, "unproven", "careful")) }
                    (tile(isolated(Isolation::Shared), "shared", "none"))
                }
                @let views = schema.tables.iter().filter(|table| matches!(table.kind, TableKind::View | TableKind::MaterializedView)).count();
                (tile(schema.tables.len() - views, "tables", "none"))
                @if views > 0 { (tile(views, "views", "none")) }
                (tile(schema.tables.iter().map(|table| table.policies.len()).sum(), "policies", "none"))
                (tile(schema.tables.iter().map(|table| table.indexes.len()).sum(), "indexes", "none"))
                (tile(schema.relations.len(), "foreign keys", "none"))
            }
        }
    }
}

fn findings_section(report: &Report) -> Markup {
    html! {
        section {
            h2 id="findings" { "Findings" }
            @if report.findings.is_empty() && report.verdict == Verdict::Passed { p { "None." } }
            @else if report.findings.is_empty() { p { "The checks could not be carried \
                out: " (visible(&report.message)) } }
            @for finding in &report.findings { (finding_article(finding, Some(report))) }
        }
    }
}

/// A finding. With a report, its check and its table are links within the page.
pub(super) fn finding_article(finding: &Finding, report: Option<&Report>) -> Markup {
    let (class, mark, word) = match finding.severity {
        Severity::Error => ("bad", "✗", "error"),
        Severity::Warning => ("careful", "!", "warning"),
        Severity::Information => ("none", "i", "information"),
    };
    let check = report.and_then(|report| report.checks.iter().position(|check| check.id == finding.check));
    let schema = report.and_then(|report| report.schema.as_ref());
    let table =
        schema.and_then(|schema| schema.tables.iter().position(|table| table.object() == finding.object));
    let (check_text, object) =
        (html! { code { (visible(finding.check.name())) } }, html! { code { (visible(&finding.object)) } });
    html! {
        article class={ "finding " (class) } {
            h3 {
                (badge(class, mark, word)) " "
                @if let Some(table) = table { a href={ "#table-" (table) } { (object) } } @else { (object) }
                span class="check" { @if let Some(check) = check { a href={ "#check-" (check) } { (check_text) } } @else { (check_text) } }
            }
            p { (visible(&finding.message)) }
            @let (sql, words) = remedy::parts(&finding.remedy);
            @if let Some(sql) = sql { pre { code { (visible(sql)) } } }
            @if let Some(words) = words { p class="remedy" { (prose(words)) } }
        }
    }
}

fn checks(report: &Report) -> Markup {
    html! {
        section {
            h2 id="checks" { "Checks" }
            div class="wide" { table class="stack" {
                thead { tr { th { "Check" } th { "Verdict" } th class="number" { "Findings" } th { "What \
                    must be true" } } }
                tbody {
                    @for (number, check) in report.checks.iter().enumerate() {
                        tr class=[(check.verdict == CheckVerdict::NotAsked).then_some("faint")] {
                            td { a href={ "#check-" (number) } { code { (visible(check.id.name())) } } }
                            td { (check_badge(check.verdict)) }
                            td class="number" { @if check.findings > 0 { (check.findings) } }
                            td { (prose(&check.title)) }
                        }
                    }
                }
            } }
        }
    }
}

fn drawing(report: &Report, schema: &Schema) -> Markup {
    let drawn = picture(schema, report.tenancy.as_ref().map(|tenancy| tenancy.column.as_str()));
    let label =
        format!("{} and {}", count(drawn.cards.len(), "table"), count(schema.relations.len(), "foreign key"));
    html! {
        section {
            h2 id="schema" { "Schema" }
            p class="legend" {
                "A line leads from a foreign key to the table on its left that it refers to."
                @if report.tenancy.is_some() { " " (badge("good", "✓", "isolated")) " " (badge("bad", "✗", "exposed")) " " (badge("none", "", "shared")) }
                @if schema.relations.iter().any(|relation| !relation.validated) { " A broken line is not \
                    validated." }
            }
            div class="wide picture" { (svg(&drawn, schema, &label, |table| format!("#table-{table}"))) }
        }
    }
}

fn tables(schema: &Schema) -> Markup {
    let counted = schema.tables.iter().any(|table| table.rows.is_some());
    html! {
        section {
            h2 id="tables" { "Tables" }
            div class="wide" { table {
                thead { tr {
                    th { "Table" } th { "Tenants" } th { "Row-level \
                        security" } th { "Kind" } th class="number" { "Policies" }
                    th class="number" { "Indexes" } th class="number" { "Columns" } @if counted { th class="number" { "Rows, about" } }
                } }
                tbody {
                    @for (number, table) in schema.tables.iter().enumerate() {
                        tr {
                            td { a href={ "#table-" (number) } { code { (visible(&table.object())) } } }
                            td { (badge(table.isolation.class(), table.isolation.mark(), table.isolation.word())) }
                            td class="short" { (row_level_security(table)) }
                            td class="short" { (table.kind.word()) }
                            td class="number" { (table.policies.len()) }
                            td class="number" { (table.indexes.len()) }
                            td class="number" { (table.columns.len()) }
                            @if counted { td class="number" { @if let Some(rows) = table.rows { (rows) } } }
                        }
                    }
                }
            } }
        }
    }
}

/// A view has none of its own: it passes on that of its tables, or not.
const fn row_level_security(table: &Table) -> &'static str {
    match (table.kind, table.enabled, table.forced) {
        (TableKind::View | TableKind::MaterializedView, ..) => "–",
        (_, true, true) => "forced",
        (_, true, false) => "on, not for the owner",
        (_, false, _) => "off",
    }
}

fn details(schema: &Schema) -> Markup {
    html! {
        section {
            h2 { "Tables in detail" }
            @for (number, table) in schema.tables.iter().enumerate() {
                details {
                    summary { code { (visible(&table.object())) } " " span class="check" { (count(table.columns.len(), "column")) } }
                    // Inside, so that a link to it opens it.
                    div id={ "table-" (number) } class="wide" { (detail(schema, table)) }
                }
            }
        }
    }
}

fn detail(schema: &Schema, table: &Table) -> Markup {
    let object = table.object();
    html! {
        p { "Owner " code { (visible(&table.owner)) } }
        table { tbody { @for column in &table.columns {
            tr { td { code { (visible(&column.name)) } } td { (visible(&column.type_)) } td {
                @if column.primary { "primary key" } @else if !column.nullable { "not null" }
            } }
        } } }
        @if !table.policies.is_empty() {
            h4 { "Policies" }
            @for policy in &table.policies {
                p { code { (visible(&policy.name)) } " for " (policy.command) " to " (visible(&policy.roles.join(", "))) @if !policy.permissive { ", restrictive" } }
                @if let Some(using) = &policy.using { pre { code { "USING " (visible(using)) } } }
                @if let Some(check) = &policy.check { pre { code { "WITH CHECK " (visible(check)) } } }
            }
        }
        @if !table.indexes.is_empty() {
            h4 { "Indexes" }
            ul { @for index in &table.indexes { li {
                code { (visible(&index.name)) } " " (visible(&index.definition))
                @if index.primary { ", primary key" } @else if index.unique { ", unique" }
                @if !index.valid { " " (badge("bad", "✗", "not valid")) }
            } } }
        }
        @let keys: Vec<_> = schema.relations.iter().filter(|relation| relation.from == object || relation.to == object).collect();
        @if !keys.is_empty() {
            h4 { "Foreign keys" }
            ul { @for key in keys { li {
                code { (visible(&key.from)) " (" (visible(&key.columns.join(", "))) ")" } " → "
                code { (visible(&key.to)) " (" (visible(&key.references.join(", "))) ")" }
                ", on delete " (key.on_delete.to_lowercase()) @if !key.validated { " " (badge("careful", "!", "not validated")) }
            } } }
        }
    }
}

fn explanations(checks: &[CheckResult]) -> Markup {
    html! {
        section {
            h2 { "What the checks mean" }
            @for (number, check) in checks.iter().enumerate() {
                details {
                    summary { code { (visible(check.id.name())) } " " span class="check" { (visible(&check.aspect)) } }
                    div id={ "check-" (number) } {
                        p { (prose(&check.title)) "." }
                        h4 { "When it finds something" } p { (prose(&check.condition)) }
                        h4 { "What that means" } p { (prose(&check.effect)) }
                        h4 { "What to do" } p { (prose(&check.remedy)) }
                    }
                }
            }
        }
    }
}

/// A sentence with code between backticks.
pub(super) fn prose(text: &str) -> Markup {
    let text = visible(text);
    html! { @for (at, part) in text.split('`').enumerate() { @if at % 2 == 1 { code { (part) } } @else { (part) } } }
}
