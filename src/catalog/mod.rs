//! Two schemas side by side: what a database has, and what its migrations make.
//!
//! [`read()`] turns the catalogs of a database into plain, sorted values, one file and one query for each
//! kind of object; [`compare()`] is a pure function of two such values. Nothing here writes, and nothing here
//! decides what a difference means.

mod compare;
mod diff;
mod finding;
mod kind;
mod read;

use std::collections::BTreeMap;

pub use compare::{Change, Difference, Part, compare};
pub use diff::text;
pub use finding::{Remedies, findings};
pub use kind::Kind;
pub use read::{Scope, read};

/// The schemas of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// What is there, sorted by kind and name.
    pub objects: BTreeMap<Key, Object>,
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it is.
    pub kind: Kind,
    /// Its qualified name, quoted where PostgreSQL would: `public.patients.name` is a column.
    pub name: String,
}

/// What is known about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The object it belongs to: a column's table, a table's schema.
    pub parent: Option<String>,
    /// What it is like: a word, and a value as PostgreSQL prints it.
    pub properties: Vec<(&'static str, String)>,
}
