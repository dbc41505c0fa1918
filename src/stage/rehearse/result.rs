//! What a rehearsal found, as data: for programs as JSON, for people by the command line. PURE.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    api::{Failure, Finding, Reason},
    contract::Verdict,
    sql::LockMode,
};

/// What a rehearsal found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    /// `Schema` or `Snapshot`: what the release was tried on.
    pub on: String,
    /// Whether every statement ran, within the limits of the manifest, and no check found an error.
    pub verdict: Verdict,
    /// Why, as the condition `Rehearsed` has it.
    pub reason: Reason,
    /// What came of it, for people.
    pub message: String,
    /// How long it took to make or restore what the release was tried on.
    pub prepared_milliseconds: u64,
    /// The transactions of the release, in order. A statement that runs outside of one is one by itself.
    pub transactions: Vec<RehearsedTransaction>,
    /// Statements that were left out, because they would change the server and not one database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<StatementPlace>,
    /// What the release changes in the schemas of the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<SchemaChange>,
    /// What the checks found on the copy, after the release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The statement that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RehearsedTransaction {
    /// False for a statement that runs outside of a transaction of Sluice's, CREATE INDEX CONCURRENTLY for
    /// instance. Of its locks only those are known without which it could not have rewritten what it rewrote.
    pub in_transaction: bool,
    /// False where it was rolled back, because a statement failed.
    pub committed: bool,
    /// How long the statements took, and COMMIT with what is checked before it.
    pub milliseconds: u64,
    /// Of this, what came after the last statement.
    pub commit_milliseconds: u64,
    /// In order.
    pub statements: Vec<RehearsedStatement>,
}

/// Where a statement stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementPlace {
    /// The migration.
    pub migration: String,
    /// The file inside the source.
    pub file: String,
    /// The line of the file, counted from 1.
    pub line: u32,
    /// The beginning of the statement, with `$1` for each literal.
    pub statement: String,
}

/// What one statement did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RehearsedStatement {
    /// Which.
    #[serde(flatten)]
    pub place: StatementPlace,
    /// How long it took.
    pub milliseconds: u64,
    /// How many rows it wrote or answered; 0 for what changes the schema.
    pub rows: u64,
    /// The locks that it took and that the transaction did not have yet, on relations that were there before.
    pub locks: Vec<RehearsedLock>,
    /// The tables and indexes that were there before and have a new file since.
    pub rewrites: Vec<Rewrite>,
}

/// A lock on a relation that was there before the transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RehearsedLock {
    /// `schema.name`.
    pub relation: String,
    /// What it is: `table`, `index`, …
    pub kind: RelationKind,
    /// The mode, in PostgreSQL's words: `ACCESS EXCLUSIVE`.
    pub mode: LockMode,
    /// From the beginning of the statement that took it until it was given up, mostly by COMMIT.
    pub held_milliseconds: u64,
}

/// A relation that was written anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rewrite {
    /// `schema.name`.
    pub relation: String,
    /// What it is.
    pub kind: RelationKind,
    /// How much was written, in bytes; of a table with its TOAST.
    pub bytes: u64,
}

/// One object that a release makes, changes or removes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaChange {
    /// What becomes of it.
    pub change: ChangeKind,
    /// What it is: `table`, `column`, `policy`, …
    pub kind: String,
    /// `schema.name`; of a column `schema.table.name`.
    pub name: String,
    /// As lines of a diff, `-` before the release and `+` after it. What belongs to an object that is new or gone goes
    /// without saying.
    pub text: String,
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeKind {
    /// The release makes it.
    Added,
    /// It is there before and after, and not the same.
    Changed,
    /// The release removes it.
    Removed,
}

/// What a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RelationKind {
    /// A table, partitioned or not.
    Table,
    /// An index.
    Index,
    /// A materialized view.
    MaterializedView,
    /// A view.
    View,
    /// A sequence.
    Sequence,
    /// A foreign table.
    ForeignTable,
}

impl RelationKind {
    pub(super) fn of_letter(letter: &str) -> Self {
        match letter {
            "i" | "I" => Self::Index,
            "m" => Self::MaterializedView,
            "v" => Self::View,
            "S" => Self::Sequence,
            "f" => Self::ForeignTable,
            _ => Self::Table,
        }
    }
}

/// What was seen of one statement in its transaction.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) place: StatementPlace,
    pub(super) took: Duration,
    pub(super) rows: u64,
    pub(super) locks: Vec<Taken>,
    pub(super) rewrites: Vec<Rewrite>,
}

/// A lock that a statement took.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) relation: String,
    pub(super) kind: RelationKind,
    pub(super) mode: LockMode,
    /// The statement after which it was not held any more: the transaction went back to a savepoint.
    pub(super) until: Option<usize>,
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl RehearsedTransaction {
    /// From what was seen of each statement. A lock is held from the beginning of its statement: when within
    /// it PostgreSQL took the lock, cannot be seen, and it does so first. What Sluice reads in between does
    /// not count. `closing` is what came after the last statement.
    pub(super) fn of(seen: Vec<Seen>, closing: Duration, committed: bool) -> Self {
        let times: Vec<Duration> = seen.iter().map(|statement| statement.took).collect();
        let held = |from: usize, until: Option<usize>| {
            let last = until.map_or(times.len(), |until| until + 1);
            let end = if until.is_none() { closing } else { Duration::ZERO };
            times[from..last].iter().sum::<Duration>() + end
        };
        let statement = |(at, seen): (usize, Seen)| RehearsedStatement {
            milliseconds: milliseconds(seen.took),
            rows: seen.rows,
            locks: seen
                .locks
                .into_iter()
                .map(|lock| RehearsedLock {
                    held_milliseconds: milliseconds(held(at, lock.until)),
                    relation: lock.relation,
                    kind: lock.kind,
                    mode: lock.mode,
                })
                .collect(),
            rewrites: seen.rewrites,
            place: seen.place,
        };
        Self {
            in_transaction: true,
            committed,
            milliseconds: milliseconds(held(0, None)),
            commit_milliseconds: milliseconds(closing),
            statements: seen.into_iter().enumerate().map(statement).collect(),
        }
    }

    /// A statement that ran by itself.
    pub(super) fn alone(seen: Seen) -> Self {
        Self { in_transaction: false, ..Self::of(vec![seen], Duration::ZERO, true) }
    }
}

impl RehearsedStatement {
    /// What sessions that write rows of something would have waited for.
    pub fn strong_locks(&self) -> impl Iterator<Item = &RehearsedLock> {
        self.locks.iter().filter(|lock| lock.mode.is_strong())
    }

    /// For how long sessions that write rows of something would have waited.
    pub fn keeps_writers_waiting(&self) -> u64 {
        self.strong_locks().map(|lock| lock.held_milliseconds).max().unwrap_or(0)
    }

    /// How much it has written anew, in bytes.
    pub fn rewritten(&self) -> u64 {
        self.rewrites.iter().map(|rewrite| rewrite.bytes).sum()
    }
}

impl Rehearsal {
    /// One of which no statement is known.
    fn ended(on: &str, verdict: Verdict, reason: Reason, message: String) -> Self {
        Self {
            on: on.to_owned(),
            verdict,
            reason,
            message,
            prepared_milliseconds: 0,
            transactions: Vec::new(),
            left_out: Vec::new(),
            changes: Vec::new(),
            findings: Vec::new(),
            failure: None,
        }
    }

    /// One that has found nothing to object to so far.
    pub(super) fn passed(on: &str, message: String) -> Self {
        Self::ended(on, Verdict::Passed, Reason::Rehearsed, message)
    }

    /// One that had nothing to do.
    pub(super) fn not_needed(on: &str, message: String) -> Self {
        Self::ended(on, Verdict::Passed, Reason::RehearsalNotNeeded, message)
    }

    /// One that did not come to the first statement.
    pub(super) fn failed(on: &str, reason: Reason, message: String) -> Self {
        Self::ended(on, Verdict::Failed, reason, message)
    }

    /// It failed; what was seen until then stays.
    pub(super) fn fail(&mut self, reason: Reason, message: String) {
        (self.verdict, self.reason, self.message) = (Verdict::Failed, reason, message);
    }

    /// A snapshot was restored for it: the release began.
    pub(super) fn is_restored(&self) -> bool {
        self.on == "Snapshot" && !self.transactions.is_empty()
    }

    /// Every statement that ran, in order.
    pub fn statements(&self) -> impl Iterator<Item = &RehearsedStatement> {
        self.transactions.iter().flat_map(|transaction| &transaction.statements)
    }

    /// How long the transactions took together, in milliseconds.
    pub fn milliseconds(&self) -> u64 {
        self.transactions.iter().map(|transaction| transaction.milliseconds).sum()
    }

    /// How much was written anew of what was there, in bytes.
    pub fn rewritten(&self) -> u64 {
        self.statements().map(RehearsedStatement::rewritten).sum()
    }

    /// Every lock that keeps writers waiting, with its statement, the one that is held for longest first; a table
    /// before its index, which is locked with it.
    pub fn strong_locks(&self) -> Vec<(&RehearsedStatement, &RehearsedLock)> {
        let of = |statement| RehearsedStatement::strong_locks(statement).map(move |lock| (statement, lock));
        let mut locks: Vec<_> = self.statements().flat_map(of).collect();
        locks.sort_by_key(|(_, lock)| {
            (std::cmp::Reverse(lock.held_milliseconds), lock.kind == RelationKind::Index)
        });
        locks
    }

    /// The lock that keeps writers waiting for longest; none where nothing does.
    pub fn longest_lock(&self) -> Option<(&RehearsedStatement, &RehearsedLock)> {
        self.strong_locks().into_iter().next()
    }

    /// What the statements are and did, the worst first: what keeps writers waiting for longest, then what
    /// rewrites most, then what takes longest.
    pub fn worst_first(&self) -> Vec<&RehearsedStatement> {
        let mut all: Vec<&RehearsedStatement> = self.statements().collect();
        all.sort_by_key(|statement| {
            std::cmp::Reverse((
                statement.keeps_writers_waiting(),
                statement.rewritten(),
                statement.milliseconds,
            ))
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(line: u32, milliseconds: u64, locks: &[(&str, LockMode, Option<usize>)]) -> Seen {
        Seen {
            place: StatementPlace {
                migration: "1_m".into(),
                file: "1_m/migration.sql".into(),
                line,
                statement: "ALTER TABLE t".into(),
            },
            took: Duration::from_millis(milliseconds),
            rows: 0,
            locks: locks
                .iter()
                .map(|(relation, mode, until)| Taken {
                    relation: (*relation).to_owned(),
                    kind: RelationKind::Table,
                    mode: *mode,
                    until: *until,
                })
                .collect(),
            rewrites: Vec::new(),
        }
    }

    #[test]
    fn a_lock_is_held_from_its_statement_until_commit_or_until_a_savepoint_gives_it_up() {
        let transaction = RehearsedTransaction::of(
            vec![
                seen(1, 10, &[("a", LockMode::AccessExclusive, None)]),
                seen(2, 200, &[("b", LockMode::Share, Some(1))]),
                seen(3, 3000, &[("a", LockMode::Share, None)]),
            ],
            Duration::from_secs(40),
            true,
        );
        let held: Vec<u64> = transaction
            .statements
            .iter()
            .flat_map(|statement| &statement.locks)
            .map(|lock| lock.held_milliseconds)
            .collect();
        assert_eq!(held, [43_210, 200, 43_000]);
        assert_eq!((transaction.milliseconds, transaction.commit_milliseconds), (43_210, 40_000));
    }

    #[test]
    fn what_keeps_writers_waiting_comes_before_what_only_takes_long() {
        let statements = vec![
            seen(1, 5000, &[("a", LockMode::ShareUpdateExclusive, None)]),
            seen(2, 10, &[("a", LockMode::Share, None)]),
            seen(3, 9000, &[]),
        ];
        let rehearsal = Rehearsal {
            transactions: statements.into_iter().map(RehearsedTransaction::alone).collect(),
            ..Rehearsal::passed("Schema", String::new())
        };
        let lines: Vec<u32> = rehearsal.worst_first().iter().map(|statement| statement.place.line).collect();
        assert_eq!(lines, [2, 3, 1]);
    }

    #[test]
    fn a_rehearsal_reads_back_from_its_json_and_says_modes_as_postgresql_does() {
        let rehearsal = Rehearsal {
            transactions: vec![RehearsedTransaction::alone(seen(
                1,
                1,
                &[("public.t", LockMode::AccessExclusive, None)],
            ))],
            ..Rehearsal::passed("Schema", "m".into())
        };
        let text = serde_json::to_string(&rehearsal).expect("is JSON");
        assert!(text.contains(r#""mode":"ACCESS EXCLUSIVE","heldMilliseconds":1"#), "{text}");
        assert_eq!(serde_json::from_str::<Rehearsal>(&text).expect("reads"), rehearsal);
    }
}
