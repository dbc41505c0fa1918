//! Statements of one file, in the transaction that is open.

use std::ops::Range;

use super::Context;
use crate::{
    migrations::Script,
    postgres::{Session, SqlError},
};

/// Runs the very text of the file, so that PostgreSQL's positions are those of the file; an error counts the
/// file's statements, too. Where the file commits, what is deferred is checked, as COMMIT would. `defers`
/// says that such constraints may exist.
pub(super) async fn run(
    session: &mut Session,
    script: &Script,
    range: Range<usize>,
    defers: bool,
    context: &Context,
) -> Result<(), SqlError> {
    let until = context.until;
    let parts: Vec<Range<usize>> = if defers { script.parts(range).collect() } else { vec![range] };
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            session.go_on(until).await.map_err(|error| SqlError {
                completed: part.start,
                offset: None,
                ..error
            })?;
        }
        let (start, text) = script.text(part.clone());
        let one = (part.len() == 1).then_some((part.start, script.statements.len()));
        context.progress.statement(one);
        session.run(&text, Some(until)).await.map_err(|error| SqlError {
            completed: part.start + error.completed,
            offset: error.offset.map(|offset| start + offset),
            ..error
        })?;
        if number + 1 < parts.len() {
            session
                .check_deferred(until)
                .await
                .map_err(|error| SqlError { completed: part.end - 1, ..error })?;
        }
    }
    Ok(())
}
