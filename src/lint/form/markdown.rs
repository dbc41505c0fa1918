//! For a comment on a pull request.

use super::{level, message, place};
use crate::{lint::Remark, report::markdown_text};

pub(super) fn print(remarks: &[Remark]) -> String {
    if remarks.is_empty() {
        return "No remarks.\n".to_owned();
    }
    let mut text = String::from("| | Where | Rule | What | Instead |\n|---|---|---|---|---|\n");
    for remark in remarks {
        let place = place(remark);
        let cells = [level(remark.weight), &place, &remark.rule.id, &message(remark), &remark.remedy]
            .map(markdown_text);
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text
}
