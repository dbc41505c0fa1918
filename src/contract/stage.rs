//! The stages that a run is made of. PURE.

use serde::{Deserialize, Serialize};

/// The environment variable with the URL of the server that a rehearsal makes its copy on, where that is another one.
pub const REHEARSAL_URL: &str = "SLUICE_REHEARSAL_URL";

/// A stage. Which of them a run has, and in which order, its route says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Connect, preflight, compare source and history. Changes nothing.
    Plan,
    /// Take the snapshot and read it back.
    Snapshot,
    /// Run what is pending on a copy, and say what it took. Changes nothing.
    Rehearse,
    /// Run what is pending.
    Migrate,
    /// Check the schema from outside.
    Verify,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 5] = [Self::Plan, Self::Snapshot, Self::Rehearse, Self::Migrate, Self::Verify];

    /// The name of its container and of its verb.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Snapshot => "snapshot",
            Self::Rehearse => "rehearse",
            Self::Migrate => "migrate",
            Self::Verify => "verify",
        }
    }
}
