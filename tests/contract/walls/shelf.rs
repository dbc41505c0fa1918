//! `src/plan/run` serves any kind of object: what it mentions leads to no kind, directly or through a file of the
//! plan. What makes a snapshot does not know what keeps it.

use std::collections::BTreeSet;

use super::{imports::Tree, planted::with_shelf, tree};

const SHELF: &str = "src/plan/run/";
/// The rest of the plan that the shelf may speak of: what is decided, and what is done.
const WORDS: [&str; 2] = ["src/plan/step.rs", "src/plan/decision.rs"];
/// What begins like this, or is in this room, is of one kind.
const KINDS: [&str; 5] =
    ["DatabaseMigration", "DatabaseRestore", "MigrationPolicy", "MigrationGate", "ValidatedMigration"];
const MEANT: &str = "validate";

/// What the shelf, or the words that it uses, mention of a kind.
fn complaints(tree: &Tree) -> BTreeSet<String> {
    let served = |file: &str| file.starts_with(SHELF) || WORDS.contains(&file);
    let mut found = BTreeSet::new();
    for mention in tree.mentions.iter().filter(|mention| !mention.for_tests) {
        let file = tree.file(mention);
        let Some(path) = tree.absolute(mention).filter(|_| served(file)) else { continue };
        let of_a_kind =
            path.iter().any(|part| part == MEANT || KINDS.iter().any(|kind| part.starts_with(kind)));
        let home = tree.home(mention).unwrap_or_default();
        // Its own door, and that of the plan, only gather what is below.
        let elsewhere = home.starts_with("src/plan/") && !served(home);
        if of_a_kind || elsewhere {
            found.insert(format!("{file}: {}", path.join("::")));
        }
    }
    found
}

#[test]
fn what_any_run_needs_knows_no_kind_of_object() {
    let tree = tree();
    assert!(tree.mentions.iter().any(|mention| tree.file(mention).starts_with(SHELF)), "{SHELF} is there");
    assert_eq!(complaints(&tree), BTreeSet::new());
}

#[test]
fn a_kind_on_the_shelf_is_found_in_every_form() {
    assert_eq!(complaints(&with_shelf("")), BTreeSet::new(), "the control");
    for planted in [
        "use crate::api::DatabaseMigration;",
        "use crate::api::{self}; fn of(_: &api::DatabaseMigrationStatus) {}",
        "fn of(_: &crate::api::DatabaseMigration) {}",
        "use crate::validate::Window;",
        "use crate::plan::facts::Facts;",
        "use super::super::facts::{self};",
        "use crate::plan::{decision::Decision, facts::Facts};",
    ] {
        let found = complaints(&with_shelf(planted));
        assert_eq!(found.len(), 1, "{planted}: {found:?}");
    }
}

const PRODUCER: &str = "src/snapshot/producer/";
const STORE: &str = "src/snapshot/store/";

/// What one side of a snapshot mentions of the other.
fn across(tree: &Tree) -> BTreeSet<String> {
    let sides = [(PRODUCER, STORE), (STORE, PRODUCER)];
    let mentions = tree.mentions.iter().filter_map(|mention| {
        let (file, home) = (tree.file(mention), tree.home(mention)?);
        let met = sides.iter().any(|(from, to)| file.starts_with(from) && home.starts_with(to));
        met.then(|| format!("{file}: {home}"))
    });
    mentions.collect()
}

#[test]
fn what_makes_a_snapshot_and_what_keeps_it_do_not_know_each_other() {
    let tree = tree();
    for side in [PRODUCER, STORE] {
        assert!(tree.mentions.iter().any(|mention| tree.file(mention).starts_with(side)), "{side} is there");
    }
    assert_eq!(across(&tree), BTreeSet::new());
    let planted = |dump: &str, volume: &str| {
        Tree::of([
            ("src/lib.rs", "mod snapshot;"),
            ("src/snapshot/mod.rs", "mod producer; mod store; struct Target;"),
            ("src/snapshot/producer/mod.rs", "mod dump; pub use dump::Dump;"),
            ("src/snapshot/producer/dump.rs", dump),
            ("src/snapshot/store/mod.rs", "mod volume; pub use volume::Volume;"),
            ("src/snapshot/store/volume.rs", volume),
        ])
    };
    let (dump, volume) = ("use super::super::Target; pub struct Dump;", "pub struct Volume;");
    assert_eq!(across(&planted(dump, volume)), BTreeSet::new(), "the control");
    let knows_the_store = format!("{dump} use super::super::store::Volume;");
    assert_eq!(across(&planted(&knows_the_store, volume)).len(), 1);
    let knows_the_producer = format!("{volume} fn of(_: crate::snapshot::producer::Dump) {{}}");
    assert_eq!(across(&planted(dump, &knows_the_producer)).len(), 1);
}
