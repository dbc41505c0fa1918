//! A copy that does not come to its swap leaves nothing: its schema is dropped, and with it the trigger that
//! noted what others wrote. After the swap there is nothing to undo.

use std::time::Instant;

use super::{SCHEMA, mark::Mark};
use crate::migrations::{Step, steps};
use crate::{
    api::Reason,
    postgres::{Session, SqlError, SqlErrorKind, Watcher},
    stage::{
        attempt::Release,
        blocked,
        custody::begin,
        error::MigrateError,
        held, resume,
        step::{Stop, Work},
    },
};

/// Whether no attempt goes on behind what ended this one.
pub(super) fn is_due(stop: &Stop) -> bool {
    match stop {
        Stop::Sql(error) => {
            matches!(error.kind, SqlErrorKind::Statement | SqlErrorKind::Held | SqlErrorKind::Lock)
        }
        // Its time was over, or its process was told to end.
        Stop::Refused(outcome) => !matches!(outcome.reason, Reason::DeadlineExceeded | Reason::RunLost),
        Stop::Halfway(_) => false,
    }
}

/// Undoes the copy of this step, and the journal forgets its batches.
pub(super) async fn run(
    session: &mut Session,
    watcher: &Watcher,
    work: &Work<'_>,
) -> Result<Result<(), SqlError>, MigrateError> {
    let until = (Instant::now() + work.release.patience).min(work.until());
    let abandon = async |session: &mut Session| {
        let connection = session.trusted().await?;
        Ok(work.journal.abandon(connection, work.number()).await?)
    };
    dropped(session, watcher, work.release, work.at, until, abandon).await
}

/// Undoes a copy that no pending migration goes on with: its file says something else by now, or is gone.
pub(in crate::stage) async fn sweep(
    session: &mut Session,
    watcher: &Watcher,
    release: &Release<'_>,
) -> Result<(), MigrateError> {
    let connection = session.trusted().await.map_err(MigrateError::Query)?;
    let Some(mark) = Mark::read(connection).await.map_err(MigrateError::Query)? else { return Ok(()) };
    let goes_on = release.scripts.iter().any(|script| {
        let steps = steps(script);
        let digests = resume::digests(script, &steps);
        let mut both = steps.iter().zip(digests);
        both.any(|(step, digest)| matches!(step, Step::Copy(_)) && digest == mark.statement)
    });
    if goes_on {
        return Ok(());
    }
    let until = (Instant::now() + release.patience).min(release.context.until);
    let dropped = dropped(session, watcher, release, 0, until, async |_| Ok(())).await?;
    dropped.map_err(|error| MigrateError::Stopped {
        reason: Reason::StageFailed,
        message: format!("what an earlier attempt made for a copy could not be dropped: {}", error.message),
    })
}

/// Drops the schema, as soon as no session keeps it from the table.
async fn dropped(
    session: &mut Session,
    watcher: &Watcher,
    release: &Release<'_>,
    at: usize,
    until: Instant,
    more: impl AsyncFn(&mut Session) -> Result<(), SqlError>,
) -> Result<Result<(), SqlError>, MigrateError> {
    loop {
        let begun = begin(session, release.history_table, None).await?;
        watcher.begin().await;
        let ran = async {
            begun?;
            if Mark::read(session.trusted().await?).await?.is_some() {
                session.run(&format!("DROP SCHEMA {SCHEMA} CASCADE"), Some(release.context.until)).await?;
            }
            more(&mut *session).await?;
            held::seal(watcher).await?;
            session.commit().await
        };
        let Err(error) = ran.await else { return Ok(Ok(())) };
        let error = held::cause(session, watcher, error).await;
        session.rollback().await;
        if error.kind != SqlErrorKind::Lock {
            return Ok(Err(error));
        }
        blocked::wait(watcher, release.migration(at), until).await?;
    }
}
