//! Checks of the schema: one file per check.
