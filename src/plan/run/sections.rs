//! What each stage of a run says about the sections of the manifest, as `status.run.sections` remembers it.
//! PURE.
//!
//! The conditions are made from this by `status.rs` and never read back.

use std::collections::BTreeMap;

use super::judge::{Ending, Problem, message_of};
use crate::{
    api::{Class, ConditionType, Reason, RunStatus, SectionResult},
    contract::{Outcome, Route, Stage},
};

/// What is known about one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// `None` where it is not known: unknown is never a pass.
    pub holds: Option<bool>,
    /// Why.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

/// What is known about the sections, for one digest. A section that is not in it was not reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sections(BTreeMap<ConditionType, Section>);

impl Sections {
    /// As a run remembers them. What a newer version of Sluice has written is left out.
    pub fn of(run: &RunStatus) -> Self {
        let known = |result: &SectionResult| {
            let mut kinds = Stage::ALL.into_iter().map(decided_by);
            let kind = kinds.find(|kind| kind.name() == result.section)?;
            let reason = Reason::named(&result.reason);
            Some((kind, Section { holds: result.holds, reason, message: result.message.clone() }))
        };
        Self(run.sections.iter().filter_map(known).collect())
    }

    /// As a run is to remember them.
    pub fn results(&self) -> Vec<SectionResult> {
        let result = |(kind, section): (&ConditionType, &Section)| SectionResult {
            section: kind.name().to_owned(),
            holds: section.holds,
            reason: section.reason.name().to_owned(),
            message: section.message.clone(),
        };
        self.0.iter().map(result).collect()
    }

    /// One section, if it was reached.
    pub fn get(&self, kind: ConditionType) -> Option<&Section> {
        self.0.get(&kind)
    }

    /// One section holds.
    pub fn holds(&self, kind: ConditionType) -> bool {
        self.get(kind).is_some_and(|section| section.holds == Some(true))
    }

    fn set(&mut self, kind: ConditionType, holds: Option<bool>, reason: Reason, message: impl Into<String>) {
        self.0.insert(kind, Section { holds, reason, message: message.into() });
    }

    /// The first section that failed. It stays so while the next attempt runs, until that one gets further.
    pub fn failure(&self) -> Option<&Section> {
        self.failures().next()
    }

    /// What is said of a run that a person has stopped, until another one gets further.
    pub fn stopped(&self) -> Option<&Section> {
        self.get(ConditionType::Applied).filter(|section| section.reason.is_stop())
    }

    fn failures(&self) -> impl Iterator<Item = &Section> {
        self.0.values().filter(|section| section.failed())
    }

    /// They say how this run ended: passed it has when every stage of the route has. One that only verifies has
    /// the same stages.
    pub fn tell_the_end_of(&self, run: &RunStatus, route: Route) -> bool {
        match run.reason.as_deref().map(Reason::named) {
            Some(Reason::Verified) => route.stages().map(decided_by).all(|kind| self.holds(kind)),
            Some(reason) if reason.is_stop() => {
                self.stopped().is_some_and(|section| section.reason == reason)
            }
            Some(reason) => self.failures().any(|section| section.reason == reason),
            None => false,
        }
    }

    /// A stage passed.
    pub fn pass(&mut self, outcome: &Outcome) {
        self.set(decided_by(outcome.stage), Some(true), outcome.reason, message_of(outcome));
    }

    /// A stage has been working for a while.
    pub fn progress(&mut self, stage: Stage, message: &str) {
        let kind = decided_by(stage);
        // What an earlier attempt failed with says more than that the next one has begun.
        let says_more = |section: &Section| {
            section.failed() && !matches!(section.reason, Reason::SecretNotFound | Reason::SourceNotFound)
        };
        if !self.get(kind).is_some_and(says_more) {
            self.set(kind, None, reason_while(stage), message);
        }
    }

    /// The Pod cannot start for want of something that the section `database` or `migrations` names.
    pub fn wait(&mut self, problem: &Problem) {
        if matches!(problem.reason, Reason::SecretNotFound | Reason::SourceNotFound) {
            self.set(ConditionType::Planned, Some(false), problem.reason, problem.message.clone());
        }
    }

    /// The run ended without passing.
    pub fn fail(&mut self, ending: &Ending, outcome: Option<&Outcome>) {
        // Without an Outcome it is unknown whether the stage did its work.
        let holds = outcome.map(|_| false);
        let mut kind = decided_by(ending.stage);
        if ending.reason.is_stop() || ending.reason == Reason::Aborted {
            // Whichever stage it was in: what it was to apply may be there, or not.
            kind = ConditionType::Applied;
        }
        let holds = if ending.reason == Reason::Aborted { Some(false) } else { holds };
        if ending.reason == Reason::VerificationFailed && ending.stage == Stage::Migrate {
            // It says that it was rolled back, and the first finding: Ready repeats the first section that
            // failed.
            self.set(ConditionType::Applied, Some(false), ending.reason, ending.message.clone());
            kind = ConditionType::Verified;
        }
        self.set(kind, holds, ending.reason, ending.message.clone());
    }
}

impl Section {
    fn failed(&self) -> bool {
        self.holds != Some(true) && matches!(self.reason.class(), Class::Transient | Class::NeedsUser)
    }
}

/// The section that a stage decides.
pub const fn decided_by(stage: Stage) -> ConditionType {
    match stage {
        Stage::Plan => ConditionType::Planned,
        Stage::Snapshot => ConditionType::SnapshotReady,
        Stage::Rehearse => ConditionType::Rehearsed,
        Stage::Migrate => ConditionType::Applied,
        Stage::Verify => ConditionType::Verified,
    }
}

/// The reason while a stage is at work.
pub const fn reason_while(stage: Stage) -> Reason {
    match stage {
        Stage::Plan => Reason::Planning,
        Stage::Snapshot => Reason::SnapshotInProgress,
        Stage::Rehearse => Reason::Rehearsing,
        Stage::Migrate => Reason::Migrating,
        Stage::Verify => Reason::Verifying,
    }
}
