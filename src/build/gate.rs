//! What a DatabaseMigration says in its namespace's MigrationGate. PURE.

use serde_json::{Value, json};

use crate::api::{GATE_NAME, GROUP, VERSION};

/// The apply configuration that owns exactly these entries.
pub fn gate(namespace: &str, entries: &[String]) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "MigrationGate",
        "metadata": {"name": GATE_NAME, "namespace": namespace},
        "spec": {"satisfied": entries},
    })
}

/// One field manager for each DatabaseMigration: each owns its own entries of the set, so that two never take away each other's.
pub fn gate_manager(migration: &str) -> String {
    format!("sluice-gate-{migration}")
}
