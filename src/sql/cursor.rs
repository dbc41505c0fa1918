//! Reading one statement from its beginning: keywords, names, what stands in parentheses. Comments are passed
//! over.

use super::token::{Token, TokenKind, Tokens};

/// A place in a statement.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    text: &'a str,
    tokens: Tokens<'a>,
    next: Option<Token>,
}

impl<'a> Cursor<'a> {
    /// At the beginning of this statement.
    pub fn of(text: &'a str) -> Self {
        let mut cursor = Self { text, tokens: Tokens::of(text), next: None };
        cursor.advance();
        cursor
    }

    /// The token that comes next.
    pub const fn peek(&self) -> Option<Token> {
        self.next
    }

    /// Goes on, and answers what it passed.
    pub fn advance(&mut self) -> Option<Token> {
        let passed = self.next;
        self.next =
            self.tokens.find(|token| !matches!(token.kind, TokenKind::LineComment | TokenKind::BlockComment));
        passed
    }

    /// The text of a token.
    pub fn text(&self, token: Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    /// The text from here on.
    pub fn remaining(&self) -> &'a str {
        self.next.map_or("", |token| &self.text[token.start..])
    }

    /// Whether this keyword comes next.
    pub fn at(&self, keyword: &str) -> bool {
        self.next.is_some_and(|token| {
            token.kind == TokenKind::Word && self.text(token).eq_ignore_ascii_case(keyword)
        })
    }

    /// Whether one of these keywords comes next.
    pub fn at_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.at(keyword))
    }

    /// Passes these keywords, if they come next, all of them.
    pub fn eat(&mut self, keywords: &[&str]) -> bool {
        let before = self.clone();
        for keyword in keywords {
            if !self.at(keyword) {
                *self = before;
                return false;
            }
            self.advance();
        }
        true
    }

    /// Passes one of these keywords, if it comes next, and answers which.
    pub fn eat_any<'k>(&mut self, keywords: &[&'k str]) -> Option<&'k str> {
        let found = keywords.iter().find(|keyword| self.at(keyword))?;
        self.advance();
        Some(found)
    }

    /// Whether this byte comes next, as a token of its own.
    pub fn at_symbol(&self, symbol: u8) -> bool {
        self.next.is_some_and(|token| token.kind == TokenKind::Symbol(symbol))
    }

    /// Passes this byte.
    pub fn eat_symbol(&mut self, symbol: u8) -> bool {
        let there = self.at_symbol(symbol);
        if there {
            self.advance();
        }
        there
    }

    /// Passes what stands in parentheses, if they come next, and answers its text without them.
    pub fn parenthesised(&mut self) -> Option<&'a str> {
        let start = self.next.filter(|_| self.at_symbol(b'('))?.end;
        let mut depth = 0_usize;
        while let Some(token) = self.advance() {
            match token.kind {
                TokenKind::Symbol(b'(') => depth += 1,
                TokenKind::Symbol(b')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(&self.text[start..token.start]);
            }
        }
        None
    }

    /// Passes a name, possibly qualified, and answers its parts as PostgreSQL stores them; none where no name
    /// comes next.
    pub fn name(&mut self) -> Option<Name> {
        let mut parts = vec![self.part()?];
        while self.eat_symbol(b'.') {
            parts.push(self.part()?);
        }
        Some(Name(parts))
    }

    /// Passes a table, as `t`, `t *`, `ONLY t` or `ONLY (t)`, and answers its name.
    pub fn table(&mut self) -> Option<Name> {
        let enclosed = self.eat(&["ONLY"]) && self.eat_symbol(b'(');
        let name = self.name();
        if enclosed {
            self.eat_symbol(b')');
        } else {
            self.eat_symbol(b'*');
        }
        name
    }

    fn part(&mut self) -> Option<String> {
        let token = self.next?;
        let text = self.text(token);
        let part = match token.kind {
            TokenKind::Word => text.to_ascii_lowercase(),
            TokenKind::Quoted => match text.strip_prefix('"') {
                Some(rest) => rest.strip_suffix('"')?.replace("\"\"", "\""),
                None => return self.unicode_part(text),
            },
            _ => return None,
        };
        self.advance();
        Some(part)
    }

    /// `U&"…"`, with or without UESCAPE behind it.
    fn unicode_part(&mut self, text: &str) -> Option<String> {
        let body = text[3..].strip_suffix('"')?.replace("\"\"", "\"");
        self.advance();
        let mut escape = '\\';
        if self.eat(&["UESCAPE"]) {
            let token = self.advance()?;
            escape = self.text(token).trim_matches('\'').chars().next()?;
        }
        unescape(&body, escape)
    }

    /// What the first string from here on holds: the code of a `DO` or of a function, if it is written in
    /// dollar quotes or plain ones.
    pub fn body(&self) -> Option<&'a str> {
        let token = self.clone().rest().find(|token| token.kind == TokenKind::Text && token.closed)?;
        let text = self.text(token);
        let (begin, end) = match text.strip_prefix('$') {
            Some(rest) => (rest.find('$')? + 2, rest.find('$')? + 2),
            None => (text.find('\'')? + 1, 1),
        };
        text.get(begin..text.len() - end)
    }

    /// The tokens from here on.
    pub fn rest(mut self) -> impl Iterator<Item = Token> {
        std::iter::from_fn(move || self.advance())
    }

    /// Passes everything up to this keyword, and it too; whether it was there.
    pub fn passes(&mut self, keyword: &str) -> bool {
        while self.next.is_some() {
            if self.eat(&[keyword]) {
                return true;
            }
            self.advance();
        }
        false
    }

    /// Whether this keyword stands anywhere from here on.
    pub fn mentions(&self, keyword: &str) -> bool {
        let is =
            |token: Token| token.kind == TokenKind::Word && self.text(token).eq_ignore_ascii_case(keyword);
        self.clone().rest().any(is)
    }
}

/// A name as PostgreSQL stores it: its parts in order, without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub Vec<String>);

impl Name {
    /// The last part.
    pub fn own(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// As SQL, with every part in quotes.
    pub fn quoted(&self) -> String {
        self.0.iter().map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect::<Vec<_>>().join(".")
    }
}

/// `\0061` and `\+000061` become the characters that they stand for, also as two halves of a surrogate pair.
pub(super) fn unescape(text: &str, escape: char) -> Option<String> {
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != escape {
            units.extend(character.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        let mut ahead = rest.clone();
        let digits = match ahead.next()? {
            next if next == escape => {
                units.extend(next.encode_utf16(&mut [0; 2]).iter());
                rest = ahead;
                continue;
            }
            '+' => {
                rest.next();
                6
            }
            _ => 4,
        };
        let code: String = rest.by_ref().take(digits).collect();
        let code = u32::from_str_radix(&code, 16).ok().filter(|_| code.len() == digits)?;
        match u16::try_from(code) {
            Ok(unit) => units.push(unit),
            Err(_) => units.extend(char::from_u32(code)?.encode_utf16(&mut [0; 2]).iter()),
        }
    }
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<String> {
        Cursor::of(text).name().map(|name| name.quoted())
    }

    #[test]
    fn a_name_is_read_as_postgresql_stores_it() {
        for (text, stored) in [
            ("Patients", "\"patients\""),
            ("clinical . \"Patients\"", "\"clinical\".\"Patients\""),
            ("\"a\"\"b\"", "\"a\"\"b\""),
            ("Übung", "\"Übung\""),
            (r#"U&"d\0061t\+000061""#, "\"data\""),
            (r#"u&"d!0061t!!" UESCAPE '!'"#, "\"dat!\""),
            (r#"U&"\D83D\DE00""#, "\"😀\""),
            ("a /* . */ . /* */ b", "\"a\".\"b\""),
        ] {
            assert_eq!(name(text).as_deref(), Some(stored), "{text}");
        }
        for text in ["", "'a'", "a.", "1", r#"U&"\00""#] {
            assert_eq!(name(text), None, "{text}");
        }
    }

    #[test]
    fn keywords_are_passed_all_or_none() {
        let mut cursor = Cursor::of("if -- it\nNot \"EXISTS\"");
        assert!(!cursor.eat(&["IF", "NOT", "EXISTS"]));
        assert!(cursor.eat(&["IF", "NOT"]) && !cursor.at("EXISTS"));
    }

    #[test]
    fn the_code_of_a_block_is_what_its_string_holds() {
        for (sql, body) in
            [("DO $a$ x $a$", " x "), ("DO LANGUAGE plpgsql 'x'", "x"), ("DO E'x'", "x"), ("DO ''", "")]
        {
            assert_eq!(Cursor::of(sql).body(), Some(body), "{sql}");
        }
        assert_eq!(Cursor::of("CALL p()").body(), None);
    }

    #[test]
    fn parentheses_are_passed_as_a_whole() {
        let mut cursor = Cursor::of("(a, (')'), b) c");
        assert_eq!(cursor.parenthesised(), Some("a, (')'), b"));
        assert!(cursor.at("c"));
        assert_eq!(Cursor::of("(a").parenthesised(), None);
    }
}
