//! A file as its syntax tree: its statements, each with its place and what it is about. PURE.

use std::ops::Range;

use squawk_syntax::{
    Parse, SourceFile,
    ast::{self, AstNode},
};

use super::{made::Made, stmt::range, subject::Subject};
use crate::{
    lint::Tables,
    migrations::{Migration, StatementKind},
};

/// A file and its tree.
pub(super) struct Text<'a> {
    pub(super) migration: &'a Migration,
    pub(super) tree: Parse<SourceFile>,
    /// Each with its place.
    pub(super) statements: Vec<(ast::Stmt, Range<usize>)>,
    /// What each statement is about.
    pub(super) subjects: Vec<Subject>,
    pub(super) tables: &'a Tables,
}

impl<'a> Text<'a> {
    /// Reads a file of a release that has made so much before, and notes what this one makes.
    pub(super) fn read(migration: &'a Migration, made: &mut Made<'a>) -> Self {
        let tree = SourceFile::parse(&migration.sql);
        let statements: Vec<(ast::Stmt, Range<usize>)> =
            tree.tree().stmts().map(|stmt| (stmt.clone(), range(stmt.syntax()))).collect();
        let subject = |(stmt, place): &(ast::Stmt, Range<usize>)| {
            Subject::read(stmt, &migration.sql[place.clone()], made)
        };
        let subjects = statements.iter().map(subject).collect();
        Self { migration, tree, statements, subjects, tables: made.tables }
    }

    pub(super) fn sql(&self) -> &'a str {
        &self.migration.sql
    }

    /// Which statement a place is in.
    pub(super) fn statement_at(&self, place: &Range<usize>) -> Option<usize> {
        self.statements.iter().position(|(_, range)| range.start <= place.start && place.end <= range.end)
    }

    /// Whether a directive says that the statement there is done by copy and swap.
    pub(super) fn is_by_copy(&self, place: &Range<usize>) -> bool {
        self.is_run(place, |kind| matches!(kind, StatementKind::Copy(_)))
    }

    /// Whether the statement there is to be run like this.
    pub(super) fn is_run(&self, place: &Range<usize>, so: impl Fn(&StatementKind) -> bool) -> bool {
        self.migration.script().is_ok_and(|script| {
            script.statements.iter().any(|statement| {
                so(&statement.kind) && statement.start < place.end && place.start < statement.end
            })
        })
    }

    /// Whether a statement switches row-level security on or off.
    pub(super) fn is_about_row_security(&self, place: &Range<usize>) -> bool {
        let at = self.statement_at(place);
        let Some((ast::Stmt::AlterTable(alter), _)) = at.map(|at| &self.statements[at]) else { return false };
        alter.actions().any(|action| {
            matches!(
                action,
                ast::AlterTableAction::DisableRls(_)
                    | ast::AlterTableAction::NoForceRls(_)
                    | ast::AlterTableAction::EnableRls(_)
                    | ast::AlterTableAction::ForceRls(_)
            )
        })
    }
}
