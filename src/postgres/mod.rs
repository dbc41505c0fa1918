//! Everything that talks to PostgreSQL and is not a check: connecting, locking, executing. Only `stage`,
//! `check` and `snapshot` may import it.

mod advisory;
mod blocked;
mod body;
mod connect;
mod copy_notes;
mod copy_parts;
mod copy_source;
mod custody;
mod frame;
mod history_table;
mod holds;
mod identity;
mod index_build;
mod index_progress;
mod journal;
mod key;
mod letters;
mod made;
mod names;
mod objection;
mod own_sessions;
mod own_table;
mod preflight;
mod query;
mod records;
mod replicas;
mod said;
mod scratch;
mod session;
mod settings;
mod shared;
mod sql_error;
mod startup;
mod strong_locks;
mod surroundings;
mod texts;
mod tls;
mod trace;
mod transaction;
mod url;
mod visibility;
mod watcher;
mod wire;

pub use advisory::{Holder, acquire as acquire_advisory_locks, release as release_advisory_locks};
pub use blocked::WaitsFor;
pub use connect::{ConnectError, connect, connect_like};
pub use copy_notes::noting_keys;
pub use copy_parts::{CopiedKey, CopyParts, built_parts, grantees, owned_sequences};
pub use copy_source::{CopyColumn, CopySource, copy_columns};
pub use custody::{believed, believed_rows, custody_objection, exposed_tables};
pub use history_table::HistoryTable;
pub use identity::database_identity;
pub use index_build::{Build, LeftOver, build_index, drop_reindex_left_overs, is_there as index_is_there};
pub use index_progress::IndexPhase;
pub use journal::{BatchesDone, ForeignKey, Journal, JournalStep};
pub use key::TableKey;
pub use objection::Objection;
pub use own_sessions::{end_earlier_sessions, end_own_sessions};
pub use own_table::OwnTable;
pub use preflight::{
    ServerFacts, count_tables, has_deferrable_constraints, own_schema_objection, preflight, server_major,
};
pub use query::{query, query_as, query_scalar};
pub use records::{KeptRecord, NewRecord, RECORD_DAYS, RECORDS_KEPT, keep_record, record_text, records};
pub use replicas::{ReplicaLag, Replicas};
pub(crate) use said::{log_values, log_whole};
pub use said::{said, said_by};
pub use scratch::{Scratch, cannot_create_databases};
pub use session::Session;
pub use settings::{Settings, Values};
pub use shared::{SharedWrites, bodies, counts_writes};
pub use sql_error::{SqlError, SqlErrorKind};
pub use surroundings::{Prerequisite, defaults_of_sessions, give, surroundings, unused_extensions};
pub use texts::{keep_text, keep_text_alone, keep_texts, not_kept, prepare_texts, read_texts};
pub use trace::{FileOfRelation, HeldLock, KnownRelation, files, known_relations, locks_held};
pub use transaction::Transaction;
pub use url::{ConnectionUrl, InvalidUrl};
pub use visibility::{aggregates, policies, written};
pub use watcher::{HeldTooLong, LockPolicy, Older, Terminations, Unsealed, Watcher};
pub use wire::LIBPQ_KEEPALIVES;

use sqlx::postgres::PgQueryResult;

use crate::api::Reason;

/// [`SEARCH_PATH`] in a constant text.
macro_rules! search_path {
    () => {
        "pg_catalog, pg_temp"
    };
}
pub(crate) use search_path;

/// The settings of Sluice's own queries, whatever the role, the database or a file has set: the first decides
/// which names are found, the others how values are read and printed.
macro_rules! own_settings {
    () => {
        concat!(
            "SET search_path = ",
            $crate::postgres::search_path!(),
            "; SET \"TimeZone\" = 'UTC'; SET \"DateStyle\" = 'ISO, MDY'; SET \"IntervalStyle\" = 'postgres'; \
                SET extra_float_digits = 1"
        )
    };
}
pub(crate) use own_settings;

/// The same settings as the URL, else the role, else the database has them: for the team's statements.
pub(crate) const TEAMS_SETTINGS: &str = "SET search_path TO DEFAULT; SET \"TimeZone\" TO DEFAULT; SET \
    \"DateStyle\" TO DEFAULT; \
    SET \"IntervalStyle\" TO DEFAULT; SET extra_float_digits TO DEFAULT";

/// Where Sluice's own statements look names up. `public` and whatever else a team may create in is no part of
/// it, so no other role's operator fits better than PostgreSQL's. `pg_temp` stands last, because it would
/// come first where it is not named.
pub const SEARCH_PATH: &str = search_path!();

/// A query of the catalog or the history that PostgreSQL could not answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {}", said(.cause))]
pub struct QueryError {
    /// What the query was for.
    pub action: &'static str,
    /// What went wrong.
    #[source]
    pub cause: sqlx::Error,
}

impl QueryError {
    /// The reason of the condition it becomes.
    pub fn reason(&self) -> Reason {
        match (SqlErrorKind::of(&self.cause), &self.cause) {
            (SqlErrorKind::Lock, _) => Reason::WaitingForLock,
            (SqlErrorKind::Connection, _) => Reason::ConnectionFailed,
            (_, sqlx::Error::RowNotFound) => Reason::HistoryUntrusted,
            (_, sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => {
                Reason::PrivilegesMissing
            }
            _ => Reason::StageFailed,
        }
    }
}

/// Adds what the query was for to an error of the driver.
pub(crate) trait QueryContext<T> {
    /// Names what the query was for, verb first.
    fn context(self, action: &'static str) -> Result<T, QueryError>;
}

impl<T> QueryContext<T> for Result<T, sqlx::Error> {
    fn context(self, action: &'static str) -> Result<T, QueryError> {
        self.map_err(|cause| {
            log_whole(&cause);
            QueryError { action, cause }
        })
    }
}

/// Sees to it that a statement has written its one row.
pub(crate) trait Kept {
    /// Names what was written, verb first. No row is an error: something in the database took it away.
    fn kept(self, action: &'static str) -> Result<(), QueryError>;
}

impl Kept for Result<PgQueryResult, sqlx::Error> {
    fn kept(self, action: &'static str) -> Result<(), QueryError> {
        match self.context(action)?.rows_affected() {
            1 => Ok(()),
            _ => Err(QueryError { action, cause: sqlx::Error::RowNotFound }),
        }
    }
}
