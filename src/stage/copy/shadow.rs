//! The copy while it is empty: everything about the table that it can have before it has rows, then the
//! statement itself, so that PostgreSQL says what becomes of types, defaults and indexes; then the trigger
//! that notes what others write.

use sqlx::PgConnection;

use super::{
    NOTED, SCHEMA, Task, compare,
    mark::{Mark, fingerprint, shadow_of},
};
use crate::{
    postgres::{
        BatchesDone, CopySource, QueryContext, QueryError, Session, SqlError, SqlErrorKind, TableKey,
        built_parts, copy_columns, grantees, noting_keys, owned_sequences, query_scalar,
    },
    stage::{
        custody::begin,
        error::MigrateError,
        held,
        step::{Stop, as_the_file},
    },
};

/// Makes it; an error leaves what undo takes away.
pub(super) async fn make(
    session: &mut Session,
    task: &Task<'_>,
    table: i64,
) -> Result<Result<Mark, Stop>, MigrateError> {
    let surveyed = survey(session, task, table).await;
    let source = match surveyed {
        Ok(source) => source,
        Err(error) => return Ok(Err(Stop::Sql(task.blamed(error)))),
    };
    let mark = match transaction(session, task, async |session| empty(session, task, &source).await).await? {
        Ok(mark) => mark,
        Err(error) => return Ok(Err(Stop::Sql(error))),
    };
    if let Err(error) = compare::with_table(session, task, &source).await {
        return Ok(Err(Stop::Sql(task.blamed(error))));
    }
    let noting = transaction(session, task, async |session| noted(session, task, &source).await).await?;
    Ok(noting.map(|()| mark).map_err(Stop::Sql))
}

/// A transaction of these statements, committed as any that locks tables.
pub(super) async fn transaction<T>(
    session: &mut Session,
    task: &Task<'_>,
    work: impl AsyncFnOnce(&mut Session) -> Result<T, SqlError>,
) -> Result<Result<T, SqlError>, MigrateError> {
    if let Err(error) = begin(session, task.work.release.history_table, None).await? {
        return Ok(Err(task.blamed(error)));
    }
    task.watcher.begin().await;
    let ran = async {
        let made = work(&mut *session).await?;
        held::seal(task.watcher).await?;
        session.commit().await?;
        Ok::<_, SqlError>(made)
    };
    match ran.await {
        Ok(made) => Ok(Ok(made)),
        Err(error) => {
            let error = held::cause(session, task.watcher, error).await;
            let kind = if session.rollback().await { error.kind } else { SqlErrorKind::Escaped };
            Ok(Err(task.blamed(SqlError { kind, ..error })))
        }
    }
}

/// What can be known before anything is made.
async fn survey(session: &mut Session, task: &Task<'_>, table: i64) -> Result<CopySource, SqlError> {
    let wrong = |problem: String| SqlError::other(SqlErrorKind::Statement, problem);
    let connection = session.trusted().await?;
    let found = CopySource::find(&mut *connection, table).await?;
    let source = found.ok_or_else(|| wrong("the table was dropped just now".to_owned()))?;
    let altered: Vec<String> = task.copy.altered.columns.iter().map(|column| column.name.clone()).collect();
    let uncopied = source.uncopied(&mut *connection, &altered).await?;
    if !uncopied.is_empty() {
        return Err(wrong(format!(
            "{} cannot be copied: {}; take away in a migration before what a copy would not have, or \
                remove the \
                directive, so that PostgreSQL rewrites the table under its lock",
            source.qualified(),
            uncopied.join("; ")
        )));
    }
    TableKey::find(connection, table, &task.copy.batches.key).await?.map_err(wrong)?;
    is_free(session).await?;
    Ok(source)
}

/// The schema is not there, or it is what Sluice left.
async fn is_free(session: &mut Session) -> Result<(), SqlError> {
    let connection = session.trusted().await?;
    let mark = Mark::read(&mut *connection).await?;
    let text = "SELECT pg_catalog.to_regnamespace($1) IS NOT NULL";
    let there: bool = query_scalar(text).bind(SCHEMA).fetch_one(connection).await.context("find a schema")?;
    if mark.is_none() && there {
        return Err(SqlError::other(
            SqlErrorKind::Statement,
            format!(
                "the schema {SCHEMA} is there and is not what Sluice makes for a copy: rename it, or drop \
                    it where \
                    it is of no use"
            ),
        ));
    }
    Ok(())
}

/// The copy as the table is, without rows.
async fn empty(session: &mut Session, task: &Task<'_>, source: &CopySource) -> Result<Mark, SqlError> {
    let (table, shadow) = (source.qualified(), shadow_of(source));
    let connection = session.trusted().await?;
    let (state, _) = fingerprint(&mut *connection, source).await?;
    let built = built_parts(&mut *connection, source.id, &shadow).await?;
    let sequences = owned_sequences(connection, source.id).await?;
    let mark = Mark { sluice_copy_of: source.id, statement: task.work.digest.to_owned(), table: state };
    let comment = serde_json::to_string(&mark).unwrap_or_default().replace('\'', "''");
    let make = format!(
        "DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}; COMMENT ON SCHEMA {SCHEMA} IS \
            '{comment}'; \
         CREATE TABLE {shadow} (LIKE {table} INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS)"
    );
    session.run(&make, Some(task.until())).await?;
    let connection = session.trusted().await?;
    let mut more = revoked(&mut *connection, "TABLE", &shadow).await?;
    let text = "SELECT pg_catalog.to_regclass($1)::oid::int8";
    let id: i64 = query_scalar(text)
        .bind(&shadow)
        .fetch_one(&mut *connection)
        .await
        .context("find the copy of a table")?;
    for own in owned_sequences(&mut *connection, id).await? {
        let sequence = format!("{SCHEMA}.{}", own.name);
        more.extend(revoked(&mut *connection, "SEQUENCE", &sequence).await?);
        let Some(of) = sequences.iter().find(|of| of.is_identity && of.column == own.column) else {
            continue;
        };
        if of.type_name != own.type_name {
            more.push(format!("ALTER SEQUENCE {sequence} AS {}", of.type_name));
        }
        if of.name != own.name {
            more.push(format!("ALTER SEQUENCE {sequence} RENAME TO {}", of.name));
        }
    }
    more.extend(built);
    if !source.is_own {
        more.push(format!("GRANT USAGE, CREATE ON SCHEMA {SCHEMA} TO {}", source.owner));
        more.push(format!("ALTER TABLE {shadow} OWNER TO {}", source.owner));
    }
    if !more.is_empty() {
        session.run(&more.join("; "), Some(task.until())).await?;
    }
    Ok(mark)
}

/// The statements that take away what default privileges gave to others.
async fn revoked(connection: &mut PgConnection, kind: &str, called: &str) -> Result<Vec<String>, QueryError> {
    let given = grantees(connection, called).await?;
    Ok(given.iter().map(|grantee| format!("REVOKE ALL ON {kind} {called} FROM {grantee}")).collect())
}

/// The statement, and from its COMMIT on each key that others write.
async fn noted(session: &mut Session, task: &Task<'_>, source: &CopySource) -> Result<(), SqlError> {
    let (table, shadow) = (source.qualified(), shadow_of(source));
    as_the_file(session, task.settings).await?;
    session.run(&task.copy.altered.of(task.sql(), &shadow), Some(task.until())).await?;
    session.end_file(false, "", task.until()).await?;
    let connection = session.trusted().await?;
    let columns = copy_columns(connection, source.id).await?;
    let of_key = task.copy.batches.key.iter().filter_map(|key| {
        columns.iter().find(|column| column.stored == *key).map(|column| column.name.clone())
    });
    let key: Vec<String> = of_key.collect();
    session.run(&noting_keys(SCHEMA, NOTED, &table, &key), Some(task.until())).await?;
    // Who could take a note away would take a write away with it.
    let given = revoked(session.trusted().await?, "TABLE", NOTED).await?;
    if !given.is_empty() {
        session.run(&given.join("; "), Some(task.until())).await?;
    }
    let connection = session.trusted().await?;
    let begun = BatchesDone::default();
    Ok(task.work.journal.advance(connection, task.work.number(), task.work.digest, &begun).await?)
}
