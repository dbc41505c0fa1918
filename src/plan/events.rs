//! What people hear about: one Event when Ready's reason becomes a final one. PURE.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{decision::Decision, facts::Facts, transition::is_news};
use crate::api::{Class, DatabaseMigrationStatus, Reason};

/// An Event to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Announcement {
    /// A function of what happened, so that saying it twice is saying it once.
    pub name: String,
    /// Ready's reason.
    pub reason: Reason,
    /// Ready's message.
    pub message: String,
    /// It is a failure.
    pub warning: bool,
}

/// The Event that goes with a new status, which says what was decided.
pub fn on_transition(
    facts: &Facts,
    status: &DatabaseMigrationStatus,
    Decision { reason, message, .. }: &Decision,
) -> Option<Announcement> {
    let reason = *reason;
    // What is only waited for, a source or a Secret, is in the status; an Event says how something ended.
    let ended = status
        .run
        .as_ref()
        .is_some_and(|run| run.finished_at.is_some() && run.reason.as_deref() == Some(reason.name()));
    let final_one = match reason.class() {
        Class::Success => reason.is_ready(),
        Class::NeedsUser => true,
        Class::Transient => ended,
        Class::Progress => false,
    };
    if !final_one || !is_news(facts, reason) {
        return None;
    }
    let run = status.run.as_ref().map_or("", |run| run.job.as_str());
    let mut hash = Sha256::new();
    for part in [facts.uid.as_str(), reason.name(), run, &facts.generation.to_string()] {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Some(Announcement {
        name: format!("{}.{digest}", facts.name),
        reason,
        message: message.clone(),
        warning: !reason.is_ready(),
    })
}
