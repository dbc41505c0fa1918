//! What is repeated of a statement in messages.

use sluice::redact;

use super::{
    Target,
    splitter::{SEEDS, WORDS},
};

pub const TARGET: Target = Target { name: "redaction", seeds: &SEEDS, words: &WORDS, read };

fn read(text: &str) {
    assert!(redact::statement(text, 120).chars().count() <= 121);
    let _ = redact::connection_strings(text);
}
