//! A column dropped and another added in one file, as Prisma writes it where a field was renamed.

use squawk_syntax::ast::{self, AstNode};

use super::{
    Found,
    stmt::{named, range, table},
    text::Text,
};

pub(super) fn found(text: &Text<'_>) -> Vec<Found> {
    let (mut added, mut dropped) = (Vec::new(), Vec::new());
    for (stmt, _) in &text.statements {
        let ast::Stmt::AlterTable(alter) = stmt else { continue };
        for action in alter.actions() {
            match action {
                ast::AlterTableAction::AddColumn(_) => added.extend(table(stmt)),
                ast::AlterTableAction::DropColumn(action) => {
                    let column = action.column_name_ref().and_then(|name| named(name.syntax()));
                    dropped.push((table(stmt), column, range(action.syntax())));
                }
                _ => {}
            }
        }
    }
    dropped
        .into_iter()
        .filter(|(table, ..)| table.as_ref().is_some_and(|table| added.contains(table)))
        .map(|(_, column, place)| Found { column, ..Found::at(place) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::times;

    #[test]
    fn a_field_that_was_renamed_is_named_and_one_that_only_goes_is_not() {
        let of = |sql| times("drop-and-add", &[sql]);
        assert_eq!(of("ALTER TABLE \"User\" DROP COLUMN \"name\", ADD COLUMN \"fullName\" TEXT;"), 1);
        assert_eq!(
            of("ALTER TABLE \"User\" DROP COLUMN \"name\"; ALTER TABLE \"Post\" ADD COLUMN \"a\" TEXT;"),
            0
        );
    }
}
