//! Nothing is written to the history while another role's code would run: before the first word of a release,
//! and in every transaction that writes.
//!
//! Where others may create triggers on the history, an inspection is worth nothing once it is over. So such a
//! transaction locks the tables before it inspects them: CREATE TRIGGER waits for its end, writers do not.

use super::error::MigrateError;
use crate::{
    api::Reason,
    postgres::{HistoryTable, QueryError, Session, SqlError, custody_objection, exposed_tables},
    sql::Isolation,
};

/// The history is what it seems, as the plan found it: nothing is written to it before.
pub(super) async fn trust(session: &mut Session, history_table: &HistoryTable) -> Result<(), MigrateError> {
    let connection = session.trusted().await.map_err(MigrateError::Query)?;
    match custody_objection(connection, &history_table.contract).await.map_err(MigrateError::Query)? {
        Some(objection) => {
            Err(MigrateError::Stopped { reason: objection.reason, message: objection.message })
        }
        None => Ok(()),
    }
}

/// Begins a transaction that writes to the history. Which tables are exposed is read each time: Sluice makes
/// some of them meanwhile, and default privileges may give TRIGGER on those.
pub(super) async fn begin(
    session: &mut Session,
    history_table: &HistoryTable,
    isolation: Option<Isolation>,
) -> Result<Result<(), SqlError>, MigrateError> {
    let exposed = exposed(session, history_table).await?;
    begin_upon(session, history_table, isolation, &exposed).await
}

/// The tables of the history on which others may create triggers.
pub(super) async fn exposed(
    session: &mut Session,
    history_table: &HistoryTable,
) -> Result<Vec<String>, MigrateError> {
    let connection = session.trusted().await.map_err(MigrateError::Query)?;
    exposed_tables(connection, &history_table.contract).await.map_err(MigrateError::Query)
}

/// Begins one where it is known which tables are exposed, and Sluice has made none since.
pub(super) async fn begin_upon(
    session: &mut Session,
    history_table: &HistoryTable,
    isolation: Option<Isolation>,
    exposed: &[String],
) -> Result<Result<(), SqlError>, MigrateError> {
    if let Err(error) = session.begin_at(isolation, exposed).await {
        return Ok(Err(error));
    }
    if !exposed.is_empty() {
        trust(session, history_table).await?;
    }
    Ok(Ok(()))
}

/// A transaction of Sluice's own.
pub(super) async fn in_transaction<T>(
    session: &mut Session,
    history_table: &HistoryTable,
    work: impl AsyncFnOnce(&mut Session) -> Result<T, QueryError>,
) -> Result<T, MigrateError> {
    let broken = |error: SqlError| MigrateError::Stopped {
        reason: Reason::ConnectionFailed,
        message: format!("cannot write the history: {}", error.message),
    };
    begin(session, history_table, None).await?.map_err(broken)?;
    let done = work(session).await.map_err(MigrateError::Query)?;
    session.commit().await.map_err(broken)?;
    Ok(done)
}
