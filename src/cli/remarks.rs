//! The six forms in which `sluice lint` and `sluice diff` print what is to be said of a release.

use std::path::Path;

use super::{
    Usage,
    form::has_colours,
    print::{Kind, print_as},
};
use crate::{
    lint::{self, Remark, form::Form},
    migrations::Migration,
};

/// The forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// For people: an excerpt with a caret.
    Text,
    /// An array, for programs.
    Json,
    /// SARIF 2.1.0, for code scanning and editors.
    Sarif,
    /// JUnit XML, for pipelines that show test results.
    Junit,
    /// For a comment on a pull request.
    Markdown,
    /// Annotations of GitHub Actions.
    Github,
}

/// Whose files the remarks are about.
pub(super) struct Files<'a> {
    /// The folder of migrations, as it was given.
    pub(super) folder: &'a Path,
    /// What was judged.
    pub(super) release: &'a [&'a Migration],
}

impl Files<'_> {
    fn find(&self, file: &str) -> Option<&Migration> {
        self.release.iter().find(|migration| migration.file == file).copied()
    }

    /// From the folder in which the program was started, as a tool finds it that shows a remark at its line. A file of
    /// a phase is named so anyway.
    fn path(&self, file: &str) -> String {
        match self.find(file) {
            Some(migration) if migration.phase().is_some() => file.to_owned(),
            _ => self.folder.join(file).display().to_string(),
        }
    }

    fn found_by_tools(&self, remarks: &[Remark]) -> Vec<Remark> {
        let mut remarks = remarks.to_vec();
        for place in remarks.iter_mut().filter_map(|remark| remark.place.as_mut()) {
            place.file = self.path(&place.file);
        }
        remarks
    }
}

/// Prints remarks in a form; in that for people `listed` comes behind them.
pub(super) fn show(
    output: Output,
    remarks: &[Remark],
    files: &Files<'_>,
    listed: impl FnOnce() -> String,
) -> Result<(), Usage> {
    let coloured = has_colours();
    let (kind, form) = match output {
        Output::Text if coloured => (Kind::Coloured, Form::Text { coloured }),
        Output::Text => (Kind::Plain, Form::Text { coloured }),
        Output::Json => (Kind::Json, Form::Json),
        Output::Sarif => (Kind::Json, Form::Sarif),
        Output::Junit => (Kind::Plain, Form::Junit),
        Output::Markdown => (Kind::Plain, Form::Markdown),
        Output::Github => (Kind::Plain, Form::Github),
    };
    let text_of = |file: &str| files.find(file).map(|migration| &*migration.sql);
    let located = matches!(form, Form::Sarif | Form::Github).then(|| files.found_by_tools(remarks));
    let remarks = located.as_deref().unwrap_or(remarks);
    let mut text = lint::form::print(remarks, &text_of, form).map_err(|error| Usage(error.to_string()))?;
    if output == Output::Text {
        text += &listed();
    }
    print_as(kind, &text)
}
