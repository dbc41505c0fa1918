//! What each statement of a release is about, and whether the release has made that itself.

use squawk_syntax::ast;

use super::{
    made::{Made, Target},
    required::requires,
    stmt::{changes, table},
};
use crate::sql::{Cursor, Name, Statement, Verb};

/// What a statement is about.
pub(super) struct Subject {
    /// As PostgreSQL writes it.
    pub(super) object: Option<String>,
    pub(super) table: Option<Name>,
    /// The release has made all of it before.
    pub(super) is_new: bool,
    /// A statement before it may have changed rows of its table.
    pub(super) may_be_filled: bool,
    /// It requires columns by SET NOT NULL, and of each a constraint proves that it holds no NULL.
    pub(super) is_proven: bool,
}

impl Subject {
    /// Reads what a statement is about, and notes what it makes and changes.
    pub(super) fn read(stmt: &ast::Stmt, sql: &str, made: &mut Made<'_>) -> Self {
        let changed: Vec<Target> =
            changes(stmt).into_iter().map(|change| Target::table(change.table)).collect();
        let mut table = table(stmt);
        let own = table.clone().map(Target::table).filter(|own| !changed.contains(own));
        let named = Target::all(sql);
        let targets: Vec<Target> =
            if named.is_empty() { changed.iter().cloned().chain(own).collect() } else { named };
        let are_new = |made: &Made<'_>| !targets.is_empty() && targets.iter().all(|target| made.has(target));
        let old = targets.iter().find(|target| !made.has(target)).cloned();
        if let (2.., Some(old)) = (targets.len(), &old) {
            table = old.name_of_a_relation().cloned();
        }
        let object = old.as_ref().or(targets.first()).map(Target::written);
        let may_be_filled = table.as_ref().is_some_and(|table| made.may_have_filled(table));
        let before = are_new(made);
        let is_proven = requires(sql).is_some_and(|(table, columns)| {
            !columns.is_empty() && columns.iter().all(|column| made.proves(&table, column))
        });
        made.note(sql, &targets);
        made.note_proofs(sql);
        made.fills(&changed, matches!(Statement::read(sql).verb, Verb::Code | Verb::Query));
        let is_new = before || (Cursor::of(sql).at("CREATE") && are_new(made));
        Self { object, table, is_new, may_be_filled, is_proven }
    }
}
