//! The MigrationPolicy that a DatabaseMigration names: reads it, and hands on the object as it is in force.

use kube::{Api, api::DynamicObject};
use serde_json::Value;

use super::{error::ObserveError, known::Known, reader::Reader};
use crate::{
    api::{DatabaseMigration, MigrationPolicy, Pods},
    plan::facts::PolicyFact,
    policy,
};

/// A DatabaseMigration with its policy merged into it, as far as that can be.
pub(super) struct InForce {
    /// The object, or why it cannot be read. Where the policy is missing it is as it was written.
    pub(super) object: Result<DatabaseMigration, String>,
    /// Whether the policy is there.
    pub(super) policy: PolicyFact,
    /// How the Pods of its runs are placed.
    pub(super) pods: Pods,
}

/// Reads the policy, where the object as written names one.
pub(super) async fn read(reader: &Reader<'_>, written: &DynamicObject) -> Result<InForce, ObserveError> {
    let (spec, chart) = (&written.data["spec"], &reader.context.pods);
    let Some(name) = policy::named(spec) else {
        return Ok(InForce {
            object: object(written, policy::in_force(spec, None)),
            policy: PolicyFact::NotNamed,
            pods: chart.clone(),
        });
    };
    let api: Api<MigrationPolicy> = Api::namespaced(reader.context.client.clone(), reader.namespace);
    let found = reader.named("the MigrationPolicy", api.get_opt(name).await)?;
    let name = name.to_owned();
    let Some(found) = found else {
        return Ok(InForce {
            object: object(written, spec.clone()),
            policy: PolicyFact::Missing(name),
            pods: chart.clone(),
        });
    };
    let sections = policy::sections(&found.spec);
    let merged = policy::in_force(spec, Some(&sections));
    let (object, pods) = match (object(written, merged), policy::pods(chart, Some(&sections))) {
        (Ok(object), Ok(pods)) => (Ok(object), pods),
        (Err(problem), _) | (_, Err(problem)) => (Err(problem), chart.clone()),
    };
    Ok(InForce { object, policy: PolicyFact::Found(name), pods })
}

/// What a spec says once it is read as the type.
fn object(written: &DynamicObject, spec: Value) -> Result<DatabaseMigration, String> {
    let spec = serde_json::from_value(spec).map_err(|error| error.to_string())?;
    let status = written.data.get("status").cloned().unwrap_or_default();
    let status = serde_json::from_value(status).map_err(|error| format!("its status: {error}"))?;
    Ok(DatabaseMigration { metadata: written.metadata.clone(), spec, status })
}

/// The objects that name this policy.
pub(super) fn names(other: &Known, policy: &str) -> bool {
    other.says.as_ref().and_then(|says| says.policy.as_deref()) == Some(policy)
}
