//! Where the statements of a text begin and end: at semicolons that stand in no string, comment, parentheses
//! or SQL-standard body.
//!
//! PostgreSQL's grammar knows three places more where a semicolon may stand: strings and names, the actions
//! of a rule in parentheses, and `BEGIN ATOMIC … END` of a function. Whatever else is open at a semicolon is
//! a syntax error of the whole text.

use std::ops::Range;

use super::token::{Token, TokenKind, Tokens};

/// A text, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    /// Each statement that is not empty, without its semicolon and without comments around it, in bytes.
    pub statements: Vec<Range<usize>>,
    /// Comments that begin a line and may be directives, outside of statements and in them, but in no body of
    /// a function.
    pub remarks: Vec<Range<usize>>,
    /// The first thing that no server could read.
    pub fault: Option<Fault>,
}

/// What PostgreSQL's lexer or grammar can never accept, seen without reading further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A string, a name or a comment that begins here is not closed.
    Unclosed(usize, &'static str),
    /// A backslash outside of a string: a command of psql.
    Backslash(usize),
    /// A NUL byte, which no text of PostgreSQL can hold.
    Nul(usize),
}

impl Fault {
    /// Where it is, in bytes.
    pub const fn at(self) -> usize {
        match self {
            Self::Unclosed(at, _) | Self::Backslash(at) | Self::Nul(at) => at,
        }
    }
}

/// What is open while the text is read.
#[derive(Default)]
struct Open {
    /// Where the statement begins and where its last token ends.
    statement: Option<Range<usize>>,
    /// Where each open parenthesis stands; only the first is ever told.
    parentheses: usize,
    first_parenthesis: usize,
    /// Bodies of functions, with where the first begins.
    bodies: usize,
    first_body: usize,
    head: Head,
    /// The last word was BEGIN.
    after_begin: bool,
    /// A statement of a body may begin here, or the body end.
    in_body_boundary: bool,
}

/// How far `CREATE [OR REPLACE] {FUNCTION | PROCEDURE}` was read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Head {
    #[default]
    Nothing,
    Create,
    Or,
    Replace,
    Routine,
    Other,
}

/// Takes a text apart.
pub fn split(text: &str) -> Pieces {
    let mut pieces = Pieces { fault: text.find('\0').map(Fault::Nul), ..Pieces::default() };
    let mut open = Open::default();
    for token in Tokens::of(text) {
        if !token.closed {
            note(&mut pieces.fault, Fault::Unclosed(token.start, unclosed(text, token)));
        }
        match token.kind {
            TokenKind::LineComment if open.bodies == 0 && may_direct(text, token) => {
                pieces.remarks.push(token.start..token.end);
            }
            TokenKind::LineComment | TokenKind::BlockComment => {}
            TokenKind::Symbol(b';') if open.parentheses == 0 && open.bodies == 0 => {
                pieces.statements.extend(std::mem::take(&mut open).statement);
            }
            _ => {
                if token.kind == TokenKind::Symbol(b'\\') {
                    note(&mut pieces.fault, Fault::Backslash(token.start));
                }
                open.take(text, token);
            }
        }
    }
    if open.parentheses > 0 {
        note(&mut pieces.fault, Fault::Unclosed(open.first_parenthesis, "parenthesis"));
    } else if open.bodies > 0 {
        note(&mut pieces.fault, Fault::Unclosed(open.first_body, "body BEGIN ATOMIC"));
    }
    pieces.statements.extend(open.statement);
    pieces
}

impl Open {
    fn take(&mut self, text: &str, token: Token) {
        let start = self.statement.as_ref().map_or(token.start, |range| range.start);
        self.statement = Some(start..token.end);
        let (boundary, after_begin) =
            (std::mem::take(&mut self.in_body_boundary), std::mem::take(&mut self.after_begin));
        if boundary {
            self.head = Head::Nothing;
        }
        match token.kind {
            TokenKind::Symbol(b'(') => {
                if self.parentheses == 0 {
                    self.first_parenthesis = token.start;
                }
                self.parentheses += 1;
            }
            TokenKind::Symbol(b')') => self.parentheses = self.parentheses.saturating_sub(1),
            TokenKind::Symbol(b';') => self.in_body_boundary = self.parentheses == 0,
            TokenKind::Word if self.parentheses == 0 => {
                let is = |keyword: &str| text[token.start..token.end].eq_ignore_ascii_case(keyword);
                if self.bodies > 0 && boundary && is("END") {
                    self.bodies -= 1;
                    self.head = Head::Other;
                } else if self.head == Head::Routine && after_begin && is("ATOMIC") {
                    if self.bodies == 0 {
                        self.first_body = token.start;
                    }
                    self.bodies += 1;
                    self.in_body_boundary = true;
                }
                self.after_begin = is("BEGIN");
            }
            _ => {}
        }
        self.head = self.head.then(text, token);
    }
}

impl Head {
    fn then(self, text: &str, token: Token) -> Self {
        let is = |keyword: &str| {
            token.kind == TokenKind::Word && text[token.start..token.end].eq_ignore_ascii_case(keyword)
        };
        match self {
            Self::Nothing if is("CREATE") => Self::Create,
            Self::Create if is("OR") => Self::Or,
            Self::Or if is("REPLACE") => Self::Replace,
            Self::Create | Self::Replace if is("FUNCTION") || is("PROCEDURE") => Self::Routine,
            Self::Routine => Self::Routine,
            _ => Self::Other,
        }
    }
}

/// The first in the text is told.
fn note(fault: &mut Option<Fault>, found: Fault) {
    if fault.is_none_or(|known| found.at() < known.at()) {
        *fault = Some(found);
    }
}

fn unclosed(text: &str, token: Token) -> &'static str {
    match (token.kind, text.as_bytes()[token.start]) {
        (TokenKind::BlockComment, _) => "comment",
        (TokenKind::Quoted, _) => "name in quotes",
        (_, b'$') => "string in dollar quotes",
        _ => "string",
    }
}

/// Whether a comment begins its line and speaks to Sluice. A file may have millions of others.
fn may_direct(text: &str, token: Token) -> bool {
    text[token.start..token.end].trim_start_matches('-').trim_start().starts_with("sluice:")
        && begins_line(text, token.start)
}

/// Whether only blanks stand before it on its line.
fn begins_line(text: &str, at: usize) -> bool {
    text[..at].bytes().rev().take_while(|byte| *byte != b'\n').all(|byte| byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(text: &str) -> Vec<&str> {
        let pieces = split(text);
        assert_eq!(pieces.fault, None, "{text}");
        pieces.statements.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn only_semicolons_between_statements_split() {
        for whole in [
            "CREATE TABLE t (v text DEFAULT E'\\'; --')",
            "DO $$ BEGIN PERFORM 1; END $$",
            "SELECT $x$;$x$ /* ; /* ; */ ; */ AS \";\"",
            "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); INSERT INTO b VALUES (2);)",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN \
                1 END; END",
            "create or replace procedure p() begin atomic select 1 end; select t.end from t; end",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC END",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC CREATE FUNCTION g() RETURNS int BEGIN ATOMIC \
                SELECT 1; END; SELECT 2; END",
            "CREATE SCHEMA s CREATE TABLE t (a int) CREATE VIEW v AS SELECT 1",
        ] {
            assert_eq!(statements(&format!("-- a; comment\n{whole}; SELECT 2;;\n")), [whole, "SELECT 2"]);
        }
    }

    #[test]
    fn of_comments_only_those_are_kept_that_may_be_directives() {
        let text = "--\n-- why\n  -- sluice: no-transaction\nSELECT 1; -- sluice: x\n--sluice:y\n";
        let remarks: Vec<&str> = split(text).remarks.into_iter().map(|range| &text[range]).collect();
        assert_eq!(remarks, ["-- sluice: no-transaction", "--sluice:y"]);
    }

    #[test]
    fn begin_atomic_is_a_body_only_where_a_function_is_made() {
        assert_eq!(
            statements("SELECT begin atomic FROM t; SELECT 1"),
            ["SELECT begin atomic FROM t", "SELECT 1"]
        );
        assert_eq!(
            statements("BEGIN; CREATE FUNCTION f() AS $$;$$; END"),
            ["BEGIN", "CREATE FUNCTION f() AS $$;$$", "END"]
        );
    }

    #[test]
    fn what_no_server_could_read_is_told_with_its_place() {
        for (text, fault) in [
            ("SELECT 1;\n\\d t\n", Fault::Backslash(10)),
            ("SELECT '\\d';\n\\x", Fault::Backslash(13)),
            ("SELECT (1;\nCOMMIT;", Fault::Unclosed(7, "parenthesis")),
            ("SELECT 'a;\nCOMMIT;", Fault::Unclosed(7, "string")),
            ("/* ; ", Fault::Unclosed(0, "comment")),
            (
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;",
                Fault::Unclosed(38, "body BEGIN ATOMIC"),
            ),
            ("SELECT 'a\0b'", Fault::Nul(9)),
        ] {
            assert_eq!(split(text).fault, Some(fault), "{text}");
        }
    }
}
