//! Measurements on the cluster, for `make bench`: never part of a test run. Each is measured beside its floor
//! in the same run, because these machines are shared; the figures are ratios and medians.

use std::{
    fmt::Write,
    fs,
    time::{Duration, Instant},
};

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::json;

use crate::story::{SYSTEM, Story, find, kubectl, wait_for};

const ROUNDS: usize = 7;
pub const FIRST: &str = "20260101000000_first";

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[values.len() / 2]
}

async fn bare_job(story: &Story, round: usize) -> Duration {
    let name = format!("bare-{round}");
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "bare", "image": sluice_image(), "args": ["--version"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}}});
    let started = Instant::now();
    story.create::<Job>(serde_json::from_value(job).expect("a Job")).await;
    story
        .wait("the bare Job", || async {
            let job: Job = story.api().get(&name).await.ok()?;
            job.status?
                .conditions?
                .iter()
                .any(|condition| condition.type_ == "Complete" && condition.status == "True")
                .then_some(())
        })
        .await;
    started.elapsed()
}

fn sluice_image() -> String {
    let text = kubectl(&[
        "-n",
        SYSTEM,
        "get",
        "deploy/sluice",
        "-o",
        "jsonpath={.spec.template.spec.containers[0].image}",
    ]);
    text.lines().nth(1).expect("the controller's image").trim().to_owned()
}

async fn migration(name: &str) -> (Duration, Story) {
    let story = Story::begin(name).await;
    story.secret().await;
    story.claim("1Gi").await;
    story.migrations(&[(FIRST, "CREATE TABLE patients (id int PRIMARY KEY, name text);")]).await;
    let started = Instant::now();
    story.migrate(json!({})).await;
    story.ready_at(FIRST).await;
    (started.elapsed(), story)
}

/// The Pod that leads, and its process; waits for one while there is none.
pub async fn leader() -> (String, u32) {
    let client = kube::Client::try_default().await.expect("a cluster");
    let pods: Api<Pod> = Api::namespaced(client, SYSTEM);
    let found = || async {
        let lease = kubectl(&["-n", SYSTEM, "get", "lease/sluice", "-o", "jsonpath={.spec.holderIdentity}"]);
        let holder = lease.lines().nth(1).unwrap_or_default().trim().to_owned();
        let running = pods.list(&ListParams::default()).await.ok()?;
        let pod = running.iter().map(ResourceExt::name_any).find(|name| holder.contains(name.as_str()))?;
        let pid = fs::read_dir("/proc").expect("/proc").flatten().find_map(|entry| {
            let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
            let mine = String::from_utf8_lossy(&read("cmdline")).contains("controller")
                && String::from_utf8_lossy(&read("environ")).contains(&pod);
            entry.file_name().to_string_lossy().parse().ok().filter(|_| mine)
        });
        Some((pod, pid?))
    };
    wait_for("a leader", found).await
}

pub fn resident_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

/// The leader's own count of its writes.
pub fn writes(pod: &str) -> f64 {
    let text =
        kubectl(&["get", "--raw", &format!("/api/v1/namespaces/{SYSTEM}/pods/{pod}:8080/proxy/metrics")]);
    text.lines()
        .filter(|line| line.starts_with("sluice_writes_total"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[tokio::test]
#[ignore = "a measurement: make bench"]
async fn from_created_to_ready_beside_a_bare_job() {
    let floor = Story::begin("bench_floor").await;
    let (mut jobs, mut migrations, mut counted) = (Vec::new(), Vec::new(), Vec::new());
    bare_job(&floor, 100).await;
    // Kept until the end: taking a namespace away is work for every component.
    let mut stories = vec![migration("bench_warm_up").await.1];
    for round in 0..ROUNDS {
        jobs.push(bare_job(&floor, round).await);
        let (pod, _) = leader().await;
        let before = writes(&pod);
        let (took, story) = migration(&format!("bench_{round}")).await;
        // The last Event may be on its way.
        tokio::time::sleep(Duration::from_millis(500)).await;
        counted.push(writes(&pod) - before);
        migrations.push(took);
        stories.push(story);
    }
    let (job, migration) = (median(jobs), median(migrations));
    let mut report = String::from("### From created to Ready\n\n| what | median |\n|---|---|\n");
    let _ = writeln!(report, "| bare one-container Job, created to Complete | {:.2} s |", job.as_secs_f64());
    let _ = writeln!(
        report,
        "| DatabaseMigration, created to Ready, snapshot and verification included | {:.2} s |",
        migration.as_secs_f64()
    );
    let _ = writeln!(report, "| ratio | {:.2} |", migration.as_secs_f64() / job.as_secs_f64());
    let _ = writeln!(
        report,
        "| writes of the controller per migration, most of {ROUNDS} | {} |",
        counted.iter().copied().fold(0.0, f64::max)
    );
    keep("cluster-1-ready", &report);
}

#[tokio::test]
#[ignore = "a measurement: make bench"]
async fn a_restart_with_a_hundred_settled_objects_writes_nothing() {
    let story = Story::alone("bench_hundred").await;
    story.claim("1Gi").await;
    story.migrations(&[(FIRST, "CREATE TABLE patients (id int PRIMARY KEY);")]).await;
    for number in 0..100 {
        // A Secret for each: objects with the same one would wait for each other.
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("db-{number}")}, "stringData": {"url": story.url()}});
        story
            .create::<k8s_openapi::api::core::v1::Secret>(serde_json::from_value(secret).expect("a Secret"))
            .await;
    }
    let started = Instant::now();
    for number in 0..100 {
        story
            .migrate_as(
                &format!("records-{number}"),
                json!({"database": {"secretRef": {"name": format!("db-{number}")}}}),
            )
            .await;
    }
    let objects: Api<sluice::api::DatabaseMigration> = story.api();
    let ready = || async {
        let list = objects.list(&ListParams::default()).await.ok()?;
        let ready = list
            .iter()
            .filter(|object| find(object, "Ready").is_some_and(|ready| ready.status == "True"))
            .count();
        (ready == 100).then_some(())
    };
    let deadline = Instant::now() + Duration::from_mins(15);
    while ready().await.is_none() {
        assert!(
            Instant::now() < deadline,
            "not all Ready\n{}",
            kubectl(&["-n", &story.namespace, "get", "dbm"])
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let all_ready = started.elapsed();
    let (_, pid) = leader().await;
    let resident = resident_mb(pid);

    let pods: Api<Pod> = Api::namespaced(story.client.clone(), SYSTEM);
    let versions = || async {
        let list = objects.list(&ListParams::default()).await.expect("lists");
        list.iter().map(|object| object.resource_version().unwrap_or_default()).collect::<Vec<_>>()
    };
    let before = versions().await;
    let (old, _) = leader().await;
    pods.delete(&old, &DeleteParams::default()).await.expect("deletes the leader");
    wait_for("another leader", || async { pods.get_opt(&old).await.ok().flatten().is_none().then_some(()) })
        .await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (new, pid) = leader().await;
    let (after, written) = (versions().await, writes(&new));
    let mut report = String::from("### A hundred objects\n\n| what | figure |\n|---|---|\n");
    let _ =
        writeln!(report, "| created to all Ready, four containers each | {:.0} s |", all_ready.as_secs_f64());
    let _ = writeln!(report, "| resident memory of the leader that did it | {resident:.1} MB |");
    let _ = writeln!(
        report,
        "| resident memory of the leader that took over, 30 s later | {:.1} MB |",
        resident_mb(pid)
    );
    let _ = writeln!(report, "| writes of the leader that took over | {} |", written.abs());
    let _ = writeln!(
        report,
        "| objects whose resourceVersion changed | {} |",
        before.iter().zip(&after).filter(|(a, b)| a != b).count()
    );
    keep("cluster-2-hundred", &report);
}

/// Where `make bench` collects what it writes into docs/benchmarks.md.
pub fn keep(name: &str, report: &str) {
    println!("{report}");
    if let Some(folder) = std::env::var_os("BENCH_REPORTS") {
        fs::write(std::path::Path::new(&folder).join(format!("{name}.md")), report)
            .expect("keeps the report");
    }
}
