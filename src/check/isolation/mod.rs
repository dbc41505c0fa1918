//! Tenants never see each other: what the catalog says, and at the end what an attacker gets. One file per
//! check; [`CHECKS`] has them in the order of a report.

mod condition;
mod rls_cascade;
mod rls_condition;
mod rls_enabled;
mod rls_forced;
mod rls_function;
mod rls_index;
mod rls_partition;
mod rls_per_row;
mod rls_policies;
mod rls_privileges;
mod rls_role;
mod rls_rule;
mod rls_setting;
mod rls_truncate;
mod rls_uncovered;
mod rls_view;
mod tenant_isolation;

use super::Check;

/// The checks of this shelf.
pub(super) static CHECKS: &[Check] = &[
    rls_role::CHECK,
    rls_enabled::CHECK,
    rls_forced::CHECK,
    rls_policies::CHECK,
    rls_condition::CHECK,
    rls_partition::CHECK,
    rls_view::CHECK,
    rls_rule::CHECK,
    rls_function::CHECK,
    rls_setting::CHECK,
    rls_per_row::CHECK,
    rls_index::CHECK,
    rls_truncate::CHECK,
    rls_cascade::CHECK,
    rls_uncovered::CHECK,
    rls_privileges::CHECK,
    tenant_isolation::CHECK,
];
