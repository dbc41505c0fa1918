//! The isolation probe as a check: `src/probe` tries and judges.

use crate::{
    check::{Check, asked},
    probe,
};

pub(super) const CHECK: Check = Check {
    meta: &probe::META,
    asks: asked::with_tenants,
    look: |connection, scope| Box::pin(probe::look(connection, scope)),
};
