//! Old Jobs: the status is the record, so only the newest stay, for their logs. PURE.

use super::{facts::Run, situation::Situation, step::Step};

/// How many Jobs of one object stay.
const KEPT: usize = 3;

/// The oldest Job that has ended and that nobody needs.
pub fn oldest_job(situation: &Situation) -> Option<Step> {
    let in_hand = situation.in_hand.as_ref().map(|in_hand| in_hand.run.job.as_str());
    let mut runs: Vec<&Run> = situation.facts.runs.iter().filter(|run| !run.deleting).collect();
    runs.sort_by_key(|run| (run.started, run.attempt, &run.job));
    let spare = runs.len().saturating_sub(KEPT);
    let oldest = runs.into_iter().take(spare).find(|run| run.state.ended() && Some(run.job.as_str()) != in_hand)?;
    Some(Step::DeleteJob { job: oldest.job.clone() })
}
