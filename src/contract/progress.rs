//! How far a stage is, as it says of itself while it works: names and counts, no SQL and no row. PURE.
//!
//! What a Pod answers is not to be trusted, not even by the controller that made it: it is bounded, and a name
//! counts only where the plan of the same run has it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Stage;
use crate::{api::Blocker, limits::SHOWN_BLOCKERS, redact::bounded, visible::visible};

/// Where a stage serves it: on every address of its Pod, at this port, while it works.
pub const PROGRESS_PORT: u16 = 8181;
/// The path of it.
pub const PROGRESS_PATH: &str = "/progress";
/// The most bytes of an answer.
pub const PROGRESS_LIMIT: usize = 8192;
/// The most characters of a name that another session has given itself, and of PostgreSQL's word for a phase.
const LONGEST: usize = 64;
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
    /// The index that PostgreSQL builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexProgress>,
    /// How far the statement is that runs in batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Rows>,
    /// The sessions of others that it waits for, a bounded number of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<Blocker>,
}

/// How far PostgreSQL is with an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IndexProgress {
    /// PostgreSQL's word for what it does: `building index: scanning table`.
    pub phase: String,
    /// How much of this phase is done, in percent; none where PostgreSQL does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

impl IndexProgress {
    /// PostgreSQL's words are letters, and nothing else is repeated.
    fn is_possible(&self) -> bool {
        let is_word = |c: char| c.is_ascii_alphabetic() || c == ' ' || c == ':';
        self.phase.len() <= LONGEST && self.phase.chars().all(is_word) && self.percent <= Some(100)
    }

    fn summary(&self) -> String {
        match self.percent {
            Some(percent) => format!("{} ({percent} %)", self.phase),
            None => self.phase.clone(),
        }
    }
}

/// How far a statement is that runs in batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rows {
    /// How many rows of the table it went through.
    pub done: u64,
    /// About how many there are; none where PostgreSQL has not counted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// How many it goes through in a second, since this process began; none before its first batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u64>,
    /// It waits because a replica is too far behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits_for_replica: bool,
}

impl Rows {
    /// In a few words, for people.
    fn summary(self) -> String {
        let of = self.of.filter(|of| *of >= self.done);
        let mut told = of
            .map_or_else(|| format!("{} rows", self.done), |of| format!("{} of about {of} rows", self.done));
        if self.waits_for_replica {
            return told + ", waits for a replica";
        }
        if let Some(rate) = self.per_second.filter(|rate| *rate > 0) {
            told += &format!(", {rate} a second");
            told += &of
                .map(|of| format!(", about {} s left", (of - self.done).div_ceil(rate)))
                .unwrap_or_default();
        }
        told
    }
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
        Self {
            version: VERSION,
            stage,
            since,
            migration: None,
            migrations: None,
            statements: None,
            index: None,
            rows: None,
            blocked_by: Vec::new(),
        }
    }

    /// Reads what a Pod answered; none where it is anything else than this. A migration that is not one of
    /// `pending` is not named: its place is told by its number.
    pub fn from_answer(answer: &[u8], pending: &[String], now: Timestamp) -> Option<Self> {
        if answer.len() > PROGRESS_LIMIT {
            return None;
        }
        let told: Self = serde_json::from_slice(answer).ok()?;
        let counts = [told.migrations, told.statements];
        if told.version != VERSION
            || !counts.into_iter().flatten().all(Count::is_possible)
            || !told.index.iter().all(IndexProgress::is_possible)
        {
            return None;
        }
        Some(Self {
            blocked_by: named(told.blocked_by),
            migration: told.migration.filter(|name| pending.contains(name)),
            // No clock that differs makes anything begin in the future.
            since: told.since.min(now),
            ..told
        })
    }

    /// The sessions of others that it waits for now.
    pub fn wait_for(&mut self, blockers: Vec<Blocker>) {
        self.blocked_by = named(blockers);
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
        let rows = self.rows.map(Rows::summary);
        let index = self.index.as_ref().map(IndexProgress::summary);
        let waits = self.blocked_by.first().map(|first| {
            let more = self.blocked_by.len() - 1;
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            format!("waits for pid {} ({}){more}", first.pid, first.application)
        });
        let work = statement.into_iter().chain(index).chain(rows);
        let parts: Vec<String> = migration.into_iter().chain(work).chain(waits).collect();
        if parts.is_empty() { self.stage.name().to_owned() } else { parts.join(", ") }
    }
}

/// A bounded number of sessions, with bounded names that steer no terminal.
fn named(blockers: Vec<Blocker>) -> Vec<Blocker> {
    let clean = |text: String| bounded(&visible(&text), LONGEST);
    let blockers = blockers.into_iter().take(SHOWN_BLOCKERS);
    blockers
        .map(|Blocker { pid, application, user, state, age_seconds }| Blocker {
            pid,
            application: clean(application),
            user: clean(user),
            state: clean(state),
            age_seconds,
        })
        .collect()
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

    fn blocker(application: &str) -> Blocker {
        let (user, state) = (application.to_owned(), application.to_owned());
        Blocker { pid: i32::MAX, application: application.to_owned(), user, state, age_seconds: u64::MAX }
    }

    #[test]
    fn an_index_and_sessions_that_are_in_the_way_are_said_in_a_few_words() {
        let phase = "index validation: scanning table".to_owned();
        let index = Some(IndexProgress { phase, percent: Some(43) });
        let mut builds = Progress { index, ..progress() };
        let at = "2_b (2 of 5), statement 3 of 7, ";
        assert_eq!(builds.summary(), format!("{at}index validation: scanning table (43 %)"));
        builds.index = Some(IndexProgress { phase: "waiting for old snapshots".to_owned(), percent: None });
        builds.wait_for(vec![blocker("report"), blocker("psql")]);
        let waits = "waiting for old snapshots, waits for pid 2147483647 (report) and 1 more";
        assert_eq!(builds.summary(), format!("{at}{waits}"));
        let text = serde_json::to_vec(&builds).expect("JSON");
        assert_eq!(
            Progress::from_answer(&text, &["2_b".to_owned()], Timestamp::UNIX_EPOCH),
            Some(Progress { since: Timestamp::UNIX_EPOCH, ..builds })
        );
    }

    #[test]
    fn however_sessions_are_named_an_answer_has_room_for_them_and_steers_no_terminal() {
        for name in ["\u{1b}[2J", "\"", "é", "😀", "\u{202e}"] {
            let mut waits = Progress {
                migration: Some("2_b".repeat(85)),
                index: Some(IndexProgress { phase: "x".repeat(LONGEST), percent: Some(100) }),
                rows: Some(Rows {
                    done: u64::MAX,
                    of: Some(u64::MAX),
                    per_second: Some(u64::MAX),
                    waits_for_replica: true,
                }),
                ..progress()
            };
            waits.wait_for(vec![blocker(&name.repeat(64)); 50]);
            assert_eq!(waits.blocked_by.len(), SHOWN_BLOCKERS);
            let text = serde_json::to_vec(&waits).expect("JSON");
            assert!(text.len() <= PROGRESS_LIMIT, "{name:?}: {} bytes", text.len());
        }
        let forged = read(|value| {
            let sessions = vec![blocker("\u{1b}[2J"); 50];
            value["blockedBy"] = serde_json::to_value(sessions).expect("JSON");
        });
        let told = forged.expect("reads").blocked_by;
        assert_eq!((told.len(), told[0].application.as_str()), (SHOWN_BLOCKERS, "\\u{1b}[2J"));
    }

    #[test]
    fn a_statement_in_batches_says_how_far_it_is_and_how_long_it_takes_yet() {
        let told = |rows: Rows| Progress { rows: Some(rows), statements: None, ..progress() }.summary();
        let half = Rows { done: 500, of: Some(1000), per_second: Some(60), waits_for_replica: false };
        assert_eq!(told(half), "2_b (2 of 5), 500 of about 1000 rows, 60 a second, about 9 s left");
        let waits = Rows { waits_for_replica: true, ..half };
        assert_eq!(told(waits), "2_b (2 of 5), 500 of about 1000 rows, waits for a replica");
        let more = Rows { done: 1200, ..half };
        assert_eq!(
            told(more),
            "2_b (2 of 5), 1200 rows, 60 a second",
            "what was counted once may have grown"
        );
        assert_eq!(told(Rows::default()), "2_b (2 of 5), 0 rows");
        let back = read(|value| value["rows"] = serde_json::to_value(waits).expect("JSON"));
        assert_eq!(back.and_then(|back| back.rows), Some(waits));
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
        let changes: [fn(&mut serde_json::Value); 9] = [
            |value| value["version"] = 2.into(),
            |value| value["stage"] = "restore".into(),
            |value| value["sql"] = "SELECT 1".into(),
            |value| value["migrations"]["at"] = 6.into(),
            |value| value["statements"]["at"] = 0.into(),
            |value| value["statements"]["at"] = (-1).into(),
            |value| value["index"] = serde_json::json!({"phase": "SELECT 'Jane'"}),
            |value| value["index"] = serde_json::json!({"phase": "building index", "percent": 101}),
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
