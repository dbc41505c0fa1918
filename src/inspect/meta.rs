//! What a check is, in words. The pages under `docs/checks/` are written from this, and a test fails when
//! they are stale.

use crate::api::{CheckId, Finding, Severity};

/// What a check is.
#[derive(Debug)]
pub struct Meta {
    /// Stable: it stands in findings, and it is the name of the page.
    pub id: CheckId,
    /// What must be true, in a few words.
    pub title: &'static str,
    /// When it finds something.
    pub condition: &'static str,
    /// What that does to whom.
    pub effect: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// How bad a finding is, unless the condition says otherwise.
    pub severity: Severity,
    /// What it is about.
    pub aspect: Aspect,
}

impl Meta {
    /// A finding of the check's own severity.
    pub(crate) fn finding(
        &self,
        object: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding {
            check: self.id.clone(),
            object: object.into(),
            severity: self.severity,
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

/// What a check is about; the migrate stage chooses by it what can be checked before COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// Tenants never see each other.
    Isolation,
    /// Indexes are there and work.
    Index,
    /// Tables, keys and names are what was meant; read from the catalog alone.
    Structure,
    /// Rows are what was meant. Takes as long as reading them takes, so it is not checked while a migration
    /// holds its locks.
    Data,
    /// What one transaction of a migration does to rows: checked before each COMMIT, and never from outside.
    Change,
    /// The history is that of the source. A stage compares them itself.
    History,
    /// The schema is what its migrations make. A stage compares them itself.
    Drift,
}

impl Aspect {
    /// In one word, for reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Isolation => "isolation",
            Self::Index => "indexes",
            Self::Structure => "structure",
            Self::Data | Self::Change => "rows",
            Self::History => "history",
            Self::Drift => "drift",
        }
    }
}
