//! Workflow commands of GitHub Actions: each becomes an annotation of its line.

use super::{level, message};
use crate::{lint::Remark, visible::visible};

pub(super) fn print(remarks: &[Remark]) -> String {
    remarks.iter().filter(|remark| remark.waived.is_none()).map(one).collect()
}

fn one(remark: &Remark) -> String {
    let command = if level(remark.weight) == "note" { "notice" } else { level(remark.weight) };
    let place = remark
        .place
        .as_ref()
        .map(|place| format!("file={},line={},col={},", property(&place.file), place.line, place.column));
    format!(
        "::{command} {}title={}::{}\n",
        place.unwrap_or_default(),
        property(&remark.rule.id),
        data(&format!("{}: {}. {}", remark.object, message(remark), remark.remedy))
    )
}

/// The text of a command. A line break would begin another one: it is shown, and not obeyed.
fn data(text: &str) -> String {
    visible(text).replace('%', "%25")
}

/// A property of a command: `:` and `,` would end it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
