//! What the conditions of an object say about its runs: a projection of the record and of the decision. PURE.

use super::state::Runs;
use crate::{
    api::{ConditionType, Reason},
    plan::decision::{Activity, Decision},
};

/// One condition to be: its type, whether it holds, why, and that for people.
pub type Projected = (ConditionType, Option<bool>, Reason, String);

/// The condition of one section. It speaks of the run that the object asks for; where none has begun for that,
/// nothing is known about it.
pub fn section(runs: &Runs, decision: &Decision, kind: ConditionType) -> Projected {
    if let Some((_, holds)) = decision.section.filter(|(decided, _)| *decided == kind) {
        return (kind, Some(holds), decision.reason, decision.message.clone());
    }
    let known = runs.record.about(runs.known.desired.as_deref());
    if kind == ConditionType::Cleared && (known.is_some() || decision.begins.is_some()) {
        return (kind, Some(true), Reason::Cleared, "everything in spec.before holds".to_owned());
    }
    match known.and_then(|sections| sections.get(kind)) {
        Some(section) => (kind, section.holds, section.reason, section.message.clone()),
        None => (kind, None, Reason::Pending, "not reached yet".to_owned()),
    }
}

/// Ready, and the two that GitOps tools read beside it; these are absent where they do not hold.
pub fn summary(decision: &Decision) -> Vec<Projected> {
    let ready = decision.reason.is_ready() && decision.activity == Activity::Idle;
    let mut conditions = vec![(ConditionType::Ready, Some(ready), decision.reason, decision.message.clone())];
    let also = match decision.activity {
        Activity::Idle => return conditions,
        Activity::Reconciling => ConditionType::Reconciling,
        Activity::Stalled => ConditionType::Stalled,
    };
    conditions.push((also, Some(true), decision.reason, decision.message.clone()));
    conditions
}
