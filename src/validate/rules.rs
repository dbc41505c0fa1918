//! The rules between fields that the API server evaluates as CEL, for a manifest in a file. PURE.
//!
//! `tests/contract/cel.rs` shows that what a rule keeps out of a cluster is refused here as well.

use super::Violation;
use crate::api::{DatabaseMigrationSpec, Expectation, RehearsalGround};

/// Every rule that is broken.
pub(super) fn violations(spec: &DatabaseMigrationSpec) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut must = |holds: bool, field: &str, problem: &str| {
        if !holds {
            found.push(Violation { field: field.to_owned().into(), problem: problem.to_owned() });
        }
    };
    let (migrations, verify) = (&spec.migrations, &spec.verify);
    if let Some(image) = &migrations.image {
        must(
            says_which(image),
            "spec.migrations.image",
            "must say which one: name a digest (@sha256:…) or a version, not :latest and not nothing",
        );
    }
    let phases =
        migrations.phases.iter().filter_map(|phase| Some(("spec.migrations.phases", phase.path.as_ref()?)));
    for (field, path) in migrations.path.iter().map(|path| ("spec.migrations.path", path)).chain(phases) {
        must(
            path.starts_with('/') && !path.contains(".."),
            field,
            "a path must be absolute and must not contain '..'",
        );
    }
    if let Some(rehearsal) = &spec.before.rehearsal {
        must(
            rehearsal.limits.is_none() || rehearsal.on != Some(RehearsalGround::Schema),
            "spec.before.rehearsal.limits",
            "need on: Snapshot: times and sizes of an empty schema mean nothing",
        );
    }
    if let Some(security) =
        verify.row_level_security.as_ref().filter(|security| !security.tenant.setting.is_empty())
    {
        let problem = "must look like prefix.name, for instance app.clinic_id";
        must(has_prefix(&security.tenant.setting), "spec.verify.rowLevelSecurity.tenant.setting", problem);
    }
    for key in verify.foreign_keys.iter().flat_map(|keys| &keys.require) {
        let fits = key.referenced_columns.is_empty() || key.referenced_columns.len() == key.columns.len();
        must(fits, "spec.verify.foreignKeys.require", "needs as many referencedColumns as columns");
    }
    for relation in &verify.orphans {
        let fits = relation.referenced_columns.len() == relation.columns.len();
        must(fits, "spec.verify.orphans", "needs as many referencedColumns as columns");
    }
    for column in verify.tables.iter().flat_map(|tables| &tables.require).flat_map(|table| &table.columns) {
        let fits = column.default.is_none() || column.has_default != Some(false);
        must(
            fits,
            "spec.verify.tables.require",
            "a column must not have both a default and hasDefault: false",
        );
    }
    for rows in verify.row_counts.iter().flat_map(|counts| &counts.tables) {
        let fits = rows.at_least.is_some() || rows.at_most.is_some() || rows.compare.is_some();
        must(fits, "spec.verify.rowCounts", "a table needs atLeast, atMost or compare");
    }
    for query in &verify.queries {
        let fits = query.value.is_some() == (query.expect == Expectation::Value);
        must(fits, "spec.verify.queries", "a query has a value exactly when it says expect: Value");
    }
    found
}

/// A digest, or a version behind the last colon that is no port.
fn says_which(image: &str) -> bool {
    let version = image
        .rsplit_once(':')
        .map(|(_, version)| version)
        .filter(|version| !version.is_empty() && !version.contains('/'));
    image.contains("@sha256:") || version.is_some_and(|version| version != "latest")
}

/// Two or more words with dots between them.
fn has_prefix(setting: &str) -> bool {
    let is_word = |word: &str| {
        !word.starts_with(|c: char| c.is_ascii_digit())
            && !word.is_empty()
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    setting.contains('.') && setting.split('.').all(is_word)
}
