//! Which names of an error the statement itself has: those are its author's, and no value of a row. PURE.

use std::collections::BTreeSet;

use crate::sql::{TokenKind, Tokens};

/// The names in a statement, as the server shows them.
pub(super) struct Written {
    /// Names, and their parts between underscores, of which PostgreSQL makes names of its own
    /// (`patients_ssn_key`).
    words: BTreeSet<String>,
    /// What stands in its strings.
    literals: String,
    /// Every quoted name is from the statement.
    placed: bool,
    /// What has no quotes may be a value, too: `column p.Jane does not exist`, of a text that was put
    /// together.
    inside: bool,
}

/// Signs around a name, in the languages that PostgreSQL speaks. A single one is an apostrophe in some of
/// them.
const QUOTES: [char; 10] = ['"', '«', '»', '„', '“', '”', '‟', '「', '」', '『'];
/// What PostgreSQL adds to a name that it makes itself.
const SUFFIXES: [&str; 10] = ["pkey", "key", "fkey", "idx", "seq", "check", "excl", "not", "null", "id"];
/// Words of PostgreSQL's messages about names, and its types.
const TEMPLATE: &str = "a access aggregate already an and argument arguments be because by cannot cast casts \
    clause column columns constraint create \
    database defined denied depend depends does drop exist exists explicit expression extension for foreign \
    from function \
    given group hint in index is it its key language match matches might must name need no not objects of on \
    operator other owner permission \
    policy procedure reference referenced references relation replica role schema sequence table the this to \
    trigger type types unique use used \
    view with you add \
    bigint integer smallint numeric real double precision text character varying boolean date time timestamp \
    zone without interval uuid json jsonb \
    bytea unknown record";

impl Written {
    /// Reads the names of a statement. `placed`: the server said where in it the error is. `inside`: it
    /// happened in code that ran within it.
    pub(super) fn in_statement(text: &str, placed: bool, inside: bool) -> Self {
        let mut written =
            Self { words: BTreeSet::new(), literals: String::new(), placed, inside: inside && !placed };
        written.read(text);
        written
    }

    fn read(&mut self, text: &str) {
        for token in Tokens::of(text) {
            let piece = &text[token.start..token.end];
            match token.kind {
                TokenKind::Word => self.add(&piece.to_lowercase()),
                TokenKind::Quoted if token.closed => {
                    let name = piece.trim_start_matches(['U', 'u', '&']);
                    self.add(&name[1..name.len() - 1].replace("\"\"", "\""));
                }
                TokenKind::Text => match body(piece) {
                    // The body of a function or of a DO block has statements of its own.
                    Some(body) => self.read(body),
                    None => self.literals.push_str(piece),
                },
                _ => {}
            }
        }
    }

    fn add(&mut self, name: &str) {
        self.words.extend(name.split(['_', '.']).filter(|part| !part.is_empty()).map(str::to_owned));
        self.words.insert(name.to_owned());
    }

    /// A message without the names that the statement does not have.
    pub(super) fn only(&self, message: &str) -> String {
        let pieces: Vec<&str> = message.split(QUOTES).collect();
        let quoted = || pieces.iter().skip(1).step_by(2);
        let even = pieces.len() % 2 == 1;
        let message = if even && quoted().all(|name| self.has(name.trim())) {
            message.to_owned()
        } else {
            let (first, last) =
                (pieces.first().copied().unwrap_or_default(), pieces.last().copied().unwrap_or_default());
            format!("{first}\"$1\"{}", if even { last } else { "" })
        };
        if self.inside { self.known_words(&message) } else { message }
    }

    /// Whether a quoted name is the statement's own.
    fn has(&self, name: &str) -> bool {
        if self.placed && !self.literals.contains(name) {
            return true;
        }
        let suffix =
            |part: &str| SUFFIXES.contains(&part.strip_suffix(|c: char| c.is_ascii_digit()).unwrap_or(part));
        let known = |part: &str| self.words.contains(part) || suffix(part);
        self.words.contains(name)
            || name.split('.').all(|part| self.words.contains(part))
            || name.split('_').all(known)
    }

    /// A message with `$1` in place of each word that is neither the statement's nor PostgreSQL's.
    fn known_words(&self, message: &str) -> String {
        let is_known = |word: &str| {
            let name = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
            let lower = name.to_lowercase();
            name.is_empty()
                || word == "\"$1\""
                || TEMPLATE.split(' ').any(|known| known == lower)
                || name.split(['(', '.', ',', '"']).all(|part| self.has(part))
        };
        message.split(' ').map(|word| if is_known(word) { word } else { "$1" }).collect::<Vec<_>>().join(" ")
    }
}

/// What is between dollar quotes.
fn body(quoted: &str) -> Option<&str> {
    let tag = quoted.strip_prefix('$')?.find('$')? + 2;
    quoted.get(tag..quoted.len().checked_sub(tag)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_statement_stay_and_others_go() {
        let sql = "ALTER TABLE clinic.\"Patient Files\" ADD CONSTRAINT one_ssn UNIQUE (SSN); DO $$ BEGIN \
            EXECUTE 'x' || visits; END $$; SELECT 'Jane'";
        let written = Written::in_statement(sql, false, false);
        for (message, expected) in [
            ("relation \"clinic.Patient Files\" does not exist", None),
            ("column \"ssn\" of relation \"Patient Files\" already exists", None),
            ("relation \"one_ssn_key1\" already exists", None),
            ("relation \"visits\" does not exist", None),
            ("role \"Jane\" does not exist", Some("role \"$1\" does not exist")),
            ("role \"jane_ssn\" does not exist", Some("role \"$1\" does not exist")),
            ("no \"ssn", Some("no \"$1\"")),
        ] {
            assert_eq!(written.only(message), expected.unwrap_or(message));
        }
    }

    #[test]
    fn inside_of_code_what_has_no_quotes_is_a_value_too() {
        let sql = "DO $$ BEGIN EXECUTE format('SELECT p.%I FROM patients p', r.name); END $$";
        let inside = Written::in_statement(sql, false, true);
        assert_eq!(inside.only("column p.Jane Doe does not exist"), "column $1 $1 does not exist");
        assert_eq!(inside.only("function Jane(integer) does not exist"), "function $1 does not exist");
        assert_eq!(
            inside.only("operator does not exist: integer = text"),
            "operator does not exist: integer = text"
        );
        let outside = Written::in_statement(sql, false, false);
        assert_eq!(
            outside.only("cannot drop table visits because other objects depend on it"),
            "cannot drop table visits because other objects depend on it"
        );
    }
}
