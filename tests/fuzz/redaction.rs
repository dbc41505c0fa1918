//! What is repeated of a statement in messages.

use sluice::{redact, visible};

use super::{
    Target,
    splitter::{SEEDS, WORDS},
};

pub const TARGET: Target = Target { name: "redaction", seeds: &SEEDS, documents: false, words: &WORDS, read };

fn read(text: &str) -> bool {
    assert!(redact::statement(text, 120).chars().count() <= 121);
    assert!(!redact::connection_strings(text).to_ascii_lowercase().contains("postgres://"));
    let _ = (redact::statement_at(text, text.len() / 2, 100), redact::raise_format(text, "visit 1 of a"));
    let lines = visible::lines(text);
    assert_eq!(visible::lines(&lines), lines, "what is shown stays as it is");
    let json = serde_json::to_string(text).unwrap_or_default();
    assert_eq!(
        serde_json::from_str::<String>(&visible::json(&json)).ok().as_deref(),
        Some(text),
        "JSON means the same"
    );
    let _ = visible::coloured(text);
    true
}
