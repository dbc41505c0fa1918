//! Which relations a statement names that says CONCURRENTLY, and is no index build: PostgreSQL waits for the
//! transactions that use them.

use super::cursor::{Cursor, Name};

/// The index of DROP INDEX, the index or table of REINDEX, the table of DETACH PARTITION and its partition: every
/// part of a name in quotes. None where a statement names none, as REINDEX SCHEMA does not.
pub fn concurrent_relations(sql: &str) -> Vec<String> {
    let mut cursor = Cursor::of(sql);
    let names = match cursor.eat_any(&["DROP", "REINDEX", "ALTER"]) {
        Some("DROP") => dropped(&mut cursor),
        Some("REINDEX") => rebuilt(&mut cursor),
        Some("ALTER") => detached(&mut cursor),
        _ => None,
    };
    names.unwrap_or_default().iter().map(Name::quoted).collect()
}

fn dropped(cursor: &mut Cursor<'_>) -> Option<Vec<Name>> {
    cursor.eat(&["INDEX", "CONCURRENTLY"]).then_some(())?;
    cursor.eat(&["IF", "EXISTS"]);
    Some(vec![cursor.name()?])
}

fn rebuilt(cursor: &mut Cursor<'_>) -> Option<Vec<Name>> {
    cursor.parenthesised();
    cursor.eat_any(&["INDEX", "TABLE"])?;
    cursor.eat(&["CONCURRENTLY"]);
    Some(vec![cursor.name()?])
}

fn detached(cursor: &mut Cursor<'_>) -> Option<Vec<Name>> {
    cursor.eat(&["TABLE"]).then_some(())?;
    cursor.eat(&["IF", "EXISTS"]);
    let table = cursor.table()?;
    cursor.eat(&["DETACH", "PARTITION"]).then_some(())?;
    Some(vec![table, cursor.name()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_that_says_concurrently_names_what_it_works_on() {
        for (sql, names) in [
            ("DROP INDEX CONCURRENTLY i", vec!["\"i\""]),
            ("drop index concurrently if exists Clinical.\"I\" CASCADE", vec!["\"clinical\".\"I\""]),
            ("REINDEX INDEX CONCURRENTLY i", vec!["\"i\""]),
            ("REINDEX (VERBOSE, CONCURRENTLY) TABLE s.t", vec!["\"s\".\"t\""]),
            (
                "ALTER TABLE IF EXISTS ONLY p DETACH PARTITION public.p1 CONCURRENTLY",
                vec!["\"p\"", "\"public\".\"p1\""],
            ),
            ("REINDEX SCHEMA CONCURRENTLY public", vec![]),
            ("DROP INDEX i", vec![]),
            ("ALTER TABLE t ADD COLUMN concurrently int", vec![]),
            ("VACUUM t", vec![]),
        ] {
            assert_eq!(concurrent_relations(sql), names, "{sql}");
        }
    }
}
