//! The modes of locks on relations.

use serde::{Deserialize, Serialize};

/// The mode of a lock on a relation, the weakest first, in PostgreSQL's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LockMode {
    /// Of SELECT.
    #[serde(rename = "ACCESS SHARE")]
    AccessShare,
    /// Of SELECT … FOR UPDATE.
    #[serde(rename = "ROW SHARE")]
    RowShare,
    /// Of INSERT, UPDATE, DELETE.
    #[serde(rename = "ROW EXCLUSIVE")]
    RowExclusive,
    /// Of what runs CONCURRENTLY, VACUUM, VALIDATE CONSTRAINT.
    #[serde(rename = "SHARE UPDATE EXCLUSIVE")]
    ShareUpdateExclusive,
    /// Of CREATE INDEX.
    #[serde(rename = "SHARE")]
    Share,
    /// Of CREATE TRIGGER, and of a foreign key on both of its tables.
    #[serde(rename = "SHARE ROW EXCLUSIVE")]
    ShareRowExclusive,
    /// Of REFRESH MATERIALIZED VIEW CONCURRENTLY.
    #[serde(rename = "EXCLUSIVE")]
    Exclusive,
    /// Of most of ALTER TABLE; the only one that readers wait for.
    #[serde(rename = "ACCESS EXCLUSIVE")]
    AccessExclusive,
}

impl LockMode {
    /// All, the weakest first.
    pub const ALL: [Self; 8] = [
        Self::AccessShare,
        Self::RowShare,
        Self::RowExclusive,
        Self::ShareUpdateExclusive,
        Self::Share,
        Self::ShareRowExclusive,
        Self::Exclusive,
        Self::AccessExclusive,
    ];

    /// Those that conflict with ROW EXCLUSIVE, which every writer takes.
    pub fn strong() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|mode| mode.is_strong())
    }

    /// The mode that `pg_locks` names so.
    pub fn of_lock(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.lock() == name)
    }

    /// As `pg_locks` names it.
    pub const fn lock(self) -> &'static str {
        match self {
            Self::AccessShare => "AccessShareLock",
            Self::RowShare => "RowShareLock",
            Self::RowExclusive => "RowExclusiveLock",
            Self::ShareUpdateExclusive => "ShareUpdateExclusiveLock",
            Self::Share => "ShareLock",
            Self::ShareRowExclusive => "ShareRowExclusiveLock",
            Self::Exclusive => "ExclusiveLock",
            Self::AccessExclusive => "AccessExclusiveLock",
        }
    }

    /// As statements and PostgreSQL's documentation write it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::AccessShare => "ACCESS SHARE",
            Self::RowShare => "ROW SHARE",
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::Exclusive => "EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// Whether sessions that write rows wait for it.
    pub const fn is_strong(self) -> bool {
        matches!(self, Self::Share | Self::ShareRowExclusive | Self::Exclusive | Self::AccessExclusive)
    }

    /// Who waits for a strong one.
    pub const fn keeps_waiting(self) -> &'static str {
        match self {
            Self::AccessExclusive => "readers and writers",
            _ => "writers",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_is_found_by_the_name_that_pg_locks_has_for_it_and_four_keep_writers_waiting() {
        for mode in LockMode::ALL {
            assert_eq!(LockMode::of_lock(mode.lock()), Some(mode));
            assert_eq!(serde_json::to_value(mode).expect("JSON"), mode.words());
        }
        assert_eq!(LockMode::of_lock("SIReadLock"), None);
        let strong: Vec<&str> = LockMode::strong().map(LockMode::words).collect();
        assert_eq!(strong, ["SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"]);
    }
}
