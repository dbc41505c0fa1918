//! Files of one room that lead back to each other: only where they are one thought, and with the reason.
//!
//! A file may speak the language of the file above it, and that one gathers the files below: the arrows down
//! from `plan/mod.rs` to what is in `plan/` are those of the folder, and make no cycle.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::{algo::kosaraju_scc, graphmap::DiGraphMap};

use super::{
    architecture,
    imports::{Path, Tree},
    names, rows, tree,
};

/// Each arrow from file to file, with the path that makes it.
fn arrows(tree: &Tree) -> impl Iterator<Item = (&str, &str, &Path)> {
    // What only gives a name on knows nothing of it.
    tree.mentions.iter().filter(|mention| !mention.for_tests && !mention.given_on).filter_map(|mention| {
        let (from, to) = (tree.file(mention), tree.home(mention)?);
        (from != to && !is_above(from, to)).then_some((from, to, &mention.path))
    })
}

/// Whether a file gathers another: `src/plan/mod.rs`, or `src/plan.rs`, and whatever is in `src/plan/`.
fn is_above(file: &str, other: &str) -> bool {
    let folder = file.trim_end_matches("mod.rs").trim_end_matches(".rs").trim_end_matches('/');
    other.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// The files that lead to each other, each group sorted.
pub fn cycles(tree: &Tree) -> Vec<BTreeSet<String>> {
    let mut graph: DiGraphMap<&str, ()> = DiGraphMap::new();
    for (from, to, _) in arrows(tree) {
        graph.add_edge(from, to, ());
    }
    let mut found: Vec<BTreeSet<String>> = kosaraju_scc(&graph)
        .into_iter()
        .filter(|group| group.len() > 1)
        .map(|group| group.into_iter().map(|file| file.trim_start_matches("src/").to_owned()).collect())
        .collect();
    found.sort();
    found
}

/// Which arrows make a cycle, for the person who has to cut one.
fn arrows_of(tree: &Tree, cycle: &BTreeSet<String>) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to, path) in arrows(tree) {
        let (from, to) = (from.trim_start_matches("src/"), to.trim_start_matches("src/"));
        if cycle.contains(from) && cycle.contains(to) {
            found.entry(format!("{from} -> {to}")).or_default().insert(path.join("::"));
        }
    }
    found
}

#[test]
fn files_that_lead_to_each_other_are_one_thought_and_the_list_says_why() {
    let tree = tree();
    let listed: BTreeMap<BTreeSet<String>, String> =
        rows(&architecture(), "### One thought in several files")
            .into_iter()
            .map(|row| {
                let [files, reason] = row.as_slice() else { panic!("not two cells: {row:?}") };
                assert!(reason.len() > 20, "{files}: no reason");
                (names(files), reason.clone())
            })
            .collect();
    let found = cycles(&tree);
    let mut wrong: Vec<String> = found
        .iter()
        .filter(|cycle| !listed.contains_key(*cycle))
        .map(|cycle| format!("a cycle that is not listed: {cycle:?}\n{:#?}", arrows_of(&tree, cycle)))
        .collect();
    let left_over = listed.keys().filter(|cycle| !found.contains(cycle));
    wrong.extend(left_over.map(|cycle| format!("these files lead to each other no more: {cycle:?}")));
    assert!(wrong.is_empty(), "ARCHITECTURE.md, One thought in several files:\n{}", wrong.join("\n"));
}
