//! How far the replicas of a server are behind, as their senders know it.
//!
//! What PostgreSQL calls `replay_lag` is about what a replica has replayed. Of one that stands still, or
//! delays what it replays, it says nothing new until the replica goes on. So Sluice also notes which position
//! of the WAL was reached when, and how long a replica has not replayed that.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use sqlx::{FromRow, PgConnection};

use super::{QueryContext, QueryError, query_as};

/// How far the slowest replica is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaLag {
    /// So far; nothing where no replica is connected, or none has anything left to replay.
    Behind(Duration),
    /// The role may not see it.
    Hidden,
}

/// The replicas of a server, read again and again.
#[derive(Debug, Default)]
pub struct Replicas {
    /// Positions that not every replica has replayed yet, the oldest first, and when they were read.
    written: VecDeque<(i64, Instant)>,
}

#[derive(Debug, FromRow)]
struct Reading {
    hidden: bool,
    written: i64,
    /// By the slowest; none where no replica replays.
    replayed: Option<i64>,
    /// In milliseconds.
    replay_lag: i64,
}

/// Of a replica that the role may not see, PostgreSQL shows no more than that there is one.
const READ: &str = "\
    SELECT COALESCE(pg_catalog.bool_or(state IS NULL), false) AS hidden, \
      pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::int8 AS written, \
      pg_catalog.pg_wal_lsn_diff(pg_catalog.min(replay_lsn), '0/0')::int8 AS replayed, \
      COALESCE(pg_catalog.ceil(EXTRACT(epoch FROM pg_catalog.max(replay_lag)) * 1000), 0)::int8 \
        AS replay_lag \
    FROM pg_catalog.pg_stat_replication";

impl Replicas {
    /// Reads how far they are behind now.
    pub async fn lag(&mut self, connection: &mut PgConnection) -> Result<ReplicaLag, QueryError> {
        let read: Reading =
            query_as(READ).fetch_one(connection).await.context("read how far the replicas are behind")?;
        if read.hidden {
            return Ok(ReplicaLag::Hidden);
        }
        Ok(ReplicaLag::Behind(self.behind(&read, Instant::now())))
    }

    fn behind(&mut self, read: &Reading, now: Instant) -> Duration {
        let replayed = read.replayed.unwrap_or(read.written);
        self.written.retain(|(position, _)| *position > replayed);
        if replayed >= read.written {
            return Duration::ZERO;
        }
        if self.written.back().is_none_or(|(position, _)| *position < read.written) {
            self.written.push_back((read.written, now));
        }
        let since = self.written.front().map(|(_, at)| now.duration_since(*at)).unwrap_or_default();
        since.max(Duration::from_millis(u64::try_from(read.replay_lag).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_behind_for_as_long_as_it_has_not_replayed_what_was_written() {
        let (mut replicas, start) = (Replicas::default(), Instant::now());
        let mut behind = |second: u64, written, replayed, replay_lag| {
            let read = Reading { hidden: false, written, replayed, replay_lag };
            replicas.behind(&read, start + Duration::from_secs(second)).as_secs()
        };
        assert_eq!(behind(0, 100, None, 0), 0, "there is none");
        assert_eq!(behind(1, 200, Some(100), 0), 0, "what was written just now");
        assert_eq!(behind(3, 300, Some(100), 0), 2, "it stands still, and PostgreSQL says nothing");
        assert_eq!(behind(6, 400, Some(250), 0), 3, "it has replayed the first of them");
        assert_eq!(behind(7, 400, Some(300), 5000), 5, "PostgreSQL knows of more");
        assert_eq!(behind(8, 400, Some(400), 5000), 0, "nothing is left, whatever it was like before");
        assert_eq!(behind(9, 400, Some(350), 0), 0, "another one that came");
        assert_eq!(behind(12, 400, Some(350), 0), 3);
    }
}
