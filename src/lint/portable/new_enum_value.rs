//! A value that is added to an enum and stands in a later statement of the same transaction (55P04). Sluice
//! commits in between.

use super::{Fault, File};
use crate::sql::{Cursor, EnumValue, Needs, TokenKind, constant};

pub(super) fn rule(file: &File<'_>) -> Option<Fault> {
    file.statements.iter().enumerate().filter(|(_, statement)| statement.needs == Needs::Commit).find_map(|(at, adds)| {
        let value = EnumValue::added_by(adds.sql);
        let later = file.statements[at + 1..].iter().take_while(|statement| statement.transaction == adds.transaction);
        let uses = later.into_iter().find(|statement| value.may_be_used_by(statement.sql) && stands_in(&value, statement.sql))?;
        Some(Fault {
            line: uses.line,
            message: format!(
                "Prisma fails with SQLSTATE 55P04 where this is the enum's value that line {} adds: it sends \
                    the file as one query, which PostgreSQL \
                 runs as one transaction, and a new value can be used only after COMMIT",
                adds.line
            ),
            remedy: "add the value in a migration before this one, or write COMMIT; between the \
                two".to_owned(),
        })
    })
}

/// Whether it surely stands in a statement: as a constant, in an array or in code that PostgreSQL reads at
/// once, or all values of the enum are asked for.
pub(in crate::lint) fn stands_in(value: &EnumValue, sql: &str) -> bool {
    let mut cursor = Cursor::of(sql);
    let creates = cursor.eat(&["CREATE"]);
    cursor.eat(&["OR", "REPLACE"]);
    let routine = creates && cursor.at_any(&["FUNCTION", "PROCEDURE"]);
    if routine && !cursor.mentions("SQL") && !cursor.mentions("ATOMIC") {
        // Code in another language is read when it is called.
        return false;
    }
    let trigger = creates && cursor.at_any(&["TRIGGER", "CONSTRAINT"]);
    let code = routine || cursor.at("DO");
    let all = ["enum_range", "enum_last"];
    cursor
        .clone()
        .rest()
        // What a trigger gives to its function is text.
        .take_while(|token| !(trigger && cursor.text(*token).eq_ignore_ascii_case("EXECUTE")))
        .any(|token| match (token.kind, cursor.text(token)) {
            (TokenKind::Text, text) => constant(text).is_some_and(|held| {
                held == value.label || in_array(&held, &value.label) || (code && stands_in(value, &held))
            }),
            (TokenKind::Word, word) => {
                all.iter().any(|function| word.eq_ignore_ascii_case(function)) && mentions(&cursor, &value.of)
            }
            _ => false,
        })
}

/// Whether a name stands in a statement, in quotes or without.
fn mentions(cursor: &Cursor<'_>, name: &str) -> bool {
    cursor
        .clone()
        .rest()
        .any(|token| Cursor::of(cursor.text(token)).name().is_some_and(|found| found.own() == name))
}

fn in_array(constant: &str, label: &str) -> bool {
    constant.starts_with('{') && constant.split(['{', '}', ',', '"']).any(|element| element.trim() == label)
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    #[test]
    fn the_place_that_uses_the_value_is_named_however_it_is_written() {
        for uses in [
            "UPDATE t SET m = 'it''s'",
            "SELECT $$it's$$::mood",
            "SELECT '{a,\"it''s\"}'::mood[]",
            "SELECT enum_range(NULL::\"mood\")",
            "CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW WHEN (NEW.m = 'it''s') EXECUTE FUNCTION f()",
            "DO $x$ BEGIN INSERT INTO t VALUES ('it''s'); END $x$",
            "CREATE FUNCTION f() RETURNS mood LANGUAGE sql AS $x$ SELECT 'it''s'::mood $x$",
            "CREATE TABLE u (m mood DEFAULT 'it''s')",
        ] {
            let said = said(&[&format!("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'it''s';\n{uses};")]);
            assert!(
                said.len() == 1 && said[0].starts_with("0:2: ") && said[0].contains("55P04"),
                "{uses}: {said:?}"
            );
        }
    }

    #[test]
    fn other_values_and_a_commit_in_between_are_silent() {
        let silent: [String; 0] = [];
        for sql in [
            "ALTER TYPE mood ADD VALUE 'b'; UPDATE t SET m = 'a';",
            "ALTER TYPE mood ADD VALUE 'b'; ALTER TYPE mood ADD VALUE 'c' AFTER 'b'; COMMENT ON TYPE mood IS \
                'b';",
            "ALTER TYPE mood ADD VALUE 'b'; SELECT enum_range(NULL::other);",
            "ALTER TYPE mood ADD VALUE 'b'; CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION \
                f('b');",
            "ALTER TYPE mood ADD VALUE 'b'; COMMIT; UPDATE t SET m = 'b';",
            "BEGIN; ALTER TYPE mood ADD VALUE 'b'; END; BEGIN; UPDATE t SET m = 'b'; COMMIT;",
            "ALTER TYPE mood ADD VALUE 'b'; CREATE FUNCTION f() RETURNS mood LANGUAGE plpgsql AS $$ BEGIN \
                RETURN 'b'; END $$;",
        ] {
            assert_eq!(said(&[sql]), silent, "{sql}");
        }
        assert_eq!(said(&["ALTER TYPE mood ADD VALUE 'b';", "UPDATE t SET m = 'b';"]), silent);
    }
}
