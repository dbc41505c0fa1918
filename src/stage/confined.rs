//! What runs in a scratch database stays in it: what would change the server is left out, refused, or rolled
//! back.

use std::time::Instant;

use super::ground::LOCK_TIMEOUT;
use crate::{
    migrations::{Script, Statement},
    postgres::{QueryError, Session, SharedWrites, SqlError, bodies, counts_writes},
    sql::{Change, Reach},
};

/// Takes out of a file what is about the server and nothing else, and gives it back. An error is a change
/// that cannot be left out.
pub(super) fn confine(script: &mut Script) -> Result<Vec<Statement>, Change> {
    for statement in &script.statements {
        if let Reach::Hidden(change) = statement.reach {
            return Err(change);
        }
    }
    let beyond = |statement: &mut Statement| statement.reach == Reach::Beyond;
    Ok(script.statements.extract_if(.., beyond).collect())
}

/// Why what was begun did not come to its end.
pub(super) enum Stop {
    Sql(SqlError),
    /// It would have changed the server: this catalog, or by these words.
    Server(String),
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

impl From<QueryError> for Stop {
    fn from(error: QueryError) -> Self {
        Self::Sql(error.into())
    }
}

/// Commits what stays in the scratch database, and nothing else.
pub(super) async fn commit_inside(session: &mut Session, before: &SharedWrites) -> Result<(), Stop> {
    session.check_deferred(Instant::now() + LOCK_TIMEOUT.duration()).await?;
    let connection = session.trusted().await?;
    let written = SharedWrites::so_far(connection).await?;
    let counted = counts_writes(connection).await?;
    let beyond =
        if counted { written.since(before) } else { Some("track_counts is off, so it cannot be seen") };
    if let Some(what) = beyond {
        let what = what.to_owned();
        session.rollback().await;
        return Err(Stop::Server(what));
    }
    Ok(session.commit().await?)
}

/// Outside a transaction nothing can be taken back: what may call a routine runs only where neither it nor a
/// routine speaks of the server.
pub(super) async fn calls_nothing_beyond(session: &mut Session, text: &str) -> Result<(), Stop> {
    let bodies = bodies(session.trusted().await?).await?;
    let found = bodies.iter().map(String::as_str).chain([text]).find_map(|body| match Reach::of_body(body) {
        Reach::Hidden(change) => Some(change.words()),
        Reach::Inside | Reach::Beyond => None,
    });
    found.map_or(Ok(()), |words| {
        Err(Stop::Server(format!(
            "{words:?} stands in it or in a routine that it may call outside a transaction"
        )))
    })
}
