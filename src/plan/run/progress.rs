//! Which Pod the controller may poll for a run's progress, and what of the answer the status shows. PURE.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    clock::whole_seconds,
    current::CurrentRun,
    facts::{Known, ProgressFact, Remembered, Run, StageState},
    judge::RunState,
};
use crate::{
    api::{Blocker, RunProgress},
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// How far it is.
    pub progress: Option<RunProgress>,
    /// The sessions of others that it waits for.
    pub blocked_by: Vec<Blocker>,
}

/// What the status is to show of a run that goes on, by what it showed before.
pub fn shown(published: Remembered, fact: Option<&ProgressFact>, run: &Run, now: Timestamp) -> Shown {
    let of_run = published.run.filter(|status| status.job == run.job);
    let progress = of_run.and_then(|status| status.progress.clone());
    let before = Shown { progress, blocked_by: published.blocked_by.to_vec() };
    // What the run before it waited for stands there until this one has said something.
    let Some(seen_at) = before.progress.as_ref().map(|progress| progress.seen_at.0) else {
        let due = now.duration_since(run.started) >= SHOWN_AFTER;
        return match fact.filter(|fact| fact.job == run.job && due) {
            Some(fact) => of(&fact.progress, now),
            None => before,
        };
    };
    let younger_than = |age| (SignedDuration::ZERO..age).contains(&now.duration_since(seen_at));
    match fact.filter(|fact| fact.job == run.job) {
        None if younger_than(FORGOTTEN_AFTER) => before,
        None => Shown::default(),
        Some(fact) => {
            let shown = of(&fact.progress, now);
            if says_the_same(&before, &shown) || younger_than(WRITTEN_EVERY) { before } else { shown }
        }
    }
}

fn of(progress: &Progress, now: Timestamp) -> Shown {
    Shown { progress: Some(told(progress, now)), blocked_by: progress.blocked_by.clone() }
}

fn told(progress: &Progress, now: Timestamp) -> RunProgress {
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

/// The same at another moment.
fn says_the_same(before: &Shown, now: &Shown) -> bool {
    let timeless = |shown: &Shown| {
        let seen_at = Time(Timestamp::UNIX_EPOCH);
        let progress = shown.progress.clone().map(|progress| RunProgress { seen_at, ..progress });
        let ageless = |blocker: &Blocker| Blocker { age_seconds: 0, ..blocker.clone() };
        Shown { progress, blocked_by: shown.blocked_by.iter().map(ageless).collect() }
    };
    timeless(before) == timeless(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::RunStatus,
        contract::Count,
        plan::fixture::{moment, run},
    };

    fn fact(statement: u32) -> ProgressFact {
        let statements = Some(Count { at: statement, of: 7 });
        let progress = Progress { statements, ..Progress::of(Stage::Migrate, moment(1)) };
        ProgressFact { job: run().job, progress }
    }

    /// What was shown before, and published.
    fn show(before: &Shown, fact: Option<&ProgressFact>, second: i64) -> Shown {
        let begun = crate::plan::run::record::begun(&run().job, "0123abcd", (1, run().leg), None);
        let status = RunStatus { progress: before.progress.clone(), ..begun };
        let published = Remembered { run: Some(&status), history: &[], blocked_by: &before.blocked_by };
        shown(published, fact, &run(), moment(second))
    }

    fn blocker(pid: i32, age_seconds: u64) -> Blocker {
        let (application, user, state) = ("report".into(), "reports".into(), "active".into());
        Blocker { pid, application, user, state, age_seconds }
    }

    fn waiting(pid: i32, age_seconds: u64) -> ProgressFact {
        let mut fact = fact(1);
        fact.progress.wait_for(vec![blocker(pid, age_seconds)]);
        fact
    }

    #[test]
    fn a_short_run_needs_no_status_and_a_long_one_at_most_one_in_ten_seconds() {
        let show = |before: &Shown, statement, second| show(before, Some(&fact(statement)), second);
        let nothing = Shown::default();
        assert_eq!(show(&nothing, 1, 9), nothing);
        let first = show(&nothing, 1, 10);
        assert_eq!(first.progress.as_ref().map(|it| it.summary.as_str()), Some("statement 1 of 7"));
        assert_eq!(show(&first, 2, 19), first, "so soon nothing new is said");
        let second = show(&first, 2, 20);
        assert_eq!(second.progress.as_ref().and_then(|it| it.statement), Some(2));
        assert_eq!(show(&second, 2, 500), second, "what is the same is not said again");
        assert_ne!(show(&second, 3, -500), second, "a clock that was set back does not stop it");
    }

    #[test]
    fn of_a_pod_that_does_not_answer_nothing_is_shown_for_long() {
        let before = show(&Shown::default(), Some(&waiting(7, 30)), 20);
        assert_eq!(before.blocked_by, [blocker(7, 30)]);
        assert_eq!(show(&before, None, 49), before);
        assert_eq!(show(&before, None, 50), Shown::default());
        let other = ProgressFact { job: "another".to_owned(), ..fact(1) };
        assert_eq!(show(&Shown::default(), Some(&other), 20), Shown::default(), "it is about another Job");
    }

    #[test]
    fn sessions_that_are_in_the_way_are_shown_for_as_long_as_they_are_and_their_age_alone_is_no_news() {
        let of_the_run_before = Shown { blocked_by: vec![blocker(3, 60)], ..Shown::default() };
        assert_eq!(show(&of_the_run_before, None, 20), of_the_run_before);
        let first = show(&of_the_run_before, Some(&waiting(7, 30)), 20);
        assert_eq!(first.blocked_by, [blocker(7, 30)]);
        assert_eq!(show(&first, Some(&waiting(7, 40)), 30), first);
        assert_eq!(show(&first, Some(&waiting(8, 2)), 30).blocked_by, [blocker(8, 2)]);
        assert_eq!(show(&first, Some(&fact(1)), 29), first, "so soon nothing new is said");
        assert_eq!(show(&first, Some(&fact(1)), 30).blocked_by, []);
    }
}
