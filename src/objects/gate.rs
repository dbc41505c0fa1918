//! What a DatabaseMigration says in its namespace's MigrationGate. PURE.

use serde_json::{Value, json};

use crate::api::{GATE_NAME, GROUP, VERSION};

/// The apply configuration of a DatabaseMigration that owns exactly these entries, and the database that they
/// are about.
pub fn gate(namespace: &str, migration: &str, entries: &[String], database: Option<&str>) -> Value {
    let databases: Vec<Value> =
        database.iter().map(|identity| json!({"name": migration, "identity": identity})).collect();
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "MigrationGate",
        "metadata": {"name": GATE_NAME, "namespace": namespace},
        "spec": {"satisfied": entries, "databases": databases},
    })
}

/// One field manager for each DatabaseMigration: each owns its own entries of the set, so that two never take
/// away each other's.
pub fn gate_manager(migration: &str) -> String {
    format!("sluice-gate-{migration}")
}
