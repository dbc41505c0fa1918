//! VALIDATE CONSTRAINT in the transaction that added it: it would take a lock that lets writers through, but the
//! one of ADD CONSTRAINT is still held.

use squawk_syntax::{
    ast::{self, AstNode},
    quote::quote_ident,
};

use super::{
    Found,
    stmt::{named, range, table},
    text::Text,
};

pub(super) fn found(text: &Text<'_>) -> Vec<Found> {
    if text.migration.script().is_ok_and(|script| script.apart) {
        return Vec::new();
    }
    let mut added = Vec::new();
    let mut found = Vec::new();
    for (stmt, _) in &text.statements {
        let ast::Stmt::AlterTable(alter) = stmt else { continue };
        for action in alter.actions() {
            match action {
                ast::AlterTableAction::AddConstraint(_) => added.extend(table(stmt)),
                ast::AlterTableAction::ValidateConstraint(action)
                    if table(stmt).is_some_and(|table| added.contains(&table)) =>
                {
                    let name = action.constraint_name_ref().and_then(|name| named(name.syntax()));
                    let name = name.map(|name| quote_ident(&name));
                    found.push(Found { name, ..Found::at(range(action.syntax())) });
                }
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::super::times;

    #[test]
    fn it_is_named_in_one_transaction_and_not_in_two() {
        let add = "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID;";
        let validate = "ALTER TABLE t VALIDATE CONSTRAINT c;";
        let of = |files: &[&str]| times("validated-at-once", files);
        assert_eq!(of(&[&format!("{add}{validate}")]), 1);
        assert_eq!(of(&[add, validate]), 0);
        assert_eq!(of(&[&format!("-- sluice: no-transaction\n{add}{validate}")]), 0);
    }
}
