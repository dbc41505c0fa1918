//! Rows are what was meant. Takes as long as reading them takes. One file per check; [`CHECKS`] has them in
//! the order of a report.

mod orphans;
mod orphans_elsewhere;
mod query_assertion;
mod row_count;
mod rows_kept;
mod volatile;

use super::Check;

/// The checks of this shelf.
pub(super) static CHECKS: &[Check] =
    &[query_assertion::CHECK, row_count::CHECK, rows_kept::CHECK, orphans::CHECK, orphans_elsewhere::CHECK];
