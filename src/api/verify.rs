//! The section `verify`: what must be true of the schema before it counts.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{
    Conventions, DriftVerification, ForeignKeyVerification, PlannedQuery, QueryAssertion, Relation, RowCounts, Span, TableVerification,
};

/// What must be true of the schema before it counts as migrated. That history equals source is always checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// Verify again when this time has passed since the last time, without migrating: `6h`, at least 10s. Ready turns off when it
    /// fails, and on again when a later one passes. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,

    /// Row-level security, statically and as the application's role. Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_level_security: Option<RowLevelSecurity>,

    /// Indexes. Default: all are valid, and every foreign key is indexed.
    #[serde(default)]
    pub indexes: IndexVerification,

    /// Foreign keys. Default: one that is not validated, or that can never do what it says, is a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_keys: Option<ForeignKeyVerification>,

    /// Tables, columns and enums. Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<TableVerification>,

    /// Names, and what every table has. Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conventions: Option<Conventions>,

    /// Questions of your own, asked after everything is committed. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub queries: Vec<QueryAssertion>,

    /// How many rows tables have. Default: not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_counts: Option<RowCounts>,

    /// Relations without a foreign key in which each row must refer to a row that is there. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub orphans: Vec<Relation>,

    /// The schema is what its migrations make, and nothing else. `{}` turns it on. Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftVerification>,
}

/// Tenants must never see each other's rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RowLevelSecurity {
    /// The role the application connects as. The migration role must be able to `SET ROLE` to it. Required, here or in the policy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 63))]
    pub app_role: String,

    /// How a row says whose it is, and how a session says who it is. Required, here or in the policy.
    #[serde(default)]
    pub tenant: Tenant,

    /// Tables that have the tenant column and need no isolation, as `table` or `schema.table`. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(min = 1, max = 127)))]
    pub except: Vec<String>,
}

/// How a row says whose it is, and how a session says who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// The column that holds the tenant. Every table that has it must be isolated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 63))]
    pub column: String,

    /// The session setting that the policies read, for instance `app.clinic_id`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 3, max = 127))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z_][A-Za-z0-9_]*(\\\\.[A-Za-z_][A-Za-z0-9_]*)+$')").message("spec.verify.rowLevelSecurity.tenant.setting must look like prefix.name, for instance app.clinic_id"))]
    pub setting: String,
}

/// What must be true of indexes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IndexVerification {
    /// Every foreign key's columns lead a valid index. Default: true.
    #[serde(default = "default_true")]
    pub foreign_keys: bool,

    /// Indexes that must exist, be valid and match. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    pub require: Vec<RequiredIndex>,

    /// An index that another one makes superfluous is a warning. Default: true.
    #[serde(default = "default_true")]
    pub redundant: bool,

    /// Queries that must be able to use an index; they are planned and never executed. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub must_use: Vec<PlannedQuery>,
}

impl Default for IndexVerification {
    fn default() -> Self {
        Self { foreign_keys: true, require: Vec::new(), redundant: true, must_use: Vec::new() }
    }
}

/// An index that must exist, be valid and match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequiredIndex {
    /// The table, as `table` or `schema.table`.
    #[schemars(length(min = 1, max = 127))]
    pub table: String,

    /// The key columns in order; `created_at DESC` where the direction matters, `email text_pattern_ops` where the operator class is
    /// not the default one.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 200)))]
    pub columns: Vec<String>,

    /// It must be unique. Default: either is fine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<bool>,

    /// Its access method, for instance `gin`. Default: `btree`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub method: Option<String>,

    /// The predicate of a partial index, as PostgreSQL prints it or as it was written. Default: no predicate.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub predicate: Option<String>,

    /// Its name. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
}

const fn default_true() -> bool {
    true
}
