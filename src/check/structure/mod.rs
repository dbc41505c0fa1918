//! Schemas, tables, keys and enums are what was meant; read from the catalog alone. One file per check;
//! [`CHECKS`] has them in the order of a report.

mod enum_required;
mod foreign_key_required;
mod foreign_key_set_null;
mod foreign_key_validated;
mod schema_exists;
mod table_count;
mod table_required;

use super::Check;

/// The checks of this shelf.
pub(super) static CHECKS: &[Check] = &[
    schema_exists::CHECK,
    foreign_key_required::CHECK,
    foreign_key_validated::CHECK,
    foreign_key_set_null::CHECK,
    table_required::CHECK,
    table_count::CHECK,
    enum_required::CHECK,
];
