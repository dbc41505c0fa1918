//! What a rule objects to, and where, before it is weighed.

use std::ops::Range;

use squawk_syntax::quote::quote_ident;

use super::{
    name::written,
    rule::{Rule, find},
};
use crate::{
    api::Finding,
    migrations::{Migration, ScriptError},
    sql::Name,
};

/// What a rule objects to.
#[derive(Debug)]
pub(super) struct Objection<'a> {
    pub(super) rule: &'static Rule,
    pub(super) about: About<'a>,
    /// In other words than those of the rule.
    pub(super) said: Option<Said>,
    /// What it is about, as it is written: a table, a type, an index.
    pub(super) object: Option<String>,
    /// The release has made it itself.
    pub(super) is_new: bool,
    /// The table.
    pub(super) table: Option<Name>,
    /// The column, as PostgreSQL stores it.
    pub(super) column: Option<String>,
    pub(super) name: Option<String>,
}

/// Where it stands.
#[derive(Debug)]
pub(super) enum About<'a> {
    /// In a file, in bytes.
    Place(&'a Migration, Range<usize>),
    /// Beside the migrations, under this name.
    Source(String),
}

/// What is wrong, and what to write instead.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) message: String,
    pub(super) remedy: String,
}

impl Said {
    /// In the words of a rule, with the names that the statement says.
    pub(super) fn by(rule: &Rule, table: Option<&Name>, column: Option<&str>, name: Option<&str>) -> Self {
        let table = table.map_or("the table".to_owned(), written);
        let check = column.map_or("…".to_owned(), |column| quote_ident(&format!("{column}_is_there")));
        let column = column.map_or("the column".to_owned(), quote_ident);
        let fill = |words: &str| {
            words
                .replace("{table}", &table)
                .replace("{column}", &column)
                .replace("{check}", &check)
                .replace("{name}", name.unwrap_or("…"))
        };
        Self { message: fill(&rule.why), remedy: fill(&rule.safe) }
    }
}

impl<'a> Objection<'a> {
    /// To a place in a file. Nothing where no rule has this id: a test reads that none is without.
    pub(super) fn new(rule: &str, migration: &'a Migration, place: Range<usize>) -> Option<Self> {
        Self::of(rule, About::Place(migration, place))
    }

    /// The same in these words.
    pub(super) fn in_words(rule: &str, about: About<'a>, message: String, remedy: String) -> Option<Self> {
        Some(Self { said: Some(Said { message, remedy }), ..Self::of(rule, about)? })
    }

    fn of(rule: &str, about: About<'a>) -> Option<Self> {
        Some(Self {
            rule: find(rule)?,
            about,
            said: None,
            object: None,
            is_new: false,
            table: None,
            column: None,
            name: None,
        })
    }

    /// To what lies among the migrations and is none.
    pub(super) fn stray(finding: &Finding) -> Option<Self> {
        let about = About::Source(finding.object.clone());
        Self::in_words(finding.check.name(), about, finding.message.clone(), finding.remedy.clone())
    }

    /// To a file that cannot run.
    pub(super) fn unreadable(migration: &'a Migration, error: &ScriptError) -> Option<Self> {
        let place = line(&migration.sql, error.line());
        let said = error.to_string();
        let message = said.split_once(": ").map_or(said.as_str(), |(_, message)| message).to_owned();
        let remedy = "correct the file: as it is, Sluice does not run it".to_owned();
        Self::in_words("unreadable", About::Place(migration, place), message, remedy)
    }
}

/// The place of a line, counted from 1, without the blanks around it.
pub(super) fn line(sql: &str, number: u32) -> Range<usize> {
    let mut start = 0;
    for (at, line) in (1..).zip(sql.split_inclusive('\n')) {
        if at == number {
            let blank = line.len() - line.trim_start().len();
            return start + blank..start + blank.max(line.trim_end().len());
        }
        start += line.len();
    }
    sql.len()..sql.len()
}
