//! The conditions of the manifest's sections: what each stage of a run says about them. PURE.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::judge::{Ending, Problem, message_of};
use crate::{
    api::{Class, ConditionType, Reason, RunStatus},
    contract::{Outcome, Stage},
};

/// The sections that have a condition, in the manifest's order.
pub const TYPES: [ConditionType; 5] = [
    ConditionType::Planned,
    ConditionType::Cleared,
    ConditionType::SnapshotReady,
    ConditionType::Applied,
    ConditionType::Verified,
];

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

impl Section {
    fn new(holds: Option<bool>, reason: Reason, message: impl Into<String>) -> Self {
        Self { holds, reason, message: message.into() }
    }
}

/// What is known about every section, for one digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sections([Section; 5]);

impl Sections {
    /// Nothing is known yet.
    pub fn unknown() -> Self {
        Self(TYPES.map(|_| Section::new(None, Reason::Pending, "not reached yet")))
    }

    /// As the status has them.
    pub fn published(conditions: &[Condition]) -> Self {
        let mut sections = Self::unknown();
        for kind in TYPES {
            if let Some(condition) = conditions.iter().find(|condition| condition.type_ == kind.name()) {
                let holds = match condition.status.as_str() {
                    "True" => Some(true),
                    "False" => Some(false),
                    _ => None,
                };
                sections.set(kind, holds, reason_named(&condition.reason), condition.message.clone());
            }
        }
        sections
    }

    /// One section.
    pub fn get(&self, kind: ConditionType) -> &Section {
        let at = TYPES.iter().position(|known| *known == kind).unwrap_or_default();
        &self.0[at]
    }

    /// Says something new about one section.
    pub fn set(
        &mut self,
        kind: ConditionType,
        holds: Option<bool>,
        reason: Reason,
        message: impl Into<String>,
    ) {
        let at = TYPES.iter().position(|known| *known == kind).unwrap_or_default();
        self.0[at] = Section::new(holds, reason, message);
    }

    /// Every section in order.
    pub fn iter(&self) -> impl Iterator<Item = (ConditionType, &Section)> {
        TYPES.into_iter().zip(&self.0)
    }

    /// The first section that failed. It stays so while the next attempt runs, until that one gets further.
    pub fn failure(&self) -> Option<&Section> {
        self.failures().next()
    }

    /// The sections that a stage decides, and that failed.
    fn failures(&self) -> impl Iterator<Item = &Section> {
        self.iter()
            .filter(|(kind, section)| *kind != ConditionType::Cleared && section.failed())
            .map(|(_, section)| section)
    }

    /// They say how this run ended.
    pub fn tell_the_end_of(&self, run: &RunStatus) -> bool {
        match run.reason.as_deref().map(reason_named) {
            Some(Reason::Verified) => self.0.iter().all(|section| section.holds == Some(true)),
            Some(reason) => self.failures().any(|section| section.reason == reason),
            None => false,
        }
    }

    /// A run begins, or has begun: so everything in `before` held.
    pub fn clear(&mut self) {
        self.set(ConditionType::Cleared, Some(true), Reason::Cleared, "everything in spec.before holds");
    }

    /// A stage passed.
    pub fn pass(&mut self, outcome: &Outcome) {
        self.set(decided_by(outcome.stage), Some(true), outcome.reason, message_of(outcome));
    }

    /// A stage has been working for a while.
    pub fn progress(&mut self, stage: Stage, message: &str) {
        let kind = decided_by(stage);
        // What an earlier attempt failed with says more than that the next one is on its way.
        let waited = matches!(self.get(kind).reason, Reason::SecretNotFound | Reason::SourceNotFound);
        if !self.get(kind).failed() || waited {
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
        // Without an Outcome nobody knows whether the stage did its work.
        let holds = outcome.map(|_| false);
        let mut kind = decided_by(ending.stage);
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

/// The section whose condition a stage decides.
const fn decided_by(stage: Stage) -> ConditionType {
    match stage {
        Stage::Plan => ConditionType::Planned,
        Stage::Snapshot => ConditionType::SnapshotReady,
        Stage::Migrate => ConditionType::Applied,
        Stage::Verify => ConditionType::Verified,
    }
}

/// The reason while a stage is at work.
pub const fn reason_while(stage: Stage) -> Reason {
    match stage {
        Stage::Plan => Reason::Planning,
        Stage::Snapshot => Reason::SnapshotInProgress,
        Stage::Migrate => Reason::Migrating,
        Stage::Verify => Reason::Verifying,
    }
}

/// A reason by its name; `Unknown` for one of a newer version.
pub fn reason_named(name: &str) -> Reason {
    Reason::ALL.iter().copied().find(|reason| reason.name() == name).unwrap_or(Reason::Unknown)
}
