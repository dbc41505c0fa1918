//! The section `migrations`: is the source there? PURE.

use super::{decision::Decision, facts::SourceFact, situation::Situation};
use crate::api::{ConditionType, Reason};

/// Every ConfigMap of the source exists. The kubelet finds out whether an image does.
pub fn is_there(situation: &Situation) -> Option<Decision> {
    let names = match &situation.facts.source {
        SourceFact::Found { .. } => return None,
        SourceFact::Unknown => {
            return Some(Decision::reconciling(Reason::Pending, "the source was not read yet"));
        }
        SourceFact::Missing { names } => names,
    };
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    let (kind, verb, them) =
        if names.len() == 1 { ("ConfigMap", "does", "it") } else { ("ConfigMaps", "do", "them") };
    let message = format!(
        "the {kind} {} of spec.migrations {verb} not exist in the namespace {:?}; create {them} and Sluice \
            continues automatically",
        quoted.join(", "),
        situation.facts.namespace,
    );
    Some(Decision::reconciling(Reason::SourceNotFound, message).decides(ConditionType::Planned, false))
}
