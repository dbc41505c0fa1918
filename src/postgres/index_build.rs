//! CREATE INDEX CONCURRENTLY: a build that was interrupted leaves an invalid index that every write still maintains. It is
//! dropped, concurrently, before the build begins again. `IF NOT EXISTS` would take it for the real one.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};

use super::{Asked, QueryError, Session, SqlError, Trouble};

/// What to build.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// The statement.
    pub sql: &'a str,
    /// The index as written, possibly quoted; none when PostgreSQL chooses the name.
    pub index: Option<&'a str>,
    /// The table as written.
    pub table: &'a str,
    /// An earlier attempt wrote down that it would build this: a valid index of the name is its work.
    pub begun: bool,
    /// Give up then.
    pub until: Instant,
}

/// What was found under the index's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOver {
    /// Nothing.
    Nothing,
    /// A valid index.
    Valid,
    /// An invalid index: qualified and quoted.
    Invalid(String),
    /// Somebody is building it right now.
    InProgress,
}

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Builds an index, or sees that it is built.
pub async fn build_index(session: &mut Session, build: Build<'_>) -> Result<(), SqlError> {
    loop {
        match left_over(&mut session.connection, build).await.map_err(unanswered)? {
            LeftOver::Valid if build.begun => return Ok(()),
            LeftOver::Nothing | LeftOver::Valid => break,
            LeftOver::Invalid(name) => {
                tracing::info!(index = %name, "dropping the left-over of an interrupted build");
                session.run(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"), Some(build.until)).await?;
            }
            LeftOver::InProgress if Instant::now() >= build.until => {
                let message = "another session is still building this index".to_owned();
                return Err(SqlError { trouble: Trouble::Lock, completed: 0, offset: None, sqlstate: String::new(), message });
            }
            LeftOver::InProgress => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
    let built = session.run(build.sql, Some(build.until)).await;
    if built.as_ref().is_err_and(|error| error.trouble == Trouble::Connection || error.trouble == Trouble::Deadline) {
        return built;
    }
    match left_over(&mut session.connection, build).await.map_err(unanswered)? {
        // A failed build must not slow down writers until somebody looks; a failed unique one even refuses them.
        LeftOver::Invalid(name) => {
            let dropped = session.run(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"), Some(build.until)).await;
            built.and(dropped).and_then(|()| {
                let message = format!("the index {name} was built but is not valid");
                Err(SqlError { trouble: Trouble::Statement, completed: 0, offset: None, sqlstate: String::new(), message })
            })
        }
        _ => built,
    }
}

async fn left_over(connection: &mut PgConnection, build: Build<'_>) -> Result<LeftOver, QueryError> {
    let Some(index) = build.index else { return Ok(LeftOver::Nothing) };
    let row: Option<(bool, bool, String)> = sqlx::query_as(AssertSqlSafe(
        "SELECT i.indisvalid AND i.indisready AND i.indislive, \
                EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid), \
                pg_catalog.format('%I.%I', n.nspname, c.relname) \
         FROM pg_catalog.pg_class t \
         JOIN pg_catalog.pg_class c ON c.relnamespace = t.relnamespace \
         JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE t.oid = pg_catalog.to_regclass($1) \
           AND c.relname = (pg_catalog.parse_ident($2))[pg_catalog.array_upper(pg_catalog.parse_ident($2), 1)]",
    ))
    .bind(build.table)
    .bind(index)
    .fetch_optional(connection)
    .await
    .asked("look for a left-over index")?;
    Ok(match row {
        None => LeftOver::Nothing,
        Some((true, _, _)) => LeftOver::Valid,
        Some((false, true, _)) => LeftOver::InProgress,
        Some((false, false, name)) => LeftOver::Invalid(name),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unanswered(error: QueryError) -> SqlError {
    SqlError { trouble: Trouble::Connection, completed: 0, offset: None, sqlstate: String::new(), message: error.to_string() }
}
