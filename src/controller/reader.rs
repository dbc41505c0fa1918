//! Whose facts are read, and what is said of those that cannot be read.

use super::{Context, error::ObserveError};

/// Reads what belongs to one DatabaseMigration.
pub(super) struct Reader<'a> {
    pub(super) context: &'a Context,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl Reader<'_> {
    /// Says what could not be read.
    pub(super) fn named<T>(&self, what: &'static str, result: kube::Result<T>) -> Result<T, ObserveError> {
        let error = |source| ObserveError {
            what,
            namespace: self.namespace.to_owned(),
            name: self.name.to_owned(),
            source,
        };
        result.map_err(error)
    }
}
