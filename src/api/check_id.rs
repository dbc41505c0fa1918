//! The closed set of what a finding can be of: the checks, each with a page in `docs/checks`, and the names
//! under which something is found that is not a check's.

use std::{borrow::Cow, cmp::Ordering, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! checks {
    (each {$($variant:ident = $name:literal,)*} beside {$($(#[doc = $doc:literal])* $other:ident = $word:literal,)*}) => {
        /// The stable id of a check.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum CheckId {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
            $($(#[doc = $doc])* $other,)*
            /// Of a newer version of Sluice than the one that reads it. It is no check of this version, so nothing
            /// is passed by it; what it found stays, under its name.
            Unknown(UnknownCheck),
        }

        impl CheckId {
            /// Every check of this version.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];
            /// Under which something is found that is not a check's.
            pub const BESIDE: &[Self] = &[$(Self::$other,)*];

            /// As it stands in findings and reports.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    $(Self::$other => $word,)*
                    Self::Unknown(UnknownCheck(name)) => name,
                }
            }

            /// An id by its name.
            pub fn named(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    $($word => Self::$other,)*
                    _ => Self::Unknown(UnknownCheck(name.into())),
                }
            }
        }
    };
}

checks! {
    each {
        Baseline = "baseline",
        ConventionAuditColumns = "convention-audit-columns",
        ConventionColumns = "convention-columns",
        ConventionEnumValues = "convention-enum-values",
        ConventionForeignKeys = "convention-foreign-keys",
        ConventionIndexes = "convention-indexes",
        ConventionMigrations = "convention-migrations",
        ConventionTables = "convention-tables",
        EditedMigration = "edited-migration",
        EnumRequired = "enum-required",
        FailedMigration = "failed-migration",
        ForeignKeyIndexed = "foreign-key-indexed",
        ForeignKeyRequired = "foreign-key-required",
        ForeignKeySetNull = "foreign-key-set-null",
        ForeignKeyValidated = "foreign-key-validated",
        HistoryEqualsSource = "history-equals-source",
        HistoryPrivileges = "history-privileges",
        IndexRedundant = "index-redundant",
        IndexRequired = "index-required",
        IndexUnattached = "index-unattached",
        IndexValid = "index-valid",
        LineEndings = "line-endings",
        MissingMigration = "missing-migration",
        Orphans = "orphans",
        OrphansElsewhere = "orphans-elsewhere",
        OutOfOrder = "out-of-order",
        PlanUsesIndex = "plan-uses-index",
        PrimaryKey = "primary-key",
        QueryAssertion = "query-assertion",
        RlsCascade = "rls-cascade",
        RlsCondition = "rls-condition",
        RlsEnabled = "rls-enabled",
        RlsForced = "rls-forced",
        RlsFunction = "rls-function",
        RlsIndex = "rls-index",
        RlsPartition = "rls-partition",
        RlsPerRow = "rls-per-row",
        RlsPolicies = "rls-policies",
        RlsPrivileges = "rls-privileges",
        RlsRole = "rls-role",
        RlsRule = "rls-rule",
        RlsSetting = "rls-setting",
        RlsTruncate = "rls-truncate",
        RlsUncovered = "rls-uncovered",
        RlsView = "rls-view",
        RowCount = "row-count",
        RowsKept = "rows-kept",
        SchemaDrift = "schema-drift",
        SchemaExists = "schema-exists",
        StrayEntry = "stray-entry",
        TableCount = "table-count",
        TableRequired = "table-required",
        TenantIsolation = "tenant-isolation",
    }
    beside {
        /// A rule of lint objects to the release.
        Lint = "lint",
        /// The checks could not be made, or contradict the schema.
        Verification = "verification",
    }
}

/// The name of a check that this version does not have. Made by [`CheckId::named`] alone, so that none of these
/// is the name of a check that it has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnknownCheck(Box<str>);

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// By name, as findings are listed.
impl Ord for CheckId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

impl PartialOrd for CheckId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for CheckId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for CheckId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::named(&Cow::<str>::deserialize(deserializer)?))
    }
}

/// Any text: an API server with an older definition takes a status that names a newer check.
impl JsonSchema for CheckId {
    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_reads_back_from_its_name_and_prints_it() {
        for check in CheckId::ALL.iter().chain(CheckId::BESIDE) {
            let written = serde_json::to_value(check).expect("an id can be written");
            assert_eq!((written.as_str(), check.to_string().as_str()), (Some(check.name()), check.name()));
            assert_eq!(serde_json::from_value::<CheckId>(written).ok().as_ref(), Some(check));
        }
    }

    #[test]
    fn a_check_of_a_newer_version_keeps_its_name_and_is_none_of_this_version() {
        let newer: CheckId = serde_json::from_str("\"from-the-future\"").expect("it is readable");
        assert_eq!(newer.name(), "from-the-future");
        assert!(!CheckId::ALL.contains(&newer), "{newer:?}");
        assert_eq!(serde_json::to_string(&newer).ok().as_deref(), Some("\"from-the-future\""));
        for unreadable in ["7", "null", "{}"] {
            assert!(serde_json::from_str::<CheckId>(unreadable).is_err(), "{unreadable}");
        }
    }

    #[test]
    fn checks_are_in_the_order_of_their_names() {
        assert!(CheckId::ALL.is_sorted_by(|one, next| one < next), "{:?}", CheckId::ALL);
    }
}
