//! How the runs of an object stand. PURE.

use jiff::Timestamp;

use super::{
    current::CurrentRun,
    facts::{JobState, Known, Run},
    judge::RunState,
    legs,
    name::{attempt_in, job_name, place_in},
    own,
    record::Record,
};
use crate::{
    api::{HistoryEntry, Reason, RunStatus},
    contract::{Leg, Purpose},
};

/// What is known about the runs of an object, and what follows from that.
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    /// As gathered.
    pub known: Known<'a>,
    /// The moment of the decision.
    pub now: Timestamp,
    /// The run whose end is not in the status yet.
    pub current: Option<CurrentRun<'a>>,
    /// What the status will remember of them.
    pub record: Record,
}

impl<'a> Runs<'a> {
    /// With the run in hand, as the kind of the object judges it.
    pub fn of(known: Known<'a>, current: Option<CurrentRun<'a>>, now: Timestamp) -> Self {
        let record = Record::fold(&known, current.as_ref(), now);
        Self { known, now, current, record }
    }

    /// The run that goes on.
    pub fn running(&self) -> Option<&CurrentRun<'a>> {
        self.current.as_ref().filter(|current| matches!(current.run_state, RunState::Running(_)))
    }

    /// The last run, when it has ended, was what the object asks for, and its sections tell how it ended.
    pub fn concluded(&self) -> Option<(&RunStatus, Reason)> {
        let run = self.record.run.as_ref()?;
        let sections = self.record.about(self.known.desired.as_deref())?;
        let reason = Reason::named(run.reason.as_deref()?);
        (run.finished_at.is_some() && sections.tell_the_end_of(run, self.known.route))
            .then_some((run, reason))
    }

    /// What the first section that failed says, or what is said of a run that a person has stopped.
    pub fn failure(&self) -> &str {
        let sections = &self.record.sections;
        sections.stopped().or(sections.failure()).map_or("", |section| &section.message)
    }

    /// A Job of this object has not ended, or is still being deleted.
    pub fn occupied(&self) -> bool {
        self.known.runs.iter().any(|run| run.deleting || run.state == JobState::Active)
    }

    /// The leg that the next Job goes.
    pub fn next_leg(&self, purpose: Purpose) -> Leg {
        match purpose {
            Purpose::Apply => {
                legs::next(self.known.route, self.record.passed_legs(self.known.desired.as_deref()))
            }
            Purpose::Verify => purpose.route().first(),
        }
    }

    /// The next attempt at a leg for the digest: one more than any that is known of, or the one that was announced
    /// and not begun. A leg goes on with the number of the one before it.
    pub fn next_attempt(&self, digest: &str, leg: Leg) -> u32 {
        let Known { name, runs, published, .. } = &self.known;
        let follows = |(attempt, of): (u32, u32)| attempt.saturating_add(u32::from(of >= leg.number()));
        let own = |run: &&Run| own::is_own(&self.known, run);
        let jobs = runs.iter().filter(own).map(|run| run.job.as_str());
        let known = jobs
            .chain(published.history.iter().map(|entry| entry.job.as_str()))
            .chain(self.record.run.iter().map(|run| run.job.as_str()))
            .filter_map(|job| place_in(job, name, digest))
            .map(follows)
            .max()
            .unwrap_or(1);
        let announced = published
            .run
            .iter()
            .filter(|run| run.digest == digest && run.finished_at.is_none())
            .map(|run| run.attempt);
        let next = announced.max().unwrap_or(0).max(known);
        // A name that a foreign Job has taken is left to its owner.
        let taken = |attempt: &u32| self.strange(&job_name(name, digest, *attempt, leg));
        (next..=u32::MAX).find(|attempt| !taken(attempt)).unwrap_or(next)
    }

    /// The last attempt at this digest that ended well, as far as the status remembers it.
    pub fn last_verified(&self, digest: &str) -> Option<u32> {
        let entries = self.record.history.iter();
        entries
            .filter(|entry| entry.reason == Reason::Verified.name())
            .find_map(|entry| attempt_in(&entry.job, self.known.name, digest))
    }

    /// How many attempts at this digest a person has paused, as far as the status remembers them.
    pub fn paused(&self, digest: &str) -> u32 {
        let of_digest = |entry: &&HistoryEntry| attempt_in(&entry.job, self.known.name, digest).is_some();
        let paused = |entry: &&HistoryEntry| entry.reason == Reason::Paused.name();
        let count = self.record.history.iter().filter(of_digest).filter(paused).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// A Job of this name is there that is not Sluice's own and was never announced.
    fn strange(&self, job: &str) -> bool {
        let announced = self.known.published.run.is_some_and(|run| run.job == job);
        let own = |run: &Run| own::is_own(&self.known, run) || own::is_concluded(self.known.published, run);
        !announced && self.known.runs.iter().any(|run| run.job == job && !own(run))
    }
}
