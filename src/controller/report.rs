//! The only writer of statuses and Events.

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Resource,
    api::{DynamicObject, PostParams},
    core::ApiResource,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::{
    Context,
    error::{ReportCause, ReportError, chain, is_namespace_terminating},
    observe::Observed,
};
use crate::{
    api::{DatabaseMigration, DatabaseMigrationStatus, FieldManager},
    plan::{events::Announcement, facts::Facts, waiting::Notice},
};

/// An Event's note may have this many bytes.
const NOTE: usize = 1024;

/// Writes the whole status: fields that are not in it go, whichever client owns them. By a server-side apply
/// they would stay once a client had emptied `metadata.managedFields`, and the status would never be the one
/// that was planned. It is about the object that was observed, so it is refused when that was written
/// meanwhile: Ready never turns True for a spec that is not the newest.
pub async fn report(
    context: &Context,
    observed: &Observed,
    status: &DatabaseMigrationStatus,
) -> Result<(), ReportError> {
    let facts = &observed.facts;
    let kind = ApiResource::erase::<DatabaseMigration>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &facts.namespace, &kind);
    let mut object =
        DynamicObject::new(&facts.name, &kind).within(&facts.namespace).data(json!({"status": status}));
    // Not another object that has the same name by now.
    object.metadata.uid = Some(facts.uid.clone());
    object.metadata.resource_version.clone_from(&observed.version);
    let parameters =
        PostParams { field_manager: Some(FieldManager::Status.name().to_owned()), ..PostParams::default() };
    let failed = |cause| ReportError { namespace: facts.namespace.clone(), name: facts.name.clone(), cause };
    match api.replace_status(&facts.name, &parameters, &object).await {
        Ok(stored) => is_kept(&stored, status).map_err(failed),
        Err(kube::Error::Api(answer)) if answer.is_not_found() => Ok(()),
        Err(error) => Err(failed(ReportCause::Refused(error))),
    }
}

/// A definition that is older than the controller lets go of fields that it does not know. Written again at
/// once, they would be lost again.
fn is_kept(stored: &DynamicObject, status: &DatabaseMigrationStatus) -> Result<(), ReportCause> {
    let kept = stored.data.get("status").cloned().unwrap_or_default();
    let kept = serde_json::from_value::<DatabaseMigrationStatus>(kept).ok();
    if kept.as_ref() == Some(status) { Ok(()) } else { Err(ReportCause::NotKept) }
}

/// Creates the Event about a DatabaseMigration. One that is refused holds nothing up.
pub async fn announce(context: &Context, facts: &Facts, announcement: &Announcement) {
    let regarding = ObjectReference {
        api_version: Some(DatabaseMigration::api_version(&()).into_owned()),
        kind: Some("DatabaseMigration".to_owned()),
        name: Some(facts.name.clone()),
        namespace: Some(facts.namespace.clone()),
        uid: Some(facts.uid.clone()),
        ..ObjectReference::default()
    };
    let said = Said {
        name: &announcement.name,
        action: "Migrate",
        reason: announcement.reason,
        note: &announcement.message,
        warning: announcement.warning,
    };
    if let Err(error) = say(context, regarding, &said).await {
        warn!(error = chain(&error), "cannot create an Event");
    }
}

/// Creates the Event about a workload that waits.
pub async fn tell_waiting(
    context: &Context,
    name: &str,
    workload: ObjectReference,
    notice: &Notice,
) -> kube::Result<()> {
    let said = Said {
        name,
        action: "Wait",
        reason: "WaitingForMigration",
        note: &notice.message,
        warning: notice.warning,
    };
    say(context, workload, &said).await
}

/// What an Event says.
struct Said<'a> {
    name: &'a str,
    action: &'a str,
    reason: &'a str,
    note: &'a str,
    warning: bool,
}

/// The name of an Event is a function of what happened, so that saying it twice is saying it once.
async fn say(context: &Context, regarding: ObjectReference, said: &Said<'_>) -> kube::Result<()> {
    let api: Api<Event> =
        Api::namespaced(context.client.clone(), regarding.namespace.as_deref().unwrap_or_default());
    match api.create(&PostParams::default(), &event(context, regarding, said)).await {
        Err(kube::Error::Api(answer)) if answer.is_already_exists() => Ok(()),
        Err(error) if is_namespace_terminating(&error) => Ok(()),
        result => result.map(drop),
    }
}

/// Eight bytes of a hash over parts, in hexadecimal.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn event(context: &Context, regarding: ObjectReference, said: &Said<'_>) -> Event {
    let mut note = said.note.to_owned();
    if note.len() > NOTE {
        let end = (0..=NOTE - 4).rev().find(|end| note.is_char_boundary(*end)).unwrap_or_default();
        note.truncate(end);
        note.push('…');
    }
    Event {
        metadata: ObjectMeta {
            name: Some(said.name.to_owned()),
            namespace: regarding.namespace.clone(),
            ..ObjectMeta::default()
        },
        action: Some(said.action.to_owned()),
        event_time: Some(MicroTime(context.now())),
        note: Some(note),
        reason: Some(said.reason.to_owned()),
        regarding: Some(regarding),
        reporting_controller: Some("sluice.dev/controller".to_owned()),
        reporting_instance: Some(context.instance.clone()),
        type_: Some(if said.warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}
