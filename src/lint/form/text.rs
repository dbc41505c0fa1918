//! For people: as a compiler shows it.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{TextOf, message};
use crate::{
    lint::{Place, Remark, Weight},
    redact,
    visible::visible,
};

pub(super) fn print(remarks: &[Remark], text_of: TextOf<'_>, coloured: bool) -> String {
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for remark in remarks.iter().filter(|remark| remark.waived.is_none()) {
        text += &one(&renderer, remark, text_of);
        text += "\n\n";
    }
    text
}

fn one(renderer: &Renderer, remark: &Remark, text_of: TextOf<'_>) -> String {
    let level = match remark.weight {
        Weight::Off => Level::NOTE,
        Weight::Warn | Weight::Approve => Level::WARNING,
        Weight::Fail => Level::ERROR,
    };
    let said = match &remark.place {
        Some(_) => message(remark),
        None => format!("{}: {}", remark.object, message(remark)),
    };
    let title = level.primary_title(visible(&said)).id(&*remark.rule.id);
    let excerpt = remark.place.as_ref().and_then(|place| Some((place, text_of(&place.file)?)));
    let group = match excerpt {
        Some((place, sql)) => {
            let (line, span) = excerpt_of(sql, place);
            title.element(
                Snippet::source(line)
                    .path(visible(&place.file))
                    .line_start(place.line)
                    .annotation(AnnotationKind::Primary.span(span)),
            )
        }
        None => Group::with_title(title),
    };
    let help = Group::with_title(Level::HELP.secondary_title(visible(&remark.remedy)));
    let groups = if remark.remedy.is_empty() { vec![group] } else { vec![group, help] };
    renderer.render(&groups)
}

/// The most characters of a line that are shown.
const WIDTH: usize = 200;

/// The line that a place begins in, and the place in it. Neither shows what could be about a person, nor steers
/// the terminal.
fn excerpt_of(sql: &str, place: &Place) -> (String, Range<usize>) {
    let span = place.span.start.min(sql.len())..place.span.end.min(sql.len());
    let begins = sql[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let ends = sql[begins..].find('\n').map_or(sql.len(), |at| begins + at);
    let (mut shown, mut marked) = (String::new(), None::<Range<usize>>);
    for (at, letter) in redact::masked(sql, begins..ends).into_iter().take(WIDTH) {
        let letter = if letter.is_control() || visible(&letter.to_string()) != letter.to_string() {
            '\u{fffd}'
        } else {
            letter
        };
        let start = shown.len();
        shown.push(letter);
        if span.contains(&at) {
            marked = Some(marked.map_or(start, |marked| marked.start)..shown.len());
        }
    }
    let end = shown.len();
    (shown, marked.unwrap_or(0..end.min(1)))
}
