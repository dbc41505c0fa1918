//! Which tables a statement locks until its transaction ends, and how: read from its keywords, by PostgreSQL's
//! documentation of explicit locking and of each command. `tests/postgres/sql_locks.rs` compares it with what
//! a server does.

use super::{Cursor, LockMode, Name};

/// A table, or what the statement names in place of one, and the strongest lock on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableLock {
    /// As the statement names it, every part in quotes.
    pub table: String,
    /// The mode.
    pub mode: LockMode,
}

/// The locks that a statement takes on what it names, each table once. What it does not name is not known here:
/// partitions, tables behind views, what functions and triggers do.
pub fn table_locks(sql: &str) -> Vec<TableLock> {
    let mut cursor = Cursor::of(sql);
    let mut locks = Locks::default();
    let words = [
        "ALTER", "CREATE", "DROP", "TRUNCATE", "LOCK", "REINDEX", "CLUSTER", "REFRESH", "INSERT", "UPDATE",
        "DELETE", "MERGE", "COPY", "COMMENT",
    ];
    match cursor.eat_any(&words) {
        Some("ALTER") => alter(&mut cursor, &mut locks),
        Some("CREATE") => create(&mut cursor, &mut locks),
        Some("DROP") => drop(&mut cursor, &mut locks),
        Some("TRUNCATE") => {
            cursor.eat(&["TABLE"]);
            locks.each(&mut cursor, LockMode::AccessExclusive);
        }
        Some("LOCK") => explicit(&mut cursor, &mut locks),
        Some("REINDEX") => reindex(&mut cursor, &mut locks),
        Some("CLUSTER") => {
            cursor.parenthesised();
            cursor.eat(&["VERBOSE"]);
            locks.add(cursor.name(), LockMode::AccessExclusive);
        }
        Some("REFRESH") if cursor.eat(&["MATERIALIZED", "VIEW"]) => {
            let concurrently = cursor.eat(&["CONCURRENTLY"]);
            let mode = if concurrently { LockMode::Exclusive } else { LockMode::AccessExclusive };
            locks.add(cursor.name(), mode);
        }
        Some("UPDATE") => locks.one(&mut cursor, LockMode::RowExclusive),
        Some("INSERT" | "DELETE" | "MERGE") => {
            cursor.eat_any(&["INTO", "FROM"]);
            locks.one(&mut cursor, LockMode::RowExclusive);
        }
        Some("COPY") => {
            let table = cursor.name();
            if !cursor.mentions("TO") {
                locks.add(table, LockMode::RowExclusive);
            }
        }
        Some("COMMENT") if cursor.eat(&["ON", "TABLE"]) => {
            locks.add(cursor.name(), LockMode::ShareUpdateExclusive);
        }
        _ => {}
    }
    locks.0
}

#[derive(Default)]
struct Locks(Vec<TableLock>);

impl Locks {
    fn add(&mut self, table: Option<Name>, mode: LockMode) {
        let Some(table) = table.map(|table| table.quoted()) else { return };
        match self.0.iter_mut().find(|lock| lock.table == table) {
            Some(known) => known.mode = known.mode.max(mode),
            None => self.0.push(TableLock { table, mode }),
        }
    }

    /// `[ONLY] name [*]`.
    fn one(&mut self, cursor: &mut Cursor<'_>, mode: LockMode) {
        let enclosed = cursor.eat(&["ONLY"]) && cursor.eat_symbol(b'(');
        self.add(cursor.name(), mode);
        cursor.eat_symbol(if enclosed { b')' } else { b'*' });
    }

    /// The same several times, with commas between.
    fn each(&mut self, cursor: &mut Cursor<'_>, mode: LockMode) {
        loop {
            self.one(cursor, mode);
            if !cursor.eat_symbol(b',') {
                return;
            }
        }
    }

    /// Every table that a foreign key of the rest refers to.
    fn references(&mut self, cursor: &Cursor<'_>) {
        let mut rest = cursor.clone();
        while rest.passes("REFERENCES") {
            self.add(rest.name(), LockMode::ShareRowExclusive);
        }
    }
}

fn alter(cursor: &mut Cursor<'_>, locks: &mut Locks) {
    match cursor.eat_any(&["TABLE", "INDEX", "VIEW", "MATERIALIZED", "POLICY", "TRIGGER", "SEQUENCE"]) {
        Some("TABLE") => alter_table(cursor, locks),
        Some("POLICY" | "TRIGGER") => {
            cursor.name();
            if cursor.eat(&["ON"]) {
                locks.add(cursor.name(), LockMode::AccessExclusive);
            }
        }
        _ => {}
    }
}

fn alter_table(cursor: &mut Cursor<'_>, locks: &mut Locks) {
    if cursor.eat(&["ALL", "IN"]) {
        return;
    }
    cursor.eat(&["IF", "EXISTS"]);
    let enclosed = cursor.eat(&["ONLY"]) && cursor.eat_symbol(b'(');
    let table = cursor.name();
    cursor.eat_symbol(if enclosed { b')' } else { b'*' });
    locks.references(cursor);
    if cursor.at_any(&["ATTACH", "DETACH"]) {
        let attaches = cursor.clone().eat(&["ATTACH"]);
        cursor.advance();
        cursor.eat(&["PARTITION"]);
        let partition = cursor.name();
        let concurrently = cursor.eat_any(&["CONCURRENTLY", "FINALIZE"]).is_some();
        let weak = attaches || concurrently;
        locks.add(table, if weak { LockMode::ShareUpdateExclusive } else { LockMode::AccessExclusive });
        locks.add(partition, LockMode::AccessExclusive);
        return;
    }
    let mut mode = LockMode::ShareUpdateExclusive;
    loop {
        mode = mode.max(action(cursor));
        if !to_the_next(cursor) {
            break;
        }
    }
    locks.add(table, mode);
}

/// The lock that one action of ALTER TABLE takes: ACCESS EXCLUSIVE, unless PostgreSQL says otherwise.
fn action(cursor: &mut Cursor<'_>) -> LockMode {
    if cursor.eat(&["VALIDATE", "CONSTRAINT"])
        || cursor.eat(&["CLUSTER", "ON"])
        || cursor.eat(&["SET", "WITHOUT", "CLUSTER"])
    {
        return LockMode::ShareUpdateExclusive;
    }
    if ["ENABLE", "DISABLE"].iter().any(|word| cursor.eat(&[word]))
        && (cursor.at("TRIGGER")
            || (cursor.eat_any(&["ALWAYS", "REPLICA"]).is_some() && cursor.at("TRIGGER")))
    {
        return LockMode::ShareRowExclusive;
    }
    if cursor.eat(&["ADD"]) {
        let named = cursor.eat(&["CONSTRAINT"]);
        if named {
            cursor.name();
        }
        return if cursor.at("FOREIGN") { LockMode::ShareRowExclusive } else { LockMode::AccessExclusive };
    }
    if cursor.eat(&["ALTER"]) {
        cursor.eat(&["COLUMN"]);
        cursor.name();
        let weak = cursor.eat(&["SET", "STATISTICS"])
            || (cursor.eat_any(&["SET", "RESET"]).is_some() && cursor.at_symbol(b'('));
        return if weak { LockMode::ShareUpdateExclusive } else { LockMode::AccessExclusive };
    }
    if cursor.eat_any(&["SET", "RESET"]).is_some()
        && let Some(parameters) = cursor.parenthesised()
    {
        let mut names = parameters.split(',').map(|one| one.split('=').next().unwrap_or_default().trim());
        let weak = |name: &str| {
            let name = name.to_ascii_lowercase();
            name == "fillfactor" || name == "parallel_workers" || name.contains("autovacuum_")
        };
        return if names.all(weak) { LockMode::ShareUpdateExclusive } else { LockMode::AccessExclusive };
    }
    LockMode::AccessExclusive
}

/// Passes the rest of an action, and the comma behind it if there is one.
fn to_the_next(cursor: &mut Cursor<'_>) -> bool {
    loop {
        if cursor.eat_symbol(b',') {
            return true;
        }
        if cursor.parenthesised().is_none() && cursor.advance().is_none() {
            return false;
        }
    }
}

fn create(cursor: &mut Cursor<'_>, locks: &mut Locks) {
    cursor.eat(&["OR", "REPLACE"]);
    cursor.eat_any(&["GLOBAL", "LOCAL"]);
    cursor.eat_any(&["TEMPORARY", "TEMP", "UNLOGGED", "UNIQUE", "CONSTRAINT"]);
    match cursor.eat_any(&["INDEX", "TABLE", "TRIGGER", "POLICY", "RULE", "STATISTICS"]) {
        Some("INDEX") => {
            let concurrently = cursor.eat(&["CONCURRENTLY"]);
            if cursor.passes("ON") {
                locks
                    .one(cursor, if concurrently { LockMode::ShareUpdateExclusive } else { LockMode::Share });
            }
        }
        Some("TABLE") => {
            let mut rest = cursor.clone();
            if rest.passes("PARTITION") && rest.eat(&["OF"]) {
                locks.add(rest.name(), LockMode::AccessExclusive);
            }
            locks.references(cursor);
        }
        Some("TRIGGER") if cursor.passes("ON") => locks.add(cursor.name(), LockMode::ShareRowExclusive),
        Some("POLICY") => {
            cursor.name();
            if cursor.eat(&["ON"]) {
                locks.add(cursor.name(), LockMode::AccessExclusive);
            }
        }
        Some("RULE") if cursor.passes("TO") => locks.add(cursor.name(), LockMode::AccessExclusive),
        Some("STATISTICS") if cursor.passes("FROM") => {
            locks.add(cursor.name(), LockMode::ShareUpdateExclusive);
        }
        _ => {}
    }
}

fn drop(cursor: &mut Cursor<'_>, locks: &mut Locks) {
    let materialized = cursor.eat(&["MATERIALIZED"]);
    match cursor.eat_any(&["TABLE", "VIEW", "POLICY", "TRIGGER", "RULE"]) {
        Some("TABLE" | "VIEW") => {
            cursor.eat(&["IF", "EXISTS"]);
            locks.each(cursor, LockMode::AccessExclusive);
        }
        Some("POLICY" | "TRIGGER" | "RULE") if !materialized && cursor.passes("ON") => {
            locks.add(cursor.name(), LockMode::AccessExclusive);
        }
        _ => {}
    }
}

fn explicit(cursor: &mut Cursor<'_>, locks: &mut Locks) {
    cursor.eat(&["TABLE"]);
    let mut named = Locks::default();
    named.each(cursor, LockMode::AccessExclusive);
    let mode = if cursor.eat(&["IN"]) { stated(cursor) } else { Some(LockMode::AccessExclusive) };
    if let Some(mode) = mode {
        locks.0.extend(named.0.into_iter().map(|lock| TableLock { mode, ..lock }));
    }
}

/// The mode that `LOCK TABLE … IN … MODE` states; none for one that no reader and no writer notices.
fn stated(cursor: &mut Cursor<'_>) -> Option<LockMode> {
    [
        LockMode::AccessExclusive,
        LockMode::Exclusive,
        LockMode::ShareRowExclusive,
        LockMode::ShareUpdateExclusive,
        LockMode::Share,
        LockMode::RowExclusive,
    ]
    .into_iter()
    .find(|mode| {
        let mut words: Vec<&str> = mode.words().split(' ').collect();
        words.push("MODE");
        cursor.eat(&words)
    })
}

fn reindex(cursor: &mut Cursor<'_>, locks: &mut Locks) {
    let options = cursor.parenthesised().unwrap_or_default();
    if cursor.eat(&["TABLE"]) {
        let concurrently = cursor.eat(&["CONCURRENTLY"]) || Cursor::of(options).mentions("CONCURRENTLY");
        locks.add(cursor.name(), if concurrently { LockMode::ShareUpdateExclusive } else { LockMode::Share });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_action_of_an_alter_decides_and_commas_within_parentheses_part_nothing() {
        let locks = |sql| {
            let found =
                table_locks(sql).into_iter().map(|lock| format!("{} {}", lock.table, lock.mode.words()));
            found.collect::<Vec<_>>()
        };
        let weak = "ALTER TABLE t VALIDATE CONSTRAINT c, ALTER COLUMN a SET STATISTICS 500";
        assert_eq!(locks(weak), ["\"t\" SHARE UPDATE EXCLUSIVE"]);
        let mixed = "alter table only s.t validate constraint c, add check (f(a, b) > 1)";
        assert_eq!(locks(mixed), ["\"s\".\"t\" ACCESS EXCLUSIVE"]);
        let key = "ALTER TABLE a ADD CONSTRAINT k FOREIGN KEY (x, y) REFERENCES b (x, y) NOT VALID";
        assert_eq!(locks(key), ["\"b\" SHARE ROW EXCLUSIVE", "\"a\" SHARE ROW EXCLUSIVE"]);
        assert!(locks("SELECT 1").is_empty() && locks("").is_empty() && locks("ALTER TABLE").is_empty());
    }
}
