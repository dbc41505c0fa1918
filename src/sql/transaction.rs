//! Statements that begin and end transactions. A file of Prisma may stand in `BEGIN; … COMMIT;`: Prisma
//! writes that itself where it removes a value from an enum.

use super::{code::contains, cursor::Cursor};

/// What a statement does to the transaction it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// `BEGIN`, `START TRANSACTION`, with the isolation level that it names.
    Begin(Option<Isolation>),
    /// `COMMIT`, `END`. With AND CHAIN the next transaction is of the same isolation level.
    Commit {
        /// AND CHAIN.
        chain: bool,
    },
    /// `SET TRANSACTION …`, with the isolation level that it names.
    Set(Option<Isolation>),
    /// `ROLLBACK`, `ABORT`, `PREPARE TRANSACTION`, `COMMIT PREPARED`, and whatever begins like one of these
    /// and is none.
    Forbidden,
}

/// How much a transaction sees of others that commit meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// To PostgreSQL the same as read committed.
    ReadUncommitted,
    /// Each statement sees what was committed before it.
    ReadCommitted,
    /// All statements see the same.
    RepeatableRead,
    /// As if transactions ran one after the other.
    Serializable,
}

impl Isolation {
    /// As it stands in SQL.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "READ UNCOMMITTED",
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}

/// Reads one statement. None where it does not begin or end a transaction, which savepoints do not.
pub(super) fn control(statement: &str) -> Option<Control> {
    let mut cursor = Cursor::of(statement);
    let found =
        match cursor.eat_any(&["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE", "SET"])? {
            "BEGIN" => {
                cursor.eat_any(&["WORK", "TRANSACTION"]);
                modes(&mut cursor).map(|modes| Control::Begin(modes.isolation))
            }
            "START" if cursor.eat(&["TRANSACTION"]) => {
                modes(&mut cursor).map(|modes| Control::Begin(modes.isolation))
            }
            "COMMIT" | "END" => Some(commit(&mut cursor)),
            "ROLLBACK" => {
                cursor.eat_any(&["WORK", "TRANSACTION"]);
                if cursor.at("TO") {
                    return None;
                }
                None
            }
            "PREPARE" if !cursor.at("TRANSACTION") => return None,
            "SET" => return set(&mut cursor).map(|modes| Control::Set(modes.isolation)),
            _ => None,
        };
    Some(found.filter(|_| cursor.peek().is_none()).unwrap_or(Control::Forbidden))
}

fn commit(cursor: &mut Cursor<'_>) -> Control {
    cursor.eat_any(&["WORK", "TRANSACTION"]);
    if cursor.eat(&["AND", "CHAIN"]) {
        return Control::Commit { chain: true };
    }
    cursor.eat(&["AND", "NO", "CHAIN"]);
    Control::Commit { chain: false }
}

/// The modes of a transaction, of which the others decide nothing here.
struct Modes {
    isolation: Option<Isolation>,
}

/// None where something else stands among them.
fn modes(cursor: &mut Cursor<'_>) -> Option<Modes> {
    let mut isolation = None;
    while cursor.peek().is_some() {
        if cursor.eat(&["ISOLATION", "LEVEL"]) {
            isolation = Some(level(cursor)?);
        } else if !(cursor.eat(&["READ", "ONLY"])
            || cursor.eat(&["READ", "WRITE"])
            || cursor.eat(&["NOT", "DEFERRABLE"])
            || cursor.eat(&["DEFERRABLE"]))
        {
            return None;
        }
        cursor.eat_symbol(b',');
    }
    Some(Modes { isolation })
}

fn level(cursor: &mut Cursor<'_>) -> Option<Isolation> {
    let levels = [
        Isolation::ReadUncommitted,
        Isolation::ReadCommitted,
        Isolation::RepeatableRead,
        Isolation::Serializable,
    ];
    levels.into_iter().find(|level| cursor.eat(&level.sql().split(' ').collect::<Vec<_>>()))
}

/// `SET [LOCAL | SESSION] TRANSACTION …`. Another setting is none, and neither is a snapshot.
fn set(cursor: &mut Cursor<'_>) -> Option<Modes> {
    cursor.eat_any(&["LOCAL", "SESSION"]);
    if cursor.eat(&["TRANSACTION"]) { modes(cursor).filter(|_| cursor.peek().is_none()) } else { None }
}

/// The setting that `SET LOCAL` changes, in small letters.
pub(super) fn local_setting(statement: &str) -> Option<String> {
    let mut cursor = Cursor::of(statement);
    if !cursor.eat(&["SET", "LOCAL"]) {
        return None;
    }
    let special = [
        ("TIME", "timezone"),
        ("SCHEMA", "search_path"),
        ("SESSION", "session_authorization"),
        ("ROLE", "role"),
    ];
    match special.into_iter().find(|(word, _)| cursor.at(word)) {
        Some((_, name)) => Some(name.to_owned()),
        None => cursor.name().map(|name| name.0.join(".").to_ascii_lowercase()),
    }
}

/// Whether a statement runs code that may commit before it ends: a procedure, or a block that says so. In
/// every language of PostgreSQL's own the word for it has `commit` or `rollback` in it.
pub(super) fn may_commit_within(statement: &str) -> bool {
    match Cursor::of(statement).eat_any(&["CALL", "DO"]) {
        Some("DO") => ["commit", "rollback", "call", "\\"].iter().any(|word| contains(statement, word)),
        Some(_) => true,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_of_set_local_is_named() {
        for (sql, name) in [
            ("SET LOCAL search_path = a", Some("search_path")),
            ("set local App.Tenant to 1", Some("app.tenant")),
            ("SET LOCAL TIME ZONE 'UTC'", Some("timezone")),
            ("SET search_path = a", None),
        ] {
            assert_eq!(local_setting(sql).as_deref(), name, "{sql}");
        }
    }

    #[test]
    fn code_that_may_commit_in_its_middle_is_told() {
        for sql in [
            "CALL p()",
            "DO $$ BEGIN COMMIT; END $$",
            "do language plpython3u 'plpy.commit()'",
            "DO $$ BEGIN CALL p(); END $$",
        ] {
            assert!(may_commit_within(sql), "{sql}");
        }
        for sql in ["DO $$ BEGIN PERFORM 1; END $$", "SELECT 'commit'", "COMMIT"] {
            assert!(!may_commit_within(sql), "{sql}");
        }
    }

    #[test]
    fn brackets_are_told_from_what_may_not_stand_in_a_migration_and_from_savepoints() {
        let (begin, commit) = (Some(Control::Begin(None)), Some(Control::Commit { chain: false }));
        let serializable = Some(Isolation::Serializable);
        for (sql, expected) in [
            ("BEGIN", begin),
            ("begin /* a */ work", begin),
            ("BEGIN TRANSACTION READ WRITE, NOT DEFERRABLE", begin),
            ("START TRANSACTION", begin),
            ("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", Some(Control::Begin(serializable))),
            ("COMMIT", commit),
            ("END", commit),
            ("END WORK", commit),
            ("COMMIT TRANSACTION AND NO CHAIN", commit),
            ("COMMIT AND CHAIN", Some(Control::Commit { chain: true })),
            ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", Some(Control::Set(serializable))),
            (
                "set local transaction isolation level repeatable read, read only",
                Some(Control::Set(Some(Isolation::RepeatableRead))),
            ),
            ("SET TRANSACTION READ ONLY", Some(Control::Set(None))),
            ("ROLLBACK", Some(Control::Forbidden)),
            ("ABORT WORK", Some(Control::Forbidden)),
            ("ROLLBACK AND CHAIN", Some(Control::Forbidden)),
            ("PREPARE TRANSACTION 'a'", Some(Control::Forbidden)),
            ("COMMIT PREPARED 'a'", Some(Control::Forbidden)),
            ("ROLLBACK PREPARED 'a'", Some(Control::Forbidden)),
            ("BEGIN ATOMIC", Some(Control::Forbidden)),
            ("START", Some(Control::Forbidden)),
            ("ROLLBACK TO SAVEPOINT a", None),
            ("ROLLBACK WORK TO a", None),
            ("SAVEPOINT a", None),
            ("PREPARE a AS SELECT 1", None),
            ("SET TRANSACTION SNAPSHOT '1'", None),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", None),
            ("SET \"commit\" = 1", None),
            ("SELECT 1", None),
            ("\"COMMIT\"", None),
        ] {
            assert_eq!(control(sql), expected, "{sql}");
        }
    }
}
