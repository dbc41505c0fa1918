//! Phases: folders of plain SQL beside the format's own migrations. Their files become migrations called
//! `PHASE/FILE`, so that nothing of one can be taken for another's.

use std::path::{Path, PathBuf};

use super::{Migration, SourceError, SourceTree, folder::Folder, order, source::BETWEEN};
use crate::api::{CheckId, Finding, PhaseWhen, Severity};

/// Where a phase is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseFolder {
    /// Its name.
    pub name: String,
    /// Where its files are now.
    pub folder: PathBuf,
    /// Where they are in the manifest's terms: what stands before a file's name in messages.
    pub shown: String,
    /// On which side of the migrations it runs.
    pub when: PhaseWhen,
    /// A file whose text has changed runs again.
    pub repeatable: bool,
}

/// Puts the phases around the migrations.
pub(super) fn add(tree: &mut SourceTree, phases: &[PhaseFolder]) -> Result<(), SourceError> {
    let mut before = Vec::new();
    for phase in phases {
        let mut files = read(phase, &mut tree.findings)?;
        match phase.when {
            PhaseWhen::Before => before.append(&mut files),
            PhaseWhen::After => tree.migrations.append(&mut files),
        }
    }
    tree.migrations.splice(0..0, before);
    Ok(())
}

fn read(phase: &PhaseFolder, findings: &mut Vec<Finding>) -> Result<Vec<Migration>, SourceError> {
    let Some(folder) = Folder::open(&phase.folder)? else {
        return Err(SourceError::NoPhase { phase: phase.name.clone(), folder: phase.folder.clone() });
    };
    let entries = folder.entries()?;
    let mut files = Vec::new();
    for entry in &entries {
        let shown = format!("{}/{}", phase.shown, entry.name);
        match entry.name.strip_suffix(".sql") {
            Some(name) if !entry.is_dir => {
                let mut migration = folder.migration(
                    &format!("{}{BETWEEN}{name}", phase.name),
                    name,
                    &shown,
                    Path::new(&entry.name),
                )?;
                migration.repeatable = phase.repeatable;
                files.push(migration);
            }
            _ if entry.is_dir => findings.push(stray(
                &shown,
                format!("{shown:?} is a folder, and nothing in it is run"),
                format!(
                    "put its files into {:?} itself, or make it a phase of its own in spec.migrations.phases",
                    phase.shown
                ),
            )),
            _ => {}
        }
    }
    folder.must_still_have(&entries)?;
    if files.is_empty() {
        let message = format!(
            "the phase {:?} has no file NAME.sql in {:?}, so nothing of it is run",
            phase.name, phase.shown
        );
        findings.push(stray(
            &phase.name,
            message,
            "add its files, or take it out of spec.migrations.phases".to_owned(),
        ));
    }
    order::sort(&mut files, |file| &file.name);
    Ok(files)
}

fn stray(object: &str, message: String, remedy: String) -> Finding {
    Finding {
        check: CheckId::StrayEntry,
        object: object.to_owned(),
        severity: Severity::Warning,
        message,
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        api::{Format, Reason},
        migrations::{load_with, phase_of},
    };

    fn phase(root: &Path, name: &str, when: PhaseWhen) -> PhaseFolder {
        PhaseFolder {
            name: name.into(),
            folder: root.join(name),
            shown: format!("sql/{name}"),
            when,
            repeatable: false,
        }
    }

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        root
    }

    const FILES: [(&str, &str); 5] = [
        ("migrations/1_init/migration.sql", "SELECT 1;"),
        ("security/020_b.sql", "SELECT 3;"),
        ("security/010_a.sql", "SELECT 2;"),
        ("security/README.md", "why"),
        ("types/1.sql", "SELECT 0;"),
    ];

    #[test]
    fn phases_stand_around_the_migrations_in_the_order_of_the_manifest_and_of_their_files() {
        let root = project(&FILES);
        let phases = [
            phase(root.path(), "security", PhaseWhen::After),
            phase(root.path(), "types", PhaseWhen::Before),
        ];
        let tree = load_with(Format::Prisma, &root.path().join("migrations"), &phases).expect("loads");
        let names: Vec<_> = tree
            .migrations
            .iter()
            .map(|migration| (migration.name.as_str(), migration.file.as_str()))
            .collect();
        let expected = [
            ("types/1", "sql/types/1.sql"),
            ("1_init", "1_init/migration.sql"),
            ("security/010_a", "sql/security/010_a.sql"),
            ("security/020_b", "sql/security/020_b.sql"),
        ];
        assert_eq!(names, expected);
        assert!(tree.findings.is_empty(), "{:?}", tree.findings);
        assert_eq!((phase_of("security/010_a"), phase_of("1_init")), (Some("security"), None));
    }

    #[test]
    fn the_digest_changes_with_the_text_and_the_order_of_phases() {
        let root = project(&FILES);
        let digest = |phases: &[PhaseFolder]| {
            load_with(Format::Prisma, &root.path().join("migrations"), phases).expect("loads").digest
        };
        let one = |name, when| phase(root.path(), name, when);
        let before = digest(&[one("types", PhaseWhen::Before), one("security", PhaseWhen::After)]);
        assert_ne!(before, digest(&[]));
        assert_ne!(before, digest(&[one("types", PhaseWhen::After), one("security", PhaseWhen::After)]));
        fs::write(root.path().join("security/010_a.sql"), "SELECT 4;").expect("a file");
        assert_ne!(before, digest(&[one("types", PhaseWhen::Before), one("security", PhaseWhen::After)]));
    }

    #[test]
    fn a_phase_without_a_folder_is_an_error_that_names_it_and_one_without_files_is_a_warning() {
        let root = project(&FILES);
        let missing = [phase(root.path(), "grants", PhaseWhen::After)];
        let error =
            load_with(Format::Prisma, &root.path().join("migrations"), &missing).expect_err("is refused");
        assert!(error.to_string().contains("the phase \"grants\" has no folder"), "{error}");
        assert_eq!(error.reason(), Reason::SourceNotFound);

        fs::create_dir_all(root.path().join("grants/later")).expect("a folder");
        let tree = load_with(Format::Prisma, &root.path().join("migrations"), &missing).expect("loads");
        let objects: Vec<_> = tree.findings.iter().map(|finding| finding.object.as_str()).collect();
        assert_eq!(objects, ["grants", "sql/grants/later"]);
    }

    #[test]
    fn the_order_inside_a_phase_is_prismas_too() {
        let root = project(&[
            ("migrations/1_init/migration.sql", ""),
            ("security/a.sql", ""),
            ("security/B.sql", ""),
        ]);
        let tree = load_with(
            Format::Prisma,
            &root.path().join("migrations"),
            &[phase(root.path(), "security", PhaseWhen::After)],
        );
        let names: Vec<String> =
            tree.expect("loads").migrations.into_iter().map(|migration| migration.name).collect();
        assert_eq!(names, ["1_init", "security/a", "security/B"]);
    }
}
