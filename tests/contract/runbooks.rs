//! The head of each runbook says what `src/api/reason.rs` says: on which condition the reason stands, what it asks of
//! whom, and when it holds. `UPDATE=1 cargo test --test contract runbooks` writes them.

use std::{env, fs, path::Path};

use sluice::api::{Class, Reason};

/// Everything before the first section of a page.
fn head(reason: Reason) -> String {
    let names: Vec<_> =
        reason.conditions().iter().map(|condition| format!("`{}`", condition.name())).collect();
    let place = match names.as_slice() {
        [] => "Any condition.".to_owned(),
        [one] => format!("Condition {one}."),
        [others @ .., last] => format!("Conditions {} and {last}.", others.join(", ")),
    };
    let asks = match reason.class() {
        Class::Success => "A milestone is reached.",
        Class::Progress => "Work is under way, or about to begin.",
        Class::Transient => "Sluice retries automatically.",
        Class::NeedsUser => "A person has to act; until then `Stalled` is True.",
    };
    format!("# {}\n\n> {}\n\n*{place} {asks}*\n\n", reason.name(), reason.definition())
}

#[test]
fn the_head_of_each_runbook_says_what_its_reason_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks");
    let mut stale = Vec::new();
    for reason in Reason::ALL {
        let path = folder.join(format!("{}.md", reason.name()));
        let page = fs::read_to_string(&path).unwrap_or_default();
        let sections = page.find("## ").map_or("", |at| &page[at..]);
        let current = format!("{}{sections}", head(*reason));
        if env::var_os("UPDATE").is_some() {
            fs::write(&path, current).expect("the page can be written");
        } else if page != current {
            stale.push(reason.name());
        }
    }
    assert!(stale.is_empty(), "{stale:?}: UPDATE=1 cargo test --test contract runbooks");
}
