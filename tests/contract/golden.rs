//! What is printed is what a file in the tree says. `UPDATE=1` writes the files; expect-test shows the lines
//! that differ.

use std::{env, fs, path::PathBuf};

use expect_test::expect_file;

/// The text is what the file says, which is named from the top of the tree.
pub fn is_current(file: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    expect_file![path].assert_eq(text);
}

#[test]
fn a_stale_file_and_a_missing_one_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("stale.txt");
    for stale in [None, Some("one\nanother\n")] {
        if let Some(text) = stale {
            fs::write(&file, text).expect("writes");
        }
        let found = std::panic::catch_unwind(|| expect_file![&file].assert_eq("one\ntwo\n"));
        // With its own variable, the library writes the file instead.
        assert_eq!(found.is_err(), env::var_os("UPDATE_EXPECT").is_none(), "{stale:?}");
    }
    fs::write(&file, "one\ntwo\n").expect("writes");
    expect_file![&file].assert_eq("one\ntwo\n");
}
