//! Columns that a statement, or a release, requires by SET NOT NULL. PURE.

use std::collections::BTreeSet;

use crate::{
    lint::{Column, Tables},
    migrations::Migration,
    sql::{Cursor, Name},
};

/// The columns that a release requires by SET NOT NULL. Names without a schema are of the one of `tables`.
pub fn required_columns(release: &[&Migration], tables: &Tables) -> Vec<Column> {
    let scripts = release.iter().filter_map(|migration| migration.script().ok());
    let statements = scripts.flat_map(|script| &script.statements);
    let columns: BTreeSet<Column> = statements
        .filter_map(|statement| requires(statement.sql()))
        .flat_map(|(table, columns)| {
            let (schema, table) = tables.place(&table);
            columns.into_iter().map(move |column| (schema.clone(), table.clone(), column))
        })
        .collect();
    columns.into_iter().collect()
}

/// The table of an ALTER TABLE, and its columns that may have no NULL from then on.
pub(super) fn requires(sql: &str) -> Option<(Name, Vec<String>)> {
    let mut cursor = Cursor::of(sql);
    if !cursor.eat(&["ALTER", "TABLE"]) {
        return None;
    }
    cursor.eat(&["IF", "EXISTS"]);
    cursor.eat(&["ONLY"]);
    let table = cursor.name()?;
    let mut columns = Vec::new();
    while cursor.peek().is_some() {
        if cursor.eat(&["ALTER"]) {
            cursor.eat(&["COLUMN"]);
            let column = cursor.name();
            if cursor.eat(&["SET", "NOT", "NULL"]) {
                columns.extend(column.map(|column| column.own().to_owned()));
            }
        }
        // The rest of this action.
        while cursor.peek().is_some() && !cursor.eat_symbol(b',') {
            if cursor.parenthesised().is_none() {
                cursor.advance();
            }
        }
    }
    Some((table, columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_that_a_release_requires_is_known_before_the_database_is_queried() {
        let sql = "ALTER TABLE IF EXISTS ONLY medical.\"Visit\" ALTER COLUMN a SET NOT NULL, ALTER \"B\" SET NOT \
            NULL; ALTER TABLE visits ADD CHECK (a IS NOT NULL), ALTER c SET DEFAULT 1, ALTER d DROP NOT NULL;";
        let migration = Migration::new("1_a".into(), "1_a".into(), sql);
        let column = |name: &str| ("medical".to_owned(), "Visit".to_owned(), name.to_owned());
        assert_eq!(required_columns(&[&migration], &Tables::default()), [column("B"), column("a")]);
    }
}
