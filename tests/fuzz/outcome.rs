//! What a container leaves, which may be any process's.

use sluice::{
    contract::{MESSAGE_LIMIT, Outcome},
    visible,
};

use super::Target;

pub const TARGET: Target = Target { name: "outcome", seeds: &SEEDS, documents: true, words: &WORDS, read };

const SEEDS: [&str; 2] = [
    r#"{"version":1,"stage":"plan","verdict":"Passed","reason":"PlanReady","message":"2 migrations are pending","milliseconds":12,"history":{"current":"1_a","appliedCount":1,"applied":["1_a"],"pendingCount":2,"pending":["2_b","3_c"],"ledgerDigest":"d","sourceDigest":"s","serverMajor":15}}"#,
    r#"{"version":1,"stage":"migrate","verdict":"Failed","reason":"MigrationFailed","message":"1_a/migration.sql:7: no table","failure":{"migration":"1_a","file":"1_a/migration.sql","line":7,"statement":"SELECT $1","sqlstate":"42P01","message":"relation \"t\" does not exist"},"blockers":[{"pid":7,"application":"psql","user":"u","state":"idle","ageSeconds":9}],"findings":[{"check":"rls-enabled","object":"public.t","severity":"Error","message":"m\u202e","remedy":"r"}]}"#,
];
const WORDS: [&str; 14] = [
    "\"",
    "{",
    "}",
    "[",
    "]",
    "null",
    "\"version\":2",
    "\"findings\":[]",
    "\\u0000",
    "\\ud800",
    "1e999",
    "-1",
    "\u{202e}",
    "\u{1b}[2J",
];

fn read(text: &str) -> bool {
    let Some(read) = Outcome::from_message(text) else { return false };
    assert_eq!(visible::lines(&read.message), read.message, "nothing steers");
    let message = read.message_for_pod();
    // Names and digests are never cut, and a forged one may be as long as it likes: also one of characters that are shown by their number.
    let whole = serde_json::to_string(&read).expect("an Outcome is JSON").len();
    assert!(
        message.len() <= MESSAGE_LIMIT || whole > MESSAGE_LIMIT / 2,
        "{} bytes of {whole}",
        message.len()
    );
    let again = Outcome::from_message(&message).expect("what was written reads back");
    assert_eq!((again.stage, again.verdict, again.reason), (read.stage, read.verdict, read.reason));
    true
}
