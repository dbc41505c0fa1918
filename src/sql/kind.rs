//! What one statement is, and what it needs of a transaction, read from its keywords.
//! `tests/postgres/sql_kinds.rs` compares this with what a server says, `tests/statements` with PostgreSQL's
//! own parser.

use super::{
    code::contains,
    cursor::Cursor,
    reach::{Reach, pass_what_is_copied},
    savepoint::{Savepoint, savepoint},
    transaction::{Control, control, local_setting, may_commit_within},
};

/// What is known about one statement.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The command that it is.
    pub verb: Verb,
    /// How far it reaches.
    pub reach: Reach,
    /// What it does to the transaction it stands in. None where it neither begins nor ends one, which
    /// savepoints do not.
    pub control: Option<Control>,
    /// What it does with a savepoint.
    pub savepoint: Option<Savepoint>,
    /// The setting that `SET LOCAL` changes, in small letters.
    pub local_setting: Option<String>,
    /// It runs code that may commit before it ends: a procedure, or a block that says so.
    pub may_commit: bool,
    /// What it needs of a transaction.
    pub needs: Needs,
    /// How many entries of the server's lock table it may need until the transaction ends. A cautious
    /// estimate.
    pub locks: u32,
    /// It changes a setting of the session, which the statements after it may rely on.
    pub sets: bool,
    /// It may make a constraint that can be deferred.
    pub defers: bool,
    /// What it did ends with the transaction: SET LOCAL, SET CONSTRAINTS, cursors, tables that are dropped ON
    /// COMMIT.
    pub ends: bool,
}

/// The command that a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `SELECT`, `VALUES`, `TABLE`, `WITH`, in parentheses or without.
    Query,
    /// `CREATE`
    Create,
    /// `ALTER`
    Alter,
    /// `DROP`
    Drop,
    /// `REINDEX`
    Reindex,
    /// `CLUSTER`
    Cluster,
    /// `VACUUM`
    Vacuum,
    /// `SET`
    Set,
    /// `RESET`
    Reset,
    /// `CALL`, `DO`: code.
    Code,
    /// `COPY` from or to the client, which a migration has not.
    CopyOverTheConnection,
    /// `DISCARD ALL`, which gives up locks.
    DiscardAll,
    /// Any other that is known here.
    Other,
    /// One that is not, or none at all.
    Unknown,
}

impl Verb {
    /// Whether it may call a routine of the database; what changes objects calls no procedure.
    pub const fn may_call(self) -> bool {
        !matches!(
            self,
            Self::Create | Self::Alter | Self::Drop | Self::Reindex | Self::Cluster | Self::Vacuum
        )
    }
}

/// What a statement needs of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing special: PostgreSQL takes it inside a transaction.
    Nothing,
    /// `ALTER TYPE … ADD VALUE`: the value cannot be used before the transaction has committed.
    Commit,
    /// `CREATE INDEX CONCURRENTLY`: outside a transaction, and its left-over is repaired.
    BuildIndex(Box<IndexBuild>),
    /// PostgreSQL never takes it inside a transaction.
    Outside {
        /// It says CONCURRENTLY: it may wait for long without making a session queue, so no limits apply.
        concurrently: bool,
    },
    /// PostgreSQL decides when it runs, by what it finds: REINDEX of a partitioned table, DROP SUBSCRIPTION
    /// with a slot.
    Undecided,
    /// PostgreSQL alone knows: `CALL` and `DO` run code that may commit, and some words may not be known
    /// here.
    Opaque,
}

/// An index that is built CONCURRENTLY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexBuild {
    /// The index's name as PostgreSQL stores it, shortened by nothing; none when PostgreSQL is to choose.
    pub index: Option<String>,
    /// The table, every part in quotes.
    pub table: String,
    /// CREATE UNIQUE INDEX.
    pub unique: bool,
    /// What stands behind the table: method, columns, predicate.
    pub definition: String,
}

const OUTSIDE: Needs = Needs::Outside { concurrently: false };

#[rustfmt::skip]
/// What PostgreSQL takes inside a transaction, by its first word.
const INSIDE: [&str; 38] = [
    "SELECT", "VALUES", "TABLE", "WITH", "MERGE", "COMMENT", "GRANT", "REVOKE", "SECURITY", "SHOW", "COPY", "TRUNCATE", "LOCK", "ANALYZE",
    "ANALYSE", "EXPLAIN", "REFRESH", "DECLARE", "FETCH", "MOVE", "CLOSE", "SAVEPOINT", "RELEASE", "ROLLBACK", "LISTEN", "NOTIFY",
    "UNLISTEN", "CHECKPOINT", "LOAD", "DISCARD", "PREPARE", "EXECUTE", "DEALLOCATE", "REASSIGN", "IMPORT", "INSERT", "UPDATE", "DELETE",
];

impl Statement {
    /// Reads one statement.
    pub fn read(sql: &str) -> Self {
        let mut cursor = Cursor::of(sql);
        let plain = Self {
            verb: Verb::Other,
            reach: Reach::Inside,
            control: None,
            savepoint: None,
            local_setting: None,
            may_commit: false,
            needs: Needs::Nothing,
            locks: 1,
            sets: false,
            defers: false,
            ends: false,
        };
        // Most of the statements of a large file are these, and nothing in them matters.
        if cursor.at_any(&["INSERT", "UPDATE", "DELETE"]) {
            return plain;
        }
        let plain = Self { reach: Reach::of(sql), control: control(sql), savepoint: savepoint(sql), ..plain };
        match cursor.eat_any(&[
            "CREATE", "ALTER", "DROP", "REINDEX", "CLUSTER", "VACUUM", "CALL", "DO", "SET", "RESET",
        ]) {
            Some("CREATE") => {
                let defers = contains(sql, "deferrable");
                Self { verb: Verb::Create, defers, ..create(&mut cursor, plain) }
            }
            Some("ALTER") => {
                let (locks, defers) = (if cursor.at("TABLE") { 2 } else { 1 }, contains(sql, "deferrable"));
                Self { verb: Verb::Alter, needs: alter(&mut cursor), locks, defers, ..plain }
            }
            Some("DROP") => Self { verb: Verb::Drop, needs: drop(&mut cursor), ..plain },
            Some("REINDEX") => Self { verb: Verb::Reindex, needs: reindex(&mut cursor), ..plain },
            Some("CLUSTER") => Self { verb: Verb::Cluster, needs: cluster(&mut cursor), ..plain },
            Some("VACUUM") => Self { verb: Verb::Vacuum, needs: OUTSIDE, ..plain },
            Some("CALL" | "DO") => Self { may_commit: may_commit_within(sql), ..code(sql, &cursor, plain) },
            Some("SET") => {
                let (ends, local_setting) =
                    (cursor.at_any(&["LOCAL", "CONSTRAINTS", "TRANSACTION"]), local_setting(sql));
                Self { verb: Verb::Set, sets: true, ends, local_setting, ..plain }
            }
            Some("RESET") => Self { verb: Verb::Reset, sets: true, ..plain },
            _ => other(cursor, plain),
        }
    }
}

fn code(sql: &str, cursor: &Cursor<'_>, plain: Statement) -> Statement {
    let ends = cursor.body().is_some_and(|body| body_sets(Cursor::of(body)));
    Statement { verb: Verb::Code, needs: Needs::Opaque, defers: contains(sql, "deferrable"), ends, ..plain }
}

/// What neither changes objects nor the session, nor runs code.
fn other(mut cursor: Cursor<'_>, plain: Statement) -> Statement {
    if cursor.at_any(&["SELECT", "WITH"]) {
        let sets = cursor.mentions("set_config");
        return Statement { verb: Verb::Query, sets, ends: sets, ..plain };
    }
    if cursor.at_any(&["DECLARE", "SAVEPOINT"]) {
        return Statement { ends: true, ..plain };
    }
    if cursor.at_symbol(b'(') {
        while cursor.eat_symbol(b'(') {}
        let is_query = cursor.at_any(&["SELECT", "WITH", "VALUES", "TABLE"]);
        return Statement { verb: if is_query { Verb::Query } else { Verb::Other }, ..plain };
    }
    let verb = match cursor.clone().eat_any(&["VALUES", "TABLE", "COPY", "DISCARD"]) {
        Some("VALUES" | "TABLE") => Verb::Query,
        Some("COPY") if copies_over_the_connection(cursor.clone()) => Verb::CopyOverTheConnection,
        Some("DISCARD") if cursor.eat(&["DISCARD", "ALL"]) => {
            return Statement { verb: Verb::DiscardAll, ..plain };
        }
        _ if cursor.at_any(&INSIDE) => Verb::Other,
        _ => return Statement { verb: Verb::Unknown, needs: Needs::Opaque, ..plain },
    };
    Statement { verb, ..plain }
}

fn copies_over_the_connection(mut cursor: Cursor<'_>) -> bool {
    cursor.eat(&["COPY"]);
    pass_what_is_copied(&mut cursor);
    cursor.eat_any(&["FROM", "TO"]).is_some() && cursor.at_any(&["STDIN", "STDOUT"])
}

fn create(cursor: &mut Cursor<'_>, plain: Statement) -> Statement {
    let unique = cursor.eat(&["UNIQUE", "INDEX"]);
    if unique || cursor.eat(&["INDEX"]) {
        let needs = if cursor.eat(&["CONCURRENTLY"]) { build_index(cursor, unique) } else { Needs::Nothing };
        return Statement { needs, locks: 2, ..plain };
    }
    if cursor.eat_any(&["DATABASE", "TABLESPACE"]).is_some() {
        return Statement { needs: OUTSIDE, ..plain };
    }
    if cursor.eat(&["SUBSCRIPTION"]) {
        let without_slot = is_off(cursor, "connect") || is_off(cursor, "create_slot");
        return Statement { needs: if without_slot { Needs::Nothing } else { OUTSIDE }, ..plain };
    }
    cursor.eat_any(&["GLOBAL", "LOCAL"]);
    let temporary = cursor.eat_any(&["TEMPORARY", "TEMP"]).is_some();
    cursor.eat(&["UNLOGGED"]);
    if !cursor.eat(&["TABLE"]) {
        return plain;
    }
    let mut keys = 0;
    for token in cursor.clone().rest() {
        keys += u32::from(
            ["PRIMARY", "UNIQUE", "REFERENCES"]
                .iter()
                .any(|word| cursor.text(token).eq_ignore_ascii_case(word)),
        );
    }
    // A table locks itself, its TOAST table and index, and one index or table for each key.
    Statement { locks: 3 + keys, ends: temporary && cursor.mentions("COMMIT"), ..plain }
}

fn build_index(cursor: &mut Cursor<'_>, unique: bool) -> Needs {
    cursor.eat(&["IF", "NOT", "EXISTS"]);
    let index = if cursor.at("ON") { None } else { cursor.name() };
    cursor.eat(&["ON"]);
    match cursor.table() {
        Some(table) => Needs::BuildIndex(Box::new(IndexBuild {
            index: index.map(|name| name.own().to_owned()),
            table: table.quoted(),
            unique,
            definition: cursor.remaining().to_owned(),
        })),
        // No server understands it either, and says so.
        None => Needs::Outside { concurrently: true },
    }
}

fn alter(cursor: &mut Cursor<'_>) -> Needs {
    match cursor.eat_any(&["SYSTEM", "DATABASE", "TABLE", "TYPE", "SUBSCRIPTION"]) {
        Some("SYSTEM") => OUTSIDE,
        Some("DATABASE") if cursor.name().is_some() && cursor.eat(&["SET", "TABLESPACE"]) => OUTSIDE,
        Some("TYPE") if cursor.name().is_some() && cursor.eat(&["ADD", "VALUE"]) => Needs::Commit,
        Some("TABLE") => alter_table(cursor),
        Some("SUBSCRIPTION") if cursor.name().is_some() => alter_subscription(cursor),
        _ => Needs::Nothing,
    }
}

fn alter_table(cursor: &mut Cursor<'_>) -> Needs {
    cursor.eat(&["IF", "EXISTS"]);
    let named = cursor.table().is_some();
    if named
        && cursor.eat(&["DETACH", "PARTITION"])
        && cursor.name().is_some()
        && cursor.eat(&["CONCURRENTLY"])
    {
        Needs::Outside { concurrently: true }
    } else {
        Needs::Nothing
    }
}

/// The slots of a subscription are of another server: no rollback reaches them.
fn alter_subscription(cursor: &mut Cursor<'_>) -> Needs {
    if cursor.eat(&["REFRESH"]) {
        return OUTSIDE;
    }
    let publications = ["SET", "ADD", "DROP"].iter().any(|word| cursor.eat(&[word, "PUBLICATION"]));
    if publications {
        return if is_off(cursor, "refresh") { Needs::Nothing } else { OUTSIDE };
    }
    let of_the_slot = cursor.mentions("failover") || cursor.mentions("two_phase");
    if of_the_slot { Needs::Undecided } else { Needs::Nothing }
}

/// Whether `option = false` stands anywhere further on.
fn is_off(cursor: &Cursor<'_>, option: &str) -> bool {
    let words: Vec<&str> = cursor.clone().rest().map(|token| cursor.text(token)).collect();
    let is_false = |value: &str| {
        ["false", "off", "0"].iter().any(|off| value.trim_matches('\'').eq_ignore_ascii_case(off))
    };
    words
        .windows(3)
        .any(|three| three[0].eq_ignore_ascii_case(option) && three[1] == "=" && is_false(three[2]))
}

fn drop(cursor: &mut Cursor<'_>) -> Needs {
    match cursor.eat_any(&["INDEX", "DATABASE", "TABLESPACE", "SUBSCRIPTION"]) {
        Some("INDEX") if cursor.at("CONCURRENTLY") => Needs::Outside { concurrently: true },
        Some("DATABASE" | "TABLESPACE") => OUTSIDE,
        Some("SUBSCRIPTION") => Needs::Undecided,
        _ => Needs::Nothing,
    }
}

fn reindex(cursor: &mut Cursor<'_>) -> Needs {
    let options = cursor.parenthesised().map(Cursor::of);
    let mut concurrently = options.is_some_and(says_concurrently);
    let object = cursor.eat_any(&["INDEX", "TABLE", "SCHEMA", "SYSTEM", "DATABASE"]);
    concurrently |= cursor.eat(&["CONCURRENTLY"]);
    match object {
        _ if concurrently => Needs::Outside { concurrently },
        Some("SCHEMA" | "SYSTEM" | "DATABASE") => OUTSIDE,
        _ => Needs::Undecided,
    }
}

fn says_concurrently(mut options: Cursor<'_>) -> bool {
    while options.peek().is_some() {
        if options.eat(&["CONCURRENTLY"]) {
            let value = options.peek().map_or("", |token| options.text(token)).trim_matches('\'');
            return !["false", "off", "0"].iter().any(|off| value.eq_ignore_ascii_case(off));
        }
        options.advance();
    }
    false
}

fn cluster(cursor: &mut Cursor<'_>) -> Needs {
    if !cursor.eat(&["VERBOSE"]) {
        cursor.parenthesised();
    }
    if cursor.peek().is_none() { OUTSIDE } else { Needs::Undecided }
}

/// Whether the code of a block changes a setting that ends with the transaction.
fn body_sets(mut body: Cursor<'_>) -> bool {
    while body.peek().is_some() {
        let sets = body.eat(&["SET"]);
        if sets && body.at_any(&["LOCAL", "CONSTRAINTS"]) || body.at("set_config") {
            return true;
        }
        if !sets {
            body.advance();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(sql: &str) -> Needs {
        Statement::read(sql).needs
    }

    #[test]
    fn a_concurrent_build_names_its_index_and_its_table_however_it_is_written() {
        let build = |index: Option<&str>, table: &str| (index.map(str::to_owned), table.to_owned());
        for (sql, expected) in [
            (
                "CREATE INDEX CONCURRENTLY \"I\" ON clinical.\"Patients\" (a)",
                build(Some("I"), "\"clinical\".\"Patients\""),
            ),
            ("create index concurrently on only t (a)", build(None, "\"t\"")),
            ("CREATE INDEX CONCURRENTLY\ton\tONLY\tT(a)", build(None, "\"t\"")),
            ("create unique index concurrently if not exists I on t * (a)", build(Some("i"), "\"t\"")),
            (r#"CREATE INDEX CONCURRENTLY U&"d\0061ta" ON U&"t\0061b" (a)"#, build(Some("data"), "\"tab\"")),
            ("CREATE INDEX CONCURRENTLY i ON ONLY ( s.T )(a)", build(Some("i"), "\"s\".\"t\"")),
            ("CREATE INDEX CONCURRENTLY i -- why\n ON /* ONLY */ t USING gin (a)", build(Some("i"), "\"t\"")),
        ] {
            let Needs::BuildIndex(found) = needs(sql) else { panic!("{sql}") };
            assert_eq!((found.index, found.table), expected, "{sql}");
            assert_eq!(found.unique, sql.contains("unique"), "{sql}");
            let definition = if sql.contains("USING") { "USING gin (a)" } else { "(a)" };
            assert_eq!(found.definition, definition, "{sql}");
        }
    }

    #[test]
    fn a_large_expression_costs_time_in_proportion_and_no_stack() {
        let deep = format!("SELECT {}1{}", "f(".repeat(1_000_000), ")".repeat(1_000_000));
        let long = format!("SELECT 1{}", "+1".repeat(1_000_000));
        let casts = format!("SELECT 1{}", "::int".repeat(1_000_000));
        let begun = std::time::Instant::now();
        for sql in [deep, long, casts] {
            assert_eq!(needs(&sql), Needs::Nothing);
            assert_eq!(super::super::split(&sql).statements.len(), 1);
        }
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }

    #[test]
    fn what_ends_with_the_transaction_is_told() {
        for sql in [
            "SET LOCAL search_path = a",
            "set\nlocal a = 1",
            "SET CONSTRAINTS ALL DEFERRED",
            "SELECT set_config('a.b', '1', true)",
            "DO $$ BEGIN PERFORM set_config('a.b', '1', true); END $$",
            "CREATE TEMP TABLE t (a int) ON COMMIT DROP",
            "DECLARE c CURSOR FOR SELECT 1",
        ] {
            assert!(Statement::read(sql).ends, "{sql}");
        }
        for sql in
            ["SET search_path = a", "CREATE TABLE t (a int)", "CREATE TEMP TABLE t (a int)", "SELECT 1"]
        {
            assert!(!Statement::read(sql).ends, "{sql}");
        }
    }
}
