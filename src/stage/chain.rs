//! Containers, one for each stage, that start at once and run one after the other.
//!
//! Each holds a lock on a file for as long as it lives and leaves its Outcome in another one when it ends.
//! The one behind it waits for the Outcome; a lock that can be had while there is no Outcome means that its
//! owner died, and ends the chain.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Context, Rehearsal, keep_record, progress, run};
use crate::{
    api::Reason,
    contract::{Leg, Outcome, Stage, Verdict},
    telemetry,
};

const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The kubelet starts the containers of a Pod within this time of each other, or not at all.
const STRANGE_AFTER: Duration = Duration::from_mins(10);

/// The chain could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The shared folder cannot be used.
    #[error("cannot {action} {path:?}: {cause}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
}

/// The place of a stage in the chain. It is taken before anything else is done, so that whatever ends this
/// process is noticed by the next.
#[derive(Debug)]
pub struct Place {
    stage: Stage,
    /// Held for as long as the process lives.
    _lock: File,
}

/// Takes the place of a stage.
pub fn take_place(stage: Stage, folder: &Path) -> Result<Place, ChainError> {
    let own = lock_path(folder, stage);
    let lock = File::create(&own).map_err(|cause| ChainError::File {
        action: "create",
        path: own.clone(),
        cause,
    })?;
    lock.lock().map_err(|cause| ChainError::File { action: "lock", path: own, cause })?;
    Ok(Place { stage, _lock: lock })
}

/// Waits for the stage before, runs this one, and leaves its Outcome for the next.
pub async fn take_turn(place: &Place, folder: &Path, context: &Context) -> Result<Outcome, ChainError> {
    let stage = place.stage;
    let outcome = match before(stage, folder, (context.leg, context.until)).await? {
        Ok(outcomes) => {
            context.earlier_log.get_or_init(|| earlier_log(context.leg, stage, folder));
            if let Some(rehearsal) = rehearsed(folder) {
                context.keep_rehearsal(rehearsal);
            }
            let told = progress::serve(context.progress.clone(), context.progress_port);
            let work = async {
                let mut outcome = run(stage, context, &outcomes).await;
                keep_record(context, &outcomes, &mut outcome).await;
                outcome
            };
            // Serving never ends on its own.
            tokio::select! {
                outcome = work => outcome,
                () = told => unreachable!("a stage is served for as long as it works"),
            }
        }
        Err(not_reached) => not_reached,
    };
    // The next stage takes it into the record of the run. It decides nothing.
    let log = serde_json::to_vec(&telemetry::kept_lines()).unwrap_or_default();
    if let Err(error) = fs::write(log_path(folder, stage), log) {
        tracing::debug!(%error, "the log is not left for the next stage");
    }
    if stage == Stage::Rehearse
        && let Some(text) = context.rehearsal().and_then(|it| serde_json::to_vec(&it).ok())
        && let Err(error) = fs::write(rehearsal_path(folder), text)
    {
        tracing::debug!(%error, "the rehearsal is not left for the record of the run");
    }
    leave(folder, &outcome)?;
    Ok(outcome)
}

/// Every Outcome before this stage, or why it is not reached.
async fn before(
    stage: Stage,
    folder: &Path,
    (leg, until): (Leg, Instant),
) -> Result<Result<Vec<Outcome>, Outcome>, ChainError> {
    let Some(previous) = leg.before(stage).next_back() else { return Ok(Ok(Vec::new())) };
    match wait(previous, folder, until).await? {
        Some(outcome) if outcome.verdict == Verdict::Passed => {
            Ok(Ok(leg.before(stage).filter_map(|earlier| read(folder, earlier)).collect()))
        }
        Some(outcome) => Ok(Err(Outcome::new(
            stage,
            Verdict::NotReached,
            outcome.reason,
            format!("the stage {} did not pass", previous.name()),
        ))),
        None => Ok(Err(Outcome::new(
            stage,
            Verdict::NotReached,
            Reason::RunLost,
            format!("the stage {} ended without a result", previous.name()),
        ))),
    }
}

async fn wait(previous: Stage, folder: &Path, until: Instant) -> Result<Option<Outcome>, ChainError> {
    let started = Instant::now();
    let path = lock_path(folder, previous);
    loop {
        if let Some(outcome) = read(folder, previous) {
            return Ok(Some(outcome));
        }
        if path.exists() && free(&path)? {
            // It may have left its Outcome between the two checks.
            return Ok(read(folder, previous));
        }
        if Instant::now() >= until.max(started + STRANGE_AFTER) {
            return Ok(None);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether the owner of a lock is gone. A file that was created and not locked yet belongs to a live process:
/// it is checked twice.
fn free(path: &Path) -> Result<bool, ChainError> {
    let failed = |cause| ChainError::File { action: "inspect", path: path.to_owned(), cause };
    let file = File::open(path).map_err(failed)?;
    let age = file.metadata().and_then(|data| data.modified()).map_err(failed)?.elapsed().unwrap_or_default();
    match file.try_lock_shared() {
        Ok(()) => Ok(age > Duration::from_millis(500)),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(cause)) => Err(failed(cause)),
    }
}

fn lock_path(folder: &Path, stage: Stage) -> PathBuf {
    folder.join(format!("{}.lock", stage.name()))
}

fn log_path(folder: &Path, stage: Stage) -> PathBuf {
    folder.join(format!("{}.log", stage.name()))
}

/// What the stages before this one have logged, as far as they have left it.
fn earlier_log(leg: Leg, stage: Stage, folder: &Path) -> Vec<String> {
    let lines = |earlier| -> Option<Vec<String>> {
        serde_json::from_slice(&fs::read(log_path(folder, earlier)).ok()?).ok()
    };
    leg.before(stage).filter_map(lines).flatten().collect()
}

fn rehearsal_path(folder: &Path) -> PathBuf {
    folder.join("rehearsal.whole")
}

/// What a rehearsal before this stage found. It decides nothing.
fn rehearsed(folder: &Path) -> Option<Rehearsal> {
    serde_json::from_slice(&fs::read(rehearsal_path(folder)).ok()?).ok()
}

fn outcome_path(folder: &Path, stage: Stage) -> PathBuf {
    folder.join(format!("{}.json", stage.name()))
}

fn read(folder: &Path, stage: Stage) -> Option<Outcome> {
    fs::read_to_string(outcome_path(folder, stage)).ok().and_then(|text| Outcome::from_message(&text))
}

/// Leaves an Outcome for the next stage. Renamed into place, so that no stage reads half of it.
pub fn leave(folder: &Path, outcome: &Outcome) -> Result<(), ChainError> {
    let path = outcome_path(folder, outcome.stage);
    let failed = |cause| ChainError::File { action: "write", path: path.clone(), cause };
    let partial = path.with_extension("partial");
    let text = serde_json::to_vec(outcome).unwrap_or_default();
    fs::write(&partial, text).map_err(failed)?;
    fs::rename(&partial, &path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Purpose;

    fn until(moment: Instant) -> (Leg, Instant) {
        (Purpose::Apply.route().first(), moment)
    }

    fn passed(stage: Stage) -> Outcome {
        Outcome::passed(stage, Reason::PlanReady, "")
    }

    #[tokio::test]
    async fn a_stage_waits_for_the_one_before_and_reads_every_earlier_outcome() {
        let folder = tempfile::tempdir().expect("a folder");
        leave(folder.path(), &passed(Stage::Plan)).expect("leaves");
        let path = folder.path().to_owned();
        let waiting = tokio::spawn(async move { before(Stage::Migrate, &path, until(Instant::now())).await });
        leave(folder.path(), &passed(Stage::Snapshot)).expect("leaves");
        let outcomes = waiting.await.expect("joins").expect("waits").expect("is reached");
        assert_eq!(
            outcomes.iter().map(|outcome| outcome.stage).collect::<Vec<_>>(),
            [Stage::Plan, Stage::Snapshot]
        );
    }

    #[tokio::test]
    async fn a_stage_that_died_without_a_result_ends_the_later_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        // The lock of a container that was killed: the file is there, no process holds it.
        fs::write(lock_path(folder.path(), Stage::Plan), "").expect("writes");
        let ended = before(Stage::Snapshot, folder.path(), until(Instant::now())).await.expect("waits");
        assert_eq!(ended.expect_err("is not reached").reason, Reason::RunLost);
    }

    #[tokio::test]
    async fn a_stage_that_died_before_its_turn_ends_the_later_ones_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = take_place(Stage::Plan, folder.path()).expect("the first of the process's deeds");
        let path = folder.path().to_owned();
        let waiting = tokio::spawn(async move {
            before(Stage::Snapshot, &path, until(Instant::now() + STRANGE_AFTER)).await
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "its owner lives");
        drop(place);
        let ended =
            tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("long before the deadline");
        assert_eq!(
            ended.expect("joins").expect("waits").expect_err("is not reached").reason,
            Reason::RunLost
        );
    }

    #[tokio::test]
    async fn a_stage_that_failed_ends_the_later_ones_with_its_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        leave(folder.path(), &Outcome::failed(Stage::Snapshot, Reason::NoSpace, "full")).expect("leaves");
        let ended = before(Stage::Migrate, folder.path(), until(Instant::now())).await.expect("waits");
        let outcome = ended.expect_err("is not reached");
        assert_eq!((outcome.verdict, outcome.reason), (Verdict::NotReached, Reason::NoSpace));
    }

    #[test]
    fn a_lock_that_is_held_means_that_its_owner_lives() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = lock_path(folder.path(), Stage::Plan);
        let file = File::create(&path).expect("creates");
        file.lock().expect("locks");
        assert!(!free(&path).expect("reads"));
    }
}
