//! The section `database`: which database, as whom, and which schemas.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Which database, and as whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.secretRef == oldSelf.secretRef || self.secretRef.name == oldSelf.secretRef.name").message("spec.database.secretRef.name cannot change: create another DatabaseMigration for another database"))]
pub struct Database {
    /// The Secret that holds the connection URL of the role that owns the schema (`postgres://user:password@host:5432/name`).
    /// Only the Job's Pods read it; the controller never does. It must reach PostgreSQL directly, not through a pooler.
    pub secret_ref: SecretKeyRef,

    /// The schemas that belong to this database's application; every check looks at all of them. Default: `public`.
    #[serde(default = "default_schemas")]
    #[schemars(length(min = 1, max = 50), inner(length(min = 1, max = 63)))]
    pub schemas: Vec<String>,

    /// The schema that holds the ledger (`_prisma_migrations`). Default: the `schema` parameter of the URL, else `public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub history_schema: Option<String>,
}

/// One key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret's name. Immutable.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// The key whose value is the URL. Default: `url`.
    #[serde(default = "default_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn default_schemas() -> Vec<String> {
    vec!["public".to_owned()]
}

fn default_key() -> String {
    "url".to_owned()
}
