//! The section `before`, and `suspend`: may anything begin? PURE.

use super::{
    facts::{Dependency, DependencyState},
    situation::Situation,
    verdict::Verdict,
};
use crate::api::{ConditionType, Reason};

/// Dependencies and rivals wake this object when they change; this is for a change that was missed.
const LOOK_AGAIN_SECONDS: u64 = 60;

/// `spec.suspend`: nothing new starts.
pub fn is_not_suspended(situation: &Situation) -> Option<Verdict> {
    let suspended = situation.facts.migration.as_ref().is_ok_and(|migration| migration.suspend);
    let message = "spec.suspend is true: nothing new starts. Set it to false to go on";
    suspended.then(|| Verdict::idle(Reason::Suspended, message))
}

/// Everything in `before.dependsOn` is Ready.
pub fn dependencies_are_ready(situation: &Situation) -> Option<Verdict> {
    let waiting: Vec<String> = situation.facts.dependencies.iter().filter_map(waits).collect();
    let message = format!("waiting for {}", waiting.join("; "));
    let verdict = Verdict::reconciling(Reason::DependencyNotReady, message).decides(ConditionType::Cleared, false);
    (!waiting.is_empty()).then(|| verdict.again_after(LOOK_AGAIN_SECONDS))
}

fn waits(dependency: &Dependency) -> Option<String> {
    let name = &dependency.name;
    match &dependency.state {
        DependencyState::Ready => None,
        DependencyState::Missing => Some(format!("the DatabaseMigration {name:?}, which does not exist in this namespace: create it")),
        DependencyState::Circular => {
            Some(format!("the DatabaseMigration {name:?}, which waits for this one: take one of the two out of before.dependsOn"))
        }
        DependencyState::NotReady(reason) => Some(format!("the DatabaseMigration {name:?}, which is not Ready ({reason})")),
    }
}

/// Nobody else runs on the same database. Of two that are about to, the older goes first; the locks in the database decide
/// for those that did not see each other.
pub fn database_is_free(situation: &Situation) -> Option<Verdict> {
    let rival = situation.facts.rivals.iter().find(|rival| rival.running || rival.older)?;
    let message = format!("the DatabaseMigration {:?} is running on the same database; this one follows when it has ended", rival.name);
    Some(Verdict::reconciling(Reason::DatabaseBusy, message).decides(ConditionType::Cleared, false).again_after(LOOK_AGAIN_SECONDS))
}
