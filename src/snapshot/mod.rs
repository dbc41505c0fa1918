//! Snapshots: taken, read back, recorded. One file per kind of snapshot; today there is one, `dump`.
//!
//! The snapshot stage calls [`take`]. A snapshot grows in a hidden folder beside its place, is proven there,
//! and is renamed only when it is whole: whatever stands under its final name can be restored. Nothing in
//! here decides whether a snapshot is needed, and nothing writes to the database.

mod dump;
mod error;
mod keep;
mod manifest;
mod process;
mod proof;
mod server;
mod store;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{Keep, ReadBack, SnapshotRecord},
    postgres::{ConnectionUrl, connect},
};

pub use error::SnapshotError;
pub use manifest::Manifest;

/// What to take, and where to keep it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The database, and the role that reads it.
    pub url: &'a ConnectionUrl,
    /// The folder of this DatabaseMigration: `NAMESPACE/NAME` under the mounted volume. It is created when it
    /// is missing.
    pub folder: &'a Path,
    /// The PersistentVolumeClaim that is mounted there, for the record and for messages; none where a person
    /// runs Sluice outside a cluster.
    pub claim: Option<&'a str>,
    /// Tables at once. 1 makes a single file, more make a folder.
    pub jobs: u32,
    /// How it is proven.
    pub read_back: ReadBack,
    /// Which older ones stay; all of them when absent.
    pub keep: Option<&'a Keep>,
    /// The history that the plan saw, for the manifest.
    pub history_digest: &'a str,
    /// What is about to run, for the manifest.
    pub pending: &'a [String],
    /// The time, read before anything of the database is.
    pub now: Timestamp,
    /// How long everything may take together.
    pub deadline: Duration,
    /// The server's major version, as the plan saw it.
    pub server_major: u32,
    /// The client tools.
    pub tools: &'a Tools,
}

/// Where PostgreSQL's client tools are. Default: found through `PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    pg_dump: PathBuf,
    pg_restore: PathBuf,
}

impl Tools {
    /// The tools of one folder, for instance `/usr/lib/postgresql/18/bin`.
    pub fn of_folder(folder: &Path) -> Self {
        Self { pg_dump: folder.join("pg_dump"), pg_restore: folder.join("pg_restore") }
    }
}

impl Default for Tools {
    fn default() -> Self {
        Self { pg_dump: PathBuf::from("pg_dump"), pg_restore: PathBuf::from("pg_restore") }
    }
}

/// Takes a snapshot, proves it, and deletes those that need not stay any longer.
///
/// It either ends within the deadline or ends its tools. A snapshot that failed leaves nothing under a final
/// name; what it leaves under a hidden one is removed by the next attempt.
pub async fn take(request: Request<'_>) -> Result<SnapshotRecord, SnapshotError> {
    match tokio::time::timeout(request.deadline, take_in_time(request)).await {
        Ok(result) => result,
        Err(_) => Err(SnapshotError::TookTooLong {
            database: request.url.database().to_owned(),
            deadline: request.deadline,
        }),
    }
}

async fn take_in_time(request: Request<'_>) -> Result<SnapshotRecord, SnapshotError> {
    let client = dump::client(&request).await?;
    // Everything that would make the dump fail after minutes is checked first.
    let mut connection = connect(request.url, "sluice-snapshot").await.map_err(SnapshotError::Unreachable)?;
    let server = server::describe(&mut connection, &request).await?;

    let store = store::Store::open(request.folder, request.claim)?;
    store.sweep()?;
    // Before as well as after: on a volume that is full, what has expired makes the room.
    prune(&store, &request, 0);
    let partial = store.begin(request.now)?;
    let file = partial.path().join(manifest::DUMP);
    dump::write(&request, &mut connection, &file).await?;
    let ((), contents) = tokio::try_join!(proof::prove(&request, &file), proof::digest(&request, &file))?;
    let manifest = manifest::Manifest::new(&request, client, server, &contents);
    manifest.write(partial.path(), &contents, request.claim)?;
    let name = partial.publish()?;
    prune(&store, &request, 1);

    Ok(SnapshotRecord {
        reference: store.reference(&name),
        taken_at: Time(request.now),
        bytes: contents.bytes,
        sha256: contents.sha256,
        verified: request.read_back,
    })
}

/// Deletes what has expired. `newer` snapshots of this run already count among those that stay. A failure is
/// logged and no more: what could not be deleted today is deleted next time, and it is no reason to hold a
/// migration back.
fn prune(store: &store::Store, request: &Request<'_>, newer: usize) {
    let Some(keep) = request.keep else { return };
    let existing: Vec<_> = store
        .existing()
        .into_iter()
        .filter(|snapshot| newer == 0 || snapshot.taken_at != request.now)
        .collect();
    for name in keep::expired(&existing, keep, newer, request.now) {
        match store.delete(name) {
            Ok(()) => tracing::info!(snapshot = name, "deleted a snapshot that need not stay"),
            Err(error) => {
                tracing::warn!(snapshot = name, %error, "could not delete a snapshot that need not stay");
            }
        }
    }
}
