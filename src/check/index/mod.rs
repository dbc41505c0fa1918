//! Indexes are there and work. One file per check; [`CHECKS`] has them in the order of a report.

mod foreign_key_indexed;
mod index_redundant;
mod index_required;
mod index_unattached;
mod index_valid;
mod plan_uses_index;

use super::Check;

/// The checks of this shelf.
pub(super) static CHECKS: &[Check] = &[
    index_valid::CHECK,
    index_unattached::CHECK,
    index_required::CHECK,
    plan_uses_index::CHECK,
    index_redundant::CHECK,
    foreign_key_indexed::CHECK,
];
