//! A network that is cut between Sluice and PostgreSQL, without a word to either. In a network namespace of the test's own: the server
//! runs in there, and packets are dropped there. Needs root, which CI has.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sluice::postgres::{ConnectionUrl, connect};

use crate::{
    server::{self, Server, execute},
    stage_scene::value,
};

/// What the server promises: keepalives after 5 s, two of them, 5 s apart; and time for a busy machine.
const ENDED_WITHIN: Duration = Duration::from_secs(30);

/// Runs one of the tests below, which nobody starts otherwise, in a namespace. False when this is not root.
fn in_a_namespace(test: &str) -> bool {
    let script = "ip link set lo up && exec \"$0\" --exact \"$1\" --ignored --nocapture";
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", script]).arg(std::env::current_exe().expect("this binary")).arg(format!("session_cut_off::{test}"));
    let output = command.stdin(Stdio::null()).output().expect("unshare starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
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
        assert!(left.contains(&pids[1]), "a session without keepalives is not ended, or this test proves nothing");
        if !left.contains(&pids[0]) {
            break;
        }
        assert!(begun.elapsed() < ENDED_WITHIN, "after {:?} the server still has the session: {left}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    eprintln!("the server ended the session after {:.1?}", begun.elapsed());
}
