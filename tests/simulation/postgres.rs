//! The databases: what is recorded is committed together with what was done, and only by the session that holds the
//! lock. A session may live on when the process that opened it is dead.

use std::collections::{BTreeMap, BTreeSet};

/// Every database of the world, by the name of its Secret.
#[derive(Debug, Default)]
pub struct Postgres {
    databases: BTreeMap<String, Database>,
    sessions: u64,
}

/// One database.
#[derive(Debug, Default)]
pub struct Database {
    /// The history, oldest first.
    pub rows: Vec<String>,
    /// How often each migration was run to its end.
    pub executed: BTreeMap<String, u32>,
    /// The schema breaks a check.
    pub broken: bool,
    /// The session that holds the advisory lock.
    lock: Option<u64>,
    /// Sessions that have ended, whether or not the process that opened them knows.
    ended: BTreeSet<u64>,
}

impl Postgres {
    /// The database behind a Secret.
    pub fn database(&mut self, name: &str) -> &mut Database {
        self.databases.entry(name.to_owned()).or_default()
    }

    pub fn all(&self) -> impl Iterator<Item = (&String, &Database)> {
        self.databases.iter()
    }

    pub fn connect(&mut self) -> u64 {
        self.sessions += 1;
        self.sessions
    }
}

impl Database {
    /// Takes the advisory lock; false while another session has it.
    pub fn lock(&mut self, session: u64) -> bool {
        !self.ended.contains(&session) && *self.lock.get_or_insert(session) == session
    }

    pub fn has_ended(&self, session: u64) -> bool {
        self.ended.contains(&session)
    }

    /// Commits migrations with their rows. A session that lost its lock has lost its transaction, too.
    pub fn commit(&mut self, session: u64, migrations: &[String]) -> bool {
        if self.lock != Some(session) {
            return false;
        }
        for migration in migrations {
            *self.executed.entry(migration.clone()).or_default() += 1;
            self.rows.push(migration.clone());
        }
        true
    }

    /// Ends a session, and with it its lock.
    pub fn end(&mut self, session: u64) {
        self.ended.insert(session);
        if self.lock == Some(session) {
            self.lock = None;
        }
    }
}
