//! Rows that refer to another database, read as the verify stage reads them: two real databases, a process
//! with a URL in its environment, and a million keys.

use std::{process::Command, time::Instant};

use serde_json::Value;

use crate::{
    server::{Database, Server, execute},
    stage_scene::{Scene, finish, said, until, value},
};

/// Sessions of a telehealth service, and the API's patients in a database of its own.
struct Services {
    scene: Scene,
    api: Database,
}

const SESSIONS: (&str, &str) =
    ("1_sessions", "CREATE TABLE sessions (id int PRIMARY KEY, patient int, code text, ref uuid);");
const RELATION: &str = "table: sessions, columns: [patient], references: patients, referencedColumns: [id]";

fn relation(relation: &str) -> String {
    format!(
        "{{indexes: {{foreignKeys: {{level: Off}}}}, orphans: [{{{relation}, database: {{name: api, \
            secretRef: {{name: api-reader}}}}}}]}}"
    )
}

impl Services {
    async fn new(test: &str, relating: &str) -> Self {
        let scene = Scene::new(test, &[SESSIONS]).await.with("verify", &relation(relating));
        let api = Server::get().database(&format!("{test}_api")).await;
        api.execute("CREATE TABLE patients (id int PRIMARY KEY, code text, ref uuid)").await;
        let services = Self { scene, api };
        let applied = services.run("run", Some(&services.api.url)).await;
        assert!(applied.success, "{}", applied.text);
        services
    }

    async fn run(&self, verb: &str, url: Option<&str>) -> Said {
        let mut command = self.scene.command(verb);
        command.args(["-o", "json"]).env_remove("DATABASE_URL_API");
        if let Some(url) = url {
            command.env("DATABASE_URL_API", url);
        }
        let output = finish(command).await;
        Said {
            success: output.status.success(),
            text: said(&output),
            json: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        }
    }

    /// What `sluice verify` finds about other databases, with the API's database in the environment.
    async fn found(&self) -> Vec<String> {
        self.run("verify", Some(&self.api.url)).await.messages()
    }
}

struct Said {
    success: bool,
    text: String,
    json: Value,
}

impl Said {
    fn messages(&self) -> Vec<String> {
        let findings =
            self.json["findings"].as_array().cloned().unwrap_or_else(|| panic!("no findings: {}", self.text));
        let about = findings.iter().filter(|finding| finding["check"] == "orphans-elsewhere");
        let messages: Vec<_> =
            about.map(|finding| finding["message"].as_str().unwrap_or_default().to_owned()).collect();
        assert_eq!(
            self.success,
            findings.iter().all(|finding| finding["severity"] != "Error"),
            "{}",
            self.text
        );
        messages
    }
}

#[tokio::test]
async fn a_row_without_its_row_in_the_other_database_is_found_and_found_no_more_when_it_is_there() {
    let services = Services::new("elsewhere", RELATION).await;
    services
        .scene
        .database
        .execute("INSERT INTO sessions (id, patient) VALUES (1, 7), (2, 8), (3, NULL), (4, -9), (5, 10)")
        .await;
    services.api.execute("INSERT INTO patients (id) VALUES (8), (10), (70), (-9)").await;
    let message =
        "1 row refers to nothing by (patient) to public.patients (id) of the database \"api\": \"7\"";
    assert_eq!(services.found().await, [message]);
    services.api.execute("INSERT INTO patients (id) VALUES (7)").await;
    assert!(services.found().await.is_empty());
    services.api.execute("DELETE FROM patients").await;
    let found = services.found().await;
    assert!(
        found.len() == 1
            && found[0].starts_with("4 rows refer to nothing")
            && found[0].ends_with("\"-9\", \"7\", \"8\" and more"),
        "{found:?}"
    );
}

/// Each pair of types sorts in another way on the server, and as text in a database with another collation in
/// yet another one.
#[tokio::test]
async fn keys_are_compared_whatever_their_types_and_however_long_they_are() {
    let columns =
        "table: sessions, columns: [code, ref], references: patients, referencedColumns: [code, ref]";
    let services = Services::new("elsewhere_text", columns).await;
    let rows = "(id, code, ref) SELECT n, CASE n % 3 WHEN 0 THEN repeat(chr(97 + n), 90000) WHEN 1 THEN \
        chr(200 + n) || 'é' ELSE 'B ' || n || ' a' END, \
                md5(n::text)::uuid FROM generate_series(0, 24) n";
    services.scene.database.execute(&format!("INSERT INTO sessions {rows}")).await;
    services.api.execute(&format!("INSERT INTO patients {rows}")).await;
    assert!(services.found().await.is_empty());
    services
        .api
        .execute("UPDATE patients SET ref = md5('x')::uuid WHERE id = 4; DELETE FROM patients WHERE id = 3")
        .await;
    let found = services.found().await;
    assert!(
        found.len() == 1
            && found[0].starts_with("2 rows refer to nothing by (code, ref)")
            && found[0].len() < 1000,
        "{found:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_compared_is_an_error_that_says_why_and_never_a_pass() {
    let services = Services::new("elsewhere_wrong", RELATION).await;
    let missing = services.run("verify", None).await.messages();
    assert!(
        missing.len() == 1 && missing[0].contains("the environment has no DATABASE_URL_API"),
        "{missing:?}"
    );

    let secret =
        format!("postgres://nobody:s3cretword@127.0.0.1:{}/nowhere?sslmode=disable", Server::get().port);
    for (url, part) in [
        ("nonsense", "the connection URL is not a URL"),
        ("postgres://x:s3cretword@127.0.0.1:1/api", "cannot connect to 127.0.0.1:1/api"),
        (secret.as_str(), "does not exist"),
    ] {
        let said = services.run("verify", Some(url)).await;
        let found = said.messages();
        assert!(
            found.len() == 1 && found[0].contains(part) && !said.text.contains("s3cretword"),
            "{url}: {}",
            said.text
        );
    }
    let mut services = services;
    for (wrong, part) in [
        (
            RELATION.replace("references: patients", "references: people"),
            "names the table \"people\", and there is no such table in public of the database \"api\"",
        ),
        (RELATION.replace("table: sessions", "table: nowhere"), "names the table \"nowhere\""),
        (
            RELATION.replace("[id]", "[number]"),
            "public.patients has no column \"number\" of the database \"api\"",
        ),
        (
            RELATION.replace("columns: [patient]", "columns: [client]"),
            "public.sessions has no column \"client\"",
        ),
    ] {
        services.scene.set("verify", &relation(&wrong));
        let found = services.found().await;
        assert!(found.len() == 1 && found[0].contains(part), "{wrong}: {found:?}");
    }
}

#[tokio::test]
async fn a_role_that_sees_only_some_rows_or_none_is_an_error_and_not_a_pass() {
    let services = Services::new("elsewhere_rights", RELATION).await;
    let reader = format!("reader_of_{}", services.api.name);
    let url = services.api.url_as(&reader);
    services.api.execute(&format!("CREATE ROLE {reader} LOGIN")).await;
    let found = services.run("verify", Some(&url)).await.messages();
    assert!(found.len() == 1 && found[0].contains("permission denied for table patients"), "{found:?}");
    let hidden =
        "ALTER TABLE patients ENABLE ROW LEVEL SECURITY; CREATE POLICY none ON patients USING (false)";
    services.api.execute(&format!("GRANT SELECT ON patients TO {reader}; {hidden}")).await;
    let found = services.run("verify", Some(&url)).await.messages();
    assert!(
        found.len() == 1 && found[0].contains("would be affected by row-level security policy"),
        "{found:?}"
    );
    services.api.execute(&format!("ALTER ROLE {reader} BYPASSRLS")).await;
    assert!(services.run("verify", Some(&url)).await.messages().is_empty());
}

/// A locked table in the other database keeps no session waiting for long, and reading leaves no lock and no
/// session behind.
#[tokio::test]
async fn reading_gives_up_at_a_lock_and_leaves_nothing_behind() {
    let services = Services::new("elsewhere_locked", RELATION).await;
    let mut holder = services.api.connect().await;
    execute(&mut holder, "BEGIN; LOCK TABLE patients IN ACCESS EXCLUSIVE MODE").await;
    let found = services.found().await;
    assert!(found.len() == 1 && found[0].contains("another session holds a lock that it needs"), "{found:?}");
    execute(&mut holder, "ROLLBACK").await;
    assert!(services.found().await.is_empty());
    let sessions = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'sluice verify' AND datname = \
            '{}'",
        services.api.name
    );
    until("no session stays", async || value(&mut services.api.connect().await, &sessions).await == "0")
        .await;
}

/// The same query about a thousand keys and about a million: what the process holds at most may differ by
/// little.
#[tokio::test]
async fn a_million_keys_take_no_more_memory_than_a_thousand() {
    let services = Services::new("elsewhere_million", RELATION).await;
    let mut peaks = Vec::new();
    for keys in [1_000, 1_000_000] {
        services
            .scene
            .database
            .execute(&format!(
                "TRUNCATE sessions; INSERT INTO sessions (id, patient) SELECT n, n FROM \
                generate_series(1, {keys}) n"
            ))
            .await;
        services
            .api
            .execute(&format!(
                "TRUNCATE patients; INSERT INTO patients (id) SELECT n FROM generate_series(1, {keys}) n \
                    WHERE n NOT IN (7, 500, {keys})"
            ))
            .await;
        let (peak, text) = peak_of(services.scene.command("verify"), &services.api.url).await;
        // A number of more than four digits may be about a person.
        let last =
            if keys > 9999 { "a value that is left out here".to_owned() } else { format!("\\\"{keys}\\\"") };
        let message = format!(
            "3 rows refer to nothing by (patient) to public.patients (id) of the database \\\"api\\\": \
                \\\"7\\\", \\\"500\\\", {last}"
        );
        assert!(text.contains(&message), "{text}");
        peaks.push(peak);
    }
    println!("at most {} KiB for a thousand keys and {} KiB for a million", peaks[0], peaks[1]);
    // The keys alone would be 16 MB. What is read ahead is bounded by the buffers of the two connections and
    // of the sockets below them.
    assert!(peaks[1] < peaks[0] + 8192, "{peaks:?} KiB");
}

/// The most memory that a command held, in KiB, and what its report finds.
async fn peak_of(command: Command, url: &str) -> (u64, String) {
    let mut timed = Command::new("/usr/bin/time");
    timed
        .args(["--format", "peak=%M"])
        .arg(command.get_program())
        .args(command.get_args())
        .args(["-o", "json"]);
    timed
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("DATABASE_URL_API", url);
    // Not the deadline of other commands: a build for debugging takes a while for a million.
    let started = Instant::now();
    let output = tokio::task::spawn_blocking(move || timed.output())
        .await
        .expect("it runs")
        .expect("time is installed");
    println!("{:?}", started.elapsed());
    let peak = String::from_utf8_lossy(&output.stderr)
        .lines()
        .find_map(|line| line.strip_prefix("peak=")?.parse().ok());
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    (peak.unwrap_or_else(|| panic!("no peak in {}", said(&output))), report["findings"].to_string())
}
