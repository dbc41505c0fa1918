//! What must never be repeated, and the one place that decides it: literals of statements and connection
//! strings. PURE.
//!
//! What a literal is, `sql` says. A word is never taken out because it equals a password: with the password
//! `public` every message about a schema would lose its sense, and would tell the password.

use std::{borrow::Cow, ops::Range};

use crate::sql::{Token, TokenKind, Tokens};

/// What stands in place of a connection string.
const URL: &str = "(connection URL)";
/// What stands in place of a password in a libpq string.
const PASSWORD: &str = "(password)";

/// A statement in one line: its literals as `$1`, `$2`, …, without its comments, and at most so many
/// characters.
pub fn statement(sql: &str, most: usize) -> String {
    statement_at(sql, 0, most)
}

/// The same for what begins at a byte of a file. Read from the file's beginning, because that byte may be
/// inside a literal.
pub fn statement_at(file: &str, from: usize, most: usize) -> String {
    let mut shown = Shown { text: String::new(), literals: 0 };
    let mut length = 0;
    for piece in Pieces::of(file).skip_while(|piece| piece.end <= from) {
        if length > most {
            break;
        }
        length += shown.push(&file[piece.start..piece.end], piece.kind);
    }
    bounded(shown.text.trim(), most)
}

/// A statement of the user's own file in one line, for the user who has it, where its literals are names of
/// the schema: with them, and at most so many characters. One that can hold a password is shown as
/// [`statement`] shows it.
pub fn own_statement(sql: &str, most: usize) -> String {
    if may_hold_a_password(sql) {
        return statement(sql, most);
    }
    let mut text = String::new();
    for piece in Pieces::of(sql) {
        match piece.kind {
            Kind::Gap if text.is_empty() || text.ends_with(' ') => {}
            Kind::Gap => text.push(' '),
            Kind::Literal | Kind::Other => text.push_str(&sql[piece.start..piece.end]),
        }
    }
    bounded(text.trim(), most)
}

/// A statement of the user's own file as it stands there, for the user who has it; one that can hold a password
/// as [`statement`] shows it.
pub fn own_text(sql: &str) -> Cow<'_, str> {
    if may_hold_a_password(sql) { Cow::Owned(statement(sql, usize::MAX)) } else { Cow::Borrowed(sql) }
}

fn may_hold_a_password(sql: &str) -> bool {
    let named = Tokens::of(sql).filter(|token| token.kind == TokenKind::Word).any(|token| {
        let word = &sql[token.start..token.end];
        ["PASSWORD", "OPTIONS", "CONNECTION", "SUBSCRIPTION"]
            .iter()
            .any(|secret| word.eq_ignore_ascii_case(secret))
    });
    named || connection_strings(sql) != sql
}

/// A range of a file, character by character with its place in bytes. Literals and comments are masked: as long as
/// they are, and without what they say. What Sluice reads in a comment itself is shown.
pub fn masked(file: &str, range: Range<usize>) -> Vec<(usize, char)> {
    let mut shown = Vec::new();
    for piece in Pieces::of(file).skip_while(|piece| piece.end <= range.start) {
        if piece.start >= range.end {
            break;
        }
        let text = &file[piece.start..piece.end];
        let is_comment = text.starts_with("--") || text.starts_with("/*");
        let directive = text.strip_prefix("--").is_some_and(|rest| rest.trim_start().starts_with("sluice:"));
        let hidden = piece.kind == Kind::Literal || (is_comment && !directive);
        for (at, letter) in text.char_indices() {
            let place = piece.start + at;
            if range.contains(&place) {
                let mask = hidden && !letter.is_whitespace() && !"'$-/*".contains(letter);
                shown.push((place, if mask { '·' } else { letter }));
            }
        }
    }
    shown
}

/// A value of a row, in quotes, where it can hardly be about a person: a number of at most four digits, true
/// or false, a UUID. Of any other nothing is repeated: a name, a date of birth (19800101) or the number of an
/// identity card, also without its first zeros, would be one.
pub fn value(value: &str) -> String {
    let number = value.strip_prefix('-').unwrap_or(value);
    let is_number = !number.is_empty() && number.len() <= 4 && number.chars().all(|c| c.is_ascii_digit());
    if is_number || ["true", "false"].contains(&value) || uuid::Uuid::try_parse(value).is_ok() {
        format!("{value:?}")
    } else {
        "a value that is left out here".to_owned()
    }
}

/// The target of log lines with whole texts of the server, which may quote rows and literals.
pub const DATA: &str = "sluice::data";

/// The text, at most so many characters.
pub fn bounded(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Gap,
    Literal,
    Other,
}

struct Piece {
    start: usize,
    end: usize,
    kind: Kind,
}

struct Shown {
    text: String,
    literals: usize,
}

impl Shown {
    /// How many characters were added.
    fn push(&mut self, piece: &str, kind: Kind) -> usize {
        match kind {
            Kind::Gap if self.text.is_empty() || self.text.ends_with(' ') => return 0,
            Kind::Gap => self.text.push(' '),
            Kind::Literal => {
                self.literals += 1;
                self.text.push_str(&format!("${}", self.literals));
            }
            Kind::Other => self.text.push_str(piece),
        }
        piece.chars().count().max(1)
    }
}

/// A file as gaps, literals and the rest. The rows that follow `COPY … FROM STDIN;` are one literal.
struct Pieces<'a> {
    file: &'a str,
    tokens: Tokens<'a>,
    /// What was read and comes after the gap before it.
    ahead: Option<Token>,
    at: usize,
    words: [bool; 2],
    rows_follow: bool,
}

impl<'a> Pieces<'a> {
    fn of(file: &'a str) -> Self {
        Self { file, tokens: Tokens::of(file), ahead: None, at: 0, words: [false; 2], rows_follow: false }
    }

    /// Up to the line `\.`, or to the end.
    fn rows(&mut self) -> Piece {
        let start = self.at;
        let rest = &self.file[start..];
        let end = rest.find("\n\\.").map_or(self.file.len(), |at| start + at + 3);
        (self.at, self.rows_follow, self.words) = (end, false, [false; 2]);
        self.tokens = Tokens::from(self.file, end);
        Piece { start, end, kind: Kind::Literal }
    }

    /// Notices `FROM STDIN` and the semicolon after it.
    fn note(&mut self, text: &str, kind: TokenKind) -> bool {
        match kind {
            TokenKind::Word => {
                let stdin = self.words[0] && text.eq_ignore_ascii_case("STDIN");
                self.words = [text.eq_ignore_ascii_case("FROM"), self.words[1] || stdin];
                false
            }
            TokenKind::Symbol(b';') => {
                let rows = self.words[1];
                self.words = [false; 2];
                rows
            }
            TokenKind::LineComment | TokenKind::BlockComment => false,
            _ => {
                self.words[0] = false;
                false
            }
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.rows_follow && self.at < self.file.len() {
            return Some(self.rows());
        }
        let start = self.at;
        let Some(token) = self.ahead.take().or_else(|| self.tokens.next()) else {
            self.at = self.file.len();
            return (start < self.at).then_some(Piece { start, end: self.at, kind: Kind::Gap });
        };
        if start < token.start {
            (self.ahead, self.at) = (Some(token), token.start);
            return Some(Piece { start, end: token.start, kind: Kind::Gap });
        }
        self.at = token.end;
        self.rows_follow = self.note(&self.file[start..self.at], token.kind);
        let kind = match token.kind {
            TokenKind::LineComment | TokenKind::BlockComment => Kind::Gap,
            TokenKind::Text | TokenKind::Number => Kind::Literal,
            TokenKind::Quoted if !token.closed => Kind::Literal,
            _ => Kind::Other,
        };
        Some(Piece { start, end: self.at, kind })
    }
}

/// The format of the RAISE in this text that made this message: what its author wrote, without the values put
/// into it.
pub fn raise_format(sql: &str, message: &str) -> Option<String> {
    let mut raised = 0;
    for token in Tokens::of(sql) {
        let text = &sql[token.start..token.end];
        match token.kind {
            TokenKind::Word if text.eq_ignore_ascii_case("RAISE") => raised = 2,
            // One word, the level, may stand between.
            TokenKind::Word => raised = i32::from(raised == 2),
            TokenKind::Text if raised > 0 && token.closed && text.starts_with('\'') => {
                let format = text[1..text.len() - 1].replace("''", "'");
                if makes(&format, message) {
                    return Some(format);
                }
                raised = 0;
            }
            TokenKind::Text if text.starts_with('$') => {
                if let Some(found) = body(text).and_then(|body| raise_format(body, message)) {
                    return Some(found);
                }
                raised = 0;
            }
            TokenKind::LineComment | TokenKind::BlockComment => {}
            _ => raised = 0,
        }
    }
    None
}

/// What is between the dollar quotes.
fn body(quoted: &str) -> Option<&str> {
    let tag = quoted[1..].find('$')? + 2;
    quoted.get(tag..quoted.len().checked_sub(tag)?)
}

/// Whether a format of RAISE, in which each `%` is a value, can make a message.
fn makes(format: &str, message: &str) -> bool {
    let mut pieces = format.split('%');
    let Some(mut rest) = pieces.next().and_then(|first| message.strip_prefix(first)) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    for (number, piece) in pieces.iter().enumerate() {
        let found = if number + 1 == pieces.len() {
            rest.strip_suffix(piece).map(str::len)
        } else {
            rest.find(piece)
        };
        let Some(at) = found else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.is_empty()
}

/// The text without connection URLs, and without the passwords of libpq's strings (`password=…`).
pub fn connection_strings(text: &str) -> Cow<'_, str> {
    let lower = text.to_ascii_lowercase();
    if !lower.contains("://") && !lower.contains("password") {
        return Cow::Borrowed(text);
    }
    let (mut shown, mut at) = (String::with_capacity(text.len()), 0);
    while let Some((start, end, instead)) = next_secret(text, &lower, at) {
        shown.push_str(&text[at..start]);
        shown.push_str(instead);
        at = end;
    }
    shown.push_str(&text[at..]);
    Cow::Owned(shown)
}

/// Schemes of what connects to a database.
const SCHEMES: [&str; 4] = ["postgres://", "postgresql://", "prisma://", "prisma+postgres://"];

/// What a message says that tells how to write a URL: it holds no password.
const PATTERNS: [&str; 4] = [
    "postgres://",
    "postgres://user:password@host:5432/database",
    "postgres://USER:password@…",
    "postgres://user:password@host/database",
];

fn next_secret(text: &str, lower: &str, from: usize) -> Option<(usize, usize, &'static str)> {
    let starts =
        SCHEMES.iter().flat_map(|scheme| lower[from..].match_indices(scheme).map(|(at, _)| from + at));
    let url = starts
        .map(|start| {
            let end = text[start..]
                .find(|c: char| c.is_whitespace() || "\"'`<>".contains(c))
                .map_or(text.len(), |at| start + at);
            (start, end, URL)
        })
        .filter(|(start, end, _)| {
            !PATTERNS.contains(&text[*start..*end].trim_end_matches([',', ';', '.', ':']))
        })
        .min();
    let password = lower[from..].match_indices("password").find_map(|(at, word)| {
        let after = from + at + word.len();
        let rest = text[after..].trim_start();
        let value = rest.strip_prefix('=')?.trim_start();
        let start = text.len() - value.len();
        Some((start, start + value_length(value), PASSWORD))
    });
    [url, password]
        .into_iter()
        .flatten()
        .filter(|(start, end, _)| start < end)
        .min_by_key(|(start, ..)| *start)
}

/// A value of libpq: up to a blank, or in single quotes with backslashes.
fn value_length(value: &str) -> usize {
    let Some(quoted) = value.strip_prefix('\'') else {
        return value.find(char::is_whitespace).unwrap_or(value.len());
    };
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            '\'' if !escaped => return at + 2,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_of_a_statement_are_numbered_and_everything_else_stays() {
        let table = [
            (
                "INSERT INTO patients VALUES (1, 'Jane O''Brien', E'it\\'s', $q$Doe$q$)",
                "INSERT INTO patients VALUES ($1, $2, $3, $4)",
            ),
            ("ALTER ROLE app\n  PASSWORD 's3cret' -- of Jane\n", "ALTER ROLE app PASSWORD $1"),
            ("UPDATE \"Patient\" /* Jane */ SET a = -1.5e3", "UPDATE \"Patient\" SET a = -$1"),
            ("SELECT 'unterminated Jane", "SELECT $1"),
            ("SELECT \"unterminated Jane", "SELECT $1"),
            (
                "COPY t (a, b) FROM STDIN;\n1\tJane Doe\n\\.\nSELECT 2",
                "COPY t (a, b) FROM STDIN;$1 SELECT $2",
            ),
            ("SELECT U&'\\0041', B'1', X'f', N'Jane'", "SELECT $1, $2, $3, $4"),
        ];
        for (sql, expected) in table {
            assert_eq!(statement(sql, 200), expected);
        }
        assert_eq!(statement(&format!("SELECT {}", "a, ".repeat(1000)), 20).chars().count(), 21);
    }

    #[test]
    fn the_users_own_statement_is_shown_whole_unless_it_can_hold_a_password() {
        let table = [
            ("ALTER TYPE mood\n  ADD VALUE 'calm' -- new", "ALTER TYPE mood ADD VALUE 'calm'"),
            ("ALTER ROLE app PASSWORD 's3cret'", "ALTER ROLE app PASSWORD $1"),
            (
                "CREATE SUBSCRIPTION s CONNECTION 'host=db' PUBLICATION p",
                "CREATE SUBSCRIPTION s CONNECTION $1 PUBLICATION p",
            ),
            ("SELECT dblink('postgres://app:s3cret@db/records')", "SELECT dblink($1)"),
        ];
        for (sql, expected) in table {
            assert_eq!(own_statement(sql, 200), expected);
        }
    }

    #[test]
    fn a_value_is_repeated_where_it_can_hardly_be_about_a_person() {
        for (value, repeated) in [
            ("-1234", true),
            ("78051120", false),
            ("19800101", false),
            ("12345", false),
            ("true", true),
            ("6f9619ff-8b86-d011-b42d-00c04fc964ff", true),
            ("123456789", false),
            ("Jane", false),
            ("1990-01-02", false),
            ("1, 2", false),
            ("", false),
        ] {
            assert_eq!(super::value(value) == format!("{value:?}"), repeated, "{value}");
        }
    }

    #[test]
    fn a_place_inside_a_literal_or_inside_rows_is_still_one() {
        let file = "INSERT INTO t VALUES ('one\nJane Doe\nthree');";
        assert_eq!(statement_at(file, file.find("Jane").unwrap_or_default(), 100), "$1);");
        let file = "COPY t FROM STDIN;\n1\tJane\n2\tDoe\n";
        assert_eq!(statement_at(file, file.find("Doe").unwrap_or_default(), 100), "$1");
    }

    #[test]
    fn the_format_of_a_raise_is_found_where_it_made_the_message() {
        let sql = "DO $$ BEGIN RAISE NOTICE 'x'; IF true THEN RAISE EXCEPTION 'visit % of % isn''t there', \
            1, name; END IF; END $$";
        assert_eq!(
            raise_format(&sql.replace("isn''t", "is not"), "visit 1 of Jane is not there").as_deref(),
            Some("visit % of % is not there")
        );
        assert_eq!(
            raise_format(sql, "visit 1 of Jane isn't there").as_deref(),
            Some("visit % of % isn't there")
        );
        assert_eq!(raise_format(sql, "patient Jane"), None);
        assert_eq!(raise_format("RAISE 'a % and a long end'", "a b"), None);
        assert_eq!(raise_format("DO $$ BEGIN RAISE 'Jane'; END $$", "Jane Doe"), None);
        assert_eq!(raise_format("SELECT 'Jane Doe'", "Jane Doe"), None);
    }

    #[test]
    fn urls_and_passwords_of_libpq_go_and_words_stay() {
        let table = [
            (
                "cannot use postgres://app:s3cr@t/x#y@db:5432/records?schema=a: refused",
                "cannot use (connection URL) refused",
            ),
            ("\"postgresql://app@db/x\" is wrong", "\"(connection URL)\" is wrong"),
            ("host=db password=s3cret user=app", "host=db password=(password) user=app"),
            ("PGPASSWORD = 'it\\'s s3cret' x", "PGPASSWORD = (password) x"),
            ("sslpassword=k3y", "sslpassword=(password)"),
            ("the schema \"public\" has no table", "the schema \"public\" has no table"),
            (
                "password authentication failed for user \"app\"",
                "password authentication failed for user \"app\"",
            ),
            ("https://example.org/a", "https://example.org/a"),
            (
                "write postgres://user:password@host:5432/database, with",
                "write postgres://user:password@host:5432/database, with",
            ),
            (
                "a direct postgres:// URL, not postgres://a:b@c/d",
                "a direct postgres:// URL, not (connection URL)",
            ),
            ("postgres://user:password@host:5432/database?sslpassword=x", "(connection URL)"),
        ];
        for (text, expected) in table {
            assert_eq!(connection_strings(text), expected);
        }
    }
}
