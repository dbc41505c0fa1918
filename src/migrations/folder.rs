//! Reads the files of a source: below its folder, regular files only, bounded, and all of one state.
//! A source may come out of any team's image. A link that leads out of it would send a key of the Pod to the
//! server, a FIFO would hang, a device would fill the memory. The kubelet's own links inside a mounted
//! ConfigMap are followed, and so is every link within.

use std::{
    cell::Cell,
    fmt,
    io::{self, Read},
    path::Path,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt},
};
use rustix::fs::OFlags;

use super::{Migration, SourceError};
use crate::limits::MIGRATION_NAME;

/// The largest file, in bytes.
const LARGEST: u64 = 64 << 20;
/// The most bytes of a whole source.
const MOST_BYTES: u64 = 512 << 20;
/// The most entries of a folder.
const MOST_ENTRIES: usize = 20_000;
/// Where the kubelet puts the files of a mounted volume. It replaces the link when they change.
const MOUNTED: &str = "..data";

/// An open folder: what happens to its path does not change what is read.
pub(super) struct Folder {
    dir: Dir,
    /// Of a mounted volume the folder that has the link to `dir`.
    volume: Option<Dir>,
    shown: String,
    read: Cell<u64>,
}

/// One entry of a folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) is_dir: bool,
}

impl Folder {
    /// Opens a folder; `None` when there is none.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, SourceError> {
        let shown = path.display().to_string();
        if !path.is_dir() {
            return Ok(None);
        }
        let failed = |cause| SourceError::Read { file: shown.clone(), cause };
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(failed)?;
        let (dir, volume) = if dir.symlink_metadata(MOUNTED).is_ok() {
            (mounted(&dir, &shown)?, Some(dir))
        } else {
            (dir, None)
        };
        Ok(Some(Self { dir, volume, shown, read: Cell::new(0) }))
    }

    /// It is a mounted volume, whose files are flat.
    pub(super) const fn is_mounted(&self) -> bool {
        self.volume.is_some()
    }

    /// What is in it, without what begins with two dots.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, SourceError> {
        let failed = |cause| SourceError::Read { file: self.shown.clone(), cause };
        let mut entries = Vec::new();
        for entry in self.dir.entries().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("..") {
                continue;
            }
            if entries.len() == MOST_ENTRIES {
                return Err(SourceError::TooLarge {
                    what: self.shown.clone(),
                    most: format!("{MOST_ENTRIES} entries"),
                });
            }
            let kind = entry.file_type().map_err(failed)?;
            // A link that leads out or nowhere might have been meant to be a migration.
            let is_dir = kind.is_dir()
                || kind.is_symlink()
                    && self.dir.metadata(&name).map_err(|cause| self.refused(&name, &name, cause))?.is_dir();
            entries.push(Entry { name, is_dir });
        }
        Ok(entries)
    }

    /// Whether there is such a file, or anything else by that name.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.dir.symlink_metadata(path).is_ok()
    }

    /// The text of one file.
    pub(super) fn read(&self, path: &Path, shown: &str) -> Result<String, SourceError> {
        let bytes = self.bytes(path, shown)?;
        String::from_utf8(bytes).map_err(|_| SourceError::NotUtf8(shown.to_owned()))
    }

    /// Reads a migration. `own` is what its author called it; `shown` is where it stands, for messages.
    pub(super) fn migration(
        &self,
        name: &str,
        own: &str,
        shown: &str,
        path: &Path,
    ) -> Result<Migration, SourceError> {
        if own.len() > MIGRATION_NAME {
            return Err(SourceError::NameTooLong(name.to_owned()));
        }
        let sql = self.read(path, shown)?;
        if sql.starts_with('\u{feff}') {
            return Err(SourceError::ByteOrderMark(shown.to_owned()));
        }
        Ok(Migration::new(name.to_owned(), shown.to_owned(), sql))
    }

    fn bytes(&self, path: &Path, shown: &str) -> Result<Vec<u8>, SourceError> {
        let failed = |cause| self.refused(path, shown, cause);
        let mut options = OpenOptions::new();
        // A FIFO without a writer is opened at once, and then refused.
        let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
        let mut file = self.dir.open_with(path, options.read(true).custom_flags(flags)).map_err(failed)?;
        let before = file.metadata().map_err(failed)?;
        if !before.is_file() {
            return Err(SourceError::NoFile { file: shown.to_owned(), kind: kind(&before) });
        }
        let (left, larger) = (MOST_BYTES - self.read.get(), before.len() > LARGEST);
        if larger || before.len() > left {
            let (what, most) = if larger { (shown, LARGEST) } else { (self.shown.as_str(), MOST_BYTES) };
            return Err(SourceError::TooLarge { what: what.to_owned(), most: format!("{} MiB", most >> 20) });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or_default());
        (&mut file).take(before.len() + 1).read_to_end(&mut bytes).map_err(failed)?;
        let after = file.metadata().map_err(failed)?;
        if bytes.len() as u64 != before.len() || state(&before) != state(&after) {
            return Err(SourceError::Changed(shown.to_owned()));
        }
        self.read.set(self.read.get() + before.len());
        Ok(bytes)
    }

    /// What was listed a moment ago is gone, if it is no link that leads nowhere.
    fn refused(&self, path: impl AsRef<Path>, shown: &str, cause: io::Error) -> SourceError {
        if cause.kind() == io::ErrorKind::NotFound && !self.has(path.as_ref()) {
            return SourceError::Changed(shown.to_owned());
        }
        refused(shown.to_owned(), cause)
    }

    /// Whether the folder still has these entries: what was read is one state of it.
    pub(super) fn must_still_have(&self, entries: &[Entry]) -> Result<(), SourceError> {
        let sorted = |entries: &[Entry]| {
            let mut names: Vec<(String, bool)> =
                entries.iter().map(|entry| (entry.name.clone(), entry.is_dir)).collect();
            names.sort();
            names
        };
        if self.is_there() && sorted(&self.entries()?) == sorted(entries) {
            Ok(())
        } else {
            Err(SourceError::Changed(self.shown.clone()))
        }
    }
}

impl Folder {
    /// A folder that was removed has no name any more. The files of a volume that was replaced go one after
    /// the other, so what is listed may be a part of them for a while: the link leads to the new ones before
    /// the first goes.
    fn is_there(&self) -> bool {
        let Ok(own) = self.dir.dir_metadata() else { return false };
        let leads_here = |volume: &Dir| {
            volume.metadata(MOUNTED).is_ok_and(|data| (data.dev(), data.ino()) == (own.dev(), own.ino()))
        };
        own.nlink() > 0 && self.volume.as_ref().is_none_or(leads_here)
    }
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Folder({})", self.shown)
    }
}

/// The files of a mounted volume. Where the link led may be gone before it is opened, and then the link leads
/// elsewhere.
fn mounted(volume: &Dir, shown: &str) -> Result<Dir, SourceError> {
    let led = volume.read_link_contents(MOUNTED).ok();
    volume.open_dir(MOUNTED).map_err(|cause| {
        let was_replaced = volume.read_link_contents(MOUNTED).ok() != led;
        if cause.kind() == io::ErrorKind::NotFound && was_replaced {
            return SourceError::Changed(shown.to_owned());
        }
        refused(MOUNTED.to_owned(), cause)
    })
}

/// What tells one state of a file from another.
fn state(data: &Metadata) -> (u64, i64, i64) {
    (data.len(), data.mtime(), data.mtime_nsec())
}

fn kind(data: &Metadata) -> &'static str {
    // S_IFMT and the kinds, as stat(2) has them.
    match data.mode() & 0o170_000 {
        0o040_000 => "a folder",
        0o010_000 => "a FIFO",
        0o020_000 | 0o060_000 => "a device",
        0o140_000 => "a socket",
        _ => "no regular file",
    }
}

/// Why a path cannot be had. A path out of the folder has no code of the system: the kernel was never called
/// to go there.
fn refused(file: String, cause: io::Error) -> SourceError {
    match cause.kind() {
        io::ErrorKind::PermissionDenied if cause.raw_os_error().is_none() => SourceError::Outside(file),
        _ => SourceError::Read { file, cause },
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, os::unix::net::UnixListener, sync::Barrier, thread};

    use super::*;
    use crate::{
        api::{Format, Reason},
        migrations::{SourceTree, load},
    };

    /// A source with one good migration.
    fn source() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("1_good")).expect("a folder");
        fs::write(folder.path().join("1_good/migration.sql"), "SELECT 1;").expect("a file");
        folder
    }

    fn told(folder: &tempfile::TempDir) -> String {
        let error = load(Format::Prisma, folder.path()).expect_err("is refused");
        assert_eq!(error.reason(), Reason::SourceInvalid, "{error}");
        error.to_string()
    }

    fn fifo(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo runs");
        assert!(made.success());
    }

    /// Makes something that is no migration.
    type Make<'a> = &'a dyn Fn(&Path);

    #[test]
    fn what_is_no_regular_file_below_the_folder_is_refused_by_its_name_and_nothing_hangs() {
        let secret = tempfile::NamedTempFile::new().expect("a file");
        let migration = |folder: &tempfile::TempDir| {
            fs::create_dir(folder.path().join("2_bad")).expect("a folder");
            folder.path().join("2_bad/migration.sql")
        };
        let (absolute, climbing) =
            (secret.path().to_owned(), Path::new("../../../../../../../../etc/hostname"));
        let makes: [(&str, Make<'_>); 6] = [
            ("leads out of", &|path| symlink(&absolute, path).expect("a link")),
            ("leads out of", &|path| symlink(climbing, path).expect("a link")),
            ("leads out of", &|path| symlink("/dev/zero", path).expect("a link")),
            ("is a FIFO", &fifo),
            ("cannot read", &|path| drop(UnixListener::bind(path).expect("a socket"))),
            ("is a folder", &|path| fs::create_dir(path).expect("a folder")),
        ];
        for (part, make) in makes {
            let folder = source();
            make(&migration(&folder));
            let said = told(&folder);
            assert!(said.contains(part) && said.contains("2_bad/migration.sql"), "{part}: {said}");
        }
    }

    #[test]
    fn a_linked_folder_or_lock_file_that_leads_out_is_refused_and_one_within_is_followed() {
        let outside = source();
        for name in ["2_linked", "migration_lock.toml"] {
            let folder = source();
            symlink(outside.path().join("1_good"), folder.path().join(name)).expect("a link");
            assert!(told(&folder).contains(name), "{name}");
        }
        let folder = source();
        symlink("1_good", folder.path().join("2_linked")).expect("a link");
        symlink("../1_good/migration.sql", folder.path().join("1_good/again.sql")).expect("a link");
        assert_eq!(load(Format::Prisma, folder.path()).expect("loads").migrations.len(), 2);
    }

    #[test]
    fn a_file_may_have_64_mib_and_no_more() {
        let folder = source();
        let file = fs::File::create(folder.path().join("1_good/migration.sql")).expect("a file");
        file.set_len(LARGEST + 1).expect("a size");
        assert!(told(&folder).contains("64 MiB"));
        fs::write(folder.path().join("1_good/migration.sql"), " ".repeat(20 << 20)).expect("writes");
        assert!(load(Format::Prisma, folder.path()).is_ok(), "20 MB are no more than a long INSERT");
    }

    #[test]
    fn of_a_mounted_volume_that_was_replaced_the_part_that_is_not_removed_yet_is_not_taken_for_all_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = |number: usize| {
            fs::create_dir(folder.path().join(format!("..{number}"))).expect("a folder");
            for name in ["1_one.sql", "2_two.sql"] {
                fs::write(folder.path().join(format!("..{number}")).join(name), "SELECT 1;").expect("a file");
            }
            symlink(format!("..{number}"), folder.path().join("..tmp")).expect("a link");
            fs::rename(folder.path().join("..tmp"), folder.path().join("..data")).expect("takes the place");
        };
        state(0);
        let opened = Folder::open(folder.path()).expect("opens").expect("is there");
        opened.must_still_have(&opened.entries().expect("entries")).expect("nothing has changed");
        state(1);
        fs::remove_file(folder.path().join("..0/1_one.sql"))
            .expect("the kubelet has begun to remove the old files");
        let part = opened.entries().expect("entries");
        assert_eq!(part.len(), 1);
        assert!(matches!(opened.must_still_have(&part), Err(SourceError::Changed(_))));
    }

    #[test]
    fn a_mounted_volume_that_is_replaced_while_it_is_read_is_read_as_it_was_or_told_to_have_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let make = |number: usize| {
            let inner = folder.path().join(format!("..{number}"));
            fs::create_dir(&inner).expect("a folder");
            for n in 0..40 {
                fs::write(inner.join(format!("{n:03}.sql")), format!("SELECT {number};")).expect("a file");
            }
            // As the kubelet does it: a new link takes the place of the old one, and then the old files go.
            symlink(format!("..{number}"), folder.path().join("..tmp")).expect("a link");
            fs::rename(folder.path().join("..tmp"), folder.path().join("..data")).expect("takes the place");
            if number > 0 {
                fs::remove_dir_all(folder.path().join(format!("..{}", number - 1))).expect("goes");
            }
        };
        // How many texts there are, and how many files: all files of one state have the same.
        let state = |tree: &SourceTree| {
            let texts: std::collections::BTreeSet<&str> =
                tree.migrations.iter().map(|one| one.sql.as_ref()).collect();
            (texts.len(), tree.migrations.len())
        };
        make(0);
        let begun = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                begun.wait();
                (1..200).for_each(make);
            });
            begun.wait();
            for _ in 0..200 {
                match load(Format::Sql, folder.path()) {
                    Ok(tree) => assert_eq!(state(&tree), (1, 40), "one state"),
                    Err(error) => assert!(error.to_string().contains("changed while"), "{error}"),
                }
            }
        });
        let tree = load(Format::Sql, folder.path()).expect("nothing changes any more");
        assert_eq!(state(&tree), (1, 40), "one state");
    }
}
