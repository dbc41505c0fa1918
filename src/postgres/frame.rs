//! What a server may answer. The driver takes lengths and counts at their word, and ends the process where
//! they lie; so every message is held against the protocol before the driver sees it. It also keeps a message
//! whole in memory, several times: what no caller reads of a long one is left out here, while it comes in.
//! PURE.

use std::sync::{Arc, OnceLock};

use super::body::{BROKEN, Body, Refused, fits};

/// No message of PostgreSQL's is longer: a value has at most 1 GiB.
const LONGEST: usize = (1 << 30) + (1 << 20);
/// The longest message that Sluice needs an answer in: a file of migrations has at most a part of it.
const LONGEST_READ: usize = 16 << 20;
/// The longest before the server knows the client, and the longest of which no caller reads more.
const SHORT: usize = 64 << 10;
/// All that a server says until the log-in is done.
const BEFORE_LOG_IN: usize = 1 << 20;
/// The type, and the length.
pub(super) const HEADER: usize = 5;

/// What has to be remembered of the messages before.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// The password would be readable in transit.
    in_clear: bool,
    /// For each column of the coming rows: the type, and whether its values are binary.
    columns: Vec<(u32, bool)>,
    /// The last message described the parameters of a statement: the formats of the columns that follow are
    /// not yet known.
    statement: bool,
    /// The rows to come answer a text of statements, not a prepared one: the team's, whose rows no caller
    /// reads.
    unread: bool,
    log_in: LogIn,
    /// How many bytes came before that.
    before: usize,
    /// What is still to come of a message that is left out.
    skip: usize,
    /// What the client made up for this log-in.
    nonce: Nonce,
}

/// How far the log-in is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LogIn {
    #[default]
    Begun,
    /// The server said that it knows the client.
    Known,
    /// The session can be used.
    Done,
}

/// The client's part of the nonce of SCRAM, once it was sent.
pub(super) type Nonce = Arc<OnceLock<Vec<u8>>>;

const TOO_LONG: Refused = "a message of the server is longer than 16 MiB, which no query of Sluice's needs";
const TOO_MUCH: Refused =
    "the server says more than 1 MiB, or 64 KiB in one message, before the log-in is done";
const NOT_OURS: Refused =
    "the server answers the log-in of another client: its nonce does not begin with the client's";
pub(super) const IN_CLEAR: Refused = "the server asks for the password in clear over a connection without \
    TLS: use sslmode=require, or scram-sha-256 in its pg_hba.conf";

impl Answers {
    /// Of a server that others can listen to.
    pub(super) fn in_clear() -> Self {
        Self { in_clear: true, ..Self::default() }
    }

    /// Where the client's nonce is put when it is sent.
    pub(super) fn nonce(&self) -> Nonce {
        Arc::clone(&self.nonce)
    }

    /// Takes what is there of the next messages, and says how many bytes of it; what the driver gets of them
    /// is added to `handed`.
    pub(super) fn take(&mut self, buffer: &[u8], handed: &mut Vec<u8>) -> Result<usize, Refused> {
        let mut at = 0;
        loop {
            let skipped = self.skip.min(buffer.len() - at);
            (at, self.skip) = (at + skipped, self.skip - skipped);
            let rest = &buffer[at..];
            let Some(length) = Self::length(rest)? else { return Ok(at) };
            self.bound(length)?;
            match rest[0] {
                b'D' if length > SHORT && self.unread => self.skip = length,
                b'd' if length > SHORT => self.skip = length,
                b'E' | b'N' if length > SHORT => {
                    let Some(beginning) = rest.get(..SHORT) else { return Ok(at) };
                    let message = shortened(beginning);
                    self.check(&message)?;
                    handed.extend(message);
                    self.skip = length;
                }
                _ if length > LONGEST_READ => return Err(TOO_LONG),
                _ => {
                    let Some(message) = rest.get(..length) else { return Ok(at) };
                    self.check(message)?;
                    handed.extend(message);
                    at += length;
                    self.before += if self.log_in == LogIn::Done { 0 } else { length };
                }
            }
        }
    }

    /// Until both sides have shown that they know the password, little is believed.
    fn bound(&self, length: usize) -> Result<(), Refused> {
        let too_much = self.log_in != LogIn::Done && (length > SHORT || self.before + length > BEFORE_LOG_IN);
        if too_much { Err(TOO_MUCH) } else { Ok(()) }
    }

    /// The length of the message that begins here, its type included, once enough of it is there.
    fn length(buffer: &[u8]) -> Result<Option<usize>, Refused> {
        let Some(header) = buffer.get(..HEADER) else { return Ok(None) };
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let length = usize::try_from(length).map_err(|_| BROKEN)?;
        if !(4..=LONGEST).contains(&length) || !header[0].is_ascii_alphanumeric() {
            return Err(BROKEN);
        }
        Ok(Some(length + 1))
    }

    /// Holds one whole message against the protocol.
    fn check(&mut self, message: &[u8]) -> Result<(), Refused> {
        let kind = *message.first().ok_or(BROKEN)?;
        let mut body = Body(message.get(HEADER..).ok_or(BROKEN)?);
        let after_parameters = std::mem::take(&mut self.statement);
        match kind {
            b'R' => self.authentication(body)?,
            b'S' => body.text().and_then(|()| body.text())?,
            b'K' => body.skip(8)?,
            b'N' | b'E' => fields(body)?,
            _ if self.log_in == LogIn::Begun => return Err(BROKEN),
            b'Z' if matches!(body.0, [b'I' | b'T' | b'E']) => self.log_in = LogIn::Done,
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
            0 if body.0.is_empty() && self.log_in == LogIn::Begun => self.log_in = LogIn::Known,
            3 if self.in_clear => return Err(IN_CLEAR),
            3 => {}
            5 => body.skip(4)?,
            10 if body.0.ends_with(&[0, 0]) => {}
            11 if !body.0.strip_prefix(b"r=").is_some_and(|nonce| self.continues(nonce)) => {
                return Err(NOT_OURS);
            }
            // Attributes, each a letter, `=` and a value.
            11 | 12 if body.0.split(|byte| *byte == b',').all(|item| item.get(1) == Some(&b'=')) => {}
            _ => return Err(BROKEN),
        }
        Ok(())
    }

    /// Whether a nonce is the client's with something added by the server, as SCRAM has it.
    fn continues(&self, answered: &[u8]) -> bool {
        let own = self.nonce.get();
        own.is_some_and(|own| {
            !own.is_empty()
                && answered
                    .strip_prefix(own.as_slice())
                    .is_some_and(|added| !added.starts_with(b",") && !added.is_empty())
        })
    }

    fn columns(&mut self, mut body: Body<'_>, after_parameters: bool) -> Result<(), Refused> {
        self.columns.clear();
        self.unread = !after_parameters;
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

/// Type and text pairs, until a zero.
fn fields(mut body: Body<'_>) -> Result<(), Refused> {
    while body.0.first().is_some_and(|kind| *kind != 0) {
        body.skip(1)?;
        body.text()?;
    }
    if body.0 == [0] { Ok(()) } else { Err(BROKEN) }
}

/// The beginning of an error or a notice as a message of its own. The field that is cut loses its value, and
/// those behind it are gone: the routine that reported it, too, so that it is taken for what code of the
/// database says.
fn shortened(beginning: &[u8]) -> Vec<u8> {
    let mut message = beginning[..HEADER].to_vec();
    let mut rest = &beginning[HEADER..];
    while let Some(kind) = rest.first().filter(|kind| **kind != 0) {
        let Some(end) = rest.iter().position(|byte| *byte == 0) else {
            message.push(*kind);
            message.extend(b"(longer than 64 KiB, and left out)\0");
            break;
        };
        message.extend(&rest[..=end]);
        rest = &rest[end + 1..];
    }
    message.push(0);
    let length = u32::try_from(message.len() - 1).unwrap_or(u32::MAX).to_be_bytes();
    message[1..HEADER].copy_from_slice(&length);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("short");
        [&[kind], length.to_be_bytes().as_slice(), body].concat()
    }

    fn known() -> Answers {
        Answers { log_in: LogIn::Done, ..Answers::default() }
    }

    /// Whose log-in sent this nonce.
    fn asking(nonce: &[u8]) -> Answers {
        Answers { nonce: Arc::new(OnceLock::from(nonce.to_vec())), ..Answers::default() }
    }

    /// One column of this type, in binary.
    fn column(kind: u32) -> Vec<u8> {
        let field = [b"c\0".as_slice(), &[0; 6], &kind.to_be_bytes(), &[0, 4, 0, 0, 0, 0], &[0, 1]].concat();
        message(b'T', &[[0, 1].as_slice(), &field].concat())
    }

    #[test]
    fn what_postgresql_says_passes() {
        let mut answers = asking(b"ab");
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
        let array = |count: u8, rest: &[u8]| {
            [&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, count, 0, 0, 0, 1], rest].concat()
        };
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
    fn a_nonce_is_the_clients_with_something_added() {
        let answer = |nonce: &str| message(b'R', format!("\0\0\0\x0br={nonce},s=QUJD,i=4096").as_bytes());
        assert_eq!(asking(b"ab").check(&answer("abc")), Ok(()));
        for (sent, answered) in [("ab", "xb"), ("ab", "ab"), ("ab", "a"), ("", "abc")] {
            assert_eq!(asking(sent.as_bytes()).check(&answer(answered)), Err(NOT_OURS), "{sent} {answered}");
        }
        assert_eq!(Answers::default().check(&answer("abc")), Err(NOT_OURS), "nothing was sent");
    }

    /// Everything that is handed on of an answer, which comes in pieces.
    fn handed(answers: &mut Answers, bytes: &[u8]) -> Result<Vec<u8>, Refused> {
        let (mut buffer, mut handed, mut most) = (Vec::new(), Vec::new(), 0);
        for piece in bytes.chunks(10_000) {
            buffer.extend(piece);
            let taken = answers.take(&buffer, &mut handed)?;
            buffer.drain(..taken);
            most = most.max(buffer.len());
        }
        assert!(
            most <= SHORT + 10_000 || bytes.len() < 2 * SHORT || handed.len() > SHORT,
            "{most} bytes were kept"
        );
        Ok(handed)
    }

    #[test]
    fn before_the_log_in_little_is_taken_and_after_it_the_same_passes() {
        let status = message(b'S', &[b"name\0".as_slice(), &b"v".repeat(60_000), b"\0"].concat());
        let long = message(b'S', &[b"name\0".as_slice(), &b"v".repeat(70_000), b"\0"].concat());
        assert_eq!(handed(&mut Answers::default(), &long), Err(TOO_MUCH));
        assert_eq!(handed(&mut Answers::default(), &status.repeat(20)), Err(TOO_MUCH));
        assert_eq!(handed(&mut Answers::default(), &status.repeat(10)), Ok(status.repeat(10)));
        assert_eq!(handed(&mut known(), &status.repeat(20)), Ok(status.repeat(20)));
        assert_eq!(handed(&mut known(), &long), Ok(long));
        assert_eq!(
            Answers::default().take(b"R\x40\0\0\x04", &mut Vec::new()),
            Err(TOO_MUCH),
            "before it is waited for"
        );
        assert_eq!(known().take(b"D\x40\0\0\x04", &mut Vec::new()), Err(TOO_LONG));
        assert!(
            Answers::default().check(&message(b'R', &[0; 5])).is_err(),
            "AuthenticationOk has nothing behind it"
        );
    }

    #[test]
    fn of_a_long_row_that_nobody_reads_nothing_is_kept_and_of_one_that_is_asked_for_all() {
        let value = b"x".repeat(200_000);
        let row = message(b'D', &[[0, 1].as_slice(), &200_000_u32.to_be_bytes(), &value].concat());
        let (end, parameters) = (message(b'C', b"SELECT 1\0"), message(b't', &[0, 0]));
        let statement = [column(25), row.clone(), end.clone()].concat();
        assert_eq!(handed(&mut known(), &statement), Ok([column(25), end.clone()].concat()));
        let prepared = [parameters, column(25), row, end].concat();
        assert_eq!(handed(&mut known(), &prepared), Ok(prepared));
    }

    #[test]
    fn a_long_error_is_cut_and_is_still_one() {
        let long = [b"SERROR\0C22000\0Mbad\0D".as_slice(), &b"x".repeat(300_000), b"\0Rraise\0\0"].concat();
        let answer = [message(b'E', &long), message(b'Z', b"I")].concat();
        let short = message(b'E', b"SERROR\0C22000\0Mbad\0D(longer than 64 KiB, and left out)\0\0");
        assert_eq!(handed(&mut known(), &answer), Ok([short, message(b'Z', b"I")].concat()));
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
        for lie in [b"D\xff\xff\xff\xff", b"D\x7f\xff\xff\xff", b"D\0\0\0\x03", b"\0\0\0\0\x09", b"H\0\0\0\0"]
        {
            assert!(Answers::length(lie).is_err(), "{lie:?}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut seed = fastrand::Rng::with_seed(7);
        for _ in 0..200_000 {
            let body: Vec<u8> =
                (0..seed.usize(..40)).map(|_| if seed.bool() { seed.u8(..4) } else { seed.u8(..) }).collect();
            let mut answers = known();
            let _ = answers.check(&column([23, 1007, 25][seed.usize(..3)]));
            let _ = answers.check(&message(b"RSKNEZTDtACG12d"[seed.usize(..15)], &body));
            let _ = Answers::length(&body);
        }
    }
}
