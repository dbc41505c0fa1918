//! What the status remembers of runs, with the one in hand folded in. PURE.
//!
//! The published status is the durable record of the last run that was concluded: a settled object needs no
//! Job any more. Of it `status.run` is read, and never a condition: conditions are made from the record.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    clock::whole_seconds,
    current::CurrentRun,
    facts::{Known, Remembered, Run},
    judge::{Progress, RunState},
    legs,
    name::attempt_in,
    progress,
    sections::Sections,
    stop,
};
use crate::{
    api::{Blocker, HistoryEntry, LegStatus, Reason, RunStatus, StageTiming},
    contract::{Leg, Stage, Verdict},
    limits::{REMEMBERED_RUNS, SHOWN_BLOCKERS},
};

/// A stage is reported once it has worked for three seconds, so that a small migration needs no status
/// between the first and the last. Kubernetes counts in whole seconds: four of them are at least three.
const REPORT_AFTER: SignedDuration = SignedDuration::from_secs(4);

/// The moment from which the current stage is reported. One that would begin later than in a moment was timed
/// by another clock.
pub fn report_at(progress: &Progress, now: Timestamp) -> Timestamp {
    let at = progress.since.saturating_add(REPORT_AFTER).unwrap_or(Timestamp::MAX);
    if at.duration_since(now) > REPORT_AFTER * 2 { now } else { at }
}

/// When a run ended, by clocks that agree: the node's, as far as that is after the Job was created and not in
/// the future. Pauses are counted from it, and a node whose clock is wrong would make them endless, or none.
fn ended_at(run: &Run, at: Timestamp, now: Timestamp) -> Timestamp {
    whole_seconds(at.max(run.started).min(now))
}

/// What is remembered, and about which digest.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The run that is under way, or the last one.
    pub run: Option<RunStatus>,
    /// Those that ended, newest first.
    pub history: Vec<HistoryEntry>,
    /// What is known about the sections.
    pub sections: Sections,
    /// The sessions that the last run waited for, or the one in hand waits for.
    pub blocked_by: Vec<Blocker>,
    /// The legs that have passed.
    legs: Vec<LegStatus>,
    /// The digest that `sections` and `legs` speak of.
    digest: Option<String>,
    /// What of the run in hand is told by now.
    pub told: Told,
}

/// What of the run in hand is told by now.
#[derive(Clone, Debug, Default)]
pub enum Told {
    /// Nothing: there is none, or it is too young, or it only repeats what is known.
    #[default]
    Nothing,
    /// The stages that have ended.
    Stages,
    /// All, with the moment of its end by clocks that agree.
    End(Timestamp),
}

/// How the Job of a run ended.
#[derive(Clone, Copy)]
struct End {
    /// The stage that decided.
    stage: Stage,
    /// When, by clocks that agree.
    at: Timestamp,
    /// How the run ended; `None` where another leg of it follows.
    reason: Option<Reason>,
}

impl Record {
    /// What was published, with the run in hand folded in.
    pub fn fold(known: &Known, current: Option<&CurrentRun>, now: Timestamp) -> Self {
        let last = last(known, current);
        let sections = last.as_ref().map(Sections::of).unwrap_or_default();
        // An older version of Sluice, or another writer, may have left a run whose end its sections do not
        // tell: then nothing is known about it.
        let ends = |run: &&RunStatus| run.finished_at.is_none() || sections.tell_the_end_of(run, known.route);
        let digest = last.as_ref().filter(ends).map(|run| run.digest.clone());
        let legs = last.as_ref().map(|run| run.legs.clone()).unwrap_or_default();
        let mut record = Self {
            sections: if digest.is_some() { sections } else { Sections::default() },
            legs: if digest.is_some() { legs } else { Vec::new() },
            digest,
            run: last,
            history: known.published.history.to_vec(),
            blocked_by: known.published.blocked_by.to_vec(),
            told: Told::Nothing,
        };
        if let Some(current) = current {
            record.fold_current(known, current, now);
        }
        if let Some(run) = &mut record.run {
            run.sections = record.sections.results();
            run.legs.clone_from(&record.legs);
        }
        record
    }

    /// What it remembers of runs.
    pub fn remembered(&self) -> Remembered<'_> {
        Remembered { run: self.run.as_ref(), history: &self.history, blocked_by: &self.blocked_by }
    }

    fn fold_current(&mut self, known: &Known, current: &CurrentRun, now: Timestamp) {
        let run = current.run;
        // A verification that is only repeated says nothing before it has ended.
        let repeats = self.about(Some(&run.digest)).is_some() && repeats(known, run);
        if repeats && matches!(current.run_state, RunState::Running(_)) {
            return;
        }
        if self.about(Some(&run.digest)).is_none() {
            self.sections = Sections::default();
            self.legs = Vec::new();
            self.digest = Some(run.digest.clone());
        }
        let same = |status: &RunStatus| status.job == run.job && status.digest == run.digest;
        if !self.run.as_ref().is_some_and(same) {
            let fingerprint = Some(run.fingerprint.clone());
            self.run = Some(begun(&run.job, &run.digest, (run.attempt, run.leg), fingerprint));
        }
        let inspects = stop::inspects(known, run);
        match &current.run_state {
            RunState::Running(running) if now >= report_at(running, now) => {
                self.fold_progress(current, running, inspects);
                let shown = progress::shown(known.published, known.progress, run, now);
                self.run.iter_mut().for_each(|status| status.progress.clone_from(&shown.progress));
                self.blocked_by = shown.blocked_by;
            }
            RunState::Running(_) => {}
            RunState::Passed(pass) => {
                let at = ended_at(run, pass.at, now);
                self.fold_passed(current, repeats);
                legs::enter(&mut self.legs, current, at);
                let reason = legs::is_last(known.route, run).then_some(Reason::Verified);
                self.fold_end(current, End { stage: pass.stage, at, reason }, repeats);
            }
            RunState::Failed(ending) => {
                let at = ended_at(run, ending.at, now);
                self.fold_passed(current, repeats || inspects);
                let outcome = current.outcome(ending.stage).filter(|outcome| outcome.reason == ending.reason);
                self.sections.fail(ending, outcome);
                let reason = Some(ending.reason);
                self.fold_end(current, End { stage: ending.stage, at, reason }, repeats);
            }
        }
    }

    /// What is known about the sections for this digest; `None` where no run for it has begun.
    pub fn about(&self, digest: Option<&str>) -> Option<&Sections> {
        (digest.is_some() && self.digest.as_deref() == digest).then_some(&self.sections)
    }

    /// The legs that have passed for this digest; none where no run for it has begun.
    pub fn passed_legs(&self, digest: Option<&str>) -> &[LegStatus] {
        self.about(digest).map_or(&[], |_| &self.legs)
    }

    fn fold_progress(&mut self, current: &CurrentRun, progress: &Progress, inspects: bool) {
        self.fold_passed(current, inspects);
        self.told = Told::Stages;
        if let Some(run) = &mut self.run {
            run.stage = Some(progress.stage.name().to_owned());
        }
        if inspects {
            return;
        }
        match &progress.problem {
            Some(problem) => self.sections.wait(problem),
            None => self
                .sections
                .progress(progress.stage, &format!("the stage {} is at work", progress.stage.name())),
        }
    }

    /// The Job in hand has ended; the run has, too, unless another leg follows.
    fn fold_end(&mut self, current: &CurrentRun, end: End, repeats: bool) {
        let finished_at = Time(end.at);
        let record = current.outcomes().find_map(|outcome| outcome.record.clone());
        if let Some(run) = &mut self.run {
            run.stage = Some(end.stage.name().to_owned());
            run.finished_at = end.reason.map(|_| finished_at.clone());
            run.reason = end.reason.map(|reason| reason.name().to_owned());
            run.progress = None;
            run.record.clone_from(&record);
        }
        let blockers = current.outcomes().flat_map(|outcome| &outcome.blockers);
        self.blocked_by = blockers.take(SHOWN_BLOCKERS).cloned().collect();
        let stages = current
            .outcomes()
            .filter(|outcome| outcome.verdict != Verdict::NotReached)
            .map(|outcome| StageTiming {
                stage: outcome.stage.name().to_owned(),
                milliseconds: outcome.milliseconds,
            })
            .collect();
        let job = current.run.job.clone();
        let said = current.outcome(end.stage).map_or(Reason::Unknown, |outcome| outcome.reason);
        let reason = end.reason.unwrap_or(said).name().to_owned();
        self.remember(HistoryEntry { job, reason, finished_at, record, stages }, current.run, repeats);
        self.told = Told::End(end.at);
    }

    /// Of verifications that only confirm one another, the first and the last are remembered.
    fn remember(&mut self, entry: HistoryEntry, run: &Run, repeats: bool) {
        let confirms = |entry: &HistoryEntry| {
            entry.reason == Reason::Verified.name() && entry.job.starts_with(&prefix(run))
        };
        if repeats
            && confirms(&entry)
            && self.history.iter().take(2).filter(|entry| confirms(entry)).count() == 2
        {
            self.history.remove(0);
        }
        self.history.insert(0, entry);
        self.history.truncate(REMEMBERED_RUNS);
    }

    /// What the stages that have ended say about the sections.
    fn fold_passed(&mut self, current: &CurrentRun, only_verifies: bool) {
        for outcome in current.outcomes() {
            // A run that only verifies says nothing new about the snapshot and what was applied.
            let said = only_verifies && matches!(outcome.stage, Stage::Snapshot | Stage::Migrate);
            if outcome.verdict == Verdict::Passed && !said {
                self.sections.pass(outcome);
            }
        }
    }
}

/// The run has ended with a verdict of the verify stage: another one at the same digest may only confirm it
/// or take it back.
pub fn has_a_verdict(run: &RunStatus) -> bool {
    let failed_at_the_end = run.stage.as_deref() == Some(Stage::Verify.name());
    match run.reason.as_deref().map(Reason::named) {
        Some(Reason::Verified) => run.finished_at.is_some(),
        Some(Reason::VerificationFailed) => run.finished_at.is_some() && failed_at_the_end,
        _ => false,
    }
}

/// Whether a run repeats the verification that the status tells of.
fn repeats(known: &Known, run: &Run) -> bool {
    let published = known.published.run.filter(|published| has_a_verdict(published));
    Some(&run.digest) == known.desired.as_ref()
        && published
            .is_some_and(|published| published.digest == run.digest && published.attempt < run.attempt)
}

/// What the names of the Jobs of a run's digest begin with.
fn prefix(run: &Run) -> String {
    run.job.rsplit_once("-a").map_or(&*run.job, |(prefix, _)| prefix).to_owned()
}

/// The run that the status speaks of, when it has ended, is in hand, or stands between two legs. One whose Job was
/// only announced does not count, or an object that waits for something else would seem to run; then it is as it
/// was before, if that was for the same digest.
fn last(known: &Known, current: Option<&CurrentRun>) -> Option<RunStatus> {
    let published = known.published.run?;
    let published = RunStatus { legs: legs::of(published, known.route), ..published.clone() };
    if !published.is_under_way() || current.is_some_and(|current| current.run.job == published.job) {
        return Some(published);
    }
    let before = known.published.history.first()?;
    let attempt = attempt_in(&before.job, known.name, &published.digest)?;
    let run = RunStatus {
        stage: None,
        sections: published.sections,
        legs: published.legs.clone(),
        record: before.record.clone(),
        ..begun(&before.job, &published.digest, (attempt, known.route.first()), None)
    };
    let leg = published.legs.iter().find(|leg| leg.job == before.job);
    Some(match leg.and_then(|leg| known.route.leg(leg.number)) {
        Some(leg) => RunStatus { stage: Some(leg.last().name().to_owned()), ..run },
        None => RunStatus {
            finished_at: Some(before.finished_at.clone()),
            reason: Some(before.reason.clone()),
            ..run
        },
    })
}

/// A run of which nothing is known but that a leg of it begins.
pub fn begun(job: &str, digest: &str, (attempt, leg): (u32, Leg), fingerprint: Option<String>) -> RunStatus {
    RunStatus {
        job: job.to_owned(),
        digest: digest.to_owned(),
        attempt,
        fingerprint,
        stage: Some(leg.first().name().to_owned()),
        finished_at: None,
        reason: None,
        sections: Vec::new(),
        legs: Vec::new(),
        progress: None,
        record: None,
    }
}
