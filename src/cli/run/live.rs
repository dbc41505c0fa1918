//! Tells the user meanwhile how far a stage is: on a terminal in one line that changes, else in a line of its
//! own from time to time.

use std::{
    io::{IsTerminal, stderr},
    pin::pin,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use super::super::print::complain;
use crate::{
    contract::{Progress, Stage},
    stage::Reporter,
    visible::visible,
};

/// The line of a terminal changes so often.
const TURN_EVERY: Duration = Duration::from_millis(100);
/// What is done sooner needs no line.
const SHOW_AFTER: Duration = Duration::from_millis(500);
/// Where no person watches, a line is written so often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The work's result. While it lasts, the user is told how far it is.
pub(super) async fn told<T>(work: impl Future<Output = T>, stage: Stage, reporter: &Reporter) -> T {
    let (mut work, begun) = (pin!(work), Instant::now());
    let line = stderr().is_terminal().then(line);
    let every = if line.is_some() { TURN_EVERY } else { TELL_EVERY };
    loop {
        tokio::select! {
            done = &mut work => {
                if let Some(line) = line {
                    line.finish_and_clear();
                }
                return done;
            }
            () = tokio::time::sleep(every) => {
                if line.is_some() && begun.elapsed() < SHOW_AFTER {
                    continue;
                }
                let text = words(stage, reporter.now().as_ref(), begun.elapsed(), Timestamp::now());
                match &line {
                    Some(line) => {
                        line.set_message(text);
                        line.tick();
                    }
                    None => complain(&(text + "\n")),
                }
            }
        }
    }
}

/// A line that no width of the terminal breaks.
fn line() -> ProgressBar {
    let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    line.with_style(
        ProgressStyle::with_template("{spinner} {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    )
}

/// The stage, what it is at, and since when.
fn words(stage: Stage, now: Option<&Progress>, since_begin: Duration, moment: Timestamp) -> String {
    let now = now.filter(|now| now.stage == stage);
    let at = now.map(Progress::summary).filter(|summary| summary != stage.name());
    let since = now.and_then(|now| Duration::try_from(moment.duration_since(now.since)).ok());
    let seconds = since.unwrap_or(since_begin).min(since_begin).as_secs();
    let at = at.map(|at| visible(&at) + ", ").unwrap_or_default();
    format!("{:<9} {at}for {seconds} s", stage.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Count;

    #[test]
    fn a_line_says_the_stage_what_it_is_at_and_for_how_long() {
        let (begun, now) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(42).expect("a moment"));
        let whole = Duration::from_mins(1);
        assert_eq!(words(Stage::Snapshot, None, Duration::from_secs(7), now), "snapshot  for 7 s");
        let progress = Progress {
            migration: Some("2_b\u{1b}[2J".to_owned()),
            migrations: Some(Count { at: 2, of: 5 }),
            ..Progress::of(Stage::Migrate, begun)
        };
        let text = words(Stage::Migrate, Some(&progress), whole, now);
        assert_eq!(text, "migrate   2_b\\u{1b}[2J (2 of 5), for 42 s");
        assert_eq!(
            words(Stage::Verify, Some(&progress), whole, now),
            "verify    for 60 s",
            "that of another stage"
        );
    }
}
