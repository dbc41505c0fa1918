//! `spec.before.lint`: what of a release warns, needs an approval, or stops it before it runs.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a release may do to those who use the database. docs/lint.md has the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lint {
    /// How much each kind of rule weighs. Default: `Lenient`, with which everything warns.
    #[serde(default)]
    pub preset: LintPreset,

    /// Rules that weigh more or less than the preset says, by their ids: `{ban-drop-column: Approve}`. Default:
    /// none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 100))]
    pub rules: BTreeMap<String, LintWeight>,

    /// From which size on a table is large: to lock a smaller one only warns. Default: 10,000 rows or 64Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large_table: Option<LargeTable>,

    /// Tables, `table` or `schema.table`, whose rows no release changes or removes without an approval, whatever the
    /// preset: neither by a statement about them nor by ON DELETE CASCADE from another table. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 127)))]
    pub protected_tables: Vec<String>,
}

/// The weights of all kinds of rules at once.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum LintPreset {
    /// Everything warns.
    #[default]
    Lenient,
    /// What locks a large table fails; losses and access need an approval.
    Standard,
    /// What may break the running application needs an approval as well; access fails.
    Strict,
}

/// How much an objection of lint weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum LintWeight {
    /// It is not made.
    Off,
    /// Worth reading.
    Warn,
    /// A person has to approve the release.
    Approve,
    /// The release does not run.
    Fail,
}

/// From which size on a table is large: one of the two is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LargeTable {
    /// Rows, as PostgreSQL estimates them. Default: 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rows: Option<u32>,

    /// Bytes, with indexes and what lies out of line, as Kubernetes writes quantities: `64Mi`. Default: 64Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,15}(Ki|Mi|Gi|Ti)?$"))]
    pub size: Option<String>,
}

/// The ids of all rules. A test holds them to `src/lint/rules.yaml`.
pub const LINT_RULES: &[&str] = &[
    "adding-field-with-default",
    "adding-foreign-key-constraint",
    "adding-not-nullable-field",
    "adding-required-field",
    "adding-serial-primary-key-field",
    "ban-add-column",
    "ban-add-composite-attribute",
    "ban-add-enum-value",
    "ban-alter-database-options",
    "ban-alter-domain-with-add-constraint",
    "ban-alter-extension",
    "ban-alter-function-options",
    "ban-alter-generated-expression",
    "ban-alter-identity",
    "ban-alter-policy-condition",
    "ban-alter-policy-roles",
    "ban-alter-role-options",
    "ban-alter-row-level-security",
    "ban-alter-sequence-values",
    "ban-alter-system-options",
    "ban-alter-view-options",
    "ban-char-field",
    "ban-concurrent-index-creation-in-transaction",
    "ban-create-domain-with-constraint",
    "ban-create-policy",
    "ban-detach-inheritance",
    "ban-disable-trigger",
    "ban-drop-column",
    "ban-drop-constraint",
    "ban-drop-database",
    "ban-drop-default",
    "ban-drop-domain",
    "ban-drop-extension",
    "ban-drop-function",
    "ban-drop-generated-expression",
    "ban-drop-index",
    "ban-drop-not-null",
    "ban-drop-policy",
    "ban-drop-schema",
    "ban-drop-sequence",
    "ban-drop-table",
    "ban-drop-trigger",
    "ban-drop-type",
    "ban-drop-view",
    "ban-duplicate-column-assignments",
    "ban-new-write-restriction",
    "ban-replace-view-function",
    "ban-replica-identity",
    "ban-revoke",
    "ban-set-default",
    "ban-set-schema",
    "ban-truncate-cascade",
    "ban-uncommitted-transaction",
    "changing-column-type",
    "constraint-missing-not-valid",
    "disallowed-unique-constraint",
    "drop-and-add",
    "edited-migration",
    "enum-value-used-at-once",
    "identifier-too-long",
    "not-judged",
    "not-portable-to-prisma",
    "nulls-left",
    "prefer-bigint-over-int",
    "prefer-bigint-over-smallint",
    "prefer-identity",
    "prefer-repack",
    "prefer-robust-stmts",
    "prefer-text-field",
    "prefer-timestamp-tz",
    "protected-table",
    "renaming-column",
    "renaming-object",
    "renaming-table",
    "require-concurrent-index-creation",
    "require-concurrent-index-deletion",
    "require-concurrent-partition-detach",
    "require-concurrent-reindex",
    "require-enum-value-ordering",
    "require-lock-timeout",
    "require-statement-timeout",
    "require-table-schema",
    "require-timeout-settings",
    "row-level-security-off",
    "rows-hidden",
    "schema-and-data",
    "stray-entry",
    "temporary-table",
    "transaction-nesting",
    "unbatched-change",
    "unreadable",
    "unused-ignore",
    "unused-waiver",
    "validated-at-once",
    "waiver-without-reason",
];
