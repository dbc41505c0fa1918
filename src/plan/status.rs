//! The whole status, from the record and the decision. PURE.
//!
//! A condition's transition time moves only with its status, so a status that says nothing new equals the
//! published one.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{
    facts::{Facts, Trouble},
    situation::Situation,
    verdict::{Activity, Verdict},
};
use crate::api::{ConditionType, DatabaseMigrationStatus, Reason, condition};

/// The status that follows from a decision.
pub fn compose(situation: &Situation, verdict: &Verdict) -> DatabaseMigrationStatus {
    let mut record = situation.record.clone();
    // The conditions speak of the run that the facts ask for; where that is another one, nothing is known
    // about it.
    record.speak_of(situation.wanted.as_deref().unwrap_or_default());
    if let Some(run) = &verdict.begins {
        record.sections.clear();
        record.status.run = Some(run.clone());
    }
    if let Some((kind, holds)) = verdict.section {
        record.sections.set(kind, Some(holds), verdict.reason, verdict.message.clone());
    }
    let mut conditions = summary(verdict);
    conditions.extend(
        record
            .sections
            .iter()
            .map(|(kind, section)| (kind, section.holds, section.reason, section.message.clone())),
    );
    let mut status = record.status;
    status.conditions = conditions
        .into_iter()
        .map(|(kind, holds, reason, message)| {
            dated(
                situation.facts,
                condition(kind, holds, reason, message, situation.facts.generation, situation.now),
            )
        })
        .collect();
    status
}

/// Ready, and the two that GitOps tools read beside it; these are absent where they do not hold.
fn summary(verdict: &Verdict) -> Vec<(ConditionType, Option<bool>, Reason, String)> {
    let ready = verdict.reason.is_ready() && verdict.activity == Activity::Idle;
    let mut conditions = vec![(ConditionType::Ready, Some(ready), verdict.reason, verdict.message.clone())];
    let also = match verdict.activity {
        Activity::Idle => return conditions,
        Activity::Reconciling => ConditionType::Reconciling,
        Activity::Stalled => ConditionType::Stalled,
    };
    conditions.push((also, Some(true), verdict.reason, verdict.message.clone()));
    conditions
}

/// With the transition time of the published condition, if that has the same status.
fn dated(facts: &Facts, mut condition: Condition) -> Condition {
    let same =
        |published: &&Condition| published.type_ == condition.type_ && published.status == condition.status;
    match facts.published.conditions.iter().find(same) {
        Some(published) => condition.last_transition_time = published.last_transition_time.clone(),
        // Kubernetes writes whole seconds.
        None => condition.last_transition_time.0 = whole_seconds(condition.last_transition_time.0),
    }
    condition
}

fn whole_seconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

/// The same status, but for a step that the API server refused: Ready says so.
pub fn troubled(
    situation: &Situation,
    mut status: DatabaseMigrationStatus,
    trouble: &Trouble,
) -> DatabaseMigrationStatus {
    let verdict = Verdict::reconciling(Reason::StageFailed, trouble.message.clone());
    let summary = summary(&verdict);
    status.conditions.retain(|condition| {
        ![ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled]
            .iter()
            .any(|kind| kind.name() == condition.type_)
    });
    let facts = situation.facts;
    let summary = summary.into_iter().map(|(kind, holds, reason, message)| {
        dated(facts, condition(kind, holds, reason, message, facts.generation, situation.now))
    });
    status.conditions.splice(0..0, summary);
    status
}
