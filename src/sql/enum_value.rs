//! A value that was just added to an enum, and where it could be used before COMMIT, which PostgreSQL refuses
//! (SQLSTATE 55P04).
//!
//! PostgreSQL looks where it reads the value from a text, and where it counts the values of the enum. So a
//! statement is suspect where a constant holds the value's text, where something is converted to the enum
//! that is no constant, and where code runs that does not stand in the file. A use that is missed here loses
//! nothing: PostgreSQL refuses the statement, as it does where Prisma sends the file.

use super::{constant::constant, cursor::Cursor, token::TokenKind};

/// What counts the values of an enum.
const COUNTS: [&str; 3] = ["enum_range", "enum_first", "enum_last"];

/// What may stand before a parenthesis though no code of the database's runs: words of SQL, functions of
/// PostgreSQL's, and types.
#[rustfmt::skip]
const HARMLESS: &[&str] = &[
    "abs", "all", "and", "any", "array", "array_agg", "array_append", "array_length", "as", "between", "bit", "bool_and", "bool_or", "brin", "btree",
    "btrim", "by", "case", "cast", "ceil", "char", "check", "clock_timestamp", "coalesce", "concat", "concat_ws", "conflict", "count",
    "current_setting", "current_timestamp", "date_trunc", "decimal", "default", "distinct", "else", "elsif", "encode", "enum", "except", "exists",
    "extract", "filter", "floor", "for", "format", "from", "gen_random_uuid", "geography", "geometry", "gin", "gist", "greatest", "hash", "having", "if", "in", "include",
    "intersect", "is", "jsonb_agg", "jsonb_array_elements", "jsonb_array_length", "jsonb_build_array", "jsonb_build_object", "jsonb_set", "key",
    "lateral", "least", "left", "length", "like", "limit", "lower", "materialized", "max", "md5", "min", "nextval", "not", "now", "nullif",
    "numeric", "on", "or", "over", "position", "random", "replace", "return", "returning", "right", "round", "row", "row_number", "select", "set",
    "setval", "some", "split_part", "string_agg", "strpos", "substr", "substring", "sum", "then", "time", "timestamp", "timestamptz", "timetz",
    "to", "to_char", "to_json", "to_jsonb", "to_timestamp", "trim", "union", "unique", "unnest", "upper", "using", "uuid_generate_v4", "values",
    "varbit", "varchar", "varying", "vector", "when", "where", "with",
];

/// The word before the name of a table, of a type or of an alias, behind which a list of columns or a size
/// stands in parentheses.
const BEFORE_A_LIST: [&str; 9] = ["as", "exists", "into", "join", "on", "only", "references", "table", ":"];

/// What runs neither a query nor code, and what PostgreSQL keeps or drops without reading a value.
#[rustfmt::skip]
const SILENT: [&str; 19] = [
    "DROP", "COMMENT", "GRANT", "REVOKE", "SET", "RESET", "SHOW", "SECURITY", "LOCK", "ANALYZE", "ANALYSE", "SAVEPOINT", "RELEASE", "ROLLBACK",
    "LISTEN", "UNLISTEN", "NOTIFY", "DEALLOCATE", "TRUNCATE",
];

/// What runs as it stands.
#[rustfmt::skip]
const QUERIES: [&str; 10] = ["SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE", "EXPLAIN", "DECLARE"];

/// A value of an enum that is not committed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnumValue {
    /// The value; empty where it cannot be told, and then every constant may hold it.
    pub label: String,
    /// The enum's own name, as PostgreSQL stores it.
    pub of: String,
}

impl EnumValue {
    /// What `ALTER TYPE … ADD VALUE` adds.
    pub fn added_by(sql: &str) -> Self {
        let mut cursor = Cursor::of(sql);
        cursor.eat(&["ALTER", "TYPE"]);
        let of = cursor.name().map(|name| name.own().to_owned()).unwrap_or_default();
        let label =
            cursor.clone().rest().find(|token| token.kind == TokenKind::Text && !cursor.mentions("UESCAPE"));
        Self { label: label.and_then(|token| constant(cursor.text(token))).unwrap_or_default(), of }
    }

    /// Whether a statement may use it.
    pub fn may_be_used_by(&self, sql: &str) -> bool {
        let mut cursor = Cursor::of(sql);
        if cursor.at_any(&SILENT) {
            return false;
        }
        if cursor.at_any(&QUERIES) || cursor.at_symbol(b'(') {
            return self.stands_in(cursor, true);
        }
        match cursor.eat_any(&["CREATE", "ALTER", "DO"]) {
            Some("CREATE") => self.may_be_used_by_create(cursor),
            // Under another name neither the value nor the enum would be known again.
            Some("ALTER") if cursor.eat(&["TYPE"]) => {
                let is_own = cursor.name().is_none_or(|name| name.own() == self.of);
                is_own && cursor.mentions("RENAME")
            }
            Some("ALTER") => {
                let runs = cursor.at_any(&["TABLE", "DOMAIN"]);
                self.stands_in(cursor, runs)
            }
            Some(_) => self.may_be_used_by_code(&cursor, true),
            None => true,
        }
    }

    fn may_be_used_by_create(&self, mut cursor: Cursor<'_>) -> bool {
        cursor.eat(&["OR", "REPLACE"]);
        if cursor.at("TYPE") {
            return false;
        }
        if cursor.at_any(&["FUNCTION", "PROCEDURE"]) {
            return self.may_be_used_by_code(&cursor, false);
        }
        let runs = cursor.at_any(&["INDEX", "UNIQUE"]);
        let keeps_rows =
            cursor.at_any(&["TABLE", "TEMP", "TEMPORARY", "LOCAL", "GLOBAL", "UNLOGGED", "MATERIALIZED"]);
        let mut query = cursor.clone();
        while keeps_rows && query.peek().is_some() && !query.at_any(&["SELECT", "EXECUTE"]) {
            query.advance();
        }
        (keeps_rows && self.stands_in(query, true)) || self.stands_in(cursor, runs)
    }

    /// Code in a string is read as statements are. That of a function does not run yet, and that of `DO`
    /// runs, in a language that is read here.
    fn may_be_used_by_code(&self, cursor: &Cursor<'_>, runs: bool) -> bool {
        let mut language =
            cursor.clone().rest().skip_while(|token| !cursor.text(*token).eq_ignore_ascii_case("LANGUAGE"));
        let language =
            language.nth(1).map_or("plpgsql", |token| cursor.text(token).trim_matches(['\'', '"']));
        if runs && !language.eq_ignore_ascii_case("plpgsql") {
            return true;
        }
        let mut strings = cursor
            .clone()
            .rest()
            .filter(|token| token.kind == TokenKind::Text)
            .map(|token| constant(cursor.text(token)));
        strings.any(|code| code.is_none_or(|code| self.stands_in(Cursor::of(&code), runs)))
            || (!runs && self.stands_in(cursor.clone(), false))
    }

    /// Whether it stands in there as a constant, is converted from something else, or is counted; and, of
    /// what runs, whether it could be used in code that is elsewhere.
    fn stands_in(&self, mut cursor: Cursor<'_>, runs: bool) -> bool {
        let mut read = Read::default();
        while let Some(token) = cursor.peek() {
            let text = cursor.text(token);
            match token.kind {
                TokenKind::Text => {
                    cursor.advance();
                    if read.constant(text).is_none_or(|held| held.contains(&self.label)) {
                        return true;
                    }
                }
                TokenKind::Word | TokenKind::Quoted => {
                    let Some(name) = cursor.name() else { return true };
                    let own = name.own();
                    let counts = COUNTS.contains(&own) || own == "uescape";
                    let converts = own == self.of && read.is_converted();
                    let executes = runs
                        && ["execute", "call"].contains(&own)
                        && !cursor.at_any(&["FUNCTION", "PROCEDURE"]);
                    let is_code = runs
                        && cursor.at_symbol(b'(')
                        && !read.is_before_a_list()
                        && !HARMLESS.contains(&own);
                    if counts || converts || executes || is_code {
                        return true;
                    }
                    read.word(own);
                }
                _ => {
                    cursor.advance();
                    read.symbol(text);
                }
            }
        }
        false
    }
}

/// What was passed of a statement, as far as it says what comes next.
#[derive(Default)]
struct Read {
    /// What came last, the last first: words in small letters, symbols.
    last: [Piece; 3],
    /// Of each bracket that is open, whether it is an array and nothing but constants stands in it so far.
    open: Vec<bool>,
}

#[derive(Default, PartialEq, Eq)]
enum Piece {
    #[default]
    Nothing,
    Text,
    /// NULL, or an array of constants.
    Constant,
    Other(String),
}

impl Read {
    fn push(&mut self, piece: Piece) {
        self.last.rotate_right(1);
        self.last[0] = piece;
    }

    fn is_other(&self, at: usize, word: &str) -> bool {
        matches!(&self.last[at], Piece::Other(other) if other == word)
    }

    /// What it holds; none where that cannot be told: after a line break PostgreSQL goes on with the string
    /// before.
    fn constant(&mut self, text: &str) -> Option<String> {
        let goes_on = self.last[0] == Piece::Text;
        self.push(Piece::Text);
        constant(text).filter(|_| !goes_on)
    }

    fn word(&mut self, own: &str) {
        if own == "null" {
            return self.push(Piece::Constant);
        }
        self.is_no_constant();
        self.push(Piece::Other(own.to_owned()));
    }

    fn symbol(&mut self, symbol: &str) {
        match symbol {
            "(" => self.open.push(false),
            "[" => self.open.push(self.is_other(0, "array")),
            ")" | "]" if self.open.pop() == Some(true) => return self.push(Piece::Constant),
            "," => {}
            _ => self.is_no_constant(),
        }
        self.push(Piece::Other(symbol.to_owned()));
    }

    fn is_no_constant(&mut self) {
        if let Some(only_constants) = self.open.last_mut() {
            *only_constants = false;
        }
    }

    /// Whether what comes next is the type to which something is converted that is no constant.
    fn is_converted(&self) -> bool {
        let from = if self.is_other(0, "as") {
            &self.last[1]
        } else if self.is_other(0, ":") && self.is_other(1, ":") {
            &self.last[2]
        } else {
            return false;
        };
        !matches!(from, Piece::Text | Piece::Constant)
    }

    fn is_before_a_list(&self) -> bool {
        BEFORE_A_LIST.iter().any(|word| self.is_other(0, word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_use(sql: &str) -> bool {
        EnumValue::added_by("ALTER TYPE public.mood ADD VALUE IF NOT EXISTS 'bad' BEFORE 'good'")
            .may_be_used_by(sql)
    }

    #[test]
    fn whatever_holds_the_value_converts_to_the_enum_or_runs_unseen_code_may_use_a_new_value() {
        for sql in [
            "UPDATE t SET m = 'bad'",
            "SELECT $$bad$$::mood",
            "INSERT INTO t SELECT U&'\\0062ad'",
            "INSERT INTO t SELECT U&'!0062ad' UESCAPE '!'",
            "INSERT INTO t VALUES (E'\\x62ad')",
            "INSERT INTO t VALUES ('ba'\n'd')",
            "SELECT enum_range(NULL::mood)",
            "SELECT \"enum_last\"(NULL::mood)",
            "SELECT '{good,bad}'::mood[]",
            "SELECT ('ba' || 'd')::mood",
            "SELECT CAST(a AS mood) FROM t",
            "SELECT lower('BAD')::mood",
            "SELECT f()",
            "SELECT app.count(*) FROM t, app.g(1)",
            "(SELECT 'bad'::mood)",
            "WITH x AS (SELECT 1) INSERT INTO t SELECT f(1)",
            "EXECUTE p",
            "CALL p()",
            "COPY t FROM '/tmp/rows'",
            "REFRESH MATERIALIZED VIEW v",
            "DO $$ BEGIN INSERT INTO t VALUES ('bad'); END $$",
            "DO 'BEGIN PERFORM f(); END'",
            "DO $$ BEGIN EXECUTE 'INSERT INTO t VALUES (''ba' || 'd'')'; END $$",
            "DO LANGUAGE plpython3u $$ x $$",
            "CREATE TABLE t (m mood DEFAULT 'bad')",
            "CREATE TABLE t AS SELECT a::mood FROM u",
            "CREATE TABLE t AS EXECUTE p",
            "CREATE INDEX i ON t (m) WHERE m = 'bad'",
            "CREATE INDEX i ON t (f(m))",
            "ALTER TABLE t ALTER COLUMN m TYPE mood USING m::text::public.mood",
            "ALTER TABLE t ALTER COLUMN m TYPE mood USING f(m)",
            "ALTER TABLE t ADD CHECK (m = ANY (enum_range(NULL::mood)))",
            "ALTER TYPE mood RENAME VALUE 'bad' TO 'worse'",
            "ALTER TYPE mood RENAME TO old",
            "CREATE FUNCTION f() RETURNS mood LANGUAGE sql RETURN 'bad'",
            "CREATE OR REPLACE FUNCTION f(m mood DEFAULT 'bad') RETURNS int LANGUAGE sql AS $$ SELECT 1 $$",
            "CREATE FUNCTION f() RETURNS mood LANGUAGE sql AS $$ SELECT E'\\x62ad'::mood $$",
            "CREATE VIEW v AS SELECT 'bad'::mood",
            "CREATE POLICY p ON t USING (m = 'bad')",
            "WHAT is this",
        ] {
            assert!(may_use(sql), "{sql}");
        }
    }

    #[test]
    fn what_holds_other_constants_only_does_not_use_it() {
        for sql in [
            "ALTER TYPE mood ADD VALUE 'c' AFTER 'bad'",
            "ALTER TYPE other RENAME TO mood_old",
            "CREATE TYPE x AS ENUM ('bad')",
            "COMMENT ON TYPE mood IS 'bad'",
            "CREATE TABLE \"t\" (\"id\" TEXT NOT NULL, \"a\" mood DEFAULT 'good', \"n\" DECIMAL(65,30), \
                CONSTRAINT \"p\" PRIMARY KEY (\"id\"))",
            "CREATE TABLE t (x text DEFAULT 'other', y int GENERATED ALWAYS AS (z + 1) STORED)",
            "CREATE TABLE t AS SELECT 'good'::mood AS m, count(*) FROM u",
            "ALTER TABLE \"t\" ADD COLUMN \"m\" \"mood\"[] DEFAULT ARRAY['good', 'ok']::\"mood\"[], ADD \
                COLUMN n mood DEFAULT 'good'::mood",
            "ALTER TABLE t ADD CONSTRAINT \"c\" FOREIGN KEY (\"a\") REFERENCES \"u\"(\"id\") ON DELETE SET \
                NULL",
            "ALTER TABLE t ALTER COLUMN m TYPE other USING (m::text::\"other\")",
            "ALTER TABLE t ALTER COLUMN a SET DEFAULT 'good'::mood",
            "CREATE UNIQUE INDEX i ON t USING btree (a, lower(b)) WHERE m = 'good'",
            "INSERT INTO \"t\" (\"id\", m) SELECT gen_random_uuid(), 'good'::mood FROM u WHERE a IN ('x', \
                'Bad')",
            "UPDATE t SET m = NULL::mood, j = jsonb_set(j, '{a}', '1') WHERE m = 'good'",
            "DO $$ BEGIN ALTER TABLE \"t\" ADD CONSTRAINT \"bad\" UNIQUE (\"a\"); EXCEPTION WHEN \
                duplicate_object THEN null; END $$",
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM g(); RETURN NEW; END \
                $$",
            "CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f('good')",
            "CREATE VIEW v AS SELECT f(a) FROM t WHERE m = 'good'",
            "CREATE EXTENSION x VERSION '1.1'",
            "DROP TABLE t",
            "SET search_path = 'bad'",
        ] {
            assert!(!may_use(sql), "{sql}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_told_may_be_any_constant() {
        let value = EnumValue::added_by("ALTER TYPE mood ADD VALUE U&'b!0061d' UESCAPE '!'");
        assert!(
            value.may_be_used_by("SELECT 'x'") && !value.may_be_used_by("ALTER TABLE t ADD COLUMN a int")
        );
    }
}
