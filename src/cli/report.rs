//! `sluice report`: saved reports, printed again or side by side. Asks no database.

use std::{fs, path::PathBuf, process::ExitCode};

use super::{Usage, form};
use crate::report::{Consistency, Document, read};

/// Arguments of `sluice report`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A report that `sluice verify -o json` printed. Several: the services side by side, with the sum.
    #[arg(long, value_name = "FILE", required = true)]
    from: Vec<PathBuf>,

    /// How to print.
    #[arg(short, long, value_enum, default_value_t = form::Name::Text)]
    output: form::Name,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Usage> {
    let mut reports = Vec::new();
    for file in &args.from {
        let text = fs::read_to_string(file).map_err(|error| Usage(format!("cannot read {}: {error}", file.display())))?;
        reports.extend(read(&text).map_err(|error| Usage(format!("{} is no report: {error}", file.display())))?);
    }
    let document = match <[_; 1]>::try_from(reports) {
        Ok([one]) => Document::One(Box::new(one)),
        Err(several) => Document::Several(Consistency::of(several)),
    };
    form::print(&document, args.output)
}
