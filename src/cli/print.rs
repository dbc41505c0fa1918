//! What the verbs say on standard output and standard error. Nothing in `cli` uses `println!`: it panics when nobody reads.

use std::io::{self, ErrorKind, Write};

use super::Usage;

/// Writes to standard output. A reader that has seen enough, as `head` has, is no error: what is left is not said, and whatever the
/// process does goes on. A disk that is full is one.
pub(super) fn print(text: &str) -> Result<(), Usage> {
    to(&mut io::stdout().lock(), text)
}

/// Writes to standard error, where nobody is left to be told that it did not work.
pub(super) fn complain(text: &str) {
    let _ = to(&mut io::stderr().lock(), text);
}

fn to(stream: &mut dyn Write, text: &str) -> Result<(), Usage> {
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Usage(format!("cannot write the output: {error}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_error_and_a_full_disk_is_one() {
        assert!(to(&mut Broken(ErrorKind::BrokenPipe), "text").is_ok());
        assert!(to(&mut Broken(ErrorKind::StorageFull), "text").is_err_and(|usage| usage.to_string().contains("cannot write the output")));
    }
}
