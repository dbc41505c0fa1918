//! `sluice run`: every stage in one process, without a cluster. Prints what `status` would say, decided by the same plan.

use std::process::ExitCode;

use jiff::Timestamp;

use super::{
    Usage,
    manifest::{Inputs, Output},
    print::{print, print_json},
};
use crate::{
    api::{DatabaseMigration, DatabaseMigrationStatus, Finding, Reason, entry},
    plan::{
        facts::{Facts, JobState, PolicyFact, Run, RunPod, SourceFact, StageState},
        plan,
    },
    stage::{
        self, Context,
        outcome::{Outcome, Stage, Verdict},
    },
    validate::validate,
    visible::visible,
};

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
    let outcomes = loop {
        let outcomes = stages(&context, output).await;
        // Somebody else migrated in between: what is pending now is a new question.
        if outcomes.last().is_none_or(|(_, outcome)| outcome.reason != Reason::HistoryChanged) {
            break outcomes;
        }
    };
    let status = status(&object, started, &outcomes);
    match output {
        Output::Json => print_json(&(serde_json::to_string_pretty(&status).unwrap_or_default() + "\n")),
        Output::Text => print(&summary(&status)),
    }?;
    let ready = status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every stage in turn, until one does not pass.
async fn stages(context: &Context, output: Output) -> Vec<(Timestamp, Outcome)> {
    let mut outcomes: Vec<(Timestamp, Outcome)> = Vec::new();
    for stage in Stage::ALL {
        let before: Vec<Outcome> = outcomes.iter().map(|(_, outcome)| outcome.clone()).collect();
        let outcome = stage::run(stage, context, &before).await;
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

/// What the controller would write, had these Outcomes come from a Pod.
fn status(object: &DatabaseMigration, started: Timestamp, outcomes: &[(Timestamp, Outcome)]) -> DatabaseMigrationStatus {
    let name = object.metadata.name.clone().unwrap_or_default();
    let verified =
        || outcomes.iter().filter(|(_, outcome)| outcome.stage == Stage::Verify).filter_map(|(_, outcome)| outcome.history.as_ref());
    let mut facts = Facts {
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
        migration: validate(object),
        spec: serde_json::to_string(&object.spec).unwrap_or_default(),
        retry: None,
        source: SourceFact::Found { revision: "the folder given with --source".to_owned() },
        dependencies: Vec::new(),
        rivals: Vec::new(),
        // There is no Job, so there is none to be taken for another.
        fingerprint: Some(String::new()),
        runs: Vec::new(),
        trouble: None,
    };
    // What a cluster decides about other objects was decided by whoever started this.
    if let Ok(migration) = &mut facts.migration {
        migration.depends_on.clear();
        migration.suspend = false;
    }
    facts.published = plan(&facts, started).status;
    let Some(run) = facts.published.run.clone() else { return facts.published };
    let ended = outcomes.last().map_or(started, |(at, _)| *at);
    let stages = Stage::ALL.map(|stage| {
        let found = outcomes.iter().find(|(_, outcome)| outcome.stage == stage);
        found.map_or(StageState::Unknown, |(at, outcome)| StageState::Terminated {
            at: *at,
            outcome: Some(Box::new(outcome.clone())),
            why: String::new(),
        })
    });
    let pod = Some(RunPod { name: run.job.clone(), unschedulable: None, stages });
    let state = JobState::Complete { at: ended };
    facts.runs = vec![Run {
        job: run.job,
        digest: run.digest,
        attempt: run.attempt,
        started,
        deleting: false,
        verify_only: false,
        fingerprint: String::new(),
        differs: None,
        pod_differs: None,
        deadline: false,
        state,
        pod,
    }];
    let mut status = plan(&facts, ended).status;
    if let Some(run) = &mut status.run {
        run.fingerprint = None;
    }
    status
}

fn summary(status: &DatabaseMigrationStatus) -> String {
    let mut text = "\n".to_owned();
    for condition in &status.conditions {
        let message = visible(&condition.message);
        text += &format!("{:<13} {:<7} {:<20} {message}\n", condition.type_, condition.status, condition.reason);
    }
    for finding in &status.findings {
        text += &(describe(finding) + "\n");
    }
    text
}

fn describe(finding: &Finding) -> String {
    visible(&format!("{:?} {} {}: {}; {}", finding.severity, finding.check, finding.object, finding.message, finding.remedy))
}
