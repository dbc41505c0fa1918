//! A line of a file, as it may be shown.

use std::ops::Range;

use crate::{redact, visible::visible};

/// The most characters of a line that are shown.
const WIDTH: usize = 200;

/// The line that a place begins in, and the place in it. Neither shows what could be about a person, nor steers
/// the terminal.
pub fn excerpt(sql: &str, place: &Range<usize>) -> (String, Range<usize>) {
    let span = place.start.min(sql.len())..place.end.min(sql.len());
    let begins = sql[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let ends = sql[begins..].find('\n').map_or(sql.len(), |at| begins + at);
    let (mut shown, mut marked) = (String::new(), None::<Range<usize>>);
    for (at, letter) in redact::masked(sql, begins..ends).into_iter().take(WIDTH) {
        let letter = if letter.is_control() || visible(&letter.to_string()) != letter.to_string() {
            '\u{fffd}'
        } else {
            letter
        };
        let start = shown.len();
        shown.push(letter);
        if span.contains(&at) {
            marked = Some(marked.map_or(start, |marked| marked.start)..shown.len());
        }
    }
    let end = shown.len();
    (shown, marked.unwrap_or(0..end.min(1)))
}
