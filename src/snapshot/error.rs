//! Why there is no snapshot, in the words of the person who must mend it. No message ever holds a password.

use std::{io, path::PathBuf, time::Duration};

use crate::{api::Reason, postgres::ConnectError};

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// No session could be had.
    #[error("cannot take a snapshot: {0}")]
    Unreachable(ConnectError),
    /// The session broke, or the server did not answer.
    #[error("cannot take a snapshot of database {database:?}: the server did not tell {what}: {cause}")]
    Unanswered {
        /// The database.
        database: String,
        /// What was read.
        what: &'static str,
        /// What the server or the network said.
        cause: String,
    },
    /// A client tool cannot be started.
    #[error(
        "cannot start {tool:?}: {cause}; the snapshot stage needs PostgreSQL's client tools (package \
            postgresql-client) of the server's version or newer"
    )]
    ToolMissing {
        /// The program.
        tool: PathBuf,
        /// Why it does not start.
        cause: io::Error,
    },
    /// `pg_dump` refuses servers newer than itself.
    #[error(
        "pg_dump {client} is older than the server, which is PostgreSQL {server}: use a stage image with the \
            client tools of PostgreSQL {server} or newer"
    )]
    ClientTooOld {
        /// The version of `pg_dump`.
        client: String,
        /// The major version of the server.
        server: u32,
    },
    /// Without TLS, `pg_dump` would give the password to any server that asks for it.
    #[error(
        "pg_dump {client} gives the password in clear to any host that answers in the server's place, and \
         sslmode=disable does not protect it: use a \
         stage image with the client tools of PostgreSQL 16 or newer, or sslmode=require, or a unix socket"
    )]
    ClientGivesPassword {
        /// The version of `pg_dump`.
        client: String,
    },
    /// Row-level security hides rows from the role.
    #[error(
        "a snapshot of database {database:?} would be incomplete: row-level security applies to role \
            {role:?} on {tables}; let the role see every row: ALTER ROLE \"{role}\" BYPASSRLS"
    )]
    Incomplete {
        /// The database.
        database: String,
        /// The role.
        role: String,
        /// The tables, as a list for people.
        tables: String,
    },
    /// The role may not read everything.
    #[error(
        "role {role:?} may not read all of database {database:?}, so there is no complete snapshot: grant it \
            what is missing ({detail})"
    )]
    Denied {
        /// The database.
        database: String,
        /// The role.
        role: String,
        /// What `pg_dump` said.
        detail: String,
    },
    /// Another session holds a table exclusively.
    #[error("the snapshot of database {database:?} waited {seconds} s for a table lock: {holders}")]
    Locked {
        /// The database.
        database: String,
        /// How long it waited.
        seconds: u64,
        /// Who holds it and for how long.
        holders: String,
    },
    /// The volume is full.
    #[error(
        "{volume} is full ({detail}): make it larger, or let fewer snapshots stay with spec.snapshot.keep"
    )]
    NoSpace {
        /// The volume, in the words of its store.
        volume: String,
        /// What was being written.
        detail: String,
    },
    /// `pg_dump` failed.
    #[error("pg_dump could not dump database {database:?}: {detail}")]
    Dump {
        /// The database.
        database: String,
        /// Its last words.
        detail: String,
    },
    /// The dump was written but cannot be read back.
    #[error(
        "the snapshot of database {database:?} was written but cannot be read back: {detail}; no migration \
            runs on it, and it is taken again"
    )]
    Unreadable {
        /// The database.
        database: String,
        /// What `pg_restore`, or the reading, said.
        detail: String,
    },
    /// What is named as a snapshot is none.
    #[error(
        "{path:?} holds no snapshot: name the folder in which Sluice has written one, with its manifest.json"
    )]
    NotASnapshot {
        /// What was named.
        path: PathBuf,
    },
    /// It is of another time than what it is to be used for.
    #[error(
        "the snapshot {path:?} is of another history than the database has now: take another one, which \
            `sluice run` and `sluice rehearse --on snapshot` do"
    )]
    Outdated {
        /// The snapshot.
        path: PathBuf,
    },
    /// Its bytes are not those that were written.
    #[error("the snapshot of database {database:?} cannot be restored: {detail}")]
    Damaged {
        /// The database that it was taken of.
        database: String,
        /// What differs.
        detail: String,
    },
    /// It cannot be put back.
    #[error("the snapshot of database {database:?} cannot be restored: {detail}")]
    NotRestored {
        /// The database that it was taken of.
        database: String,
        /// What `pg_restore` said.
        detail: String,
    },
    /// The volume refuses something.
    #[error("cannot {action} {path:?} on {volume}: {cause}")]
    Volume {
        /// The volume, in the words of its store.
        volume: String,
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the file system said.
        cause: io::Error,
    },
    /// The deadline came first.
    #[error("the snapshot of database {database:?} did not end within {} s: give spec.apply.deadline more \
        time, or spec.snapshot.dump.jobs more tables at once", .deadline.as_secs())]
    TookTooLong {
        /// The database.
        database: String,
        /// The deadline.
        deadline: Duration,
    },
}

impl SnapshotError {
    /// The reason of the condition it becomes.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unreachable(error) => error.reason(),
            Self::ClientTooOld { .. } | Self::ClientGivesPassword { .. } => Reason::ClientTooOld,
            Self::Incomplete { .. } => Reason::SnapshotIncomplete,
            Self::Denied { .. } => Reason::PrivilegesMissing,
            Self::Locked { .. } => Reason::WaitingForLock,
            Self::NoSpace { .. } => Reason::NoSpace,
            Self::Unreadable { .. } | Self::NotASnapshot { .. } | Self::Damaged { .. } => {
                Reason::SnapshotUnreadable
            }
            Self::NotRestored { .. } => Reason::RestoreFailed,
            Self::Outdated { .. } => Reason::HistoryChanged,
            Self::TookTooLong { .. } => Reason::DeadlineExceeded,
            Self::Unanswered { .. } | Self::ToolMissing { .. } | Self::Dump { .. } | Self::Volume { .. } => {
                Reason::SnapshotFailed
            }
        }
    }

    /// A refusal of the file system; a full one has a name of its own.
    pub(super) fn volume(
        volume: String,
        action: &'static str,
        path: impl Into<PathBuf>,
        cause: io::Error,
    ) -> Self {
        let path = path.into();
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { volume, detail: format!("could not {action} {}: {cause}", path.display()) }
            }
            _ => Self::Volume { volume, action, path, cause },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_volume_is_told_from_a_broken_one() {
        let full = |kind: io::ErrorKind| {
            SnapshotError::volume("a volume".to_owned(), "write", "/snapshots/x", kind.into()).reason()
        };
        assert_eq!(full(io::ErrorKind::StorageFull), Reason::NoSpace);
        assert_eq!(full(io::ErrorKind::QuotaExceeded), Reason::NoSpace);
        assert_eq!(full(io::ErrorKind::PermissionDenied), Reason::SnapshotFailed);
    }
}
