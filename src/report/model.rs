//! What a report holds. PURE. The JSON form is this, field by field, so a field is added and never renamed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::{CheckId, Finding, Keep, ReadBack, Severity, Span};

/// What tells a report from other JSON.
pub const KIND: &str = "VerificationReport";

/// What one verification found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Always [`KIND`].
    pub kind: String,
    /// The version of this form: 1.
    pub format: u32,
    /// The version of Sluice that verified.
    pub sluice: String,
    /// The name of the DatabaseMigration.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// `host:port/database`.
    pub database: String,
    /// The server's version, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// When it was inspected.
    pub at: Timestamp,
    /// Failed when there is an error, or when the verification could not be carried out.
    pub verdict: Verdict,
    /// The reason that the condition Verified would have.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// The newest applied migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How many migrations are applied; absent where the history could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<u32>,
    /// The migrations that are not, oldest first.
    pub pending: Vec<String>,
    /// How many findings of each severity.
    pub counts: Counts,
    /// What was found, errors first.
    pub findings: Vec<Finding>,
    /// Every check, asked or not, in the order of a report.
    pub checks: Vec<CheckResult>,
    /// How tenants are told apart, where the manifest says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenancy: Option<Tenancy>,
    /// What is in the database; none when it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// Why the schema could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// What the manifest asks for, as far as the checks do not say it by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Requested>,
}

/// What a manifest asks for, as far as the checks do not say it by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requested {
    /// How a snapshot is proven before anything changes; none when the manifest waives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<ReadBack>,
    /// Which snapshots stay; none means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// Why there is no snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
    /// How often it is verified again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// The tables that must exist.
    #[serde(default)]
    pub tables: Vec<String>,
    /// The columns that every table must have.
    #[serde(default)]
    pub audit_columns: Vec<String>,
    /// The names of the manifest's own queries.
    #[serde(default)]
    pub questions: Vec<String>,
    /// Objects that may differ from what the migrations make.
    #[serde(default)]
    pub drift_ignored: Vec<String>,
}

/// Whether the schema is the one that was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// No error.
    Passed,
    /// At least one error, or the checks could not be made.
    Failed,
}

impl Verdict {
    /// For people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
        }
    }
}

/// How many findings of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Ready stays off.
    pub errors: usize,
    /// Worth mending.
    pub warnings: usize,
    /// Worth knowing.
    pub information: usize,
}

impl Counts {
    /// Counts.
    pub fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        findings.into_iter().fold(Self::default(), |mut counts, finding| {
            match finding.severity {
                Severity::Error => counts.errors += 1,
                Severity::Warning => counts.warnings += 1,
                Severity::Information => counts.information += 1,
            }
            counts
        })
    }

    /// All of them.
    pub const fn all(self) -> usize {
        self.errors + self.warnings + self.information
    }
}

/// One check and what came of it. It carries the text of its page, so that a report explains itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckResult {
    /// Its stable id.
    pub id: CheckId,
    /// What it is about, in one word.
    pub aspect: String,
    /// What came of it.
    pub verdict: CheckVerdict,
    /// How many findings it has.
    pub findings: usize,
    /// What must be true.
    pub title: String,
    /// When it finds something.
    pub condition: String,
    /// What that does to whom.
    pub effect: String,
    /// What to do about it.
    pub remedy: String,
}

impl CheckResult {
    /// A row for what was found by no check of its own.
    pub(crate) fn plain(id: CheckId) -> Self {
        let none = String::new;
        let (aspect, verdict) = ("history".to_owned(), CheckVerdict::Passed);
        Self {
            id,
            aspect,
            verdict,
            findings: 0,
            title: none(),
            condition: none(),
            effect: none(),
            remedy: none(),
        }
    }
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckVerdict {
    /// It found an error.
    Failed,
    /// It was to be run, and could not be.
    Unknown,
    /// It found something that is no error.
    Warned,
    /// It found nothing.
    Passed,
    /// The manifest does not ask for it.
    NotAsked,
}

impl CheckVerdict {
    /// For people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Warned => "warned",
            Self::Passed => "passed",
            Self::NotAsked => "not asked",
        }
    }
}

/// How tenants are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenancy {
    /// The role of the application.
    pub app_role: String,
    /// The column that holds the tenant.
    pub column: String,
    /// The setting by which a session says who it is.
    pub setting: String,
}

/// What is in the schemas of a DatabaseMigration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schema {
    /// Tables, partitions and views, by schema and name.
    pub tables: Vec<Table>,
    /// Foreign keys, by table and name.
    pub relations: Vec<Relation>,
}

/// A table or a view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: TableKind,
    /// Who owns it.
    pub owner: String,
    /// About how many rows, as the planner estimates; none where it has no statistics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Row-level security is on.
    pub enabled: bool,
    /// It holds for the owner, too.
    pub forced: bool,
    /// Whether tenants are kept apart in it.
    pub isolation: Isolation,
    /// In their order.
    pub columns: Vec<Column>,
    /// By name.
    pub policies: Vec<Policy>,
    /// By name.
    pub indexes: Vec<Index>,
}

impl Table {
    /// `schema.name`, as findings write it.
    pub fn object(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// What a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TableKind {
    /// An ordinary table.
    Table,
    /// A table that has partitions.
    Partitioned,
    /// A part of another table.
    Partition,
    /// A view.
    View,
    /// A view that holds rows.
    MaterializedView,
    /// A table of another server.
    Foreign,
}

impl TableKind {
    /// For people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Partitioned => "partitioned table",
            Self::Partition => "partition",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Foreign => "foreign table",
        }
    }
}

/// Whether tenants are kept apart in a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Isolation {
    /// The manifest does not ask for isolation.
    #[default]
    NotAsked,
    /// It has the tenant column, and no check found a path across.
    Isolated,
    /// It has the tenant column, and a check found a path across.
    Exposed,
    /// It has the tenant column, and something could not be tried on it: that no tenant gets across is not
    /// proven.
    Unproven,
    /// It has the tenant column, and the checks could not be made.
    Unknown,
    /// The manifest excepts it.
    Excepted,
    /// It has no tenant column: it belongs to all.
    Shared,
}

impl Isolation {
    /// The class of its colour.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Isolated => "good",
            Self::Exposed | Self::Unknown => "bad",
            Self::Unproven | Self::Excepted => "careful",
            Self::Shared | Self::NotAsked => "none",
        }
    }

    /// Its mark, for those who see no colours.
    pub(super) const fn mark(self) -> &'static str {
        match self {
            Self::Isolated => "✓",
            Self::Exposed => "✗",
            Self::Unproven | Self::Unknown => "?",
            Self::Excepted => "–",
            Self::Shared | Self::NotAsked => "",
        }
    }

    /// For people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotAsked => "not asked",
            Self::Isolated => "isolated",
            Self::Exposed => "exposed",
            Self::Unproven => "unproven",
            Self::Unknown => "unknown",
            Self::Excepted => "excepted",
            Self::Shared => "shared",
        }
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as PostgreSQL prints it.
    #[serde(rename = "type")]
    pub type_: String,
    /// It may be null.
    pub nullable: bool,
    /// It is part of the primary key.
    pub primary: bool,
}

/// A policy of row-level security.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// `ALL`, `SELECT`, `INSERT`, `UPDATE` or `DELETE`.
    pub command: String,
    /// Joined with OR; a restrictive one with AND.
    pub permissive: bool,
    /// To whom it applies.
    pub roles: Vec<String>,
    /// Which rows are seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub using: Option<String>,
    /// Which rows may be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
}

/// An index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Its name.
    pub name: String,
    /// `btree (a, b DESC) WHERE …`.
    pub definition: String,
    /// No two rows are equal in it.
    pub unique: bool,
    /// It is the primary key's.
    pub primary: bool,
    /// Queries may use it.
    pub valid: bool,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Relation {
    /// Its name.
    pub name: String,
    /// `schema.table` of the referencing side.
    pub from: String,
    /// The referencing columns.
    pub columns: Vec<String>,
    /// `schema.table` of the referenced side.
    pub to: String,
    /// The referenced columns.
    pub references: Vec<String>,
    /// What deleting the referenced row does.
    pub on_delete: String,
    /// What changing its key does.
    pub on_update: String,
    /// Every row was read.
    pub validated: bool,
}
/// What is said of a history that was not read.
pub const UNREAD: &str = "not known: the history could not be read";

impl Report {
    /// How far the history is, with the version written as `code` does. Nothing is said about one that could
    /// not be read.
    pub fn progress(&self, code: impl Fn(&str) -> String) -> String {
        let Some(applied) = self.applied else { return UNREAD.to_owned() };
        let version = self.version.as_deref().map_or_else(|| "nothing is applied".to_owned(), code);
        format!("{version}, {applied} applied, {} pending", self.pending.len())
    }
}
