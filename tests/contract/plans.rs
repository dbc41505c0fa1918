//! The plan as a function: total, stable, silent once its status is written, never Ready too early; and for
//! each reason a row that says what people see.

use jiff::SignedDuration;
use proptest::test_runner::TestError;
use sluice::{
    api::{Class, ConditionType, DatabaseMigrationStatus, Reason, entry},
    contract::{Gate, Leg, Outcome, Purpose, Stage, Verdict},
    plan::{
        Plan,
        facts::{Facts, StageState},
        plan,
        step::Step,
    },
    validate::WindowState,
};

use super::facts;

const MANY: u32 = 6_000;

/// Digests that facts at random may ask for, learnt from the plan itself, and one that they never do.
fn digests() -> Vec<String> {
    let mut digests = vec!["ffffffff".to_owned()];
    for (revision, retry) in [(7, None), (8, None), (7, Some("1")), (8, Some("1"))] {
        let mut facts = facts::new();
        facts.retry = retry.map(ToOwned::to_owned);
        facts.source =
            sluice::plan::facts::SourceFact::Found { revision: format!("records-migrations@{revision}") };
        digests.push(announced(&facts).digest);
    }
    digests
}

fn announced(facts: &Facts) -> sluice::api::RunStatus {
    plan(facts, facts::moment(0)).status.run.expect("a new object is to be run")
}

fn at_random(mut claim: impl FnMut(&Facts, jiff::Timestamp, &Plan)) {
    let held = facts::held(MANY, &digests(), |facts, now| claim(facts, now, &plan(facts, now)));
    held.unwrap_or_else(|error| panic!("{error}"));
}

fn condition(status: &DatabaseMigrationStatus, kind: ConditionType) -> Option<(&str, &str)> {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind.name())?;
    Some((&found.status, &found.reason))
}

/// The control: without it, nothing would show that the claims below meet facts that could break them.
#[test]
fn a_claim_that_does_not_hold_is_found_and_shown_with_nothing_but_what_breaks_it() {
    let planted = |facts: &Facts, now| {
        let creates = matches!(plan(facts, now).step, Some(Step::CreateJob(_)));
        assert!(!creates || facts.runs.is_empty(), "planted: no Job follows another");
    };
    let error = facts::held(MANY, &digests(), planted).expect_err("what is planted is found");
    let TestError::Fail(reason, (facts, _)) = error else { panic!("{error}") };
    assert!(reason.message().contains("planted: no Job follows another"), "{reason}");
    let Facts { route, fingerprints, runs, .. } = facts.clone();
    let simplest = Facts { route, fingerprints, runs, ..facts::new() };
    assert_eq!((facts.runs.len(), &facts), (1, &simplest), "a new object with one run");
}

#[test]
fn any_facts_have_a_plan_and_the_same_facts_have_the_same() {
    at_random(|facts, now, first| assert_eq!(*first, plan(facts, now)));
}

#[test]
fn once_its_status_is_written_a_plan_says_nothing_more_at_that_moment() {
    at_random(|facts, now, first| {
        let written = Facts { published: facts::published(&first.status), ..facts.clone() };
        let second = plan(&written, now);
        assert_eq!(facts::published(&second.status), written.published, "after {:#?}", first.status);
    });
}

#[test]
fn ready_is_true_only_for_a_verified_run_whose_versions_are_in_the_gate() {
    at_random(|facts, _, plan| {
        if facts.deleting
            || condition(&plan.status, ConditionType::Ready).map(|(status, _)| status) != Some("True")
            || !plan.speaks(facts)
        {
            return;
        }
        let run = plan.status.run.as_ref().expect("Ready speaks of a run");
        assert_eq!(run.reason.as_deref(), Some("Verified"));
        assert_eq!(plan.status.observed_generation, facts.generation);
        for applied in &plan.status.applied {
            assert!(
                facts.gate.contains(&entry("records", &applied.name)),
                "{} is not in the gate",
                applied.name
            );
        }
    });
}

#[test]
fn every_condition_speaks_of_the_present_generation_and_stalled_excludes_reconciling() {
    at_random(|facts, _, plan| {
        if facts.deleting || !plan.speaks(facts) {
            return;
        }
        let conditions = &plan.status.conditions;
        // While the gate is refused, only Ready says so; the rest stays as it was.
        let whole = facts.refused_step.is_none();
        let present = |observed: Option<i64>| observed == Some(facts.generation);
        assert!(
            conditions
                .iter()
                .filter(|condition| whole || condition.type_ == "Ready")
                .all(|condition| present(condition.observed_generation))
        );
        let has = |kind: ConditionType| condition(&plan.status, kind).is_some();
        assert!(!(has(ConditionType::Stalled) && has(ConditionType::Reconciling)), "{conditions:#?}");
        assert!(conditions.iter().all(|condition| !condition.message.is_empty()), "{conditions:#?}");
    });
}

#[test]
fn no_job_is_created_beside_one_that_has_not_ended_nor_twice_under_one_name() {
    at_random(|facts, _, plan| {
        if let Some(Step::CreateJob(order)) = &plan.step {
            assert!(facts.runs.iter().all(|run| run.state.ended() && !run.deleting));
            assert!(facts.runs.iter().all(|run| run.job != order.job));
            // A verification that is only repeated is not announced: Ready stays on.
            let announced = plan.status.run.as_ref().is_some_and(|run| run.job == order.job);
            assert!(announced || order.purpose == Purpose::Verify, "a run is announced before it begins");
        }
    });
}

#[test]
fn nothing_begins_without_a_valid_spec_a_source_and_what_goes_before() {
    at_random(|facts, now, plan| {
        if let Some(Step::CreateJob(order)) = &plan.step {
            assert!(facts.migration.as_ref().is_ok_and(|migration| !migration.suspend) && !facts.deleting);
            let cleared = facts
                .dependencies
                .iter()
                .all(|dependency| dependency.state == sluice::plan::facts::DependencyState::Ready);
            assert!(
                cleared || order.purpose == Purpose::Verify,
                "only what changes nothing may begin before its turn"
            );
            assert!(facts.rivals.iter().all(|rival| !rival.running && !rival.older));
            let window = facts.migration.as_ref().ok().and_then(|migration| migration.window.as_ref());
            let behind = order.leg.gates().any(|gate| gate == Gate::Window);
            if let Some(window) = window.filter(|_| behind) {
                let open = matches!(window.at(now, SignedDuration::ZERO), WindowState::Open { .. });
                assert!(open && order.deadline.is_some(), "it ends before the window does");
            }
        }
    });
}

#[test]
fn a_leg_begins_once_every_one_before_it_has_passed_and_never_again_but_for_the_last() {
    let (mut first, mut later) = (0, 0);
    at_random(|facts, _, plan| {
        let Some(Step::CreateJob(order)) = plan.step.as_ref().filter(|_| plan.speaks(facts)) else { return };
        if order.purpose == Purpose::Verify {
            return;
        }
        let run = plan.status.run.as_ref().expect("a run is announced");
        let passed = |leg: &Leg| run.legs.iter().any(|passed| passed.number == leg.number());
        let number = order.leg.number();
        assert!(facts.route.legs().take_while(|leg| leg.number() < number).all(|leg| passed(&leg)));
        assert!(!passed(&order.leg) || order.leg == facts.route.last());
        assert!(run.legs.iter().all(|leg| facts.route.leg(leg.number).is_some()));
        *(if number == 1 { &mut first } else { &mut later }) += 1;
    });
    assert!(first > 20 && later > 4, "{first} first legs, {later} later ones");
}

/// What people see when a stage reports this reason as its failure.
fn after_failure(stage: Stage, reason: Reason) -> Plan {
    let run = announced(&with(stage));
    let state = facts::ended(stage, Verdict::Failed, reason, 5);
    let runs = vec![facts::run(&run.job, &run.digest, 1, facts::reached(stage, &state))];
    plan(&Facts { runs, ..with(stage) }, facts::moment(5))
}

/// A new object of which a run has this stage.
fn with(stage: Stage) -> Facts {
    if stage == Stage::Rehearse { facts::rehearsing() } else { facts::new() }
}

#[test]
fn every_failure_that_a_stage_can_report_shows_in_its_own_condition() {
    use ConditionType::{Applied, Planned, Rehearsed, SnapshotReady, Verified};
    use Stage::{Migrate, Plan, Rehearse, Snapshot, Verify};
    for (stage, reason, kind) in [
        (Plan, Reason::SourceNotFound, Planned),
        (Plan, Reason::SourceInvalid, Planned),
        (Plan, Reason::ConnectionInvalid, Planned),
        (Plan, Reason::ConnectionFailed, Planned),
        (Plan, Reason::DatabaseNotFound, Planned),
        (Plan, Reason::DirectConnectionRequired, Planned),
        (Plan, Reason::ServerTooOld, Planned),
        (Plan, Reason::PrivilegesMissing, Planned),
        (Plan, Reason::HistoryDiverged, Planned),
        (Plan, Reason::HistoryDirty, Planned),
        (Plan, Reason::NonEmptyDatabase, Planned),
        (Plan, Reason::TargetNotFound, Planned),
        (Plan, Reason::InvalidSpec, Planned),
        (Snapshot, Reason::SnapshotFailed, SnapshotReady),
        (Snapshot, Reason::NoSpace, SnapshotReady),
        (Snapshot, Reason::SnapshotUnreadable, SnapshotReady),
        (Snapshot, Reason::SnapshotIncomplete, SnapshotReady),
        (Snapshot, Reason::ClientTooOld, SnapshotReady),
        (Rehearse, Reason::RehearsalFailed, Rehearsed),
        (Rehearse, Reason::RehearsalOverLimit, Rehearsed),
        (Rehearse, Reason::RestoreFailed, Rehearsed),
        (Rehearse, Reason::SnapshotUnreadable, Rehearsed),
        (Migrate, Reason::MigrationFailed, Applied),
        (Migrate, Reason::WaitingForLock, Applied),
        (Migrate, Reason::HistoryChanged, Applied),
        (Migrate, Reason::VerificationFailed, Verified),
        (Migrate, Reason::StageFailed, Applied),
        (Verify, Reason::VerificationFailed, Verified),
        (Verify, Reason::Unknown, Verified),
    ] {
        let plan = after_failure(stage, reason);
        assert_eq!(condition(&plan.status, kind), Some(("False", reason.name())), "{reason:?}");
        assert_eq!(
            condition(&plan.status, ConditionType::Ready),
            Some(("False", reason.name())),
            "{reason:?}"
        );
        let stalled = condition(&plan.status, ConditionType::Stalled).is_some();
        assert_eq!(stalled, reason.class() == Class::NeedsUser, "{reason:?}");
        assert_eq!(condition(&plan.status, ConditionType::Reconciling).is_some(), !stalled, "{reason:?}");
        assert_eq!(plan.requeue.is_some(), !stalled, "{reason:?}: what may pass is reconciled again");
        assert!(plan.events.iter().any(|event| event.warning && event.reason == reason.name()), "{reason:?}");
    }
}

#[test]
fn every_stage_that_works_for_a_while_is_shown() {
    for (stage, reason) in [
        (Stage::Plan, Reason::Planning),
        (Stage::Snapshot, Reason::SnapshotInProgress),
        (Stage::Rehearse, Reason::Rehearsing),
        (Stage::Migrate, Reason::Migrating),
        (Stage::Verify, Reason::Verifying),
    ] {
        let run = announced(&with(stage));
        let runs = vec![facts::run(&run.job, &run.digest, 1, facts::reached(stage, &StageState::Running))];
        let facts = Facts {
            published: facts::published(&plan(&with(stage), facts::moment(0)).status),
            runs,
            ..with(stage)
        };
        let soon = plan(&facts, facts::moment(stage as i64 + 1));
        assert!(!soon.speaks(&facts), "{stage:?} is not shown at once");
        let later = plan(&facts, facts::moment(stage as i64 + 9));
        assert_eq!(condition(&later.status, ConditionType::Ready), Some(("False", reason.name())));
        assert_eq!(later.status.run.and_then(|run| run.stage).as_deref(), Some(stage.name()));
    }
}

#[test]
fn what_passes_is_told_for_each_stage() {
    let run = announced(&facts::new());
    let stages =
        facts::reached(Stage::Verify, &facts::ended(Stage::Verify, Verdict::Passed, Reason::Verified, 5));
    let gate = vec!["records@1_one".into(), "records@2_two".into()];
    let runs = vec![facts::run(&run.job, &run.digest, 1, stages)];
    let opening = plan(&Facts { runs: runs.clone(), ..facts::new() }, facts::moment(5));
    assert!(matches!(opening.step, Some(Step::PublishGate { .. })), "the gate opens first");
    assert_eq!(opening.status, facts::new().published, "and until then the status says what it said");
    let status = plan(&Facts { runs, gate, ..facts::new() }, facts::moment(5)).status;
    for (kind, reason) in [
        (ConditionType::Ready, Reason::Verified),
        (ConditionType::Planned, Reason::PlanReady),
        (ConditionType::Cleared, Reason::Cleared),
        (ConditionType::SnapshotReady, Reason::SnapshotTaken),
        (ConditionType::Applied, Reason::Applied),
        (ConditionType::Verified, Reason::Verified),
    ] {
        assert_eq!(condition(&status, kind), Some(("True", reason.name())));
    }
}

#[test]
fn a_source_that_is_older_than_the_database_is_ready_and_says_so_by_name_once() {
    let run = announced(&facts::new());
    let mut stages =
        facts::reached(Stage::Verify, &facts::ended(Stage::Verify, Verdict::Passed, Reason::Verified, 5));
    let message = "the source is older than the database: it lacks \"3_three\"";
    let outcome = Outcome::passed(Stage::Plan, Reason::DatabaseAhead, message);
    let said =
        StageState::Terminated { at: facts::moment(1), outcome: Some(Box::new(outcome)), why: String::new() };
    stages.insert(Stage::Plan, said);
    let gate = vec!["records@1_one".into(), "records@2_two".into()];
    let facts = Facts { runs: vec![facts::run(&run.job, &run.digest, 1, stages)], gate, ..facts::new() };
    let settled = plan(&facts, facts::moment(5));
    for kind in [ConditionType::Ready, ConditionType::Planned] {
        assert_eq!(condition(&settled.status, kind), Some(("True", "DatabaseAhead")));
    }
    assert_eq!(condition(&settled.status, ConditionType::Stalled), None);
    assert!(settled.status.conditions[0].message.contains("3_three"));
    assert!(
        settled.events.iter().any(|event| !event.warning && event.reason == Reason::DatabaseAhead.name())
    );
    let again = plan(&Facts { published: facts::published(&settled.status), ..facts }, facts::moment(900));
    assert_eq!(
        (again.status, again.step, again.events),
        (settled.status, None, Vec::new()),
        "and nothing more follows"
    );
}
