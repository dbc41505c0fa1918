//! The form for pull requests, wikis and folders of evidence. PURE.

use super::{Evidence, Part, Proven, text::counted};
use crate::report::{
    Verdict,
    markdown::{cell, code, head, plain, row},
};

const fn word(verdict: Proven) -> &'static str {
    match verdict {
        Proven::Proven => "✅ proven",
        Proven::NotProven => "❌ not proven",
        Proven::NotAsked => "⚠️ not asked",
    }
}

const fn whole(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "✅ all proven",
        Verdict::Failed => "❌ not all proven",
    }
}

/// The whole text.
pub(super) fn print(evidence: &Evidence) -> String {
    let mut text =
        format!("# Compliance evidence: {}\n\n{}\n", whole(evidence.verdict), plain(&evidence.notice));
    evidence.parts.iter().for_each(|part| text.push_str(&print_part(part)));
    text
}

fn print_part(part: &Part) -> String {
    let mut text =
        format!("\n## {} for {}\n\n{}.\n\n", plain(part.regime), plain(&part.name), counted(part.counts));
    let version = part.version.as_deref().map_or_else(|| "no version is known".to_owned(), code);
    text.push_str(&format!(
        "- Rules: {}\n- Database: {}\n- Version: {version}\n",
        plain(part.law),
        code(&part.database)
    ));
    text.push_str(&format!("- Inspected: {}\n\n", part.at));
    text.push_str(&head(&["Duty", "Rule", "Verdict"]));
    for duty in &part.duties {
        text.push_str(&row(&[plain(duty.title), plain(duty.rule), word(duty.verdict).to_owned()]));
    }
    for duty in &part.duties {
        text.push_str(&format!("\n### {}\n\n{}", plain(duty.title), head(&["Evidence", "Verdict", "Found"])));
        for piece in &duty.evidence {
            text.push_str(&row(&[cell(&piece.what), word(piece.verdict).to_owned(), plain(&piece.found)]));
        }
    }
    if !part.elsewhere.is_empty() {
        text.push_str(&format!("\n### What no schema can prove\n\n{}", head(&["Duty", "Rule", "Why"])));
        part.elsewhere
            .iter()
            .for_each(|duty| text.push_str(&row(&[plain(duty.title), plain(duty.rule), plain(duty.why)])));
    }
    if !part.ask.is_empty() {
        text.push_str("\n### What to write into the manifest to ask for the rest\n\n");
        part.ask.iter().for_each(|line| text.push_str(&format!("- {}\n", code(line))));
    }
    text
}
