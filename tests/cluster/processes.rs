//! Processes of the local cluster, seen from the host: stages, controllers, the components of Kubernetes, and
//! the network of one Pod.

use std::{fs, process::Command};

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;

use crate::story::Story;

/// Waits until a session of the story's database runs a statement like this.
pub async fn backend(story: &Story, pattern: &str) {
    let query = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND \
            pid <> pg_backend_pid() AND query LIKE '%{pattern}%'"
    );
    story
        .wait(&format!("a session that runs {pattern}"), || async {
            (story.number(&query).await > 0).then_some(())
        })
        .await;
}

/// Sends a signal to the process of a stage, as the kernel would: the story's namespace stands in its
/// environment.
pub fn signal_stage(story: &Story, stage: &str, signal: &str) {
    send(signal, &format!("stage {stage}"), &format!("\"{}\"", story.namespace));
}

/// Sends a signal to the controller in this Pod.
pub fn signal_controller(pod: &str, signal: &str) {
    send(signal, "controller --image", &format!("POD_NAME={pod}"));
}

fn send(signal: &str, arguments: &str, environment: &str) {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let text = |file: &str| String::from_utf8_lossy(&read(file)).replace('\0', " ");
        if text("cmdline").contains(arguments) && text("environ").contains(environment) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    assert_eq!(found.len(), 1, "one process with {arguments:?} and {environment:?} was found: {found:?}");
    run("kill", &[&format!("-{signal}"), &found[0]]);
}

/// Kills a component of the cluster and starts it again.
pub fn restart(component: &str) {
    run(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/local-cluster/cluster"), &["restart", component]);
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} does not run: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The network of one Pod, cut: nothing it sends leaves the node and nothing reaches it, not even the end of
/// a connection.
pub struct Cut {
    address: String,
}

impl Cut {
    /// Cuts off the Pod of the story's newest run.
    pub async fn newest_run(story: &Story) -> Self {
        // The kubelet reports the address some time after the stages began.
        let address = story
            .wait("the address of the newest run's Pod", || async {
                let pods = story
                    .api::<Pod>()
                    .list(&ListParams::default().labels("sluice.dev/migration"))
                    .await
                    .ok()?
                    .items;
                let newest = pods
                    .into_iter()
                    .max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0))?;
                newest.status?.pod_ip
            })
            .await;
        let cut = Self { address };
        cut.rules("-I");
        cut
    }

    fn rules(&self, verb: &str) {
        for direction in ["-s", "-d"] {
            run(
                "ip",
                &[
                    "netns",
                    "exec",
                    "sluice-cluster",
                    "iptables",
                    verb,
                    "FORWARD",
                    direction,
                    &self.address,
                    "-j",
                    "DROP",
                ],
            );
        }
    }
}

/// Heals it.
impl Drop for Cut {
    fn drop(&mut self) {
        self.rules("-D");
    }
}
