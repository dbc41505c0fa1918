//! Sessions of a run that is over, ended on the server: what they do is cancelled first, and a session that does
//! not heed that is ended.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::{QueryContext, QueryError, advisory::is_earlier_attempt, query, query_as};

const PAUSE: Duration = Duration::from_millis(50);
/// How long a statement may take to heed that it is cancelled; then its session is ended.
const END_AFTER: Duration = Duration::from_secs(1);

/// Ends the sessions of a process by the name that it gave them, and that of its watcher. False where one is
/// left when the time is up.
pub async fn end_own_sessions(
    connection: &mut PgConnection,
    application: &str,
    until: Instant,
) -> Result<bool, QueryError> {
    let watcher = format!("{application} watcher");
    end(connection, |name| name == application || name == watcher, until).await
}

/// Ends those of earlier attempts at what the session of this name attempts. False where one is left when the
/// time is up.
pub async fn end_earlier_sessions(
    connection: &mut PgConnection,
    application: &str,
    until: Instant,
) -> Result<bool, QueryError> {
    end(connection, |name| is_earlier_attempt(application, name), until).await
}

async fn end(
    connection: &mut PgConnection,
    is_meant: impl Fn(&str) -> bool,
    until: Instant,
) -> Result<bool, QueryError> {
    let began = Instant::now();
    loop {
        let meant: Vec<i32> = sessions(connection)
            .await?
            .into_iter()
            .filter(|(_, name)| is_meant(name))
            .map(|(pid, _)| pid)
            .collect();
        if meant.is_empty() {
            return Ok(true);
        }
        let now = Instant::now();
        if now >= until {
            return Ok(false);
        }
        let text = if now.duration_since(began) < END_AFTER {
            "SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.unnest($1::pg_catalog.int4[]) p(pid)"
        } else {
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.unnest($1::pg_catalog.int4[]) p(pid)"
        };
        query(text).bind(&meant).execute(&mut *connection).await.context("end the sessions of a run")?;
        tokio::time::sleep(PAUSE).await;
    }
}

/// The other sessions of this role in this database, and the names that they gave themselves.
async fn sessions(connection: &mut PgConnection) -> Result<Vec<(i32, String)>, QueryError> {
    query_as(
        "SELECT a.pid, a.application_name FROM pg_catalog.pg_stat_activity a \
         WHERE a.datname = pg_catalog.current_database() AND a.usename = session_user \
           AND a.application_name IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid()",
    )
    .fetch_all(connection)
    .await
    .context("find the sessions of a run")
}
