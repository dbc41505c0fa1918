//! The whole status, from the record and the decision. PURE.
//!
//! The conditions are a projection: of what the record says about the run that the facts ask for, and of the
//! decision. A status that says nothing new equals the published one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{
    decision::Decision,
    run::conditions::{Projected, section, summary},
    situation::Situation,
    transition::dated,
};
use crate::{
    api::{ConditionType, DatabaseMigrationStatus, condition},
    contract::Stage,
};

/// The conditions of the sections, in the manifest's order. That of the rehearsal is there where one is asked for.
const SECTIONS: [ConditionType; 6] = [
    ConditionType::Planned,
    ConditionType::Cleared,
    ConditionType::SnapshotReady,
    ConditionType::Rehearsed,
    ConditionType::Applied,
    ConditionType::Verified,
];

/// The status that follows from a decision.
pub fn compose(situation: &Situation, decision: &Decision) -> DatabaseMigrationStatus {
    let mut status = situation.status.clone();
    status.gates.clone_from(&decision.gates);
    if let Some(run) = &decision.begins {
        status.run = Some(run.clone());
    }
    let rehearses = situation.facts.route.stages().any(|stage| stage == Stage::Rehearse);
    let shown = SECTIONS.into_iter().filter(|kind| *kind != ConditionType::Rehearsed || rehearses);
    let sections = shown.map(|kind| section(&situation.runs, decision, kind));
    status.conditions = summary(decision)
        .into_iter()
        .chain(sections)
        .map(|projected| dated_now(situation, projected))
        .collect();
    status
}

fn dated_now(situation: &Situation, (kind, holds, reason, message): Projected) -> Condition {
    let facts = situation.facts;
    dated(facts, condition(kind, holds, reason, message, facts.generation, situation.now))
}

/// The same status, but for a step that the API server refused: Ready says so.
pub fn refused(
    situation: &Situation,
    mut status: DatabaseMigrationStatus,
    decision: &Decision,
) -> DatabaseMigrationStatus {
    status.conditions.retain(|condition| SECTIONS.iter().any(|kind| kind.name() == condition.type_));
    let summary = summary(decision).into_iter().map(|projected| dated_now(situation, projected));
    status.conditions.splice(0..0, summary);
    status
}
