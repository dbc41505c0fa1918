//! The manifest as a whole: does it say what it needs to say? PURE.

use super::{decision::Decision, facts::PolicyFact, situation::Situation};
use crate::api::Reason;

/// Every violation at once; nothing starts until the spec changes. A run that has started ends.
pub fn is_valid(situation: &Situation) -> Option<Decision> {
    let violations = situation.facts.migration.as_ref().err()?;
    let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
    let merged = match &situation.facts.policy {
        PolicyFact::Found(name) => {
            format!(
                " (with what the MigrationPolicy {name:?} says; `sluice policy show` tells which field is \
                    whose)"
            )
        }
        PolicyFact::NotNamed | PolicyFact::Missing(_) => String::new(),
    };
    Some(Decision::stalled(Reason::InvalidSpec, list.join("; ") + &merged))
}
