//! What every check and probe of a database stands on: names in SQL text, attempts that are undone, which
//! tables hold tenants' rows, and what a check is. The probe, the comparison across databases and the checks
//! are built from it; it judges nothing.

mod began;
pub(crate) mod column;
pub(crate) mod equality;
mod error;
mod meta;
pub(crate) mod owned;
pub(crate) mod relation;
mod rows;
mod scope;
pub(crate) mod sql;
mod tables;
pub(crate) mod tenancy;
pub(crate) mod trial;

pub use began::{Began, release_begins};
pub use error::CheckError;
pub(crate) use error::QueryContext;
pub use meta::{Aspect, Meta};
pub(crate) use rows::{Counted, count};
pub use rows::{RowsBefore, count_rows};
pub use scope::Scope;
pub use tables::{TableScope, tables};
