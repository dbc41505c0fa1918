//! What the new conditions change about the published ones: the time of a transition, and whether it is news.
//! PURE.
//!
//! The only file of this room that reads conditions of the published status. They are compared, and nothing is
//! concluded from them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{facts::Facts, run::clock::whole_seconds};
use crate::api::{ConditionType, Reason};

/// With the transition time of the published condition, if that has the same status.
pub fn dated(facts: &Facts, mut condition: Condition) -> Condition {
    let same =
        |published: &&Condition| published.type_ == condition.type_ && published.status == condition.status;
    match facts.published.conditions.iter().find(same) {
        Some(published) => condition.last_transition_time = published.last_transition_time.clone(),
        None => condition.last_transition_time.0 = whole_seconds(condition.last_transition_time.0),
    }
    condition
}

/// Ready gives this reason, and did not before.
pub fn is_news(facts: &Facts, reason: Reason) -> bool {
    let mut published = facts.published.conditions.iter();
    !published.any(|known| known.type_ == ConditionType::Ready.name() && known.reason == reason.name())
}
