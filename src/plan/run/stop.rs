//! A run that a person stops, as it is judged then; and one that reads what an aborted one has left, which only
//! the database knows. PURE.

use jiff::Timestamp;

use super::{
    facts::{Known, Run, StageState},
    judge::{Ending, Progress, RunState},
    name::attempt_in,
};
use crate::{
    api::{CheckId, Class, HistoryEntry, Reason},
    contract::{Outcome, Purpose, Stage},
};

/// So many pending migrations are named.
const NAMED: usize = 3;

/// How a run is judged that a person stops while it goes on, and one that reads what an aborted one has left.
pub fn judged(known: &Known, run: &Run, state: RunState) -> RunState {
    match state {
        RunState::Running(progress) => match ordered(known, run, &progress) {
            Some(ending) => RunState::Failed(ending),
            None => RunState::Running(progress),
        },
        RunState::Failed(ending) if inspects(known, run) => RunState::Failed(inspected(known, run, &ending)),
        other => other,
    }
}

/// What a person has ordered. A run that only verifies changes nothing, so it is left to end.
fn ordered(known: &Known, run: &Run, progress: &Progress) -> Option<Ending> {
    // The moment at which this is written.
    let ending = |reason, message| Ending { reason, stage: progress.stage, message, at: Timestamp::MAX };
    if run.purpose != Purpose::Apply {
        return None;
    }
    if known.abort == Some(run.job.as_str()) {
        let message = format!("the run {:?} was aborted in the stage {}", run.job, progress.stage.name());
        return Some(ending(Reason::Aborting, message));
    }
    // What is not in batches is left to end: to begin it anew costs more than to wait for it.
    let said = known.progress.filter(|said| known.paused && said.job == run.job)?;
    let migrates = progress.stage == Stage::Migrate && said.progress.stage == Stage::Migrate;
    let rows = said.progress.rows.filter(|_| migrates)?;
    let migration = said.progress.migration.as_deref().unwrap_or("a migration");
    let message = format!(
        "the run {:?} was paused in the backfill of {migration}, after about {} rows; the next one goes on \
            there",
        run.job, rows.done
    );
    Some(ending(Reason::Paused, message))
}

/// The runs of a digest that ended last, back to the one that was aborted.
pub fn aborting<'a>(
    known: &'a Known,
    history: &'a [HistoryEntry],
    digest: &str,
) -> impl Iterator<Item = &'a HistoryEntry> {
    let of_digest = move |entry: &&HistoryEntry| attempt_in(&entry.job, known.name, digest).is_some();
    history.iter().filter(of_digest).take_while(|entry| entry.reason == Reason::Aborting.name())
}

/// The run reads what an aborted one has left.
pub fn inspects(known: &Known, run: &Run) -> bool {
    run.purpose == Purpose::Verify && aborting(known, known.published.history, &run.digest).next().is_some()
}

/// How such a run ends that finds less than the source has: what passes by itself is no answer yet.
fn inspected(known: &Known, run: &Run, ending: &Ending) -> Ending {
    let aborted = aborting(known, known.published.history, &run.digest).last();
    let aborted = aborted.map_or_else(String::new, |entry| format!("the run {:?} was aborted", entry.job));
    if ending.reason.class() == Class::Transient {
        let message = format!("{aborted}, and what it left is not known yet: {}", ending.message);
        return Ending { reason: Reason::Aborting, message, stage: ending.stage, at: ending.at };
    }
    let message = match left(run) {
        Some(left) => format!("{aborted}, and no session of it is left: {left}"),
        None => format!("{aborted}, and what it left could not be read: {}", ending.message),
    };
    Ending { reason: Reason::Aborted, message, stage: ending.stage, at: ending.at }
}

/// What is applied, pending and half done, as the last stage tells it that has read the history.
fn left(run: &Run) -> Option<String> {
    let outcomes = || run.leg.stages().rev().filter_map(|stage| outcome(run, stage));
    let history = outcomes().find_map(|outcome| outcome.history.as_ref())?;
    let all = history.applied_count.saturating_add(history.pending_count);
    let mut left = format!("{} of {all} migrations are applied", history.applied_count);
    let named: Vec<&str> = history.pending.iter().take(NAMED).map(String::as_str).collect();
    if !named.is_empty() {
        let more = if history.pending_count as usize > named.len() { ", …" } else { "" };
        left += &format!(", pending: {}{more}", named.join(", "));
    }
    let half_done = outcomes().flat_map(|outcome| &outcome.findings);
    for finding in half_done.filter(|finding| finding.check == CheckId::FailedMigration) {
        left += &format!("; {}", finding.message);
    }
    Some(left)
}

fn outcome(run: &Run, stage: Stage) -> Option<&Outcome> {
    match run.pod.as_ref()?.stage(stage) {
        StageState::Terminated { outcome, .. } => outcome.as_deref(),
        _ => None,
    }
}

/// A sentence about an order to abort what is no run of this object.
pub fn astray(known: &Known) -> Option<String> {
    let job = known.abort?;
    let is_one = known.runs.iter().any(|run| run.job == job)
        || known.published.run.is_some_and(|run| run.job == job)
        || known.published.history.iter().any(|entry| entry.job == job);
    (!is_one)
        .then(|| format!("the annotation sluice.dev/abort names {job:?}, which is no run of this object"))
}
