//! How Sluice reads SQL: for each file named on standard input one line of JSON, with where its statements begin and end, in bytes, and what
//! each asks of a transaction. `tests/statements/compare` holds it against PostgreSQL's own parser.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::{fs, io};

use serde_json::json;
use sluice::sql::{Fault, Needs, Statement, control, split};

fn main() {
    for path in io::stdin().lines().map_while(Result::ok) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let pieces = split(&text);
        let statements = pieces.statements.iter().map(|range| {
            let sql = &text[range.clone()];
            let needs = match Statement::read(sql).needs {
                Needs::Nothing => "Nothing",
                Needs::Commit => "Commit",
                Needs::BuildIndex(_) => "BuildIndex",
                Needs::Outside { .. } => "Outside",
                Needs::Undecided => "Undecided",
                Needs::Opaque => "Opaque",
            };
            json!({"start": range.start, "end": range.end, "needs": needs, "control": control(sql).map(|control| format!("{control:?}"))})
        });
        println!(
            "{}",
            json!({"path": path, "fault": pieces.fault.map(Fault::at), "statements": statements.collect::<Vec<_>>()})
        );
    }
}
