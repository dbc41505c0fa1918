//! The proof that a snapshot can be restored: it is, into a scratch database. The stage `snapshot` drops that at
//! once, a rehearsal runs the release in it first.

use std::path::{Path, PathBuf};

use sqlx::PgConnection;

use super::{
    Context,
    ground::{self, ReplayError, Use},
};
use crate::{
    api::{Reason, SnapshotRecord},
    postgres::{ConnectionUrl, bodies, connect},
    snapshot::{Restore, Tools, restore},
    sql::Reach,
};

const USE: Use = Use {
    now: "the snapshot is restored",
    then: "the snapshot was restored",
    without: "whether it can be restored",
};

/// Restores a snapshot that was taken into a scratch database, and drops that. `history_digest` is that of the
/// history that the snapshot has to have.
pub(super) async fn prove(
    context: &Context,
    record: &SnapshotRecord,
    history_digest: &str,
) -> Result<(), ReplayError> {
    let connection = connect(ground::url(context)?, &context.application()).await;
    let mut real = connection.map_err(|error| ReplayError::stopped(error.reason(), &error))?;
    nothing_beyond(&mut real).await?;
    let server = ground::url(context)?;
    let scratch = ground::make(context, server, &mut real, (&digest(history_digest), USE)).await?;
    let url = scratch.url(server);
    let folder = folder_of(context, record);
    let ended = ground::in_time(context, USE, fill(&folder, &url, history_digest)).await;
    ground::drop(scratch).await;
    ended
}

/// Restores the snapshot of a folder into an empty database.
pub(super) async fn fill(
    folder: &Path,
    into: &ConnectionUrl,
    history_digest: &str,
) -> Result<(), ReplayError> {
    let request = Restore { folder, into, history_digest, tools: &Tools::default() };
    restore(request).await.map_err(|error| ReplayError::stopped(error.reason(), &error))
}

/// Eight characters for the name of the scratch database.
pub(super) fn digest(history_digest: &str) -> String {
    history_digest.chars().filter(char::is_ascii_hexdigit).chain("00000000".chars()).take(8).collect()
}

/// Where a snapshot is that was taken.
pub(super) fn folder_of(context: &Context, record: &SnapshotRecord) -> PathBuf {
    // In a Pod a reference names the claim that is mounted, and the path below it.
    match record.reference.split_once(':').filter(|_| !context.by_hand) {
        Some((_, path)) => context.snapshots.join(path),
        None => PathBuf::from(&record.reference),
    }
}

/// Restoring rows runs routines of the database, in constraints and indexes for instance, and outside of a
/// transaction whose writes to shared catalogs Sluice could count.
pub(super) async fn nothing_beyond(real: &mut PgConnection) -> Result<(), ReplayError> {
    let bodies = bodies(real).await.map_err(ReplayError::query)?;
    let found = bodies.iter().find_map(|body| match Reach::of_body(body) {
        Reach::Hidden(change) => Some(change.words()),
        Reach::Inside | Reach::Beyond => None,
    });
    found.map_or(Ok(()), |words| {
        let message = format!(
            "a routine of the database says {words:?}, and restoring a snapshot may call it, which would \
                change the server: take that out of the routine, or do without a restored copy \
                (spec.before.rehearsal.on: Schema, spec.snapshot.verify: Read)"
        );
        Err(ReplayError::Stopped { reason: Reason::RestoreFailed, message })
    })
}
