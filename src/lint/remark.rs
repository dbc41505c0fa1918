//! What is said of a release: each remark, and the release's class. PURE.

use std::ops::Range;

use super::{Kind, Rule, Tables, Weight};
use crate::sql::Name;

/// A remark about a release, for people and for tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The rule.
    pub rule: &'static Rule,
    /// What it is about: a table, or where none is named the migration, or what lies beside the migrations.
    pub object: String,
    /// The table, where it is about one that is there before the release.
    pub table: Option<Name>,
    /// How much it weighs.
    pub weight: Weight,
    /// Where it stands; none for what lies beside the migrations.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
    /// Why it is right here all the same, as the file says; then it weighs nothing.
    pub waived: Option<String>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// In bytes.
    pub span: Range<usize>,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
}

impl Place {
    /// A place of a text.
    pub(super) fn of(file: &str, sql: &str, span: Range<usize>) -> Self {
        let before = &sql[..span.start.min(sql.len())];
        Self {
            file: file.to_owned(),
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
            span,
        }
    }
}

/// What a release does to the application that runs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It only adds.
    Additive,
    /// The application that runs now may stop working.
    Breaking,
    /// Something goes that only a snapshot gives back, or other people may see rows.
    Destructive,
}

impl Class {
    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Additive => "Additive",
            Self::Breaking => "Breaking",
            Self::Destructive => "Destructive",
        }
    }
}

/// The class of a release. What is waived counts: a waiver says that it is right, not that it does not happen.
pub fn class(remarks: &[Remark]) -> Class {
    let of = |remark: &Remark| match remark.rule.kind {
        Kind::Loss | Kind::Access | Kind::Protected => Class::Destructive,
        Kind::Break => Class::Breaking,
        _ => Class::Additive,
    };
    remarks.iter().map(of).max().unwrap_or(Class::Additive)
}

/// How long a release may keep others waiting, by the size of the tables that it locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// It locks no large table.
    Small,
    /// It locks a large table for as long as it reads or writes it.
    Large,
    /// The table is a hundred times as large as what counts as large.
    Excessive,
}

impl Effort {
    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "Small",
            Self::Large => "Large",
            Self::Excessive => "Excessive",
        }
    }
}

/// How many times as large as a large table is too large to be locked at all.
const EXCESSIVE: u64 = 100;

/// The effort of a release.
pub fn effort(remarks: &[Remark], tables: &Tables) -> Effort {
    let of = |remark: &Remark| match &remark.table {
        Some(table) if remark.rule.kind == Kind::Lock => match tables.times_large(table) {
            Some(0) => Effort::Small,
            Some(times) if times >= EXCESSIVE => Effort::Excessive,
            Some(_) | None => Effort::Large,
        },
        _ => Effort::Small,
    };
    remarks.iter().map(of).max().unwrap_or(Effort::Small)
}
