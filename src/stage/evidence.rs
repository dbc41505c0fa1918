//! What the stages before have proven, as values. Only this file makes them, and only from what a stage left;
//! [`migrate`](super::migrate()) takes nothing else, so that an order of the stages in which nothing was
//! planned, or no snapshot was thought of, does not compile.

use std::time::Duration;

use super::outcome_of;
use crate::{
    api::{ReadBack, Reason, RehearsalGround, SnapshotRecord},
    contract::{HistorySummary, Outcome, Stage, Verdict},
    validate::{SnapshotPolicy, ValidatedMigration},
};

/// What the stage `plan` found: source and history, and what is pending.
#[derive(Debug)]
pub struct Plan {
    /// As it was when the plan was made; the stage `migrate` refuses any other.
    pub history: HistorySummary,
}

/// A snapshot that was taken and read back.
#[derive(Debug)]
pub struct Snapshot {
    /// How long that took: a run waits for locks at least as long, before this is done again.
    pub took: Duration,
}

/// A release that ran on a copy, within its limits.
#[derive(Debug)]
pub struct Rehearsed(());

/// What a stage found that passed. No other code can say that it did:
///
/// ```compile_fail
/// use sluice::stage::{Passed, Plan};
///
/// fn forged(plan: Plan) -> Passed<Plan> {
///     Passed(plan)
/// }
/// ```
/// Code that has one can read it:
///
/// ```
/// use sluice::stage::{Passed, Plan};
///
/// fn read(plan: &Passed<Plan>) -> &Plan {
///     plan.get()
/// }
/// ```
#[derive(Debug)]
pub struct Passed<S>(S);

impl<S> Passed<S> {
    /// What it found.
    pub const fn get(&self) -> &S {
        &self.0
    }
}

impl Passed<Plan> {
    /// By what the stages before have left; none where the plan did not pass, or left no history.
    pub fn of(before: &[Outcome]) -> Option<Self> {
        let plan = passed(before, Stage::Plan)?;
        plan.history.clone().map(|history| Self(Plan { history }))
    }
}

/// Why a migration may begin, as far as a snapshot or a rehearsal goes. No other code makes one, a waiver as little as a
/// snapshot:
///
/// ```compile_fail
/// use sluice::stage::{Evidence, Passed, Snapshot};
///
/// fn forged() -> Evidence<Snapshot> {
///     Evidence::NotNeeded(Passed(()))
/// }
/// ```
#[derive(Debug)]
pub enum Evidence<S> {
    /// It was taken.
    Taken(Passed<S>),
    /// The manifest says why there is none.
    Waived(Passed<()>),
    /// Nothing is pending; or it is a rehearsal, and the manifest asks for none.
    NotNeeded(Passed<()>),
}

impl Evidence<Snapshot> {
    /// By what the stages before have left, or why that proves nothing. A waiver that the manifest does not
    /// have is none, and what is pending needs a snapshot, whatever an Outcome says.
    pub fn of(
        manifest: &ValidatedMigration,
        plan: &Passed<Plan>,
        before: &[Outcome],
    ) -> Result<Self, String> {
        let Some(left) = passed(before, Stage::Snapshot) else {
            return Err(unproven("it left no result that passed"));
        };
        match (left.reason, &left.snapshot) {
            (Reason::SnapshotTaken, Some(record)) if is_proven(manifest, record) => {
                Ok(Self::Taken(Passed(Snapshot { took: Duration::from_millis(left.milliseconds) })))
            }
            (Reason::SnapshotWaived, None) if matches!(manifest.snapshot, SnapshotPolicy::Waived(_)) => {
                Ok(Self::Waived(Passed(())))
            }
            (Reason::SnapshotNotNeeded, None) if plan.get().history.pending_count == 0 => {
                Ok(Self::NotNeeded(Passed(())))
            }
            (reason, _) => Err(unproven(&format!("it says {}", reason.name()))),
        }
    }

    /// How long it took to take.
    pub(super) const fn took(&self) -> Duration {
        match self {
            Self::Taken(snapshot) => snapshot.get().took,
            Self::Waived(_) | Self::NotNeeded(_) => Duration::ZERO,
        }
    }
}

impl Evidence<Rehearsed> {
    /// By what the stages before have left, or why that proves nothing. Where the manifest asks for a rehearsal,
    /// what is pending needs one that passed, whatever an Outcome says.
    pub fn of(
        manifest: &ValidatedMigration,
        plan: &Passed<Plan>,
        before: &[Outcome],
    ) -> Result<Self, String> {
        if manifest.rehearsal.is_none() || plan.get().history.pending_count == 0 {
            return Ok(Self::NotNeeded(Passed(())));
        }
        let why = match passed(before, Stage::Rehearse) {
            Some(left) if left.reason == Reason::Rehearsed => return Ok(Self::Taken(Passed(Rehearsed(())))),
            Some(left) => format!("it says {}", left.reason.name()),
            None => "it left no result that passed".to_owned(),
        };
        Err(format!(
            "the stage rehearse has not proven that the release ran on a copy, for which \
                spec.before.rehearsal asks ({why}), so nothing is migrated"
        ))
    }
}

/// As the manifest asks. One that a rehearsal restores is proven by that.
fn is_proven(manifest: &ValidatedMigration, record: &SnapshotRecord) -> bool {
    let asked = match &manifest.snapshot {
        SnapshotPolicy::Dump { read_back, .. } => *read_back,
        SnapshotPolicy::Waived(_) => return true,
    };
    let rehearsed = manifest.rehearsal.as_ref().is_some_and(|it| it.on == RehearsalGround::Snapshot);
    asked != ReadBack::Restore || rehearsed || record.verified == ReadBack::Restore
}

fn unproven(why: &str) -> String {
    format!(
        "the stage snapshot has not proven that a snapshot was taken, waived by the manifest or not needed \
            ({why}), so nothing is migrated"
    )
}

fn passed(before: &[Outcome], stage: Stage) -> Option<&Outcome> {
    outcome_of(before, stage).filter(|outcome| outcome.verdict == Verdict::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::validate;

    fn manifest(snapshot: &serde_json::Value) -> ValidatedMigration {
        let object = serde_json::json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "records"},
            "spec": {"database": {"secretRef": {"name": "records-db"}}, "migrations": {"configMaps": ["records"]},
                     "snapshot": snapshot}
        });
        validate(&serde_json::from_value(object).expect("a DatabaseMigration")).expect("a valid manifest")
    }

    fn dumped() -> ValidatedMigration {
        manifest(&serde_json::json!({"dump": {"volumeClaim": "snapshots"}}))
    }

    fn waived() -> ValidatedMigration {
        manifest(&serde_json::json!({"none": {"reason": "a throw-away database"}}))
    }

    fn plan(pending_count: u32) -> Outcome {
        let history = HistorySummary { pending_count, ..HistorySummary::default() };
        Outcome { history: Some(history), ..Outcome::passed(Stage::Plan, Reason::PlanReady, "") }
    }

    fn snapshot(reason: Reason) -> Outcome {
        Outcome::passed(Stage::Snapshot, reason, "")
    }

    fn taken() -> Outcome {
        let record = SnapshotRecord {
            reference: "snapshots:records/1".to_owned(),
            taken_at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
            bytes: 1,
            sha256: String::new(),
            verified: ReadBack::Read,
        };
        Outcome { milliseconds: 70, snapshot: Some(record), ..snapshot(Reason::SnapshotTaken) }
    }

    fn evidence(manifest: &ValidatedMigration, outcomes: &[Outcome]) -> Result<Duration, String> {
        let plan = Passed::<Plan>::of(outcomes).expect("a plan that passed");
        Evidence::<Snapshot>::of(manifest, &plan, outcomes).map(|evidence| evidence.took())
    }

    #[test]
    fn a_snapshot_a_waiver_of_the_manifest_and_nothing_pending_are_evidence() {
        assert_eq!(evidence(&dumped(), &[plan(1), taken()]), Ok(Duration::from_millis(70)));
        assert_eq!(evidence(&waived(), &[plan(1), snapshot(Reason::SnapshotWaived)]), Ok(Duration::ZERO));
        assert_eq!(evidence(&dumped(), &[plan(0), snapshot(Reason::SnapshotNotNeeded)]), Ok(Duration::ZERO));
    }

    #[test]
    fn one_that_has_to_be_restored_is_proven_by_that_or_by_the_rehearsal_on_it() {
        let restored = serde_json::json!({"dump": {"volumeClaim": "snapshots"}, "verify": "Restore"});
        let mut manifest = manifest(&restored);
        let refused = evidence(&manifest, &[plan(1), taken()]).expect_err("it was only read");
        assert!(refused.contains("nothing is migrated"), "{refused}");
        let mut proven = taken();
        proven.snapshot.as_mut().expect("a snapshot").verified = ReadBack::Restore;
        assert_eq!(evidence(&manifest, &[plan(1), proven]), Ok(Duration::from_millis(70)));
        let rehearsal = |on| {
            let limits = crate::validate::RehearsalLimits::default();
            Some(crate::validate::Rehearsal { on, server: None, limits })
        };
        manifest.rehearsal = rehearsal(RehearsalGround::Schema);
        assert!(evidence(&manifest, &[plan(1), taken()]).is_err(), "an empty schema restores nothing");
        manifest.rehearsal = rehearsal(RehearsalGround::Snapshot);
        assert_eq!(evidence(&manifest, &[plan(1), taken()]), Ok(Duration::from_millis(70)));
    }

    #[test]
    fn whatever_else_is_left_is_no_evidence() {
        let failed = Outcome::failed(Stage::Snapshot, Reason::NoSpace, "full");
        let nothing_taken = Outcome { snapshot: None, ..taken() };
        for (manifest, left) in [
            (dumped(), None),
            (dumped(), Some(failed)),
            (dumped(), Some(nothing_taken)),
            (dumped(), Some(snapshot(Reason::SnapshotWaived))),
            (waived(), Some(snapshot(Reason::SnapshotNotNeeded))),
            (dumped(), Some(Outcome::passed(Stage::Snapshot, Reason::Applied, ""))),
        ] {
            let outcomes: Vec<Outcome> = [plan(1)].into_iter().chain(left).collect();
            let refused = evidence(&manifest, &outcomes);
            assert!(
                refused.as_ref().is_err_and(|why| why.contains("nothing is migrated")),
                "{refused:?} for {outcomes:?}"
            );
        }
    }

    #[test]
    fn where_the_manifest_asks_for_a_rehearsal_only_one_that_passed_is_evidence() {
        let mut manifest = dumped();
        let evidence = |manifest: &ValidatedMigration, outcomes: &[Outcome]| {
            let plan = Passed::<Plan>::of(outcomes).expect("a plan that passed");
            Evidence::<Rehearsed>::of(manifest, &plan, outcomes)
        };
        assert!(matches!(evidence(&manifest, &[plan(1), taken()]), Ok(Evidence::NotNeeded(_))));
        manifest.rehearsal = Some(crate::validate::Rehearsal {
            on: RehearsalGround::Snapshot,
            server: None,
            limits: crate::validate::RehearsalLimits::default(),
        });
        let left = |verdict, reason| Outcome::new(Stage::Rehearse, verdict, reason, "");
        let passed = left(Verdict::Passed, Reason::Rehearsed);
        assert!(matches!(evidence(&manifest, &[plan(1), taken(), passed]), Ok(Evidence::Taken(_))));
        assert!(matches!(evidence(&manifest, &[plan(0)]), Ok(Evidence::NotNeeded(_))));
        for left in [
            None,
            Some(left(Verdict::Failed, Reason::RehearsalOverLimit)),
            Some(left(Verdict::Failed, Reason::Rehearsed)),
            Some(left(Verdict::Passed, Reason::RehearsalNotNeeded)),
        ] {
            let outcomes: Vec<Outcome> = [plan(1), taken()].into_iter().chain(left).collect();
            let refused = evidence(&manifest, &outcomes);
            let told = refused.as_ref().err().is_some_and(|why| why.contains("nothing is migrated"));
            assert!(told, "{refused:?} for {outcomes:?}");
        }
    }

    #[test]
    fn a_plan_that_failed_or_left_no_history_is_no_plan() {
        let failed = Outcome { verdict: Verdict::Failed, ..plan(1) };
        let silent = Outcome { history: None, ..plan(1) };
        assert!(Passed::<Plan>::of(&[]).is_none());
        assert!(Passed::<Plan>::of(&[failed]).is_none());
        assert!(Passed::<Plan>::of(&[silent]).is_none());
        assert!(Passed::<Plan>::of(&[plan(1)]).is_some());
    }
}
