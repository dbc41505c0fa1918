//! The only writer of statuses and Events.

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tracing::warn;

use super::{
    Context,
    error::{ReportError, chain, is_moot},
    observe::Observed,
};
use crate::{
    api::{DatabaseMigration, DatabaseMigrationStatus, FieldManager, GROUP, VERSION},
    plan::{events::Announcement, facts::Facts},
};

/// An Event's note may have this many bytes.
const NOTE: usize = 1024;

/// Writes the whole status: fields that are not in it go. It is about the object that was observed, so it is refused when that was written
/// meanwhile: Ready never turns True for a spec that is not the newest.
pub async fn report(context: &Context, observed: &Observed, status: &DatabaseMigrationStatus) -> Result<(), ReportError> {
    let facts = &observed.facts;
    let api: Api<DatabaseMigration> = Api::namespaced(context.client.clone(), &facts.namespace);
    let patch = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "DatabaseMigration",
        // Not another object that has the same name by now.
        "metadata": {"name": facts.name, "namespace": facts.namespace, "uid": facts.uid, "resourceVersion": observed.version},
        "status": status,
    });
    let parameters = PatchParams::apply(FieldManager::Status.name()).force();
    let failed = |source| ReportError { namespace: facts.namespace.clone(), name: facts.name.clone(), source };
    match api.patch_status(&facts.name, &parameters, &Patch::Apply(patch)).await {
        Err(kube::Error::Api(answer)) if answer.is_not_found() => Ok(()),
        result => result.map(drop).map_err(failed),
    }
}

/// Creates an Event. Its name says what happened, so that it is created once; an Event that is refused holds nothing up.
pub async fn announce(context: &Context, facts: &Facts, announcement: &Announcement) {
    let api: Api<Event> = Api::namespaced(context.client.clone(), &facts.namespace);
    let event = event(context, facts, announcement);
    match api.create(&PostParams::default(), &event).await {
        Err(kube::Error::Api(answer)) if answer.is_already_exists() => {}
        Err(error) if is_moot(&error) => {}
        Err(error) => warn!(error = chain(&error), "cannot create an Event"),
        Ok(_) => {}
    }
}

fn event(context: &Context, facts: &Facts, announcement: &Announcement) -> Event {
    let mut note = announcement.message.clone();
    if note.len() > NOTE {
        let end = (0..=NOTE - 4).rev().find(|end| note.is_char_boundary(*end)).unwrap_or_default();
        note.truncate(end);
        note.push('…');
    }
    Event {
        metadata: ObjectMeta { name: Some(announcement.name.clone()), namespace: Some(facts.namespace.clone()), ..ObjectMeta::default() },
        action: Some("Migrate".to_owned()),
        event_time: Some(MicroTime(context.now())),
        note: Some(note),
        reason: Some(announcement.reason.name().to_owned()),
        regarding: Some(ObjectReference {
            api_version: Some(DatabaseMigration::api_version(&()).into_owned()),
            kind: Some("DatabaseMigration".to_owned()),
            name: Some(facts.name.clone()),
            namespace: Some(facts.namespace.clone()),
            uid: Some(facts.uid.clone()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some("sluice.dev/controller".to_owned()),
        reporting_instance: Some(context.instance.clone()),
        type_: Some(if announcement.warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}
