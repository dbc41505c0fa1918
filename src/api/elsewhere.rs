//! Another database, which `verify` reads keys from.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Another database. Only the verify stage knows its URL and connects to it, and it only reads. Without a
/// cluster the URL comes from the environment: `DATABASE_URL_` and the name in capitals, with `_` for `-`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OtherDatabase {
    /// What findings call it, for instance the service that owns it: `billing`. The same name is the same
    /// database.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// The Secret that holds the connection URL of a role that may read the tables
    /// (`postgres://user:password@host:5432/name`).
    pub secret_ref: ReaderSecret,

    /// The schemas in which a table without a schema in front is searched for, the first one first. Default:
    /// `public`.
    #[serde(default = "default_schemas")]
    #[schemars(length(min = 1, max = 50), inner(length(min = 1, max = 63)))]
    pub schemas: Vec<String>,
}

/// One key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReaderSecret {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// The key whose value is the URL. Default: `url`.
    #[serde(default = "default_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

impl OtherDatabase {
    /// The environment variable that holds its URL in the verify stage.
    pub fn variable(&self) -> String {
        format!("DATABASE_URL_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }
}

fn default_schemas() -> Vec<String> {
    vec!["public".to_owned()]
}

fn default_key() -> String {
    "url".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_named_after_the_database() {
        let secret_ref = ReaderSecret { name: "s".into(), key: "url".into() };
        let other = OtherDatabase { name: "mental-health".into(), secret_ref, schemas: default_schemas() };
        assert_eq!(other.variable(), "DATABASE_URL_MENTAL_HEALTH");
    }
}
