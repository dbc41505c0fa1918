//! What a stage reports: the versioned contract between the Job's containers and the controller.
//!
//! A Pod's termination messages share 12 KiB, five containers 2.4 KiB each; [`Outcome::message_for_pod`] keeps
//! to that by dropping detail, never the verdict. An Outcome that cannot be read is no Outcome: the
//! controller takes it for unknown.

use serde::{Deserialize, Serialize};

use super::Stage;
use crate::{
    api::{
        Blocker, CheckId, Failure, Finding, FindingCounts, HeldMigration, LockHold, Reason, SnapshotRecord,
        spread,
    },
    limits,
    redact::{bounded, connection_strings},
    visible::visible,
};

/// The most a termination message may hold, in bytes.
pub const MESSAGE_LIMIT: usize = limits::MESSAGE;
/// So many names fit at most, with their quotes and commas.
const MOST: usize = MESSAGE_LIMIT / 6;
/// So many checks are counted one by one.
const MOST_COUNTED: usize = 20;
/// The most characters of one text.
const LONGEST: usize = 4000;
/// The version this binary writes.
pub const VERSION: u32 = 1;

/// Whether the run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The stage did its work, or had none: the next one may begin.
    Passed,
    /// The stage could not do its work; the reason's class says whether trying again can help.
    Failed,
    /// A stage before this one failed; this one did nothing.
    NotReached,
}

/// What one stage found and did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The version of this contract.
    pub version: u32,
    /// Who speaks.
    pub stage: Stage,
    /// Whether the run goes on.
    pub verdict: Verdict,
    /// The reason of the stage's condition.
    pub reason: Reason,
    /// A sentence for people: what happened and what to do next, naming the object.
    pub message: String,
    /// How long the stage worked, in milliseconds.
    #[serde(default)]
    pub milliseconds: u64,
    /// Source and history as this stage saw or left them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistorySummary>,
    /// The server's next transaction when the release began, from the migrate stage: what came later is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<i64>,
    /// The snapshot, from the snapshot stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotRecord>,
    /// The migration that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Who holds the lock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<Blocker>,
    /// The sessions of others that Sluice ended because they were in the way, from the migrate stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<Blocker>,
    /// How long the release kept tables locked that were there before it, the longest first, from the migrate
    /// stage; from the stage rehearse, how long it would.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<LockHold>,
    /// Whether the versions are applied that the controller required of the run; from the verify stage, and
    /// never dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<Required>,
    /// The SHA-256 of the record of the run, in hexadecimal digits, from the stage that kept it in the
    /// database. Never dropped: by it the record is recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// What a plan or a verification objects to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// How many findings there were, where a termination message has no room for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding_counts: Option<FindingCounts>,
}

/// A version that gated workloads wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Required {
    /// Its name.
    pub version: String,
    /// The history has it, applied and not rolled back.
    pub applied: bool,
}

/// Source and history, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistorySummary {
    /// The newest applied migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// How many are applied.
    #[serde(default)]
    pub applied_count: u32,
    /// The applied ones, newest first; bounded in a termination message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applied: Vec<String>,
    /// How many are pending.
    #[serde(default)]
    pub pending_count: u32,
    /// The pending ones, oldest first; bounded in a termination message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<String>,
    /// The first migration that waits for its time, with everything after it; they are not pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldMigration>,
    /// The digest of the history: the migrate stage refuses when it is no longer the one that plan saw.
    #[serde(default)]
    pub history_digest: String,
    /// The digest of the source's files.
    #[serde(default)]
    pub source_digest: String,
    /// The server's major version, for the snapshot's client.
    #[serde(default)]
    pub server_major: u32,
    /// How many failed rows of earlier tools the manifest resolves; there is work even when nothing is
    /// pending.
    #[serde(default)]
    pub resolving: u32,
    /// Which database it is: the system identifier and the oid, from the verify stage. None where it cannot
    /// be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// How many migrations are recorded without running them, because the schema has them already.
    #[serde(default)]
    pub baselining: u32,
    /// How many applied migrations have a text that can be kept and is not yet, from the plan stage.
    #[serde(default)]
    pub texts: u32,
}

impl Outcome {
    /// An outcome with nothing but a verdict.
    pub fn new(stage: Stage, verdict: Verdict, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            version: VERSION,
            stage,
            verdict,
            reason,
            message: message.into(),
            milliseconds: 0,
            history: None,
            began: None,
            snapshot: None,
            failure: None,
            blockers: Vec::new(),
            ended: Vec::new(),
            locks: Vec::new(),
            required: Vec::new(),
            record: None,
            findings: Vec::new(),
            finding_counts: None,
        }
    }

    /// The stage did its work.
    pub fn passed(stage: Stage, reason: Reason, message: impl Into<String>) -> Self {
        Self::new(stage, Verdict::Passed, reason, message)
    }

    /// The stage could not do its work.
    pub fn failed(stage: Stage, reason: Reason, message: impl Into<String>) -> Self {
        Self::new(stage, Verdict::Failed, reason, message)
    }

    /// Reads a termination message; `None` when it is not one of ours, or of a version this binary does not
    /// know.
    pub fn from_message(message: &str) -> Option<Self> {
        let mut outcome =
            serde_json::from_str::<Self>(message.trim()).ok().filter(|outcome| outcome.version == VERSION)?;
        outcome.clean();
        Some(outcome)
    }

    /// Leaves nothing in its texts that steers a terminal, no connection string, and no text without an end.
    /// The names of migrations stay as they are: others are compared with them.
    pub fn clean(&mut self) {
        self.record = self.record.take().filter(|digest| is_digest(digest));
        let failure = self.failure.iter_mut().flat_map(|it| {
            [&mut it.file, &mut it.statement, &mut it.sqlstate, &mut it.message, &mut it.left]
        });
        let blockers = self.blockers.iter_mut().chain(&mut self.ended);
        let blockers = blockers.flat_map(|it| [&mut it.application, &mut it.user, &mut it.state]);
        let findings =
            self.findings.iter_mut().flat_map(|it| [&mut it.object, &mut it.message, &mut it.remedy]);
        let locks = self.locks.iter_mut().flat_map(|it| [&mut it.table, &mut it.mode]);
        let held = self.history.iter_mut().filter_map(|history| history.held.as_mut());
        let held = held.flat_map(|it| [&mut it.gate, &mut it.message]);
        let told = failure.chain(blockers).chain(locks).chain(findings).chain(held);
        for text in told.chain([&mut self.message]) {
            let clean = cleaned(text);
            if clean != *text {
                *text = clean;
            }
        }
        for finding in &mut self.findings {
            finding.check = CheckId::named(&cleaned(finding.check.name()));
        }
    }

    /// How many findings there are, those that a termination message left out included.
    pub fn counted(&self) -> FindingCounts {
        self.finding_counts.clone().unwrap_or_else(|| FindingCounts::of(&self.findings))
    }

    /// As a termination message of at most [`MESSAGE_LIMIT`] bytes.
    pub fn message_for_pod(&self) -> String {
        let mut short = self.clone();
        let text = serde_json::to_string(&short).unwrap_or_default();
        if text.len() <= MESSAGE_LIMIT {
            return text;
        }
        if !short.findings.is_empty() {
            let mut counts = self.counted();
            counts.checks.truncate(MOST_COUNTED);
            short.finding_counts = Some(counts);
            // What is cut off behind is of a check that was heard.
            short.findings = spread(short.findings);
        }
        // More than this never fits, and each name or finding that goes costs a pass over all that is left.
        short.findings.truncate(MOST);
        if let Some(history) = &mut short.history {
            history.pending.truncate(MOST);
            history.applied.truncate(MOST);
        }
        loop {
            let text = serde_json::to_string(&short).unwrap_or_default();
            if text.len() <= MESSAGE_LIMIT || !short.shorten() {
                return text;
            }
        }
    }

    /// Drops the least important detail; false when there is none left.
    fn shorten(&mut self) -> bool {
        let history = self.history.as_mut();
        if let Some(history) = history {
            if history.pending.len() > 3 {
                history.pending.truncate(history.pending.len() - 1);
                return true;
            }
            if history.applied.len() > 5 {
                let keep = history.applied.len() - 1;
                history.applied.truncate(keep);
                return true;
            }
        }
        if self.findings.len() > 1 || (self.findings.len() == 1 && self.failure.is_some()) {
            self.findings.pop();
            return true;
        }
        if self.blockers.len() > 1 {
            self.blockers.pop();
            return true;
        }
        if self.locks.pop().is_some() || self.ended.pop().is_some() {
            return true;
        }
        // The sums stay.
        if let Some(counts) = self.finding_counts.as_mut().filter(|counts| counts.checks.len() > 5) {
            counts.checks.pop();
            return true;
        }
        if let Some(failure) = &mut self.failure
            && [&mut failure.left, &mut failure.statement, &mut failure.message].into_iter().any(halve)
        {
            return true;
        }
        if let Some(finding) = self.findings.first_mut()
            && (halve(&mut finding.message) || halve(&mut finding.remedy))
        {
            return true;
        }
        if let Some(history) = &mut self.history
            && (history.pending.pop().is_some() || history.applied.pop().is_some())
        {
            return true;
        }
        if let Some(counts) = &mut self.finding_counts
            && counts.checks.pop().is_some()
        {
            return true;
        }
        if let Some(held) = self.history.as_mut().and_then(|history| history.held.as_mut())
            && halve(&mut held.message)
        {
            return true;
        }
        halve(&mut self.message)
    }
}

/// Whether a text is a SHA-256 in hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// What failed findings say in one sentence: the first one whole, with its object unless its message names
/// it, the others counted.
pub fn outcome_message(errors: &[&Finding]) -> String {
    let Some((Finding { object, message, remedy, .. }, rest)) = errors.split_first() else {
        return String::new();
    };
    let more =
        if rest.is_empty() { String::new() } else { format!(" ({} more in the findings)", rest.len()) };
    let object = if message.contains(&format!("{object:?}")) { String::new() } else { format!("{object}: ") };
    format!("{object}{message}: {remedy}{more}")
}

fn cleaned(text: &str) -> String {
    bounded(&visible(&connection_strings(text)), LONGEST)
}

/// Cuts a text of more than 80 bytes in half, at a character; false when it is short already.
fn halve(text: &mut String) -> bool {
    if text.len() <= 80 {
        return false;
    }
    let mut at = text.len() / 2;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    text.truncate(at);
    text.push('…');
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Severity;

    fn large() -> Outcome {
        let mut outcome = Outcome::failed(Stage::Migrate, Reason::MigrationFailed, "é".repeat(3000));
        let name = |n: usize| format!("20260101{n:06}_a_migration_with_a_long_name_{n}");
        outcome.history = Some(HistorySummary {
            applied: (0..1000).map(name).collect(),
            pending: (0..1000).map(name).collect(),
            ..HistorySummary::default()
        });
        outcome.failure = Some(Failure {
            migration: name(1),
            file: "migration.sql".into(),
            line: 7,
            column: Some(3),
            statement: "select \"1\" ".repeat(500),
            sqlstate: "42P01".into(),
            message: "m".repeat(5000),
            left: "l".repeat(2000),
        });
        outcome.findings = (0..200)
            .map(|n| Finding {
                check: CheckId::RlsEnabled,
                object: format!("public.table_{n}"),
                severity: Severity::Error,
                message: "m".repeat(300),
                remedy: "r".repeat(300),
            })
            .collect();
        outcome
    }

    #[test]
    fn a_termination_message_keeps_to_its_share_of_the_pod_and_never_loses_the_verdict() {
        let record = Some("0123456789abcdef".repeat(4));
        let text = Outcome { record: record.clone(), ..large() }.message_for_pod();
        assert!(text.len() <= MESSAGE_LIMIT, "{} bytes", text.len());
        let read = Outcome::from_message(&text).expect("it reads back");
        assert_eq!(read.record, record, "it is never dropped");
        assert_eq!(
            (read.stage, read.verdict, read.reason),
            (Stage::Migrate, Verdict::Failed, Reason::MigrationFailed)
        );
        assert_eq!(read.failure.map(|failure| failure.sqlstate), Some("42P01".to_owned()));
    }

    #[test]
    fn what_is_no_digest_is_not_taken_for_one() {
        for told in ["", "0123", &"x".repeat(64), &"A".repeat(64), &"0".repeat(65), "../../etc/passwd"] {
            let outcome = Outcome { record: Some(told.to_owned()), ..large() };
            let read = Outcome::from_message(&outcome.message_for_pod()).expect("it reads back");
            assert_eq!(read.record, None, "{told:?}");
        }
    }

    #[test]
    fn a_termination_message_counts_the_findings_that_it_has_no_room_for_and_lets_each_check_speak() {
        let mut outcome = Outcome::passed(Stage::Verify, Reason::Verified, "as meant");
        let warning = |check: CheckId, n: usize| Finding {
            check,
            object: format!("public.table_{n}"),
            severity: Severity::Warning,
            message: "m".repeat(100),
            remedy: "r".repeat(100),
        };
        outcome.findings = (0..60)
            .map(|n| warning(CheckId::ForeignKeyIndexed, n))
            .chain((0..73).map(|n| warning(CheckId::IndexRedundant, n)))
            .collect();
        let text = outcome.message_for_pod();
        assert!(text.len() <= MESSAGE_LIMIT, "{} bytes", text.len());
        let read = Outcome::from_message(&text).expect("it reads back");
        assert_eq!(read.counted(), FindingCounts::of(&outcome.findings));
        let checks: Vec<&CheckId> = read.findings.iter().take(2).map(|finding| &finding.check).collect();
        assert_eq!(checks, [&CheckId::ForeignKeyIndexed, &CheckId::IndexRedundant], "{:?}", read.findings);
    }

    #[test]
    fn the_name_of_a_check_that_no_version_has_steers_no_terminal_and_has_an_end() {
        let mut outcome = large();
        outcome.findings.truncate(1);
        outcome.findings[0].check = CheckId::named(&format!("\u{1b}[2J{}", "x".repeat(2 * LONGEST)));
        outcome.clean();
        let name = outcome.findings[0].check.name();
        assert!(!name.contains('\u{1b}') && name.len() < 2 * LONGEST, "{name}");
    }

    #[test]
    fn an_object_is_named_once() {
        let finding = |object: &str, message: &str| Finding {
            check: CheckId::RlsEnabled,
            object: object.into(),
            severity: Severity::Error,
            message: message.into(),
            remedy: "r".into(),
        };
        assert_eq!(
            outcome_message(&[&finding("app", "the role \"app\" may not connect")]),
            "the role \"app\" may not connect: r"
        );
        assert_eq!(
            outcome_message(&[&finding("s.t", "row-level security is off")]),
            "s.t: row-level security is off: r"
        );
    }

    #[test]
    fn a_small_outcome_survives_whole() {
        let outcome = Outcome::passed(Stage::Plan, Reason::NothingPending, "nothing is pending");
        assert_eq!(Outcome::from_message(&outcome.message_for_pod()), Some(outcome));
    }

    #[test]
    fn what_cannot_be_read_is_no_outcome() {
        for message in [
            "",
            "panicked at …",
            "{}",
            "{\"version\":2,\"stage\":\"plan\",\"verdict\":\"Passed\",\"reason\":\"Applied\",\"message\":\"\"}",
        ] {
            assert_eq!(Outcome::from_message(message), None, "{message}");
        }
    }
}
