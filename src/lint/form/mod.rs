//! The forms in which remarks are printed: for a terminal, a pull request, an editor. PURE. One file for each.

mod excerpt;
mod github;
mod json;
mod junit;
mod markdown;
mod sarif;
mod text;

pub use excerpt::excerpt;

use super::{Remark, Weight};

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people: an excerpt with a caret.
    Text {
        /// Whether the terminal has colours.
        coloured: bool,
    },
    /// An array, for programs.
    Json,
    /// SARIF 2.1.0, for code scanning and editors.
    Sarif,
    /// JUnit XML, for pipelines that show test results.
    Junit,
    /// For a comment on a pull request.
    Markdown,
    /// Workflow commands of GitHub Actions: annotations of the lines.
    Github,
}

/// The text of a file by its name; an excerpt is cut from it.
pub type TextOf<'a> = &'a dyn Fn(&str) -> Option<&'a str>;

/// The form cannot hold what is to be said.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the remarks as JUnit XML: {0}; print them in another form")]
pub struct Unprintable(String);

/// All remarks in one document.
///
/// # Errors
/// XML cannot hold them.
pub fn print(remarks: &[Remark], text_of: TextOf<'_>, form: Form) -> Result<String, Unprintable> {
    Ok(match form {
        Form::Text { coloured } => text::print(remarks, text_of, coloured),
        Form::Json => json::print(remarks),
        Form::Sarif => sarif::print(remarks),
        Form::Junit => junit::print(remarks)?,
        Form::Markdown => markdown::print(remarks),
        Form::Github => github::print(remarks),
    })
}

/// How a weight is called where there are errors, warnings and notes.
const fn level(weight: Weight) -> &'static str {
    match weight {
        Weight::Off => "note",
        Weight::Warn | Weight::Approve => "warning",
        Weight::Fail => "error",
    }
}

/// The message, with why it is waived or that it needs an approval.
fn message(remark: &Remark) -> String {
    match (&remark.waived, remark.weight) {
        (Some(reason), _) => format!("{} (allowed: {reason})", remark.message),
        (None, Weight::Approve) => format!("{} (needs an approval)", remark.message),
        (None, _) => remark.message.clone(),
    }
}

/// `FILE:LINE`, or what lies beside the migrations.
fn place(remark: &Remark) -> String {
    remark
        .place
        .as_ref()
        .map_or_else(|| remark.object.clone(), |place| format!("{}:{}", place.file, place.line))
}
