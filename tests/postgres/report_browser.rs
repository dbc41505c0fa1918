//! The HTML page of a report, opened in a real browser: it shows what was found, says nothing on the console
//! and asks no server for anything.
//!
//! The browser is the Chromium or Chrome of this machine, without a window. `make test-postgres` installs it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    report_process::{json, scene_of_sixty, verify_into},
    stage_scene::Scene,
};

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// What a browser made of a page.
struct Opened {
    /// The page as elements, after everything was loaded.
    dom: String,
    /// Lines of the console.
    console: Vec<String>,
    /// Addresses that the page asked for. What the browser wants for itself is not among them.
    requests: Vec<String>,
}

fn browser() -> PathBuf {
    let folders: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let found = BROWSERS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file());
    found.expect("a browser is installed: apt-get install chromium")
}

fn open(page: &Path, extra: &[&str]) -> Opened {
    let folder = tempfile::tempdir().expect("a folder of its own");
    let log = folder.path().join("net.json");
    // `timeout` ends a browser that hangs. Whatever it or the page asks for, no name is resolved: nothing
    // leaves this machine.
    let mut command = Command::new("timeout");
    command.arg("--kill-after=5").arg("120").arg(browser());
    command.args([
        "--headless",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-extensions",
    ]);
    command.args([
        "--disable-background-networking",
        "--disable-component-update",
        "--enable-logging=stderr",
    ]);
    command.arg("--host-resolver-rules=MAP * ~NOTFOUND");
    // Its sandbox wants a user that is not root. The page is our own.
    command.arg("--no-sandbox").arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    command
        .arg(format!("--log-net-log={}", log.display()))
        .args(extra)
        .arg("--dump-dom")
        .arg(format!("file://{}", page.display()));
    let output = command.env("HOME", folder.path()).output().expect("the browser starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    Opened {
        dom: String::from_utf8(output.stdout).expect("a text"),
        console: said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect(),
        requests: requests(&fs::read_to_string(log).expect("the log of the network")),
    }
}

/// Requests that were made for the page: they have an origin, `null` for a file, which the browser's own
/// lack.
fn requests(log: &str) -> Vec<String> {
    let log: Value = serde_json::from_str(log).expect("the log is JSON");
    let kind = &log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"];
    assert!(kind.is_number(), "the log knows requests");
    let events = log["events"].as_array().expect("events").iter();
    let started = events.filter(|event| event["type"] == *kind).map(|event| &event["params"]);
    let own = |params: &&Value| {
        params["initiator"].as_str().is_some_and(|origin| origin == "null" || origin.contains("://"))
    };
    started.filter(own).filter_map(|params| params["url"].as_str().map(str::to_owned)).collect()
}

fn page(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("page.html");
    fs::write(&path, text).expect("writes the page");
    path
}

/// What `sluice report --from FILE -o html` prints.
fn html(from: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    let output = command.args(["report", "--from"]).arg(from).args(["-o", "html"]).output().expect("starts");
    String::from_utf8(output.stdout).expect("a page")
}

fn assert_quiet(opened: &Opened) {
    assert_eq!(opened.console, Vec::<String>::new());
    assert_eq!(opened.requests, Vec::<String>::new());
}

#[test]
fn this_harness_sees_errors_on_the_console_and_requests_to_the_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "<!DOCTYPE html><img src=\"http://127.0.0.1:9/x.png\"><script>console.error('seen'); \
        document.title = 'ran'</script>";
    let opened = open(&page(folder.path(), text), &[]);
    assert!(opened.console.iter().any(|line| line.contains("seen")), "{:?}", opened.console);
    assert_eq!(opened.requests, ["http://127.0.0.1:9/x.png"]);
    assert!(opened.dom.contains("ran"), "{}", opened.dom);
}

#[tokio::test]
async fn a_browser_shows_every_finding_and_is_asked_for_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = Scene::new(
        "browser",
        &[("1_tables", "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int REFERENCES a)")],
    )
    .await;
    execute_file(&scene).await;
    let saved = verify_into(&scene, folder.path()).await;
    let report = json(&saved);
    let page = page(folder.path(), &html(&saved));
    for extra in [&[][..], &["--blink-settings=preferredColorScheme=0"]] {
        let opened = open(&page, extra);
        assert_quiet(&opened);
        let findings = report["findings"].as_array().expect("findings");
        assert!(!findings.is_empty());
        for finding in findings {
            let message = finding["message"].as_str().expect("a message");
            assert!(
                opened.dom.contains(&message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")),
                "{message}"
            );
        }
        assert_eq!(opened.dom.matches("<article").count(), findings.len());
        assert!(
            opened.dom.contains("class=\"line") && opened.dom.contains("class=\"card"),
            "the schema is drawn"
        );
    }
}

/// The tables of one migration, without what the product needs an index for.
async fn execute_file(scene: &Scene) {
    let sql = fs::read_to_string(scene.source().join("1_tables/migration.sql")).expect("the migration");
    scene.database.execute(&sql).await;
}

#[tokio::test]
async fn names_that_try_to_break_out_run_nothing_in_a_browser() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = Scene::new("breaks_out", &[("1_tables", "SELECT 1")]).await;
    // 63 bytes are the most that a name may have.
    for name in [
        "</title><script>document.title='ran'</script>",
        "\"><img src=x onerror=document.title='ran'>",
        "a\nb'&amp;<b>🏥",
    ] {
        let quoted = name.replace('"', "\"\"");
        scene
            .database
            .execute(&format!(
                "CREATE TABLE \"{quoted}\" (\"{quoted}\" int PRIMARY KEY REFERENCES \"{quoted}\")"
            ))
            .await;
    }
    let saved = verify_into(&scene, folder.path()).await;
    let opened = open(&page(folder.path(), &html(&saved)), &[]);
    assert_quiet(&opened);
    assert!(
        !opened.dom.contains("<title>ran") && !opened.dom.contains("<script") && !opened.dom.contains("<img"),
        "{}",
        opened.dom
    );
    assert!(opened.dom.contains("a\\nb'&amp;amp;&lt;b&gt;🏥"), "the name is shown as it is");
}

#[tokio::test]
async fn sixty_tables_are_all_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let saved = verify_into(&scene_of_sixty().await, folder.path()).await;
    let opened = open(&page(folder.path(), &html(&saved)), &[]);
    assert_quiet(&opened);
    assert_eq!(opened.dom.matches("class=\"card").count(), 60);
    assert_eq!(json(&saved)["schema"]["tables"].as_array().map(Vec::len), Some(60));
}
