//! What a statement, or code in it, makes that a database may have been given before its first migration.

use super::{
    code::{self, Piece},
    cursor::Cursor,
};

/// Something that is given, or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// `CREATE SCHEMA`, by the name that PostgreSQL stores.
    Schema(String),
    /// `CREATE EXTENSION`
    Extension(String),
    /// `ALTER DEFAULT PRIVILEGES`
    DefaultPrivileges,
}

/// What a statement makes; of a block or a routine, what its code says it makes.
pub fn made(statement: &str) -> Vec<Made> {
    let mut cursor = Cursor::of(statement);
    if cursor.eat(&["ALTER"]) {
        return if cursor.at("DEFAULT") { vec![Made::DefaultPrivileges] } else { Vec::new() };
    }
    if cursor.eat(&["CREATE"]) {
        cursor.eat(&["OR", "REPLACE"]);
        if !cursor.at_any(&["FUNCTION", "PROCEDURE"]) {
            return created(&mut cursor).into_iter().collect();
        }
    } else if !cursor.at("DO") {
        return Vec::new();
    }
    in_code(cursor.remaining())
}

fn created(cursor: &mut Cursor<'_>) -> Option<Made> {
    let kind = cursor.eat_any(&["SCHEMA", "EXTENSION"])?;
    cursor.eat(&["IF", "NOT", "EXISTS"]);
    // Without a name, a schema is called like its owner.
    cursor.eat(&["AUTHORIZATION"]);
    let name = cursor.name()?.own().to_owned();
    Some(if kind == "SCHEMA" { Made::Schema(name) } else { Made::Extension(name) })
}

fn in_code(code: &str) -> Vec<Made> {
    let mut found = Vec::new();
    // What was read last that can lead to a name or to a phrase.
    let mut before = String::new();
    code::any(code, &mut |piece| {
        let word = match piece {
            Piece::Word(word) => word,
            Piece::End => {
                before.clear();
                return false;
            }
            Piece::Name(name) => {
                found.extend(called(&std::mem::take(&mut before), name));
                return false;
            }
        };
        match (before.as_str(), word.as_str()) {
            ("CREATE SCHEMA" | "CREATE EXTENSION", "IF" | "NOT" | "EXISTS" | "AUTHORIZATION") => {}
            ("CREATE", "SCHEMA" | "EXTENSION") | ("ALTER", "DEFAULT") => before = format!("{before} {word}"),
            ("ALTER DEFAULT", "PRIVILEGES") => found.push(Made::DefaultPrivileges),
            _ => {
                found.extend(called(&before, word.to_lowercase()));
                before = word;
            }
        }
        false
    });
    found
}

fn called(before: &str, name: String) -> Option<Made> {
    match before {
        "CREATE SCHEMA" => Some(Made::Schema(name)),
        "CREATE EXTENSION" => Some(Made::Extension(name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_told_by_the_name_that_postgresql_stores() {
        let schema = |name: &str| vec![Made::Schema(name.to_owned())];
        let extension = |name: &str| vec![Made::Extension(name.to_owned())];
        for (sql, expected) in [
            ("CREATE EXTENSION IF NOT EXISTS \"citext\"", extension("citext")),
            ("create schema Core", schema("core")),
            ("CREATE SCHEMA\n-- why\n\"Core\" AUTHORIZATION app", schema("Core")),
            ("CREATE SCHEMA AUTHORIZATION app", schema("app")),
            ("DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS hstore; END $$", extension("hstore")),
            ("DO $$ BEGIN EXECUTE 'CREATE SCHEMA \"Core\"'; END $$", schema("Core")),
            ("CREATE OR REPLACE FUNCTION f() RETURNS void AS 'CREATE SCHEMA a' LANGUAGE sql", schema("a")),
            ("ALTER DEFAULT\n PRIVILEGES GRANT SELECT ON TABLES TO app", vec![Made::DefaultPrivileges]),
            (
                "DO $$ BEGIN ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app; END $$",
                vec![Made::DefaultPrivileges],
            ),
            ("-- CREATE SCHEMA core\nSELECT 1", vec![]),
            ("INSERT INTO notes VALUES ('CREATE SCHEMA core')", vec![]),
            ("COMMENT ON TABLE t IS 'see ALTER DEFAULT PRIVILEGES'", vec![]),
            ("DROP SCHEMA core", vec![]),
        ] {
            assert_eq!(made(sql), expected, "{sql}");
        }
    }
}
