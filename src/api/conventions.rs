//! The section `verify.conventions`: how things are named, and what every table has.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RequiredColumn;

/// How things are named, and what every table has. Histories, partitions and what extensions bring are left
/// out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conventions {
    /// A set of conventions by its name. What stands beside it wins, field by field; docs/policy.md lists
    /// what each holds. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<ConventionPreset>,

    /// The style of the names of tables. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Style>,

    /// The style of the names of columns. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Style>,

    /// The style of the values of enums. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enum_values: Option<Style>,

    /// Names of indexes, with `{table}` and `{columns}` (joined by `_`), for instance
    /// `{table}_{columns}_idx`: each index has one of them. The indexes of constraints are left out. Default:
    /// any name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 1, max = 63)))]
    pub indexes: Vec<String>,

    /// Names of foreign keys, as for indexes, for instance `{table}_{columns}_fkey`. Default: any name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 1, max = 63)))]
    pub foreign_keys: Vec<String>,

    /// Names of migrations: fourteen digits that are a moment, an underscore, and a description in
    /// `snake_case`. Default: any name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<MigrationNames>,

    /// Columns that every table has. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub audit_columns: Vec<RequiredColumn>,

    /// Every table has a primary key. Default: true.
    #[serde(default = "default_true")]
    pub primary_key: bool,

    /// What need not follow: a table with all that it holds, or one `table.column`, enum, `enum.value`,
    /// index, foreign key or migration; with its schema in front or without. What is exempt stays visible, as
    /// information. Default: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(min = 1, max = 200)))]
    pub except: Vec<String>,

    /// How bad it is when something does not follow. Default: `Error`, which keeps Ready off.
    #[serde(default)]
    pub severity: ConventionSeverity,
}

/// What a description of a migration must look like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MigrationNames {
    /// A set of the rules below by its name. What stands beside it wins, field by field. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<MigrationNamePreset>,

    /// The first word of a description, for instance `add`. Default: any word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 30)))]
    pub verbs: Vec<String>,

    /// The longest description, in characters. Default: any length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 180))]
    pub max_length: Option<u32>,
}

/// A set of conventions by its name. Whether a word is a plural is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConventionPreset {
    /// Tables in `PascalCase`, columns in `camelCase`, indexes and keys as Prisma names them.
    PascalCamel,
    /// Tables and columns in `snake_case`, indexes `idx_{table}_{columns}`.
    SnakePlural,
    /// Tables in `snake_case`, columns in `camelCase`, indexes and keys as Prisma names them.
    SnakeTablesCamelColumns,
}

/// A set of rules for the names of migrations by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MigrationNamePreset {
    /// Any first word, at most 49 characters.
    Strict14,
    /// One of the common verbs first, at most 49 characters.
    Strict14Verbs,
}

/// How words are joined in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Style {
    /// `LabResult`.
    PascalCase,
    /// `labResult`.
    #[serde(rename = "camelCase")]
    CamelCase,
    /// `lab_result`.
    #[serde(rename = "snake_case")]
    SnakeCase,
    /// `LAB_RESULT`.
    #[serde(rename = "UPPER_SNAKE_CASE")]
    UpperSnakeCase,
}

/// How bad it is when a convention is not followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConventionSeverity {
    /// Ready stays off.
    #[default]
    Error,
    /// Ready is not affected.
    Warning,
}

const fn default_true() -> bool {
    true
}
