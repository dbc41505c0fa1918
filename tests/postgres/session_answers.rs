//! A server that answers garbage. The process goes on, says so, and retries later.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use sluice::{
    api::Reason,
    postgres::{ConnectionUrl, connect, query_scalar},
};

const KNOWN: &[u8] = b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x02Z\0\0\0\x05I";

/// Answers the log-in with the first text, and every query with the second.
fn server(log_in: Vec<u8>, answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let (log_in, answer) = (log_in.clone(), answer.clone());
            thread::spawn(move || {
                let mut said = [0; 4096];
                let mut next = &log_in;
                while stream.read(&mut said).is_ok_and(|read| read > 0) {
                    if stream.write_all(next).is_err() {
                        break;
                    }
                    next = &answer;
                }
            });
        }
    });
    port
}

fn url(port: u16) -> ConnectionUrl {
    ConnectionUrl::parse(&format!("postgres://u:p@127.0.0.1:{port}/d?sslmode=disable")).expect("a URL")
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short");
    [&[kind], length.to_be_bytes().as_slice(), body].concat()
}

#[tokio::test]
async fn a_log_in_that_is_none_is_an_error_and_no_panic() {
    let mut logs_in = vec![
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![0; 64],
        vec![255; 64],
        b"R\0\0\0\0".to_vec(),
        b"R\0\0\0\x03".to_vec(),
        b"R\xff\xff\xff\xff".to_vec(),
        b"E\x7f\xff\xff\xff".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
    ];
    for kind in b"RSKZENTDCtAGvX?".iter().copied() {
        for body in [
            &b""[..],
            b"\0",
            b"\0\0",
            b"\0\0\0\x05",
            b"\0\0\0\x0a",
            b"\0\0\0\x0br",
            b"\0\0\0\x0cv",
            b"S",
            b"SFATAL\0",
            b"\xff\xff\xff\xff",
        ] {
            logs_in.push(message(kind, body));
            logs_in.push([&message(b'R', &[0; 4]), &message(kind, body)[..], b"Z\0\0\0\x05I"].concat());
        }
    }
    for log_in in logs_in {
        let port = server([log_in.clone(), b"Z\0\0\0\x05I".to_vec()].concat(), Vec::new());
        let connected =
            tokio::time::timeout(std::time::Duration::from_millis(500), connect(&url(port), "sluice test"))
                .await;
        if let Ok(Err(error)) = connected {
            assert_eq!(error.reason(), Reason::ConnectionFailed, "{log_in:?}: {error}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_an_error_and_no_panic() {
    let column = |kind: u8| {
        [b"\0\x01c\0\0\0\0\0\0\0\0\0\0".as_slice(), &[kind], b"\0\x04\xff\xff\xff\xff\0\x01"].concat()
    };
    let prepared = |kind: u8| {
        [
            message(b'1', b""),
            message(b't', b"\0\0"),
            message(b'T', &column(kind)),
            message(b'Z', b"I"),
            message(b'2', b""),
        ]
        .concat()
    };
    for body in [
        &b""[..],
        b"\0",
        b"\0\x01",
        b"\0\x02\0\0\0\0\0\0\0\0",
        b"\0\x01\0\0\0\x09x",
        b"\0\x01\0\0\0\x02xx",
        b"\0\x01\0\0\0\0",
        b"\xff\xff",
    ] {
        for kind in [23, 20, 16, 25] {
            let answer =
                [prepared(kind), message(b'D', body), message(b'C', b"SELECT 1\0"), message(b'Z', b"I")]
                    .concat();
            let port = server(KNOWN.to_vec(), answer);
            // The first query runs as the session begins.
            let mut session = match connect(&url(port), "sluice test").await {
                Ok(session) => session,
                Err(error) => {
                    assert_eq!(error.reason(), Reason::ConnectionFailed, "{error}");
                    continue;
                }
            };
            let asked = query_scalar::<i32>("SELECT 1").fetch_one(&mut session);
            let answered = tokio::time::timeout(std::time::Duration::from_millis(500), asked).await;
            assert!(!matches!(answered, Ok(Ok(_))), "{kind} {body:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_closes_at_once_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || while listener.accept().is_ok() {});
    let error = connect(&url(port), "sluice test").await.expect_err("no server speaks");
    assert_eq!(error.reason(), Reason::ConnectionFailed);
    assert!(error.to_string().starts_with(&format!("cannot connect to 127.0.0.1:{port}/d: ")), "{error}");
}
