//! `spec.policyRef`: is the policy there? PURE.

use jiff::SignedDuration;

use super::{decision::Decision, facts::PolicyFact, situation::Situation};
use crate::api::Reason;

/// A user who applies a folder creates the DatabaseMigrations before the policies: their kinds are in this
/// order.
const APPLIED_TOGETHER: SignedDuration = SignedDuration::from_secs(10);

/// The MigrationPolicy that the manifest names exists. Without it Sluice cannot say what is in force, so
/// nothing starts; a run that has started ends. Its creation wakes this object.
pub fn is_there(situation: &Situation) -> Option<Decision> {
    let PolicyFact::Missing(name) = &situation.facts.policy else { return None };
    let message = format!(
        "the MigrationPolicy {name:?} of spec.policyRef does not exist in the namespace {:?}, so nothing \
            starts: create it, or take \
         spec.policyRef out of the manifest",
        situation.facts.namespace,
    );
    let since = situation.status.policy_missing_since.as_ref();
    let missed = since.map_or(SignedDuration::ZERO, |since| situation.now.duration_since(since.0));
    let left = APPLIED_TOGETHER - missed;
    // A moment before that means that the clock was set back: how long it is missing cannot be told then.
    if !missed.is_negative() && left.is_positive() {
        let seconds = u64::try_from(left.as_secs()).unwrap_or_default() + 1;
        return Some(Decision::reconciling(Reason::Pending, message).again_after(seconds));
    }
    Some(Decision::stalled(Reason::PolicyNotFound, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{
        fixture::{facts, moment},
        plan,
    };

    #[test]
    fn a_policy_that_is_missing_is_named_and_nothing_starts() {
        let mut facts = facts();
        facts.policy = PolicyFact::Missing("house".into());
        facts.migration = Err(Vec::new());
        let first = plan(&facts, moment(0));
        assert_eq!(
            (first.status.conditions[0].reason.as_str(), first.step, first.events),
            (Reason::Pending.name(), None, Vec::new())
        );
        assert!(
            !first.status.conditions.iter().any(|condition| condition.type_ == "Stalled"),
            "it may be applied in a moment"
        );
        facts.published = first.status;
        let again = first.requeue.expect("reconciles again").as_secs();
        let plan = plan(&facts, moment(i64::try_from(again).expect("seconds")));
        let ready = &plan.status.conditions[0];
        assert_eq!(
            (ready.status.as_str(), ready.reason.as_str(), plan.step),
            ("False", Reason::PolicyNotFound.name(), None)
        );
        assert!(
            ["\"house\"", "\"medical\"", "create it"].iter().all(|part| ready.message.contains(part)),
            "{}",
            ready.message
        );
        assert!(plan.status.conditions.iter().any(|condition| condition.type_ == "Stalled"));
    }

    #[test]
    fn a_policy_that_is_there_or_not_asked_for_says_nothing() {
        let mut facts = facts();
        let without = plan(&facts, moment(0));
        facts.policy = PolicyFact::Found("house".into());
        assert_eq!(plan(&facts, moment(0)), without);
    }

    #[test]
    fn what_is_wrong_with_a_merged_manifest_names_the_policy() {
        let mut facts = facts();
        facts.policy = PolicyFact::Found("house".into());
        facts.migration = Err(vec![crate::validate::Violation {
            field: "spec.apply.deadline".into(),
            problem: "is too short".into(),
        }]);
        let message = plan(&facts, moment(0)).status.conditions[0].message.clone();
        assert!(
            message.contains("spec.apply.deadline: is too short")
                && message.contains("MigrationPolicy \"house\""),
            "{message}"
        );
    }
}
