//! `--since REF`: which files of a folder are as they were in a commit, by Git itself. Everything else is judged: what
//! is new, what has changed, and what Git cannot tell.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The files of a folder that are the same in a commit.
pub(super) struct Unchanged {
    folder: PathBuf,
    /// By their paths below the folder.
    files: BTreeSet<PathBuf>,
}

impl Unchanged {
    /// Asks Git about a folder.
    pub(super) fn since(reference: &str, folder: &Path) -> Result<Self, String> {
        let shown = folder.display();
        let folder =
            fs::canonicalize(folder).map_err(|error| format!("--since: cannot open {shown}: {error}"))?;
        // `--end-of-options`: a reference that begins with a dash is none of Git's own.
        let then = ["ls-tree", "-r", "--name-only", "-z", "--end-of-options", reference];
        let changed = ["diff", "--name-only", "--relative", "-z", "--end-of-options", reference, "--", "."];
        let changed = git(&folder, &changed)?;
        let files = git(&folder, &then)?.difference(&changed).cloned().collect();
        Ok(Self { folder, files })
    }

    /// Whether a file is as it was: its entry, and where that is a link the file that it leads to.
    pub(super) fn has(&self, file: &str) -> bool {
        let target = fs::canonicalize(self.folder.join(file)).ok();
        let target = target.as_deref().and_then(|target| target.strip_prefix(&self.folder).ok());
        self.files.contains(Path::new(file)) && target.is_some_and(|target| self.files.contains(target))
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
