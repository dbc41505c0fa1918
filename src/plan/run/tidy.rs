//! Old Jobs: the status is the record, so only the newest stay, for their logs. PURE.
//!
//! A Job that changed something, or tried to, is kept apart from those that found nothing to do: with
//! `verify.every` these come every few hours, and the log of the last migration is what people need days
//! later.

use super::{
    facts::{Run, StageState},
    own,
    state::Runs,
};
use crate::{
    api::Reason,
    contract::{Purpose, Stage},
    plan::step::Step,
};

/// How many Jobs of one object stay that had something to do.
const KEPT: usize = 3;
/// And how many of those that had not.
const CONFIRMATIONS: usize = 2;

/// The oldest Job that has ended and that is not needed. One that Sluice did not create is not its own to
/// delete.
pub fn oldest_job(runs: &Runs) -> Option<Step> {
    let current = runs.current.as_ref().map(|current| current.run.job.as_str());
    let ours = |run: &&Run| {
        own::is_concluded(runs.record.remembered(), run)
            || own::is_own(&runs.known, run)
            || is_history(runs, run)
    };
    let mut own_ones: Vec<&Run> = runs.known.runs.iter().filter(|run| !run.deleting).filter(ours).collect();
    own_ones.sort_by_key(|run| (run.started, run.attempt, &run.job));
    let (confirming, working): (Vec<&Run>, Vec<&Run>) =
        own_ones.into_iter().partition(|run| only_confirms(run));
    let spare = |runs: Vec<&Run>, kept: usize| {
        let spare = runs.len().saturating_sub(kept);
        let job = runs
            .into_iter()
            .take(spare)
            .find(|run| run.state.ended() && Some(run.job.as_str()) != current)?
            .job
            .clone();
        Some(Step::DeleteJob { job })
    };
    spare(confirming, CONFIRMATIONS).or_else(|| spare(working, KEPT))
}

/// Older than one that the status tells of.
fn is_history(runs: &Runs, run: &Run) -> bool {
    Some(run.started) <= own::newest_concluded(runs.record.remembered(), runs.known.runs)
}

/// It was there to verify only, or found nothing pending.
fn only_confirms(run: &Run) -> bool {
    let migrate = run.pod.as_ref().map(|pod| pod.stage(Stage::Migrate));
    let nothing = |state: &StageState| matches!(state, StageState::Terminated { outcome: Some(outcome), .. } if outcome.reason == Reason::NothingPending);
    run.purpose == Purpose::Verify || migrate.is_some_and(nothing)
}
