//! Statements of one file, in the transaction that is open.

use std::ops::Range;

use super::{attempt::Release, held};
use crate::{
    migrations::{Migration, Script},
    postgres::{Session, SqlError, Watcher},
};

/// Runs the very text of the file, so that PostgreSQL's positions are those of the file; an error counts the
/// file's statements, too. Where the file commits, what is deferred is checked, as COMMIT would.
///
/// Several statements are one message. Where it is limited for how long a lock is held each is one of its own:
/// which of them took a lock is not known otherwise.
pub(super) async fn run(
    session: &mut Session,
    watcher: &Watcher,
    release: &Release<'_>,
    (migration, script): (&Migration, &Script),
    range: Range<usize>,
) -> Result<(), SqlError> {
    let until = release.context.until;
    let parts: Vec<Range<usize>> = if release.defers { script.parts(range).collect() } else { vec![range] };
    let limited = watcher.limit().is_some();
    for (number, part) in parts.iter().enumerate() {
        let messages = if limited { part.clone().map(|at| at..at + 1).collect() } else { vec![part.clone()] };
        for message in messages {
            let first = number == 0 && message.start == part.start;
            send(session, release, script, message.clone(), first).await?;
            if limited {
                let taken = session.strong_locks(until).await;
                let at = message.start;
                let taken = taken.map_err(|error| SqlError { completed: at, offset: None, ..error })?;
                watcher.took(&taken, &held::place(migration, &script.statements[at])).await;
            }
        }
        if number + 1 < parts.len() {
            session
                .check_deferred(until)
                .await
                .map_err(|error| SqlError { completed: part.end - 1, ..error })?;
        }
    }
    Ok(())
}

/// Some of them in one message.
async fn send(
    session: &mut Session,
    release: &Release<'_>,
    script: &Script,
    message: Range<usize>,
    first: bool,
) -> Result<(), SqlError> {
    let until = release.context.until;
    if !first {
        session.go_on(until).await.map_err(|error| SqlError {
            completed: message.start,
            offset: None,
            ..error
        })?;
    }
    let (start, text) = script.text(message.clone());
    let one = (message.len() == 1).then_some((message.start, script.statements.len()));
    release.context.progress.statement(one);
    session.run(&text, Some(until)).await.map_err(|error| SqlError {
        completed: message.start + error.completed,
        offset: error.offset.map(|offset| start + offset),
        ..error
    })
}
