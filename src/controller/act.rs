//! Performs one step: the only creator and deleter. Performing a step twice is performing it once.

use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tracing::info;

use super::{Context, error::ActError, observe::Observed, runs::is_controlled_by};
use crate::{
    api::{FieldManager, GATE_NAME, MigrationGate, MigrationGateSpec},
    objects::{gate, gate_manager, job},
    plan::{
        facts::Facts,
        step::{JobOrder, Step},
    },
};

/// Whether the world is another one now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Something was written.
    Done,
    /// It had been done before, and the reconcile did not see it.
    DoneBefore,
}

/// Does it.
pub async fn act(context: &Context, observed: &Observed, step: &Step) -> Result<Effect, ActError> {
    match step {
        Step::CreateJob(order) => create_job(context, observed, order).await,
        Step::PublishGate { entries, database } => {
            publish_gate(context, observed, entries, database.as_deref()).await
        }
        Step::DeleteJob { job } => delete_job(context, &observed.facts, job).await,
    }
}

/// Created and never applied: a Job's template cannot change, and a Job of this name does the same work.
async fn create_job(context: &Context, observed: &Observed, order: &JobOrder) -> Result<Effect, ActError> {
    let (Some(object), Ok(migration)) = (&observed.object, &observed.facts.migration) else {
        return Ok(Effect::DoneBefore);
    };
    let api: Api<Job> = Api::namespaced(context.client.clone(), &observed.facts.namespace);
    let parameters =
        PostParams { field_manager: Some(FieldManager::Jobs.name().to_owned()), ..PostParams::default() };
    let failed = |source| ActError::CreateJob { job: order.job.clone(), source };
    match api.create(&parameters, &job(object, migration, order, &context.images, &observed.pods)).await {
        Ok(_) => {
            info!(job = order.job, attempt = order.attempt, "created a Job");
            Ok(Effect::Done)
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let existing = api.get_metadata_opt(&order.job).await.map_err(failed)?;
            // Gone again, or ours from before a crash: the next reconcile tells.
            if existing.is_some_and(|existing| !is_controlled_by(&existing.metadata, &observed.facts.uid)) {
                return Err(ActError::JobIsForeign { job: order.job.clone() });
            }
            Ok(Effect::DoneBefore)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Forced, because no other client has a say in the entries of this DatabaseMigration; and upon the gate that
/// was observed, or a process that was stopped for a while would take back what another one published
/// meanwhile.
/// Where none was observed an empty one is created, which fails when there is one by then.
async fn publish_gate(
    context: &Context,
    observed: &Observed,
    entries: &[String],
    database: Option<&str>,
) -> Result<Effect, ActError> {
    let facts = &observed.facts;
    let api: Api<MigrationGate> = Api::namespaced(context.client.clone(), &facts.namespace);
    let parameters = PatchParams::apply(&gate_manager(&facts.name)).force();
    let failed = |source| ActError::PublishGate { namespace: facts.namespace.clone(), source };
    let Some(version) = &observed.gate_version else {
        let manager = Some(FieldManager::Gate.name().to_owned());
        let parameters = PostParams { field_manager: manager, ..PostParams::default() };
        let empty = MigrationGate::new(GATE_NAME, MigrationGateSpec::default());
        api.create(&parameters, &empty).await.map_err(failed)?;
        info!("created an empty gate");
        return Ok(Effect::Done);
    };
    let mut patch = gate(&facts.namespace, &facts.name, entries, database);
    patch["metadata"]["resourceVersion"] = json!(version);
    let written = api.patch(GATE_NAME, &parameters, &Patch::Apply(patch)).await.map_err(failed)?;
    info!(entries = entries.len(), version = written.resource_version(), "published the gate");
    Ok(Effect::Done)
}

/// In the foreground: the Job stays visible until its Pod is gone.
async fn delete_job(context: &Context, facts: &Facts, job: &str) -> Result<Effect, ActError> {
    let api: Api<Job> = Api::namespaced(context.client.clone(), &facts.namespace);
    match api.delete(job, &DeleteParams::foreground()).await {
        Ok(_) => {
            info!(job, "deleted a Job");
            Ok(Effect::Done)
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Effect::DoneBefore),
        Err(source) => Err(ActError::DeleteJob { job: job.to_owned(), source }),
    }
}
