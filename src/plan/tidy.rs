//! Old Jobs: the status is the record, so only the newest stay, for their logs. PURE.
//!
//! A Job that changed something, or tried to, is kept apart from those that found nothing to do: with
//! `verify.every` these come every few hours, and the log of the last migration is what people need days
//! later.

use super::{facts::Run, facts::StageState, own, situation::Situation, step::Step};
use crate::{
    api::Reason,
    contract::{Purpose, Stage},
};

/// How many Jobs of one object stay that had something to do.
const KEPT: usize = 3;
/// And how many of those that had not.
const CONFIRMATIONS: usize = 2;

/// The oldest Job that has ended and that is not needed. One that Sluice did not create is not its own to
/// delete.
pub fn oldest_job(situation: &Situation) -> Option<Step> {
    let in_hand = situation.in_hand.as_ref().map(|in_hand| in_hand.run.job.as_str());
    let known = |run: &&Run| {
        own::is_concluded(&situation.record.status, run)
            || own::is_own(situation.facts, run, situation.wanted.as_deref())
            || is_history(situation, run)
    };
    let mut runs: Vec<&Run> = situation.facts.runs.iter().filter(|run| !run.deleting).filter(known).collect();
    runs.sort_by_key(|run| (run.started, run.attempt, &run.job));
    let (confirming, working): (Vec<&Run>, Vec<&Run>) = runs.into_iter().partition(|run| only_confirms(run));
    let spare = |runs: Vec<&Run>, kept: usize| {
        let spare = runs.len().saturating_sub(kept);
        let job = runs
            .into_iter()
            .take(spare)
            .find(|run| run.state.ended() && Some(run.job.as_str()) != in_hand)?
            .job
            .clone();
        Some(Step::DeleteJob { job })
    };
    spare(confirming, CONFIRMATIONS).or_else(|| spare(working, KEPT))
}

/// Older than one that the status tells of.
fn is_history(situation: &Situation, run: &Run) -> bool {
    Some(run.started) <= own::newest_concluded(&situation.record.status, &situation.facts.runs)
}

/// It was there to verify only, or found nothing pending.
fn only_confirms(run: &Run) -> bool {
    let migrate = run.pod.as_ref().map(|pod| pod.stage(Stage::Migrate));
    let nothing = |state: &StageState| matches!(state, StageState::Terminated { outcome: Some(outcome), .. } if outcome.reason == Reason::NothingPending);
    run.purpose == Purpose::Verify || migrate.is_some_and(nothing)
}
