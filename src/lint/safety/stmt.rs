//! One statement in the syntax tree: its place, the table and the column that it is about, and what in it changes rows.
//! PURE.

use std::ops::Range;

use squawk_syntax::{
    SyntaxNode,
    ast::{self, AstNode},
};

use crate::sql::{Cursor, Name};

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
    name_in(&node)
}

/// The name of a relation, with ONLY before it or a star behind it.
fn name_in(node: &SyntaxNode) -> Option<Name> {
    let text = node.text().to_string();
    let mut cursor = Cursor::of(&text);
    let _ = cursor.eat(&["ONLY"]) && cursor.eat_symbol(b'(');
    cursor.name()
}

/// What changes rows: a statement, or a part of one behind WITH.
pub(super) struct Change {
    pub(super) kind: ChangeKind,
    pub(super) table: Name,
    pub(super) place: Range<usize>,
    /// Its condition, as it is written.
    pub(super) condition: Option<String>,
}

/// How rows are changed. An INSERT is none: it leaves the rows that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeKind {
    Update,
    Delete,
    Merge,
}

/// Everything in a statement that changes rows.
pub(super) fn changes(stmt: &ast::Stmt) -> Vec<Change> {
    let change = |node: SyntaxNode| {
        let (kind, name, condition) = if let Some(update) = ast::Update::cast(node.clone()) {
            (
                ChangeKind::Update,
                update.relation_name()?.syntax().clone(),
                update.where_clause_or_current_of(),
            )
        } else if let Some(delete) = ast::Delete::cast(node.clone()) {
            (
                ChangeKind::Delete,
                delete.relation_name()?.syntax().clone(),
                delete.where_clause_or_current_of(),
            )
        } else {
            let merge = ast::Merge::cast(node.clone())?;
            (ChangeKind::Merge, merge.table_relation_name()?.syntax().clone(), None)
        };
        let condition = condition.map(|condition| condition.syntax().text().to_string());
        Some(Change { kind, table: name_in(&name)?, place: range(&node), condition })
    };
    stmt.syntax().descendants().filter_map(change).collect()
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
    use squawk_syntax::SourceFile;

    use super::*;
    use crate::lint::name::written;

    fn tables(sql: &str) -> Vec<Option<String>> {
        SourceFile::parse(sql).tree().stmts().map(|stmt| table(&stmt).map(|name| written(&name))).collect()
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
