//! In which form a report is printed.

use std::{
    io::{IsTerminal, stdout},
    process::ExitCode,
};

use super::{
    Usage,
    print::{self, Kind},
};
use crate::report::{Document, Form, Verdict, evidence::Evidence};

/// The forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Name {
    /// For people, with colours in a terminal unless NO_COLOR is set.
    Text,
    /// For programs, and for `sluice report`.
    Json,
    /// JUnit XML, for pipelines that show test results.
    Junit,
    /// For pull requests and wikis.
    Markdown,
    /// One page that needs nothing else.
    Html,
}

impl Name {
    fn form(self, all: bool) -> Form {
        match self {
            Self::Text => Form::Text { coloured: has_colours(), all },
            Self::Json => Form::Json,
            Self::Junit => Form::Junit,
            Self::Markdown => Form::Markdown,
            Self::Html => Form::Html,
        }
    }
}

/// A terminal, and the environment does not forbid it: <https://no-color.org>.
pub(super) fn has_colours() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stdout().is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// How much of a report is printed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Printed {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Name::Text)]
    pub(super) output: Name,

    /// List what is as it should be, too, where text only counts it. The other forms always have it.
    #[arg(long)]
    all: bool,
}

/// Prints it, and says by the exit code whether everything in it passed.
pub(super) fn print(document: &Document, printed: Printed) -> Result<ExitCode, Usage> {
    let form = printed.output.form(printed.all);
    print::print_as(kind(form), &document.print(form))?;
    Ok(code(document.verdict()))
}

/// The same for evidence, which is no test and has no JUnit form.
pub(super) fn print_evidence(evidence: &Evidence, name: Name) -> Result<ExitCode, Usage> {
    let form = name.form(true);
    let text = evidence.print(form);
    let text =
        text.ok_or_else(|| Usage("evidence has no JUnit form: use text, json, markdown or html".to_owned()))?;
    print::print_as(kind(form), &text)?;
    Ok(code(evidence.verdict))
}

const fn kind(form: Form) -> Kind {
    match form {
        Form::Text { coloured: true, .. } => Kind::Coloured,
        Form::Json => Kind::Json,
        Form::Text { coloured: false, .. } | Form::Junit | Form::Markdown | Form::Html => Kind::Plain,
    }
}

const fn code(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Passed => ExitCode::SUCCESS,
        Verdict::Failed => ExitCode::FAILURE,
    }
}
