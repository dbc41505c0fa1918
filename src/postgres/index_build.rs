//! CONCURRENTLY: a build that was interrupted leaves an invalid index that every write still maintains. It is
//! dropped, concurrently, before the build begins again. `IF NOT EXISTS` would take it for the real one.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::{QueryContext, QueryError, Session, SqlError, SqlErrorKind, query_as, query_scalar};
use crate::sql::IndexBuild;

/// What to build.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// The statement.
    pub sql: &'a str,
    /// What it asks for.
    pub asked: &'a IndexBuild,
    /// An earlier attempt wrote down that it would build this: a valid index of the name, if it is what the
    /// statement asks for, is its work.
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
    /// Invalid indexes: qualified and quoted.
    Invalid(Vec<String>),
    /// Another session is building it right now.
    InProgress,
}

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Builds an index, or sees that it is built.
pub async fn build_index(session: &mut Session, build: Build<'_>) -> Result<(), SqlError> {
    loop {
        match left_over(session, build).await.map_err(unanswered)? {
            LeftOver::Valid if build.begun && is_what_is_asked(session, build).await? => return Ok(()),
            LeftOver::Nothing | LeftOver::Valid => break,
            LeftOver::Invalid(names) => drop_indexes(session, &names, build.until).await?,
            LeftOver::InProgress if Instant::now() >= build.until => {
                return Err(SqlError::other(
                    SqlErrorKind::Lock,
                    "another session is still building this index".to_owned(),
                ));
            }
            LeftOver::InProgress => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
    let built =
        session.run(build.sql, Some(build.until)).await.map_err(|error| match error.sqlstate.as_str() {
            "42P07" if build.begun => {
                let message = format!(
                    "{}, and it is not the index that this statement asks for: drop it, or rename one of \
                    them",
                    error.message
                );
                SqlError { message, ..error }
            }
            _ => error,
        });
    if built.as_ref().is_err_and(|error| {
        matches!(error.kind, SqlErrorKind::Connection | SqlErrorKind::Deadline | SqlErrorKind::Overrun)
    }) {
        return built;
    }
    match left_over(session, Build { begun: true, ..build }).await.map_err(unanswered)? {
        // A failed build must not slow down writers until a person comes; a failed unique one even refuses
        // them.
        LeftOver::Invalid(names) => {
            let dropped = drop_indexes(session, &names, build.until).await;
            built.and(dropped).and_then(|()| {
                let message = format!("the index {} was built but is not valid", names.join(", "));
                Err(SqlError::other(SqlErrorKind::Statement, message))
            })
        }
        _ => built,
    }
}

async fn drop_indexes(session: &mut Session, names: &[String], until: Instant) -> Result<(), SqlError> {
    for name in names {
        tracing::info!(index = %name, "dropping the left-over of an interrupted build");
        session.run(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"), Some(until)).await?;
    }
    Ok(())
}

/// Drops what an interrupted REINDEX CONCURRENTLY left: the invalid copies that PostgreSQL names so.
pub async fn drop_reindex_left_overs(
    session: &mut Session,
    schemas: &[String],
    until: Instant,
) -> Result<(), SqlError> {
    let names = session
        .interject(async |connection| reindex_left_overs(connection, schemas).await)
        .await
        .map_err(unanswered)?;
    drop_indexes(session, &names, until).await
}

async fn reindex_left_overs(
    connection: &mut PgConnection,
    schemas: &[String],
) -> Result<Vec<String>, QueryError> {
    query_scalar(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = \
         c.relnamespace \
         WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relname ~ '_cc(new|old)[0-9]*$' AND n.nspname = \
         ANY($1) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = \
           i.indexrelid)",
    )
    .bind(schemas)
    .fetch_all(connection)
    .await
    .context("find the left-overs of an interrupted REINDEX")
}

async fn left_over(session: &mut Session, build: Build<'_>) -> Result<LeftOver, QueryError> {
    let Some(table) = session.resolve(&build.asked.table).await? else { return Ok(LeftOver::Nothing) };
    session
        .interject(async |connection| match build.asked.index.as_deref() {
            Some(index) => named_left_over(connection, table, index).await,
            None if build.begun => unnamed_left_over(connection, table).await,
            None => Ok(LeftOver::Nothing),
        })
        .await
}

async fn named_left_over(
    connection: &mut PgConnection,
    table: i64,
    index: &str,
) -> Result<LeftOver, QueryError> {
    let row: Option<(bool, bool, String)> = query_as(
        "SELECT i.indisvalid AND i.indisready AND i.indislive, \
                EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = \
                i.indexrelid), \
                pg_catalog.format('%I.%I', n.nspname, c.relname) \
         FROM pg_catalog.pg_class t \
         JOIN pg_catalog.pg_class c ON c.relnamespace = t.relnamespace \
         JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE t.oid = $1::pg_catalog.oid \
           AND c.relname = $2::pg_catalog.name",
    )
    .bind(table)
    .bind(index)
    .fetch_optional(connection)
    .await
    .context("find a left-over index")?;
    Ok(match row {
        None => LeftOver::Nothing,
        Some((true, _, _)) => LeftOver::Valid,
        Some((false, true, _)) => LeftOver::InProgress,
        Some((false, false, name)) => LeftOver::Invalid(vec![name]),
    })
}

/// Where PostgreSQL chose the name, an invalid index of the table with such a name is taken for the left-over
/// of a build that was begun.
async fn unnamed_left_over(connection: &mut PgConnection, table: i64) -> Result<LeftOver, QueryError> {
    let names: Vec<String> = query_scalar(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = \
         c.relnamespace \
         WHERE i.indrelid = $1::pg_catalog.oid AND NOT i.indisvalid AND c.relkind = 'i' AND c.relname ~ \
         '_idx[0-9]*$' \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = \
           i.indexrelid)",
    )
    .bind(table)
    .fetch_all(connection)
    .await
    .context("find a left-over index")?;
    Ok(if names.is_empty() { LeftOver::Nothing } else { LeftOver::Invalid(names) })
}

/// Whether the two definitions are the same behind the name of the table; `$1` is the table, `$2` the index
/// that is there.
const SAME: &str = "\
    WITH known AS (SELECT i.indexrelid, i.indrelid, i.indisunique, c.relname, \
    pg_catalog.pg_get_indexdef(i.indexrelid) AS definition \
        FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indisvalid AND \
        i.indisready AND i.indislive), \
      asked AS (SELECT indisunique, pg_catalog.substr(definition, pg_catalog.strpos(definition, ' USING ')) \
      AS rest \
        FROM known WHERE indrelid = pg_catalog.to_regclass('pg_temp.sluice_asked')), \
      there AS (SELECT indisunique, definition, pg_catalog.format('CREATE %sINDEX %I ON %I.%I', CASE WHEN \
      indisunique THEN 'UNIQUE ' END, \
          known.relname, n.nspname, t.relname) AS head \
        FROM known JOIN pg_catalog.pg_class t ON t.oid = indrelid JOIN pg_catalog.pg_namespace n ON n.oid = \
        t.relnamespace \
        WHERE indrelid = $1::pg_catalog.oid AND known.relname = $2::pg_catalog.name) \
    SELECT pg_catalog.count(*) = 1 FROM asked JOIN there ON there.indisunique = asked.indisunique AND \
    there.definition = there.head || asked.rest";

/// Whether the valid index of this name is the one that the statement asks for. Another session may have
/// dropped what was begun and made another of the same name. PostgreSQL says what the statement means: it
/// makes the same index on an empty copy of the table, in a transaction that is rolled back. What cannot be
/// compared is not the same.
async fn is_what_is_asked(session: &mut Session, build: Build<'_>) -> Result<bool, SqlError> {
    let (asked, table) = (build.asked, session.resolve(&build.asked.table).await.map_err(unanswered)?);
    let (Some(table), Some(index)) = (table, &asked.index) else { return Ok(false) };
    let unique = if asked.unique { "UNIQUE " } else { "" };
    let copy = format!(
        "CREATE TEMPORARY TABLE sluice_asked (LIKE {}); CREATE {unique}INDEX sluice_asked_index ON \
            pg_temp.sluice_asked {}",
        asked.table, asked.definition
    );
    session.begin().await?;
    let same = match session.run(&copy, Some(build.until)).await {
        Ok(()) => {
            let ask = async |connection: &mut PgConnection| {
                let statement = query_scalar(SAME).bind(table).bind(index).fetch_one(connection);
                statement.await.context("compare an index with what a statement asks for")
            };
            session.interject(ask).await.map_err(unanswered)
        }
        Err(error) if error.kind == SqlErrorKind::Statement => {
            tracing::info!(%index, message = %error.message, "the index that is there cannot be compared \
                with the statement");
            Ok(false)
        }
        Err(error) => Err(error),
    };
    session.rollback().await;
    same
}

/// Whether a valid index of this name is there already, made by another session.
pub async fn is_there(session: &mut Session, build: Build<'_>) -> Result<bool, SqlError> {
    Ok(left_over(session, build).await.map_err(unanswered)? == LeftOver::Valid)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unanswered(error: QueryError) -> SqlError {
    SqlError::other(SqlErrorKind::of(&error.cause), error.to_string())
}
