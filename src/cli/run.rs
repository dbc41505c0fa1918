//! `sluice run`: every stage in one process, without a cluster. Prints what `status` would say, decided by
//! the same plan.

use std::{
    io::{IsTerminal, stderr},
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use jiff::Timestamp;

use super::{
    Usage,
    manifest::{Inputs, Output},
    print::{complain, print, print_json},
};
use crate::{
    api::{
        DatabaseMigration, DatabaseMigrationStatus, Finding, FindingCounts, Reason, RunStatus, Severity,
        entry, keep,
    },
    contract::{Outcome, Purpose, Stage, Verdict},
    plan::{
        facts::{Facts, Fingerprint, JobState, PolicyFact, Run, RunPod, SourceFact, StageState},
        findings, plan,
    },
    stage::{self, Context},
    validate::validate,
    visible::visible,
};

/// So many findings are printed, and every error.
const LISTED: usize = 20;

/// How far a run is is said at most so often.
const TELL_EVERY: Duration = Duration::from_secs(3);

/// Arguments of `sluice run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Usage> {
    let output = args.inputs.output;
    let (object, context) = args.inputs.context()?;
    let started = Timestamp::now();
    if output == Output::Text
        && let Some(window) = &context.manifest.window
    {
        print(&format!("spec.before.window ({window}) is not waited for: you run this by hand\n"))?;
    }
    let outcomes = loop {
        let outcomes = stages(&context, output).await;
        // Another session migrated in between: the plan has to be made again.
        if outcomes.last().is_none_or(|(_, outcome)| outcome.reason != Reason::HistoryChanged) {
            break outcomes;
        }
    };
    let status = status(&object, started, &outcomes);
    match output {
        Output::Json => print_json(&(serde_json::to_string_pretty(&status).unwrap_or_default() + "\n")),
        Output::Text => print(&summary(&status)),
    }?;
    let ready =
        status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every stage in turn, until one does not pass.
async fn stages(context: &Context, output: Output) -> Vec<(Timestamp, Outcome)> {
    let mut outcomes: Vec<(Timestamp, Outcome)> = Vec::new();
    for stage in Purpose::Apply.route().stages() {
        let before: Vec<Outcome> = outcomes.iter().map(|(_, outcome)| outcome.clone()).collect();
        let work = async {
            let mut outcome = stage::run(stage, context, &before).await;
            stage::keep_record(context, &before, &mut outcome).await;
            outcome
        };
        let outcome = if output == Output::Text && stderr().is_terminal() {
            told(work, context).await
        } else {
            work.await
        };
        if output == Output::Text {
            let (reason, took) = (outcome.reason.name(), outcome.milliseconds);
            // What cannot be said must not stop what was begun; the last words will find out.
            let _ = print(&format!("{:<9} {reason:<18} {took:>6} ms  {}\n", stage.name(), outcome.message));
        }
        let passed = outcome.verdict == Verdict::Passed;
        outcomes.push((Timestamp::now(), outcome));
        if !passed {
            break;
        }
    }
    outcomes
}

/// Says meanwhile how far it is, to the user at the terminal.
async fn told(work: impl Future<Output = Outcome>, context: &Context) -> Outcome {
    let mut work = pin!(work);
    let mut said = None;
    loop {
        tokio::select! {
            outcome = &mut work => return outcome,
            () = tokio::time::sleep(TELL_EVERY) => {
                let now = context.progress.now();
                if let Some(progress) = now.as_ref().filter(|_| now != said) {
                    complain(&format!("{:<9} {}\n", progress.stage.name(), visible(&progress.summary())));
                }
                said = now;
            }
        }
    }
}

/// What the controller would write, had these Outcomes come from a Pod.
fn status(
    object: &DatabaseMigration,
    started: Timestamp,
    outcomes: &[(Timestamp, Outcome)],
) -> DatabaseMigrationStatus {
    let mut facts = facts(object, outcomes);
    facts.published = plan(&facts, started).status;
    let Some(announced) = facts.published.run.clone() else { return facts.published };
    let ended = outcomes.last().map_or(started, |(at, _)| *at);
    facts.runs = vec![ended_run(announced, (started, ended), outcomes)];
    let mut status = plan(&facts, ended).status;
    if let Some(run) = &mut status.run {
        run.fingerprint = None;
    }
    // No termination message and no object of the API server bounds them here.
    status.findings = findings(&outcomes.iter().map(|(_, outcome)| outcome).collect::<Vec<_>>());
    status
}

/// What is known before the run: the manifest, and a gate that has what the run verified.
fn facts(object: &DatabaseMigration, outcomes: &[(Timestamp, Outcome)]) -> Facts {
    let name = object.metadata.name.clone().unwrap_or_default();
    let verified = || {
        let outcomes = outcomes.iter().map(|(_, outcome)| outcome);
        outcomes.filter(|outcome| outcome.stage == Stage::Verify).filter_map(|it| it.history.as_ref())
    };
    let mut migration = validate(object);
    // What a cluster decides about other objects was decided by the person who started this.
    if let Ok(migration) = &mut migration {
        migration.depends_on.clear();
        migration.suspend = false;
    }
    Facts {
        gate: verified().flat_map(|history| &history.applied).map(|version| entry(&name, version)).collect(),
        required: Vec::new(),
        gate_database: verified().find_map(|history| history.database.clone()),
        namespace: object.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        name,
        uid: String::new(),
        generation: object.metadata.generation.unwrap_or(1),
        deleting: false,
        published: DatabaseMigrationStatus::default(),
        policy: PolicyFact::NotNamed,
        migration,
        spec: serde_json::to_string(&object.spec).unwrap_or_default(),
        retry: None,
        source: SourceFact::Found { revision: "the folder given with --source".to_owned() },
        dependencies: Vec::new(),
        rivals: Vec::new(),
        route: Purpose::Apply.route(),
        // There is no Job, so there is none to be taken for another.
        fingerprints: vec![Fingerprint { leg: Purpose::Apply.route().first(), work: String::new() }],
        runs: Vec::new(),
        refused_step: None,
        progress: None,
        by_hand: true,
    }
}

/// A Job that has ended and left these Outcomes.
fn ended_run(
    announced: RunStatus,
    (started, ended): (Timestamp, Timestamp),
    outcomes: &[(Timestamp, Outcome)],
) -> Run {
    let terminated = |(at, outcome): &(Timestamp, Outcome)| {
        let (at, why) = (*at, String::new());
        (outcome.stage, StageState::Terminated { at, outcome: Some(Box::new(outcome.clone())), why })
    };
    let stages = outcomes.iter().map(terminated).collect();
    Run {
        pod: Some(RunPod { name: announced.job.clone(), address: None, unschedulable: None, stages }),
        job: announced.job,
        digest: announced.digest,
        attempt: announced.attempt,
        started,
        deleting: false,
        purpose: Purpose::Apply,
        leg: Purpose::Apply.route().first(),
        fingerprint: String::new(),
        differs: None,
        pod_differs: None,
        deadline: false,
        state: JobState::Complete { at: ended },
    }
}

fn summary(status: &DatabaseMigrationStatus) -> String {
    let mut text = "\n".to_owned();
    for condition in &status.conditions {
        let message = visible(&condition.message);
        text +=
            &format!("{:<13} {:<7} {:<20} {message}\n", condition.type_, condition.status, condition.reason);
    }
    text + &listed(&status.findings)
}

/// Every error, and of the rest so many that the last page of a terminal is enough; what is left out is
/// counted.
fn listed(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let shown = keep(findings.to_vec(), LISTED.max(errors));
    let mut text: String = shown.iter().map(|finding| describe(finding) + "\n").collect();
    let left_out = FindingCounts::of(findings.iter().filter(|finding| !shown.contains(finding)));
    if left_out.all() > 0 {
        let checks: Vec<String> =
            left_out.checks.iter().map(|counted| format!("{} {}", counted.check, counted.count)).collect();
        text += &visible(&format!(
            "and {} more: {}; `sluice verify` prints all",
            left_out.all(),
            checks.join(", ")
        ));
        text.push('\n');
    }
    text
}

fn describe(finding: &Finding) -> String {
    visible(&format!(
        "{:?} {} {}: {}; {}",
        finding.severity, finding.check, finding.object, finding.message, finding.remedy
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CheckId;

    fn of(check: &CheckId, severity: Severity, count: usize) -> Vec<Finding> {
        let text = |n: usize| format!("public.table_{n:03}");
        let finding = |n| Finding {
            check: check.clone(),
            object: text(n),
            severity,
            message: "m".into(),
            remedy: "r".into(),
        };
        (0..count).map(finding).collect()
    }

    #[test]
    fn of_many_findings_each_check_is_shown_and_what_is_left_out_is_counted() {
        let warnings = [
            of(&CheckId::ForeignKeyIndexed, Severity::Warning, 60),
            of(&CheckId::IndexRedundant, Severity::Warning, 73),
        ]
        .concat();
        let text = listed(&warnings);
        let shown = |check: CheckId| {
            text.lines().filter(|line| line.starts_with(&format!("Warning {check} "))).count()
        };
        assert_eq!(
            (shown(CheckId::ForeignKeyIndexed), shown(CheckId::IndexRedundant), text.lines().count()),
            (10, 10, 21),
            "{text}"
        );
        let last = text.lines().last();
        assert_eq!(
            last,
            Some("and 113 more: index-redundant 63, foreign-key-indexed 50; `sluice verify` prints all")
        );
    }

    #[test]
    fn every_error_is_shown_and_a_short_list_says_nothing_of_others() {
        let text = listed(
            &[
                of(&CheckId::RlsEnabled, Severity::Error, 30),
                of(&CheckId::IndexRedundant, Severity::Warning, 1),
            ]
            .concat(),
        );
        assert_eq!(text.lines().count(), 31, "{text}");
        assert!(text.ends_with("and 1 more: index-redundant 1; `sluice verify` prints all\n"), "{text}");
        assert_eq!(listed(&of(&CheckId::IndexRedundant, Severity::Warning, 2)).lines().count(), 2);
    }
}
