//! How far the replicas of a server are behind, as their senders know it.

use std::time::Duration;

use sqlx::PgConnection;

use super::{QueryContext, QueryError, query_as};

/// How far the slowest replica is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaLag {
    /// So far; nothing where there is no replica, or none has anything left to replay.
    Behind(Duration),
    /// The role may not see it.
    Hidden,
}

impl ReplicaLag {
    /// Reads it.
    pub async fn read(connection: &mut PgConnection) -> Result<Self, QueryError> {
        // Of a replica that the role may not see, PostgreSQL shows no more than that there is one.
        let text = "SELECT COALESCE(pg_catalog.bool_or(state IS NULL), false), \
            COALESCE(pg_catalog.ceil(EXTRACT(epoch FROM pg_catalog.max(replay_lag)) * 1000), 0)::int8 \
            FROM pg_catalog.pg_stat_replication";
        let (hidden, millis): (bool, i64) =
            query_as(text).fetch_one(connection).await.context("read how far the replicas are behind")?;
        let behind = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        Ok(if hidden { Self::Hidden } else { Self::Behind(behind) })
    }
}
