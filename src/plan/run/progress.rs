//! Which Pod the controller may poll for a run's progress, and what of the answer the status shows. PURE.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    clock::whole_seconds,
    current::CurrentRun,
    facts::{Known, ProgressFact, Run, StageState},
    judge::RunState,
};
use crate::{
    api::{RunProgress, RunStatus},
    contract::{Progress, Stage},
};

/// A run that is over within this time needs no status for it.
const SHOWN_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// The status says something new of it at most so often.
const WRITTEN_EVERY: SignedDuration = SignedDuration::from_secs(10);
/// Of a Pod that does not answer any more nothing is shown after this time.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// A Pod that may be polled, and what it may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its Job.
    pub job: String,
    /// Where it is, as its status says.
    pub address: String,
    /// The migrations that its plan found pending, as far as its verdict names them.
    pub pending: Vec<String>,
}

/// The Pod of the run that goes on: Sluice's own, by the very rules by which its status is believed, and with
/// a stage at work.
pub fn target(known: &Known) -> Option<Target> {
    let current = CurrentRun::of(known)?;
    let RunState::Running(running) = &current.run_state else { return None };
    let pod = current.run.pod.as_ref()?;
    if current.run.deleting || !matches!(pod.stage(running.stage), StageState::Running) {
        return None;
    }
    let plan = current.outcome(Stage::Plan).and_then(|plan| plan.history.as_ref());
    Some(Target {
        job: current.run.job.clone(),
        address: pod.address.clone()?,
        pending: plan.map(|plan| plan.pending.clone()).unwrap_or_default(),
    })
}

/// What the status shows of a run that goes on.
pub fn shown(
    published: Option<&RunStatus>,
    fact: Option<&ProgressFact>,
    run: &Run,
    now: Timestamp,
) -> Option<RunProgress> {
    let before = published.filter(|status| status.job == run.job).and_then(|status| status.progress.clone());
    let age = |before: &RunProgress| now.duration_since(before.seen_at.0);
    let Some(fact) = fact.filter(|fact| fact.job == run.job) else {
        return before.filter(|before| (SignedDuration::ZERO..FORGOTTEN_AFTER).contains(&age(before)));
    };
    let shown = of(&fact.progress, now);
    match before {
        None if now.duration_since(run.started) < SHOWN_AFTER => None,
        Some(before) if says_the_same(&before, &shown) => Some(before),
        Some(before) if (SignedDuration::ZERO..WRITTEN_EVERY).contains(&age(&before)) => Some(before),
        _ => Some(shown),
    }
}

fn of(progress: &Progress, now: Timestamp) -> RunProgress {
    let whole = |at: Timestamp| Time(whole_seconds(at));
    RunProgress {
        summary: progress.summary(),
        stage: progress.stage.name().to_owned(),
        migration: progress.migration.clone(),
        number: progress.migrations.map(|count| count.at),
        migrations: progress.migrations.map(|count| count.of),
        statement: progress.statements.map(|count| count.at),
        statements: progress.statements.map(|count| count.of),
        since: whole(progress.since),
        seen_at: whole(now),
    }
}

fn says_the_same(before: &RunProgress, now: &RunProgress) -> bool {
    RunProgress { seen_at: now.seen_at.clone(), ..before.clone() } == *now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contract::Count,
        plan::fixture::{moment, run},
    };

    fn fact(statement: u32) -> ProgressFact {
        let statements = Some(Count { at: statement, of: 7 });
        let progress = Progress { statements, ..Progress::of(Stage::Migrate, moment(1)) };
        ProgressFact { job: run().job, progress }
    }

    fn status(progress: Option<RunProgress>) -> RunStatus {
        RunStatus {
            progress,
            ..crate::plan::run::record::begun(&run().job, "0123abcd", (1, run().leg), None)
        }
    }

    #[test]
    fn a_short_run_needs_no_status_and_a_long_one_at_most_one_in_ten_seconds() {
        let show = |before: &Option<RunProgress>, statement, second| {
            shown(Some(&status(before.clone())), Some(&fact(statement)), &run(), moment(second))
        };
        assert_eq!(show(&None, 1, 9), None);
        let first = show(&None, 1, 10);
        assert_eq!(first.as_ref().map(|it| it.summary.as_str()), Some("statement 1 of 7"));
        assert_eq!(show(&first, 2, 19), first, "so soon nothing new is said");
        let second = show(&first, 2, 20);
        assert_eq!(second.as_ref().and_then(|it| it.statement), Some(2));
        assert_eq!(show(&second, 2, 500), second, "what is the same is not said again");
        assert_ne!(show(&second, 3, -500), second, "a clock that was set back does not stop it");
    }

    #[test]
    fn of_a_pod_that_does_not_answer_nothing_is_shown_for_long() {
        let before = shown(None, Some(&fact(1)), &run(), moment(20));
        let silent = |second| shown(Some(&status(before.clone())), None, &run(), moment(second));
        assert_eq!(silent(49), before);
        assert_eq!(silent(50), None);
        let other = ProgressFact { job: "another".to_owned(), ..fact(1) };
        assert_eq!(shown(None, Some(&other), &run(), moment(20)), None, "it is about another Job");
    }
}
