//! `sluice verify`: the last stage of `sluice run` by itself, as a report. Changes nothing.

use std::process::ExitCode;

use jiff::Timestamp;

use super::{Usage, form, manifest::Place};
use crate::{report::Document, stage};

/// Arguments of `sluice verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    printed: form::Printed,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Usage> {
    let (_, context) = args.place.context()?;
    // A report is a page for people: the second is exact enough.
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let report = stage::report(&context, now).await;
    form::print(&Document::One(Box::new(report)), args.printed)
}
