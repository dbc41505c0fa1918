//! Row-level security that is switched off.

use squawk_syntax::ast::{self, AstNode};

use super::{Found, stmt::range, text::Text};

pub(super) fn found(text: &Text<'_>) -> Vec<Found> {
    let tables = text.statements.iter().filter_map(|(stmt, _)| match stmt {
        ast::Stmt::AlterTable(alter) => Some(alter),
        _ => None,
    });
    tables
        .flat_map(squawk_syntax::ast::AlterTable::actions)
        .filter_map(|action| match action {
            ast::AlterTableAction::DisableRls(action) => Some(range(action.syntax())),
            ast::AlterTableAction::NoForceRls(action) => Some(range(action.syntax())),
            _ => None,
        })
        .map(Found::at)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::{Preset, Tables, Weight, said};

    #[test]
    fn switching_it_off_is_named_and_switching_it_on_is_not() {
        let of = |sql| said(&[sql], &Tables::default(), Preset::Strict);
        for sql in ["ALTER TABLE t DISABLE ROW LEVEL SECURITY", "ALTER TABLE t NO FORCE ROW LEVEL SECURITY"] {
            assert_eq!(of(sql), [("row-level-security-off".to_owned(), Weight::Fail, None)], "{sql}");
        }
        assert_eq!(of("ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY"), []);
    }
}
