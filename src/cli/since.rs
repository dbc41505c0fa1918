//! `--since REF`: which files of a folder are new or changed since a commit, by Git itself.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::migrations::checksum;

/// The checksums of the files that these folders do not have so in that commit.
pub(super) fn changed<'a>(
    folders: impl Iterator<Item = &'a PathBuf>,
    reference: &str,
) -> Result<BTreeSet<String>, String> {
    let mut checksums = BTreeSet::new();
    for folder in folders {
        // `--end-of-options`: a reference that begins with a dash is none of Git's own.
        let differ = ["diff", "--name-only", "--relative", "-z", "--end-of-options", reference, "--", "."];
        let listed = git(folder, &differ)? + &git(folder, &["ls-files", "--others", "-z"])?;
        for file in listed.split('\0').filter(|file| !file.is_empty()) {
            // A file that is gone is in no release.
            if let Ok(text) = fs::read_to_string(folder.join(file)) {
                checksums.insert(checksum(&text));
            }
        }
    }
    Ok(checksums)
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output();
    let output = output.map_err(|error| format!("--since asks Git, which does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("--since: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
