//! The whole status, from the record and the decision. PURE.
//!
//! The conditions are a projection: of what the record says about the run that the facts ask for, and of the
//! decision. A status that says nothing new equals the published one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{
    situation::Situation,
    transition::dated,
    verdict::{Activity, Verdict},
};
use crate::api::{ConditionType, DatabaseMigrationStatus, Reason, condition};

/// The conditions of the sections, in the manifest's order.
const SECTIONS: [ConditionType; 5] = [
    ConditionType::Planned,
    ConditionType::Cleared,
    ConditionType::SnapshotReady,
    ConditionType::Applied,
    ConditionType::Verified,
];

/// One condition to be: its type, whether it holds, why, and that for people.
type Projected = (ConditionType, Option<bool>, Reason, String);

/// The status that follows from a decision.
pub fn compose(situation: &Situation, verdict: &Verdict) -> DatabaseMigrationStatus {
    let mut status = situation.record.status.clone();
    status.gates.clone_from(&verdict.gates);
    if let Some(run) = &verdict.begins {
        status.run = Some(run.clone());
    }
    let sections = SECTIONS.into_iter().map(|kind| section(situation, verdict, kind));
    status.conditions = summary(verdict)
        .into_iter()
        .chain(sections)
        .map(|projected| dated_now(situation, projected))
        .collect();
    status
}

/// The condition of one section. It speaks of the run that the facts ask for; where none has begun for that,
/// nothing is known about it.
fn section(situation: &Situation, verdict: &Verdict, kind: ConditionType) -> Projected {
    if let Some((_, holds)) = verdict.section.filter(|(decided, _)| *decided == kind) {
        return (kind, Some(holds), verdict.reason, verdict.message.clone());
    }
    let known = situation.record.about(situation.wanted.as_deref());
    if kind == ConditionType::Cleared && (known.is_some() || verdict.begins.is_some()) {
        return (kind, Some(true), Reason::Cleared, "everything in spec.before holds".to_owned());
    }
    match known.and_then(|sections| sections.get(kind)) {
        Some(section) => (kind, section.holds, section.reason, section.message.clone()),
        None => (kind, None, Reason::Pending, "not reached yet".to_owned()),
    }
}

/// Ready, and the two that GitOps tools read beside it; these are absent where they do not hold.
fn summary(verdict: &Verdict) -> Vec<Projected> {
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

fn dated_now(situation: &Situation, (kind, holds, reason, message): Projected) -> Condition {
    let facts = situation.facts;
    dated(facts, condition(kind, holds, reason, message, facts.generation, situation.now))
}

/// The same status, but for a step that the API server refused: Ready says so.
pub fn refused(
    situation: &Situation,
    mut status: DatabaseMigrationStatus,
    verdict: &Verdict,
) -> DatabaseMigrationStatus {
    status.conditions.retain(|condition| SECTIONS.iter().any(|kind| kind.name() == condition.type_));
    let summary = summary(verdict).into_iter().map(|projected| dated_now(situation, projected));
    status.conditions.splice(0..0, summary);
    status
}
