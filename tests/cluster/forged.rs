//! A user who holds the cluster's role `edit` in a namespace, and nothing else, tries to open its gate.

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::Pod,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use sluice::{
    api::{DatabaseMigration, MigrationGate, Reason},
    contract::{HistorySummary, Outcome, Purpose, Stage},
};

use crate::story::{Story, find, kubectl};

const FIRST: (&str, &str) = ("20260101000000_first", "CREATE TABLE patients (id int PRIMARY KEY);");
const FORGED: &str = "20991231000000_forged";
const EDITOR: &str = "an-editor";

/// A client of the editor, who also has rights that `edit` lacks: what refuses is then the policy.
async fn editor(story: &Story) -> Client {
    let rules = json!([
        {"apiGroups": ["sluice.dev"], "resources": ["databasemigrations/status", "migrationgates"], "verbs": ["get", "patch", "update", "create"]},
        {"apiGroups": ["batch"], "resources": ["jobs/status"], "verbs": ["get", "patch"]},
        {"apiGroups": [""], "resources": ["pods/status", "pods/ephemeralcontainers"], "verbs": ["get", "patch"]},
    ]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "more"}, "rules": rules});
    story.create::<Role>(serde_json::from_value(role).expect("a Role")).await;
    for (name, kind, role) in [("edits", "ClusterRole", "edit"), ("more", "Role", "more")] {
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": EDITOR}]});
        story.create::<RoleBinding>(serde_json::from_value(binding).expect("a RoleBinding")).await;
    }
    let mut config = Config::infer().await.expect("a kubeconfig");
    config.auth_info.impersonate = Some(EDITOR.to_owned());
    let client = Client::try_from(config).expect("a client");
    let pods: Api<Pod> = Api::namespaced(client.clone(), &story.namespace);
    story
        .wait("the editor to have the role", || async {
            pods.list(&ListParams::default()).await.ok().map(|_| ())
        })
        .await;
    client
}

/// What a stage of a forged run says.
fn said(stage: Stage) -> String {
    let reason = match stage {
        Stage::Plan => Reason::PlanReady,
        Stage::Snapshot => Reason::SnapshotTaken,
        Stage::Rehearse => Reason::Rehearsed,
        Stage::Migrate => Reason::Applied,
        Stage::Verify => Reason::Verified,
    };
    let mut outcome = Outcome::passed(stage, reason, "forged");
    outcome.history = Some(HistorySummary {
        current: Some(FORGED.into()),
        applied: vec![FORGED.into()],
        ..HistorySummary::default()
    });
    outcome.message_for_pod()
}

/// A Job with the labels and the owner of the real one, whose containers say that all passed.
fn forged_job(real: &Job, name: &str) -> Job {
    let mut job: Value = serde_json::to_value(real).expect("JSON");
    let (labels, owners) = (job["metadata"]["labels"].clone(), job["metadata"]["ownerReferences"].clone());
    let tools = job["spec"]["template"]["spec"]["containers"][1]["image"].clone();
    let container = |stage: Stage| {
        let script = format!("printf %s '{}' > /dev/termination-log", said(stage));
        json!({"name": stage.name(), "image": tools, "command": ["/bin/sh", "-c", script], "securityContext":
            {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}})
    };
    let mut labels = labels;
    labels["sluice.dev/attempt"] = json!(name.rsplit_once("-a").expect("an attempt").1);
    job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": labels, "ownerReferences": owners},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": Purpose::Apply.route().stages().map(container).collect::<Vec<_>>()}}}});
    serde_json::from_value(job).expect("a Job")
}

async fn real_job(story: &Story) -> Job {
    story
        .api::<Job>()
        .list(&ListParams::default())
        .await
        .expect("lists")
        .items
        .pop()
        .expect("the Job of the run")
}

fn next_name(real: &Job) -> String {
    format!("{}-a2", real.name_any().rsplit_once("-a").expect("an attempt").0)
}

fn refused<T: std::fmt::Debug>(what: &str, result: kube::Result<T>, words: &str) {
    match result {
        Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains(words) => {}
        other => panic!("{what} was not refused with {words:?}: {other:?}"),
    }
}

#[tokio::test]
async fn an_editor_forges_no_job_no_pod_no_status_and_no_gate() {
    let story = Story::begin("forged").await;
    story.everything(&[FIRST], json!({})).await;
    story.ready_at(FIRST.0).await;
    let (real, client) = (real_job(&story).await, editor(&story).await);
    let jobs: Api<Job> = Api::namespaced(client.clone(), &story.namespace);
    let only = "only Sluice makes Jobs";
    refused(
        "a forged Job",
        jobs.create(&PostParams::default(), &forged_job(&real, &next_name(&real))).await,
        only,
    );
    let nobody = PatchParams::default();
    let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
    refused("a change of the real Job", jobs.patch(&real.name_any(), &nobody, &suspend).await, only);
    let ended = Patch::Merge(json!({"status": {"succeeded": 1}}));
    refused("the status of the real Job", jobs.patch_status(&real.name_any(), &nobody, &ended).await, only);

    let pods: Api<Pod> = Api::namespaced(client.clone(), &story.namespace);
    let theirs = story
        .api::<Pod>()
        .list(&ListParams::default())
        .await
        .expect("lists")
        .items
        .pop()
        .expect("the Pod of the run");
    let belong = "the Pods of a run belong to Sluice";
    let mut copy = theirs.clone();
    copy.metadata.name = Some("forged".into());
    copy.metadata.resource_version = None;
    copy.status = None;
    // With this label two policies refuse the Pod, and the API server names either.
    copy.labels_mut().remove("batch.kubernetes.io/controller-uid");
    refused("a forged Pod", pods.create(&PostParams::default(), &copy).await, belong);
    let verdict = Patch::Merge(json!({"status": {"message": "forged"}}));
    refused(
        "the status of the real Pod",
        pods.patch_status(&theirs.name_any(), &nobody, &verdict).await,
        belong,
    );
    let label = Patch::Merge(json!({"metadata": {"labels": {"sluice.dev/migration": "other"}}}));
    refused("a label of the real Pod", pods.patch(&theirs.name_any(), &nobody, &label).await, belong);
    let run = kubectl(&[
        "--as",
        EDITOR,
        "-n",
        &story.namespace,
        "exec",
        &theirs.name_any(),
        "-c",
        "plan",
        "--",
        "/sluice",
        "--version",
    ]);
    assert!(run.contains("belongs to a run of Sluice"), "{run}");

    let objects: Api<DatabaseMigration> = Api::namespaced(client.clone(), &story.namespace);
    let status = Patch::Merge(json!({"status": {"currentVersion": FORGED}}));
    refused(
        "the status",
        objects.patch_status("records", &nobody, &status).await,
        "no other client writes it",
    );
    let gates: Api<MigrationGate> = Api::namespaced(client, &story.namespace);
    let open = Patch::Merge(json!({"spec": {"satisfied": [format!("records@{FORGED}")]}}));
    refused("the gate", gates.patch("gates", &nobody, &open).await, "verb bypass");
    assert_eq!(story.gate().await, [format!("records@{}", FIRST.0)]);
}

/// Policies that are out of force for as long as this lives.
struct Unbound(Vec<String>);

impl Unbound {
    fn these(names: &[&str]) -> Self {
        let whole = |name: &&str| {
            let kind = format!("validatingadmissionpolicybinding/{name}");
            let text = kubectl(&["get", &kind, "-o", "json"]);
            let mut object: Value =
                serde_json::from_str(text.split_once('\n').expect("the command, and its answer").1)
                    .expect("a binding");
            for field in ["resourceVersion", "uid", "creationTimestamp", "managedFields"] {
                object["metadata"].as_object_mut().expect("metadata").remove(field);
            }
            kubectl(&["delete", &kind]);
            object.to_string()
        };
        Self(names.iter().map(whole).collect())
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        for binding in &self.0 {
            let file = std::env::temp_dir().join(format!("sluice-binding-{}.json", std::process::id()));
            let _ = std::fs::write(&file, binding);
            kubectl(&["create", "-f", &file.display().to_string()]);
            let _ = std::fs::remove_file(file);
        }
    }
}

#[tokio::test]
async fn without_the_policies_a_forged_job_is_named_and_not_believed() {
    let story = Story::alone("forged_unguarded").await;
    story.everything(&[FIRST], json!({})).await;
    story.ready_at(FIRST.0).await;
    let (real, client) = (real_job(&story).await, editor(&story).await);
    let _unbound = Unbound::these(&["sluice-guard-run-jobs", "sluice-guard-run-pods"]);
    let jobs: Api<Job> = Api::namespaced(client, &story.namespace);
    let (forged, name) = (forged_job(&real, &next_name(&real)), next_name(&real));
    story
        .wait("the policies to be out of force", || async {
            jobs.create(&PostParams::default(), &forged).await.ok()
        })
        .await;
    story
        .wait("the forged Job to be named", || async {
            let object = story.object("records").await;
            let ready = find(&object, "Ready")?.clone();
            (ready.status == "True"
                && ready.message.contains(&format!("{name:?}"))
                && ready.message.contains("not count"))
            .then_some(())
        })
        .await;
    assert_eq!(story.gate().await, [format!("records@{}", FIRST.0)]);
    assert_eq!(
        story.object("records").await.status.expect("a status").current_version.as_deref(),
        Some(FIRST.0)
    );
}
