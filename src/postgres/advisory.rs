//! Advisory locks, taken by polling: a session blocked in `pg_advisory_lock` holds a snapshot that CREATE INDEX CONCURRENTLY
//! waits for, and the two deadlock.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::{Asked, QueryError, query, query_as, query_scalar};
use crate::api::Blocker;

const PAUSE: Duration = Duration::from_millis(100);

/// Takes every key for the rest of the session, or says who holds one when the time is up.
pub async fn acquire(connection: &mut PgConnection, keys: &[i64], until: Instant) -> Result<Result<(), Option<Blocker>>, QueryError> {
    for key in keys {
        loop {
            let taken: bool = query_scalar("SELECT pg_catalog.pg_try_advisory_lock($1)")
                .bind(key)
                .fetch_one(&mut *connection)
                .await
                .asked("take the advisory lock")?;
            if taken {
                break;
            }
            if Instant::now() >= until {
                return Ok(Err(holder(connection, *key).await?));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(Ok(()))
}

/// Gives keys up before the session ends.
pub async fn release(connection: &mut PgConnection, keys: &[i64]) -> Result<(), QueryError> {
    for key in keys {
        query("SELECT pg_catalog.pg_advisory_unlock($1)").bind(key).execute(&mut *connection).await.asked("give up the advisory lock")?;
    }
    Ok(())
}

async fn holder(connection: &mut PgConnection, key: i64) -> Result<Option<Blocker>, QueryError> {
    let row: Option<(i32, String, String, String, i64)> = query_as(
        "SELECT a.pid, COALESCE(a.application_name, ''), COALESCE(a.usename::text, ''), COALESCE(a.state, ''), \
                COALESCE(EXTRACT(epoch FROM pg_catalog.now() - a.backend_start), 0)::bigint \
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
           AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
           AND l.classid::bigint = ($1 >> 32) & 4294967295 AND l.objid::bigint = $1 & 4294967295 LIMIT 1",
    )
    .bind(key)
    .fetch_optional(connection)
    .await
    .asked("find the holder of the advisory lock")?;
    Ok(row.map(|(pid, application, user, state, age)| Blocker {
        pid,
        application,
        user,
        state,
        age_seconds: u64::try_from(age).unwrap_or_default(),
    }))
}
