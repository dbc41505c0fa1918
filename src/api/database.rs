//! The section `database`: which database, as which role, and which schemas.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Which database, and as which role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.secretRef == oldSelf.secretRef || self.secretRef.name == \
    oldSelf.secretRef.name").message("spec.database.secretRef.name cannot change: create another \
    DatabaseMigration for another database"))]
pub struct Database {
    /// The Secret that holds the connection URL of the role that owns the schema
    /// (`postgres://user:password@host:5432/name`). Only the Job's Pods read it; the controller never does.
    /// It must reach PostgreSQL directly, not through a pooler.
    pub secret_ref: SecretKeyRef,

    /// How the server proves who it is. Default: connections are encrypted (`sslmode=require`), and whose
    /// server it is stays unknown; the URL's `sslmode` says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<DatabaseTls>,

    /// The schemas that belong to this database's application; every check reads all of them. Default:
    /// `public`.
    #[serde(default = "default_schemas")]
    #[schemars(length(min = 1, max = 50), inner(length(min = 1, max = 63)))]
    pub schemas: Vec<String>,

    /// The schema that holds the history (`_prisma_migrations`). Default: the `schema` parameter of the URL,
    /// else `public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub history_schema: Option<String>,
}

/// How the server proves who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseTls {
    /// The authority that signed the server's certificate. With it, connections are `verify-full`, of
    /// `pg_dump` too: the certificate must be of this authority, and for the host in the URL. A URL that says
    /// `sslmode=disable` contradicts it, and nothing connects.
    pub ca_from: CaFrom,
}

/// A certificate of an authority, in PEM, in a ConfigMap of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaFrom {
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub config_map: String,

    /// The key whose value is the certificate, or several. Default: `ca.crt`.
    #[serde(default = "default_ca_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
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

fn default_ca_key() -> String {
    "ca.crt".to_owned()
}

fn default_key() -> String {
    "url".to_owned()
}
