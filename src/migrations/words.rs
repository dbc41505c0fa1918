//! Whether two files say the same but for comments and blanks. PURE.

use crate::sql::{TokenKind, Tokens};

/// What stands between two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Blank,
    /// A line break: it makes one string of two.
    Line,
}

/// A word, and whether what stands before it matters.
#[derive(Debug, PartialEq, Eq)]
struct Word<'a> {
    text: &'a str,
    /// Two operators that touch are one; two strings with a line break between them are one.
    joined: bool,
}

/// Whether PostgreSQL reads the same words in both. False where that cannot be said.
pub(super) fn are_the_same(one: &str, other: &str) -> bool {
    words(one).is_some_and(|one| Some(one) == words(other))
}

fn words(sql: &str) -> Option<Vec<Word<'_>>> {
    let mut words: Vec<Word<'_>> = Vec::new();
    let (mut at, mut gap, mut before) = (0, Gap::Line, None);
    for token in Tokens::of(sql) {
        let text = &sql[token.start..token.end];
        gap = gap.max(match &sql[at..token.start] {
            "" => Gap::None,
            blanks if blanks.contains(['\n', '\r']) => Gap::Line,
            _ => Gap::Blank,
        });
        at = token.end;
        match token.kind {
            _ if !token.closed => return None,
            TokenKind::LineComment => gap = Gap::Line,
            TokenKind::BlockComment => gap = gap.max(Gap::Blank),
            kind => {
                let is_string = kind == TokenKind::Text && !text.starts_with('$');
                let joined = match before {
                    Some((before, _)) if is_operator(before) && is_operator(kind) => gap == Gap::None,
                    Some((_, true)) if is_string => gap == Gap::Line,
                    _ => false,
                };
                words.push(Word { text, joined });
                (gap, before) = (Gap::None, Some((kind, is_string)));
            }
        }
    }
    Some(words)
}

/// Of what an operator can be made, and the colon of a cast.
const fn is_operator(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::Symbol(symbol) if !matches!(symbol, b'(' | b')' | b'[' | b']' | b',' | b';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blanks_make_no_difference() {
        let sql = "CREATE TABLE t (x int, y text);\nSELECT a->>'b', 1 + -2;";
        for other in [
            "-- CreateTable\nCREATE TABLE t (x int, y text);\n\n\nSELECT a->>'b', 1 + -2;\n",
            "/* a /* nested */ word */ CREATE TABLE t(x int,y text);SELECT a ->> 'b',1 + -2;",
            "\tCREATE\r\n\tTABLE t ( x int , -- the key\n y text ) ;\nSELECT a->>'b', 1 + -2 ;",
        ] {
            assert!(are_the_same(sql, other), "{other}");
        }
        assert!(are_the_same("", "-- nothing\n"));
    }

    #[test]
    fn every_word_makes_a_difference_and_so_does_what_only_looks_like_a_comment() {
        for (one, other) in [
            ("SELECT 1;", "SELECT 2;"),
            ("SELECT 1;", "SELECT 1; SELECT 2;"),
            ("SELECT x;", "SELECT X;"),
            ("SELECT 'a  b';", "SELECT 'a b';"),
            ("SELECT '-- a';", "SELECT '-- b';"),
            ("SELECT \"a b\";", "SELECT \"a  b\";"),
            ("DO $$ BEGIN NULL; END $$;", "DO $$ BEGIN  NULL; END $$;"),
            ("SELECT ab;", "SELECT a b;"),
            ("SELECT a @- 1;", "SELECT a @ - 1;"),
            ("SELECT 'a'\n'b';", "SELECT 'a' 'b';"),
            ("SELECT e'a';", "SELECT e 'a';"),
            ("DROP TABLE t;", "-- DROP TABLE t;"),
            ("SELECT 1 /* open", "SELECT 1 /* open"),
        ] {
            assert!(!are_the_same(one, other), "{one} and {other}");
        }
    }
}
