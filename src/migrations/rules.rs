//! What the manifest says about the comparison of source and history.

use std::collections::BTreeMap;

use super::Holds;
use crate::api::History;

/// What the manifest says about the comparison.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Where to stop.
    pub target: Option<&'a str>,
    /// What may differ.
    pub history: &'a History,
    /// The texts of applied migrations whose file is another one now, by their checksums, as far as they are
    /// known.
    pub texts: &'a BTreeMap<String, String>,
    /// Which contracts are held.
    pub holds: Holds<'a>,
}
