//! A network that is cut between Sluice and PostgreSQL, without a word to either. In a network namespace of
//! the test's own: the server runs in there, and packets are dropped there. Needs root, which CI has.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sluice::{
    api::Reason,
    postgres::{ConnectionUrl, connect},
};

use crate::{
    server::{self, Server, execute},
    stage_scene::{Scene, value},
};

/// What the server promises: keepalives after 5 s, two of them, 5 s apart; and time for a busy machine.
const ENDED_WITHIN: Duration = Duration::from_secs(30);

/// Runs one of the tests below, which no other command starts, in a namespace. False when this is not root.
fn in_a_namespace(test: &str) -> bool {
    let script = "ip link set lo up && exec \"$0\" --exact \"$1\" --ignored --nocapture";
    let mut command = Command::new("unshare");
    command
        .args(["--net", "sh", "-c", script])
        .arg(std::env::current_exe().expect("this binary"))
        .arg(format!("session_cut_off::{test}"));
    let output = command.stdin(Stdio::null()).output().expect("unshare starts");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if said.contains("unshare failed") {
        eprintln!("left out, needs root: {said}");
        return false;
    }
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    true
}

/// Drops every packet from and to this port, in both directions.
fn cut(port: i32) {
    for side in ["--sport", "--dport"] {
        let arguments = ["-I", "INPUT", "-p", "tcp", side, &port.to_string(), "-j", "DROP"];
        assert!(Command::new("iptables").args(arguments).status().expect("iptables starts").success());
    }
}

#[test]
fn the_server_ends_a_session_that_was_cut_off_and_its_locks_with_it() {
    in_a_namespace("idle_sessions_are_cut_off");
}

#[tokio::test]
#[ignore = "runs in a namespace of its own"]
async fn idle_sessions_are_cut_off() {
    let database = Server::get().database("cut_off").await;
    let url = ConnectionUrl::parse(&database.url).expect("a URL");
    let mut ours = connect(&url, "sluice medical/records 0123abcd-a1").await.expect("connects");
    let mut plain = server::connect(&database.url).await;
    // The eye of the test looks through the socket.
    let mut eye = server::connect(&format!(
        "postgres://postgres@localhost/{}?host={}&port={}",
        database.name,
        Server::get().socket.display(),
        Server::get().port
    ))
    .await;
    let who = "SELECT pg_backend_pid()::text || ' ' || inet_client_port()::text";
    let mut pids = Vec::new();
    for session in [&mut ours, &mut plain] {
        execute(session, "SELECT pg_advisory_lock(pg_backend_pid())").await;
        let answer = value(session, who).await;
        let (pid, port) = answer.split_once(' ').expect("two numbers");
        cut(port.parse().expect("a port"));
        pids.push(pid.to_owned());
    }
    let begun = Instant::now();
    let holders = "SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_locks WHERE locktype = 'advisory'";
    loop {
        let left = value(&mut eye, holders).await;
        assert!(
            left.contains(&pids[1]),
            "a session without keepalives is not ended, or this test proves nothing"
        );
        if !left.contains(&pids[0]) {
            break;
        }
        assert!(
            begun.elapsed() < ENDED_WITHIN,
            "after {:?} the server still has the session: {left}",
            begun.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    eprintln!("the server ended the session after {:.1?}", begun.elapsed());
}

#[test]
fn a_run_whose_server_vanishes_ends_and_so_does_its_dump() {
    in_a_namespace("a_run_and_a_dump_are_cut_off");
}

#[tokio::test]
#[ignore = "runs in a namespace of its own"]
async fn a_run_and_a_dump_are_cut_off() {
    let server = Server::get();
    let scene = Scene::new("vanishes", &[("1_slow", "SELECT pg_sleep(600);")]).await;
    let eye = format!(
        "postgres://postgres@localhost/{}?host={}&port={}",
        scene.database.name,
        server.socket.display(),
        server.port
    );
    let (mut eye, mut holder) = (server::connect(&eye).await, server::connect(&eye).await);
    execute(&mut holder, "CREATE SCHEMA held; CREATE TABLE held.t ()").await;
    execute(&mut holder, "BEGIN; LOCK TABLE held.t").await;
    // The first two end, the others show that they would not without what is tested.
    let dump = |arguments: &[&str]| {
        let url = ConnectionUrl::parse(&scene.database.url).expect("a URL");
        let mut command = Command::new(server.bin.join("pg_dump"));
        command
            .args(["--no-password", "--file=/dev/null", "--schema=held"])
            .args(arguments)
            .env_clear()
            .envs(url.libpq_environment());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pg_dump starts")
    };
    let mut ours = dump(&[&format!("--dbname={}", sluice::postgres::LIBPQ_KEEPALIVES)]);
    let mut plain_dump = dump(&[]);
    let mut plain = server::connect(&scene.database.url).await;
    let plain =
        tokio::spawn(async move { sqlx::raw_sql("SELECT pg_sleep(600)").execute(&mut plain).await.is_ok() });

    let (outcomes, begun) = tokio::join!(scene.run(), async {
        let busy = "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND \
            state = 'active' OR wait_event_type = 'Lock'";
        let deadline = Instant::now() + Duration::from_mins(1);
        while value(&mut eye, busy).await != "4" {
            assert!(Instant::now() < deadline, "two statements and two dumps wait");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        cut(server.port.into());
        Instant::now()
    });
    let last = outcomes.last().expect("an outcome");
    assert_eq!(last.reason, Reason::ConnectionFailed, "{}", last.message);
    assert!(begun.elapsed() < ENDED_WITHIN, "the run noticed after {:?}", begun.elapsed());
    while ours.try_wait().expect("asks").is_none() {
        assert!(begun.elapsed() < ENDED_WITHIN, "pg_dump still waits after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eprintln!("run and dump ended after {:.1?}", begun.elapsed());
    assert!(
        !plain.is_finished() && plain_dump.try_wait().expect("asks").is_none(),
        "what has no keepalives waits on"
    );
    plain_dump.kill().expect("is ended");
    plain_dump.wait().expect("has ended");
}
