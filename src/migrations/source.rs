//! The folder: which files are migrations, in which order, and whether the folder keeps its format's rules.
//!
//! Two layouts: folders as Prisma and editors write them, and the flat keys of mounted ConfigMaps. A mounted
//! volume is told by the `..data` link that the kubelet makes; links are followed, names that begin with `..`
//! are skipped.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use sha2::{Digest, Sha256};

use super::{
    PhaseFolder, Script, ScriptError, checksum, empty,
    folder::{Entry, Folder},
    hexadecimal, order,
    phase::{self, phase_of},
    split,
};
use crate::api::{Finding, Format, Reason, Severity};

const LOCK_FILE: &str = "migration_lock.toml";
pub(super) const SCRIPT: &str = "migration.sql";
/// The column `migration_name` is a `VARCHAR(255)`.
const LONGEST_NAME: usize = 255;

/// One migration of the source.
#[derive(Clone, Debug)]
pub struct Migration {
    /// Its name, which is its version.
    pub name: String,
    /// Where it stands in the source, for messages.
    pub file: String,
    /// Its text.
    pub sql: Arc<str>,
    /// The checksum of its text.
    pub checksum: String,
    /// It runs again when its text has changed.
    pub repeatable: bool,
    script: OnceLock<Result<Script, ScriptError>>,
}

impl Migration {
    /// A migration with this text.
    pub fn new(name: String, file: String, sql: impl Into<Arc<str>>) -> Self {
        let sql = sql.into();
        Self { checksum: checksum(&sql), name, file, sql, repeatable: false, script: OnceLock::new() }
    }

    /// The phase it belongs to; none for a migration of the format's own.
    pub fn phase(&self) -> Option<&str> {
        phase_of(&self.name)
    }

    /// Its text, split: the first time that anybody asks, because what is applied already is never asked for.
    pub fn script(&self) -> Result<&Script, &ScriptError> {
        self.script.get_or_init(|| split(self.sql.clone())).as_ref()
    }
}

/// The whole source.
#[derive(Clone, Debug, Default)]
pub struct SourceTree {
    /// In the order in which they apply.
    pub migrations: Vec<Migration>,
    /// Over all names and texts.
    pub digest: String,
    /// Entries that are no migrations and might have been meant to be.
    pub findings: Vec<Finding>,
    /// What lies in the folder, should nothing of it be a migration.
    pub entries: Vec<String>,
}

impl SourceTree {
    /// The migrations of the format's own: those of no phase.
    pub fn own(&self) -> impl Iterator<Item = &Migration> {
        self.migrations.iter().filter(|migration| migration.phase().is_none())
    }

    /// A source without a migration of the format's own looks like a wrong path: an error that says what was
    /// found there instead.
    pub fn must_not_be_empty(&self, format: Format, folder: &Path) -> Result<(), SourceError> {
        if self.own().next().is_some() {
            return Ok(());
        }
        Err(SourceError::Empty {
            folder: folder.to_owned(),
            found: empty::found(&self.entries),
            hint: empty::hint(format, folder),
        })
    }
}

/// The source cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The folder is not there.
    #[error("the source has no folder {0:?}: check spec.migrations.path, or the folder given with --source")]
    NoFolder(PathBuf),
    /// The folder of a phase is not there.
    #[error(
        "the phase {phase:?} has no folder {folder:?}: check its path in spec.migrations.phases, or the \
            folder given with --phase"
    )]
    NoPhase {
        /// Which.
        phase: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {file:?} in the source: {cause}")]
    Read {
        /// Which.
        file: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The lock file is for another database.
    #[error("{LOCK_FILE} says provider = {0:?}: Sluice migrates postgresql")]
    Provider(String),
    /// The folder of a migration has no script.
    #[error("the folder {0:?} has no {SCRIPT}: delete the folder, or restore the file")]
    NoScript(String),
    /// A link leads out of the folder.
    #[error(
        "{0:?} leads out of the folder of migrations: put the file itself there, Sluice follows links only \
            within the folder"
    )]
    Outside(String),
    /// Something else than a file.
    #[error("{file:?} is {kind}: a migration is a regular file")]
    NoFile {
        /// Which.
        file: String,
        /// What it is.
        kind: &'static str,
    },
    /// Larger than any migration.
    #[error(
        "{what:?} has more than {most}, which Sluice does not read: take out what is no migration, or load \
            data by other means"
    )]
    TooLarge {
        /// The file, or the folder.
        what: String,
        /// The bound.
        most: String,
    },
    /// Somebody writes into it.
    #[error(
        "{0:?} changed while it was read: publish a source as a whole, in an image or a ConfigMap; Sluice \
            reads it again"
    )]
    Changed(String),
    /// Not UTF-8.
    #[error(
        "{0:?} is not valid UTF-8: save it as UTF-8, since a checksum over replaced characters proves nothing"
    )]
    NotUtf8(String),
    /// PostgreSQL would stumble over it.
    #[error("{0:?} begins with a byte order mark: save it as UTF-8 without one, PostgreSQL refuses it")]
    ByteOrderMark(String),
    /// There is no migration at all.
    #[error(
        "{folder:?} holds no migration: {found}{hint}; a source that is meant to be empty says \
            spec.migrations.allowEmpty"
    )]
    Empty {
        /// The folder.
        folder: PathBuf,
        /// What lies there.
        found: String,
        /// What may have been meant.
        hint: String,
    },
    /// The ledger's column holds 255 characters.
    #[error("the migration name {0:?} has more than 255 bytes, and the history holds no more: shorten it")]
    NameTooLong(String),
}

impl SourceError {
    /// The reason of the condition it becomes.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NoFolder(_) | Self::NoPhase { .. } | Self::Changed(_) => Reason::SourceNotFound,
            _ => Reason::SourceInvalid,
        }
    }
}

/// Reads a source without phases.
pub fn load(format: Format, folder: &Path) -> Result<SourceTree, SourceError> {
    load_with(format, folder, &[])
}

/// Reads a source with its phases. One that is replaced meanwhile is read once more.
pub fn load_with(format: Format, folder: &Path, phases: &[PhaseFolder]) -> Result<SourceTree, SourceError> {
    match load_once(format, folder, phases) {
        Err(SourceError::Changed(_)) => load_once(format, folder, phases),
        loaded => loaded,
    }
}

fn load_once(format: Format, folder: &Path, phases: &[PhaseFolder]) -> Result<SourceTree, SourceError> {
    let mut tree = migrations(format, folder)?;
    phase::add(&mut tree, phases)?;
    let mut hash = Sha256::new();
    for migration in &tree.migrations {
        hash.update(migration.name.as_bytes());
        hash.update([0]);
        hash.update(migration.checksum.as_bytes());
    }
    tree.digest = hexadecimal(&hash.finalize());
    tree.findings.sort();
    Ok(tree)
}

fn migrations(format: Format, folder: &Path) -> Result<SourceTree, SourceError> {
    let Some(folder) = Folder::open(folder)? else { return Err(SourceError::NoFolder(folder.to_owned())) };
    let flat = format == Format::Sql || folder.is_mounted();
    let mut tree = SourceTree::default();
    let entries = folder.entries()?;
    for entry in &entries {
        tree.entries.push(if entry.is_dir { format!("{}/", entry.name) } else { entry.name.clone() });
        if flat {
            read_flat(&folder, entry, &mut tree)?;
        } else {
            read_folder(&folder, entry, &mut tree)?;
        }
        if format == Format::Prisma && entry.name == LOCK_FILE {
            check_lock_file(&folder.read(Path::new(LOCK_FILE), LOCK_FILE)?)?;
        }
    }
    folder.must_still_have(&entries)?;
    order::sort(&mut tree.migrations, |migration| &migration.name);
    Ok(tree)
}

/// `NAME.sql` is the migration NAME.
fn read_flat(folder: &Folder, entry: &Entry, tree: &mut SourceTree) -> Result<(), SourceError> {
    match entry.name.strip_suffix(".sql") {
        Some(name) if !entry.is_dir => {
            tree.migrations.push(file(folder, name, name, &entry.name, Path::new(&entry.name))?);
        }
        _ => {}
    }
    Ok(())
}

/// `NAME/migration.sql` is the migration NAME.
fn read_folder(folder: &Folder, entry: &Entry, tree: &mut SourceTree) -> Result<(), SourceError> {
    let script = Path::new(&entry.name).join(SCRIPT);
    if entry.is_dir && folder.has(&script) {
        tree.migrations.push(file(
            folder,
            &entry.name,
            &entry.name,
            &format!("{}/{SCRIPT}", entry.name),
            &script,
        )?);
    } else if entry.is_dir && entry.name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(SourceError::NoScript(entry.name.clone()));
    } else if entry.is_dir || has_sql_suffix(&entry.name) {
        tree.findings.push(Finding {
            check: "stray-entry".to_owned(),
            object: entry.name.clone(),
            severity: Severity::Warning,
            message: format!("{:?} is no migration and is never run", entry.name),
            remedy: format!("put its SQL into NAME/{SCRIPT}, or move it out of the folder of migrations"),
        });
    }
    Ok(())
}

fn has_sql_suffix(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
}

/// Reads one. `own` is what its author called it; `shown` is where it stands, for messages.
pub(super) fn file(
    folder: &Folder,
    name: &str,
    own: &str,
    shown: &str,
    path: &Path,
) -> Result<Migration, SourceError> {
    if own.len() > LONGEST_NAME {
        return Err(SourceError::NameTooLong(name.to_owned()));
    }
    let sql = folder.read(path, shown)?;
    if sql.starts_with('\u{feff}') {
        return Err(SourceError::ByteOrderMark(shown.to_owned()));
    }
    Ok(Migration::new(name.to_owned(), shown.to_owned(), sql))
}

/// Prisma reads the first line that begins with `provider`; so do we, but forgive blanks.
fn check_lock_file(text: &str) -> Result<(), SourceError> {
    let line = text.lines().find(|line| line.starts_with("provider"));
    let provider = line
        .and_then(|line| line.split_once('='))
        .map(|(_, value)| value.trim().trim_matches('"').to_owned());
    match provider {
        Some(provider) if provider != "postgresql" => Err(SourceError::Provider(provider)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (file, text) in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        folder
    }

    fn names(tree: &SourceTree) -> Vec<&str> {
        tree.migrations.iter().map(|migration| migration.name.as_str()).collect()
    }

    #[test]
    fn a_prisma_folder_is_read_in_order_and_stray_entries_are_named() {
        let folder = folder(&[
            ("migration_lock.toml", "# no\nprovider = \"postgresql\"\n"),
            ("20240216140000_b/migration.sql", "SELECT 2;"),
            ("20240215120000_a/migration.sql", "SELECT 1;"),
            ("loose.sql", "SELECT 3;"),
            ("rollbacks/x.sql", "SELECT 4;"),
        ]);
        let tree = load(Format::Prisma, folder.path()).expect("loads");
        assert_eq!(names(&tree), ["20240215120000_a", "20240216140000_b"]);
        let strays: Vec<_> = tree.findings.iter().map(|finding| finding.object.as_str()).collect();
        assert_eq!(strays, ["loose.sql", "rollbacks"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_mounted_config_map_is_read_through_its_links_and_hidden_folders_are_skipped() {
        let folder = folder(&[
            ("..2026/20240215120000_a.sql", "SELECT 1;"),
            ("..2026/migration_lock.toml", "provider = \"postgresql\""),
        ]);
        std::os::unix::fs::symlink("..2026", folder.path().join("..data")).expect("a link");
        for name in ["20240215120000_a.sql", "migration_lock.toml"] {
            std::os::unix::fs::symlink(format!("..data/{name}"), folder.path().join(name)).expect("a link");
        }
        let tree = load(Format::Prisma, folder.path()).expect("loads");
        assert_eq!(names(&tree), ["20240215120000_a"]);
    }

    #[test]
    fn a_folder_that_breaks_a_rule_is_refused_and_the_file_is_named() {
        let cases: [(&[(&str, &str)], &str); 3] = [
            (&[("migration_lock.toml", "provider = \"mysql\"")], "mysql"),
            (&[("20240215120000_a/note.txt", "")], "20240215120000_a"),
            (&[("20240215120000_a/migration.sql", "\u{feff}SELECT 1;")], "byte order mark"),
        ];
        for (files, expected) in cases {
            let error = load(Format::Prisma, folder(files).path()).expect_err("is refused");
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.reason(), Reason::SourceInvalid);
        }
        assert_eq!(
            load(Format::Prisma, Path::new("/nowhere")).expect_err("is refused").reason(),
            Reason::SourceNotFound
        );
    }

    #[test]
    fn a_name_may_be_as_long_as_prismas_column() {
        let longest = format!("20240215120000_{}", "a".repeat(240));
        let tree =
            load(Format::Sql, folder(&[(&format!("{}.sql", &longest[..250]), "")]).path()).expect("loads");
        assert_eq!(tree.migrations[0].name.len(), 250);
        let folder = folder(&[("x.sql", "SELECT 1;")]);
        let open = Folder::open(folder.path()).expect("opens").expect("a folder");
        let named = |name: &str| file(&open, name, name, "x.sql", Path::new("x.sql")).map(|_| ());
        assert!(named(&longest).is_ok());
        assert!(named(&format!("{longest}a")).is_err_and(|error| error.to_string().contains("255 bytes")));
    }

    #[test]
    fn the_digest_changes_with_every_byte_and_every_name() {
        let digest = |name: &str, text: &str| {
            load(Format::Prisma, folder(&[(name, text)]).path()).expect("loads").digest
        };
        let first = digest("1_a/migration.sql", "SELECT 1;");
        assert_eq!(first, digest("1_a/migration.sql", "SELECT 1;"));
        assert_ne!(first, digest("1_a/migration.sql", "SELECT 1; "));
        assert_ne!(first, digest("1_b/migration.sql", "SELECT 1;"));
    }
}
