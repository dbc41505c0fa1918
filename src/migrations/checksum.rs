//! Checksums as Prisma writes and compares them: SHA-256 of the text, in lower-case hexadecimal.

use sha2::{Digest, Sha256};

/// How a file compares with what was recorded when it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// Byte for byte.
    Exact,
    /// But for line endings.
    LineEndings,
    /// It was edited.
    Different,
}

/// The checksum of a text.
pub fn checksum(text: &str) -> String {
    hexadecimal(&Sha256::digest(text.as_bytes()))
}

/// Compares a text, and its checksum, with a recorded checksum: as written, with CRLF as LF, with LF as CRLF.
pub fn compare(text: &str, written: &str, recorded: &str) -> Match {
    if written == recorded {
        return Match::Exact;
    }
    let unix = text.replace("\r\n", "\n");
    if checksum(&unix) == recorded || checksum(&unix.replace('\n', "\r\n")) == recorded {
        Match::LineEndings
    } else {
        Match::Different
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "CREATE TABLE a(id int);\nSELECT 1;\n";
    // Recorded by Prisma's engine for this text.
    const RECORDED: &str = "ef5e0b7229288cbeab72c98dec00a968d659f30fe8ce24f96e09c6083009ff1c";

    #[test]
    fn the_checksum_is_prismas() {
        assert_eq!(checksum(TEXT), RECORDED);
    }

    #[test]
    fn line_endings_do_not_make_a_difference_but_everything_else_does() {
        let compare = |text: &str, recorded: &str| compare(text, &checksum(text), recorded);
        assert_eq!(compare(TEXT, RECORDED), Match::Exact);
        assert_eq!(compare(&TEXT.replace('\n', "\r\n"), RECORDED), Match::LineEndings);
        assert_eq!(compare(TEXT, &checksum(&TEXT.replace('\n', "\r\n"))), Match::LineEndings);
        assert_eq!(compare(&format!("{TEXT} "), RECORDED), Match::Different);
    }
}
