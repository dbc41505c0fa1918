//! What a format is, one file each: how its files lie, in which order they apply, what their checksum is, and
//! where their history is kept. Nothing else depends on which format it is.

mod prisma;
mod sql;

use std::{fs, path::Path};

use super::{
    folder::{Entry, Folder},
    source::{Migration, SourceError, SourceTree},
};
use crate::api::Format;

/// One format.
pub struct FormatRules {
    /// As the manifest says it.
    pub name: &'static str,
    /// How its migrations lie, for messages: `each migration is …`.
    pub(super) layout: &'static str,
    /// What it reads, for messages: `format NAME reads …`.
    pub(super) reads: &'static str,
    /// Takes one entry of a folder in.
    pub(super) read: fn(&Folder, &Entry, &mut SourceTree) -> Result<(), SourceError>,
    /// Whether a folder has at least one migration.
    pub(super) is_in: fn(&Path) -> bool,
    /// Puts migrations into the order in which they apply.
    pub(super) sort: fn(&mut [Migration]),
    /// Checks what lies beside the migrations.
    pub(super) check: fn(&Folder, &Entry) -> Result<(), SourceError>,
    /// The schema of the history; none where the connection URL says it.
    pub(super) schema: Option<&'static str>,
    /// The table of the history.
    pub(super) table: &'static str,
    /// The advisory locks that keep other tools of this format away.
    pub(super) locks: &'static [i64],
    /// A team may go back to the tool whose format this is: lint warns of what that tool would not run.
    pub is_of_another_tool: bool,
}

impl FormatRules {
    /// Those of a format.
    pub const fn of(format: Format) -> &'static Self {
        match format {
            Format::Prisma => &prisma::RULES,
            Format::Sql => &sql::RULES,
        }
    }

    /// The schema of the history, where the connection URL names none and the format has none of its own.
    pub fn default_schema(&self) -> Option<&'static str> {
        self.schema.is_none().then_some("public")
    }

    /// The format whose migrations lie in a folder, other than this one.
    pub(super) fn another_in(&self, folder: &Path) -> Option<&'static Self> {
        [&prisma::RULES, &sql::RULES]
            .into_iter()
            .find(|rules| rules.name != self.name && (rules.is_in)(folder))
    }
}

/// `NAME.sql` is the migration NAME: plain files, and the keys of a mounted ConfigMap, whose format ever.
pub(super) fn flat(folder: &Folder, entry: &Entry, tree: &mut SourceTree) -> Result<(), SourceError> {
    match entry.name.strip_suffix(".sql") {
        Some(name) if !entry.is_dir => {
            tree.migrations.push(folder.migration(name, name, &entry.name, Path::new(&entry.name))?);
        }
        _ => {}
    }
    Ok(())
}

/// The folders of a folder, sorted.
pub(super) fn folders(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
