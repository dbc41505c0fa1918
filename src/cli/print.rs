//! What the verbs say on standard output and standard error: the only place that writes there, and nothing in
//! it steers a terminal. Nothing in `cli` uses `println!`, either: it panics when no process reads.

use std::{
    borrow::Cow,
    io::{self, ErrorKind, Write},
};

use super::Usage;
use crate::visible;

/// What a text is, which decides what may stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Lines.
    Plain,
    /// Lines with colours of its own.
    Coloured,
    /// JSON, which can say every character by its number.
    Json,
}

impl Kind {
    fn shown(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Plain => visible::lines(text),
            Self::Coloured => visible::coloured(text),
            Self::Json => visible::json(text),
        }
    }
}

/// Writes lines to standard output. A reader that has seen enough, as `head` has, is no error: what is left
/// is not said, and whatever the process does goes on. A disk that is full is one.
pub(super) fn print(text: &str) -> Result<(), Usage> {
    print_as(Kind::Plain, text)
}

/// The same for JSON.
pub(super) fn print_json(text: &str) -> Result<(), Usage> {
    print_as(Kind::Json, text)
}

/// The same for a text of this kind.
pub(super) fn print_as(kind: Kind, text: &str) -> Result<(), Usage> {
    to(&mut io::stdout().lock(), &kind.shown(text))
}

/// Writes lines to standard error, where no reader is left to be told that it did not work.
pub(super) fn complain(text: &str) {
    let _ = to(&mut io::stderr().lock(), &Kind::Plain.shown(text));
}

/// Says that the arguments cannot be used, or what `--help` and `--version` ask for. The arguments may come
/// from anywhere.
pub(super) fn explain(error: &clap::Error) {
    let text = Kind::Plain.shown(&error.to_string()).into_owned();
    let _ = if error.use_stderr() {
        to(&mut io::stderr().lock(), &text)
    } else {
        to(&mut io::stdout().lock(), &text)
    };
}

fn to(stream: &mut dyn Write, text: &str) -> Result<(), Usage> {
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Usage(format!("cannot write the output: {error}")))
        }
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
        assert!(
            to(&mut Broken(ErrorKind::StorageFull), "text")
                .is_err_and(|usage| usage.to_string().contains("cannot write the output"))
        );
    }
}
