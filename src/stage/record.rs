//! What a run found and did, whole: every Outcome as it was, the log, and the report of its verification. A termination
//! message has no room for it, so it is kept in the database that it is about, under its digest, and the
//! verdict has the digest.
//!
//! The stage that ends a run keeps it, in a short transaction of its own and after everything else: a record
//! that cannot be kept fails nothing, and the verdict says so.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Context, Rehearsal,
    custody::{in_transaction, trust},
    error::MigrateError,
    outcome_of,
    report::report_of,
};
use crate::{
    api::Reason,
    contract::{Outcome, Purpose, Stage, Verdict, is_digest},
    migrations::checksum,
    postgres::{ConnectionUrl, NewRecord, Session, connect, keep_record, record_text, records},
    redact,
    report::{Report, Schema},
    telemetry::kept_lines,
};

/// What a record says it is.
const KIND: &str = "RunRecord";
/// The form of the records that this binary writes.
const FORMAT: u32 = 1;
/// Keeping one may take so long, in all.
const WITHIN: Duration = Duration::from_secs(10);
/// A longer record goes without the tables of the schema, then without its report, then without its rehearsal, in
/// bytes.
const LONGEST: usize = 4 << 20;

/// Everything about one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Always `RunRecord`.
    pub kind: String,
    /// The version of this form.
    pub format: u32,
    /// The version of Sluice that wrote it.
    pub sluice: String,
    /// The namespace of the DatabaseMigration.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which attempt at what: `DIGEST-aNUMBER`, as in the name of the Job. Empty outside of a cluster.
    pub attempt: String,
    /// When the run ended.
    pub at: Timestamp,
    /// What each stage left, in their order, whole.
    pub stages: Vec<Outcome>,
    /// What the stages logged, the newest lines of each, in JSON. Without rows and literals, even where
    /// `spec.apply.logData` lets them into the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// What the verification found; none where the run did not come so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// What the release did on the copy, statement by statement; none where there was no rehearsal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Rehearsal>,
}

/// Why there is no record to read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The database cannot be read.
    #[error("{0}")]
    Unreachable(String),
    /// It has none.
    #[error(
        "the database has no record {0}: it was never kept there, or it is older than what is kept, or \
            another session removed it; `sluice history` lists what there is"
    )]
    Missing(String),
    /// It has no record of a run with a report.
    #[error(
        "the database has no record of a run: Sluice keeps one of each run that changes something, where the \
            migration role may create the schema sluice"
    )]
    None,
    /// Its text is not the one that the digest was made of.
    #[error(
        "the record {0} is not what its digest says: another session changed it in sluice.records, so \
            nothing in it is to be believed"
    )]
    Changed(String),
    /// It is not a record that this Sluice reads.
    #[error("the record {0} cannot be read: {1}")]
    Unreadable(String, String),
}

/// Keeps the record of the run that this Outcome ends, and puts its digest into the Outcome. A run that had
/// nothing to do and passed has none, nor has one that only verifies: they change nothing, this included. One
/// that fails makes no table, so that a database in which nothing was done is as it was.
pub async fn keep(context: &Context, before: &[Outcome], outcome: &mut Outcome) {
    if !ends(outcome) || context.purpose == Purpose::Verify || is_out_of_reach(outcome.reason) {
        return;
    }
    let all = [before, std::slice::from_ref(outcome)].concat();
    let applied = outcome_of(&all, Stage::Migrate).is_some_and(|migrate| migrate.verdict == Verdict::Passed);
    let worked = applied && outcome_of(&all, Stage::Plan).is_some_and(had_work);
    let within = WITHIN.min(context.remaining());
    if within.is_zero() || (outcome.verdict == Verdict::Passed && !worked) {
        return;
    }
    let kept = tokio::time::timeout(within, write(context, &all, worked)).await;
    match kept.unwrap_or_else(|_| Err(format!("it took longer than {} s", within.as_secs()))) {
        Ok(digest) => outcome.record = digest,
        Err(why) => {
            tracing::warn!(why, "the record of the run could not be kept");
            outcome.message +=
                &format!("; the record of this run could not be kept in sluice.records: {why}");
        }
    }
    outcome.clean();
}

/// No stage comes after it.
fn ends(outcome: &Outcome) -> bool {
    match outcome.verdict {
        Verdict::Passed => outcome.stage == Stage::Verify,
        Verdict::Failed => true,
        // The one that failed before it has kept the record.
        Verdict::NotReached => false,
    }
}

fn had_work(plan: &Outcome) -> bool {
    plan.history
        .as_ref()
        .is_some_and(|plan| plan.pending_count > 0 || plan.resolving > 0 || plan.baselining > 0)
}

/// Where nothing can be written, or nothing should be.
const fn is_out_of_reach(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ConnectionInvalid
            | Reason::ConnectionFailed
            | Reason::DatabaseNotFound
            | Reason::DirectConnectionRequired
            | Reason::TlsFailed
            | Reason::ServerTooOld
            | Reason::HistoryUntrusted
    )
}

/// The digest of the record that was kept; none where the role may not keep one.
async fn write(context: &Context, stages: &[Outcome], create: bool) -> Result<Option<String>, String> {
    let at = Timestamp::now();
    let report = match stages.last() {
        Some(verified) if verified.stage == Stage::Verify => {
            Some(report_of(context, at, verified.clone()).await)
        }
        _ => None,
    };
    let record = Record {
        kind: KIND.to_owned(),
        format: FORMAT,
        sluice: env!("CARGO_PKG_VERSION").to_owned(),
        namespace: context.manifest.namespace.clone(),
        name: context.manifest.name.clone(),
        attempt: context.attempt.clone(),
        at,
        stages: stages.to_vec(),
        log: context.earlier_log.get().into_iter().flatten().cloned().chain(kept_lines()).collect(),
        report,
        rehearsal: context.rehearsal(),
    };
    let text = text(record);
    let digest = checksum(&text);
    let kept = store(context, create, &digest, stages, &text).await.map_err(|error| error.to_string())?;
    Ok(kept.then_some(digest))
}

async fn store(
    context: &Context,
    create: bool,
    digest: &str,
    stages: &[Outcome],
    text: &str,
) -> Result<bool, MigrateError> {
    let url = context.url().map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let connection = connect(url, &context.application())
        .await
        .map_err(|error| MigrateError::stopped(error.reason(), &error))?;
    let session =
        Session::new(connection, context.manifest.lock_timeout, context.manifest.statement_timeout).await;
    let mut session = session.map_err(MigrateError::Query)?;
    let history_table = context.history_table();
    trust(&mut session, &history_table).await?;
    let object = format!("{}/{}", context.manifest.namespace, context.manifest.name);
    let record = NewRecord {
        digest,
        object: &object,
        attempt: &context.attempt,
        reason: stages.last().map_or("", |outcome| outcome.reason.name()),
        text,
    };
    let kept = in_transaction(&mut session, &history_table, async |session| {
        keep_record(session.trusted().await?, create, &record).await
    })
    .await;
    // One that failed ends with its session.
    session.close().await;
    kept
}

/// As it is kept: without literals of the schema's expressions, and not too long.
fn text(mut record: Record) -> String {
    if let Some(schema) = record.report.as_mut().and_then(|report| report.schema.as_mut()) {
        without_literals(schema);
    }
    let printed = |record: &Record| serde_json::to_string(record).unwrap_or_default();
    let whole = printed(&record);
    if whole.len() <= LONGEST {
        return whole;
    }
    if let Some(report) = &mut record.report {
        report.schema = None;
        report.unread = Some("the schema is too large to be kept".to_owned());
    }
    let shorter = printed(&record);
    if shorter.len() <= LONGEST {
        return shorter;
    }
    record.report = None;
    let shorter = printed(&record);
    if shorter.len() <= LONGEST {
        return shorter;
    }
    record.rehearsal = None;
    printed(&record)
}

/// What a policy or an index compares with may be a value of a row.
fn without_literals(schema: &mut Schema) {
    for table in &mut schema.tables {
        let policies = table.policies.iter_mut();
        let expressions = policies.flat_map(|policy| [&mut policy.using, &mut policy.check]).flatten();
        let definitions = table.indexes.iter_mut().map(|index| &mut index.definition);
        for text in expressions.chain(definitions) {
            *text = redact::statement(text, text.len());
        }
    }
}

/// The record of this digest; without one, the newest that has a report. What the database says is compared
/// with the digest: one from a verdict proves that it is the record of that run, one from the database only
/// that no part of it was changed.
pub async fn read(url: &ConnectionUrl, digest: Option<&str>) -> Result<(String, Record), RecordError> {
    let unreachable = |error: &dyn std::fmt::Display| RecordError::Unreachable(error.to_string());
    let mut connection = connect(url, "sluice report").await.map_err(|error| unreachable(&error))?;
    let digests = match digest {
        Some(digest) => vec![digest.to_owned()],
        None => records(&mut connection)
            .await
            .map_err(|error| unreachable(&error))?
            .into_iter()
            .map(|kept| kept.digest)
            .collect(),
    };
    for found in digests {
        let text = record_text(&mut connection, &found).await.map_err(|error| unreachable(&error))?;
        let Some(text) = text else {
            return Err(RecordError::Missing(found));
        };
        let record = parse(&found, &text)?;
        if digest.is_some() || record.report.is_some() {
            return Ok((found, record));
        }
    }
    Err(RecordError::None)
}

/// A text that was kept under a digest.
fn parse(digest: &str, text: &str) -> Result<Record, RecordError> {
    if !is_digest(digest) || checksum(text) != digest {
        return Err(RecordError::Changed(digest.chars().take(64).collect()));
    }
    let unreadable = |why: String| RecordError::Unreadable(digest.to_owned(), why);
    let record: Record = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    if record.kind != KIND || record.format != FORMAT {
        return Err(unreadable(format!(
            "it is of the kind {:?} in format {}, and this Sluice reads {KIND:?} in format {FORMAT}",
            record.kind, record.format
        )));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::HistorySummary;

    fn record() -> Record {
        Record {
            kind: KIND.to_owned(),
            format: FORMAT,
            sluice: "0".to_owned(),
            namespace: "medical".to_owned(),
            name: "records".to_owned(),
            attempt: "abc-a1".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            stages: vec![Outcome::passed(Stage::Plan, Reason::PlanReady, "1 pending")],
            log: vec!["{}".to_owned()],
            report: None,
            rehearsal: None,
        }
    }

    #[test]
    fn a_record_is_read_back_and_one_that_was_changed_is_named() {
        let text = text(record());
        let digest = checksum(&text);
        assert_eq!(parse(&digest, &text).expect("reads"), record());
        let changed = text.replace("1 pending", "2 pending");
        let refused = parse(&digest, &changed).expect_err("is not the one").to_string();
        assert!(refused.contains(&digest) && refused.contains("another session changed it"), "{refused}");
        let other = text.replace("RunRecord", "Pod");
        let refused = parse(&checksum(&other), &other).expect_err("is none").to_string();
        assert!(refused.contains("of the kind \"Pod\""), "{refused}");
    }

    #[test]
    fn the_stage_that_ends_a_run_keeps_its_record_and_no_other() {
        let passed = |stage| Outcome::passed(stage, Reason::Applied, "");
        let failed = |stage| Outcome::failed(stage, Reason::MigrationFailed, "");
        assert!(!ends(&passed(Stage::Migrate)) && ends(&passed(Stage::Verify)));
        assert!(ends(&failed(Stage::Plan)) && ends(&failed(Stage::Migrate)));
        assert!(!ends(&Outcome { verdict: Verdict::NotReached, ..failed(Stage::Verify) }));
    }

    #[test]
    fn a_run_had_work_when_something_was_pending_resolved_or_recorded() {
        let plan = |history| Outcome {
            history: Some(history),
            ..Outcome::passed(Stage::Plan, Reason::PlanReady, "")
        };
        assert!(!had_work(&plan(HistorySummary::default())));
        assert!(had_work(&plan(HistorySummary { pending_count: 1, ..HistorySummary::default() })));
        assert!(had_work(&plan(HistorySummary { resolving: 1, ..HistorySummary::default() })));
        assert!(had_work(&plan(HistorySummary { baselining: 1, ..HistorySummary::default() })));
    }
}
