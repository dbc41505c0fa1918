//! The stage `snapshot`: nothing changes before a copy was taken and proven, or the manifest says why there
//! is none.

use super::{Context, Passed, Plan, restored};
use crate::{
    api::{ReadBack, Reason, RehearsalGround, SnapshotRecord, Span},
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
    let (claim, jobs, read_back, keep, max_age) = match &context.manifest.snapshot {
        SnapshotPolicy::Waived(reason) => {
            return Outcome::passed(
                Stage::Snapshot,
                Reason::SnapshotWaived,
                format!("no snapshot: {reason}"),
            );
        }
        SnapshotPolicy::Dump { claim, jobs, read_back, keep, max_age } => {
            (claim, *jobs, *read_back, keep.as_ref(), *max_age)
        }
    };
    let url = match context.url() {
        Ok(url) => url,
        Err(error) => return Outcome::failed(Stage::Snapshot, error.reason(), error.to_string()),
    };
    let folder = context.snapshots.join(&context.manifest.namespace).join(&context.manifest.name);
    let (tools, now) = (Tools::default(), jiff::Timestamp::now());
    let request = Request {
        dump: Dump {
            url,
            jobs,
            read_back: read_first(read_back),
            server_major: history.server_major,
            tools: &tools,
        },
        volume: Volume { folder: &folder, claim: (!context.by_hand).then_some(claim.as_str()), keep },
        history_digest: &history.history_digest,
        pending: &history.pending,
        run: context.run(),
        max_age: max_age.duration(),
        now,
        deadline: context.remaining(),
    };
    let record = match take(request).await {
        Ok(record) => record,
        Err(error) => return Outcome::failed(Stage::Snapshot, error.reason(), error.to_string()),
    };
    let again = again(&record, now, max_age);
    let restores = read_back == ReadBack::Restore && !is_rehearsed_on(context);
    proven(context, record, restores.then_some(history.history_digest.as_str()), &again).await
}

/// The verdict about a snapshot that was taken and read back. It is restored as well where the digest is given of the
/// history that it has to have.
async fn proven(
    context: &Context,
    mut record: SnapshotRecord,
    restored: Option<&str>,
    again: &str,
) -> Outcome {
    if let Some(history_digest) = restored {
        if let Err(error) = restored::prove(context, &record, history_digest).await {
            let (reason, message) = error.told();
            let outcome = Outcome::failed(Stage::Snapshot, reason, message);
            return Outcome { snapshot: Some(record), ..outcome };
        }
        record.verified = ReadBack::Restore;
    }
    let message = format!(
        "{} bytes in {}, read back and proven ({:?}){again}",
        record.bytes, record.reference, record.verified
    );
    Outcome { snapshot: Some(record), ..Outcome::passed(Stage::Snapshot, Reason::SnapshotTaken, message) }
}

/// What a producer proves by itself.
const fn read_first(read_back: ReadBack) -> ReadBack {
    match read_back {
        ReadBack::List => ReadBack::List,
        ReadBack::Read | ReadBack::Restore => ReadBack::Read,
    }
}

/// The rehearsal that follows restores it: once is enough.
fn is_rehearsed_on(context: &Context) -> bool {
    let rehearsal = context.manifest.rehearsal.as_ref();
    rehearsal.is_some_and(|rehearsal| rehearsal.on == RehearsalGround::Snapshot)
}

/// That an earlier attempt has taken it, and when.
fn again(record: &SnapshotRecord, now: jiff::Timestamp, max_age: Span) -> String {
    if record.taken_at.0 == now {
        return String::new();
    }
    format!(
        "; an earlier attempt took it at {}, and it is used again because the history is the same \
            (spec.snapshot.maxAge: {max_age})",
        record.taken_at.0.strftime("%FT%TZ")
    )
}
