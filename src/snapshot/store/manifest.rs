//! What is written beside a dump, so that a person who finds the folder in a year knows what it is without
//! reading Kubernetes.

use std::{fs, path::Path};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::ReadBack;

/// The dump inside a snapshot's folder: a file, or a folder when several tables were dumped at once.
pub(super) const DUMP: &str = "dump";
/// The manifest inside a snapshot's folder.
pub(super) const MANIFEST: &str = "manifest.json";
/// The digests of the dump's files, for `sha256sum --check`.
pub(super) const SUMS: &str = "SHA256SUMS";

/// What a snapshot holds, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The version of this file's layout.
    pub version: u32,
    /// The database.
    pub database: String,
    /// Where it was: `host:port/database`.
    pub place: String,
    /// When the snapshot was taken; it holds everything committed before.
    pub taken_at: Timestamp,
    /// The server's version.
    pub server_version: String,
    /// The version of `pg_dump`; `pg_restore` must not be older.
    pub client_version: String,
    /// The server's place in the write-ahead log before the dump began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_lsn: Option<String>,
    /// Tables dumped at once; 1 makes a single file in PostgreSQL's custom format, more a folder in its
    /// directory format.
    pub jobs: u32,
    /// The history at that time.
    pub history_digest: String,
    /// The migrations that were about to run.
    pub pending: Vec<String>,
    /// What it was taken for, as the names of the Jobs have it: the beginning of the digest of the spec and the source.
    /// Absent where a person ran Sluice outside a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The size of the dump.
    pub bytes: u64,
    /// The SHA-256 of the dump file, or of `SHA256SUMS` when the dump is a folder.
    pub sha256: String,
    /// How it was proven.
    pub verified: ReadBack,
}

impl Manifest {
    /// The version of the layout that is written.
    pub(in super::super) const VERSION: u32 = 1;

    /// As it is written.
    pub(super) fn text(&self) -> String {
        let json =
            serde_json::to_string_pretty(self).expect("a manifest of strings and numbers is always JSON");
        format!("{json}\n")
    }

    /// Reads the manifest of a snapshot's folder; `None` when the folder is not a snapshot.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(MANIFEST)).ok()?).ok()
    }
}
