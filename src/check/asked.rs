//! Which checks a manifest asks for, so that a report never calls passed what nobody asked.

use super::{Aspect, Check, Scope};

impl Aspect {
    /// In one word, for reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Isolation => "isolation",
            Self::Index => "indexes",
        }
    }
}

impl Check {
    /// Whether the manifest asks for it. Mirrors what [`super::run`] and the checks themselves pass over.
    pub fn is_asked(&self, scope: &Scope) -> bool {
        match (self.meta.aspect, self.meta.id) {
            (Aspect::Isolation, _) => scope.row_level_security.is_some(),
            (Aspect::Index, "foreign-key-indexed") => scope.indexes.foreign_keys,
            (Aspect::Index, "index-required") => !scope.indexes.require.is_empty(),
            (Aspect::Index, _) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::CHECKS, *};
    use crate::api::IndexVerification;

    #[test]
    fn what_the_manifest_switches_off_or_does_not_mention_is_not_asked() {
        let indexes = IndexVerification { foreign_keys: false, require: Vec::new() };
        let scope = Scope { schemas: vec!["public".into()], row_level_security: None, indexes };
        let asked: Vec<&str> = CHECKS.iter().filter(|check| check.is_asked(&scope)).map(|check| check.meta.id).collect();
        assert!(asked.contains(&"index-valid") && asked.contains(&"schema-exists"), "{asked:?}");
        assert!(
            !asked.contains(&"foreign-key-indexed") && !asked.contains(&"index-required") && !asked.contains(&"rls-enabled"),
            "{asked:?}"
        );
    }
}
