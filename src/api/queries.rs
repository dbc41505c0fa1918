//! What `verify` may check in the data and in the planner's choices.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OtherDatabase, Span};

/// A query of your own, and the result that it must have. The migration role runs it after everything is
/// committed, read-only, with the schemas of `spec.database.schemas` as search path. A query that would see
/// only the rows that a policy lets through fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.value) == (has(self.expect) && self.expect == \
    'Value')").message("a query of spec.verify.queries has a value exactly when it says expect: Value"))]
pub struct QueryAssertion {
    /// What the finding calls it.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,

    /// One SELECT, WITH, VALUES or TABLE. Of the rows that it finds, the first column of the first three
    /// stands in the finding, and so in the status, where it is a number of at most four digits, true, false
    /// or a UUID. Other values are left out. A query that calls a VOLATILE function, itself or through a
    /// view, is refused, because that may do more than read; those of PostgreSQL that only answer (`random`,
    /// `clock_timestamp`, `pg_total_relation_size` and the like) may be called. Declare a function of your
    /// own that only reads STABLE.
    #[schemars(length(min = 1, max = 10000))]
    pub sql: String,

    /// What it must find. Default: `NoRows`.
    #[serde(default)]
    pub expect: Expectation,

    /// The one value of the one row, as text, with `expect: Value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub value: Option<String>,

    /// The longest it may take, at most 10m. Default: 10s.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
}

/// What a query must find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Expectation {
    /// Nothing.
    #[default]
    NoRows,
    /// At least one row.
    Rows,
    /// One row with one column that has this value.
    Value,
}

/// How many rows tables have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RowCounts {
    /// Tables with their bounds. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub tables: Vec<RowCount>,
}

/// How many rows a table has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.atLeast) || has(self.atMost) || has(self.compare)").message("a \
    table of spec.verify.rowCounts needs atLeast, atMost or compare"))]
pub struct RowCount {
    /// The table, as `table` or `schema.table`.
    #[schemars(length(min = 1, max = 127))]
    pub table: String,

    /// At least so many rows. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100_000_000))]
    pub at_least: Option<u32>,

    /// At most so many rows. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100_000_000))]
    pub at_most: Option<u32>,

    /// Count before the first statement of each transaction of a migration and again before its COMMIT, and
    /// roll the transaction back when rows were lost. A table that the transaction creates has nothing to
    /// compare. Costs two counts for each transaction. Default: not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
}

/// How the rows of a table before a transaction and after it compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Compare {
    /// At least as many as before. The application goes on writing: rows that it inserts in between count too
    /// and can hide as many lost ones, and rows that it deletes count as lost.
    NotLessThanBefore,
    /// Exactly as many as before. No other session writes to the table from the first count until COMMIT,
    /// readers go on; so the difference is the migration's own.
    Equal,
}

/// A relation without a foreign key: each row refers to a row that is there, in this database or in another
/// one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("size(self.referencedColumns) == size(self.columns)").message("a relation of \
    spec.verify.orphans needs as many referencedColumns as columns"))]
pub struct Relation {
    /// The table that refers, as `table` or `schema.table`.
    #[schemars(length(min = 1, max = 127))]
    pub table: String,

    /// Its columns. A row in which one of them is NULL refers to nothing.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 63)))]
    pub columns: Vec<String>,

    /// The table that is referred to, as `table` or `schema.table`.
    #[schemars(length(min = 1, max = 127))]
    pub references: String,

    /// The columns that are referred to, in the order of `columns`.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 63)))]
    pub referenced_columns: Vec<String>,

    /// The database in which `references` is. Default: this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<OtherDatabase>,
}

/// A query that must be able to use an index. It is planned and never executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedQuery {
    /// What the finding calls it.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,

    /// One statement, with `$1`, `$2` for its parameters.
    #[schemars(length(min = 1, max = 10000))]
    pub sql: String,

    /// The index that it must use.
    #[schemars(length(min = 1, max = 63))]
    pub index: String,
}

const fn default_timeout() -> Span {
    Span::from_secs(10)
}
