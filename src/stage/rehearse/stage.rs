//! The stage `rehearse`: nothing of a release runs before it ran on a copy, where the manifest asks for that.

use super::{
    super::{outcome_of, restored::folder_of},
    Ground, Rehearsal,
    limits::summary,
    on_ground,
};
use crate::{
    api::{LockHold, ReadBack, Reason, RehearsalGround, SnapshotRecord},
    contract::{Outcome, Stage, Verdict},
    stage::Context,
};

/// So many locks are told in the verdict; the record has all.
const TOLD: usize = 5;

/// Rehearses what is pending. What it found stays in the context, for the record of the run.
pub(in super::super) async fn run(context: &Context, before: &[Outcome]) -> Outcome {
    let failed = |message: &str| Outcome::failed(Stage::Rehearse, Reason::StageFailed, message);
    let Some(asked) = &context.manifest.rehearsal else {
        return failed("the manifest asks for no rehearsal, so none was made");
    };
    let passed = |outcome: &&Outcome| outcome.verdict == Verdict::Passed && outcome.history.is_some();
    let Some(plan) = outcome_of(before, Stage::Plan).filter(passed) else {
        return failed("the stage plan left no history to rehearse from");
    };
    if plan.history.as_ref().is_some_and(|history| history.pending_count == 0) {
        let message = "nothing is pending, so there is nothing to rehearse";
        return Outcome::passed(Stage::Rehearse, Reason::RehearsalNotNeeded, message);
    }
    let taken = outcome_of(before, Stage::Snapshot).and_then(|taken| taken.snapshot.as_ref());
    let ground = match (asked.on, taken) {
        (RehearsalGround::Schema, _) => Ground::Schema,
        (RehearsalGround::Snapshot, Some(taken)) => Ground::Snapshot(Some(folder_of(context, taken))),
        (RehearsalGround::Snapshot, None) => return failed("the stage snapshot left none to rehearse on"),
    };
    let rehearsal = on_ground(context, &ground, plan).await;
    let restored = taken.filter(|_| rehearsal.is_restored()).cloned();
    let snapshot = restored.map(|taken| SnapshotRecord { verified: ReadBack::Restore, ..taken });
    let outcome = Outcome { snapshot, ..verdict(&rehearsal) };
    context.keep_rehearsal(rehearsal);
    outcome
}

/// What the status says of a rehearsal. PURE.
fn verdict(rehearsal: &Rehearsal) -> Outcome {
    let locks = rehearsal.strong_locks().into_iter().take(TOLD).map(|(_, lock)| LockHold {
        table: lock.relation.clone(),
        mode: lock.mode.words().to_owned(),
        milliseconds: lock.held_milliseconds,
    });
    let message = match rehearsal.verdict {
        Verdict::Passed => format!("{}; {}", rehearsal.message, summary(rehearsal)),
        Verdict::Failed | Verdict::NotReached => rehearsal.message.clone(),
    };
    // What only warns on the copy, the verification says of the database.
    let objects = rehearsal.verdict != Verdict::Passed;
    Outcome {
        locks: locks.collect(),
        findings: if objects { rehearsal.findings.clone() } else { Vec::new() },
        failure: rehearsal.failure.clone(),
        ..Outcome::new(Stage::Rehearse, rehearsal.verdict, rehearsal.reason, message)
    }
}
