//! The section `verify`: what must be true of the schema before it counts.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{
    Conventions, DriftVerification, ForeignKeyVerification, PlannedQuery, QueryAssertion, Relation,
    RowCounts, Span, TableVerification,
};

/// What must be true of the schema before it counts as migrated. That history equals source is always
/// checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// Verify again when this time has passed since the last time, without migrating: `6h`, at least 10s.
    /// Ready turns off when it fails, and on again when a later one passes. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,

    /// Row-level security, statically and as the application's role. Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_level_security: Option<RowLevelSecurity>,

    /// Indexes. Default: one that is not valid is an error; a foreign key without an index, and an index too
    /// many, is a warning.
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

    /// Queries of your own, run after everything is committed. Default: none.
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RowLevelSecurity {
    /// The role the application connects as. The migration role must be able to `SET ROLE` to it. Required,
    /// here or in the policy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 63))]
    pub app_role: String,

    /// How a row says whose it is, and how a session says who it is. Required, here or in the policy.
    #[serde(default)]
    pub tenant: Tenant,

    /// Tables and views that need no isolation, as `table`, in whatever schema, or `schema.table`. What has a
    /// dot begins with a schema. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(min = 1, max = 127)))]
    pub except: Vec<String>,

    /// Roles whose functions the isolation probe may run although neither the migration role nor a superuser
    /// owns them: those by which a hosting platform installs its own, such as `supabase_admin`,
    /// `rds_superuser`, `cloudsqlsuperuser`. Each could take over the session of the migration role while
    /// Sluice probes. A role that the application is or can become is never trusted; a name that no role has
    /// counts for nothing. Default: none, and a table that would run such a function is not tried, which is
    /// an error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 63)))]
    pub trusted_owners: Vec<String>,

    /// Schemas in which the application may own what is there, such as a job queue's, without keeping the
    /// isolation probe from trying the tables of tenants: no function of the team's reads them. A schema
    /// counts for nothing where it is on a search path or the text of such a function names it. Default:
    /// none, and where a function looks names up when it runs, whatever the application owns is an error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 63)))]
    pub application_schemas: Vec<String>,
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
    /// Foreign keys whose columns lead no valid index. Default: each is a warning.
    #[serde(default)]
    pub foreign_keys: ForeignKeyIndexes,

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
        Self {
            foreign_keys: ForeignKeyIndexes::default(),
            require: Vec::new(),
            redundant: true,
            must_use: Vec::new(),
        }
    }
}

/// What a foreign key without an index means, and which keys are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForeignKeyIndexes {
    /// What a foreign key without an index is. Default: `Warn`.
    #[serde(default)]
    pub level: Level,

    /// Which foreign keys are checked. Default: `All`.
    #[serde(default)]
    pub only: KeyChoice,

    /// Foreign keys that need no index: a table, as `table` or `schema.table`, for all of its keys, or the
    /// name of a key. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(min = 1, max = 127)))]
    pub except: Vec<String>,
}

/// What a finding of a check is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Level {
    /// The check is not run. Write it in quotes: without them YAML takes the word for `false`, and kubectl
    /// sends that.
    Off,
    /// A warning: Ready is not affected.
    #[default]
    Warn,
    /// An error: a release that it is found in is rolled back where it can be, and Ready stays off.
    Error,
}

/// YAML's `Off` without quotes is `false`: in a file that Sluice itself reads it means what it says.
impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Word(String),
            Boolean(bool),
        }
        match Written::deserialize(deserializer)? {
            Written::Word(word) if word == "Warn" => Ok(Self::Warn),
            Written::Word(word) if word == "Error" => Ok(Self::Error),
            Written::Word(word) if word == "Off" => Ok(Self::Off),
            Written::Boolean(false) => Ok(Self::Off),
            Written::Word(word) => {
                Err(D::Error::custom(format!("unknown level {word:?}, expected \"Off\", Warn or Error")))
            }
            Written::Boolean(true) => {
                Err(D::Error::custom("a level is \"Off\", Warn or Error, and not true"))
            }
        }
    }
}

/// Which foreign keys are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyChoice {
    /// Every one.
    #[default]
    All,
    /// Those that the release makes or validates: written by a transaction that began after the release did.
    /// A verification without a release (`every`, `sluice verify`) checks none.
    New,
}

/// An index that must exist, be valid and match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequiredIndex {
    /// The table, as `table` or `schema.table`.
    #[schemars(length(min = 1, max = 127))]
    pub table: String,

    /// The key columns in order; `created_at DESC` where the direction matters, `email text_pattern_ops`
    /// where the operator class is not the default one.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn level(written: &str) -> Result<Level, String> {
        serde_saphyr::from_str(written).map_err(|error| error.to_string())
    }

    #[test]
    fn off_means_off_with_quotes_and_without() {
        assert_eq!(
            ["Off", "\"Off\"", "Warn", "Error"].map(level),
            [Ok(Level::Off), Ok(Level::Off), Ok(Level::Warn), Ok(Level::Error)]
        );
        assert!(["On", "true", "warn", "7"].iter().all(|written| level(written).is_err()));
    }
}
