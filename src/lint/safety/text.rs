//! A file as its syntax tree: statements, the tables that they are about, and lines. PURE.

use std::ops::Range;

use squawk_syntax::{
    Parse, SourceFile, SyntaxNode,
    ast::{self, AstNode},
};

use crate::migrations::Migration;

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

    /// The statement that a place is in.
    pub(super) fn statement_at(&self, place: &Range<usize>) -> Option<&ast::Stmt> {
        let found =
            self.statements.iter().find(|(_, range)| range.start <= place.start && place.end <= range.end);
        found.map(|(stmt, _)| stmt)
    }

    /// Whether a statement switches row-level security on or off.
    pub(super) fn is_about_row_security(&self, place: &Range<usize>) -> bool {
        let Some(ast::Stmt::AlterTable(alter)) = self.statement_at(place) else { return false };
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

/// The table that a statement is about, as it is written, without quotes.
pub(super) fn table(stmt: &ast::Stmt) -> Option<String> {
    let node = stmt.syntax().descendants().find_map(|node| {
        let found = ast::TableRelationName::can_cast(node.kind())
            || ast::RelationName::can_cast(node.kind())
            || ast::TableNameRef::can_cast(node.kind())
            || ast::TableName::can_cast(node.kind());
        found.then_some(node)
    })?;
    let text = node.text().to_string();
    let text = text.trim();
    let text = text
        .get(..4)
        .filter(|start| start.eq_ignore_ascii_case("only"))
        .map_or(text, |_| text[4..].trim_start());
    Some(plain(text.trim_end_matches('*').trim_end()))
}

/// The column that a statement changes, where it changes one.
pub(super) fn column(stmt: &ast::Stmt) -> Option<String> {
    let ast::Stmt::AlterTable(alter) = stmt else { return None };
    let text = alter.actions().find_map(|action| match action {
        ast::AlterTableAction::AlterColumn(action) => {
            action.column_name_ref().map(|name| name.syntax().text().to_string())
        }
        ast::AlterTableAction::DropColumn(action) => {
            action.column_name_ref().map(|name| name.syntax().text().to_string())
        }
        ast::AlterTableAction::AddColumn(action) => {
            action.column_name().map(|name| name.syntax().text().to_string())
        }
        _ => None,
    })?;
    Some(plain(text.trim()))
}

/// A name as PostgreSQL keeps it: quotes off, other letters small.
pub(super) fn plain(name: &str) -> String {
    let (mut out, mut quoted, mut rest) = (String::new(), false, name.chars().peekable());
    while let Some(letter) = rest.next() {
        match letter {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                out.push('"');
            }
            '"' => quoted = !quoted,
            letter if quoted => out.push(letter),
            letter => out.extend(letter.to_lowercase()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(sql: &str) -> Vec<Option<String>> {
        let migration = Migration::new("1_a".into(), "1_a".into(), sql);
        Text::read(&migration).statements.iter().map(|(stmt, _)| table(stmt)).collect()
    }

    #[test]
    fn the_table_of_a_statement_is_found_however_it_is_written() {
        for (sql, name) in [
            ("ALTER TABLE ONLY \"Visit\" ADD COLUMN a int", "Visit"),
            ("ALTER TABLE IF EXISTS Medical.visits DROP COLUMN a", "medical.visits"),
            ("CREATE INDEX i ON visits (a)", "visits"),
            ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY visits USING btree (a)", "visits"),
            ("DROP TABLE visits", "visits"),
            ("UPDATE visits SET a = 1", "visits"),
            ("DELETE FROM visits WHERE a = 1", "visits"),
            ("TRUNCATE TABLE visits CASCADE", "visits"),
            ("CREATE TABLE visits (id int)", "visits"),
            ("CREATE TABLE \"odd \"\" name\" (id int)", "odd \" name"),
        ] {
            assert_eq!(tables(sql), [Some(name.to_owned())], "{sql}");
        }
    }
}
