//! What a server may answer. The driver takes lengths and counts at their word, and ends the process where they lie; so every message is
//! held against the protocol before the driver sees it. PURE.

/// No message of PostgreSQL's is longer: a value has at most 1 GiB.
const LONGEST: usize = (1 << 30) + (1 << 20);
/// The type, and the length.
pub(super) const HEADER: usize = 5;

/// What has to be remembered of the messages before.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// The password would be readable on its way.
    in_clear: bool,
    /// For each column of the coming rows: the type, and whether its values are binary.
    columns: Vec<(u32, bool)>,
    /// The last message described the parameters of a statement: the formats of the columns that follow are not yet known.
    statement: bool,
    /// The server said that it knows the client.
    authenticated: bool,
}

/// Why an answer is refused.
pub(super) type Refused = &'static str;

const BROKEN: Refused = "the answer of the server is not the protocol of PostgreSQL";
pub(super) const IN_CLEAR: Refused =
    "the server asks for the password in clear over a connection without TLS: use sslmode=require, or scram-sha-256 in its pg_hba.conf";

impl Answers {
    /// Of a server that others can listen to.
    pub(super) fn in_clear() -> Self {
        Self { in_clear: true, ..Self::default() }
    }

    /// The length of the message that begins here, its type included, once enough of it is there.
    pub(super) fn length(buffer: &[u8]) -> Result<Option<usize>, Refused> {
        let Some(header) = buffer.get(..HEADER) else { return Ok(None) };
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let length = usize::try_from(length).map_err(|_| BROKEN)?;
        if !(4..=LONGEST).contains(&length) || !header[0].is_ascii_alphanumeric() {
            return Err(BROKEN);
        }
        Ok(Some(length + 1))
    }

    /// Holds one whole message against the protocol.
    pub(super) fn check(&mut self, message: &[u8]) -> Result<(), Refused> {
        let kind = *message.first().ok_or(BROKEN)?;
        let mut body = Body(message.get(HEADER..).ok_or(BROKEN)?);
        let after_parameters = std::mem::take(&mut self.statement);
        match kind {
            b'R' => self.authentication(body)?,
            b'S' => body.text().and_then(|()| body.text())?,
            b'K' => body.skip(8)?,
            b'N' | b'E' => fields(body)?,
            _ if !self.authenticated => return Err(BROKEN),
            b'Z' if matches!(body.0, [b'I' | b'T' | b'E']) => {}
            b'T' => self.columns(body, after_parameters)?,
            b'D' => self.row(body)?,
            b't' => {
                self.statement = true;
                let count = body.u16()?;
                body.skip(usize::from(count) * 4)?;
            }
            b'A' => body.skip(4).and_then(|()| body.text()).and_then(|()| body.text())?,
            b'C' => body.text()?,
            b'G' | b'H' | b'W' => {
                body.skip(1)?;
                let count = body.u16()?;
                body.skip(usize::from(count) * 2)?;
            }
            b'1' | b'2' | b'3' | b'n' | b's' | b'I' | b'c' if body.0.is_empty() => {}
            b'd' => {}
            _ => return Err(BROKEN),
        }
        Ok(())
    }

    fn authentication(&mut self, mut body: Body<'_>) -> Result<(), Refused> {
        match body.u32()? {
            0 => self.authenticated = true,
            3 if self.in_clear => return Err(IN_CLEAR),
            3 => {}
            5 => body.skip(4)?,
            10 if body.0.ends_with(&[0, 0]) => {}
            // Attributes, each a letter, `=` and a value.
            11 | 12 if body.0.split(|byte| *byte == b',').all(|item| item.get(1) == Some(&b'=')) => {}
            _ => return Err(BROKEN),
        }
        Ok(())
    }

    fn columns(&mut self, mut body: Body<'_>, after_parameters: bool) -> Result<(), Refused> {
        self.columns.clear();
        for _ in 0..body.u16()? {
            body.text()?;
            body.skip(6)?;
            let kind = body.u32()?;
            body.skip(6)?;
            let binary = body.u16()? == 1;
            // The driver asks for every value of a prepared statement in binary.
            self.columns.push((kind, binary || after_parameters));
        }
        Ok(())
    }

    fn row(&self, mut body: Body<'_>) -> Result<(), Refused> {
        if usize::from(body.u16()?) != self.columns.len() {
            return Err(BROKEN);
        }
        for (kind, binary) in &self.columns {
            let Some(value) = body.value()? else { continue };
            if *binary && !fits(*kind, value) {
                return Err(BROKEN);
            }
        }
        if body.0.is_empty() { Ok(()) } else { Err(BROKEN) }
    }
}

/// Whether a binary value has the length that its type has, or the parts that an array has.
fn fits(kind: u32, value: &[u8]) -> bool {
    match kind {
        // bool, "char"
        16 | 18 => value.len() == 1,
        // int2
        21 => value.len() == 2,
        // int4, oid, float4, date
        23 | 26 | 700 | 1082 => value.len() == 4,
        // int8, float8, time, timestamp, timestamptz
        20 | 701 | 1083 | 1114 | 1184 => value.len() == 8,
        // uuid
        2950 => value.len() == 16,
        // Arrays of bool, name, int2, int4, text, varchar, int8, oid.
        1000 | 1003 | 1005 | 1007 | 1009 | 1015 | 1016 | 1028 => is_array(value).is_ok(),
        _ => true,
    }
}

fn is_array(value: &[u8]) -> Result<(), Refused> {
    let mut body = Body(value);
    let dimensions = body.u32()?;
    body.skip(4)?;
    let element = body.u32()?;
    if dimensions > 1 {
        // None of Sluice's own questions has such an answer; the driver refuses it without harm.
        return body.skip(usize::try_from(dimensions).unwrap_or(usize::MAX).saturating_mul(8));
    }
    let mut count = 0;
    for _ in 0..dimensions {
        count = body.u32()?;
        body.skip(4)?;
    }
    for _ in 0..count {
        if body.value()?.is_some_and(|value| !fits(element, value)) {
            return Err(BROKEN);
        }
    }
    if body.0.is_empty() { Ok(()) } else { Err(BROKEN) }
}

/// Type and text pairs, until a zero.
fn fields(mut body: Body<'_>) -> Result<(), Refused> {
    while body.0.first().is_some_and(|kind| *kind != 0) {
        body.skip(1)?;
        body.text()?;
    }
    if body.0 == [0] { Ok(()) } else { Err(BROKEN) }
}

/// What of a message was not read yet.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Refused> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(BROKEN)?;
        self.0 = rest;
        Ok(head)
    }

    fn skip(&mut self, count: usize) -> Result<(), Refused> {
        self.take(count).map(|_| ())
    }

    fn u16(&mut self) -> Result<u16, Refused> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Result<u32, Refused> {
        self.take(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A text that ends in a zero.
    fn text(&mut self) -> Result<(), Refused> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(BROKEN)?;
        self.skip(end + 1)
    }

    /// A value behind its length, which for NULL is negative.
    fn value(&mut self) -> Result<Option<&'a [u8]>, Refused> {
        match usize::try_from(self.u32()?.cast_signed()) {
            Ok(length) => self.take(length).map(Some),
            Err(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("short");
        [&[kind], length.to_be_bytes().as_slice(), body].concat()
    }

    fn known() -> Answers {
        Answers { authenticated: true, ..Answers::default() }
    }

    /// One column of this type, in binary.
    fn column(kind: u32) -> Vec<u8> {
        let field = [b"c\0".as_slice(), &[0; 6], &kind.to_be_bytes(), &[0, 4, 0, 0, 0, 0], &[0, 1]].concat();
        message(b'T', &[[0, 1].as_slice(), &field].concat())
    }

    #[test]
    fn what_postgresql_says_passes() {
        let mut answers = Answers::default();
        for good in [
            message(b'R', &[0, 0, 0, 10, b'S', 0, 0]),
            message(b'R', b"\0\0\0\x0br=abc,s=QUJD,i=4096"),
            message(b'R', &[0; 4]),
            message(b'S', b"server_version\x0015.18\0"),
            message(b'K', &[7; 8]),
            message(b'Z', b"I"),
            message(b't', &[0, 1, 0, 0, 0, 23]),
            column(23),
            message(b'D', &[0, 1, 0, 0, 0, 4, 0, 0, 0, 9]),
            message(b'D', &[0, 1, 255, 255, 255, 255]),
            message(b'C', b"SELECT 1\0"),
            message(b'E', b"SERROR\0C42601\0Mno\0\0"),
        ] {
            assert_eq!(Answers::length(&good), Ok(Some(good.len())));
            assert_eq!(answers.check(&good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn what_lies_about_lengths_and_counts_is_refused() {
        for bad in [
            message(b'T', &[0, 1]),
            message(b'D', &[0, 9]),
            message(b'D', &[0]),
            message(b't', &[0, 2, 0, 0, 0, 23]),
            message(b'Z', b""),
            message(b'Z', b"x"),
            message(b'E', b"SERROR"),
            message(b'E', b""),
            message(b'C', b"SELECT"),
            message(b'A', &[0, 0]),
            message(b'G', &[0, 0, 9]),
            message(b'1', b"more"),
            message(b'R', &[0, 0, 0, 5, 1]),
            message(b'R', b"\0\0\0\x0br"),
            message(b'R', b"\0\0\0\x0br=a,,i=1"),
            message(b'R', &[0, 0]),
            message(b'K', &[1]),
            message(b'S', b"server_version"),
            message(b'?', b""),
        ] {
            assert!(known().check(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_value_that_is_not_of_its_type_is_refused() {
        let array = |count: u8, rest: &[u8]| [&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, count, 0, 0, 0, 1], rest].concat();
        for (kind, value, good) in [
            (23, vec![0; 4], true),
            (23, vec![0; 3], false),
            (20, vec![], false),
            (16, vec![1, 1], false),
            (25, vec![], true),
            (1007, array(1, &[0, 0, 0, 4, 0, 0, 0, 9]), true),
            (1007, array(2, &[0, 0, 0, 4, 0, 0, 0, 9]), false),
            (1007, array(1, &[0, 0, 0, 2, 0, 9]), false),
            (1007, vec![0, 0, 0], false),
        ] {
            let mut answers = known();
            answers.check(&column(kind)).expect("a column");
            let length = u32::try_from(value.len()).expect("short").to_be_bytes();
            let row = message(b'D', &[[0, 1].as_slice(), &length, &value].concat());
            assert_eq!(answers.check(&row).is_ok(), good, "{kind} {value:?}");
        }
    }

    #[test]
    fn nothing_but_a_log_in_comes_before_the_log_in() {
        assert!(Answers::default().check(&column(23)).is_err());
        assert!(Answers::default().check(&message(b'Z', b"I")).is_err());
    }

    #[test]
    fn a_password_goes_in_clear_over_tls_only() {
        let clear = message(b'R', &[0, 0, 0, 3]);
        assert_eq!(Answers::in_clear().check(&clear), Err(IN_CLEAR));
        assert_eq!(Answers::default().check(&clear), Ok(()));
    }

    #[test]
    fn a_length_that_no_message_has_is_refused_before_it_is_waited_for() {
        assert_eq!(Answers::length(b"D\0\0"), Ok(None));
        for lie in [b"D\xff\xff\xff\xff", b"D\x7f\xff\xff\xff", b"D\0\0\0\x03", b"\0\0\0\0\x09", b"H\0\0\0\0"] {
            assert!(Answers::length(lie).is_err(), "{lie:?}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut seed = fastrand::Rng::with_seed(7);
        for _ in 0..200_000 {
            let body: Vec<u8> = (0..seed.usize(..40)).map(|_| if seed.bool() { seed.u8(..4) } else { seed.u8(..) }).collect();
            let mut answers = known();
            let _ = answers.check(&column([23, 1007, 25][seed.usize(..3)]));
            let _ = answers.check(&message(b"RSKNEZTDtACG12d"[seed.usize(..15)], &body));
            let _ = Answers::length(&body);
        }
    }
}
