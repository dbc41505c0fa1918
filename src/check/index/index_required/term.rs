//! One entry of `columns` in a requirement: `created_at DESC`, `lower(email) text_pattern_ops`. PURE.

use super::catalog::Key;
use crate::inspect::sql;

/// What an entry means for a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    what: What,
    collation: Option<String>,
    opclass: Option<String>,
    descending: Option<bool>,
    nulls_first: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Column(String),
    Expression(String),
    Missing(String),
}

/// Reads an entry. Columns are taken as they are written, not folded to lower case: Prisma's are `lastName`.
pub(super) fn parse(entry: &str, columns: &[String]) -> Term {
    let entry = entry.trim();
    let plain = |what| Term { what, collation: None, opclass: None, descending: None, nulls_first: None };
    if let Some(column) = column(entry, columns) {
        return plain(What::Column(column));
    }
    let (rest, nulls_first) = match without_word(entry, "FIRST")
        .map(|rest| (rest, true))
        .or_else(|| without_word(entry, "LAST").map(|rest| (rest, false)))
    {
        Some((rest, first)) => without_word(rest, "NULLS").map_or((entry, None), |rest| (rest, Some(first))),
        None => (entry, None),
    };
    let (rest, descending) = match (without_word(rest, "DESC"), without_word(rest, "ASC")) {
        (Some(rest), _) => (rest, Some(true)),
        (None, Some(rest)) => (rest, Some(false)),
        (None, None) => (rest, None),
    };
    let (what, options) = head(rest, columns);
    let (collation, opclass) = options_of(options);
    Term { what, collation, opclass, descending, nulls_first }
}

/// The column or expression at the beginning, and the words after it.
fn head<'a>(text: &'a str, columns: &[String]) -> (What, &'a str) {
    let spaces = text.char_indices().filter(|(_, character)| character.is_whitespace()).map(|(at, _)| at);
    let mut ends: Vec<_> = spaces.chain(std::iter::once(text.len())).collect();
    ends.reverse();
    for end in ends {
        if let Some(column) = column(text[..end].trim_end(), columns) {
            return (What::Column(column), text[end..].trim());
        }
    }
    match text.rfind(')') {
        Some(end) => (What::Expression(text[..=end].to_owned()), text[end + 1..].trim()),
        None => (What::Missing(text.split_whitespace().next().unwrap_or(text).to_owned()), ""),
    }
}

fn column(text: &str, columns: &[String]) -> Option<String> {
    let unquoted =
        text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).map(|text| text.replace("\"\"", "\""));
    columns.iter().find(|column| *column == text || unquoted.as_ref() == Some(*column)).cloned()
}

/// The text before its last word, if that is the word.
fn without_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (rest, last) = text.rsplit_once(char::is_whitespace)?;
    last.eq_ignore_ascii_case(word).then(|| rest.trim_end())
}

/// `COLLATE "C" text_pattern_ops`, either part optional.
fn options_of(text: &str) -> (Option<String>, Option<String>) {
    let name = |word: &str| word.rsplit('.').next().unwrap_or(word).trim_matches('"').to_owned();
    let words: Vec<_> = text.split_whitespace().collect();
    match words.as_slice() {
        [first, collation, rest @ ..] if first.eq_ignore_ascii_case("COLLATE") => {
            (Some(name(collation)), rest.first().map(|word| name(word)))
        }
        [opclass, ..] => (None, Some(name(opclass))),
        [] => (None, None),
    }
}

impl Term {
    /// The name of a column that the table does not have.
    pub(super) fn missing(&self) -> Option<&str> {
        match &self.what {
            What::Missing(name) => Some(name),
            What::Column(_) | What::Expression(_) => None,
        }
    }

    /// An expression, which only PostgreSQL can compare.
    pub(super) fn expression(&self) -> Option<&str> {
        match &self.what {
            What::Expression(text) => Some(text),
            What::Column(_) | What::Missing(_) => None,
        }
    }

    /// The column or expression as it was written.
    pub(super) fn text(&self) -> &str {
        match &self.what {
            What::Column(text) | What::Expression(text) | What::Missing(text) => text,
        }
    }

    /// As it stands in CREATE INDEX.
    pub(super) fn sql(&self) -> String {
        let mut text = match &self.what {
            What::Column(name) | What::Missing(name) => sql::identifier(name),
            What::Expression(text) if text.starts_with('(') => text.clone(),
            What::Expression(text) => format!("({text})"),
        };
        if let Some(collation) = &self.collation {
            text = format!("{text} COLLATE {}", sql::identifier(collation));
        }
        if let Some(opclass) = &self.opclass {
            text = format!("{text} {opclass}");
        }
        match self.descending {
            Some(true) => text.push_str(" DESC"),
            Some(false) => text.push_str(" ASC"),
            None => {}
        }
        match self.nulls_first {
            Some(true) => text.push_str(" NULLS FIRST"),
            Some(false) => text.push_str(" NULLS LAST"),
            None => {}
        }
        text
    }

    /// Whether a key has the options that are written. Where none is, the operator class must do what the
    /// default one does, which is to compare and to order; direction and collation may be anything.
    pub(super) fn options_match(&self, key: &Key) -> bool {
        self.descending.is_none_or(|descending| descending == key.descending)
            && self.nulls_first.is_none_or(|first| first == key.nulls_first)
            && self.opclass.as_ref().map_or(key.default_opclass, |opclass| *opclass == key.opclass)
            && self.collation.as_ref().is_none_or(|collation| Some(collation) == key.collation.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(entry: &str) -> String {
        parse(entry, &["lastName", "email", "a b", "desc"].map(str::to_owned)).sql()
    }

    #[test]
    fn every_option_of_an_entry_is_understood() {
        for (entry, sql) in [
            ("lastName", "\"lastName\""),
            ("\"lastName\" desc", "\"lastName\" DESC"),
            ("email ASC NULLS FIRST", "\"email\" ASC NULLS FIRST"),
            ("email text_pattern_ops DESC nulls last", "\"email\" text_pattern_ops DESC NULLS LAST"),
            ("email COLLATE \"C\" text_ops", "\"email\" COLLATE \"C\" text_ops"),
            ("lower(email) DESC", "(lower(email)) DESC"),
            ("(email || 'x')", "(email || 'x')"),
            ("a b", "\"a b\""),
            ("a b DESC", "\"a b\" DESC"),
            ("desc", "\"desc\""),
        ] {
            assert_eq!(parsed(entry), sql, "{entry}");
        }
    }

    #[test]
    fn a_column_that_is_not_there_is_named_as_it_was_written() {
        let columns = ["lastname".to_owned()];
        assert_eq!(parse("lastName DESC", &columns).missing(), Some("lastName"));
        assert_eq!(parse("lastname", &columns).missing(), None);
    }
}
