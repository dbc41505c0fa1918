//! What is said of sessions of others that were in the way, and of what `spec.apply.blockers` let Sluice do.

use super::error::describe;
use crate::postgres::Terminations;

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
