//! The run whose end is not in the status yet. PURE.

use super::{
    facts::{Known, Run, StageState},
    judge::{RunState, judge},
    own, stop,
};
use crate::contract::{Outcome, Stage};

/// A run whose end is not in the status yet.
#[derive(Clone, Debug)]
pub struct CurrentRun<'a> {
    /// The Job and its Pod.
    pub run: &'a Run,
    /// How it stands.
    pub run_state: RunState,
    /// Its Job is Sluice's own. What any other has left is not read.
    own: bool,
}

impl<'a> CurrentRun<'a> {
    /// The newest run that is not concluded, if there is one.
    pub fn of(known: &Known<'a>) -> Option<Self> {
        let named = |run: &Run| known.published.run.is_some_and(|status| status.job == run.job);
        let newest_concluded = own::newest_concluded(known.published, known.runs);
        let open = known.runs.iter().filter(|run| !own::is_concluded(known.published, run));
        let (run, own) = open
            .map(|run| (run, own::is_own(known, run)))
            .filter(|(run, own)| named(run) || (*own && Some(run.started) > newest_concluded))
            .max_by_key(|(run, own)| {
                let asked_for = Some(&run.digest) == known.desired.as_ref();
                (*own, run.started, named(run), asked_for, run.attempt, &run.job)
            })?;
        let run_state = if own {
            stop::judged(known, run, judge(run, known.image))
        } else {
            RunState::Failed(own::refused(run))
        };
        Some(Self { run, run_state, own })
    }

    /// The Outcome of a stage, when it is one to go by.
    pub fn outcome(&self, stage: Stage) -> Option<&'a Outcome> {
        match self.run.pod.as_ref().filter(|_| self.own)?.stage(stage) {
            StageState::Terminated { outcome: Some(outcome), .. } if outcome.stage == stage => Some(outcome),
            _ => None,
        }
    }

    /// Those of all its stages.
    pub fn outcomes(&self) -> impl Iterator<Item = &'a Outcome> {
        self.run.leg.stages().filter_map(|stage| self.outcome(stage))
    }
}
