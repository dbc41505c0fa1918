//! Facts in, at most one step out. PURE: no client, no pool, no clock, no `async`.
