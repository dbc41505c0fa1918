//! The CustomResourceDefinitions as files. PURE.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::api::{database_migration_crd, migration_gate_crd, migration_policy_crd};

/// The name and the text of every file in `crds/`.
pub fn crd_files() -> Vec<(String, String)> {
    [database_migration_crd(), migration_gate_crd(), migration_policy_crd()]
        .iter()
        .map(|crd| (format!("{}.{}.yaml", crd.spec.names.plural, crd.spec.group), yaml(crd)))
        .collect()
}

/// One definition. It begins with `---`, so that files can be joined.
fn yaml(crd: &CustomResourceDefinition) -> String {
    let text =
        serde_saphyr::to_string(crd).expect("a definition made of plain values can be written as YAML");
    format!("---\n{}\n", text.trim_end())
}
