//! The URLs of other databases, which only the verify stage gets. PURE.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, SecretKeySelector};

use crate::{contract::Stage, validate::ValidatedMigration};

/// One variable for each other database, from its Secret. A Secret that is not there does not keep the Pod
/// from starting: then the variable is missing, and the finding says so.
pub(super) fn variables(stage: Stage, migration: &ValidatedMigration) -> Vec<EnvVar> {
    if stage != Stage::Verify {
        return Vec::new();
    }
    let others = migration.assertions.orphans.iter().filter_map(|relation| relation.database.as_ref());
    let by_name: BTreeMap<_, _> = others.map(|other| (other.variable(), &other.secret_ref)).collect();
    let variable = |(name, secret): (String, &crate::api::ReaderSecret)| {
        let selector =
            SecretKeySelector { name: secret.name.clone(), key: secret.key.clone(), optional: Some(true) };
        EnvVar {
            name,
            value: None,
            value_from: Some(EnvVarSource { secret_key_ref: Some(selector), ..EnvVarSource::default() }),
        }
    };
    by_name.into_iter().map(variable).collect()
}
