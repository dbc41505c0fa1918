//! What a verification found, as something to read: a plain model, and one file for each form it is printed
//! in.
//!
//! PURE: no client, no connection, no file, no clock. The same report gives the same bytes.

mod consistency;
mod count;
pub mod evidence;
mod html;
mod isolation;
mod json;
mod junit;
mod markdown;
mod model;
mod overview;
mod picture;
mod remedy;
mod text;

pub use consistency::{AspectRow, Consistency, Service};
pub use isolation::judge as judge_isolation;
pub use json::{Unreadable, read};
pub use markdown::plain as markdown_text;
pub use model::{
    CheckResult, CheckVerdict, Column, Counts, Index, Isolation, KIND, Policy, Relation, Report, Requested,
    Schema, Table, TableKind, Tenancy, Verdict,
};
pub use picture::{Picture, picture};

/// The forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people, in a terminal or a log.
    Text {
        /// Whether escape sequences for colours may stand in it.
        coloured: bool,
        /// Whether it lists what is as it should be, too, or only counts that.
        all: bool,
    },
    /// For programs, and for `sluice report`.
    Json,
    /// For pipelines that show test results.
    Junit,
    /// For pull requests and wikis.
    Markdown,
    /// One page that needs nothing else.
    Html,
}

/// One report, or several side by side.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// One database.
    One(Box<Report>),
    /// Several services.
    Several(Consistency),
}

impl Document {
    /// Whether everything in it passed.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::One(report) => report.verdict,
            Self::Several(consistency) => consistency.verdict,
        }
    }

    /// The text in a form; it ends with a new line.
    pub fn print(&self, form: Form) -> String {
        match (self, form) {
            (Self::One(report), Form::Text { coloured, all }) => text::report(report, coloured, all),
            (Self::Several(several), Form::Text { coloured, .. }) => text::consistency(several, coloured),
            (Self::One(report), Form::Json) => json::print(report.as_ref()),
            (Self::Several(several), Form::Json) => json::print(several),
            (Self::One(report), Form::Junit) => junit::print(std::slice::from_ref(report.as_ref())),
            (Self::Several(several), Form::Junit) => junit::print(&several.reports),
            (Self::One(report), Form::Markdown) => markdown::report(report),
            (Self::Several(several), Form::Markdown) => markdown::consistency(several),
            (Self::One(report), Form::Html) => html::report(report),
            (Self::Several(several), Form::Html) => overview::page(several),
        }
    }
}
