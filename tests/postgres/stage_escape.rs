//! A file cannot end the transaction that it runs in: what is a string where Sluice reads it is one where the
//! server does; and where it were not, the run would fail and say what is committed.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use sluice::{
    api::{Reason, Span},
    contract::Stage,
    postgres::{self, ConnectionUrl, Session, SqlErrorKind},
};

use crate::{
    server::{Server, execute},
    stage_scene::{Scene, session, value},
};

/// Where constraints may be deferred, a file with a COMMIT in its middle is sent in two messages.
const INIT: (&str, &str) = (
    "1_init",
    "CREATE TABLE d (id int PRIMARY KEY, r int REFERENCES d DEFERRABLE INITIALLY DEFERRED);\n\
     CREATE FUNCTION old_strings() RETURNS text LANGUAGE sql AS $$ SELECT \
     set_config('standard_conforming_strings', 'off', false) $$;\n\
     CREATE FUNCTION other_letters() RETURNS text LANGUAGE sql AS $$ SELECT set_config('client_encoding', \
     'SJIS', true) $$;",
);
/// How the first message changes what the second one says, and a string that then ends early.
const RULES: [(&str, &str); 4] = [
    ("SET standard_conforming_strings = off;", r"SELECT 'a\', '; HIDDEN --';"),
    ("SELECT old_strings();", r"SELECT 'a\', '; HIDDEN --';"),
    ("SET client_encoding = 'SJIS';", r"SELECT E'ア゚\'; HIDDEN --';"),
    ("SELECT other_letters();", r"SELECT E'ア゚\'; HIDDEN --';"),
];

fn file(rule: (&str, &str), hidden: &str, end: &str) -> String {
    format!(
        "CREATE TABLE important (x int);\n{}\nCOMMIT;\n{}\n{end}",
        rule.0,
        rule.1.replace("HIDDEN", hidden)
    )
}

async fn tables(scene: &Scene) -> String {
    scene
        .value(
            "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname IN \
        ('important', 'd')",
        )
        .await
}

#[tokio::test]
async fn what_the_first_message_of_a_file_sets_does_not_change_how_the_second_is_read() {
    for (number, rule) in RULES.into_iter().enumerate() {
        let scene = Scene::new(&format!("second_message_{number}"), &[INIT]).await;
        scene.ready().await;
        scene.write("2_b", &file(rule, "COMMIT; SELECT 1;", "SELECT 1/0;"));
        scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        assert_eq!(
            (tables(&scene).await.as_str(), scene.history_table().await.len()),
            ("d", 1),
            "{rule:?}: nothing of it is left"
        );
        scene.write("2_b", &file(rule, "ROLLBACK; BEGIN;", ""));
        scene.ready().await;
        assert_eq!(
            (tables(&scene).await.as_str(), scene.history_table().await.len()),
            ("d important", 2),
            "{rule:?}: all of it is there"
        );
    }
}

#[tokio::test]
async fn the_same_strings_do_end_early_for_whoever_does_not_set_the_rules_again() {
    let scene = Scene::new("control_of_strings", &[INIT]).await;
    scene.ready().await;
    for (set, string) in RULES {
        let mut session = session(&scene.url, "control", &format!("BEGIN; {set}")).await;
        let begun = value(&mut session, "SELECT pg_current_xact_id()::text").await;
        execute(&mut session, &string.replace("HIDDEN", "ROLLBACK; BEGIN;")).await;
        assert_ne!(value(&mut session, "SELECT pg_current_xact_id()::text").await, begun, "{set}");
    }
}

async fn own_session(scene: &Scene) -> Session {
    let url = ConnectionUrl::parse(&scene.url).expect("a URL");
    let connection = postgres::connect(&url, "sluice escape").await.expect("connects");
    let limit: Span = "10s".parse().expect("a span");
    Session::new(connection, limit, limit).await.expect("a session")
}

#[tokio::test]
async fn a_file_that_ended_its_transaction_writes_no_row_and_is_not_committed() {
    let scene = Scene::new("escaped_session", &[("1_t", "CREATE TABLE t (x int);")]).await;
    scene.ready().await;
    let until = Instant::now() + Duration::from_secs(30);
    for (hidden, rolled_back) in [
        ("ROLLBACK; BEGIN", true),
        ("ROLLBACK", true),
        ("COMMIT; BEGIN", false),
        ("COMMIT", false),
        ("COMMIT AND CHAIN", false),
    ] {
        for ends_with_commit in [true, false] {
            let mut session = own_session(&scene).await;
            session.begin().await.expect("begins");
            session
                .run(
                    &format!("INSERT INTO public.t VALUES (1); {hidden}; INSERT INTO public.t VALUES (2)"),
                    Some(until),
                )
                .await
                .expect("runs");
            let ended = if ends_with_commit {
                session.commit().await
            } else {
                session.end_file(true, "INSERT INTO public.t VALUES (99)", until).await
            };
            assert_eq!(ended.expect_err(hidden).kind, SqlErrorKind::Escaped, "{hidden}");
            assert_eq!(
                session.rollback().await,
                rolled_back,
                "{hidden}: whether what was begun is committed"
            );
        }
    }
    assert_eq!(
        scene.value("SELECT count(*)::text FROM t WHERE x = 99").await,
        "0",
        "no row is written in another transaction"
    );
    let mut session = own_session(&scene).await;
    session.begin().await.expect("begins");
    session
        .run("SAVEPOINT a; INSERT INTO public.t VALUES (5); ROLLBACK TO a", Some(until))
        .await
        .expect("runs");
    session
        .end_file(true, "INSERT INTO public.t VALUES (99)", until)
        .await
        .expect("it is the same transaction");
    session.commit().await.expect("commits");
    assert_eq!(scene.value("SELECT count(*)::text FROM t WHERE x = 99").await, "1", "the control");
}

/// A way to the server on which what Sluice sets before a second message arrives as its contrary.
fn weakened(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let server = TcpStream::connect(("127.0.0.1", port)).expect("the server");
            let (mut from_server, mut to_client) =
                (server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
            thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
            thread::spawn(move || forward(client, server));
        }
    });
    own
}

fn forward(mut client: TcpStream, mut server: TcpStream) {
    let (sets, weaker) = (b"SET standard_conforming_strings = on;", b"SET standard_conforming_strings =off;");
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = client.read(&mut bytes) {
        let message = &mut bytes[..read];
        // A message of its own: the type, its length, and this text at its beginning.
        if message.len() > 5 && message[0] == b'Q' && message[5..].starts_with(sets) {
            message[5..5 + sets.len()].copy_from_slice(weaker);
        }
        if server.write_all(message).is_err() {
            break;
        }
    }
    let _ = server.shutdown(std::net::Shutdown::Both);
}

#[tokio::test]
async fn where_strings_were_read_otherwise_after_all_the_run_fails_and_says_what_is_committed() {
    for (hidden, applied, tables_left) in [
        ("ROLLBACK; BEGIN;", "these are applied: none", "d"),
        ("COMMIT; BEGIN;", "these are applied: \"2_before\"", "before d important"),
    ] {
        let mut scene = Scene::new("weakened", &[INIT]).await;
        scene.ready().await;
        scene.write("2_before", "CREATE TABLE before ();");
        scene.write("3_escapes", &file(RULES[0], hidden, "CREATE TABLE public.late ();"));
        let port = Server::get().port;
        scene.url = scene.url.replace(&format!(":{port}/"), &format!(":{}/", weakened(port)));
        let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        assert!(
            outcome.message.contains(applied) && outcome.message.contains("3_escapes"),
            "{}",
            outcome.message
        );
        let tables = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname IN \
            ('before', 'important', 'd', 'late')";
        assert_eq!(scene.value(tables).await, tables_left, "{}", outcome.message);
        let names = scene.history_table().await.join(", ");
        assert_eq!(names.contains("2_before applied"), applied.contains("2_before"), "{names}");
        assert!(!names.contains("3_escapes"), "{names}");
    }
}
