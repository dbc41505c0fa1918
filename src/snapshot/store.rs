//! The folder of one DatabaseMigration on the volume: beginning, publishing, listing and deleting snapshots
//! in it.
//!
//! Only two moves are visible to others, and both are a rename: a snapshot appears when it is whole, and it
//! disappears before its files do. Whatever a killed attempt leaves has a hidden name and goes with the next
//! sweep.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use jiff::{Timestamp, tz::TimeZone};

use super::{SnapshotError, keep::Existing, manifest::Manifest};

/// The beginning of every name that is not a snapshot yet, or no longer.
const HIDDEN: &str = ".partial-";

/// The folder of one DatabaseMigration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Store<'a> {
    folder: &'a Path,
    claim: Option<&'a str>,
}

/// A snapshot that grows.
#[derive(Debug)]
pub(super) struct Partial<'a> {
    store: Store<'a>,
    path: PathBuf,
    name: String,
}

impl<'a> Store<'a> {
    /// Opens the folder; makes it when it is not there.
    pub(super) fn open(folder: &'a Path, claim: Option<&'a str>) -> Result<Self, SnapshotError> {
        let store = Self { folder, claim };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(store.failed("create", folder))?;
        // The namespace's folder and the volume's root too: either may be new.
        for made in folder.ancestors().take(3).filter(|path| !path.as_os_str().is_empty()) {
            sync(made).map_err(store.failed("write", made))?;
        }
        Ok(store)
    }

    /// Removes what killed attempts left.
    pub(super) fn sweep(&self) -> Result<(), SnapshotError> {
        for entry in self.names()?.into_iter().filter(|name| name.starts_with(HIDDEN)) {
            let path = self.folder.join(entry);
            fs::remove_dir_all(&path).map_err(self.failed("remove", &path))?;
        }
        Ok(())
    }

    /// Makes the hidden folder of a new snapshot. Only its owner may read it: a dump holds everything the
    /// database holds.
    pub(super) fn begin(self, now: Timestamp) -> Result<Partial<'a>, SnapshotError> {
        let name = now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S%.3fZ").to_string();
        let path = self.folder.join(format!("{HIDDEN}{name}"));
        DirBuilder::new().mode(0o700).create(&path).map_err(self.failed("create", &path))?;
        Ok(Partial { store: self, path, name })
    }

    /// The snapshots that are there. A folder without a manifest is none, and is left alone.
    pub(super) fn existing(&self) -> Vec<Existing> {
        let names = self.names().unwrap_or_default().into_iter().filter(|name| !name.starts_with('.'));
        names
            .filter_map(|name| {
                Manifest::read(&self.folder.join(&name))
                    .map(|found| Existing { name, taken_at: found.taken_at })
            })
            .collect()
    }

    /// Deletes a snapshot.
    pub(super) fn delete(&self, name: &str) -> Result<(), SnapshotError> {
        let (path, hidden) = (self.folder.join(name), self.folder.join(format!("{HIDDEN}deleted-{name}")));
        fs::rename(&path, &hidden)
            .and_then(|()| fs::remove_dir_all(&hidden))
            .map_err(self.failed("delete", &path))
    }

    /// How a status names a snapshot: `CLAIM:NAMESPACE/NAME/SNAPSHOT`, or its path where there is no claim.
    pub(super) fn reference(&self, name: &str) -> String {
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

    fn failed(&self, action: &'static str, path: &Path) -> impl Fn(io::Error) -> SnapshotError + use<> {
        let (claim, path) = (self.claim.map(str::to_owned), path.to_owned());
        move |cause| SnapshotError::volume(claim.as_deref(), action, &path, cause)
    }
}

impl Partial<'_> {
    /// Where it grows.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name. From here on it is a snapshot, also after a power cut.
    pub(super) fn publish(self) -> Result<String, SnapshotError> {
        let Self { store, path, name } = self;
        let published = store.folder.join(&name);
        // pg_dump makes files that every user may read, should a person open the folder later.
        private(&path).map_err(store.failed("restrict", &path))?;
        // The order matters: first everything that is in it, then its name, then the folder that holds the
        // name.
        sync(&path).map_err(store.failed("write", &path))?;
        fs::rename(&path, &published).map_err(store.failed("name", &published))?;
        sync(store.folder).map_err(store.failed("write", store.folder))?;
        Ok(name)
    }
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

    #[test]
    fn a_reference_names_the_claim_and_the_path_below_the_mount() {
        for folder in ["/snapshots/medical/records", "/var/lib/copies/medical/records", "medical/records"] {
            let store = Store { folder: Path::new(folder), claim: Some("records-snapshots") };
            assert_eq!(
                store.reference("20261121T000000.000Z"),
                "records-snapshots:medical/records/20261121T000000.000Z",
                "{folder}"
            );
            let own = Store { claim: None, ..store };
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
        let store = Store::open(&folder, Some("claim")).expect("opens");
        let killed = store.begin(Timestamp::UNIX_EPOCH).expect("begins");
        fs::write(killed.path().join("dump"), "half").expect("writes");
        drop(killed);
        assert!(store.existing().is_empty());

        store.sweep().expect("sweeps");
        assert_eq!(store.names().expect("lists"), Vec::<String>::new());
        assert_eq!(
            store.begin(Timestamp::UNIX_EPOCH).expect("begins").publish().expect("publishes"),
            "19700101T000000.000Z"
        );
        assert_eq!(store.names().expect("lists"), ["19700101T000000.000Z"]);
    }

    #[test]
    fn only_the_owner_reads_a_snapshot() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = root.path().join("medical/records");
        let partial =
            Store::open(&folder, Some("claim")).expect("opens").begin(Timestamp::UNIX_EPOCH).expect("begins");
        fs::create_dir(partial.path().join("dump")).expect("makes a folder");
        fs::write(partial.path().join("dump/toc.dat"), "x").expect("writes");
        fs::set_permissions(partial.path().join("dump/toc.dat"), Permissions::from_mode(0o644))
            .expect("as pg_dump does");
        let published = folder.join(partial.publish().expect("publishes"));
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        let (dump, file) = (published.join("dump"), published.join("dump/toc.dat"));
        assert_eq!([mode(&folder), mode(&published), mode(&dump), mode(&file)], [0o700, 0o700, 0o700, 0o600]);
    }

    #[test]
    fn a_folder_that_is_no_snapshot_is_left_alone() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(root.path(), Some("claim")).expect("opens");
        fs::create_dir(root.path().join("by-hand")).expect("makes a folder");
        store.sweep().expect("sweeps");
        assert!(store.existing().is_empty());
        assert_eq!(store.names().expect("lists"), ["by-hand"]);
    }
}
