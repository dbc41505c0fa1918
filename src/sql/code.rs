//! Words of code: of a block or a routine, and of the strings in it, which `EXECUTE` may run. Comments are
//! passed over, at each depth by the rules of that depth.

use super::{
    constant::constant,
    token::{TokenKind, Tokens},
};

/// Strings in strings are read down to here; below, what looks like a comment is read as well.
const DEPTH: usize = 6;

/// A piece of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A keyword, or a name without quotes, in capitals.
    Word(String),
    /// A name in quotes, as PostgreSQL stores it.
    Name(String),
    /// A semicolon.
    End,
}

/// Passes each piece of a text to `take` until that answers true; whether it did.
pub(super) fn any(text: &str, take: &mut impl FnMut(Piece) -> bool) -> bool {
    within(text, DEPTH, take)
}

fn within(text: &str, depth: usize, take: &mut impl FnMut(Piece) -> bool) -> bool {
    if depth == 0 {
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        return words.into_iter().any(|word| take(Piece::Word(word.to_uppercase())));
    }
    Tokens::of(text).any(|token| {
        let piece = &text[token.start..token.end];
        match token.kind {
            TokenKind::Word => take(Piece::Word(piece.to_uppercase())),
            TokenKind::Quoted => take(Piece::Name(piece.trim_matches('"').replace("\"\"", "\""))),
            TokenKind::Text => match constant(piece) {
                Some(held) => within(&held, depth - 1, take),
                // What it stands for cannot be told: its words as they are written.
                None => within(piece, 0, take),
            },
            TokenKind::Symbol(b';') => take(Piece::End),
            _ => false,
        }
    })
}

/// The first of these phrases of two words that stands in a text.
pub(super) fn phrase<'p, P>(text: &str, phrases: &'p [(&str, P)]) -> Option<&'p P> {
    let (mut before, mut found) = (String::new(), None);
    any(text, &mut |piece| {
        let Piece::Word(word) = piece else {
            before.clear();
            return false;
        };
        let is = |phrase: &str| phrase.split_once(' ') == Some((before.as_str(), word.as_str()));
        found = phrases.iter().find(|(phrase, _)| is(phrase)).map(|(_, what)| what);
        before = word;
        found.is_some()
    });
    found
}

/// Whether a word stands anywhere in a text, in whatever case and language, also as a part of another one.
pub(super) fn contains(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<String> {
        let mut pieces = Vec::new();
        any(text, &mut |piece| {
            pieces.push(format!("{piece:?}"));
            false
        });
        pieces
    }

    #[test]
    fn code_in_strings_is_read_at_every_depth_and_comments_at_none() {
        let word = |word: &str| format!("Word({word:?})");
        assert_eq!(pieces("$$ a 'b ''c -- x'' ' /* d */ $$"), [word("A"), word("B"), word("C")]);
        assert_eq!(pieces("'--' || a"), [word("A")], "a string that holds a dash or two is no comment");
        assert_eq!(pieces("\"A b\";"), ["Name(\"A b\")", "End"]);
        assert_eq!(pieces("E'\\x41'"), [word("A")]);
        assert_eq!(pieces("E'\\xff b'"), [word("E"), word("XFF"), word("B")]);
    }

    #[test]
    fn strings_in_strings_without_end_need_no_stack_and_little_time() {
        let tags = |open: bool| -> String {
            let number = |n: usize| if open { n } else { 49_999 - n };
            (0..50_000).map(|n| format!("$a{}$", number(n))).collect()
        };
        let deep = format!("{} deepest {}", tags(true), tags(false));
        let begun = std::time::Instant::now();
        assert!(any(&deep, &mut |piece| piece == Piece::Word("DEEPEST".into())));
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
}
