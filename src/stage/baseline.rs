//! `spec.migrations.baseline`: a database with tables and no history is adopted, when it is what the
//! migrations make. The plan stage compares before anything is copied; the migrate stage compares again under
//! the locks, and records.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{
    Context, custody,
    error::MigrateError,
    ground::ReplayError,
    replay::{Comparison, differences},
};
use crate::{
    api::{CheckId, Finding, Reason, Severity},
    catalog::{self, Remedies},
    contract::{Outcome, Stage, outcome_message},
    migrations::{HistoryRow, Migration, SourceTree},
    postgres::{HistoryTable, Session, SqlError},
};

const REMEDIES: Remedies = Remedies {
    check: CheckId::Baseline,
    missing: "create it in the database, or set spec.migrations.baseline.upTo to a migration before the one \
        that makes it",
    extra: "remove it from the database, or set spec.migrations.baseline.upTo to the migration that makes it",
    different: "change the database so that both are the same, or set spec.migrations.baseline.upTo to where \
        they are",
};

/// Indexes into the source: what is recorded, when the database has tables (`strangers`) and the history has
/// no row. PURE.
pub(super) fn members(
    context: &Context,
    source: &SourceTree,
    rows: &[HistoryRow],
    strangers: i64,
) -> Result<Vec<usize>, (Reason, String)> {
    let Some(baseline) = context.manifest.baseline.as_ref().filter(|_| rows.is_empty() && strangers > 0)
    else {
        return Ok(Vec::new());
    };
    let nowhere = |field: &str, name: &str| {
        let message = format!(
            "spec.migrations.baseline.{field} names {name:?}, which the source does not have: correct the \
                name, or add it"
        );
        (Reason::TargetNotFound, message)
    };
    let position = |name: &str| source.migrations.iter().position(|migration| migration.name == name);
    let newest = position(&baseline.up_to).filter(|at| source.migrations[*at].phase().is_none());
    let mut ends = BTreeMap::from([(None, newest.ok_or_else(|| nowhere("upTo", &baseline.up_to))?)]);
    for name in &baseline.phases {
        let at = position(name)
            .filter(|at| source.migrations[*at].phase().is_some())
            .ok_or_else(|| nowhere("phases", name))?;
        ends.insert(source.migrations[at].phase(), at);
    }
    let is_there = |at: &usize| ends.get(&source.migrations[*at].phase()).is_some_and(|end| at <= end);
    Ok((0..source.migrations.len()).filter(is_there).collect())
}

/// The history as it will be. PURE.
pub(super) fn as_recorded(rows: &[HistoryRow], source: &SourceTree, members: &[usize]) -> Vec<HistoryRow> {
    let recorded = members.iter().map(|at| &source.migrations[*at]).map(|migration| HistoryRow {
        id: String::new(),
        checksum: migration.checksum.clone(),
        name: migration.name.clone(),
        started_at: String::new(),
        finished: true,
        rolled_back: false,
        resumable: false,
        finished_at: i64::MAX,
    });
    rows.iter().cloned().chain(recorded).collect()
}

/// Whether the database is what these migrations make; if not, the Outcome that says so.
pub(super) async fn refusal(
    stage: Stage,
    context: &Context,
    connection: &mut PgConnection,
    source: &SourceTree,
    members: &[usize],
) -> Option<Outcome> {
    let comparison = Comparison { source, members, schemas: &context.manifest.schemas, ignore: &[] };
    let findings = match differences(context, connection, &comparison).await {
        Ok(found) => {
            if !found.is_empty() {
                tracing::warn!(
                    objects = found.len(),
                    "the migrations make (-), the database has (+):\n{}",
                    catalog::text(&found)
                );
            }
            catalog::findings(&found, comparison.newest(), &REMEDIES)
        }
        Err(ReplayError::Unproven { reason, object, message, remedy }) => {
            let finding =
                Finding { check: REMEDIES.check, object, severity: Severity::Error, message, remedy };
            let message = format!("nothing was recorded: {}", outcome_message(&[&finding]));
            return Some(Outcome { findings: vec![finding], ..Outcome::failed(stage, reason, message) });
        }
        Err(ReplayError::Stopped { reason, message }) => {
            return Some(Outcome::failed(
                stage,
                reason,
                format!("the schema could not be compared, so nothing was recorded: {message}"),
            ));
        }
    };
    judge(stage, comparison.newest(), findings)
}

/// Only the order of columns may differ. PURE.
fn judge(stage: Stage, newest: &str, findings: Vec<Finding>) -> Option<Outcome> {
    let errors: Vec<&Finding> =
        findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    if errors.is_empty() {
        return None;
    }
    let message = format!(
        "the database is not what the migrations up to {newest:?} make, so nothing was recorded; {} \
            object(s) differ: {}",
        errors.len(),
        outcome_message(&errors)
    );
    Some(Outcome { findings, ..Outcome::failed(stage, Reason::BaselineDiffers, message) })
}

/// Compares again, and records. The session holds the locks. Answers how many were recorded.
pub(super) async fn record(
    context: &Context,
    session: &mut Session,
    history_table: &HistoryTable,
    source: &SourceTree,
) -> Result<(), MigrateError> {
    // The plan saw tables, and the history is the one it saw.
    let members = members(context, source, &[], 1)
        .map_err(|(reason, message)| MigrateError::Stopped { reason, message })?;
    if let Some(outcome) = refusal(
        Stage::Migrate,
        context,
        session.trusted().await.map_err(MigrateError::Query)?,
        source,
        &members,
    )
    .await
    {
        return Err(MigrateError::Refused(Box::new(outcome)));
    }
    let migrations: Vec<&Migration> = members.iter().map(|at| &source.migrations[*at]).collect();
    let broken = |error: SqlError| MigrateError::Stopped {
        reason: Reason::ConnectionFailed,
        message: format!("cannot record the baseline: {}", error.message),
    };
    custody::begin(session, history_table, None).await?.map_err(broken)?;
    let written = history_table
        .baseline(session.trusted().await.map_err(MigrateError::Query)?, &migrations)
        .await
        .map_err(MigrateError::Query)?;
    if written {
        session.commit().await.map_err(broken)?;
    } else {
        session.rollback().await;
        return Err(MigrateError::stopped(
            Reason::HistoryChanged,
            &"another session wrote the history meanwhile; Sluice plans again",
        ));
    }
    tracing::info!(migrations = migrations.len(), "recorded what the database already had");
    Ok(())
}
