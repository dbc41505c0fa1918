//! Why a stage cannot work on a database.

use crate::api::Reason;

/// Why nothing can be done here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The reason of the condition.
    pub reason: Reason,
    /// What is wrong, and what to do.
    pub message: String,
}
