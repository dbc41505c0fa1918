//! The page that puts several services side by side. PURE.

use maud::html;

use super::{
    Consistency, Report,
    count::count,
    html::{badge, check_badge, finding_article, finding_tiles, shell, tile, verdict_badge},
};
use crate::{
    api::{Finding, Severity},
    visible::visible,
};

/// The page.
pub(super) fn page(several: &Consistency) -> String {
    let title = format!("{}: {}", count(several.services.len(), "service"), several.verdict.word());
    let body = html! {
        header class=(several.verdict.word()) { h1 { (count(several.services.len(), "service")) " " (verdict_badge(several.verdict)) } }
        ul class="tiles" { (tile(several.services.len(), "services", "none")) (finding_tiles(several.total)) }
        section { h2 { "Services" } div class="wide" { (services(several)) } }
        section { h2 { "Aspects" } div class="wide" { (aspects(several)) } }
        @for (number, report) in several.worst_first() { (service(number, report)) }
    };
    shell(&title, &body)
}

/// What a service found. What is only worth knowing is folded, so that it hides no error of the next one.
fn service(number: usize, report: &Report) -> maud::Markup {
    let (known, wrong): (Vec<&Finding>, Vec<&Finding>) =
        report.findings.iter().partition(|finding| finding.severity == Severity::Information);
    html! {
        section {
            h2 id={ "service-" (number) } { (visible(&report.namespace)) "/" (visible(&report.name)) }
            @for finding in wrong { (finding_article(finding, None)) }
            @if !known.is_empty() {
                details {
                    summary { (badge("none", "i", "information")) " " (count(known.len(), "finding")) " worth knowing" }
                    div { @for finding in known { (finding_article(finding, None)) } }
                }
            }
        }
    }
}

fn services(several: &Consistency) -> maud::Markup {
    let pending: usize = several.services.iter().map(|service| service.pending).sum();
    html! {
        table {
            thead { tr {
                th { "Service" } th { "Verdict" }
                @for what in ["Errors", "Warnings", "Information", "Pending"] { th class="number" { (what) } }
                th { "Version" } th { "Database" }
            } }
            tbody {
                @for (number, service) in several.services.iter().enumerate() {
                    tr {
                        td { @if service.counts.all() > 0 { a href={ "#service-" (number) } { (visible(&service.name)) } } @else { (visible(&service.name)) } }
                        td { (verdict_badge(service.verdict)) }
                        @let counts = service.counts;
                        @for number in [counts.errors, counts.warnings, counts.information, service.pending] { td class="number" { (number) } }
                        td { @if let Some(version) = &service.version { code { (visible(version)) } } @else { "no version is known" } }
                        td { code { (visible(&service.database)) } }
                    }
                }
            }
            tfoot { tr {
                th { "Sum" } th { (verdict_badge(several.verdict)) }
                @for number in [several.total.errors, several.total.warnings, several.total.information, pending] { th class="number" { (number) } }
                th {} th {}
            } }
        }
    }
}

fn aspects(several: &Consistency) -> maud::Markup {
    html! {
        table {
            thead { tr { th { "Aspect" } @for service in &several.services { th { (visible(&service.name)) } } } }
            tbody { @for row in &several.aspects { tr {
                th { (visible(&row.aspect)) }
                @for verdict in &row.services { td { (check_badge(*verdict)) } }
            } } }
        }
    }
}
