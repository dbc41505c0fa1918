//! Reads a folder: its migrations in their order, with the phases around them.
//!
//! Two layouts: that of the format, as editors write it, and the flat keys of mounted ConfigMaps. A mounted
//! volume is told by the `..data` link that the kubelet makes; links are followed, names that begin with `..`
//! are skipped.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::{
    FormatRules, PhaseFolder, empty,
    folder::Folder,
    format::flat,
    hexadecimal, phase,
    source::{SourceError, SourceTree},
};
use crate::api::Format;

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
    let mut tree = migrations(FormatRules::of(format), folder)?;
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

fn migrations(format: &FormatRules, folder: &Path) -> Result<SourceTree, SourceError> {
    let Some(folder) = Folder::open(folder)? else { return Err(SourceError::NoFolder(folder.to_owned())) };
    let read = if folder.is_mounted() { flat } else { format.read };
    let mut tree = SourceTree::default();
    let entries = folder.entries()?;
    for entry in &entries {
        tree.entries.push(if entry.is_dir { format!("{}/", entry.name) } else { entry.name.clone() });
        read(&folder, entry, &mut tree)?;
        (format.check)(&folder, entry)?;
    }
    folder.must_still_have(&entries)?;
    (format.sort)(&mut tree.migrations);
    Ok(tree)
}

impl SourceTree {
    /// A source without a migration of the format's own looks like a wrong path: an error that says what was
    /// found there instead.
    pub fn must_not_be_empty(&self, format: Format, folder: &Path) -> Result<(), SourceError> {
        if self.own().next().is_some() {
            return Ok(());
        }
        Err(SourceError::Empty {
            folder: folder.to_owned(),
            found: empty::found(&self.entries),
            hint: empty::hint(FormatRules::of(format), folder),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::api::Reason;

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
        let named = |name: &str| open.migration(name, name, "x.sql", Path::new("x.sql")).map(|_| ());
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
