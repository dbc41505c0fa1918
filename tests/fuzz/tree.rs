//! Inputs made from a document: its values taken out, doubled, moved, mixed and replaced, so that what comes
//! out is a document still.
//!
//! Changed byte by byte, nearly every document is refused by the parser, and whatever reads it behind the
//! parser sees nothing.

use fastrand::Rng;
use serde_json::{Value, json};

/// Names and texts that mean something somewhere.
const TEXTS: [&str; 12] = [
    "",
    "Passed",
    "Failed",
    "Ready",
    "../../x",
    "\u{1b}[2J",
    "\u{202e}",
    "postgres://u:p@h/d",
    "\0",
    "9e9",
    "2026-02-30T25:61:61Z",
    "é😀",
];

/// The document with a few changes, as JSON, which YAML takes too.
pub fn changed(random: &mut Rng, document: &Value, words: &[&str]) -> String {
    let mut changed = document.clone();
    for _ in 0..random.u32(1..5) {
        let other = some_value(random, document);
        change(random, &mut changed, &other, words);
    }
    changed.to_string()
}

/// A value from anywhere in the document.
fn some_value(random: &mut Rng, within: &Value) -> Value {
    let inside: Vec<&Value> = match within {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    match random.choice(inside) {
        Some(inside) if random.u32(..4) > 0 => some_value(random, inside),
        _ => within.clone(),
    }
}

/// Goes down to some place and changes what is there.
fn change(random: &mut Rng, value: &mut Value, other: &Value, words: &[&str]) {
    let deeper = random.u32(..5) > 0;
    match value {
        Value::Object(fields) if deeper && !fields.is_empty() => {
            let at = random.usize(..fields.len());
            let name = fields.keys().nth(at).cloned().unwrap_or_default();
            match random.u32(..8) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert(format!("{name}s"), other.clone())),
                _ => change(random, &mut fields[&name], other, words),
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = random.usize(..items.len());
            match random.u32(..8) {
                0 => drop(items.remove(at)),
                1 => {
                    let item = items[at].clone();
                    items.extend(std::iter::repeat_n(item, random.usize(..300)));
                }
                _ => change(random, &mut items[at], other, words),
            }
        }
        _ => *value = leaf(random, other, words),
    }
}

fn leaf(random: &mut Rng, other: &Value, words: &[&str]) -> Value {
    match random.u32(..9) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 => json!([0, 1, -1, i64::MAX, i64::MIN][random.usize(..5)]),
        3 => json!([0.5, 1e300, 1.8e19][random.usize(..3)]),
        4 => json!([]),
        5 => json!({}),
        6 => json!(TEXTS[random.usize(..TEXTS.len())]),
        7 => json!(random.choice(words).copied().unwrap_or_default().repeat(random.usize(1..400))),
        _ => other.clone(),
    }
}
