//! What `verify` may require of foreign keys, tables and enums.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What must be true of foreign keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForeignKeyVerification {
    /// Foreign keys that must exist, with these actions. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    pub require: Vec<RequiredForeignKey>,

    /// Every foreign key is validated. Default: one that is NOT VALID is a warning; true makes it an error,
    /// false allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validated: Option<bool>,
}

/// A foreign key that must exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.referencedColumns) || size(self.referencedColumns) == \
    size(self.columns)").message("a foreign key of spec.verify.foreignKeys.require needs as many \
    referencedColumns as columns"))]
pub struct RequiredForeignKey {
    /// The table that refers, as `table` or `schema.table`.
    #[schemars(length(min = 1, max = 127))]
    pub table: String,

    /// Its columns.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 63)))]
    pub columns: Vec<String>,

    /// The table that is referred to, as `table` or `schema.table`.
    #[schemars(length(min = 1, max = 127))]
    pub references: String,

    /// The columns that are referred to, in the order of `columns`. Default: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)))]
    pub referenced_columns: Vec<String>,

    /// What deleting a referenced row does. Default: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_delete: Option<KeyAction>,

    /// What changing a referenced key does. Default: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_update: Option<KeyAction>,
}

/// What a foreign key does when the row that it refers to is deleted or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyAction {
    /// Refuses at the end of the statement or the transaction.
    NoAction,
    /// Refuses at once.
    Restrict,
    /// Does the same to the referring rows.
    Cascade,
    /// Sets the referring columns to NULL.
    SetNull,
    /// Sets the referring columns to their defaults.
    SetDefault,
}

/// What must be true of tables and enums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TableVerification {
    /// Tables that must exist, with these columns. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub require: Vec<RequiredTable>,

    /// How many objects the schemas of `spec.database.schemas` have together. Default: not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<ExpectedCounts>,

    /// Enums that must exist, with exactly these values in this order. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub enums: Vec<RequiredEnum>,
}

/// A table that must exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequiredTable {
    /// The table, as `table` or `schema.table`.
    #[schemars(length(min = 1, max = 127))]
    pub name: String,

    /// Columns that it must have; it may have others. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub columns: Vec<RequiredColumn>,
}

/// A column that must exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.default) || !has(self.hasDefault) || self.hasDefault").message("a \
    column that is required must not have both a default and hasDefault: false"))]
pub struct RequiredColumn {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,

    /// Its type, as in CREATE TABLE: `varchar(40)`, `timestamptz`. Default: any.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub data_type: Option<String>,

    /// Whether it may be NULL. Default: either is fine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nullable: Option<bool>,

    /// Its default, as in CREATE TABLE: `now()`, `'open'`. Compared as PostgreSQL prints it. Default: any or
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub default: Option<String>,

    /// Whether it has a default, whatever it is; an identity or generated column has one. Default: either is
    /// fine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_default: Option<bool>,
}

/// How many objects there are; histories, partitions and what extensions bring are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpectedCounts {
    /// Exactly so many tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<u32>,

    /// At least so many tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_tables: Option<u32>,

    /// Exactly so many columns of tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<u32>,

    /// Exactly so many enums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enums: Option<u32>,

    /// Exactly so many indexes, without those of primary keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indexes: Option<u32>,

    /// Exactly so many foreign keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_keys: Option<u32>,
}

/// An enum that must exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequiredEnum {
    /// The enum, as `name` or `schema.name`.
    #[schemars(length(min = 1, max = 127))]
    pub name: String,

    /// Its values, in the order in which they sort.
    #[schemars(length(min = 1, max = 500), inner(length(min = 1, max = 63)))]
    pub values: Vec<String>,
}
