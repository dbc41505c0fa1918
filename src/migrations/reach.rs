//! Which statements reach beyond their own database: roles, databases and settings belong to the whole
//! server. PURE.
//!
//! A migration that is replayed in a scratch database must leave the server as it is, so such statements are
//! left out there, as is what writes files or runs programs. What no text shows (a function that is called),
//! the replay sees when it happens, as long as it is inside a transaction.

/// How far a statement reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Its own database.
    Inside,
    /// The whole server, and nothing else: a replay leaves it out.
    Beyond,
    /// Perhaps the whole server, inside something that cannot be taken apart: these words stand in it.
    Hidden(&'static str),
}

/// What in a block of code would change the server. Creating a role is missing here: blocks that do it look
/// first whether it is there.
const IN_BLOCKS: [&str; 11] = [
    "ALTER ROLE",
    "ALTER USER",
    "DROP ROLE",
    "DROP USER",
    "ALTER GROUP",
    "DROP GROUP",
    "ALTER SYSTEM",
    "ALTER DATABASE",
    "DROP DATABASE",
    "REASSIGN OWNED",
    "DROP OWNED",
];

impl Reach {
    /// Of one statement.
    pub fn of(statement: &str) -> Self {
        let words = words(statement);
        let at = |n: usize| words.get(n).map_or("", String::as_str);
        let has = |word: &str| words.iter().any(|known| known == word);
        match (at(0), at(1), at(2)) {
            ("CREATE" | "ALTER" | "DROP", "USER", "MAPPING") => Self::Inside,
            (
                "CREATE" | "ALTER" | "DROP",
                "ROLE" | "USER" | "GROUP" | "DATABASE" | "TABLESPACE" | "SUBSCRIPTION",
                _,
            )
            | ("ALTER", "SYSTEM", _)
            | ("COMMENT", "ON", "ROLE" | "DATABASE" | "TABLESPACE" | "SUBSCRIPTION") => Self::Beyond,
            ("GRANT" | "REVOKE", ..) => {
                let of_the_server = ["DATABASE", "TABLESPACE", "PARAMETER"];
                let on = words.iter().position(|word| word == "ON").map(|on| at(on + 1));
                if on.is_none_or(|what| of_the_server.contains(&what)) { Self::Beyond } else { Self::Inside }
            }
            ("SECURITY", "LABEL", _) if has("ROLE") || has("DATABASE") => Self::Beyond,
            ("COPY", ..) if copies_out(&words) || has("PROGRAM") => Self::Beyond,
            ("DO" | "REASSIGN", ..) | ("DROP", "OWNED", _) => Self::hidden(&words, &IN_BLOCKS),
            _ => Self::Inside,
        }
    }

    fn hidden(words: &[String], phrases: &[&'static str]) -> Self {
        let text = words.join(" ");
        phrases.iter().copied().find(|phrase| text.contains(phrase)).map_or(Self::Inside, Self::Hidden)
    }

    /// Of a block or the body of a routine that runs where nothing can be rolled back. A membership that is
    /// there already is granted again without a trace, so inside a transaction GRANT of a role may stand in a
    /// block.
    pub fn of_body(body: &str) -> Self {
        let words = words(body);
        match Self::hidden(&words, &IN_BLOCKS) {
            Self::Inside => grants_a_role(&words).map_or(Self::Inside, Self::Hidden),
            other => other,
        }
    }
}

/// GRANT and REVOKE of a role have no ON before their TO or FROM.
fn grants_a_role(words: &[String]) -> Option<&'static str> {
    let rest = |verb: &str, end: &str| {
        let each = words.iter().enumerate().filter(|(_, word)| *word == verb);
        each.map(|(at, _)| &words[at + 1..]).any(|rest| {
            rest.iter().take(8).find(|word| *word == "ON" || *word == end).is_some_and(|word| word == end)
        })
    };
    (rest("GRANT", "TO").then_some("GRANT of a role"))
        .or_else(|| rest("REVOKE", "FROM").then_some("REVOKE of a role"))
}

/// COPY of a query, or COPY whose TO comes before any FROM.
fn copies_out(words: &[String]) -> bool {
    words
        .iter()
        .find(|word| ["SELECT", "WITH", "VALUES", "TABLE", "TO", "FROM"].contains(&word.as_str()))
        .is_some_and(|word| word != "FROM")
}

/// Whether a text says that it creates this object: `CREATE EXTENSION IF NOT EXISTS citext`.
pub fn creates(text: &str, kind: &str, name: &str) -> bool {
    let words = words(text);
    let (kind, name) = (kind.to_uppercase(), name.to_uppercase());
    words.iter().enumerate().filter(|(at, word)| **word == kind && *at > 0 && words[at - 1] == "CREATE").any(
        |(at, _)| {
            let rest =
                words[at + 1..].iter().filter(|word| !["IF", "NOT", "EXISTS"].contains(&word.as_str()));
            rest.take(1).any(|word| word.trim_matches('"') == name)
        },
    )
}

/// In capitals, without comments and punctuation that ends a word.
fn words(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let text = lines.join(" ").replace(['(', ')', ',', ';', '\''], " ");
    text.split_whitespace().map(str::to_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_the_server_is_told_from_what_stays_in_the_database() {
        for (sql, reach) in [
            ("CREATE ROLE app LOGIN", Reach::Beyond),
            ("create  user app", Reach::Beyond),
            ("ALTER ROLE app PASSWORD 'x'", Reach::Beyond),
            ("CREATE USER MAPPING FOR app SERVER s", Reach::Inside),
            ("GRANT app TO migrator", Reach::Beyond),
            ("GRANT SELECT ON patients TO app", Reach::Inside),
            ("GRANT CONNECT ON DATABASE records TO app", Reach::Beyond),
            ("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC", Reach::Inside),
            ("ALTER DATABASE records SET timezone = 'UTC'", Reach::Beyond),
            ("COMMENT ON ROLE app IS 'x'", Reach::Beyond),
            ("CREATE TABLE role (database text)", Reach::Inside),
            ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app", Reach::Inside),
            ("DO $$ BEGIN CREATE ROLE app; EXCEPTION WHEN duplicate_object THEN NULL; END $$", Reach::Inside),
            ("DO $$ BEGIN ALTER ROLE app LOGIN; END $$", Reach::Hidden("ALTER ROLE")),
            ("DO $$ BEGIN EXECUTE 'ALTER  DATABASE x SET a = b'; END $$", Reach::Hidden("ALTER DATABASE")),
            ("DROP OWNED BY app", Reach::Hidden("DROP OWNED")),
            ("DO $$ BEGIN GRANT app TO migrator; END $$", Reach::Inside),
            (
                "DO $$ BEGIN GRANT SELECT ON t TO app; REVOKE ALL ON SCHEMA s FROM PUBLIC; END $$",
                Reach::Inside,
            ),
            ("COPY t TO STDOUT", Reach::Beyond),
            ("COPY (SELECT a FROM t) TO '/tmp/x'", Reach::Beyond),
            ("COPY t (a, b) TO PROGRAM 'cat'", Reach::Beyond),
            ("COPY t FROM PROGRAM 'cat'", Reach::Beyond),
            ("COPY t FROM '/tmp/x'", Reach::Inside),
        ] {
            assert_eq!(Reach::of(sql), reach, "{sql}");
        }
    }

    #[test]
    fn the_body_of_a_routine_is_read_like_a_block() {
        assert_eq!(
            Reach::of_body("BEGIN EXECUTE 'alter role x superuser'; END"),
            Reach::Hidden("ALTER ROLE")
        );
        assert_eq!(
            Reach::of_body("DO $$ BEGIN GRANT app TO migrator; END $$"),
            Reach::Hidden("GRANT of a role")
        );
        assert_eq!(
            Reach::of_body("BEGIN EXECUTE format('REVOKE %I FROM %I', 'a', 'b'); END"),
            Reach::Hidden("REVOKE of a role")
        );
        assert_eq!(
            Reach::of_body("BEGIN GRANT SELECT ON t TO app; REVOKE ALL ON SCHEMA s FROM PUBLIC; END"),
            Reach::Inside
        );
        assert_eq!(Reach::of_body("SELECT 1"), Reach::Inside);
    }

    #[test]
    fn a_text_says_what_it_creates() {
        assert!(creates("CREATE EXTENSION IF NOT EXISTS \"citext\";", "extension", "citext"));
        assert!(creates("create schema core;", "schema", "core"));
        assert!(!creates("CREATE EXTENSION hstore", "extension", "citext"));
        assert!(!creates("-- CREATE SCHEMA core", "schema", "core"));
        assert!(!creates("DROP SCHEMA core", "schema", "core"));
    }
}
