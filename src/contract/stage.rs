//! The stages of a run, in order. PURE.

use serde::{Deserialize, Serialize};

/// The stages of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Connect, preflight, compare source and history. Changes nothing.
    Plan,
    /// Take the snapshot and read it back.
    Snapshot,
    /// Run what is pending.
    Migrate,
    /// Look at the schema from outside.
    Verify,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 4] = [Self::Plan, Self::Snapshot, Self::Migrate, Self::Verify];

    /// The name of its container and of its verb.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Snapshot => "snapshot",
            Self::Migrate => "migrate",
            Self::Verify => "verify",
        }
    }

    /// The stage it waits for.
    pub const fn before(self) -> Option<Self> {
        match self {
            Self::Plan => None,
            Self::Snapshot => Some(Self::Plan),
            Self::Migrate => Some(Self::Snapshot),
            Self::Verify => Some(Self::Migrate),
        }
    }
}
