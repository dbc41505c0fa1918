//! For people: as a compiler shows it.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{TextOf, excerpt, message};
use crate::{
    lint::{Remark, Weight},
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
    let shown = remark.place.as_ref().and_then(|place| Some((place, text_of(&place.file)?)));
    let group = match shown {
        Some((place, sql)) => {
            let (line, span) = excerpt(sql, &place.span);
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
