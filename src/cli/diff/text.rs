//! For a terminal: the schema first, then what each statement does. Lint's objections come behind it. PURE.

use super::{super::rehearse::text as rehearsed, Told};
use crate::{stage::ChangeKind, visible::visible};

/// What comes before the objections.
pub(super) fn page(told: &Told<'_>) -> String {
    let rehearsal = told.rehearsal;
    let mut text = String::new();
    for change in &rehearsal.changes {
        text += &change.text.lines().map(|line| visible(line) + "\n").collect::<String>();
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text + &rehearsed::page(rehearsal) + if told.remarks.is_empty() { "" } else { "\n" }
}

/// What comes behind them.
pub(super) fn sum(told: &Told<'_>) -> String {
    let of = |kind: ChangeKind| told.rehearsal.changes.iter().filter(|change| change.change == kind).count();
    format!(
        "{} migration(s): {} object(s) added, {} changed, {} removed: {}, {}\n",
        told.migrations.len(),
        of(ChangeKind::Added),
        of(ChangeKind::Changed),
        of(ChangeKind::Removed),
        told.class.name(),
        told.effort.name()
    )
}
