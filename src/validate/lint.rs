//! `spec.before.lint` as meant. PURE.

use std::collections::BTreeMap;

use bytesize::ByteSize;

use super::Violation;
use crate::api::{self, LINT_RULES, LintPreset, LintWeight};

/// How much the rules weigh, and which tables are large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// Of each kind of rule.
    pub preset: LintPreset,
    /// Of single rules, by their ids.
    pub rules: BTreeMap<String, LintWeight>,
    /// From so many rows on a table is large.
    pub large_rows: u64,
    /// From so many bytes on a table is large.
    pub large_bytes: u64,
    /// Tables whose rows are neither changed nor removed without an approval.
    pub protected_tables: Vec<String>,
}

impl Default for Lint {
    fn default() -> Self {
        Self {
            preset: LintPreset::default(),
            rules: BTreeMap::new(),
            large_rows: 10_000,
            large_bytes: ByteSize::mib(64).as_u64(),
            protected_tables: Vec::new(),
        }
    }
}

pub(super) fn read(written: Option<&api::Lint>, violations: &mut Vec<Violation>) -> Lint {
    let standard = Lint::default();
    let Some(written) = written else { return standard };
    for rule in written.rules.keys().filter(|rule| !LINT_RULES.contains(&rule.as_str())) {
        let problem = format!("{rule:?} is no rule of lint: docs/lint.md says where they are listed");
        violations.push(Violation { field: "spec.before.lint.rules".into(), problem });
    }
    let large = written.large_table.clone().unwrap_or_default();
    let size = large.size.as_deref().map(|size| size.parse::<ByteSize>().map_err(|_| size));
    if let Some(Err(size)) = &size {
        let problem = format!("{size:?} is no size: write a number of bytes, or one with Ki, Mi, Gi or Ti");
        violations.push(Violation { field: "spec.before.lint.largeTable.size".into(), problem });
    }
    Lint {
        preset: written.preset,
        rules: written.rules.clone(),
        large_rows: large.rows.map_or(standard.large_rows, u64::from),
        large_bytes: size.and_then(Result::ok).map_or(standard.large_bytes, |size| size.as_u64()),
        protected_tables: written.protected_tables.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(yaml: &str) -> (Lint, Vec<String>) {
        let written: api::Lint = serde_saphyr::from_str(yaml).expect("a section");
        let mut violations = Vec::new();
        let lint = read(Some(&written), &mut violations);
        (lint, violations.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_not_written_is_the_default() {
        assert_eq!(of("{}"), (Lint::default(), vec![]));
        let (lint, violations) = of("{preset: Strict, largeTable: {rows: 5, size: 2Gi}}");
        assert_eq!((lint.preset, lint.large_rows, lint.large_bytes), (LintPreset::Strict, 5, 2 << 30));
        assert_eq!(violations, [""; 0]);
    }

    #[test]
    fn a_rule_that_there_is_not_and_a_size_that_is_none_are_named() {
        let (_, violations) = of("{rules: {ban-drop-colum: Fail}, largeTable: {size: many}}");
        assert!(violations[0].contains("\"ban-drop-colum\" is no rule of lint"), "{violations:?}");
        assert!(violations[1].starts_with("spec.before.lint.largeTable.size: \"many\""), "{violations:?}");
    }
}
