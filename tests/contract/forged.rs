//! What a user who may create Jobs and Pods, and nothing else, can make the controller believe: nothing.
//! Without admission policies, which an API server in memory does not have.

use serde_json::{Value, json};
use sluice::{
    api::{ConditionType, Reason},
    contract::{HistorySummary, Outcome, Purpose, Stage},
};

use super::{
    kubelet::Mishap,
    world::{World, key},
};

/// A run that is under way, all four stages still at work.
async fn under_way() -> (World, String) {
    let mut world = World::new();
    world.run_for(&["records"], 2).await;
    let job = world.jobs().pop().expect("a Job");
    (world, job)
}

/// What the last container of a forged Pod says: a version that exists nowhere is applied and verified.
fn forged_statuses() -> Value {
    let status = |stage: Stage| {
        let reason = super::facts::PASSES[stage as usize];
        let mut outcome = Outcome::passed(stage, reason, "forged");
        outcome.history = Some(HistorySummary {
            current: Some("9_forged".into()),
            applied: vec!["9_forged".into()],
            ..HistorySummary::default()
        });
        let terminated = json!({"exitCode": 0, "reason": "Completed", "message": outcome.message_for_pod(), "finishedAt": "2026-05-28T20:26:50Z"});
        json!({"name": stage.name(), "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": terminated}})
    };
    Purpose::Apply.route().stages().map(status).collect()
}

fn uid(world: &World, kind: &str, name: &str) -> String {
    world.server.cluster().objects[&key(kind, name)]["metadata"]["uid"].as_str().expect("a uid").to_owned()
}

/// The Pod that says so, with the spec that its Job asks for.
fn put_pod(world: &World, job: &str, name: &str) {
    let uid = uid(world, "jobs", job);
    let template = world.server.cluster().objects[&key("jobs", job)]["spec"]["template"].clone();
    let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid, "controller": true});
    let metadata =
        json!({"name": name, "labels": template["metadata"]["labels"], "ownerReferences": [owner]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"],
        "status": {"phase": "Succeeded", "containerStatuses": forged_statuses()}});
    world.server.cluster().put(key("pods", name), pod);
}

type Change = (&'static str, fn(&mut Value));

/// Every way to change what a Pod does, and the word by which it is told.
fn changes() -> Vec<Change> {
    vec![
        ("image", |pod| pod["containers"][3]["image"] = json!("registry.example/evil:1")),
        ("command", |pod| pod["containers"][3]["command"] = json!(["/bin/sh"])),
        ("args", |pod| {
            pod["containers"][3]["args"] = json!(["stage", "verify", "--termination-log", "/tmp/x"]);
        }),
        ("env", |pod| pod["containers"][3]["env"][0]["value"] = json!("postgres://evil/x")),
        ("env", |pod| {
            pod["containers"][0]["env"]
                .as_array_mut()
                .expect("env")
                .push(json!({"name": "PGHOST", "value": "evil"}));
        }),
        ("envFrom", |pod| pod["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "x"}}])),
        ("lifecycle", |pod| {
            pod["containers"][0]["lifecycle"] = json!({"postStart": {"exec": {"command": ["/sluice"]}}});
        }),
        ("containers[fifth]", |pod| {
            pod["containers"]
                .as_array_mut()
                .expect("containers")
                .push(json!({"name": "fifth", "image": "x"}));
        }),
        ("initContainers", |pod| pod["initContainers"] = json!([{"name": "first", "image": "x"}])),
        ("volumes[source]", |pod| pod["volumes"][2] = json!({"name": "source", "emptyDir": {}})),
        ("volumeMounts", |pod| pod["containers"][0]["volumeMounts"][0]["subPath"] = json!("x")),
        ("hostAliases", |pod| pod["hostAliases"] = json!([{"ip": "10.0.0.1", "hostnames": ["db"]}])),
        ("dnsConfig", |pod| pod["dnsConfig"] = json!({"nameservers": ["10.0.0.1"]})),
        ("dnsPolicy", |pod| pod["dnsPolicy"] = json!("None")),
        ("hostNetwork", |pod| pod["hostNetwork"] = json!(true)),
        ("shareProcessNamespace", |pod| pod["shareProcessNamespace"] = json!(true)),
        ("serviceAccountName", |pod| pod["serviceAccountName"] = json!("another")),
        ("terminationMessagePath", |pod| {
            pod["containers"][3]["terminationMessagePath"] = json!("/run/sluice/x");
        }),
        ("terminationMessagePolicy", |pod| {
            pod["containers"][3]["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
        }),
        ("runAsUser", |pod| pod["securityContext"]["runAsUser"] = json!(0)),
    ]
}

#[tokio::test]
async fn a_job_at_the_announced_name_that_does_anything_else_is_named_and_not_believed() {
    for (place, change) in changes() {
        let (mut world, job) = under_way().await;
        world.server.cluster().edit(&key("jobs", &job), |job| change(&mut job["spec"]["template"]["spec"]));
        world.server.cluster().objects.remove(&key("pods", &format!("{job}-pod")));
        put_pod(&world, &job, &format!("{job}-forge"));
        world.run_for(&["records"], 5).await;
        let (status, reason, message) = world.condition("records", ConditionType::Ready).expect("Ready");
        assert_eq!(
            (status.as_str(), reason.as_str()),
            ("False", Reason::ForeignJob.name()),
            "{place}: {message}"
        );
        assert!(message.contains(place) && message.contains(&job), "{place}: {message}");
        assert_eq!((world.gate().len(), world.status("records").applied.len()), (0, 0), "{place}");
        assert!(!message.contains("evil"), "what a user wrote is not repeated: {message}");
    }
}

#[tokio::test]
async fn a_pod_that_says_it_belongs_to_the_job_and_does_anything_else_is_not_read() {
    for (place, change) in changes() {
        let (mut world, job) = under_way().await;
        put_pod(&world, &job, "zz-forged");
        world.server.cluster().edit(&key("pods", "zz-forged"), |pod| change(&mut pod["spec"]));
        world.run(&["records"]).await;
        assert_eq!(world.gate(), ["records@1_one", "records@2_two"], "{place}: only the real Pod counts");
        // Where the real one is gone, the forged one is no substitute.
        let (mut world, job) = under_way().await;
        put_pod(&world, &job, "zz-forged");
        world.server.cluster().edit(&key("pods", "zz-forged"), |pod| change(&mut pod["spec"]));
        world.server.cluster().objects.remove(&key("pods", &format!("{job}-pod")));
        world.observe("records").await.expect("a reconcile");
        let (_, reason, message) = world.condition("records", ConditionType::Ready).expect("Ready");
        assert_eq!(
            (reason.as_str(), world.gate().len()),
            (Reason::ForeignJob.name(), 0),
            "{place}: {message}"
        );
    }
}

/// People may run commands in any Pod that is not named like one of a run.
#[tokio::test]
async fn a_pod_that_does_what_the_job_says_under_a_name_that_no_job_gives_is_not_read() {
    for (name, believed) in
        [("forged".to_owned(), false), ("records-forged".to_owned(), false), ("JOB-abcde".to_owned(), true)]
    {
        let (mut world, job) = under_way().await;
        world.server.cluster().objects.remove(&key("pods", &format!("{job}-pod")));
        put_pod(&world, &job, &name.replace("JOB", &job));
        for _ in 0..3 {
            world.observe("records").await.expect("a reconcile");
        }
        let (_, reason, message) = world.condition("records", ConditionType::Ready).expect("Ready");
        assert_eq!(world.gate() == ["records@9_forged"], believed, "{name}: {message}");
        assert_eq!(
            reason == Reason::ForeignJob.name() && message.contains("metadata.name"),
            !believed,
            "{name}: {message}"
        );
    }
}

/// The Job takes a foreign Pod for its own, takes the one too many away, which migrates, and waits for the
/// other.
#[tokio::test]
async fn a_job_whose_pod_is_somebody_elses_makes_way_for_the_next_attempt() {
    let mut world = World::new();
    world.database.mishaps = vec![Mishap::Waits("ContainerCreating", "", 10_000)];
    world.run_for(&["records"], 2).await;
    let job = world.jobs().pop().expect("a Job");
    let image = |pod: &mut Value| pod["spec"]["containers"][3]["image"] = json!("registry.example/pause:1");
    world.server.cluster().edit(&key("pods", &format!("{job}-pod")), image);
    world.run_for(&["records"], 30).await;
    assert_eq!(world.ready("records"), ("False".to_owned(), Reason::ForeignJob.name().to_owned()));
    assert!(world.jobs().contains(&job), "it is there to be inspected until a person wants the next attempt");
    world.edit("records", |object| object["metadata"]["annotations"] = json!({"sluice.dev/retry": "1"}));
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), ("True".to_owned(), "Verified".to_owned()));
    assert_eq!(world.gate(), ["records@1_one", "records@2_two"]);
    assert!(!world.jobs().contains(&job), "{:?}", world.jobs());
}

#[tokio::test]
async fn a_debugging_container_in_the_pod_makes_its_result_count_for_nothing() {
    let (mut world, job) = under_way().await;
    let debug = json!([{"name": "debug", "image": "busybox", "targetContainerName": "verify"}]);
    world
        .server
        .cluster()
        .edit(&key("pods", &format!("{job}-pod")), |pod| pod["spec"]["ephemeralContainers"] = debug);
    world.run_for(&["records"], 10).await;
    let (_, reason, message) = world.condition("records", ConditionType::Ready).expect("Ready");
    assert_eq!((reason.as_str(), world.gate().len()), (Reason::ForeignJob.name(), 0));
    assert!(message.contains("ephemeralContainers") && message.contains("sluice.dev/retry"), "{message}");
    // A person follows the advice.
    world.server.cluster().objects.retain(|key, _| key.0 != "jobs" && key.0 != "pods");
    world.edit("records", |object| object["metadata"]["annotations"] = json!({"sluice.dev/retry": "1"}));
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), ("True".to_owned(), "Verified".to_owned()));
}

/// A copy of the Job under another name, with other labels.
fn put_copy(world: &World, job: &str, name: &str, labels: &[(&str, &str)], change: impl FnOnce(&mut Value)) {
    let mut copy = world.server.cluster().objects[&key("jobs", job)].clone();
    copy["metadata"]["name"] = json!(name);
    for (label, value) in labels {
        copy["metadata"]["labels"][*label] = json!(value);
    }
    copy["status"] = Value::Null;
    change(&mut copy);
    world.server.cluster().put(key("jobs", name), copy);
    put_pod(world, name, &format!("{name}-pod"));
}

#[tokio::test]
async fn a_job_that_nobody_announced_opens_nothing_and_is_named_beside_a_ready_that_stays() {
    let mut world = World::new();
    world.run(&["records"]).await;
    let job = world.jobs().pop().expect("a Job");
    world.pass(60);
    let digest = world.status("records").run.expect("a run").digest;
    let image = |job: &mut Value| {
        job["spec"]["template"]["spec"]["containers"][3]["image"] = json!("registry.example/evil:1");
    };
    for (name, labels, attempt) in [
        (format!("records-{digest}-a2"), vec![("sluice.dev/attempt", "2")], "the next attempt"),
        (
            format!("records-{digest}-a4294967295"),
            vec![("sluice.dev/attempt", "4294967295")],
            "the last attempt that can be counted",
        ),
        (
            "records-ffffffff-a1".to_owned(),
            vec![("sluice.dev/digest", "ffffffff"), ("sluice.dev/attempt", "1")],
            "another digest",
        ),
        ("anything".to_owned(), vec![("sluice.dev/attempt", "2")], "another name"),
    ] {
        put_copy(&world, &job, &name, &labels, image);
        world.run(&["records"]).await;
        let (status, reason, message) = world.condition("records", ConditionType::Ready).expect("Ready");
        assert_eq!((status.as_str(), reason.as_str()), ("True", "Verified"), "{attempt}");
        assert!(
            message.contains(&format!("{name:?}")) && message.contains("does not count"),
            "{attempt}: {message}"
        );
        assert_eq!(world.gate(), ["records@1_one", "records@2_two"], "{attempt}");
        world.server.cluster().objects.remove(&key("jobs", &name));
        world.server.cluster().objects.remove(&key("pods", &format!("{name}-pod")));
    }
}

#[tokio::test]
async fn a_name_that_somebody_took_is_left_to_them_and_the_next_attempt_has_another() {
    let mut world = World::new();
    world.run(&["records"]).await;
    let job = world.jobs().pop().expect("a Job");
    // The status is lost, and with it every announcement; the Job at the first attempt's name is another one
    // now.
    world.edit("records", |object| object["status"] = json!({"observedGeneration": -1}));
    let ended = |job: &mut Value| {
        job["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.example/evil:1");
        job["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    };
    put_copy(&world, &job, &job, &[], ended);
    world.run(&["records"]).await;
    assert_eq!(world.ready("records").0, "True");
    assert_eq!(world.status("records").run.map(|run| run.attempt), Some(2));
    assert_eq!(world.gate(), ["records@1_one", "records@2_two"]);
}

#[tokio::test]
async fn the_run_that_was_announced_is_believed_after_an_upgrade_of_the_controller_and_an_edit_of_the_spec() {
    let (mut world, job) = under_way().await;
    world.upgrade("registry.example/sluice:2");
    world.edit("records", |object| object["spec"]["apply"] = json!({"deadline": "10m"}));
    world.run_for(&["records"], 6).await;
    let history = world.status("records").history;
    assert_eq!((history[0].job.as_str(), history[0].reason.as_str()), (job.as_str(), "Verified"));
    world.run(&["records"]).await;
    assert_eq!((world.ready("records").0.as_str(), world.jobs().len()), ("True", 2));
}
