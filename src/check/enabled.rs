//! Which checks a manifest asks for: only those are carried out, and a report never calls passed what the
//! manifest does not ask for. Each check says in its own file when it is made; what several of them say is
//! here.

use super::Check;
use crate::{api::Conventions, inspect::Scope};

impl Check {
    /// Whether the manifest asks for it.
    pub fn is_enabled(&self, scope: &Scope) -> bool {
        (self.is_enabled)(scope)
    }
}

/// Whatever the manifest says.
pub(super) const fn always(_: &Scope) -> bool {
    true
}

/// Where the manifest has `rowLevelSecurity`.
pub(super) const fn with_tenants(scope: &Scope) -> bool {
    scope.row_level_security.is_some()
}

/// Where the manifest has conventions, and one of these.
pub(super) fn by_conventions(scope: &Scope, is_enabled: fn(&Conventions) -> bool) -> bool {
    scope.assertions.conventions.as_ref().is_some_and(is_enabled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{CheckId, ForeignKeyIndexes, IndexVerification, Level};

    #[test]
    fn what_the_manifest_switches_off_or_does_not_mention_is_not_asked() {
        let foreign_keys = ForeignKeyIndexes { level: Level::Off, ..ForeignKeyIndexes::default() };
        let indexes = IndexVerification { foreign_keys, ..IndexVerification::default() };
        let scope = Scope { schemas: vec!["public".into()], indexes, ..Scope::default() };
        let enabled: Vec<&CheckId> = crate::check::all()
            .filter(|check| check.is_enabled(&scope))
            .map(|check| &check.meta.id)
            .collect();
        assert!(
            enabled.contains(&&CheckId::IndexValid) && enabled.contains(&&CheckId::SchemaExists),
            "{enabled:?}"
        );
        assert!(
            !enabled.contains(&&CheckId::ForeignKeyIndexed)
                && !enabled.contains(&&CheckId::IndexRequired)
                && !enabled.contains(&&CheckId::RlsEnabled),
            "{enabled:?}"
        );
    }
}
