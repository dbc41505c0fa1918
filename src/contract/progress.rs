//! How far a stage is, as it says of itself while it works: names and counts, no SQL and no row. PURE.
//!
//! What a Pod answers is not to be trusted, not even by the controller that made it: it is bounded, and a name
//! counts only where the plan of the same run has it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Stage;

/// Where a stage serves it: on every address of its Pod, at this port, while it works.
pub const PROGRESS_PORT: u16 = 8181;
/// The path of it.
pub const PROGRESS_PATH: &str = "/progress";
/// The most bytes of an answer.
pub const PROGRESS_LIMIT: usize = 4096;
/// The version this binary writes.
const VERSION: u32 = 1;

/// What a stage is at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Progress {
    /// The version of this form.
    pub version: u32,
    /// Which stage.
    pub stage: Stage,
    /// Since when it has been at this: the migration, or where there is none the stage.
    pub since: Timestamp,
    /// The migration that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<String>,
    /// Which of the pending migrations that is, and how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<Count>,
    /// Which of its statements runs, and how many it has; none where several of them are one message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statements: Option<Count>,
}

/// One of several, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Count {
    /// Which.
    pub at: u32,
    /// Of how many.
    pub of: u32,
}

impl Count {
    /// The one behind so many that are done.
    pub fn after(done: usize, of: usize) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { at: count(done).saturating_add(1).min(count(of)), of: count(of) }
    }

    const fn is_possible(self) -> bool {
        self.at >= 1 && self.at <= self.of
    }
}

impl Progress {
    /// A stage that has begun.
    pub const fn of(stage: Stage, since: Timestamp) -> Self {
        Self { version: VERSION, stage, since, migration: None, migrations: None, statements: None }
    }

    /// Reads what a Pod answered; none where it is anything else than this. A migration that is not one of
    /// `pending` is not named: its place is told by its number.
    pub fn from_answer(answer: &[u8], pending: &[String], now: Timestamp) -> Option<Self> {
        if answer.len() > PROGRESS_LIMIT {
            return None;
        }
        let told: Self = serde_json::from_slice(answer).ok()?;
        let counts = [told.migrations, told.statements];
        if told.version != VERSION || !counts.into_iter().flatten().all(Count::is_possible) {
            return None;
        }
        Some(Self {
            migration: told.migration.filter(|name| pending.contains(name)),
            // No clock that differs makes anything begin in the future.
            since: told.since.min(now),
            ..told
        })
    }

    /// In a few words, for people.
    pub fn summary(&self) -> String {
        let of = |count: Count| format!("{} of {}", count.at, count.of);
        let migration = match (&self.migration, self.migrations) {
            (Some(name), Some(count)) => Some(format!("{name} ({})", of(count))),
            (Some(name), None) => Some(name.clone()),
            (None, Some(count)) => Some(format!("migration {}", of(count))),
            (None, None) => None,
        };
        let statement = self.statements.filter(|count| count.of > 1);
        let statement = statement.map(|count| format!("statement {}", of(count)));
        let parts: Vec<String> = migration.into_iter().chain(statement).collect();
        if parts.is_empty() { self.stage.name().to_owned() } else { parts.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        Progress {
            migration: Some("2_b".to_owned()),
            migrations: Some(Count { at: 2, of: 5 }),
            statements: Some(Count { at: 3, of: 7 }),
            ..Progress::of(Stage::Migrate, Timestamp::UNIX_EPOCH)
        }
    }

    fn read(change: impl FnOnce(&mut serde_json::Value)) -> Option<Progress> {
        let mut value = serde_json::to_value(progress()).expect("JSON");
        change(&mut value);
        let now = Timestamp::from_second(100).expect("a moment");
        Progress::from_answer(value.to_string().as_bytes(), &["1_a".to_owned(), "2_b".to_owned()], now)
    }

    #[test]
    fn what_a_stage_says_is_read_back_and_said_in_a_few_words() {
        let read = read(|_| ()).expect("reads");
        assert_eq!(read, progress());
        assert_eq!(read.summary(), "2_b (2 of 5), statement 3 of 7");
        assert_eq!(Progress::of(Stage::Verify, Timestamp::UNIX_EPOCH).summary(), "verify");
        let one = Progress { statements: Some(Count::after(0, 1)), ..progress() };
        assert_eq!(one.summary(), "2_b (2 of 5)");
    }

    #[test]
    fn a_name_that_is_not_pending_is_not_repeated_and_no_clock_runs_ahead() {
        let other = read(|value| value["migration"] = "\u{1b}[2JJane".into()).expect("reads");
        assert_eq!(
            (other.migration.as_deref(), other.summary().as_str()),
            (None, "migration 2 of 5, statement 3 of 7")
        );
        let late = read(|value| value["since"] = "2999-01-01T00:00:00Z".into()).expect("reads");
        assert_eq!(late.since, Timestamp::from_second(100).expect("a moment"));
    }

    #[test]
    fn whatever_else_a_pod_answers_is_nothing() {
        let changes: [fn(&mut serde_json::Value); 7] = [
            |value| value["version"] = 2.into(),
            |value| value["stage"] = "restore".into(),
            |value| value["sql"] = "SELECT 1".into(),
            |value| value["migrations"]["at"] = 6.into(),
            |value| value["statements"]["at"] = 0.into(),
            |value| value["statements"]["at"] = (-1).into(),
            |value| value["migration"] = "x".repeat(PROGRESS_LIMIT).into(),
        ];
        for change in changes {
            assert_eq!(read(change), None);
        }
        for answer in ["", "null", "[]", "<html>", "\u{0}"] {
            assert_eq!(Progress::from_answer(answer.as_bytes(), &[], Timestamp::UNIX_EPOCH), None);
        }
    }

    #[test]
    fn the_one_behind_all_is_the_last() {
        assert_eq!(Count::after(7, 7), Count { at: 7, of: 7 });
        assert!(!Count::after(0, 0).is_possible());
    }
}
