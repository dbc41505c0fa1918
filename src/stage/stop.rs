//! A process that is told to end takes what it does in the database with it: a backfill ends after its batch,
//! anything else is cancelled on the server. What was committed stays.

use std::{pin::Pin, sync::atomic::Ordering, time::Instant};

use super::Context;
use crate::{
    contract::Stage,
    limits::{STOP_BATCH, STOP_SESSIONS},
    postgres::{connect, end_own_sessions},
};

/// Ends this work of a stage, and returns when the server has no session of it any more, or when the kubelet
/// would not wait any longer.
pub async fn stop<T>(context: &Context, mut work: Pin<Box<impl Future<Output = T>>>) {
    context.stopping.store(true, Ordering::Relaxed);
    let progress = context.progress.now();
    if progress.as_ref().is_some_and(|progress| progress.rows.is_some()) {
        let _ = tokio::time::timeout(STOP_BATCH, &mut work).await;
    }
    drop(work);
    // No other stage changes anything, and the server ends their sessions within a second.
    if progress.is_some_and(|progress| progress.stage == Stage::Migrate)
        && tokio::time::timeout(STOP_SESSIONS, end_sessions(context)).await.is_err()
    {
        tracing::warn!("the server did not answer; it ends the sessions of this run within a second or two");
    }
}

async fn end_sessions(context: &Context) {
    // By hand two runs may have the same name.
    let (application, Ok(url)) = (context.application(), context.url()) else { return };
    if context.attempt.is_empty() {
        return;
    }
    let mut connection = match connect(url, &format!("{application} end")).await {
        Ok(connection) => connection,
        Err(error) => return tracing::warn!(%error, "cannot end the sessions of this run; the server does"),
    };
    match end_own_sessions(&mut connection, &application, Instant::now() + STOP_SESSIONS).await {
        Ok(true) => tracing::info!("the server has no session of this run any more"),
        Ok(false) => tracing::warn!("the server still has a session of this run"),
        Err(error) => tracing::warn!(%error, "cannot end the sessions of this run; the server does"),
    }
}
