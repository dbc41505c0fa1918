//! Houses with one fault each: the walls find it, in whatever form it is written.

use super::{Tree, complaints, cycles::cycles, room};

const TABLE: &str = "
## Walls

| floor | room | may import |
|---|---|---|
| 1 | `api` | |
| 2 | `plan` | `api` |
| 2 | `postgres` | `api` |
| 3 | `stage` | `plan`, `postgres` |

## Next
";
const SOUND: [(&str, &str); 6] = [
    ("src/lib.rs", "mod api; mod plan; mod postgres; mod stage;"),
    ("src/api.rs", "pub struct Reason;"),
    ("src/plan/mod.rs", "mod judge; pub use judge::judge; pub struct Facts;"),
    ("src/plan/judge.rs", "use crate::api::Reason; pub fn judge(_: Reason) {}"),
    ("src/postgres.rs", "use crate::api; pub fn query(_: api::Reason) {} pub struct Session;"),
    ("src/stage.rs", "use crate::{plan::judge, postgres::Session}; fn go(_: Session) { judge(todo!()) }"),
];

/// The sound house, with one file that says something more.
fn with(file: &str, more: &str) -> Tree {
    let files = SOUND
        .map(|(path, text)| (path, if path == file { format!("{text}\n{more}") } else { text.to_owned() }));
    Tree::of(files.iter().map(|(path, text)| (*path, text.as_str())))
}

/// A house whose plan has a shelf for any kind of object, with something more on it.
pub fn with_shelf(more: &str) -> Tree {
    let shelf = format!(
        "use crate::{{api::Reason, plan::decision::Decision}}; fn of(_: Reason, _: Decision) {{}} {more}"
    );
    let files = [
        ("src/lib.rs", "mod api; mod plan; mod validate;"),
        (
            "src/api.rs",
            "pub struct Reason; pub struct DatabaseMigration; pub struct DatabaseMigrationStatus;",
        ),
        ("src/validate.rs", "pub struct Window;"),
        ("src/plan/mod.rs", "mod facts; mod run; mod decision;"),
        ("src/plan/facts.rs", "pub struct Facts(crate::api::DatabaseMigration, crate::validate::Window);"),
        ("src/plan/decision.rs", "pub struct Decision;"),
        ("src/plan/run/mod.rs", "mod own;"),
        ("src/plan/run/own.rs", shelf.as_str()),
    ];
    Tree::of(files)
}

#[test]
fn a_sound_house_is_left_alone() {
    assert_eq!(complaints(TABLE, &with("", "")), Vec::<String>::new());
    assert_eq!(cycles(&with("", "")), []);
}

#[test]
fn a_wrong_import_is_found_in_every_form() {
    for planted in [
        "use crate::postgres::query;",
        "use crate::{api::{self, Reason as Why}, postgres::{query}};",
        "use crate::{postgres as database};",
        "use super::super::postgres::query;",
        "use super::super::{postgres::{self, Session}};",
        "pub use crate::postgres::*;",
        "fn reads() { use crate::postgres::query; }",
        "fn reads() { crate::postgres::query(todo!()) }",
        "fn reads(_: &Vec<super::super::postgres::Session>) {}",
        "impl From<crate::postgres::Session> for Local {}",
        "fn reads() { println!(\"{}\", f(crate::postgres::query)); }",
        "macro_rules! reads { () => { use $crate::{api::Reason, postgres::query}; } }",
        "#[serde(with = \"crate::postgres::form\")] struct Local;",
        "mod inner { mod deeper { use super::super::super::super::postgres; } }",
        "#[cfg(test)] mod tests { use crate::postgres::query; }",
        "use crate as house; fn reads() { house::postgres::query(todo!()) }",
    ] {
        let found = complaints(TABLE, &with("src/plan/judge.rs", planted));
        assert!(
            found.iter().any(|it| it.starts_with("`plan` may not import `postgres`: ")
                && it.contains("src/plan/judge.rs: ")),
            "{planted}: {found:?}"
        );
    }
}

#[test]
fn what_only_resembles_an_import_is_none() {
    for harmless in [
        "// use crate::postgres::query;",
        "const TEXT: &str = \"crate::postgres::query\";",
        "/// As [`crate::postgres::query`] does.\nfn documented() {}",
        "use elsewhere::postgres; fn reads() { postgres::query() }",
        "pub(in crate::plan) fn seen_here() {}",
    ] {
        assert_eq!(
            complaints(TABLE, &with("src/plan/judge.rs", harmless)),
            Vec::<String>::new(),
            "{harmless}"
        );
    }
}

#[test]
fn a_line_that_nothing_uses_is_left_over_and_a_test_does_not_use_it() {
    let more = TABLE.replace("| 3 | `stage` | `plan`", "| 3 | `stage` | `api`, `plan`");
    let left_over = "`stage` may import `api` and does not".to_owned();
    assert_eq!(complaints(&more, &with("", "")), std::slice::from_ref(&left_over));
    let test = with("src/stage.rs", "#[cfg(test)] mod tests { use crate::api::Reason; }");
    assert_eq!(complaints(&more, &test), [left_over]);
    assert_eq!(
        complaints(&more, &with("src/stage.rs", "fn why(_: crate::api::Reason) {}")),
        Vec::<String>::new()
    );
}

#[test]
fn an_arrow_that_runs_up_or_beside_is_no_line_of_a_table() {
    let upwards = TABLE.replace("| 1 | `api` | |", "| 1 | `api` | `stage` |");
    let found = complaints(&upwards, &with("src/api.rs", "use crate::stage;"));
    assert!(found.iter().any(|it| it.starts_with("`api` on floor 1 imports `stage`")), "{found:?}");
    let beside = TABLE.replace("| 2 | `plan` | `api` |", "| 2 | `plan` | `api`, `postgres` |");
    let found = complaints(&beside, &with("src/plan/judge.rs", "use crate::postgres;"));
    assert!(found.iter().any(|it| it.starts_with("`plan` on floor 2 imports `postgres`")), "{found:?}");
    let high = TABLE.replace("| 3 | `stage`", "| 9 | `stage`");
    assert_eq!(
        complaints(&high, &with("", "")),
        ["`stage` does not stand on the floor above all that it imports"]
    );
}

#[test]
fn a_room_without_a_line_is_named() {
    let mut files: Vec<(&str, &str)> = SOUND.to_vec();
    files.push(("src/attic.rs", "use crate::api::Reason;"));
    assert_eq!(complaints(TABLE, &Tree::of(files)), ["`attic` has no line in the table"]);
}

#[test]
fn a_cycle_is_found_through_the_names_that_a_room_gives_on() {
    // Its own room's door: `Facts` is written down in mod.rs, which calls no other file.
    assert_eq!(cycles(&with("src/plan/judge.rs", "use super::Facts;")), []);
    let mut files: Vec<(&str, &str)> = SOUND.to_vec();
    files[2].1 = "mod judge; mod own; pub use judge::judge; pub use own::own;";
    files[3].1 = "use super::own; pub fn judge() {}";
    files.push(("src/plan/own.rs", "pub fn own() { super::judge() }"));
    let found = cycles(&Tree::of(files));
    assert_eq!(found, [["plan/judge.rs", "plan/own.rs"].map(str::to_owned).into()]);
}

#[test]
fn main_is_no_room_of_the_crate() {
    let tree =
        Tree::of([("src/lib.rs", "mod cli;"), ("src/cli.rs", ""), ("src/main.rs", "use sluice::cli;")]);
    assert_eq!(room(&tree.absolute(&tree.mentions[0]).expect("a path")), Some("cli"));
}
