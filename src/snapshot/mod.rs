//! Snapshots: taken, read back, recorded. A producer makes the bytes, a store keeps them, and neither knows the
//! other: a [`Target`] goes one way, a [`Product`] comes back.
//!
//! The snapshot stage calls [`take`]. A snapshot grows in a hidden folder beside its place, is proven there,
//! and is renamed only when it is whole: whatever stands under its final name can be restored. Nothing in
//! here decides whether a snapshot is needed, and nothing writes to the database.

mod error;
mod producer;
mod store;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{api::SnapshotRecord, postgres::ConnectionUrl};

pub use error::SnapshotError;
pub use producer::{Dump, Tools};
pub use store::{Manifest, Volume};

use producer::Prepared;
use store::{Found, Taken, place};

/// What to take, and where to keep it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What makes the bytes.
    pub dump: Dump<'a>,
    /// Where they go.
    pub volume: Volume<'a>,
    /// The history that the plan saw, for the manifest.
    pub history_digest: &'a str,
    /// What is about to run, for the manifest.
    pub pending: &'a [String],
    /// What it is taken for, as the names of the Jobs have it; none where a person runs Sluice outside a cluster.
    pub run: Option<&'a str>,
    /// How old the snapshot may be that an earlier attempt at the same has taken, to be used again.
    pub max_age: Duration,
    /// The time, read before anything of the database is.
    pub now: Timestamp,
    /// How long everything may take together.
    pub deadline: Duration,
}

/// Where a producer writes; a store says it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    /// The file, or the folder; not there yet.
    path: PathBuf,
    /// What it is on, in the words of its store.
    volume: String,
}

/// What was written, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Contents {
    /// All files together.
    bytes: u64,
    /// Of the file, or of `sums` when it is a folder.
    sha256: String,
    /// One line for each file, as `sha256sum` writes them.
    sums: String,
}

/// What a producer made: the bytes, and what they were made of and with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Product {
    contents: Contents,
    /// The server's version, in full.
    server_version: String,
    /// The server's place in the write-ahead log before the dump began: everything up to here is in it.
    wal_lsn: Option<String>,
    /// The version of the client.
    client_version: String,
}

/// Takes a snapshot, proves it, and deletes those that need not stay any longer.
///
/// A retry uses the snapshot again that an earlier attempt has taken, within [`Request::max_age`].
///
/// It either ends within the deadline or ends its tools. A snapshot that failed leaves nothing under a final
/// name; what it leaves under a hidden one is removed by the next attempt.
pub async fn take(request: Request<'_>) -> Result<SnapshotRecord, SnapshotError> {
    match tokio::time::timeout(request.deadline, take_in_time(request)).await {
        Ok(result) => result,
        Err(_) => Err(SnapshotError::TookTooLong {
            database: request.dump.url.database().to_owned(),
            deadline: request.deadline,
        }),
    }
}

async fn take_in_time(request: Request<'_>) -> Result<SnapshotRecord, SnapshotError> {
    let Request { dump, volume, now, deadline, .. } = request;
    let prepared = dump.prepare().await?;
    volume.open()?;
    if let Some(record) = taken_before(&request, &prepared).await {
        return Ok(record);
    }
    // Before as well as after: on a volume that is full, what has expired makes the room.
    volume.prune(now, Taken::NotYet);
    volume.has_room(dump.url.database())?;
    let partial = volume.begin(now)?;
    let product = prepared.write(&partial.target(), deadline).await?;
    let reference = partial.publish(&manifest(&request, &product), &product.contents.sums)?;
    volume.prune(now, Taken::Now);

    let Contents { bytes, sha256, .. } = product.contents;
    Ok(SnapshotRecord { reference, taken_at: Time(now), bytes, sha256, verified: dump.read_back })
}

/// The snapshot of an earlier attempt, if it is one of the same database and history, young enough, and still what
/// its manifest says, byte for byte. Where that is in doubt another one is taken.
async fn taken_before(request: &Request<'_>, prepared: &Prepared<'_>) -> Option<SnapshotRecord> {
    let found = request.volume.newest(|manifest| is_of_an_earlier_attempt(request, manifest))?;
    let Found { manifest, target, reference } = found;
    let doubt = match prepared.read_back(&target).await {
        Ok(Contents { bytes, sha256, .. }) if (bytes, &sha256) == (manifest.bytes, &manifest.sha256) => {
            let (taken_at, verified) = (Time(manifest.taken_at), request.dump.read_back);
            return Some(SnapshotRecord { reference, taken_at, bytes, sha256, verified });
        }
        Ok(_) => "it is not what its manifest says".to_owned(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(snapshot = %reference, %doubt, "the snapshot of an earlier attempt is not used again");
    None
}

fn is_of_an_earlier_attempt(request: &Request<'_>, manifest: &Manifest) -> bool {
    let Request { dump, now, max_age, .. } = request;
    // One from the future has no age.
    let age = Duration::try_from(now.duration_since(manifest.taken_at));
    manifest.version == Manifest::VERSION
        && request.run.is_some()
        && manifest.run.as_deref() == request.run
        && manifest.database == dump.url.database()
        && manifest.place == dump.url.place()
        && manifest.history_digest == request.history_digest
        && manifest.pending == request.pending
        && age.is_ok_and(|age| age < *max_age)
}

fn manifest(request: &Request<'_>, product: &Product) -> Manifest {
    let Request { dump, now, .. } = request;
    Manifest {
        version: Manifest::VERSION,
        database: dump.url.database().to_owned(),
        place: dump.url.place(),
        taken_at: *now,
        server_version: product.server_version.clone(),
        client_version: product.client_version.clone(),
        wal_lsn: product.wal_lsn.clone(),
        jobs: dump.jobs,
        history_digest: request.history_digest.to_owned(),
        pending: request.pending.to_vec(),
        run: request.run.map(ToOwned::to_owned),
        bytes: product.contents.bytes,
        sha256: product.contents.sha256.clone(),
        verified: dump.read_back,
    }
}

/// A snapshot, and where it is put.
#[derive(Clone, Copy, Debug)]
pub struct Restore<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// An empty database.
    pub into: &'a ConnectionUrl,
    /// The history that it has to be of.
    pub history_digest: &'a str,
    /// The client tools.
    pub tools: &'a Tools,
}

/// Restores a snapshot whose files are, byte for byte, those that were written. When its caller gives up, the
/// tools end.
pub async fn restore(request: Restore<'_>) -> Result<(), SnapshotError> {
    let path = || request.folder.to_owned();
    let manifest =
        Manifest::read(request.folder).ok_or_else(|| SnapshotError::NotASnapshot { path: path() })?;
    if manifest.history_digest != request.history_digest {
        return Err(SnapshotError::Outdated { path: path() });
    }
    let target = place(request.folder);
    let contents = producer::digest(&target).await?;
    if (contents.bytes, &contents.sha256) != (manifest.bytes, &manifest.sha256) {
        let detail = format!(
            "its files are not those that were written: {} bytes with the digest {}, where its manifest \
                says {} with {}",
            contents.bytes, contents.sha256, manifest.bytes, manifest.sha256
        );
        return Err(SnapshotError::Damaged { database: manifest.database, detail });
    }
    producer::restore(request.tools, &target.path, manifest.jobs, request.into, &manifest.database).await
}
