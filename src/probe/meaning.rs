//! What the answer to a write says about the policies. PURE.

use super::{attack::WriteResult, attempt::Refusal, target::Target};

/// What a refused write says about the policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A policy, a privilege or a trigger said no.
    Closed,
    /// The policies let the row through; a constraint stopped it, and the next row need not break it.
    Passed,
    /// Neither can be told.
    Unknown,
}

pub(super) fn meaning(refusal: &Refusal) -> Meaning {
    match (refusal.code.as_str(), refusal.routine.as_str()) {
        // Row-level security and privileges share the code; an exception of a trigger is how guards say no,
        // and 44000 is a view's WITH CHECK OPTION.
        ("42501" | "P0001" | "44000", _) => Meaning::Closed,
        // Unique, foreign key and exclusion are checked after the policies; so are NOT NULL and CHECK of a
        // table, while those of a domain, and the path to a partition, come before.
        ("23505" | "23503" | "23P01" | "23001", _)
        | ("23502" | "23514", "ExecConstraints" | "ReportNotNullViolationError") => Meaning::Passed,
        _ => Meaning::Unknown,
    }
}

/// Whether a constraint that stopped a row says nothing about the policies: triggers may have changed the row
/// before, and a view checks its own condition (WITH CHECK OPTION) after all constraints but foreign keys.
pub(super) fn uncertain(target: &Target, refusal: &Refusal) -> bool {
    target.triggers || (target.view.is_some() && refusal.code != "23503")
}

/// Whether a write got past the policies, and what else stopped it. Where a trigger may have changed the row,
/// a constraint tells nothing about the row that the policies saw.
pub(super) fn went_through(write_result: &WriteResult, target: &Target) -> Option<String> {
    match write_result {
        WriteResult::Touched(rows) if *rows > 0 => Some(String::new()),
        WriteResult::Refused(refusal)
            if meaning(refusal) == Meaning::Passed && !uncertain(target, refusal) =>
        {
            Some(format!(" (only a constraint stopped it: SQLSTATE {})", refusal.code))
        }
        _ => None,
    }
}
