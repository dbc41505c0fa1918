//! Schema and rows changed in one transaction.

use squawk_syntax::ast;

use super::{Found, stmt::table, text::Text};
use crate::sql::Name;

pub(super) fn found(text: &Text<'_>) -> Vec<Found> {
    if text.migration.script().is_ok_and(|script| script.apart) {
        return Vec::new();
    }
    let altered: Vec<Name> = text
        .statements
        .iter()
        .filter(|(stmt, _)| matches!(stmt, ast::Stmt::AlterTable(_)))
        .filter_map(|(stmt, _)| table(stmt))
        .collect();
    text.statements
        .iter()
        .filter(|(stmt, _)| {
            matches!(stmt, ast::Stmt::Update(_) | ast::Stmt::Delete(_) | ast::Stmt::Insert(_))
        })
        .filter(|(stmt, _)| table(stmt).is_some_and(|table| altered.contains(&table)))
        .map(|(_, place)| Found::at(place.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::times;

    #[test]
    fn rows_of_a_table_that_the_same_file_alters_are_named() {
        let of = |sql| times("schema-and-data", &[sql]);
        assert_eq!(of("ALTER TABLE t ADD COLUMN status text; UPDATE t SET status = 'new' WHERE id = 1;"), 1);
        assert_eq!(of("ALTER TABLE t ADD COLUMN status text; INSERT INTO kinds VALUES (1);"), 0);
        assert_eq!(
            of(
                "-- sluice: no-transaction\nALTER TABLE t ADD COLUMN status text; UPDATE t SET status = 'new' WHERE id = 1;"
            ),
            0
        );
    }
}
