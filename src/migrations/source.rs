//! The folder: which files are migrations, in which order, and whether the folder keeps its format's rules.
//!
//! Two layouts: folders as Prisma and editors write them, and the flat keys of mounted ConfigMaps. A mounted volume is told by
//! the `..data` link that the kubelet makes; links are followed, names that begin with `..` are skipped.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use sha2::{Digest, Sha256};

use super::{Script, ScriptError, checksum, hexadecimal, order, split};
use crate::api::{Finding, Format, Reason, Severity};

const LOCK_FILE: &str = "migration_lock.toml";
const SCRIPT: &str = "migration.sql";

/// One migration of the source.
#[derive(Clone, Debug)]
pub struct Migration {
    /// Its name, which is its version.
    pub name: String,
    /// Where it stands in the source, for messages.
    pub file: String,
    /// Its text.
    pub sql: String,
    /// The checksum of its text.
    pub checksum: String,
    script: OnceLock<Result<Script, ScriptError>>,
}

impl Migration {
    /// A migration with this text.
    pub fn new(name: String, file: String, sql: String) -> Self {
        Self { checksum: checksum(&sql), name, file, sql, script: OnceLock::new() }
    }

    /// Its text, split: the first time that anybody asks, because what is applied already is never asked for.
    pub fn script(&self) -> Result<&Script, &ScriptError> {
        self.script.get_or_init(|| split(&self.sql)).as_ref()
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
}

/// The source cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The folder is not there.
    #[error("the source has no folder {0:?}: check spec.migrations.path, or the folder given with --source")]
    NoFolder(PathBuf),
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
    /// Not UTF-8.
    #[error("{0:?} is not valid UTF-8: save it as UTF-8, since a checksum over replaced characters proves nothing")]
    NotUtf8(String),
    /// PostgreSQL would stumble over it.
    #[error("{0:?} begins with a byte order mark: save it as UTF-8 without one, PostgreSQL refuses it")]
    ByteOrderMark(String),
    /// The order depends on who sorts.
    #[error(
        "the order of {first_by_bytes:?} and {first_by_collation:?} depends on who sorts them: give all names a prefix of the same width and distinct times"
    )]
    AmbiguousOrder {
        /// First by the bytes.
        first_by_bytes: String,
        /// First by Prisma's order.
        first_by_collation: String,
    },
    /// Two ConfigMaps hold the same name, or a name is longer than the ledger can hold.
    #[error("the migration name {0:?} has more than 200 bytes: shorten it")]
    NameTooLong(String),
}

impl SourceError {
    /// The reason of the condition it becomes.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NoFolder(_) => Reason::SourceNotFound,
            _ => Reason::SourceInvalid,
        }
    }
}

/// Reads a source.
pub fn load(format: Format, folder: &Path) -> Result<SourceTree, SourceError> {
    if !folder.is_dir() {
        return Err(SourceError::NoFolder(folder.to_owned()));
    }
    let flat = format == Format::Sql || folder.join("..data").exists();
    let mut tree = SourceTree::default();
    for entry in entries(folder)? {
        if flat {
            read_flat(&entry, &mut tree)?;
        } else {
            read_folder(&entry, &mut tree)?;
        }
        if format == Format::Prisma && entry.name == LOCK_FILE {
            check_lock_file(&read(&entry.path, LOCK_FILE)?)?;
        }
    }
    if let Some(ambiguous) = order::sort(&mut tree.migrations, |migration| &migration.name) {
        let order::Ambiguous { first_by_bytes, first_by_collation } = ambiguous;
        return Err(SourceError::AmbiguousOrder { first_by_bytes, first_by_collation });
    }
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

struct Entry {
    name: String,
    path: PathBuf,
    is_dir: bool,
}

fn entries(folder: &Path) -> Result<Vec<Entry>, SourceError> {
    let failed = |cause| SourceError::Read { file: folder.display().to_string(), cause };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") {
            let path = entry.path();
            let kind = entry.file_type().map_err(failed)?;
            entries.push(Entry { is_dir: kind.is_dir() || kind.is_symlink() && path.is_dir(), path, name });
        }
    }
    Ok(entries)
}

/// `NAME.sql` is the migration NAME.
fn read_flat(entry: &Entry, tree: &mut SourceTree) -> Result<(), SourceError> {
    match entry.name.strip_suffix(".sql") {
        Some(name) if !entry.is_dir => tree.migrations.push(migration(name, &entry.name, &entry.path)?),
        _ => {}
    }
    Ok(())
}

/// `NAME/migration.sql` is the migration NAME.
fn read_folder(entry: &Entry, tree: &mut SourceTree) -> Result<(), SourceError> {
    let script = entry.path.join(SCRIPT);
    if entry.is_dir && script.is_file() {
        tree.migrations.push(migration(&entry.name, &format!("{}/{SCRIPT}", entry.name), &script)?);
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

fn migration(name: &str, file: &str, path: &Path) -> Result<Migration, SourceError> {
    if name.len() > 200 {
        return Err(SourceError::NameTooLong(name.to_owned()));
    }
    let sql = read(path, file)?;
    if sql.starts_with('\u{feff}') {
        return Err(SourceError::ByteOrderMark(file.to_owned()));
    }
    Ok(Migration::new(name.to_owned(), file.to_owned(), sql))
}

fn read(path: &Path, file: &str) -> Result<String, SourceError> {
    let bytes = fs::read(path).map_err(|cause| SourceError::Read { file: file.to_owned(), cause })?;
    String::from_utf8(bytes).map_err(|_| SourceError::NotUtf8(file.to_owned()))
}

/// Prisma reads the first line that begins with `provider`; so do we, but forgive blanks.
fn check_lock_file(text: &str) -> Result<(), SourceError> {
    let line = text.lines().find(|line| line.starts_with("provider"));
    let provider = line.and_then(|line| line.split_once('=')).map(|(_, value)| value.trim().trim_matches('"').to_owned());
    match provider {
        Some(provider) if provider != "postgresql" => Err(SourceError::Provider(provider)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
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
        let folder = folder(&[("..2026/20240215120000_a.sql", "SELECT 1;"), ("..2026/migration_lock.toml", "provider = \"postgresql\"")]);
        std::os::unix::fs::symlink("..2026", folder.path().join("..data")).expect("a link");
        for name in ["20240215120000_a.sql", "migration_lock.toml"] {
            std::os::unix::fs::symlink(format!("..data/{name}"), folder.path().join(name)).expect("a link");
        }
        let tree = load(Format::Prisma, folder.path()).expect("loads");
        assert_eq!(names(&tree), ["20240215120000_a"]);
    }

    #[test]
    fn a_folder_that_breaks_a_rule_is_refused_and_the_file_is_named() {
        let cases: [(&[(&str, &str)], &str); 5] = [
            (&[("migration_lock.toml", "provider = \"mysql\"")], "mysql"),
            (&[("20240215120000_a/note.txt", "")], "20240215120000_a"),
            (&[("20240215120000_a/migration.sql", "\u{feff}SELECT 1;")], "byte order mark"),
            (&[("20260115_a/migration.sql", ""), ("20260115123456_b/migration.sql", "")], "depends on who sorts"),
            (&[("20240215120000_a/migration.sql", "x"), ("20240215120000_B/migration.sql", "y")], "depends on who sorts"),
        ];
        for (files, expected) in cases {
            let error = load(Format::Prisma, folder(files).path()).expect_err("is refused");
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.reason(), Reason::SourceInvalid);
        }
        assert_eq!(load(Format::Prisma, Path::new("/nowhere")).expect_err("is refused").reason(), Reason::SourceNotFound);
    }

    #[test]
    fn the_digest_changes_with_every_byte_and_every_name() {
        let digest = |name: &str, text: &str| load(Format::Prisma, folder(&[(name, text)]).path()).expect("loads").digest;
        let first = digest("1_a/migration.sql", "SELECT 1;");
        assert_eq!(first, digest("1_a/migration.sql", "SELECT 1;"));
        assert_ne!(first, digest("1_a/migration.sql", "SELECT 1; "));
        assert_ne!(first, digest("1_b/migration.sql", "SELECT 1;"));
    }
}
