//! A temporary table of an earlier file. In Prisma's one session it is there as long as both files are
//! deployed by the same call; in Sluice it ends with its file, whatever `spec.apply.atomicity` says.

use std::collections::BTreeMap;

use super::{Fault, File, Objection};
use crate::sql::{Cursor, TokenKind};

/// The words that a table's name follows.
const BEFORE_A_TABLE: [&str; 7] = ["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "ONLY", "USING"];

/// The temporary tables of the files so far, which no later file has made anew, each with where it is made.
#[derive(Default)]
pub(super) struct Tables {
    made: BTreeMap<String, String>,
}

impl Tables {
    /// The first use of a table that is gone.
    pub(super) fn used_in<'a>(&self, file: &File<'a>) -> Option<Objection<'a>> {
        if self.made.is_empty() {
            return None;
        }
        let mut own = Vec::new();
        for statement in &file.statements {
            let known = |name: &String| !own.contains(name);
            if let Some((name, place)) =
                used(statement.sql).filter(known).find_map(|name| self.made.get_key_value(&name))
            {
                let message = format!(
                    "the table {name:?} is temporary and made in {place}: in Sluice it ends with its file, \
                        so this one fails with SQLSTATE 42P01 unless \
                     another has this name"
                );
                let remedy = "make it in the file that uses it, or make an ordinary table and drop it; \
                    spec.apply.atomicity does not change this";
                return file.objection(
                    "temporary-table",
                    Fault { line: statement.line, message, remedy: remedy.to_owned() },
                );
            }
            own.extend(made(statement.sql).map(|(name, _)| name));
        }
        None
    }

    /// Notes what this file makes.
    pub(super) fn after(&mut self, file: &File<'_>) {
        for statement in &file.statements {
            match made(statement.sql) {
                Some((name, true)) => {
                    drop(self.made.insert(name, format!("{}:{}", file.migration.file, statement.line)));
                }
                Some((name, false)) => drop(self.made.remove(&name)),
                None => {}
            }
        }
        for name in file.statements.iter().filter_map(|statement| dropped(statement.sql)) {
            self.made.remove(&name);
        }
    }
}

/// The table that a statement makes, and whether that is temporary and stays until the session ends.
fn made(sql: &str) -> Option<(String, bool)> {
    let mut cursor = Cursor::of(sql);
    if !cursor.eat(&["CREATE"]) {
        return None;
    }
    cursor.eat_any(&["GLOBAL", "LOCAL", "UNLOGGED"]);
    let temporary = cursor.eat_any(&["TEMPORARY", "TEMP"]).is_some();
    cursor.eat_any(&["TABLE", "VIEW"])?;
    cursor.eat(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name()?;
    // ON COMMIT DROP: with Prisma, too, it is gone when its file ends.
    let stays = !cursor.mentions("DROP");
    Some((name.own().to_owned(), temporary && stays))
}

fn dropped(sql: &str) -> Option<String> {
    let mut cursor = Cursor::of(sql);
    let drops = cursor.eat(&["DROP", "TABLE"]) || cursor.eat(&["DROP", "VIEW"]);
    cursor.eat(&["IF", "EXISTS"]);
    cursor.name().filter(|_| drops).map(|name| name.own().to_owned())
}

/// The names that stand where a table is named.
fn used(sql: &str) -> impl Iterator<Item = String> {
    let mut cursor = Cursor::of(sql);
    let creates_or_drops = cursor.at_any(&["CREATE", "DROP"]);
    let mut after = false;
    std::iter::from_fn(move || {
        while let Some(token) = cursor.peek() {
            if std::mem::take(&mut after)
                && let Some(name) = cursor.name()
            {
                return Some(name.own().to_owned());
            }
            let is =
                |word: &&str| token.kind == TokenKind::Word && cursor.text(token).eq_ignore_ascii_case(word);
            let keyword = BEFORE_A_TABLE.iter().find(|word| is(word));
            after = keyword.is_some_and(|word| !(creates_or_drops && *word == "TABLE"));
            cursor.advance();
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    #[test]
    fn a_later_file_that_names_the_table_is_told() {
        for uses in [
            "SELECT * FROM old",
            "INSERT INTO t SELECT * FROM x JOIN pg_temp.\"old\" USING (a)",
            "UPDATE old SET a = 1",
            "DROP TABLE u; TABLE old",
        ] {
            let said = said(&[
                "SELECT 1;\nCREATE TEMP TABLE Old AS SELECT 1 AS a;",
                "SELECT 1;",
                &format!("SELECT 1;\n{uses};"),
            ]);
            assert!(
                said.len() == 1 && said[0].starts_with("2:2: ") && said[0].contains("made in 0:2"),
                "{uses}: {said:?}"
            );
        }
    }

    #[test]
    fn its_own_file_and_other_tables_of_that_name_are_silent() {
        let temporary = "CREATE TEMPORARY TABLE old (a int); INSERT INTO old VALUES (1);";
        for later in [
            "CREATE TEMP TABLE old (a int); SELECT * FROM old;",
            "CREATE TABLE old (a int); SELECT * FROM old;",
            "SELECT old FROM t; SELECT 'FROM old';",
            "DROP TABLE IF EXISTS old;",
        ] {
            assert_eq!(said(&[temporary, later]), Vec::<String>::new(), "{later}");
        }
        for earlier in [
            "CREATE TEMP TABLE old ON COMMIT DROP AS SELECT 1",
            "CREATE TEMP TABLE old (a int); DROP TABLE old;",
            "CREATE TABLE old (a int)",
        ] {
            assert_eq!(said(&[earlier, "SELECT * FROM old;"]), Vec::<String>::new(), "{earlier}");
        }
    }
}
