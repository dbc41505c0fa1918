//! The form for a terminal or a log. PURE.

use super::{Counts, Evidence, Part, Proven};
use crate::{
    report::{
        count::count,
        text::{Page, Style},
    },
    visible::visible,
};

const fn style(verdict: Proven) -> (Style, &'static str) {
    match verdict {
        Proven::Proven => (Style::Good, "✓"),
        Proven::NotProven => (Style::Bad, "✗"),
        Proven::NotAsked => (Style::Careful, "–"),
    }
}

/// `3 proven, 1 not proven, 2 not asked`.
pub(super) fn counted(counts: Counts) -> String {
    format!("{} proven, {} not proven, {} not asked", counts.proven, counts.not_proven, counts.not_asked)
}

/// The whole text.
pub(super) fn print(evidence: &Evidence, coloured: bool) -> String {
    let mut page = Page { text: String::new(), coloured };
    let (head, mark) = Style::of_verdict(evidence.verdict);
    let whole = if evidence.verdict == crate::report::Verdict::Passed {
        "every duty is proven"
    } else {
        "not every duty is proven"
    };
    page.line(head, &format!("{mark} compliance evidence: {whole}"));
    page.line(Style::Dim, &format!("  {}", evidence.notice));
    for part in &evidence.parts {
        print_part(&mut page, part);
    }
    page.text
}

fn print_part(page: &mut Page, part: &Part) {
    page.heading(&format!("{} for {}: {}", part.regime, visible(&part.name), counted(part.counts)));
    page.line(Style::Dim, &format!("  {}", part.law));
    let version = part.version.as_deref().map_or_else(|| "no version is known".to_owned(), visible);
    page.line(Style::Dim, &format!("  {}, {version}, inspected {}", visible(&part.database), part.at));
    for duty in &part.duties {
        let (line, mark) = style(duty.verdict);
        page.line(line, &format!("  {mark} {}: {}", duty.verdict.word(), duty.title));
        page.line(Style::Dim, &format!("      {}", duty.rule));
        for piece in &duty.evidence {
            let (line, mark) = style(piece.verdict);
            let line = if piece.verdict == Proven::Proven { Style::Plain } else { line };
            page.line(line, &format!("      {mark} {}: {}", visible(&piece.what), visible(&piece.found)));
        }
    }
    if !part.elsewhere.is_empty() {
        page.line(
            Style::Bold,
            &format!("  {} that no schema can prove", count(part.elsewhere.len(), "duty")),
        );
        for duty in &part.elsewhere {
            page.line(Style::Plain, &format!("    {} ({}): {}", duty.title, duty.rule, duty.why));
        }
    }
    if !part.ask.is_empty() {
        page.line(Style::Bold, "  To ask for the rest, write into the manifest");
        for line in &part.ask {
            page.line(Style::Plain, &format!("    {line}"));
        }
    }
}
