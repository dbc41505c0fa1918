//! Advisory locks, taken by polling: a session blocked in `pg_advisory_lock` holds a snapshot that CREATE
//! INDEX CONCURRENTLY waits for, and the two deadlock.
//!
//! A session of an earlier attempt, whose Pod is gone, can still hold them. It shows by its
//! `application_name`, and the newer attempt ends it: the controller begins an attempt only when the one
//! before has ended.

use std::time::{Duration, Instant};

use sqlx::{FromRow, PgConnection};

use super::{QueryContext, QueryError, query, query_as, query_scalar, startup::OUTLIVES_CLIENT_SECONDS};
use crate::api::Blocker;

const PAUSE: Duration = Duration::from_millis(100);

/// Who keeps an advisory lock.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The session.
    pub blocker: Blocker,
    /// It is one of the same DatabaseMigration.
    pub same_object: bool,
    /// When the server ends it at the latest if its client is gone, in UTC.
    pub ends_by: String,
}

/// Takes every key for the rest of the session, or says who holds one when the time is up. `application` is
/// the name of this session.
pub async fn acquire(
    connection: &mut PgConnection,
    application: &str,
    keys: &[i64],
    until: Instant,
) -> Result<Result<(), Option<Holder>>, QueryError> {
    for key in keys {
        while !try_to_take(connection, *key).await? {
            let holder = holder(connection, application, *key).await?;
            if let Some(holder) = &holder
                && is_earlier_attempt(application, &holder.blocker.application)
                && end(connection, &holder.blocker).await?
            {
                tracing::warn!(pid = holder.blocker.pid, application = %holder.blocker.application, "ended \
                    the session of an earlier attempt");
            } else if Instant::now() >= until {
                return Ok(Err(holder));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(Ok(()))
}

async fn try_to_take(connection: &mut PgConnection, key: i64) -> Result<bool, QueryError> {
    query_scalar("SELECT pg_catalog.pg_try_advisory_lock($1)")
        .bind(key)
        .fetch_one(connection)
        .await
        .context("take the advisory lock")
}

/// Gives keys up before the session ends.
pub async fn release(connection: &mut PgConnection, keys: &[i64]) -> Result<(), QueryError> {
    for key in keys {
        query("SELECT pg_catalog.pg_advisory_unlock($1)")
            .bind(key)
            .execute(&mut *connection)
            .await
            .context("give up the advisory lock")?;
    }
    Ok(())
}

/// The session that holds a lock, as the server tells it.
#[derive(FromRow)]
struct HolderRow {
    pid: i32,
    application: String,
    user: String,
    state: String,
    /// Of the session, in seconds.
    age: i64,
    ends_by: String,
}

async fn holder(
    connection: &mut PgConnection,
    application: &str,
    key: i64,
) -> Result<Option<Holder>, QueryError> {
    let row: Option<HolderRow> = query_as(
        "SELECT a.pid, COALESCE(a.application_name, '') AS application, COALESCE(a.usename::text, \
        '') AS user, COALESCE(a.state, \
            '') AS state, \
                COALESCE(EXTRACT(epoch FROM pg_catalog.now() - a.backend_start), 0)::bigint AS age, \
                pg_catalog.to_char((pg_catalog.now() + pg_catalog.make_interval(secs => $2)) AT TIME ZONE \
                'UTC', 'HH24:MI:SS') AS ends_by \
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
           AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = \
           pg_catalog.current_database()) \
           AND l.classid::bigint = ($1 >> 32) & 4294967295 AND l.objid::bigint = $1 & 4294967295 LIMIT 1",
    )
    .bind(key)
    .bind(OUTLIVES_CLIENT_SECONDS)
    .fetch_optional(connection)
    .await
    .context("find the holder of the advisory lock")?;
    Ok(row.map(|row| Holder {
        same_object: object(application).is_some() && object(application) == object(&row.application),
        ends_by: row.ends_by,
        blocker: Blocker {
            pid: row.pid,
            application: row.application,
            user: row.user,
            state: row.state,
            age_seconds: u64::try_from(row.age).unwrap_or_default(),
        },
    }))
}

/// Ends a session, if it is still the one that was seen, of this role.
async fn end(connection: &mut PgConnection, holder: &Blocker) -> Result<bool, QueryError> {
    let ended: Option<bool> = query_scalar(
        "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a \
         WHERE a.pid = $1 AND a.application_name = $2 AND a.usename = session_user",
    )
    .bind(holder.pid)
    .bind(&holder.application)
    .fetch_optional(connection)
    .await
    .context("end the session of an earlier attempt")?;
    Ok(ended == Some(true))
}

/// The DatabaseMigration in the name of a session: `sluice NAMESPACE/NAME RUN`.
fn object(application: &str) -> Option<&str> {
    application.strip_prefix("sluice ")?.split(' ').next().filter(|object| object.contains('/'))
}

/// Digest of the attempt in the name of a session, and its number with that of its leg. The digest, of which the name
/// has the beginning, is that of the object's uid, spec and source.
fn attempt(application: &str) -> Option<(&str, (u32, u32))> {
    let (digest, place) = application.strip_prefix("sluice ")?.split(' ').nth(1)?.rsplit_once("-a")?;
    let (number, leg) = place.split_once("-l").unwrap_or((place, "1"));
    Some((digest, (number.parse().ok()?, leg.parse().ok()?)))
}

/// Whether `other` is an attempt at the very thing that `mine` attempts, begun before it. Of anything else
/// nothing is certain.
pub(super) fn is_earlier_attempt(mine: &str, other: &str) -> bool {
    match (attempt(mine), attempt(other)) {
        (Some((digest, mine)), Some((same, earlier))) => digest == same && earlier < mine,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_attempt_at_the_same_with_a_lower_number_is_an_earlier_one() {
        let mine = "sluice medical/records 0123abcd-a3";
        assert!(is_earlier_attempt(mine, "sluice medical/records 0123abcd-a2"));
        assert!(is_earlier_attempt(mine, "sluice medical/records 0123abcd-a1 watcher"));
        for other in [
            mine,
            "sluice medical/records 0123abcd-a4",
            "sluice medical/records ffffffff-a1",
            "sluice medical/records",
            "prisma 0123abcd-a1",
            "sluice medical/records 0123abcd-a",
            "",
        ] {
            assert!(!is_earlier_attempt(mine, other), "{other}");
        }
        let second_leg = "sluice medical/records 0123abcd-a3-l2";
        assert!(is_earlier_attempt(second_leg, mine) && !is_earlier_attempt(mine, second_leg));
        assert!(!is_earlier_attempt(second_leg, second_leg));
        assert!(
            !is_earlier_attempt("sluice medical/records", "sluice medical/records 0123abcd-a1"),
            "a run by hand knows of no attempts"
        );
    }

    #[test]
    fn a_session_of_the_same_object_is_told_from_others() {
        assert_eq!(object("sluice medical/records 0123abcd-a3"), Some("medical/records"));
        assert_eq!(object("sluice wait"), None);
        assert_eq!(object("prisma"), None);
    }
}
