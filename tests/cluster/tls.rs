//! `spec.database.tls.caFrom` in real Pods: a PostgreSQL in the cluster that speaks nothing but TLS, with a
//! certificate of an authority that only its namespace knows.

use std::{collections::BTreeMap, fs, process::Command};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret, Service},
};
use serde_json::{Value, json};

use crate::{
    examples::{image, run},
    story::{PASSWORD, Story, find},
};

const FIRST: (&str, &str) = ("20260101000000_first", "CREATE TABLE patients (id int PRIMARY KEY);");
const SECOND: (&str, &str) = ("20260102000000_second", "ALTER TABLE patients ADD COLUMN born date;");

/// Two authorities, and a certificate of the first one for the host `postgres`.
const CERTIFICATES: &str = "set -e; cd \"$1\"; key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
openssl req -x509 $key -keyout ca.key -out ca.crt -days 2 -subj /CN=the-clinic
openssl req -x509 $key -keyout other.key -out other.crt -days 2 -subj /CN=somebody-else
openssl req $key -keyout server.key -out server.csr -subj /CN=postgres
printf 'subjectAltName=DNS:postgres\\n' >names
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile \
names";

/// The server's own rules: over the network no client gets in without TLS.
const RULES: &str = "local all all trust\nhostssl all all all scram-sha-256\n";

/// A server that logs who gets in, and how.
fn server() -> Value {
    let arguments = [
        "ssl=on",
        "ssl_cert_file=/tls/server.crt",
        "ssl_key_file=/tls/server.key",
        "hba_file=/tls/hba",
        "log_connections=on",
        "log_line_prefix=",
    ];
    let arguments: Vec<&str> = arguments.iter().flat_map(|setting| ["-c", *setting]).collect();
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "postgres"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "postgres"}},
            "template": {"metadata": {"labels": {"app": "postgres"}},
                "spec": {
                    "securityContext": {"runAsNonRoot": true, "runAsUser": 999, "fsGroup": 999, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{"name": "postgres", "image": image("POSTGRES_IMAGE"), "args": arguments,
                        "env": [{"name": "POSTGRES_PASSWORD", "value": PASSWORD}, {"name": "POSTGRES_DB", "value": "records"},
                                {"name": "PGDATA", "value": "/var/lib/postgresql/data/pgdata"}],
                        "readinessProbe": {"exec": {"command": ["pg_isready", "-h", "127.0.0.1"]}, "periodSeconds": 1},
                        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}, {"name": "run", "mountPath": "/var/run/postgresql"},
                                         {"name": "tls", "mountPath": "/tls"}, {"name": "roles", "mountPath": "/docker-entrypoint-initdb.d"}]}],
                    "volumes": [{"name": "data", "emptyDir": {}}, {"name": "run", "emptyDir": {}},
                                {"name": "tls", "secret": {"secretName": "postgres-tls", "defaultMode": 0o640}},
                                {"name": "roles", "configMap": {"name": "postgres-roles"}}]}}}})
}

/// The server, up, and two names of it in the cluster: one is in its certificate, `impostor` is not. Answers
/// the two authorities.
async fn clinic(story: &Story) -> [String; 2] {
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new("sh")
        .args(["-c", CERTIFICATES, "sh"])
        .arg(folder.path())
        .output()
        .expect("openssl is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = |name: &str| fs::read_to_string(folder.path().join(name)).expect("openssl made it");
    let tls = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "postgres-tls"},
        "stringData": {"server.crt": file("server.crt"), "server.key": file("server.key"), "hba": RULES}});
    story.apply::<Secret>(tls).await;
    let roles = format!(
        "CREATE ROLE migrator LOGIN PASSWORD '{PASSWORD}'; ALTER DATABASE records OWNER TO migrator; GRANT \
            ALL ON SCHEMA public TO migrator;"
    );
    let roles = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "postgres-roles"}, "data": {"1-roles.sql": roles}});
    story.apply::<ConfigMap>(roles).await;
    for name in ["postgres", "impostor"] {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": "postgres"}, "ports": [{"port": 5432}]}});
        story.apply::<Service>(service).await;
    }
    story.apply::<Deployment>(server()).await;
    story
        .wait("the server to be ready", || async {
            let status = story.api::<Deployment>().get("postgres").await.ok()?.status?;
            (status.ready_replicas == Some(1)).then_some(())
        })
        .await;
    [file("ca.crt"), file("other.crt")]
}

/// What the manifest calls the server.
async fn connect_to(story: &Story, host: &str) {
    let url = format!("postgres://migrator:{PASSWORD}@{host}:5432/records");
    story.apply::<Secret>(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"url": url}})).await;
}

/// Whom the manifest believes.
async fn believe(story: &Story, authority: &str) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authority"}, "data": {"ca.crt": authority}});
    story.apply::<ConfigMap>(map).await;
}

fn psql(story: &Story, query: &str) -> String {
    let psql = ["psql", "-h", "/var/run/postgresql", "-U", "postgres", "-XAtc", query, "records"];
    run(
        "kubectl",
        &[&["-n", &story.namespace, "exec", "deployment/postgres", "--"], psql.as_slice()].concat(),
    )
}

/// The sessions of the migration role that the server let in, as its log tells of them.
fn let_in(story: &Story) -> Vec<String> {
    let log = run("kubectl", &["-n", &story.namespace, "logs", "deployment/postgres"]);
    log.lines()
        .filter(|line| line.contains("connection authorized: user=migrator"))
        .map(str::to_owned)
        .collect()
}

/// The run is refused, says why, and has not even told the server its password.
async fn is_refused(story: &Story, words: &str) {
    let before = let_in(story);
    let message = story.until("Ready", "False", "TlsFailed").await;
    assert!(message.contains("sslmode=verify-full") && message.contains(words), "{message}");
    assert!(!message.contains(PASSWORD), "{message}");
    story.until("Stalled", "True", "TlsFailed").await;
    assert_eq!(let_in(story), before, "no client got in");
}

#[tokio::test]
async fn a_server_is_believed_only_with_a_certificate_of_the_authority_that_the_manifest_names_and_for_its_host()
 {
    let story = Story::begin("tls").await;
    let [ours, other] = clinic(&story).await;
    story.claim("1Gi").await;
    story.migrations(&[FIRST]).await;
    connect_to(&story, "postgres").await;
    believe(&story, &other).await;
    story.migrate(json!({"database": {"tls": {"caFrom": {"configMap": "authority"}}}})).await;
    is_refused(&story, "postgres").await;
    assert_eq!(
        psql(&story, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"),
        "0"
    );
    assert!(story.gate().await.is_empty());

    believe(&story, &ours).await;
    story.retry("the right authority").await;
    let object = story.ready_at(FIRST.0).await;
    let taken = find(&object, "SnapshotReady").expect("the condition");
    assert_eq!(taken.reason, "SnapshotTaken", "pg_dump got in, too: {}", taken.message);
    let sessions = let_in(&story);
    assert!(sessions.iter().all(|line| line.contains("SSL enabled")), "{sessions:#?}");
    for program in ["application_name=sluice ", "application_name=sluice-snapshot "] {
        assert!(sessions.iter().any(|line| line.contains(program)), "{program}: {sessions:#?}");
    }

    connect_to(&story, "impostor").await;
    story.migrations(&[FIRST, SECOND]).await;
    is_refused(&story, "impostor").await;
    assert_eq!(psql(&story, "SELECT count(*) FROM _prisma_migrations"), "1");

    connect_to(&story, "postgres").await;
    story.retry("the right host").await;
    story.ready_at(SECOND.0).await;
    assert_eq!(story.gate().await.len(), 2);
}

#[tokio::test]
async fn without_the_config_map_of_the_authority_nothing_connects_and_the_field_is_named() {
    let story = Story::begin("tls_no_authority").await;
    let secret = Secret {
        metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
            name: Some("db".to_owned()),
            ..Default::default()
        },
        string_data: Some(BTreeMap::from([("url".to_owned(), story.url().replace("?sslmode=disable", ""))])),
        ..Secret::default()
    };
    story.create(secret).await;
    story.claim("1Gi").await;
    story.migrations(&[FIRST]).await;
    story.migrate(json!({"database": {"tls": {"caFrom": {"configMap": "authority"}}}})).await;
    let message = story.until("Ready", "False", "TlsFailed").await;
    assert!(message.contains("/run/sluice-authority/ca.crt"), "names the file: {message}");
}
