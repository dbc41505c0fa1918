//! What a string stands for: `'…'`, `E'…'`, `U&'…'`, `$$…$$`.

use super::cursor::unescape;

/// What the string holds that this token is, with a backslash as the escape of `U&'…'`; none where it cannot
/// be told.
pub fn constant(text: &str) -> Option<String> {
    if let Some(rest) = text.strip_prefix('$') {
        let tag = rest.find('$')? + 2;
        return text[tag..].strip_suffix(&text[..tag]).map(str::to_owned);
    }
    let (form, rest) = text.split_once('\'')?;
    let body = rest.strip_suffix('\'')?;
    match form {
        "E" | "e" => escaped(body),
        "U&" | "u&" => unescape(&body.replace("''", "'"), '\\'),
        _ => Some(body.replace("''", "'")),
    }
}

/// The body of `E'…'`. One that is put together over several lines cannot be told.
fn escaped(body: &str) -> Option<String> {
    let mut held = Vec::with_capacity(body.len());
    let mut rest = body.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\'' => rest = after.strip_prefix(b"'")?,
            b'\\' => {
                rest = escape(after, &mut held)?;
                continue;
            }
            _ => {}
        }
        held.push(*byte);
    }
    String::from_utf8(held).ok()
}

/// What follows a backslash; answers what is behind it.
fn escape<'a>(after: &'a [u8], held: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (first, rest) = after.split_first()?;
    // How many digits there may be, and on which base.
    let (digits, most, base) = match first {
        b'x' => (rest, 2, 16),
        b'u' => (rest, 4, 16),
        b'U' => (rest, 8, 16),
        b'0'..=b'7' => (after, 3, 8),
        _ => {
            let control = [(b'b', 8), (b'f', 12), (b'n', b'\n'), (b'r', b'\r'), (b't', b'\t')];
            held.push(
                control.iter().find(|(letter, _)| letter == first).map_or(*first, |(_, control)| *control),
            );
            return Some(rest);
        }
    };
    let length = digits.iter().take(most).take_while(|digit| char::from(**digit).is_digit(base)).count();
    let code = u32::from_str_radix(std::str::from_utf8(&digits[..length]).ok()?, base).ok()?;
    match first {
        b'u' | b'U' => held.extend(char::from_u32(code).filter(|_| length == most)?.to_string().as_bytes()),
        _ => held.push(u8::try_from(code & 0xff).ok()?),
    }
    Some(&digits[length..])
}

#[cfg(test)]
mod tests {
    use super::constant;

    #[test]
    fn each_form_of_a_string_holds_what_postgresql_reads() {
        for (text, held) in [
            ("'it''s'", "it's"),
            ("'back\\x62'", "back\\x62"),
            ("N'b'", "b"),
            ("E'\\x62\\142\\u0062\\U00000062\\b\\'''\\q'", "bbbb\u{8}''q"),
            ("e'\\xc3\\xa9'", "é"),
            ("U&'\\0062\\+000062'", "bb"),
            ("$$it's$$", "it's"),
            ("$x$ $$ $x$", " $$ "),
            ("''", ""),
            ("$$$$", ""),
        ] {
            assert_eq!(constant(text).as_deref(), Some(held), "{text}");
        }
        for text in ["E'a'\n'b'", "E'\\xff'", "E'\\u00'", "U&'\\00'", "'open", "word", "$$open"] {
            assert_eq!(constant(text), None, "{text}");
        }
    }
}
