//! The stage `verify`: a fresh session checks the schema from outside, after everything is committed. Changes
//! nothing.

use sqlx::PgConnection;

use super::{
    Context, drift,
    history::{as_applied, summarise, texts},
    outcome_of, resume,
};
use crate::{
    api::{CheckId, Finding, Reason, Severity},
    check,
    contract::{HistorySummary, Outcome, Required, Stage, outcome_message},
    inspect::{Aspect, Began, Scope},
    migrations::{Holds, SourceTree},
    postgres::{Transaction, connect, custody_objection, database_identity},
};

pub(super) async fn run(context: &Context, before: &[Outcome]) -> Outcome {
    let plan = outcome_of(before, Stage::Plan).and_then(|plan| plan.history.as_ref());
    let server_major = plan.map_or(0, |history| history.server_major);
    let held = plan.and_then(|history| history.held.as_ref()).map(|held| held.migration.as_str());
    let holds = if plan.is_some() { Holds::Only(held) } else { context.holds() };
    let began = outcome_of(before, Stage::Migrate).and_then(|migrate| migrate.began).map(Began);
    let mut history = None;
    // Behind a run nothing may be pending. Alone, a verification checks what there is.
    let after_a_run = outcome_of(before, Stage::Migrate).is_some();
    match verify(context, (server_major, holds), began, after_a_run, &mut history).await {
        Ok((findings, summary, required)) => Outcome { required, ..judge(findings, summary) },
        Err((reason, message)) => Outcome { history, ..Outcome::failed(Stage::Verify, reason, message) },
    }
}

type Failed = (Reason, String);

async fn verify(
    context: &Context,
    (server_major, holds): (u32, Holds<'_>),
    began: Option<Began>,
    after_a_run: bool,
    seen: &mut Option<HistorySummary>,
) -> Result<(Vec<Finding>, HistorySummary, Vec<Required>), Failed> {
    let source = context.source().map_err(|error| (error.reason(), error.to_string()))?;
    let url = context.url().map_err(|error| (error.reason(), error.to_string()))?;
    let mut connection =
        connect(url, &context.application()).await.map_err(|error| (error.reason(), error.to_string()))?;
    let custody = custody_objection(&mut connection, &context.history_table().contract).await;
    if let Some(objection) = custody.map_err(|error| (error.reason(), error.to_string()))? {
        return Err((objection.reason, objection.message));
    }
    let rows = context
        .history_table()
        .rows(&mut connection)
        .await
        .map_err(|error| (error.reason(), error.to_string()))?;
    let texts =
        texts(&mut connection, source, &rows).await.map_err(|error| (error.reason(), error.to_string()))?;
    let (comparison, summary) = summarise(source, &rows, &[], &context.rules(&texts, holds), server_major);
    // Whatever cannot be checked later, what is applied is known now.
    *seen = Some(summary.clone());
    let mut findings = comparison.findings;
    if let Some((reason, message)) =
        comparison.objection.filter(|_| findings.iter().all(|finding| finding.severity != Severity::Error))
    {
        return Err((reason, message));
    }
    let mut journaled =
        resume::read(&mut connection, &rows).await.map_err(|error| (error.reason(), error.to_string()))?;
    let mut pending: Vec<&str> =
        comparison.pending.iter().map(|at| source.migrations[*at].name.as_str()).collect();
    journaled.retain(|name, _| pending.contains(&name.as_str()) || !comparison.applied.contains(name));
    findings.extend(resume::findings(source, &journaled));
    // One that is half done has an error of its own.
    pending.retain(|name| !journaled.contains_key(*name));
    findings.extend(not_applied(&pending, after_a_run));
    findings.sort();
    let writers = check::history_privileges(&mut connection, &context.history_table().contract).await;
    findings.extend(writers.map_err(|error| unchecked(&error))?);
    // The checks come in the order of a report.
    findings.extend(checks(context, source, began, &mut connection).await?);
    findings.extend(
        drift::findings(context, &mut connection, &as_applied(source, &rows, &texts), &comparison.applied)
            .await?,
    );
    findings.sort_by_key(|finding| finding.severity);
    let database =
        database_identity(&mut connection).await.map_err(|error| (error.reason(), error.to_string()))?;
    let is_applied = |version: &String| Required {
        version: version.clone(),
        applied: comparison.applied.contains(version),
    };
    Ok((findings, HistorySummary { database, ..summary }, context.required.iter().map(is_applied).collect()))
}

/// One finding for all that is pending. PURE.
fn not_applied(pending: &[&str], after_a_run: bool) -> Option<Finding> {
    let first = pending.first()?;
    let message = match pending.len() {
        1 => format!("1 migration of the source is pending: {first:?}"),
        many => format!("{many} migrations of the source are pending; the first is {first:?}"),
    };
    let remedy = if after_a_run {
        "let Sluice run again: the run before this verification left it out; if it stays, another session \
            changes the history by hand"
    } else {
        "let Sluice run: it applies what is pending"
    };
    Some(Finding {
        check: CheckId::HistoryEqualsSource,
        object: (*first).to_owned(),
        severity: Severity::Error,
        message,
        remedy: remedy.to_owned(),
    })
}

async fn checks(
    context: &Context,
    source: &SourceTree,
    began: Option<Began>,
    connection: &mut PgConnection,
) -> Result<Vec<Finding>, Failed> {
    let mut transaction = Transaction::begin(connection).await.map_err(|error| unchecked(&error))?;
    let names = source.own().map(|migration| &migration.name);
    let scope = Scope {
        elsewhere: context.elsewhere.clone(),
        began,
        ..Scope::of(&context.manifest).with_migrations(names)
    };
    let found = check::run(
        &mut transaction,
        &scope,
        &[Aspect::Isolation, Aspect::Index, Aspect::Structure, Aspect::Data],
    )
    .await;
    // After an error the session is closed, which ends its transaction too; it may still be busy and never
    // answer.
    let findings = found.map_err(|error| unchecked(&error))?;
    transaction.roll_back().await.map_err(|error| unchecked(&error))?;
    Ok(findings)
}

fn unchecked(error: &dyn std::fmt::Display) -> Failed {
    (Reason::StageFailed, format!("a check could not be carried out: {error}"))
}

/// From what was found to an Outcome. PURE.
fn judge(findings: Vec<Finding>, summary: HistorySummary) -> Outcome {
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let mut outcome = if errors.is_empty() {
        let version = summary.current.as_deref().unwrap_or("an empty history");
        Outcome::passed(
            Stage::Verify,
            Reason::Verified,
            format!("the schema at {version} is the one that was meant"),
        )
    } else {
        Outcome::failed(Stage::Verify, Reason::VerificationFailed, outcome_message(&errors))
    };
    outcome.findings = findings;
    outcome.history = Some(summary);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pending_is_one_finding_and_no_suspicion_before_a_run() {
        assert_eq!(not_applied(&[], true), None);
        let before = not_applied(&["1_a", "2_b"], false).expect("is told");
        assert_eq!(
            (before.message.as_str(), before.object.as_str()),
            ("2 migrations of the source are pending; the first is \"1_a\"", "1_a")
        );
        assert!(!before.remedy.contains("by hand"), "{}", before.remedy);
        let after = not_applied(&["2_b"], true).expect("is told");
        assert_eq!(after.message, "1 migration of the source is pending: \"2_b\"");
        assert!(after.remedy.contains("by hand"), "{}", after.remedy);
    }
}
