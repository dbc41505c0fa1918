//! The stage `snapshot`: nothing changes before a copy was taken and proven, or the manifest says why there
//! is none.

use super::{Context, Passed, Plan};
use crate::{
    api::Reason,
    contract::{Outcome, Stage},
    snapshot::{Dump, Request, Tools, Volume, take},
    validate::SnapshotPolicy,
};

pub(super) async fn run(context: &Context, before: &[Outcome]) -> Outcome {
    let Some(plan) = Passed::<Plan>::of(before) else {
        return Outcome::failed(
            Stage::Snapshot,
            Reason::StageFailed,
            "the stage plan left no history to take a snapshot for",
        );
    };
    let history = &plan.get().history;
    if history.pending_count == 0 {
        return Outcome::passed(
            Stage::Snapshot,
            Reason::SnapshotNotNeeded,
            "nothing is pending, so nothing needs a snapshot",
        );
    }
    let (claim, jobs, read_back, keep) = match &context.manifest.snapshot {
        SnapshotPolicy::Waived(reason) => {
            return Outcome::passed(
                Stage::Snapshot,
                Reason::SnapshotWaived,
                format!("no snapshot: {reason}"),
            );
        }
        SnapshotPolicy::Dump { claim, jobs, read_back, keep } => (claim, *jobs, *read_back, keep.as_ref()),
    };
    let url = match context.url() {
        Ok(url) => url,
        Err(error) => return Outcome::failed(Stage::Snapshot, error.reason(), error.to_string()),
    };
    let folder = context.snapshots.join(&context.manifest.namespace).join(&context.manifest.name);
    let tools = Tools::default();
    let request = Request {
        dump: Dump { url, jobs, read_back, server_major: history.server_major, tools: &tools },
        volume: Volume { folder: &folder, claim: (!context.by_hand).then_some(claim.as_str()), keep },
        history_digest: &history.history_digest,
        pending: &history.pending,
        now: jiff::Timestamp::now(),
        deadline: context.remaining(),
    };
    match take(request).await {
        Ok(record) => {
            let message = format!(
                "{} bytes in {}, read back and proven ({:?})",
                record.bytes, record.reference, record.verified
            );
            Outcome {
                snapshot: Some(record),
                ..Outcome::passed(Stage::Snapshot, Reason::SnapshotTaken, message)
            }
        }
        Err(error) => Outcome::failed(Stage::Snapshot, error.reason(), error.to_string()),
    }
}
