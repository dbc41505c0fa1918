//! How far a run is, from the Pod's port to the status: a Pod that answers anything else changes nothing, and
//! only the controller's own Pods are polled.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use sluice::{
    api::Blocker,
    contract::{Count, Outcome, PROGRESS_LIMIT, Progress, Stage},
    controller::progress::{Ask, fetch},
    serve::{listen, serve_progress},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::world::{World, key};

/// A run that is at this statement.
fn at(statement: u32) -> Progress {
    Progress {
        migration: Some("2_two".to_owned()),
        migrations: Some(Count { at: 2, of: 2 }),
        statements: Some(Count { at: statement, of: 900 }),
        ..Progress::of(Stage::Migrate, Timestamp::from_second(1_780_000_000).expect("a moment"))
    }
}

async fn served(progress: Option<Progress>) -> SocketAddr {
    let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("listens");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve_progress(listener, move || progress.clone()));
    address
}

/// A server that answers each connection with these bytes and then does this.
async fn answering(bytes: Vec<u8>, hangs_up: bool) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("listens");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&bytes).await;
                if !hangs_up {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    address
}

async fn request(address: SocketAddr, request: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
    let text = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.expect("asks");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn what_a_stage_serves_is_what_the_controller_reads_and_there_is_nothing_else_to_ask() {
    let address = served(Some(at(3))).await;
    let answer = fetch(address).await.expect("an answer");
    let read = Progress::from_answer(&answer, &["2_two".to_owned()], Timestamp::now()).expect("is read");
    assert_eq!(read, at(3));
    for other in [
        "GET /",
        "GET /readyz",
        "POST /progress",
        "POST /metrics",
        "DELETE /progress",
        "GET /progress/../etc",
    ] {
        let answer = request(address, other).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{other}: {answer}");
    }
    assert_eq!(fetch(served(None).await).await, None, "a stage that has not begun says nothing");
}

#[tokio::test]
async fn a_server_that_is_slow_or_huge_or_talks_nonsense_is_no_answer_and_holds_nobody_up() {
    let page = |head: &str, body: &[u8]| [format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), body].concat();
    let json = serde_json::to_vec(&at(3)).expect("JSON");
    let length = format!("200 OK\r\nContent-Length: {}", json.len());
    let control = answering(page(&length, &json), false).await;
    assert_eq!(fetch(control).await, Some(json.clone()), "the control");
    let huge = vec![b' '; PROGRESS_LIMIT * 1000];
    let header = format!("200 OK\r\nX: {}\r\nContent-Length: 2", "y".repeat(1 << 20));
    for (what, bytes, hangs_up) in [
        ("says nothing", Vec::new(), false),
        ("hangs up", Vec::new(), true),
        ("never ends", page("200 OK\r\nContent-Length: 100", b"{"), false),
        ("is huge", page(&format!("200 OK\r\nContent-Length: {}", huge.len()), &huge), false),
        ("is huge and does not say so", page("200 OK", &huge), true),
        ("has a huge header", page(&header, b"{}"), false),
        ("is another protocol", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), false),
        ("is an error", page("500 Oops\r\nContent-Length: 2", b"{}"), false),
        (
            "leads elsewhere",
            page("302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0", b""),
            false,
        ),
    ] {
        let address = answering(bytes, hangs_up).await;
        let begun = Instant::now();
        assert_eq!(fetch(address).await, None, "{what}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{what} took {:?}", begun.elapsed());
    }
    let nobody =
        TcpListener::bind(("127.0.0.1", 0)).await.expect("listens").local_addr().expect("an address");
    assert_eq!(fetch(nobody).await, None, "no process listens");
}

/// Whom the controller asked, and what it is told.
#[derive(Clone, Default)]
struct Pods {
    asked: Arc<AtomicU32>,
    answer: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Pods {
    fn ask(&self) -> Ask {
        let pods = self.clone();
        Box::new(move |_: IpAddr| {
            pods.asked.fetch_add(1, Ordering::Relaxed);
            let answer = pods.answer.lock().expect("no panic").clone();
            std::future::ready(answer).boxed()
        })
    }

    fn say(&self, progress: Option<Progress>) {
        let text = progress.map(|progress| serde_json::to_vec(&progress).expect("JSON"));
        *self.answer.lock().expect("no panic") = text;
    }

    fn asked(&self) -> u32 {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

/// A run whose stage `migrate` is at work, in a Pod that has an address.
async fn migrating(pods: &Pods) -> (World, String) {
    let mut world = World::new().with_ask(pods.ask());
    world.run_for(&["records"], 3).await;
    let migrates = |pod: &Value| {
        let ended =
            |stage: usize| pod["status"]["containerStatuses"][stage]["state"]["terminated"].is_object();
        ended(1) && !ended(2)
    };
    let pod = loop {
        let (pod, object) = world.server.cluster().all("pods").pop().expect("a Pod");
        if migrates(&object) {
            break pod;
        }
        world.run_for(&["records"], 1).await;
    };
    world.server.cluster().edit(&pod, |pod| pod["status"]["podIP"] = json!("10.0.0.7"));
    (world, pod.2)
}

/// Looks each second, while the stage goes on.
async fn look_for(world: &mut World, seconds: u32) {
    for _ in 0..seconds {
        let mut looks = 0;
        while world.observe("records").await.expect("looks")
            == kube::runtime::controller::Action::requeue(Duration::ZERO)
        {
            looks += 1;
            assert!(looks < 20, "it never comes to rest");
        }
        world.pass(1);
    }
}

fn summary(world: &World) -> Option<String> {
    world.status("records").run.and_then(|run| run.progress).map(|progress| progress.summary)
}

#[tokio::test]
async fn a_long_run_shows_how_far_it_is_with_few_questions_and_fewer_writes() {
    let pods = Pods::default();
    pods.say(Some(at(1)));
    let (mut world, _) = migrating(&pods).await;
    look_for(&mut world, 15).await;
    assert_eq!(summary(&world).as_deref(), Some("2_two (2 of 2), statement 1 of 900"));
    pods.asked();
    let before = world.writes().len();
    for statement in 2..62 {
        pods.say(Some(at(statement)));
        look_for(&mut world, 1).await;
    }
    let asked = pods.asked();
    assert!((10..=13).contains(&asked), "a minute, asked every five seconds: {asked}");
    let written = world.writes().len() - before;
    assert!((5..=7).contains(&written), "a minute, written every ten seconds: {:#?}", world.writes());
    // Nothing of it is left when the run has ended.
    world.run(&["records"]).await;
    let run = world.status("records").run.expect("a run");
    assert_eq!((run.reason.as_deref(), run.progress), (Some("Verified"), None));
}

#[tokio::test]
async fn sessions_that_a_run_waits_for_are_in_the_status_while_it_waits_and_no_longer() {
    let pods = Pods::default();
    let (mut world, _) = migrating(&pods).await;
    let waiting = |age_seconds| {
        let mut progress = at(1);
        progress.wait_for(vec![Blocker { age_seconds, ..super::kubelet::holder() }]);
        progress
    };
    pods.say(Some(waiting(90)));
    look_for(&mut world, 15).await;
    assert_eq!(world.status("records").blocked_by, [super::kubelet::holder()]);
    assert!(summary(&world).is_some_and(|summary| summary.ends_with("waits for pid 7 (nightly-report)")));
    let before = world.writes().len();
    for age in 91..121 {
        pods.say(Some(waiting(age)));
        look_for(&mut world, 1).await;
    }
    assert_eq!(world.writes().len(), before, "their age alone is no news");
    pods.say(Some(at(1)));
    look_for(&mut world, 15).await;
    assert_eq!(world.status("records").blocked_by, [], "it waits no longer");
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), ("True".to_owned(), "Verified".to_owned()));
}

#[tokio::test]
async fn a_pod_that_does_not_answer_is_asked_seldom_and_shows_nothing_and_the_run_is_as_good() {
    let pods = Pods::default();
    let (mut world, _) = migrating(&pods).await;
    let before = world.writes().len();
    look_for(&mut world, 120).await;
    let asked = pods.asked();
    assert!(asked <= 7, "asked after 5, 10, 20, 40 and 60 seconds, and not {asked} times");
    assert_eq!(summary(&world), None);
    assert!(world.writes().len() - before <= 1, "{:#?}", world.writes());
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), ("True".to_owned(), "Verified".to_owned()));
}

#[tokio::test]
async fn what_a_pod_makes_up_is_not_shown() {
    let pods = Pods::default();
    pods.say(Some(Progress { migration: Some("\u{1b}[2J9_forged".to_owned()), ..at(1) }));
    let (mut world, _) = migrating(&pods).await;
    look_for(&mut world, 15).await;
    assert_eq!(summary(&world).as_deref(), Some("migration 2 of 2, statement 1 of 900"));
    *pods.answer.lock().expect("no panic") = Some(b"{\"version\": 1, \"stage\": \"migrate\"}".to_vec());
    look_for(&mut world, 60).await;
    assert_eq!(summary(&world), None, "half an answer is none");
}

#[tokio::test]
async fn a_pod_that_is_not_sluices_own_is_never_asked() {
    for change in [
        |pod: &mut Value| pod["spec"]["containers"][2]["image"] = json!("registry.example/evil:1"),
        |pod: &mut Value| pod["metadata"]["ownerReferences"] = json!([]),
        |pod: &mut Value| pod["status"]["podIP"] = json!("127.0.0.1"),
        |pod: &mut Value| pod["status"]["podIP"] = json!("169.254.169.254"),
        |pod: &mut Value| pod["status"]["podIP"] = json!("example.org"),
    ] {
        let pods = Pods::default();
        pods.say(Some(at(1)));
        let (mut world, pod) = migrating(&pods).await;
        world.server.cluster().edit(&key("pods", &pod), change);
        look_for(&mut world, 20).await;
        assert_eq!(pods.asked(), 0);
        assert_eq!(summary(&world), None);
    }
    let pods = Pods::default();
    let (mut world, _) = migrating(&pods).await;
    look_for(&mut world, 1).await;
    assert_eq!(pods.asked(), 1, "the control");
}

#[test]
fn an_outcome_is_no_progress_and_the_other_way_round() {
    let outcome = Outcome::passed(Stage::Verify, sluice::api::Reason::Verified, "as meant");
    let text = serde_json::to_vec(&outcome).expect("JSON");
    assert_eq!(Progress::from_answer(&text, &[], Timestamp::now()), None);
    assert_eq!(Outcome::from_message(&serde_json::to_string(&at(1)).expect("JSON")), None);
}
