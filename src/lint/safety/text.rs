//! A file as its syntax tree: statements, the tables that they are about, and lines. PURE.

use std::ops::Range;

use squawk_syntax::{
    Parse, SourceFile, SyntaxNode,
    ast::{self, AstNode},
};

use crate::{
    migrations::Migration,
    sql::{Cursor, Name},
};

/// A file and its tree.
pub(super) struct Text<'a> {
    pub(super) migration: &'a Migration,
    pub(super) tree: Parse<SourceFile>,
    /// Each with its place.
    pub(super) statements: Vec<(ast::Stmt, Range<usize>)>,
}

impl<'a> Text<'a> {
    pub(super) fn read(migration: &'a Migration) -> Self {
        let tree = SourceFile::parse(&migration.sql);
        let statements = tree.tree().stmts().map(|stmt| (stmt.clone(), range(stmt.syntax()))).collect();
        Self { migration, tree, statements }
    }

    pub(super) fn sql(&self) -> &'a str {
        &self.migration.sql
    }

    /// Which statement a place is in.
    pub(super) fn statement_at(&self, place: &Range<usize>) -> Option<usize> {
        self.statements.iter().position(|(_, range)| range.start <= place.start && place.end <= range.end)
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

/// The place of a node, without the blanks and comments around it.
pub(super) fn range(node: &SyntaxNode) -> Range<usize> {
    range_of(node.text_range())
}

pub(super) fn range_of(range: rowan::TextRange) -> Range<usize> {
    usize::from(range.start())..usize::from(range.end())
}

/// The table that a statement is about. What changes rows is about the one that it changes, whatever it reads.
pub(super) fn table(stmt: &ast::Stmt) -> Option<Name> {
    let node = match stmt {
        ast::Stmt::Update(update) => update.relation_name()?.syntax().clone(),
        ast::Stmt::Delete(delete) => delete.relation_name()?.syntax().clone(),
        ast::Stmt::Insert(insert) => insert.relation_name_ref()?.syntax().clone(),
        ast::Stmt::Merge(merge) => merge.table_relation_name()?.syntax().clone(),
        _ => stmt.syntax().descendants().find(|node| {
            ast::TableRelationName::can_cast(node.kind())
                || ast::RelationName::can_cast(node.kind())
                || ast::TableNameRef::can_cast(node.kind())
                || ast::TableName::can_cast(node.kind())
        })?,
    };
    let text = node.text().to_string();
    let mut cursor = Cursor::of(&text);
    let _ = cursor.eat(&["ONLY"]) && cursor.eat_symbol(b'(');
    cursor.name()
}

/// The column that a statement changes, where it changes one.
pub(super) fn column(stmt: &ast::Stmt) -> Option<String> {
    let ast::Stmt::AlterTable(alter) = stmt else { return None };
    alter.actions().find_map(|action| match action {
        ast::AlterTableAction::AlterColumn(action) => named(action.column_name_ref()?.syntax()),
        ast::AlterTableAction::DropColumn(action) => named(action.column_name_ref()?.syntax()),
        ast::AlterTableAction::AddColumn(action) => named(action.column_name()?.syntax()),
        _ => None,
    })
}

/// The name that a node is, as PostgreSQL stores it.
pub(super) fn named(node: &SyntaxNode) -> Option<String> {
    let text = node.text().to_string();
    Cursor::of(&text).name().map(|name| name.own().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::name::written;

    fn tables(sql: &str) -> Vec<Option<String>> {
        let migration = Migration::new("1_a".into(), "1_a".into(), sql);
        let statements = Text::read(&migration).statements;
        statements.iter().map(|(stmt, _)| table(stmt).map(|name| written(&name))).collect()
    }

    #[test]
    fn the_table_of_a_statement_is_found_however_it_is_written() {
        for (sql, name) in [
            ("ALTER TABLE ONLY \"Visit\" ADD COLUMN a int", "\"Visit\""),
            ("ALTER TABLE IF EXISTS Medical.visits DROP COLUMN a", "medical.visits"),
            ("CREATE INDEX i ON visits (a)", "visits"),
            ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY visits USING btree (a)", "visits"),
            ("DROP TABLE visits", "visits"),
            ("UPDATE visits SET a = 1", "visits"),
            ("DELETE FROM visits WHERE a = 1", "visits"),
            ("TRUNCATE TABLE visits CASCADE", "visits"),
            ("CREATE TABLE visits (id int)", "visits"),
            ("CREATE TABLE \"odd \"\" name\" (id int)", "\"odd \"\" name\""),
            ("ALTER TABLE \"medical.visits\" ADD COLUMN a int", "\"medical.visits\""),
            ("INSERT INTO visits SELECT * FROM other", "visits"),
            ("WITH old AS (SELECT id FROM other) DELETE FROM ONLY visits USING old", "visits"),
            ("WITH old AS (SELECT id FROM other) UPDATE visits SET a = 1 FROM old", "visits"),
            ("MERGE INTO visits v USING other o ON o.id = v.id WHEN MATCHED THEN DELETE", "visits"),
        ] {
            assert_eq!(tables(sql), [Some(name.to_owned())], "{sql}");
        }
    }
}
