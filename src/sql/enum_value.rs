//! Where a value that was just added to an enum could be used, which PostgreSQL refuses before COMMIT (SQLSTATE 55P04).

use super::{cursor::Cursor, token::TokenKind};

/// Whether a statement may use a value of an enum. False of what makes and drops types, and of what changes tables and indexes without any
/// constant, conversion or query in it.
pub fn may_use_enum_value(sql: &str) -> bool {
    let mut cursor = Cursor::of(sql);
    let verb = cursor.eat_any(&["CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "SET", "RESET"]);
    let of_types = cursor.at("TYPE");
    let of_tables = ["UNIQUE", "INDEX", "TABLE", "UNLOGGED", "SCHEMA", "SEQUENCE"].iter().any(|object| cursor.at(object));
    match verb {
        Some("CREATE" | "ALTER") => !of_types && (!of_tables || could_name_a_value(&cursor)),
        Some(_) => false,
        None => true,
    }
}

fn could_name_a_value(cursor: &Cursor<'_>) -> bool {
    let is_suspect = |word: &str| {
        let converts = ["AS", "SELECT", "EXECUTE"].iter().any(|suspect| word.eq_ignore_ascii_case(suspect));
        converts || word.get(..5).is_some_and(|beginning| beginning.eq_ignore_ascii_case("enum_"))
    };
    let converts_a_column = cursor.at("TABLE") && cursor.mentions("USING");
    converts_a_column
        || cursor.clone().rest().any(|token| match token.kind {
            TokenKind::Text => true,
            TokenKind::Word => is_suspect(cursor.text(token)),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_holds_a_constant_or_code_may_use_a_new_value() {
        for sql in [
            "UPDATE t SET m = 'b'",
            "SELECT $$b$$::mood",
            "INSERT INTO t SELECT U&'\\0062'",
            "SELECT enum_range(NULL::mood)",
            "SELECT '{b}'::mood[]",
            "DO $$ BEGIN END $$",
            "CREATE TABLE t (m mood DEFAULT 'b')",
            "CREATE TABLE t AS SELECT 1",
            "CREATE INDEX i ON t (m) WHERE m = 'b'",
            "ALTER TABLE t ALTER COLUMN m TYPE mood USING m::mood",
            "ALTER TABLE t ADD CHECK (m = ANY (enum_range(NULL::mood)))",
            "CREATE FUNCTION f() RETURNS mood LANGUAGE sql RETURN 'b'",
            "CREATE VIEW v AS SELECT 1",
        ] {
            assert!(may_use_enum_value(sql), "{sql}");
        }
        for sql in [
            "ALTER TYPE mood ADD VALUE 'c'",
            "CREATE TYPE x AS ENUM ('a')",
            "COMMENT ON TYPE mood IS 'b'",
            "CREATE TABLE \"t\" (\"id\" TEXT NOT NULL, \"at\" TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP, CONSTRAINT \"p\" PRIMARY KEY (\"id\"))",
            "ALTER TABLE t ADD COLUMN a text, ADD COLUMN \"as\" int",
            "CREATE UNIQUE INDEX i ON t USING btree (a)",
            "DROP TABLE t",
            "SET search_path = 'a'",
        ] {
            assert!(!may_use_enum_value(sql), "{sql}");
        }
    }
}
