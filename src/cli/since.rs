//! `--since REF`: which files of a folder are as they were in a commit, by Git itself. Everything else is judged: what
//! is new, what has changed, and what Git cannot tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::phase::PhaseArg;
use crate::{
    lint::Before,
    migrations::{Migration, SourceTree},
};

/// The folders of a source, beside what they were in a commit.
pub(super) struct Since {
    reference: String,
    own: Unchanged,
    phases: BTreeMap<String, Unchanged>,
}

impl Since {
    /// Asks Git about each folder.
    pub(super) fn of(reference: &str, folder: &Path, phases: &[PhaseArg]) -> Result<Self, String> {
        let own = Unchanged::since(reference, folder)?;
        let mut of_phases = BTreeMap::new();
        for PhaseArg { name, folder } in phases {
            of_phases.insert(name.clone(), Unchanged::since(reference, folder)?);
        }
        Ok(Self { reference: reference.to_owned(), own, phases: of_phases })
    }

    /// Whether the file of a migration is as it was.
    pub(super) fn has(&self, migration: &Migration) -> bool {
        self.file_of(migration).is_some_and(|(folder, file)| folder.has(file))
    }

    /// How the files differ from what they were.
    pub(super) fn before(&self, source: &SourceTree) -> Before {
        let edited = source.migrations.iter().filter(|migration| {
            self.file_of(migration).is_some_and(|(folder, file)| folder.had_another(file))
        });
        Before {
            reference: self.reference.clone(),
            edited: edited.map(|migration| migration.file.clone()).collect(),
            gone: self.own.gone(),
        }
    }

    /// The files of a phase lie side by side, below the folder as it was given.
    fn file_of<'a>(&'a self, migration: &'a Migration) -> Option<(&'a Unchanged, &'a str)> {
        match migration.phase() {
            None => Some((&self.own, &migration.file)),
            Some(phase) => Some((self.phases.get(phase)?, migration.file.rsplit('/').next()?)),
        }
    }
}

/// The files of a folder that are the same in a commit.
struct Unchanged {
    folder: PathBuf,
    /// By their paths below the folder.
    files: BTreeSet<PathBuf>,
    /// Those of the commit that are not the same now.
    changed: BTreeSet<PathBuf>,
}

impl Unchanged {
    /// Asks Git about a folder.
    fn since(reference: &str, folder: &Path) -> Result<Self, String> {
        let shown = folder.display();
        let folder =
            fs::canonicalize(folder).map_err(|error| format!("--since: cannot open {shown}: {error}"))?;
        // `--end-of-options`: a reference that begins with a dash is none of Git's own.
        let then = ["ls-tree", "-r", "--name-only", "-z", "--end-of-options", reference];
        let changed = ["diff", "--name-only", "--relative", "-z", "--end-of-options", reference, "--", "."];
        let (changed, then) = (git(&folder, &changed)?, git(&folder, &then)?);
        let files = then.difference(&changed).cloned().collect();
        let changed = then.intersection(&changed).cloned().collect();
        Ok(Self { folder, files, changed })
    }

    /// Whether a file is as it was: its entry, and where that is a link the file that it leads to.
    fn has(&self, file: &str) -> bool {
        let target = fs::canonicalize(self.folder.join(file)).ok();
        let target = target.as_deref().and_then(|target| target.strip_prefix(&self.folder).ok());
        self.files.contains(Path::new(file)) && target.is_some_and(|target| self.files.contains(target))
    }

    /// Whether the commit has this file with another text.
    fn had_another(&self, file: &str) -> bool {
        self.changed.contains(Path::new(file))
    }

    /// The scripts of the commit that are not there any more.
    fn gone(&self) -> BTreeSet<String> {
        let is_script = |file: &&PathBuf| file.extension().is_some_and(|extension| extension == "sql");
        let gone = self.changed.iter().filter(is_script).filter(|file| !self.folder.join(file).exists());
        gone.map(|file| file.display().to_string()).collect()
    }
}

/// The paths that Git lists. One that is no UTF-8 is left out, so its file is judged.
fn git(folder: &Path, arguments: &[&str]) -> Result<BTreeSet<PathBuf>, String> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output();
    let output = output.map_err(|error| {
        format!("--since needs Git, which does not start: {error}; install it, or leave --since out")
    })?;
    if !output.status.success() {
        return Err(format!("--since: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let paths = output.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    Ok(paths.filter_map(|path| std::str::from_utf8(path).ok()).map(PathBuf::from).collect())
}
