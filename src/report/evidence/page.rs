//! The form for people: one page that needs nothing else. PURE.

use maud::{Markup, html};

use super::{Counts, Duty, Evidence, Part, Piece, Proven};
use crate::{
    report::{
        Verdict,
        html::{badge, prose, shell, tile},
    },
    visible::visible,
};

fn proven_badge(verdict: Proven) -> Markup {
    match verdict {
        Proven::Proven => badge("good", "✓", verdict.word()),
        Proven::NotProven => badge("bad", "✗", verdict.word()),
        Proven::NotAsked => badge("careful", "–", verdict.word()),
    }
}

/// Not every regime that is not proven has failed at something: it may not have been asked.
fn whole_badge(verdict: Verdict) -> Markup {
    match verdict {
        Verdict::Passed => badge("good", "✓", "all proven"),
        Verdict::Failed => badge("bad", "✗", "not all proven"),
    }
}

const fn class(number: usize, class: &'static str) -> &'static str {
    if number == 0 { "none" } else { class }
}

/// The whole page.
pub(super) fn print(evidence: &Evidence) -> String {
    let sum = evidence.parts.iter().fold(Counts::default(), |sum, part| Counts {
        proven: sum.proven + part.counts.proven,
        not_proven: sum.not_proven + part.counts.not_proven,
        not_asked: sum.not_asked + part.counts.not_asked,
    });
    let body = html! {
        header class=(evidence.verdict.word()) {
            h1 { "Compliance evidence " (whole_badge(evidence.verdict)) }
            p class="message" { (evidence.notice) }
        }
        ul class="tiles" {
            (tile(sum.not_proven, "duties not proven", class(sum.not_proven, "bad")))
            (tile(sum.not_asked, "duties not asked", class(sum.not_asked, "careful")))
            (tile(sum.proven, "duties proven", class(sum.proven, "good")))
        }
        (overview(evidence))
        @for (number, part) in evidence.parts.iter().enumerate() { (section(number, part)) }
    };
    let title = if evidence.verdict == Verdict::Passed {
        "Compliance evidence: all proven"
    } else {
        "Compliance evidence: not all proven"
    };
    shell(title, &body)
}

fn overview(evidence: &Evidence) -> Markup {
    html! {
        section { h2 { "At a glance" } div class="wide" { table {
            thead { tr {
                th { "Database" } th { "Regime" } th { "Verdict" }
                @for what in ["Proven", "Not proven", "Not asked"] { th class="number" { (what) } }
            } }
            tbody { @for (number, part) in evidence.parts.iter().enumerate() { tr {
                td { (visible(&part.name)) }
                td { a href={ "#part-" (number) } { (part.regime) } }
                td { (whole_badge(part.verdict)) }
                @for number in [part.counts.proven, part.counts.not_proven, part.counts.not_asked] { td class="number" { (number) } }
            } } }
        } } }
    }
}

fn section(number: usize, part: &Part) -> Markup {
    html! {
        section {
            h2 id={ "part-" (number) } { (part.regime) " for " (visible(&part.name)) }
            p class="legend" { (part.law) }
            p class="legend" {
                code { (visible(&part.database)) } ", "
                @if let Some(version) = &part.version { code { (visible(version)) } } @else { "no version is \
                    known" }
                ", inspected " (part.at.to_string())
            }
            @for duty in &part.duties { (article(duty)) }
            @if !part.ask.is_empty() {
                h3 class="lone" { "What to write into the manifest to ask for the rest" }
                pre { code { (part.ask.join("\n")) } }
            }
            @if !part.elsewhere.is_empty() {
                h3 class="lone" { "What no schema can prove" }
                div class="wide" { table {
                    thead { tr { th { "Duty" } th { "Rule" } th { "Why" } } }
                    tbody { @for duty in &part.elsewhere { tr { td { (duty.title) } td { (duty.rule) } td { (duty.why) } } } }
                } }
            }
        }
    }
}

/// What is proven is folded; what is not is open.
fn article(duty: &Duty) -> Markup {
    html! {
        details open[duty.verdict != Proven::Proven] {
            summary { (proven_badge(duty.verdict)) " " (duty.title) " " span class="check" { (duty.rule) } }
            div class="wide" { table class="stack \
                evidence" { tbody { @for piece in &duty.evidence { (row(piece)) } } } }
        }
    }
}

fn row(piece: &Piece) -> Markup {
    html! { tr { td { (proven_badge(piece.verdict)) } td { (prose(&piece.what)) } td { (visible(&piece.found)) } } }
}
