//! The isolation probe as a check: `src/probe` tries and judges.

use crate::{
    check::{Check, enabled},
    probe,
};

pub(super) const CHECK: Check = Check {
    meta: &probe::META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(probe::inspect(connection, scope)),
};
