//! What was read of a source: its migrations, what else lies there, and why it cannot be used.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use super::{Script, ScriptError, checksum, split};
use crate::api::{Finding, Reason};

pub(super) const SCRIPT: &str = "migration.sql";

/// What is between a phase and its file. No migration of a format has it in its name, which is that of a
/// file.
pub(super) const BETWEEN: char = '/';

/// The phase of a version; none for a migration of the format's own.
pub fn phase_of(name: &str) -> Option<&str> {
    name.split_once(BETWEEN).map(|(phase, _)| phase)
}

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

    /// Its text, split: at the first use, because what is applied already is never used.
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
        /// Where Sluice searched for it.
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
    #[error("{file} says provider = {provider:?}: Sluice migrates postgresql")]
    Provider {
        /// The lock file.
        file: &'static str,
        /// What it says.
        provider: String,
    },
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
    /// A process writes into it.
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
    /// The history's column holds 255 characters.
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
