//! What it costs to read SQL: memory and time in proportion to the text, and no stack for what is nested.

use std::{sync::Arc, thread};

use rustix::time::{ClockId, clock_gettime};
use sluice::migrations::split;

/// Memory beyond this many times the text is too much.
const TIMES: u64 = 8;

/// Texts of about so many bytes, each of another shape.
fn texts(bytes: usize) -> Vec<(&'static str, String)> {
    let repeated = |text: &str| text.repeat(bytes / text.len());
    let nested = |open: &str, inner: &str, close: &str| {
        let depth = bytes / (open.len() + close.len());
        format!("SELECT {}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    vec![
        ("rows", repeated("INSERT INTO patients (id, name) VALUES (1, 'Ana Souza');\n")),
        ("tables", repeated("CREATE TABLE a (id int PRIMARY KEY, b text REFERENCES c);\n")),
        ("short statements", repeated("SELECT f(1);\n")),
        ("empty statements", repeated(";\n")),
        ("one long string", format!("SELECT '{}'", repeated("it''s "))),
        ("one long body", format!("DO $x$ BEGIN {} END $x$", repeated("PERFORM 1; "))),
        ("comments", repeated("-- a comment, and another one\n")),
        ("sums", format!("SELECT 1{}", repeated("+1"))),
        ("casts", format!("SELECT 1{}", repeated("::int"))),
        ("calls", nested("f(", "1", ")")),
        ("parentheses", nested("(", "1", ")")),
        ("comments in comments", nested("/*", "", "*/")),
        (
            "cases",
            format!(
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC {}; END",
                nested("CASE WHEN ", "1", " END")
            ),
        ),
        ("enum values", repeated("ALTER TYPE mood ADD VALUE 'calm'; SELECT 'calm'::mood;\n")),
        ("savepoints", repeated("SAVEPOINT a; ROLLBACK TO SAVEPOINT a; RELEASE a;\n")),
    ]
}

/// The most memory that was held at once, in bytes, with what comes of it.
fn memory(text: &str) -> u64 {
    let text: Arc<str> = text.into();
    let measured = allocation_counter::measure(|| {
        let script = split(text).expect("every one of them can be read");
        assert!(script.statements.len() < usize::MAX);
    });
    measured.bytes_max
}

#[test]
fn a_script_takes_at_most_eight_times_its_text() {
    for (shape, text) in texts(1 << 20) {
        let (held, length) = (memory(&text), text.len() as u64);
        assert!(
            held <= TIMES * length,
            "{shape}: {held} bytes for {length}, more than {} times the text",
            held / length
        );
    }
}

/// A copy of the text for each byte of it would pass no bound: the measure measures.
#[test]
fn the_memory_of_a_copy_is_seen() {
    let text = "SELECT 1;".repeat(1000);
    let measured = allocation_counter::measure(|| drop(std::hint::black_box(vec![text.clone(); 10])));
    assert!(measured.bytes_max >= 10 * text.len() as u64, "{measured:?}");
}

/// What this thread has worked, in microseconds, whatever else the machine does.
fn worked() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

/// The least work of five times, in microseconds.
fn work(text: &str) -> i64 {
    let text: Arc<str> = text.into();
    let once = |_| {
        let began = worked();
        let _ = std::hint::black_box(split(text.clone()));
        worked() - began
    };
    (0..5).map(once).min().expect("five")
}

#[test]
fn eight_times_the_text_takes_no_thirty_times_the_work() {
    for ((shape, small), (_, large)) in texts(32 << 10).into_iter().zip(texts(256 << 10)) {
        // Quadratic would be sixty-four times the work. What is done at once tells nothing.
        let (small, large) = (work(&small).max(200), work(&large));
        assert!(large < small * 30, "{shape}: {small} µs for 32 KiB, {large} µs for 256 KiB");
    }
}

#[test]
fn no_depth_needs_a_stack() {
    let reads = || {
        for (shape, text) in texts(4 << 20) {
            assert!(split(text).is_ok(), "{shape}");
        }
    };
    let small = thread::Builder::new().stack_size(128 << 10).spawn(reads).expect("a thread");
    assert!(small.join().is_ok());
}
