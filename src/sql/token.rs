//! PostgreSQL's lexical rules: where strings, names, comments and bodies in dollar quotes begin and end. What
//! each token means is decided elsewhere. It needs no memory, and time in proportion to the text.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in double quotes, also `U&"…"`.
    Quoted,
    /// A string of any form: `'…'`, `E'…'`, `U&'…'`, `B'…'`, `$$…$$`.
    Text,
    /// Digits, with what belongs to them.
    Number,
    /// Any other byte.
    Symbol(u8),
    /// `-- …`, without the end of its line.
    LineComment,
    /// `/* … */`
    BlockComment,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it begins, in bytes.
    pub start: usize,
    /// Where it ends, in bytes.
    pub end: usize,
    /// False where the text ends before it does.
    pub closed: bool,
}

/// The tokens of a text, comments included.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    /// Of this text.
    pub const fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// From this byte on, which no token may hold.
    pub const fn from(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn while_(&self, from: usize, holds: impl Fn(u8) -> bool) -> usize {
        let bytes = self.text.as_bytes();
        bytes[from..].iter().position(|byte| !holds(*byte)).map_or(bytes.len(), |length| from + length)
    }

    /// The end of what `'` or `"` began before `at`: a doubled quote stands for itself, and so does what
    /// follows a backslash in `E'…'`.
    fn quoted(&self, mut at: usize, quote: u8, escapes: bool) -> (usize, bool) {
        while let Some(byte) = self.byte(at) {
            at += 1;
            if escapes && byte == b'\\' {
                at += 1;
            } else if byte == quote {
                match self.byte(at) {
                    Some(next) if next == quote => at += 1,
                    // After a line break the next quote goes on with the same string, by the same rules.
                    _ if escapes => match self.continued(at) {
                        Some(next) => at = next,
                        None => return (at, true),
                    },
                    _ => return (at, true),
                }
            }
        }
        (self.text.len(), false)
    }

    /// Where a string goes on that was interrupted by blanks with a line break among them, and by comments.
    fn continued(&self, mut at: usize) -> Option<usize> {
        let mut broken = false;
        loop {
            match self.byte(at)? {
                b'\n' | b'\r' => broken = true,
                byte if is_blank(byte) => {}
                b'-' if self.byte(at + 1) == Some(b'-') => {
                    at = self.while_(at, is_in_line);
                    continue;
                }
                b'\'' if broken => return Some(at + 1),
                _ => return None,
            }
            at += 1;
        }
    }

    fn block_comment(&self, mut at: usize) -> (usize, bool) {
        let mut depth = 0;
        while let (Some(byte), next) = (self.byte(at), self.byte(at + 1)) {
            match (byte, next) {
                (b'/', Some(b'*')) => (depth, at) = (depth + 1, at + 2),
                (b'*', Some(b'/')) => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
            if depth == 0 {
                return (at, true);
            }
        }
        (self.text.len(), false)
    }

    /// `$tag$ … $tag$`; none where the dollar begins no quote.
    fn dollar(&self, start: usize) -> Option<(usize, bool)> {
        let tag = match self.byte(start + 1)? {
            b'$' => start + 1,
            first if begins_word(first) => self.while_(start + 1, |byte| is_in_word(byte) && byte != b'$'),
            _ => return None,
        };
        if self.byte(tag) != Some(b'$') {
            return None;
        }
        let (quote, body) = (&self.text[start..=tag], tag + 1);
        Some(
            self.text[body..]
                .find(quote)
                .map_or((self.text.len(), false), |length| (body + length + quote.len(), true)),
        )
    }

    /// A word, or a string or name that begins with a letter.
    fn word(&self, start: usize) -> (TokenKind, usize, bool) {
        let end = self.while_(start, is_in_word);
        let quote_at = |at: usize| self.byte(at) == Some(b'\'');
        let (end, kind, closed) = match &self.text.as_bytes()[start..end] {
            [b'e' | b'E'] if quote_at(end) => {
                let (end, closed) = self.quoted(end + 1, b'\'', true);
                (end, TokenKind::Text, closed)
            }
            [b'b' | b'B' | b'x' | b'X' | b'n' | b'N'] if quote_at(end) => {
                let (end, closed) = self.quoted(end + 1, b'\'', false);
                (end, TokenKind::Text, closed)
            }
            [b'u' | b'U'] if self.byte(end) == Some(b'&') => match self.byte(end + 1) {
                Some(quote @ (b'\'' | b'"')) => {
                    let (end, closed) = self.quoted(end + 2, quote, false);
                    (end, if quote == b'"' { TokenKind::Quoted } else { TokenKind::Text }, closed)
                }
                _ => (end, TokenKind::Word, true),
            },
            _ => (end, TokenKind::Word, true),
        };
        (kind, end, closed)
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let start = self.while_(self.at, is_blank);
        let (kind, end, closed) = match self.byte(start)? {
            b'-' if self.byte(start + 1) == Some(b'-') => {
                (TokenKind::LineComment, self.while_(start, is_in_line), true)
            }
            b'/' if self.byte(start + 1) == Some(b'*') => {
                let (end, closed) = self.block_comment(start);
                (TokenKind::BlockComment, end, closed)
            }
            quote @ (b'\'' | b'"') => {
                let (end, closed) = self.quoted(start + 1, quote, false);
                (if quote == b'"' { TokenKind::Quoted } else { TokenKind::Text }, end, closed)
            }
            b'$' => match self.dollar(start) {
                Some((end, closed)) => (TokenKind::Text, end, closed),
                None => (TokenKind::Symbol(b'$'), self.while_(start + 1, |byte| byte.is_ascii_digit()), true),
            },
            byte if byte.is_ascii_digit() => (
                TokenKind::Number,
                self.while_(start, |byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.'),
                true,
            ),
            byte if begins_word(byte) => self.word(start),
            byte => (TokenKind::Symbol(byte), start + 1, true),
        };
        self.at = end;
        Some(Token { kind, start, end, closed })
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0b' | b'\x0c')
}

const fn is_in_line(byte: u8) -> bool {
    !matches!(byte, b'\n' | b'\r')
}

const fn begins_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

const fn is_in_word(byte: u8) -> bool {
    begins_word(byte) || byte.is_ascii_digit() || byte == b'$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<&str> {
        Tokens::of(text).map(|token| &text[token.start..token.end]).collect()
    }

    #[test]
    fn each_form_of_a_string_ends_where_postgresql_ends_it() {
        for whole in [
            "'it''s; --'",
            "'back\\'",
            "E'it\\'s; '''",
            "e'a'  -- why\n\t 'b\\'c;'",
            "U&'d\\0061;'",
            "b'01'",
            "N'x;'",
            "$$;'$a$$",
            "$a$ $$;$b$ $a$",
            "$é_1$;$é_1$",
            "\"a;\"\"b\"",
            "U&\"a;\"",
            "/* ; /* ' */ **/",
            "-- ' ;",
        ] {
            assert_eq!(tokens(whole), [whole]);
        }
        assert_eq!(tokens("'a'\n'b'"), ["'a'", "'b'"], "to the rules of plain strings it is all one");
        assert_eq!(tokens("E'a' 'b\\'"), ["E'a'", "'b\\'"], "without a line break it is another string");
    }

    #[test]
    fn dollars_in_names_and_after_numbers_begin_no_string() {
        assert_eq!(tokens("a$b$;$b$"), ["a$b$", ";", "$b$"]);
        assert_eq!(tokens("$1$$;$$"), ["$1", "$$;$$"]);
        assert_eq!(tokens("$a ;"), ["$", "a", ";"]);
        assert_eq!(tokens("0x1F$$;$$"), ["0x1F", "$$;$$"]);
        assert_eq!(tokens("fee'x'"), ["fee", "'x'"]);
    }

    #[test]
    fn what_is_not_closed_says_so() {
        for open in ["'a", "E'a\\", "\"a", "$a$ $b$", "/* /* */", "U&'"] {
            let last = Tokens::of(open).last().expect("a token");
            assert!(!last.closed && last.end == open.len(), "{open}: {last:?}");
        }
    }
}
