//! Statements that were misread once are read as what they are: `tests/statements/misread.sql`.

use std::fmt::Write as _;

use sluice::sql::{Needs, Reach, Statement, split};

const MISREAD: &str = include_str!("../statements/misread.sql");

/// Verb, needs and reach of a statement, as the file writes them.
fn read(sql: &str) -> String {
    let read = Statement::read(sql);
    let needs = format!("{:?}", read.needs);
    let needs = if matches!(read.needs, Needs::BuildIndex(_)) { "BuildIndex" } else { &needs };
    let needs = needs.split(' ').next().unwrap_or_default();
    let reach =
        if matches!(read.reach, Reach::Hidden(_)) { "Hidden".into() } else { format!("{:?}", read.reach) };
    format!("{:?} {needs} {reach}", read.verb)
}

/// Where a statement of the file is read otherwise than its line says.
fn differences(file: &str) -> String {
    let (pieces, mut differing) = (split(file), String::new());
    assert_eq!(pieces.fault, None, "the file cannot be read");
    let expected: Vec<&str> = file.lines().filter_map(|line| line.strip_prefix("--= ")).collect();
    assert_eq!(
        pieces.statements.len(),
        expected.len(),
        "each statement has a line, and each line one statement"
    );
    for (range, expected) in pieces.statements.into_iter().zip(expected) {
        let (sql, (is, why)) = (&file[range], expected.split_once(": ").expect("what it is, and why"));
        if read(sql) != is {
            let _ = writeln!(differing, "{sql}\n  is {is} ({why}), and is read as {}", read(sql));
        }
    }
    differing
}

#[test]
fn what_was_misread_once_is_read_as_what_it_is() {
    let differing = differences(MISREAD);
    assert!(differing.is_empty(), "{differing}");
}

#[test]
fn a_statement_that_is_read_otherwise_is_found() {
    let planted = "--= Drop Nothing Beyond: planted\nDROP TABLE t;\n";
    assert_eq!(
        differences(planted),
        "DROP TABLE t\n  is Drop Nothing Beyond (planted), and is read as Drop Nothing Inside\n"
    );
}
