//! What a copy stands on: the table, the copy beside it, along which key rows go from one to the other, and
//! how the values of a row become those of the copy.

use sqlx::PgConnection;

use super::{
    Task,
    mark::{Mark, shadow_of},
    shadow,
};
use crate::{
    api::Reason,
    postgres::{
        BatchesDone, CopySource, QueryContext, Session, SqlError, SqlErrorKind, TableKey, copy_columns,
        policies, query_scalar,
    },
    stage::{
        backfill::rows_invisible,
        batch::refused,
        custody::{begin, exposed},
        error::MigrateError,
        step::{Stop, as_the_file},
    },
};

/// Both tables, and the path between them.
pub(super) struct Ground {
    pub(super) source: CopySource,
    /// The copy, as it is written in SQL.
    pub(super) shadow: String,
    /// Of the table.
    pub(super) key: TableKey,
    /// The same columns of the copy, of the types that they have there.
    pub(super) shadow_key: TableKey,
    /// The columns that get values.
    pub(super) columns: Vec<String>,
    /// What each gets, of a row of the table; it becomes the type of the column by assignment, as ALTER TABLE
    /// does it.
    pub(super) values: Vec<String>,
    /// The same as values of these types.
    pub(super) converted: Vec<String>,
    /// Of the columns of the key, the same.
    pub(super) key_values: Vec<String>,
    /// The last key when the attempt began; none where the table is empty.
    pub(super) bound: Option<Vec<String>>,
    /// The tables of the history on which others may create triggers.
    pub(super) exposed: Vec<String>,
    /// What the table was when the copy was made.
    pub(super) fingerprint: String,
}

type Found = Result<Result<(Ground, BatchesDone), Stop>, MigrateError>;

/// The copy that an earlier attempt at the same statement has begun, or a new one.
pub(super) async fn found_or_made(session: &mut Session, task: &Task<'_>) -> Found {
    let table = match table(session, task).await? {
        Ok(table) => table,
        Err(stop) => return Ok(Err(stop)),
    };
    let trusted = session.trusted().await.map_err(MigrateError::Query)?;
    let mark = Mark::read(trusted).await.map_err(MigrateError::Query)?;
    let begun = mark.filter(|mark| mark.statement == task.work.digest).zip(task.work.batches.clone());
    let (mark, done) = match begun {
        Some((mark, _)) if mark.sluice_copy_of != table => {
            return Ok(Err(task.refused(OTHER_TABLE.to_owned())));
        }
        Some(begun) => begun,
        None => match shadow::make(session, task, table).await? {
            Ok(mark) => (mark, BatchesDone::default()),
            Err(stop) => return Ok(Err(stop)),
        },
    };
    let exposed = exposed(session, task.work.release.history_table).await?;
    let trusted = session.trusted().await.map_err(MigrateError::Query)?;
    Ok(match of(trusted, task, table).await {
        Ok(ground) => Ok((Ground { exposed, fingerprint: mark.table, ..ground }, done)),
        Err(error) => Err(Stop::Sql(task.blamed(error))),
    })
}

pub(super) const OTHER_TABLE: &str = "another session renamed or replaced the table while Sluice copied \
it, so what was \
    copied is not of the table that the statement names: let the table keep its name until the migration \
    is done";

/// The table as the file means it. What the role that works does not see, it would not copy.
async fn table(session: &mut Session, task: &Task<'_>) -> Result<Result<i64, Stop>, MigrateError> {
    let (work, name) = (task.work, task.copy.altered.table.quoted());
    if let Err(error) = begin(session, work.release.history_table, None).await? {
        return Ok(Err(Stop::Sql(task.blamed(error))));
    }
    let resolved = async {
        as_the_file(session, task.settings).await?;
        let table = session.resolve(&name).await?;
        let none = || SqlError::other(SqlErrorKind::Statement, format!("there is no table {name}"));
        let table = table.ok_or_else(none)?;
        Ok::<_, SqlError>((table, session.role_without_all_rows(table).await?))
    };
    let resolved = resolved.await;
    session.rollback().await;
    let (table, hidden_from) = match resolved {
        Ok(resolved) => resolved,
        Err(error) => return Ok(Err(Stop::Sql(task.blamed(error)))),
    };
    session.trusted().await.map_err(MigrateError::Query)?;
    let own = session.role_without_all_rows(table).await.map_err(MigrateError::Query)?;
    let Some(role) = hidden_from.or(own) else { return Ok(Ok(table)) };
    let policies = policies(session.trusted().await.map_err(MigrateError::Query)?, table).await;
    let policies = policies.map_err(MigrateError::Query)?;
    let message = rows_invisible(&name, &role, &policies);
    Ok(Err(Stop::Refused(Box::new(refused(work, task.at, Reason::RowsInvisible, message)))))
}

/// Reads it all, when the copy is there and changed.
async fn of(connection: &mut PgConnection, task: &Task<'_>, table: i64) -> Result<Ground, SqlError> {
    let wrong = |problem: String| SqlError::other(SqlErrorKind::Statement, problem);
    let found = CopySource::find(&mut *connection, table).await?;
    let source = found.ok_or_else(|| wrong("the table was dropped just now".to_owned()))?;
    let shadow = shadow_of(&source);
    let find = "SELECT pg_catalog.to_regclass($1)::oid::int8";
    let shadow_id: Option<i64> = query_scalar(find)
        .bind(&shadow)
        .fetch_one(&mut *connection)
        .await
        .context("find the copy of a table")?;
    let gone = || {
        wrong(format!("another session dropped {shadow}, the copy that Sluice fills; Sluice begins again"))
    };
    let shadow_id = shadow_id.ok_or_else(gone)?;
    let columns = &task.copy.batches.key;
    let key = TableKey::find(&mut *connection, table, columns).await?.map_err(wrong)?;
    let shadow_key = TableKey::find(&mut *connection, shadow_id, columns).await?.map_err(wrong)?;
    let bound = key.last(&mut *connection).await?;
    let (mut names, mut values, mut converted) = (Vec::new(), Vec::new(), Vec::new());
    let mut key_values = vec![String::new(); columns.len()];
    for column in copy_columns(connection, shadow_id).await?.into_iter().filter(|column| !column.is_generated)
    {
        let altered = task.copy.altered.columns.iter().find(|altered| altered.name == column.stored);
        let value = altered.and_then(|altered| altered.using(task.sql()));
        let value = value.map_or_else(|| column.name.clone(), |using| format!("({using}\n)"));
        let as_type = match altered {
            Some(_) => format!("CAST({value} AS {})", column.type_name),
            None => value.clone(),
        };
        if let Some(at) = columns.iter().position(|key| *key == column.stored) {
            key_values[at].clone_from(&as_type);
        }
        names.push(column.name);
        values.push(value);
        converted.push(as_type);
    }
    let (exposed, fingerprint) = (Vec::new(), String::new());
    Ok(Ground {
        source,
        shadow,
        key,
        shadow_key,
        columns: names,
        values,
        converted,
        key_values,
        bound,
        exposed,
        fingerprint,
    })
}
