//! The files in `crds/` are what the binary prints. `UPDATE=1` writes them.

use std::{fs, path::PathBuf};

use sluice::objects::crd_files;

use crate::golden;

#[test]
fn the_crds_are_current() {
    for (name, text) in crd_files() {
        golden::is_current(&format!("crds/{name}"), &text);
    }
}

#[test]
fn no_file_is_left_over() {
    let known: Vec<String> = crd_files().into_iter().map(|(name, _)| name).collect();
    for entry in fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crds")).expect("crds/") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(name == "examples" || known.contains(&name), "crds/{name} belongs to no kind");
    }
}

#[test]
fn a_new_object_is_not_taken_for_a_finished_one() {
    let (_, text) = crd_files().remove(0);
    assert!(text.contains("observedGeneration: -1"), "the status has no default");
}
