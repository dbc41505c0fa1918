//! What held Deployments and gated Pods are told: an Event for each cause, and no second one.

use serde_json::{Value, json};
use sluice::controller::waiting::{Told, tell};

use super::world::{NAMESPACE, World, key};

fn held(world: &World, name: &str, requires: &Value) {
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "labels": {"sluice.dev/gated": "true"}, "annotations": {"sluice.dev/held": "true"}},
        "spec": {"paused": true, "selector": {}, "template": {"metadata": {"annotations": requires}}},
    });
    world.server.cluster().put(key("deployments", name), object);
}

fn gated(world: &World, name: &str, requires: &Value) {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"sluice.dev/gated": "true"}, "annotations": requires},
        "spec": {"containers": [], "schedulingGates": [{"name": "sluice.dev/migrated"}]},
        "status": {"phase": "Pending"},
    });
    world.server.cluster().put(key("pods", name), object);
}

/// Of whom which kind of Event says what, without those about DatabaseMigrations.
fn events(world: &World) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of_workloads = |event: &Value| event["reason"] == "WaitingForMigration";
    let all = world.server.cluster().all("events");
    all.iter()
        .filter(|(_, event)| of_workloads(event))
        .map(|(_, event)| {
            let who = format!("{}/{}", text(&event["regarding"]["kind"]), text(&event["regarding"]["name"]));
            (who, text(&event["type"]), text(&event["note"]))
        })
        .collect()
}

#[tokio::test]
async fn a_held_deployment_and_a_gated_pod_are_told_once_what_they_wait_for() {
    let mut world = World::new();
    held(&world, "app", &json!({"requires.sluice.dev/records": "2_two"}));
    gated(&world, "import", &json!({"requires.sluice.dev/records": "2_two"}));
    let mut told = Told::default();
    for _ in 0..3 {
        tell(world.context(), NAMESPACE, &mut told).await.expect("tells");
    }
    // Another leader knows nothing of what was told.
    tell(world.context(), NAMESPACE, &mut Told::default()).await.expect("tells");
    let said = events(&world);
    let words = "waits for records@2_two: Sluice has not reconciled \"records\" yet";
    let event = |who: &str| (who.to_owned(), "Normal".to_owned(), words.to_owned());
    assert_eq!(said, [event("Deployment/app"), event("Pod/import")]);

    world.run(&["records"]).await;
    tell(world.context(), NAMESPACE, &mut told).await.expect("tells");
    assert_eq!(events(&world).len(), 2, "what is satisfied is let go, and told nothing");
}

#[tokio::test]
async fn a_name_that_no_source_has_is_told_when_everything_else_is_applied() {
    let mut world = World::new();
    held(&world, "app", &json!({"requires.sluice.dev/records": "9_nine"}));
    held(&world, "typo", &json!({"requires.sluice.dev/recrods": "2_two"}));
    held(&world, "bare", &json!({}));
    world.run(&["records"]).await;
    tell(world.context(), NAMESPACE, &mut Told::default()).await.expect("tells");
    let said = events(&world);
    assert!(said.iter().all(|(_, kind, _)| kind == "Warning"), "{said:#?}");
    let about = |who: &str| {
        said.iter().find(|(whom, _, _)| whom == who).map(|(_, _, note)| note.clone()).unwrap_or_default()
    };
    assert!(
        about("Deployment/app")
            .contains("\"records\" is Ready at 2_two, and what it has applied does not contain it"),
        "{said:#?}"
    );
    assert!(
        about("Deployment/typo")
            .contains("no DatabaseMigration has the name \"recrods\"; the namespace has records"),
        "{said:#?}"
    );
    assert!(about("Deployment/bare").contains("waits for ever"), "{said:#?}");
}

#[tokio::test]
async fn who_does_not_wait_is_told_nothing() {
    let world = World::new();
    held(&world, "app", &json!({"requires.sluice.dev/records": "2_two"}));
    world
        .server
        .cluster()
        .edit(&key("deployments", "app"), |object| object["metadata"]["annotations"] = json!({}));
    gated(&world, "import", &json!({"requires.sluice.dev/records": "2_two"}));
    world.server.cluster().edit(&key("pods", "import"), |object| {
        object["spec"]["schedulingGates"] = json!([{"name": "example.org/quota"}]);
    });
    tell(world.context(), NAMESPACE, &mut Told::default()).await.expect("tells");
    assert_eq!(events(&world), []);
}
