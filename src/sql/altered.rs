//! An ALTER TABLE that changes types of columns, read so that the same change can be made of a copy of the
//! table: which columns it is about, and how it says that their values become those of the new type. PURE.

use std::ops::Range;

use super::{
    cursor::{Cursor, Name},
    token::TokenKind,
};

/// An ALTER TABLE that changes types of columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Altered {
    /// The table.
    pub table: Name,
    /// The columns that get a type.
    pub columns: Vec<AlteredColumn>,
    /// Where what is done to the table begins, in bytes.
    actions: usize,
}

/// A column that gets a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredColumn {
    /// Its name.
    pub name: String,
    /// Where its USING expression stands, in bytes.
    using: Option<Range<usize>>,
}

const NOT_ONE: &str = "it stands before no ALTER TABLE: put it directly before the ALTER TABLE … ALTER \
    COLUMN … \
    TYPE that it is about";
const ONLY: &str = "a table that others inherit from cannot be copied, and ONLY means nothing for another: \
    remove ONLY";
const OTHER: &str = "a copy can change types, defaults and NOT NULL of columns (ALTER COLUMN … TYPE, SET \
    DEFAULT, \
    DROP DEFAULT, SET NOT NULL, DROP NOT NULL), and the statement does something else: move that into a \
    statement of its own";
const NO_TYPE: &str = "the statement changes no type, so PostgreSQL rewrites nothing: remove the directive";
const TWICE: &str = "the statement changes the type of a column twice: keep one";

impl Altered {
    /// Reads one statement; an error says why it cannot be done by copy, and what to do.
    pub fn read(sql: &str) -> Result<Self, &'static str> {
        let mut cursor = Cursor::of(sql);
        if !cursor.eat(&["ALTER", "TABLE"]) {
            return Err(NOT_ONE);
        }
        cursor.eat(&["IF", "EXISTS"]);
        if cursor.at("ONLY") {
            return Err(ONLY);
        }
        let table = cursor.table().ok_or(NOT_ONE)?;
        let actions = cursor.peek().ok_or(NOT_ONE)?.start;
        let mut columns: Vec<AlteredColumn> = Vec::new();
        loop {
            if let Some(column) = action(&mut cursor, sql)? {
                if columns.iter().any(|known| known.name == column.name) {
                    return Err(TWICE);
                }
                columns.push(column);
            }
            if cursor.peek().is_none() {
                break;
            }
            cursor.eat_symbol(b',');
        }
        if columns.is_empty() { Err(NO_TYPE) } else { Ok(Self { table, columns, actions }) }
    }

    /// The same of another table, whose name is written like this.
    pub fn of(&self, sql: &str, table: &str) -> String {
        format!("ALTER TABLE {table} {}", &sql[self.actions..])
    }
}

impl AlteredColumn {
    /// What USING says; none where PostgreSQL converts by assignment.
    pub fn using<'a>(&self, sql: &'a str) -> Option<&'a str> {
        self.using.clone().map(|range| &sql[range])
    }
}

/// Reads one action up to its comma: a column that gets a type, or something else that can be done of a copy.
fn action(cursor: &mut Cursor<'_>, sql: &str) -> Result<Option<AlteredColumn>, &'static str> {
    if !cursor.eat(&["ALTER"]) {
        return Err(OTHER);
    }
    cursor.eat(&["COLUMN"]);
    let name = cursor.name().filter(|name| name.0.len() == 1).ok_or(OTHER)?;
    let typed = cursor.eat(&["SET", "DATA", "TYPE"]) || cursor.eat(&["TYPE"]);
    let other =
        [&["SET", "DEFAULT"][..], &["DROP", "DEFAULT"], &["SET", "NOT", "NULL"], &["DROP", "NOT", "NULL"]];
    if !typed && !other.iter().any(|words| cursor.eat(words)) {
        return Err(OTHER);
    }
    let (mut depth, mut using, mut end) = (0_usize, None, sql.len());
    while let Some(token) = cursor.peek() {
        match token.kind {
            TokenKind::Symbol(b',') if depth == 0 => break,
            TokenKind::Symbol(b'(' | b'[') => depth += 1,
            TokenKind::Symbol(b')' | b']') => depth = depth.saturating_sub(1),
            TokenKind::Word if depth == 0 && typed && using.is_none() && cursor.at("USING") => {
                using = Some(token.end);
            }
            _ => {}
        }
        end = token.end;
        cursor.advance();
    }
    let using = using.map(|start| start..end);
    Ok(typed.then(|| AlteredColumn { name: name.own().to_owned(), using }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(sql: &str) -> Vec<(String, Option<String>)> {
        let altered = Altered::read(sql).unwrap_or_else(|problem| panic!("{sql}: {problem}"));
        let of = |column: &AlteredColumn| {
            (column.name.clone(), column.using(sql).map(|text| text.trim().to_owned()))
        };
        altered.columns.iter().map(of).collect()
    }

    #[test]
    fn each_column_that_gets_a_type_is_read_with_what_its_values_become() {
        let sql = "ALTER TABLE IF EXISTS \"Shop\".orders ALTER COLUMN id TYPE bigint, \
            ALTER \"Total\" SET DATA TYPE numeric(12, 2) USING round(coalesce(\"Total\", 0), 2), \
            ALTER COLUMN id SET DEFAULT f(1, 2), ALTER note DROP NOT NULL";
        let expected = [("id", None), ("Total", Some("round(coalesce(\"Total\", 0), 2)"))];
        assert_eq!(columns(sql), expected.map(|(name, using)| (name.to_owned(), using.map(str::to_owned))));
        let altered = Altered::read(sql).expect("reads");
        assert_eq!(altered.table.quoted(), "\"Shop\".\"orders\"");
        let copy = altered.of(sql, "sluice_copy.orders");
        assert!(copy.starts_with("ALTER TABLE sluice_copy.orders ALTER COLUMN id TYPE bigint, "), "{copy}");
        assert!(copy.ends_with("ALTER note DROP NOT NULL"), "{copy}");
    }

    #[test]
    fn what_a_copy_cannot_do_is_told() {
        for (sql, problem) in [
            ("UPDATE t SET a = 1", "before no ALTER TABLE"),
            ("ALTER TABLE", "before no ALTER TABLE"),
            ("ALTER TABLE ONLY t ALTER a TYPE int", "remove ONLY"),
            ("ALTER TABLE t RENAME TO u", "something else"),
            ("ALTER TABLE t ADD COLUMN a int, ALTER b TYPE int", "something else"),
            ("ALTER TABLE t ALTER a TYPE int, DROP COLUMN b", "something else"),
            ("ALTER TABLE t ALTER a SET STORAGE plain", "something else"),
            ("ALTER TABLE t ALTER a SET NOT NULL", "changes no type"),
            ("ALTER TABLE t ALTER a TYPE int, ALTER a TYPE bigint", "twice"),
            ("ALTER TABLE t ALTER a TYPE int,", "something else"),
        ] {
            let told = Altered::read(sql).expect_err(sql);
            assert!(told.contains(problem), "{sql}: {told}");
        }
    }
}
