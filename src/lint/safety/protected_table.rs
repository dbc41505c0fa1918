//! What changes or removes rows of a table that the team protects by name, or of one behind it by ON DELETE CASCADE.

use squawk_syntax::ast;

use super::{
    Found,
    made::Target,
    stmt::{ChangeKind, changes},
    text::Text,
};
use crate::sql::Name;

pub(super) fn found(text: &Text<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (stmt, place) in &text.statements {
        let whole = &text.sql()[place.clone()];
        let reached: Option<String> = match stmt {
            ast::Stmt::Truncate(_) | ast::Stmt::DropTable(_) => {
                first(Target::all(whole).iter().filter_map(Target::name_of_a_relation), |table| {
                    text.tables.reached(table)
                })
            }
            ast::Stmt::AlterTable(alter) => {
                let drops =
                    alter.actions().any(|action| matches!(action, ast::AlterTableAction::DropColumn(_)));
                let targets = Target::all(whole);
                let tables = targets.iter().filter_map(Target::name_of_a_relation).filter(|_| drops);
                first(tables, |table| text.tables.protected(table))
            }
            _ => None,
        };
        found.extend(reached.map(|name| Found { name: Some(name), ..Found::at(place.clone()) }));
        for change in changes(stmt) {
            let reached = match change.kind {
                ChangeKind::Update => text.tables.protected(&change.table),
                ChangeKind::Delete | ChangeKind::Merge => text.tables.reached(&change.table),
            };
            let name = reached.map(ToOwned::to_owned);
            found.extend(name.map(|name| Found { name: Some(name), ..Found::at(change.place) }));
        }
    }
    found
}

fn first<'n, 't>(
    mut tables: impl Iterator<Item = &'n Name>,
    reached: impl Fn(&Name) -> Option<&'t str>,
) -> Option<String> {
    tables.find_map(reached).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::super::{Large, Preset, Tables, Weight, said};

    fn of(sql: &str) -> Vec<Weight> {
        let cascades = [(("public".to_owned(), "patients".to_owned()), "records".to_owned())];
        let tables = Tables::of([], "public", Large::default());
        let tables =
            tables.protecting(&["records".to_owned(), "medical.notes".to_owned()]).with_cascades(cascades);
        let said = said(&[sql], &tables, Preset::Lenient);
        said.into_iter().filter(|(id, ..)| id == "protected-table").map(|(_, weight, _)| weight).collect()
    }

    #[test]
    fn what_changes_or_removes_rows_of_a_protected_table_needs_an_approval_whatever_the_preset() {
        for sql in [
            "DELETE FROM records WHERE id = 1",
            "UPDATE archive.records SET a = 1 WHERE id = 1",
            "TRUNCATE visits, medical.notes",
            "DROP TABLE visits, records",
            "ALTER TABLE records DROP COLUMN a",
            "MERGE INTO records r USING new n ON n.id = r.id WHEN MATCHED THEN DELETE",
            "WITH gone AS (DELETE FROM records WHERE id = 1 RETURNING a) SELECT a FROM gone",
            "DELETE FROM patients WHERE id = 1",
        ] {
            assert_eq!(of(sql), [Weight::Approve], "{sql}");
        }
    }

    #[test]
    fn what_leaves_its_rows_is_not_named_and_a_waiver_waives_it() {
        for sql in [
            "INSERT INTO records VALUES (1)",
            "ALTER TABLE records ADD COLUMN a int",
            "DELETE FROM visits WHERE id = 1",
            "DELETE FROM notes WHERE id = 1",
            "UPDATE patients SET a = 1 WHERE id = 1",
            "CREATE TABLE records (id int); DELETE FROM records WHERE id = 1",
        ] {
            assert_eq!(of(sql), [], "{sql}");
        }
        let waiver = "-- sluice: allow protected-table reason=\"asked for by the patient\"\n";
        assert_eq!(of(&format!("{waiver}DELETE FROM records WHERE id = 1")), [Weight::Off]);
    }
}
