//! `sluice history`: the records of runs that a database keeps, newest first. Changes nothing.

use std::process::ExitCode;

use serde_json::json;

use super::{
    Usage,
    manifest::Output,
    print::{print, print_json},
};
use crate::{
    postgres::{ConnectionUrl, KeptRecord, connect, records},
    visible::visible,
};

/// Arguments of `sluice history`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the database is; a role that may read sluice.records is enough. Prefer the variable.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,

    /// How to print: text or json.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) async fn run(args: &Args) -> Result<ExitCode, Usage> {
    let url = ConnectionUrl::parse(&args.database_url).map_err(|error| Usage(error.to_string()))?;
    let mut connection = connect(&url, "sluice history").await.map_err(|error| Usage(error.to_string()))?;
    let kept = records(&mut connection).await.map_err(|error| Usage(error.to_string()))?;
    match args.output {
        Output::Text => print(&table(&kept))?,
        Output::Json => {
            let list: Vec<_> = kept.iter().map(in_json).collect();
            print_json(&(serde_json::to_string_pretty(&list).unwrap_or_default() + "\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn in_json(record: &KeptRecord) -> serde_json::Value {
    json!({
        "keptAt": record.kept_at,
        "object": record.object,
        "attempt": record.attempt,
        "reason": record.reason,
        "record": record.digest,
    })
}

/// One line for each; the digest is what `sluice report --record` takes.
fn table(kept: &[KeptRecord]) -> String {
    if kept.is_empty() {
        return "the database keeps no record of a run\n".to_owned();
    }
    let line = |record: &KeptRecord| {
        let KeptRecord { digest, object, attempt, reason, kept_at } = record;
        let attempt = if attempt.is_empty() { "-" } else { attempt };
        visible(&format!("{kept_at} {object} {attempt} {reason} {digest}")) + "\n"
    };
    kept.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_one_line_for_each_record_whatever_stands_in_it() {
        let kept = KeptRecord {
            digest: "0".repeat(64),
            object: "medical/records\u{1b}[2J\nx".to_owned(),
            attempt: String::new(),
            reason: "Verified".to_owned(),
            kept_at: "2026-01-02T03:04:05Z".to_owned(),
        };
        let text = table(&[kept.clone(), kept]);
        assert_eq!(text.lines().count(), 2, "{text:?}");
        assert!(!text.contains('\u{1b}') && text.contains(" - Verified 000"), "{text:?}");
        assert!(table(&[]).contains("no record"));
    }
}
