//! Rows of two databases side by side: both are read in the same order and compared as they come, so that
//! neither the number of rows nor their keys decide how much memory it takes.

pub(crate) mod merge;
pub(crate) mod stream;
