//! The facts as the sections of the plan read them. PURE.

use jiff::Timestamp;

use super::{
    digest,
    facts::{Facts, JobState, Run},
    judge::Judgement,
    own,
    record::{InHand, Record},
};
use crate::{
    api::{Reason, RunStatus},
    contract::Purpose,
};

/// The facts, and what follows from them for every section alike.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    /// As gathered.
    pub facts: &'a Facts,
    /// The moment of the decision.
    pub now: Timestamp,
    /// The digest of the run that the facts ask for.
    pub wanted: Option<String>,
    /// The run whose end is not in the status yet.
    pub in_hand: Option<InHand<'a>>,
    /// What the status will remember.
    pub record: Record,
}

impl<'a> Situation<'a> {
    /// Evaluates the facts.
    pub fn of(facts: &'a Facts, now: Timestamp) -> Self {
        let wanted = digest::wanted(facts).filter(|_| facts.migration.is_ok());
        let in_hand = InHand::of(facts, wanted.as_deref());
        let record = Record::fold(facts, in_hand.as_ref(), wanted.as_deref(), now);
        Self { facts, now, wanted, in_hand, record }
    }

    /// The run that goes on.
    pub fn going(&self) -> Option<&InHand<'a>> {
        self.in_hand.as_ref().filter(|in_hand| matches!(in_hand.judgement, Judgement::Going(_)))
    }

    /// The last run, when it has ended, was what the facts ask for, and its sections tell how it ended.
    pub fn concluded(&self) -> Option<(&RunStatus, Reason)> {
        let run = self.record.status.run.as_ref()?;
        let sections = self.record.about(self.wanted.as_deref())?;
        let reason = Reason::named(run.reason.as_deref()?);
        (run.finished_at.is_some() && sections.tell_the_end_of(run)).then_some((run, reason))
    }

    /// A Job of this object has not ended, or is still being deleted.
    pub fn occupied(&self) -> bool {
        self.facts.runs.iter().any(|run| run.deleting || run.state == JobState::Active)
    }

    /// The next attempt at the digest: one more than any that is known of, or the one that was announced and
    /// not begun.
    pub fn next_attempt(&self, digest: &str) -> u32 {
        let facts = self.facts;
        let own = |run: &&Run| own::is_own(facts, run, self.wanted.as_deref());
        let jobs = facts.runs.iter().filter(own).map(|run| run.job.as_str());
        let known = jobs
            .chain(facts.published.history.iter().map(|entry| entry.job.as_str()))
            .chain(self.record.status.run.iter().map(|run| run.job.as_str()))
            .filter_map(|job| digest::attempt_in(job, &facts.name, digest))
            .max()
            .unwrap_or(0);
        let announced = facts
            .published
            .run
            .iter()
            .filter(|run| run.digest == digest && run.finished_at.is_none())
            .map(|run| run.attempt);
        let next = announced.max().unwrap_or(0).max(known.saturating_add(1));
        // A name that somebody else has taken is left to them.
        let leg = Purpose::Apply.route().first();
        let taken = |attempt: &u32| self.strange(&digest::job_name(&facts.name, digest, *attempt, leg));
        (next..=u32::MAX).find(|attempt| !taken(attempt)).unwrap_or(next)
    }

    /// A Job of this name is there that is not Sluice's own and was never announced.
    fn strange(&self, job: &str) -> bool {
        let announced = self.facts.published.run.as_ref().is_some_and(|run| run.job == job);
        let own = |run: &Run| {
            own::is_own(self.facts, run, self.wanted.as_deref())
                || own::is_concluded(&self.facts.published, run)
        };
        !announced && self.facts.runs.iter().any(|run| run.job == job && !own(run))
    }
}
