//! The walls between the rooms: the tables of ARCHITECTURE.md, held against what the sources import.
//!
//! What is only compiled for tests may import what its room may, and uses up no line of a table.

mod cycles;
mod imports;
mod planted;
mod shelf;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use self::imports::{Mention, Tree};
use super::tidy::{sources, top};

/// A house of more floors than this is a pile.
const FLOORS: u32 = 8;

/// A line of the table of rooms.
#[derive(Debug, PartialEq, Eq)]
struct Room {
    floor: u32,
    may_import: BTreeSet<String>,
}

/// Room to room, each with the places where it is written.
type Arrows = BTreeMap<(String, String), BTreeSet<String>>;

fn architecture() -> String {
    fs::read_to_string(top().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md")
}

pub fn tree() -> Tree {
    let files = sources();
    Tree::of(files.iter().map(|file| (file.path.as_str(), file.text.as_str())))
}

/// The rows of the table below a heading, cell by cell.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let section = text.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading:?}"));
    section
        .split("\n#")
        .next()
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// The names between backticks.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rooms(text: &str) -> BTreeMap<String, Room> {
    let mut found = BTreeMap::new();
    for row in rows(text, "## Walls") {
        let [floor, room, may_import] = row.as_slice() else { panic!("not three cells: {row:?}") };
        let room = names(room).pop_first().unwrap_or_else(|| panic!("no room in {row:?}"));
        let floor = floor.parse().unwrap_or_else(|_| panic!("no floor in {row:?}"));
        let before = found.insert(room.clone(), Room { floor, may_import: names(may_import) });
        assert_eq!(before, None, "{room} has two lines");
    }
    found
}

/// The room of a path; none for the crate itself, nor for `main.rs`, which decides nothing.
pub fn room(path: &[String]) -> Option<&str> {
    path.get(1).map(String::as_str)
}

fn arrows<'a>(tree: &Tree, mentions: impl Iterator<Item = &'a Mention>) -> Arrows {
    let mut arrows = Arrows::new();
    for mention in mentions {
        let Some(target) = tree.absolute(mention) else { continue };
        if let (Some(from), Some(to)) = (room(&mention.module), room(&target))
            && from != to
        {
            let place = format!("{}: {}", tree.file(mention), mention.path.join("::"));
            arrows.entry((from.to_owned(), to.to_owned())).or_default().insert(place);
        }
    }
    arrows
}

/// What is wrong with a house, by its table and its sources.
fn complaints(text: &str, tree: &Tree) -> Vec<String> {
    let rooms = rooms(text);
    let written = arrows(tree, tree.mentions.iter().filter(|mention| !mention.for_tests));
    let mut found = Vec::new();
    for ((from, to), places) in arrows(tree, tree.mentions.iter()) {
        match (rooms.get(&from), rooms.get(&to)) {
            (None, _) => found.push(format!("`{from}` has no line in the table")),
            (_, None) => found.push(format!("`{to}` has no line in the table")),
            (Some(room), _) if room.may_import.contains(&to) => {}
            _ => found.push(format!("`{from}` may not import `{to}`: {places:#?}")),
        }
    }
    for (name, room) in &rooms {
        for other in &room.may_import {
            if !written.contains_key(&(name.clone(), other.clone())) {
                found.push(format!("`{name}` may import `{other}` and does not"));
            }
            let below = rooms.get(other).map(|other| other.floor);
            if below.is_none_or(|below| below >= room.floor) {
                found.push(format!("`{name}` on floor {} imports `{other}`, on {below:?}", room.floor));
            }
        }
        let needs = room.may_import.iter().filter_map(|other| rooms.get(other)).map(|it| it.floor).max();
        if room.floor > FLOORS || room.floor != needs.unwrap_or(0) + 1 {
            found.push(format!("`{name}` does not stand on the floor above all that it imports"));
        }
    }
    found
}

/// Every room that one reaches, through others too.
pub fn reached_from(text: &str, start: &str) -> BTreeSet<String> {
    let rooms = rooms(text);
    let (mut found, mut open) = (BTreeSet::new(), vec![start.to_owned()]);
    while let Some(name) = open.pop() {
        let room = rooms.get(&name).unwrap_or_else(|| panic!("`{name}` has no line in the table"));
        open.extend(room.may_import.iter().filter(|name| found.insert((*name).clone())).cloned());
    }
    found
}

#[test]
fn each_room_imports_what_the_table_says_and_every_arrow_leads_down() {
    let (text, tree) = (architecture(), tree());
    let found = complaints(&text, &tree);
    assert!(found.is_empty(), "ARCHITECTURE.md, Walls:\n{}", found.join("\n"));
    let folders: BTreeSet<String> =
        tree.mentions.iter().filter_map(|mention| room(&mention.module)).map(str::to_owned).collect();
    let listed: BTreeSet<String> = rooms(&text).into_keys().collect();
    assert_eq!(folders, listed, "the rooms of src/, and the lines of the table");
}

/// Invariants 1 to 4 and 9, through whatever stands between two rooms.
#[test]
fn what_must_not_know_each_other_is_not_reached_through_a_third_room_either() {
    let text = architecture();
    let database = ["postgres", "inspect", "probe", "across", "check", "catalog", "snapshot", "stage"];
    for pure in ["api", "sql", "lint", "policy", "validate", "contract", "plan", "objects", "report"] {
        let reached = reached_from(&text, pure);
        for impure in database.into_iter().chain(["controller", "cli", "serve", "telemetry"]) {
            assert!(!reached.contains(impure), "invariant 1: `{pure}` reaches `{impure}`");
        }
    }
    for controller in ["controller", "serve", "telemetry"] {
        let reached = reached_from(&text, controller);
        for room in database.into_iter().chain(["migrations"]) {
            assert!(!reached.contains(room), "invariant 3: `{controller}` reaches `{room}`");
        }
    }
    for stage in database.into_iter().chain(["migrations"]) {
        let reached = reached_from(&text, stage);
        for room in ["controller", "plan", "objects"] {
            assert!(!reached.contains(room), "invariant 4: `{stage}` reaches `{room}`");
        }
    }
    let imports_cli: Vec<String> =
        rooms(&text).into_iter().filter(|(_, room)| room.may_import.contains("cli")).map(|it| it.0).collect();
    assert!(imports_cli.is_empty(), "invariant 9: {imports_cli:?}");
}

#[test]
fn the_driver_is_named_in_its_rooms_alone() {
    let allowed = ["postgres", "inspect", "probe", "across", "check", "catalog", "snapshot", "stage"];
    let tree = tree();
    let found: BTreeSet<&str> = tree
        .mentions
        .iter()
        .filter(|mention| mention.path.first().is_some_and(|first| first == "sqlx"))
        .filter(|mention| !room(&mention.module).is_some_and(|room| allowed.contains(&room)))
        .map(|mention| tree.file(mention))
        .collect();
    assert!(found.is_empty(), "ARCHITECTURE.md, invariant 2: {found:?}");
}
