//! The status without its conditions: what the record of runs says, and what the run in hand found out about
//! the database. PURE.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    facts::{Facts, PolicyFact},
    required,
    run::{clock::whole_seconds, current::CurrentRun, judge::RunState, record::Told, state::Runs},
};
use crate::{
    api::{AppliedMigration, DatabaseMigrationStatus, Finding, FindingCounts, keep},
    contract::{Outcome, Stage},
    limits::{NAMED_MIGRATIONS, SHOWN_FINDINGS},
};

/// The published status, with the run in hand folded in.
pub fn status(facts: &Facts, runs: &Runs) -> DatabaseMigrationStatus {
    let mut status = DatabaseMigrationStatus {
        observed_generation: facts.generation,
        policy_missing_since: missing_since(facts, runs.now),
        conditions: Vec::new(),
        run: runs.record.run.clone(),
        history: runs.record.history.clone(),
        blocked_by: runs.record.blocked_by.clone(),
        ..facts.published.clone()
    };
    let Some(current) = &runs.current else { return status };
    match &runs.record.told {
        Told::Nothing => {}
        Told::Stages => fold_passed(&mut status, current),
        Told::End(at) => fold_end(&mut status, facts, current, *at),
    }
    status
}

/// Since when the policy is missing; `None` where it is there, or none is named.
fn missing_since(facts: &Facts, now: Timestamp) -> Option<Time> {
    let PolicyFact::Missing(_) = &facts.policy else { return None };
    Some(facts.published.policy_missing_since.clone().unwrap_or_else(|| Time(whole_seconds(now))))
}

fn fold_end(status: &mut DatabaseMigrationStatus, facts: &Facts, current: &CurrentRun, at: Timestamp) {
    fold_passed(status, current);
    if let (RunState::Passed(_), Some(verified)) = (&current.run_state, current.outcome(Stage::Verify)) {
        status.database = verified.history.as_ref().and_then(|history| history.database.clone());
    }
    let outcomes: Vec<&Outcome> = current.outcomes().collect();
    status.findings = keep(findings(&outcomes), SHOWN_FINDINGS);
    status.finding_counts = count_findings(&outcomes);
    let answers = current.outcome(Stage::Verify).map_or(&[][..], |outcome| &outcome.required);
    required::remember(facts, status, answers, at);
}

/// What the stages that have ended found out about the database.
fn fold_passed(status: &mut DatabaseMigrationStatus, current: &CurrentRun) {
    for outcome in current.outcomes() {
        if let Some(snapshot) = &outcome.snapshot {
            status.snapshot = Some(snapshot.clone());
        }
        if let Some(history) = &outcome.history {
            status.current_version.clone_from(&history.current);
            status.pending = Some(history.pending_count);
            status.held.clone_from(&history.held);
            status.applied = history
                .applied
                .iter()
                .take(NAMED_MIGRATIONS)
                .map(|name| AppliedMigration { name: name.clone() })
                .collect();
        }
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
