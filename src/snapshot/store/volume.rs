//! The folder of one DatabaseMigration on the volume: beginning, publishing, listing and deleting snapshots
//! in it.
//!
//! Only two moves are visible to others, and both are a rename: a snapshot appears when it is whole, and it
//! disappears before its files do. Whatever a killed attempt leaves has a hidden name and goes with the next
//! sweep.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    super::{SnapshotError, Target},
    keep::{Existing, expired},
    manifest::{DUMP, MANIFEST, Manifest, SUMS},
    room,
};
use crate::api::Keep;

/// The beginning of every name that is not a snapshot yet, or no longer.
const HIDDEN: &str = ".partial-";

/// The folder of one DatabaseMigration on a mounted volume.
#[derive(Clone, Copy, Debug)]
pub struct Volume<'a> {
    /// `NAMESPACE/NAME` under the mounted volume. It is created when it is missing.
    pub folder: &'a Path,
    /// The PersistentVolumeClaim that is mounted there, for the record and for messages; none where a person
    /// runs Sluice outside a cluster.
    pub claim: Option<&'a str>,
    /// Which older snapshots stay; all of them when absent.
    pub keep: Option<&'a Keep>,
}

/// Whether the snapshot of this run is among those that stay already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Taken {
    NotYet,
    Now,
}

/// A snapshot that is there.
#[derive(Debug)]
pub(in super::super) struct Found {
    /// What it says of itself.
    pub(in super::super) manifest: Manifest,
    /// Its dump.
    pub(in super::super) target: Target,
    /// How a status names it.
    pub(in super::super) reference: String,
}

/// A snapshot that grows.
#[derive(Debug)]
pub(in super::super) struct Partial<'a> {
    volume: Volume<'a>,
    path: PathBuf,
    name: String,
}

impl<'a> Volume<'a> {
    /// Opens the folder, makes it when it is not there, and removes what killed attempts left.
    pub(in super::super) fn open(&self) -> Result<(), SnapshotError> {
        let folder = self.folder;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(self.failed("create", folder))?;
        // The namespace's folder and the volume's root too: either may be new.
        for made in folder.ancestors().take(3).filter(|path| !path.as_os_str().is_empty()) {
            sync(made).map_err(self.failed("write", made))?;
        }
        self.sweep()
    }

    /// Removes what killed attempts left.
    fn sweep(&self) -> Result<(), SnapshotError> {
        for entry in self.names()?.into_iter().filter(|name| name.starts_with(HIDDEN)) {
            let path = self.folder.join(entry);
            fs::remove_dir_all(&path).map_err(self.failed("remove", &path))?;
        }
        Ok(())
    }

    /// Refuses where the next snapshot of this database would not find room.
    pub(in super::super) fn has_room(&self, database: &str) -> Result<(), SnapshotError> {
        let newest = self.newest(|manifest| manifest.database == database);
        room::check(self.folder, self.words(), newest.map(|found| found.manifest.bytes))
    }

    /// Makes the hidden folder of a new snapshot. Only its owner may read it: a dump holds everything the
    /// database holds.
    pub(in super::super) fn begin(self, now: Timestamp) -> Result<Partial<'a>, SnapshotError> {
        let name = now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S%.3fZ").to_string();
        let path = self.folder.join(format!("{HIDDEN}{name}"));
        DirBuilder::new().mode(0o700).create(&path).map_err(self.failed("create", &path))?;
        Ok(Partial { volume: self, path, name })
    }

    /// The snapshots that are there. A folder without a manifest is none, and is left alone.
    fn existing(&self) -> Vec<Existing> {
        let names = self.names().unwrap_or_default().into_iter().filter(|name| !name.starts_with('.'));
        names
            .filter_map(|name| {
                Manifest::read(&self.folder.join(&name))
                    .map(|found| Existing { name, taken_at: found.taken_at })
            })
            .collect()
    }

    /// The newest snapshot for which this holds.
    pub(in super::super) fn newest(&self, holds: impl Fn(&Manifest) -> bool) -> Option<Found> {
        let names = self.names().unwrap_or_default().into_iter().filter(|name| !name.starts_with('.'));
        let found = names.filter_map(|name| Some((Manifest::read(&self.folder.join(&name))?, name)));
        let (manifest, name) =
            found.filter(|(manifest, _)| holds(manifest)).max_by_key(|(manifest, _)| manifest.taken_at)?;
        let target = Target { path: self.folder.join(&name).join(DUMP), volume: self.words() };
        Some(Found { manifest, target, reference: self.reference(&name) })
    }

    /// Deletes what has expired. A failure is logged and no more: what could not be deleted today is deleted
    /// next time, and it is no reason to hold a migration back.
    pub(in super::super) fn prune(&self, now: Timestamp, taken: Taken) {
        let Some(keep) = self.keep else { return };
        let existing: Vec<_> = self
            .existing()
            .into_iter()
            .filter(|snapshot| taken == Taken::NotYet || snapshot.taken_at != now)
            .collect();
        for name in expired(&existing, keep, usize::from(taken == Taken::Now), now) {
            match self.delete(name) {
                Ok(()) => tracing::info!(snapshot = name, "deleted a snapshot that need not stay"),
                Err(error) => {
                    tracing::warn!(snapshot = name, %error, "could not delete a snapshot that need not stay");
                }
            }
        }
    }

    /// Deletes a snapshot.
    fn delete(&self, name: &str) -> Result<(), SnapshotError> {
        let (path, hidden) = (self.folder.join(name), self.folder.join(format!("{HIDDEN}deleted-{name}")));
        fs::rename(&path, &hidden)
            .and_then(|()| fs::remove_dir_all(&hidden))
            .map_err(self.failed("delete", &path))
    }

    /// How a status names a snapshot: `CLAIM:NAMESPACE/NAME/SNAPSHOT`, or its path where there is no claim.
    fn reference(&self, name: &str) -> String {
        let Some(claim) = self.claim else { return self.folder.join(name).display().to_string() };
        let normal = |part| matches!(part, Component::Normal(_));
        let parts: Vec<_> = self
            .folder
            .components()
            .filter(|part| normal(*part))
            .map(|part| part.as_os_str().to_string_lossy())
            .collect();
        let under_the_mount =
            parts.iter().skip(parts.len().saturating_sub(2)).map(AsRef::as_ref).chain([name]);
        format!("{claim}:{}", under_the_mount.collect::<Vec<_>>().join("/"))
    }

    fn names(&self) -> Result<Vec<String>, SnapshotError> {
        let listed = fs::read_dir(self.folder).and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<Vec<_>>>()
        });
        listed.map_err(self.failed("list", self.folder))
    }

    /// What it is, for a sentence: the volume of a claim, or a folder of the person who runs Sluice.
    fn words(&self) -> String {
        self.claim.map_or_else(
            || "the file system of --snapshot-dir".to_owned(),
            |claim| format!("the volume of PersistentVolumeClaim {claim:?}"),
        )
    }

    fn failed(&self, action: &'static str, path: &Path) -> impl Fn(io::Error) -> SnapshotError + use<> {
        let (volume, path) = (self.words(), path.to_owned());
        move |cause| SnapshotError::volume(volume.clone(), action, &path, cause)
    }
}

impl Partial<'_> {
    /// Where a producer writes.
    pub(in super::super) fn target(&self) -> Target {
        Target { path: self.path.join(DUMP), volume: self.volume.words() }
    }

    /// Writes what it is beside it and gives it its name. From here on it is a snapshot, also after a power cut.
    /// Returns how a status names it.
    pub(in super::super) fn publish(self, manifest: &Manifest, sums: &str) -> Result<String, SnapshotError> {
        for (name, text) in [(SUMS, sums), (MANIFEST, &manifest.text())] {
            let path = self.path.join(name);
            let written = File::create(&path)
                .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
            written.map_err(self.volume.failed("write", &path))?;
        }
        let Self { volume, path, name } = self;
        let published = volume.folder.join(&name);
        // pg_dump makes files that every user may read, should a person open the folder later.
        private(&path).map_err(volume.failed("restrict", &path))?;
        // The order matters: first everything that is in it, then its name, then the folder that holds the
        // name.
        sync(&path).map_err(volume.failed("write", &path))?;
        fs::rename(&path, &published).map_err(volume.failed("name", &published))?;
        sync(volume.folder).map_err(volume.failed("write", volume.folder))?;
        Ok(volume.reference(&name))
    }
}

/// Where the bytes of a snapshot are that was published in this folder.
pub(in super::super) fn place(folder: &Path) -> Target {
    Target { path: folder.join(DUMP), volume: format!("the file system of {}", folder.display()) }
}

/// Only the owner reads the files in a folder, and those in the folders in it.
fn private(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_dir = entry.file_type()?.is_dir();
        fs::set_permissions(entry.path(), Permissions::from_mode(if is_dir { 0o700 } else { 0o600 }))?;
        if is_dir {
            private(&entry.path())?;
        }
    }
    Ok(())
}

/// Waits until a folder's entries are on the disk. Some network volumes do not support it; they are left to
/// their own care.
fn sync(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ReadBack, Reason};

    fn volume(folder: &Path) -> Volume<'_> {
        Volume { folder, claim: Some("records-snapshots"), keep: None }
    }

    fn publish(partial: Partial<'_>) -> String {
        let manifest = Manifest {
            version: Manifest::VERSION,
            database: "records".to_owned(),
            place: "db:5432/records".to_owned(),
            taken_at: Timestamp::UNIX_EPOCH,
            server_version: "15.18".to_owned(),
            client_version: "15.18".to_owned(),
            wal_lsn: None,
            jobs: 1,
            history_digest: String::new(),
            pending: Vec::new(),
            run: None,
            bytes: 0,
            sha256: String::new(),
            verified: ReadBack::Read,
        };
        partial.publish(&manifest, "").expect("publishes")
    }

    #[test]
    fn a_message_names_the_object_and_the_remedy() {
        let refused = volume(Path::new("/snapshots/x")).failed("write", Path::new("/snapshots/x"));
        let error = refused(io::ErrorKind::StorageFull.into());
        assert_eq!(error.reason(), Reason::NoSpace);
        let text = error.to_string();
        assert!(text.contains("\"records-snapshots\"") && text.contains("make it larger"), "{text}");
    }

    #[test]
    fn a_reference_names_the_claim_and_the_path_below_the_mount() {
        for folder in ["/snapshots/medical/records", "/var/lib/copies/medical/records", "medical/records"] {
            let volume = volume(Path::new(folder));
            assert_eq!(
                volume.reference("20261121T000000.000Z"),
                "records-snapshots:medical/records/20261121T000000.000Z",
                "{folder}"
            );
            let own = Volume { claim: None, ..volume };
            assert_eq!(
                own.reference("20261121T000000.000Z"),
                format!("{folder}/20261121T000000.000Z"),
                "where there is no claim"
            );
        }
    }

    #[test]
    fn a_snapshot_appears_whole_or_not_at_all_and_leftovers_go() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = root.path().join("medical/records");
        let volume = volume(&folder);
        volume.open().expect("opens");
        let killed = volume.begin(Timestamp::UNIX_EPOCH).expect("begins");
        fs::write(killed.target().path, "half").expect("writes");
        drop(killed);
        assert!(volume.existing().is_empty());

        volume.sweep().expect("sweeps");
        assert_eq!(volume.names().expect("lists"), Vec::<String>::new());
        assert_eq!(
            publish(volume.begin(Timestamp::UNIX_EPOCH).expect("begins")),
            "records-snapshots:medical/records/19700101T000000.000Z"
        );
        assert_eq!(volume.existing().len(), 1);
        assert_eq!(volume.names().expect("lists"), ["19700101T000000.000Z"]);
    }

    #[test]
    fn only_the_owner_reads_a_snapshot() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = root.path().join("medical/records");
        let volume = volume(&folder);
        volume.open().expect("opens");
        let partial = volume.begin(Timestamp::UNIX_EPOCH).expect("begins");
        fs::create_dir(partial.path.join("dump")).expect("makes a folder");
        fs::write(partial.path.join("dump/toc.dat"), "x").expect("writes");
        fs::set_permissions(partial.path.join("dump/toc.dat"), Permissions::from_mode(0o644))
            .expect("as pg_dump does");
        publish(partial);
        let published = folder.join("19700101T000000.000Z");
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        let (dump, file) = (published.join("dump"), published.join("dump/toc.dat"));
        assert_eq!([mode(&folder), mode(&published), mode(&dump), mode(&file)], [0o700, 0o700, 0o700, 0o600]);
    }

    #[test]
    fn a_folder_that_is_no_snapshot_is_left_alone() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let volume = volume(root.path());
        volume.open().expect("opens");
        fs::create_dir(root.path().join("by-hand")).expect("makes a folder");
        volume.sweep().expect("sweeps");
        assert!(volume.existing().is_empty());
        assert_eq!(volume.names().expect("lists"), ["by-hand"]);
    }
}
