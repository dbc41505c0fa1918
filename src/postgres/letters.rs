//! What a server says in another encoding than UTF-8, which is all that the driver reads. A file may set
//! `client_encoding`, and the server says so only when the whole file has run; so what comes in other letters
//! is shown byte for byte (`\xe3`), and nothing of it is lost. PURE.

use std::{borrow::Cow, fmt::Write as _};

use super::frame::HEADER;

/// Whole messages, each held against the protocol, with texts that the driver can read. Values of rows are as
/// they were.
pub(super) fn readable(messages: &[u8]) -> Cow<'_, [u8]> {
    let (mut changed, mut at) = (None, 0);
    while let Some(&[kind, a, b, c, d]) = messages.get(at..at + HEADER) {
        let end = at + 1 + usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX - at - 1);
        let Some(body) = messages.get(at + HEADER..end) else { break };
        let read = body_of(kind, body);
        if read.is_some() && changed.is_none() {
            changed = Some(messages[..at].to_vec());
        }
        if let Some(changed) = &mut changed {
            let body = read.as_deref().unwrap_or(body);
            changed.push(kind);
            changed.extend(u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
            changed.extend(body);
        }
        at = end;
    }
    match changed {
        None => Cow::Borrowed(messages),
        Some(changed) => Cow::Owned([&changed, messages.get(at..).unwrap_or_default()].concat()),
    }
}

/// None where it can be read as it is.
fn body_of(kind: u8, body: &[u8]) -> Option<Vec<u8>> {
    match kind {
        // Errors, notices and settings are texts with zeros between them.
        b'E' | b'N' | b'S' => escaped(body),
        // The process, a name and a text.
        b'A' => escaped(body.get(4..)?).map(|text| [&body[..4], &text].concat()),
        b'T' => columns(body),
        _ => None,
    }
}

/// Their names, each with 18 bytes of numbers behind it.
fn columns(body: &[u8]) -> Option<Vec<u8>> {
    let (mut read, mut rest, mut changed) = (body.get(..2)?.to_vec(), body.get(2..)?, false);
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0)?;
        let (name, numbers) = (&rest[..end], rest.get(end..end + 19)?);
        let escaped = escaped(name);
        changed |= escaped.is_some();
        read.extend(escaped.as_deref().unwrap_or(name));
        read.extend(numbers);
        rest = &rest[end + 19..];
    }
    changed.then_some(read)
}

fn escaped(text: &[u8]) -> Option<Vec<u8>> {
    if std::str::from_utf8(text).is_ok() {
        return None;
    }
    let mut readable = String::with_capacity(text.len() * 2);
    for chunk in text.utf8_chunks() {
        readable.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(readable, "\\x{byte:02x}");
        }
    }
    Some(readable.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("short");
        [&[kind], length.to_be_bytes().as_slice(), body].concat()
    }

    #[test]
    fn texts_in_other_letters_become_readable_and_everything_else_stays() {
        let row = message(b'D', &[0, 1, 0, 0, 0, 1, 0xe3]);
        let numbers = [0xff; 18];
        let column = |name: &[u8]| message(b'T', &[&[0, 1], name, &[0], &numbers].concat());
        for (kind, foreign, expected) in [
            (b'E', &b"SERROR\0Mn\xe3o\0\0"[..], &b"SERROR\0Mn\\xe3o\0\0"[..]),
            (b'S', b"search_path\0\xe3\xc3\xa3\0", b"search_path\0\\xe3\xc3\xa3\0"),
            (b'A', b"\0\0\xff\xffa\0\xe3\0", b"\0\0\xff\xffa\0\\xe3\0"),
        ] {
            let sent = [row.clone(), message(kind, foreign), column(b"\xe3"), row.clone()].concat();
            let read = [row.clone(), message(kind, expected), column(b"\\xe3"), row.clone()].concat();
            assert_eq!(readable(&sent), read);
        }
    }

    #[test]
    fn what_is_in_utf8_is_not_copied() {
        let sent =
            [message(b'E', "Mnão\0\0".as_bytes()), message(b'D', &[0xe3]), message(b'T', &[0, 0])].concat();
        assert!(matches!(readable(&sent), Cow::Borrowed(_)));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut seed = fastrand::Rng::with_seed(9);
        for _ in 0..200_000 {
            let body: Vec<u8> =
                (0..seed.usize(..50)).map(|_| if seed.bool() { 0 } else { seed.u8(..) }).collect();
            let _ = readable(&message(b"ENSATD"[seed.usize(..6)], &body));
            let _ = readable(&body);
        }
    }
}
