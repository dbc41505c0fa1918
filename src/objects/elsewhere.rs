//! The URLs of other databases and servers, each of which only the stage gets that needs it. PURE.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, SecretKeySelector};

use crate::{
    contract::{REHEARSAL_URL, Stage},
    validate::ValidatedMigration,
};

/// What a stage gets beside the URL of the database itself.
pub(super) fn variables(stage: Stage, migration: &ValidatedMigration) -> Vec<EnvVar> {
    match stage {
        Stage::Plan | Stage::Snapshot | Stage::Migrate => Vec::new(),
        Stage::Rehearse => scratch_server(migration).into_iter().collect(),
        Stage::Verify => databases(migration),
    }
}

/// The server for copies. Without its Secret the Pod does not start, and the status says so.
fn scratch_server(migration: &ValidatedMigration) -> Option<EnvVar> {
    let (name, key) = migration.rehearsal.as_ref()?.server.clone()?;
    let selector = SecretKeySelector { name, key, optional: None };
    Some(variable(REHEARSAL_URL.to_owned(), selector))
}

/// One variable for each other database, from its Secret. A Secret that is not there does not keep the Pod
/// from starting: then the variable is missing, and the finding says so.
fn databases(migration: &ValidatedMigration) -> Vec<EnvVar> {
    let others = migration.assertions.orphans.iter().filter_map(|relation| relation.database.as_ref());
    let by_name: BTreeMap<_, _> = others.map(|other| (other.variable(), &other.secret_ref)).collect();
    let of = |(name, secret): (String, &crate::api::ReaderSecret)| {
        let selector =
            SecretKeySelector { name: secret.name.clone(), key: secret.key.clone(), optional: Some(true) };
        variable(name, selector)
    };
    by_name.into_iter().map(of).collect()
}

fn variable(name: String, selector: SecretKeySelector) -> EnvVar {
    let value_from = Some(EnvVarSource { secret_key_ref: Some(selector), ..EnvVarSource::default() });
    EnvVar { name, value: None, value_from }
}
