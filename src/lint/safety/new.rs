//! What a release makes itself. Nobody uses it yet, so there is nothing to say about its locks, its loss or its name.

use std::collections::BTreeSet;

use crate::{
    lint::name::written,
    sql::{Cursor, Name},
};

/// Kinds of things whose name follows, besides tables.
const KINDS: [&[&str]; 11] = [
    &["TABLE"],
    &["TYPE"],
    &["DOMAIN"],
    &["MATERIALIZED", "VIEW"],
    &["VIEW"],
    &["FUNCTION"],
    &["PROCEDURE"],
    &["SEQUENCE"],
    &["SCHEMA"],
    &["EXTENSION"],
    &["INDEX"],
];

/// What a statement is about, as it is written; a statement about several, about the first.
pub(super) fn target(sql: &str) -> Option<String> {
    let mut cursor = Cursor::of(sql);
    cursor.eat_any(&["ALTER", "DROP"])?;
    kind_and_name(&mut cursor)
}

fn kind_and_name(cursor: &mut Cursor<'_>) -> Option<String> {
    KINDS.iter().any(|kind| cursor.eat(kind)).then_some(())?;
    let _ = cursor.eat(&["CONCURRENTLY"]);
    let _ = cursor.eat(&["IF", "NOT", "EXISTS"]) || cursor.eat(&["IF", "EXISTS"]);
    let _ = cursor.eat(&["ONLY"]);
    Some(unqualified(cursor.name()?))
}

/// With its schema, unless that is `public`, which most files leave out.
fn unqualified(name: Name) -> String {
    let parts = name.0.strip_prefix(&["public".to_owned()]).unwrap_or(&name.0);
    written(&Name(parts.to_vec()))
}

/// Notes what a statement makes, and the new name of what the release has made.
pub(super) fn note(new: &mut BTreeSet<String>, sql: &str) {
    let mut cursor = Cursor::of(sql);
    if cursor.eat(&["CREATE"]) {
        cursor.eat_any(&["GLOBAL", "LOCAL", "UNLOGGED", "UNIQUE"]);
        cursor.eat_any(&["TEMPORARY", "TEMP"]);
        new.extend(kind_and_name(&mut cursor));
    } else if cursor.eat(&["ALTER"])
        && let Some(old) = kind_and_name(&mut cursor)
        && new.contains(&old)
        && cursor.eat(&["RENAME", "TO"])
    {
        new.extend(cursor.name().map(unqualified));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_new_under_its_later_name_too_and_what_is_replaced_is_not() {
        let mut new = BTreeSet::new();
        for sql in [
            "CREATE TYPE \"Role_new\" AS ENUM ('a')",
            "ALTER TYPE \"Role\" RENAME TO \"Role_old\"",
            "ALTER TYPE \"Role_new\" RENAME TO \"Role\"",
            "CREATE UNLOGGED TABLE IF NOT EXISTS public.visits (id int)",
            "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)",
        ] {
            note(&mut new, sql);
        }
        assert_eq!(
            new.iter().map(String::as_str).collect::<Vec<_>>(),
            ["\"Role\"", "\"Role_new\"", "i", "visits"]
        );
        for (sql, name) in [
            ("DROP TYPE IF EXISTS \"Role_old\"", Some("\"Role_old\"")),
            ("ALTER TABLE ONLY medical.visits ADD a int", Some("medical.visits")),
            ("DROP INDEX CONCURRENTLY i", Some("i")),
            ("SELECT 1", None),
        ] {
            assert_eq!(target(sql).as_deref(), name, "{sql}");
        }
    }
}
