//! How far a statement reaches: roles, databases and settings belong to the whole server.
//!
//! A migration that is replayed in a scratch database must leave the server as it is, so such statements are
//! left out there, as is what writes files or runs programs. What no text shows (a function that is called),
//! the replay sees when it happens, as long as it is inside a transaction.

use super::{
    code::{self, Piece},
    cursor::Cursor,
};

/// How far a statement reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Its own database.
    Inside,
    /// The whole server, and nothing else: a replay leaves it out.
    Beyond,
    /// Perhaps the whole server, inside something that cannot be taken apart.
    Hidden(Change),
}

/// What may change the server from inside of a block or a routine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `ALTER ROLE`, `ALTER USER`, `ALTER GROUP`.
    AlterRole,
    /// `DROP ROLE`, `DROP USER`, `DROP GROUP`.
    DropRole,
    /// `ALTER SYSTEM`
    AlterSystem,
    /// `ALTER DATABASE`
    AlterDatabase,
    /// `DROP DATABASE`
    DropDatabase,
    /// `REASSIGN OWNED`
    ReassignOwned,
    /// `DROP OWNED`
    DropOwned,
    /// A role becomes a member of another one.
    GrantRole,
    /// A role is no member of another one any more.
    RevokeRole,
}

impl Change {
    /// As a message names it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::AlterRole => "ALTER ROLE",
            Self::DropRole => "DROP ROLE",
            Self::AlterSystem => "ALTER SYSTEM",
            Self::AlterDatabase => "ALTER DATABASE",
            Self::DropDatabase => "DROP DATABASE",
            Self::ReassignOwned => "REASSIGN OWNED",
            Self::DropOwned => "DROP OWNED",
            Self::GrantRole => "GRANT of a role",
            Self::RevokeRole => "REVOKE of a role",
        }
    }
}

/// What in code would change the server. Creating a role is missing here: blocks that do it first find out
/// whether it is there.
const IN_CODE: [(&str, Change); 11] = [
    ("ALTER ROLE", Change::AlterRole),
    ("ALTER USER", Change::AlterRole),
    ("ALTER GROUP", Change::AlterRole),
    ("DROP ROLE", Change::DropRole),
    ("DROP USER", Change::DropRole),
    ("DROP GROUP", Change::DropRole),
    ("ALTER SYSTEM", Change::AlterSystem),
    ("ALTER DATABASE", Change::AlterDatabase),
    ("DROP DATABASE", Change::DropDatabase),
    ("REASSIGN OWNED", Change::ReassignOwned),
    ("DROP OWNED", Change::DropOwned),
];

/// Objects of the whole server, as CREATE, ALTER, DROP, COMMENT ON and SECURITY LABEL ON name them.
const OF_THE_SERVER: [&str; 6] = ["ROLE", "USER", "GROUP", "DATABASE", "TABLESPACE", "SUBSCRIPTION"];

impl Reach {
    /// Of one statement.
    pub(super) fn of(statement: &str) -> Self {
        let mut cursor = Cursor::of(statement);
        let is_beyond = match cursor.eat_any(&[
            "CREATE", "ALTER", "DROP", "COMMENT", "SECURITY", "GRANT", "REVOKE", "COPY", "DO", "REASSIGN",
        ]) {
            Some("DROP") if cursor.at("OWNED") => return Self::Hidden(Change::DropOwned),
            Some("CREATE" | "ALTER" | "DROP") => is_of_the_server(&mut cursor),
            Some("COMMENT") => cursor.eat(&["ON"]) && is_of_the_server(&mut cursor),
            Some("SECURITY") => cursor.passes("ON") && is_of_the_server(&mut cursor),
            Some("GRANT" | "REVOKE") => grants_beyond(&mut cursor),
            Some("COPY") => copies_beyond(&mut cursor),
            Some("DO" | "REASSIGN") => return hidden(statement),
            _ => false,
        };
        if is_beyond { Self::Beyond } else { Self::Inside }
    }

    /// Of a block or the body of a routine that runs where nothing can be rolled back. A membership that is
    /// there already is granted again without a trace, so inside a transaction GRANT of a role may stand in a
    /// block.
    pub fn of_body(body: &str) -> Self {
        match hidden(body) {
            Self::Inside => grants_a_role(body).map_or(Self::Inside, Self::Hidden),
            other => other,
        }
    }
}

fn hidden(code: &str) -> Reach {
    code::phrase(code, &IN_CODE).map_or(Reach::Inside, |change| Reach::Hidden(*change))
}

fn is_of_the_server(cursor: &mut Cursor<'_>) -> bool {
    if cursor.eat(&["USER", "MAPPING"]) {
        return false;
    }
    cursor.at("SYSTEM") || cursor.at_any(&OF_THE_SERVER)
}

/// GRANT and REVOKE of a role have no ON. A table can be called `database`; then the list of grantees, or
/// another table, comes next.
fn grants_beyond(cursor: &mut Cursor<'_>) -> bool {
    if !cursor.passes("ON") {
        return true;
    }
    let of_the_server = cursor.eat_any(&["DATABASE", "TABLESPACE", "PARAMETER"]).is_some();
    of_the_server && !cursor.at_any(&["TO", "FROM"]) && !cursor.at_symbol(b',') && !cursor.at_symbol(b'.')
}

/// COPY into a file, or through a program. One that cannot be read is left out, too.
fn copies_beyond(cursor: &mut Cursor<'_>) -> bool {
    pass_what_is_copied(cursor);
    !cursor.eat(&["FROM"]) || cursor.at("PROGRAM")
}

/// Passes the table with its columns, or the query, of COPY.
pub(super) fn pass_what_is_copied(cursor: &mut Cursor<'_>) {
    cursor.eat(&["BINARY"]);
    if cursor.parenthesised().is_none() {
        cursor.name();
        cursor.parenthesised();
    }
}

/// GRANT and REVOKE of a role have no ON before their TO or FROM.
fn grants_a_role(body: &str) -> Option<Change> {
    let (mut open, mut found) = (None, None);
    code::any(body, &mut |piece| {
        match piece {
            Piece::End => open = None,
            Piece::Name(_) => {}
            Piece::Word(word) => match (word.as_str(), open) {
                ("GRANT", _) => open = Some(Change::GrantRole),
                ("REVOKE", _) => open = Some(Change::RevokeRole),
                ("ON", _) => open = None,
                ("TO", Some(Change::GrantRole)) | ("FROM", Some(Change::RevokeRole)) => found = open,
                _ => {}
            },
        }
        found.is_some()
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_the_server_is_told_from_what_stays_in_the_database() {
        let hidden = Reach::Hidden;
        for (sql, reach) in [
            ("CREATE ROLE app LOGIN", Reach::Beyond),
            ("create  user app", Reach::Beyond),
            ("ALTER ROLE app PASSWORD 'x'", Reach::Beyond),
            ("CREATE USER MAPPING FOR app SERVER s", Reach::Inside),
            ("GRANT app TO migrator", Reach::Beyond),
            ("GRANT SELECT ON patients TO app", Reach::Inside),
            ("GRANT CONNECT ON DATABASE records TO app", Reach::Beyond),
            ("GRANT SELECT ON database TO app", Reach::Inside),
            ("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC", Reach::Inside),
            ("ALTER DATABASE records SET timezone = 'UTC'", Reach::Beyond),
            ("COMMENT ON ROLE app IS 'x'", Reach::Beyond),
            ("CREATE TABLE role (database text)", Reach::Inside),
            ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app", Reach::Inside),
            ("DO $$ BEGIN CREATE ROLE app; EXCEPTION WHEN duplicate_object THEN NULL; END $$", Reach::Inside),
            ("DO $$ BEGIN ALTER ROLE app LOGIN; END $$", hidden(Change::AlterRole)),
            ("DO $$ BEGIN EXECUTE 'ALTER  DATABASE x SET a = b'; END $$", hidden(Change::AlterDatabase)),
            ("DROP OWNED BY app", hidden(Change::DropOwned)),
            ("REASSIGN OWNED BY app TO other", hidden(Change::ReassignOwned)),
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
        let hidden = Reach::Hidden;
        for (body, reach) in [
            ("BEGIN EXECUTE 'alter role x superuser'; END", hidden(Change::AlterRole)),
            ("DO $$ BEGIN GRANT app TO migrator; END $$", hidden(Change::GrantRole)),
            ("BEGIN GRANT a, b, c, d, e, f, g, h, i, j TO migrator; END", hidden(Change::GrantRole)),
            ("BEGIN EXECUTE format('REVOKE %I FROM %I', 'a', 'b'); END", hidden(Change::RevokeRole)),
            ("BEGIN GRANT SELECT ON t TO app; REVOKE ALL ON SCHEMA s FROM PUBLIC; END", Reach::Inside),
            ("SELECT 1", Reach::Inside),
        ] {
            assert_eq!(Reach::of_body(body), reach, "{body}");
        }
    }
}
