//! For a comment on a pull request.

use super::{level, message, place};
use crate::{lint::Remark, visible::visible};

pub(super) fn print(remarks: &[Remark]) -> String {
    if remarks.is_empty() {
        return "No remarks.\n".to_owned();
    }
    let mut text = String::from("| | Where | Rule | What | Instead |\n|---|---|---|---|---|\n");
    for remark in remarks {
        let place = place(remark);
        let cells =
            [level(remark.weight), &place, &remark.rule.id, &message(remark), &remark.remedy].map(cell);
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text
}

/// What it says, and no Markdown of its own.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for letter in visible(text).chars() {
        if "\\`*_{}[]<>()#+-.!|".contains(letter)
            && !letter.is_alphanumeric()
            && "`*_[]<>|\\".contains(letter)
        {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}
