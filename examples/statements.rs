//! How Sluice reads SQL: for each file named on standard input one line of JSON, with where its statements begin and end, in bytes, and what
//! each asks of a transaction. `tests/statements/compare` holds it against PostgreSQL's own parser.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::{fs, io};

use serde_json::json;
use sluice::sql::{Fault, Needs, Reach, Statement, split};

fn main() {
    for path in io::stdin().lines().map_while(Result::ok) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let pieces = split(&text);
        let statements = pieces.statements.iter().map(|range| {
            let read = Statement::read(&text[range.clone()]);
            let needs = match read.needs {
                Needs::Nothing => "Nothing",
                Needs::Commit => "Commit",
                Needs::BuildIndex(_) => "BuildIndex",
                Needs::Outside { .. } => "Outside",
                Needs::Undecided => "Undecided",
                Needs::Opaque => "Opaque",
            };
            let reach = match read.reach {
                Reach::Inside => "Inside",
                Reach::Beyond => "Beyond",
                Reach::Hidden(_) => "Hidden",
            };
            json!({
                "start": range.start, "end": range.end, "needs": needs, "reach": reach,
                "verb": format!("{:?}", read.verb), "control": read.control.map(|control| format!("{control:?}")),
            })
        });
        println!(
            "{}",
            json!({"path": path, "fault": pieces.fault.map(Fault::at), "statements": statements.collect::<Vec<_>>()})
        );
    }
}
