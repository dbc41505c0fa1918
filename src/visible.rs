//! What would steer a terminal, a parser or the eye is shown instead of obeyed. PURE.
//!
//! Names in a database, names of files and what a server says may hold anything. [`visible`] is for one
//! value; [`lines`] and [`json`] are for a whole output, and the last thing before it is written.

use std::borrow::Cow;

use icu_properties::{
    CodePointSetData,
    props::{BidiControl, DefaultIgnorableCodePoint},
};

/// The text with control characters, invisible characters and those that turn the direction of writing
/// spelled out.
pub fn visible(text: &str) -> String {
    escaped(text, steers).into_owned()
}

/// A whole output: line feeds stay, everything else that steers is spelled out.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && steers(c))
}

/// A whole output that has colours of its own: what sets a colour (`ESC [ … m`) stays. Values in it are
/// [`visible`] already.
pub fn coloured(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return lines(text);
    }
    let mut pieces = text.split("\u{1b}[");
    let mut shown = lines(pieces.next().unwrap_or_default()).into_owned();
    for piece in pieces {
        let code = piece.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(piece.len());
        let is_colour = piece[code..].starts_with('m');
        shown.push_str(if is_colour { "\u{1b}[" } else { "\\u{1b}[" });
        shown.push_str(&lines(piece));
    }
    Cow::Owned(shown)
}

/// A whole output of JSON, which can say every character by its number: nothing of its meaning is lost.
pub fn json(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| c != '\n' && steers(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && steers(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

fn escaped(text: &str, steers: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, marks and overrides of direction, invisible characters, separators of lines, and what
/// no XML document may hold.
fn steers(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}')
        || CodePointSetData::new::<BidiControl>().contains(c)
        // Variation selectors only choose between an emoji and a plain sign.
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c) && !matches!(c, '\u{fe00}'..='\u{fe0f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal_and_everything_else_stays() {
        assert_eq!(visible("a\u{1b}[31m\nb\u{202e}c"), "a\\u{1b}[31m\\nb\\u{202e}c");
        assert_eq!(visible("naïve “𝛼” 🏥 ❤️ <&>"), "naïve “𝛼” 🏥 ❤️ <&>");
        let all = [
            "\u{7}",
            "\r",
            "\u{9b}",
            "\u{200b}",
            "\u{200d}",
            "\u{2060}",
            "\u{2066}",
            "\u{2069}",
            "\u{ad}",
            "\u{e0041}",
            "\u{feff}",
        ];
        for one in all {
            assert!(
                visible(one).starts_with('\\') && lines(one).starts_with('\\') && json(one).starts_with('\\'),
                "{one:?}"
            );
        }
    }

    #[test]
    fn an_output_keeps_its_lines_and_its_own_colours() {
        assert_eq!(lines("a\nb\rc\td"), "a\nb\\rc\\td");
        assert_eq!(
            coloured("\u{1b}[1;31mred\u{1b}[0m\n\u{1b}[2J\u{1b}]0;title\u{7}"),
            "\u{1b}[1;31mred\u{1b}[0m\n\\u{1b}[2J\\u{1b}]0;title\\u{7}"
        );
        assert_eq!(coloured("plain\u{1b}"), "plain\\u{1b}");
    }

    #[test]
    fn json_means_the_same_as_before() {
        let text = serde_json::to_string_pretty(&serde_json::json!({"a": "x\u{202e}\u{7f}\u{e0041}\u{1b}y"}))
            .unwrap_or_default();
        let shown = json(&text);
        assert!(shown.is_ascii(), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).ok(), serde_json::from_str(&text).ok());
    }
}
