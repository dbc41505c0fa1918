//! What people hear about: one Event when Ready's reason becomes a final one, and one when a run has ended sessions
//! of others. PURE.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{decision::Decision, facts::Facts, situation::Situation, transition::is_news};
use crate::api::{Class, DatabaseMigrationStatus};

/// An Event to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Announcement {
    /// A function of what happened, so that saying it twice is saying it once.
    pub name: String,
    /// Ready's reason, or [`SESSIONS_ENDED`].
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// It is a failure.
    pub warning: bool,
}

/// The reason of the Event about sessions that a run has ended.
pub const SESSIONS_ENDED: &str = "SessionsEnded";

/// The Event about the sessions that a run has ended which `spec.apply.blockers` names, once that run has.
pub fn on_ended_sessions(situation: &Situation, status: &DatabaseMigrationStatus) -> Option<Announcement> {
    let (facts, run) = (situation.facts, status.run.as_ref()?);
    let known = facts.published.run.as_ref();
    let is_new = known.is_none_or(|known| known.job != run.job || known.finished_at != run.finished_at);
    let current = situation.runs.current.as_ref().filter(|current| current.run.job == run.job && is_new)?;
    run.finished_at.as_ref()?;
    let ended: Vec<String> = current
        .outcomes()
        .flat_map(|outcome| &outcome.ended)
        .map(|one| {
            format!(
                "process {} (application {:?}, role {:?}, {} for {} s)",
                one.pid, one.application, one.user, one.state, one.age_seconds
            )
        })
        .collect();
    (!ended.is_empty()).then(|| Announcement {
        name: name(facts, &[SESSIONS_ENDED, &run.job]),
        reason: SESSIONS_ENDED,
        message: format!(
            "the run {:?} ended sessions that it waited for, as spec.apply.blockers says: {}",
            run.job,
            ended.join(", ")
        ),
        warning: true,
    })
}

/// A name that is a function of the object and of what happened.
fn name(facts: &Facts, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in std::iter::once(&facts.uid.as_str()).chain(parts) {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}.{digest}", facts.name)
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
    Some(Announcement {
        name: name(facts, &[reason.name(), run, &facts.generation.to_string()]),
        reason: reason.name(),
        message: message.clone(),
        warning: !reason.is_ready(),
    })
}
