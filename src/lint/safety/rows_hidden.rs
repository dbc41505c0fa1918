//! An UPDATE, DELETE or MERGE of a table of which row-level security hides rows from the role that migrates: it leaves
//! them as they are, and says nothing. Where the file switches that off first, or sets what policies read, nothing is
//! known.

use squawk_syntax::ast;

use super::{Found, stmt::changes, text::Text};
use crate::sql::Cursor;

pub(super) fn found(text: &Text<'_>) -> Vec<Found> {
    let (mut found, mut prepared) = (Vec::new(), false);
    for (stmt, place) in &text.statements {
        prepared |= prepares(stmt, &text.sql()[place.clone()]);
        let changes =
            changes(stmt).into_iter().filter(|change| !prepared && text.tables.hides(&change.table));
        found.extend(changes.map(|change| Found::at(change.place)));
    }
    found
}

/// Whether a statement may let the role see more.
fn prepares(stmt: &ast::Stmt, sql: &str) -> bool {
    let uncovers = |action| {
        matches!(action, ast::AlterTableAction::DisableRls(_) | ast::AlterTableAction::NoForceRls(_))
    };
    sets(Cursor::of(sql))
        || Cursor::of(sql).mentions("set_config")
        || matches!(stmt, ast::Stmt::CreatePolicy(_) | ast::Stmt::AlterPolicy(_))
        || matches!(stmt, ast::Stmt::AlterTable(alter) if alter.actions().any(uncovers))
}

/// Whether a statement sets what policies read: a setting of the team's own, or the role.
fn sets(mut cursor: Cursor<'_>) -> bool {
    if !cursor.eat(&["SET"]) {
        return false;
    }
    cursor.eat_any(&["LOCAL", "SESSION"]);
    cursor.at_any(&["ROLE", "AUTHORIZATION"]) || cursor.name().is_some_and(|name| name.0.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::super::super::{Large, Preset, Tables, Weight, said};

    fn of(sql: &str) -> Vec<Weight> {
        let hidden = [("public".to_owned(), "visits".to_owned())];
        let tables = Tables::of([], "public", Large::default()).with_hidden(hidden);
        let said = said(&[sql], &tables, Preset::Standard);
        said.into_iter().filter(|(id, ..)| id == "rows-hidden").map(|(_, weight, _)| weight).collect()
    }

    #[test]
    fn a_change_of_rows_that_are_hidden_fails_until_the_file_lets_the_role_see_them() {
        let update = "UPDATE visits SET a = 1 WHERE id = 1;";
        assert_eq!(of(update), [Weight::Fail]);
        assert_eq!(of(&update.replace("visits", "patients")), []);
        for mended in [
            "ALTER TABLE visits NO FORCE ROW LEVEL SECURITY;",
            "SET LOCAL app.tenant = '1';",
            "SELECT set_config('app.tenant', '1', true);",
            "CREATE POLICY migrates ON visits TO migrator USING (true);",
        ] {
            assert_eq!(of(&format!("{mended} {update}")), [], "{mended}");
        }
        assert_eq!(of(&format!("SET lock_timeout = 1; {update}")), [Weight::Fail], "no policy reads it");
        assert_eq!(of(&format!("{update} SET LOCAL app.tenant = '1';")), [Weight::Fail], "too late");
        let waiver = "-- sluice: allow rows-hidden reason=\"only those of this tenant\"\n";
        assert_eq!(of(&format!("{waiver}{update}")), [Weight::Off]);
    }
}
