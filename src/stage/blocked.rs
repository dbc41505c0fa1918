//! Sessions of others that are in the way: how Sluice waits for them, and what is said of them and of what
//! `spec.apply.blockers` let Sluice do.

use std::time::{Duration, Instant};

use super::error::{MigrateError, describe};
use crate::{
    migrations::Migration,
    postgres::{Terminations, Watcher},
};

/// Lets others go first: until the sessions that block have ended their transactions, and a little longer.
pub(super) async fn wait(
    watcher: &Watcher,
    migration: &Migration,
    until: Instant,
) -> Result<(), MigrateError> {
    let blockers = watcher.blockers();
    let who = if blockers.is_empty() {
        "another session".to_owned()
    } else {
        blockers.iter().map(describe).collect::<Vec<_>>().join(", ")
    };
    tracing::info!(migration = %migration.name, blockers = %who, "waiting for a lock");
    let clear = watcher.wait_until_clear(until).await.map_err(MigrateError::Query)?;
    if !clear || Instant::now() >= until {
        let message = format!(
            "{:?} needs a lock that is held by {who}: it is free when that transaction has ended; end it, if it \
                hangs{}",
            migration.name,
            told(&watcher.terminations().await)
        );
        return Err(MigrateError::Waiting { message, blockers });
    }
    tokio::time::sleep(Duration::from_millis(fastrand::u64(20..200))).await;
    Ok(())
}

/// The end of a message; empty where no session was to be ended.
pub(super) fn told(terminations: &Terminations) -> String {
    let mut text = String::new();
    if !terminations.ended.is_empty() {
        let names: Vec<String> = terminations.ended.iter().map(describe).collect();
        let more = terminations.count.saturating_sub(names.len());
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        text = format!(
            "; Sluice ended what was in the way, as spec.apply.blockers says: {}{more}",
            names.join(", ")
        );
    }
    if let Some(forbidden) = &terminations.forbidden {
        text += &format!(
            "; spec.apply.blockers lets Sluice end such a session, but the migration role may not see or end {}: \
                GRANT pg_signal_backend, pg_read_all_stats to the migration role, or end it by hand",
            describe(forbidden)
        );
    }
    text
}
