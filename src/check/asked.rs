//! Which checks a manifest asks for: only those are carried out, and a report never calls passed what nobody asked.

use super::{Aspect, Check, Scope};
use crate::api::Conventions;

impl Aspect {
    /// In one word, for reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Isolation => "isolation",
            Self::Index => "indexes",
            Self::Structure => "structure",
            Self::Data => "rows",
        }
    }
}

impl Check {
    /// Whether the manifest asks for it.
    pub fn is_asked(&self, scope: &Scope) -> bool {
        match self.meta.aspect {
            Aspect::Isolation => scope.row_level_security.is_some(),
            Aspect::Index => asks_for_index(self.meta.id, scope),
            Aspect::Structure => asks_for_structure(self.meta.id, scope),
            Aspect::Data => match self.meta.id {
                "query-assertion" => !scope.demands.queries.is_empty(),
                "row-count" => !scope.demands.row_counts.tables.is_empty(),
                "orphans" => !scope.demands.orphans.is_empty(),
                _ => true,
            },
        }
    }
}

fn asks_for_index(id: &str, scope: &Scope) -> bool {
    match id {
        "foreign-key-indexed" => scope.indexes.foreign_keys,
        "index-required" => !scope.indexes.require.is_empty(),
        "index-redundant" => scope.indexes.redundant,
        "plan-uses-index" => !scope.indexes.must_use.is_empty(),
        _ => true,
    }
}

fn asks_for_structure(id: &str, scope: &Scope) -> bool {
    let tables = &scope.demands.tables;
    let conventions = |asks: fn(&Conventions) -> bool| scope.demands.conventions.as_ref().is_some_and(asks);
    match id {
        "foreign-key-required" => !scope.demands.foreign_keys.require.is_empty(),
        "foreign-key-validated" => scope.demands.foreign_keys.validated != Some(false),
        "table-required" => !tables.require.is_empty(),
        "table-count" => tables.count.is_some(),
        "enum-required" => !tables.enums.is_empty(),
        "primary-key" => conventions(|names| names.primary_key),
        "convention-audit-columns" => conventions(|names| !names.audit_columns.is_empty()),
        "convention-tables" => conventions(|names| names.tables.is_some()),
        "convention-columns" => conventions(|names| names.columns.is_some()),
        "convention-enum-values" => conventions(|names| names.enum_values.is_some()),
        "convention-indexes" => conventions(|names| !names.indexes.is_empty()),
        "convention-foreign-keys" => conventions(|names| !names.foreign_keys.is_empty()),
        "convention-migrations" => conventions(|names| names.migrations.is_some()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::CHECKS, *};
    use crate::{api::IndexVerification, validate::Demands};

    #[test]
    fn what_the_manifest_switches_off_or_does_not_mention_is_not_asked() {
        let indexes = IndexVerification { foreign_keys: false, ..IndexVerification::default() };
        let scope = Scope {
            schemas: vec!["public".into()],
            row_level_security: None,
            indexes,
            demands: Demands::default(),
            migrations: Vec::new(),
        };
        let asked: Vec<&str> = CHECKS.iter().filter(|check| check.is_asked(&scope)).map(|check| check.meta.id).collect();
        assert!(asked.contains(&"index-valid") && asked.contains(&"schema-exists"), "{asked:?}");
        assert!(
            !asked.contains(&"foreign-key-indexed") && !asked.contains(&"index-required") && !asked.contains(&"rls-enabled"),
            "{asked:?}"
        );
    }
}
