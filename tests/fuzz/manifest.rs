//! What a person writes into a file.

use serde_json::Value;
use sluice::{api::DatabaseMigration, validate::validate};

use super::Target;

pub const TARGET: Target = Target { name: "manifest", seeds: &SEEDS, documents: true, words: &WORDS, read };

const SEEDS: [&str; 2] = [
    include_str!("../../crds/examples/accept/every-section.yaml"),
    include_str!("../../crds/examples/accept/minimal.yaml"),
];
const WORDS: [&str; 14] =
    ["&a ", "*a", "- ", ": ", "\n  ", "{", "[", "!!", "? ", "| ", "null", "999999999999", "10000h", "../"];

fn read(text: &str) -> bool {
    let mut read = false;
    for value in serde_saphyr::from_multiple::<Value>(text).unwrap_or_default() {
        if let Ok(object) = serde_json::from_value::<DatabaseMigration>(value) {
            read = true;
            let Ok(valid) = validate(&object) else { continue };
            assert!(
                !valid.name.contains('/') && !valid.namespace.contains('/'),
                "a name is no path: {:?}",
                valid.name
            );
        }
    }
    read
}
