//! What the parser can be given. It calls itself for each thing in a thing, so a text that is deep enough would end
//! the process; and its tree takes many times the memory of the text.

use crate::sql::{TokenKind, Tokens};

/// The most bytes of a file.
const BYTES: usize = 512 << 10;
/// The most things in things.
const DEPTH: usize = 500;
/// The most words, operators and constants between two commas: each may be one level of the tree, and the time grows
/// with the square of them.
const CHAIN: usize = 4_000;
/// Stack of the thread that parses.
pub(in crate::lint) const STACK: usize = 256 << 20;

/// Whether a file can be read; if not, why.
pub(super) fn kept(sql: &str) -> Result<(), &'static str> {
    if sql.len() > BYTES {
        return Err("it is larger than 512 KiB");
    }
    // Of each parenthesis that is open, how much it holds since its last comma.
    let (mut chains, mut run) = (vec![0_usize], 0_usize);
    for token in Tokens::of(sql) {
        match token.kind {
            TokenKind::LineComment | TokenKind::BlockComment => continue,
            TokenKind::Symbol(b'(' | b'[') => chains.push(0),
            TokenKind::Symbol(b')' | b']') if chains.len() > 1 => drop(chains.pop()),
            TokenKind::Symbol(b',' | b';') => {
                chains.iter_mut().last().into_iter().for_each(|chain| *chain = 0);
            }
            _ => {}
        }
        let chain = chains.iter_mut().last().map_or(0, |chain| {
            *chain += 1;
            *chain
        });
        // What stands before an operand, or opens without a parenthesis.
        let operand = matches!(token.kind, TokenKind::Text | TokenKind::Number | TokenKind::Quoted)
            || (token.kind == TokenKind::Word && !opens(&sql[token.start..token.end]));
        run = if operand { 0 } else { run + 1 };
        if chains.len() + run > DEPTH {
            return Err("its expressions are nested more than 500 deep");
        }
        if chain > CHAIN {
            return Err("one of its expressions has more than 4,000 words");
        }
    }
    Ok(())
}

fn opens(word: &str) -> bool {
    ["NOT", "CASE", "WHEN", "SELECT", "ARRAY", "ROW", "EXISTS", "PRIOR"]
        .iter()
        .any(|open| word.eq_ignore_ascii_case(open))
}

#[cfg(test)]
mod tests {
    use super::super::super::{Preset, Tables, Weight, said};

    fn judged(sql: &str) -> bool {
        !said(&[sql], &Tables::default(), Preset::Standard).iter().any(|(id, ..)| id == "not-judged")
    }

    #[test]
    fn no_text_ends_the_process_or_takes_for_ever_however_deep_it_is() {
        for (before, more, middle, close, after) in [
            ("SELECT ", "(", "1", ")", ""),
            ("SELECT ", "NOT ", "true", "", ""),
            ("SELECT ", "- ", "1", "", ""),
            ("SELECT 1", "+1", "", "", ""),
            ("SELECT a", ".a", "", "", ""),
            ("SELECT 1", "::int", "", "", ""),
            ("SELECT 1", " IS NULL", "", "", ""),
            ("SELECT ", "CASE WHEN ", "true THEN 1", " END", ""),
            ("SELECT ", "CASE 1 WHEN 1 THEN ", "1", " END", ""),
            ("SELECT ", "ARRAY[", "1", "]", ""),
            ("SELECT a", "[1]", "", "", ""),
            ("SELECT ", "(SELECT ", "1", ")", ""),
            ("SELECT 1", " UNION SELECT 1", "", "", ""),
            ("SELECT * FROM t", " JOIN t ON true", "", "", ""),
            ("SELECT ", "f(", "1", ")", ""),
            ("", "EXPLAIN ", "SELECT 1", "", ""),
            ("", "WITH a AS (", "SELECT 1", ") SELECT 1", ""),
            ("CREATE TABLE t (a int", " CHECK (true)", "", "", ")"),
            ("CREATE SCHEMA s", " CREATE TABLE t (a int)", "", "", ""),
            ("", "CREATE SCHEMA s ", "", "", ""),
        ] {
            // As much as the bounds let through, and as much as a file can hold.
            for most in [490, 3_900, (super::BYTES - 100) / (more.len() + close.len())] {
                let sql = format!("{before}{}{middle}{}{after};", more.repeat(most), close.repeat(most));
                judged(&sql);
            }
        }
    }

    #[test]
    fn what_is_too_deep_or_too_large_is_said_and_never_passes_for_judged() {
        assert!(judged("SELECT ((((1))));"));
        let deep = format!("SELECT {}1{};", "(".repeat(501), ")".repeat(501));
        let large = format!("INSERT INTO t VALUES {} (1);", "(1),".repeat(super::BYTES / 4));
        for sql in [deep, large] {
            assert!(!judged(&sql));
            let found = said(&[&sql], &Tables::default(), Preset::Standard);
            assert_eq!(found[0].1, Weight::Approve);
        }
    }
}
