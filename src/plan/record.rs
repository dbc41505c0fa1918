//! What the status remembers, with the run in hand folded in. PURE.
//!
//! The published status is the durable record of the last run that was concluded: a settled object needs no
//! Job any more. Of it `status.run` is read, and never a condition: conditions are made from the record.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    again, digest,
    facts::{Facts, Run, StageState},
    gate,
    judge::{Ending, Judgement, Progress, judge},
    own, policy, progress, required,
    sections::Sections,
};
use crate::{
    api::{
        ANNOTATION_RETRY, ANY_DATABASE, AppliedMigration, DatabaseMigrationStatus, Finding, FindingCounts,
        HistoryEntry, Reason, RunStatus, StageTiming, keep,
    },
    contract::{Outcome, Stage, Verdict},
    limits::{NAMED_MIGRATIONS, REMEMBERED_RUNS, SHOWN_FINDINGS},
    validate::Source,
};

/// A stage is reported once it has worked for three seconds, so that a small migration needs no status
/// between the first and the last. Kubernetes counts in whole seconds: four of them are at least three.
const REPORT_AFTER: SignedDuration = SignedDuration::from_secs(4);

/// A run whose end is not in the status yet.
#[derive(Clone, Debug)]
pub struct InHand<'a> {
    /// The Job and its Pod.
    pub run: &'a Run,
    /// How it stands.
    pub judgement: Judgement,
    /// Its Job is Sluice's own. What any other has left is not read.
    own: bool,
}

impl<'a> InHand<'a> {
    /// The newest run that is not concluded, if there is one.
    pub fn of(facts: &'a Facts, wanted: Option<&str>) -> Option<Self> {
        let named = |run: &Run| facts.published.run.as_ref().is_some_and(|status| status.job == run.job);
        let newest_concluded = own::newest_concluded(&facts.published, &facts.runs);
        let open = facts.runs.iter().filter(|run| !own::is_concluded(&facts.published, run));
        let (run, own) = open
            .map(|run| (run, own::is_own(facts, run, wanted)))
            .filter(|(run, own)| named(run) || (*own && Some(run.started) > newest_concluded))
            .max_by_key(|(run, own)| {
                (*own, run.started, named(run), Some(run.digest.as_str()) == wanted, run.attempt, &run.job)
            })?;
        let judgement = if own { judge(run, image(facts)) } else { Judgement::Ended(own::refused(run)) };
        let mut in_hand = Self { run, judgement, own };
        in_hand.of_the_same_database(facts);
        Some(in_hand)
    }

    /// What was verified in another database than the one that the gate knows opens nothing, and is no pass.
    fn of_the_same_database(&mut self, facts: &Facts) {
        let verified = self.outcome(Stage::Verify).and_then(|outcome| outcome.history.as_ref());
        let found = verified.and_then(|history| history.database.as_ref());
        if let Judgement::Ended(ending) = &mut self.judgement
            && ending.reason == Reason::Verified
            && gate::is_another(facts, found)
        {
            ending.reason = Reason::DatabaseChanged;
            ending.message = changed(facts, found);
        }
    }

    /// The Outcome of a stage, when it is one to go by.
    pub fn outcome(&self, stage: Stage) -> Option<&'a Outcome> {
        match self.run.pod.as_ref().filter(|_| self.own)?.stage(stage) {
            StageState::Terminated { outcome: Some(outcome), .. } if outcome.stage == stage => Some(outcome),
            _ => None,
        }
    }

    fn outcomes(&self) -> impl Iterator<Item = &'a Outcome> {
        self.run.leg.stages().filter_map(|stage| self.outcome(stage))
    }
}

/// Why nothing is opened, and what a person has to say before it is.
fn changed(facts: &Facts, found: Option<&String>) -> String {
    let (known, name) = (gate::known(facts).map_or("", String::as_str), &facts.name);
    let identity = found.map_or(ANY_DATABASE, String::as_str);
    let found = found.map_or("does not say which one it is".to_owned(), |found| format!("is {found}"));
    format!(
        "the database {found}, and the entries of {name:?} in the MigrationGate are about {known}: none was \
            taken away and none added. If the \
         new database is meant, a user with the verb bypass writes {{name: {name}, identity: {identity}}} \
         into spec.databases of the \
         MigrationGate \"gates\", and removes from spec.satisfied what the new one does not have; then \
         change the annotation {ANNOTATION_RETRY}"
    )
}

fn image(facts: &Facts) -> Option<&str> {
    match facts.migration.as_ref().map(|migration| &migration.source) {
        Ok(Source::Image { reference, .. }) => Some(reference),
        _ => None,
    }
}

/// The moment from which the current stage is reported. One that would begin later than in a moment was timed
/// by another clock.
pub fn report_at(progress: &Progress, now: Timestamp) -> Timestamp {
    let at = progress.since.saturating_add(REPORT_AFTER).unwrap_or(Timestamp::MAX);
    if at.duration_since(now) > REPORT_AFTER * 2 { now } else { at }
}

/// When a run ended, by clocks that agree: the node's, as far as that is after the Job was created and not in
/// the future. Pauses are counted from it, and a node whose clock is wrong would make them endless, or none.
fn ended_at(run: &Run, ending: &Ending, now: Timestamp) -> Timestamp {
    let at = ending.at.max(run.started).min(now);
    // Kubernetes writes whole seconds.
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// What is remembered, and about which digest.
#[derive(Clone, Debug)]
pub struct Record {
    /// The status without its conditions.
    pub status: DatabaseMigrationStatus,
    /// What is known about the sections.
    pub sections: Sections,
    /// The digest that `sections` speaks of.
    pub digest: Option<String>,
}

impl Record {
    /// The published status, with the run in hand folded in.
    pub fn fold(facts: &Facts, in_hand: Option<&InHand>, wanted: Option<&str>, now: Timestamp) -> Self {
        let published = &facts.published;
        let last = last(facts, in_hand);
        let sections = last.as_ref().map(Sections::of).unwrap_or_default();
        // An older version of Sluice, or another writer, may have left a run whose end its sections do not
        // tell: then nothing is known about it.
        let told = last.as_ref().filter(|run| run.finished_at.is_none() || sections.tell_the_end_of(run));
        let mut record = Self {
            digest: told.map(|run| run.digest.clone()),
            sections: if told.is_some() { sections } else { Sections::default() },
            status: DatabaseMigrationStatus {
                observed_generation: facts.generation,
                policy_missing_since: policy::missing_since(facts, now),
                conditions: Vec::new(),
                run: last,
                ..published.clone()
            },
        };
        if let Some(in_hand) = in_hand {
            record.fold_in_hand(facts, in_hand, wanted, now);
        }
        if let Some(run) = &mut record.status.run {
            run.sections = record.sections.results();
        }
        record
    }

    fn fold_in_hand(&mut self, facts: &Facts, in_hand: &InHand, wanted: Option<&str>, now: Timestamp) {
        let run = in_hand.run;
        // A verification that is only repeated says nothing before it has ended.
        let repeats = self.about(Some(&run.digest)).is_some() && again::repeats(facts, run, wanted);
        if repeats && matches!(in_hand.judgement, Judgement::Going(_)) {
            return;
        }
        if self.about(Some(&run.digest)).is_none() {
            self.sections = Sections::default();
            self.digest = Some(run.digest.clone());
        }
        let same = |status: &RunStatus| status.job == run.job && status.digest == run.digest;
        if !self.status.run.as_ref().is_some_and(same) {
            self.status.run = Some(begun(&run.job, &run.digest, run.attempt, Some(run.fingerprint.clone())));
        }
        match &in_hand.judgement {
            Judgement::Going(going) if now >= report_at(going, now) => {
                self.fold_progress(in_hand, going);
                let shown = progress::shown(facts.published.run.as_ref(), facts.progress.as_ref(), run, now);
                self.status.run.iter_mut().for_each(|status| status.progress.clone_from(&shown));
            }
            Judgement::Going(_) => {}
            Judgement::Ended(ending) => {
                let ending = Ending { at: ended_at(run, ending, now), ..ending.clone() };
                self.fold_ending(facts, in_hand, &ending, repeats);
            }
        }
    }

    /// What is known about the sections for this digest; `None` where no run for it has begun.
    pub fn about(&self, digest: Option<&str>) -> Option<&Sections> {
        (digest.is_some() && self.digest.as_deref() == digest).then_some(&self.sections)
    }

    fn fold_progress(&mut self, in_hand: &InHand, progress: &Progress) {
        self.fold_passed(in_hand, false);
        if let Some(run) = &mut self.status.run {
            run.stage = Some(progress.stage.name().to_owned());
        }
        match &progress.problem {
            Some(problem) => self.sections.wait(problem),
            None => self
                .sections
                .progress(progress.stage, &format!("the stage {} is at work", progress.stage.name())),
        }
    }

    fn fold_ending(&mut self, facts: &Facts, in_hand: &InHand, ending: &Ending, repeats: bool) {
        self.fold_passed(in_hand, repeats);
        let outcome = in_hand.outcome(ending.stage).filter(|outcome| outcome.reason == ending.reason);
        if ending.reason == Reason::Verified {
            let history = outcome.and_then(|outcome| outcome.history.as_ref());
            self.status.database = history.and_then(|history| history.database.clone());
        } else {
            self.sections.fail(ending, outcome);
        }
        let finished_at = Time(ending.at);
        if let Some(run) = &mut self.status.run {
            run.stage = Some(ending.stage.name().to_owned());
            run.finished_at = Some(finished_at.clone());
            run.reason = Some(ending.reason.name().to_owned());
            run.progress = None;
            run.record = in_hand.outcomes().find_map(|outcome| outcome.record.clone());
        }
        let stages = in_hand
            .outcomes()
            .filter(|outcome| outcome.verdict != Verdict::NotReached)
            .map(|outcome| StageTiming {
                stage: outcome.stage.name().to_owned(),
                milliseconds: outcome.milliseconds,
            })
            .collect();
        let entry = HistoryEntry {
            job: in_hand.run.job.clone(),
            reason: ending.reason.name().to_owned(),
            finished_at,
            record: in_hand.outcomes().find_map(|outcome| outcome.record.clone()),
            stages,
        };
        // Of verifications that only confirm one another, the first and the last are remembered.
        let confirms = |entry: &HistoryEntry| {
            entry.reason == Reason::Verified.name() && entry.job.starts_with(&prefix(in_hand.run))
        };
        if repeats
            && confirms(&entry)
            && self.status.history.iter().take(2).filter(|entry| confirms(entry)).count() == 2
        {
            self.status.history.remove(0);
        }
        self.status.history.insert(0, entry);
        self.status.history.truncate(REMEMBERED_RUNS);
        let outcomes: Vec<&Outcome> = in_hand.outcomes().collect();
        self.status.findings = keep(findings(&outcomes), SHOWN_FINDINGS);
        self.status.finding_counts = count_findings(&outcomes);
        let answers = in_hand.outcome(Stage::Verify).map_or(&[][..], |outcome| &outcome.required);
        required::remember(facts, &mut self.status, answers, ending.at);
    }

    /// What the stages that have ended found out about the database.
    fn fold_passed(&mut self, in_hand: &InHand, repeats: bool) {
        for outcome in in_hand.outcomes() {
            // A run that only verifies says nothing new about the snapshot and what was applied.
            let said = repeats && matches!(outcome.stage, Stage::Snapshot | Stage::Migrate);
            if outcome.verdict == Verdict::Passed && !said {
                self.sections.pass(outcome);
            }
            if let Some(snapshot) = &outcome.snapshot {
                self.status.snapshot = Some(snapshot.clone());
            }
            if let Some(history) = &outcome.history {
                self.status.current_version.clone_from(&history.current);
                self.status.pending = Some(history.pending_count);
                self.status.applied = history
                    .applied
                    .iter()
                    .take(NAMED_MIGRATIONS)
                    .map(|name| AppliedMigration { name: name.clone() })
                    .collect();
            }
        }
    }
}

/// What the names of the Jobs of a run's digest begin with.
fn prefix(run: &Run) -> String {
    run.job.rsplit_once("-a").map_or(&*run.job, |(prefix, _)| prefix).to_owned()
}

/// The run that the status speaks of, when it has ended or is in hand. One that was only announced does not
/// count, or an object that waits for something else would seem to run; then it is the one before it, if that
/// was for the same digest.
fn last(facts: &Facts, in_hand: Option<&InHand>) -> Option<RunStatus> {
    let published = facts.published.run.as_ref()?;
    if published.finished_at.is_some() || in_hand.is_some_and(|in_hand| in_hand.run.job == published.job) {
        return Some(published.clone());
    }
    let before = facts.published.history.first()?;
    let attempt = digest::attempt_in(&before.job, &facts.name, &published.digest)?;
    Some(RunStatus {
        stage: None,
        finished_at: Some(before.finished_at.clone()),
        reason: Some(before.reason.clone()),
        sections: published.sections.clone(),
        record: before.record.clone(),
        ..begun(&before.job, &published.digest, attempt, None)
    })
}

/// A run of which nothing is known but that it begins.
pub fn begun(job: &str, digest: &str, attempt: u32, fingerprint: Option<String>) -> RunStatus {
    RunStatus {
        job: job.to_owned(),
        digest: digest.to_owned(),
        attempt,
        fingerprint,
        stage: Some(Stage::Plan.name().to_owned()),
        finished_at: None,
        reason: None,
        sections: Vec::new(),
        progress: None,
        record: None,
    }
}

/// What these stages have found, worst first, each once.
pub fn findings(outcomes: &[&Outcome]) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        outcomes.iter().flat_map(|outcome| outcome.findings.iter().cloned()).collect();
    findings.sort_by(|a, b| (a.severity, a).cmp(&(b.severity, b)));
    findings.dedup();
    findings
}

fn count_findings(outcomes: &[&Outcome]) -> Option<FindingCounts> {
    let counts = outcomes.iter().map(|outcome| outcome.counted()).reduce(|mut all, counts| {
        all.merge(&counts);
        all
    });
    counts.filter(|counts| counts.all() > 0)
}
