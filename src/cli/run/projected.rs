//! What the controller would write, had the Outcomes come from a Pod: the same plan decides it.

use jiff::Timestamp;

use crate::{
    api::{DatabaseMigration, DatabaseMigrationStatus, RunStatus, entry},
    contract::{Leg, Outcome, Purpose, Stage},
    plan::{
        facts::{Facts, Fingerprint, JobState, PolicyFact, Run, RunPod, SourceFact, StageState},
        findings, plan,
    },
    validate::validate,
};

/// What the status would say, and every finding.
pub(super) fn status(
    object: &DatabaseMigration,
    started: Timestamp,
    outcomes: &[(Timestamp, Outcome)],
) -> DatabaseMigrationStatus {
    let mut facts = facts(object, outcomes);
    facts.published = plan(&facts, started).status;
    let Some(announced) = facts.published.run.clone() else { return facts.published };
    let ended = outcomes.last().map_or(started, |(at, _)| *at);
    facts.runs = vec![ended_run(announced, facts.route.first(), (started, ended), outcomes)];
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
    let rehearses = migration.as_ref().is_ok_and(|migration| migration.rehearsal.is_some());
    let route = Purpose::Apply.route().rehearsing(rehearses);
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
        route,
        migration,
        spec: serde_json::to_string(&object.spec).unwrap_or_default(),
        retry: None,
        abort: None,
        paused: false,
        source: SourceFact::Found { revision: "the folder given with --source".to_owned() },
        dependencies: Vec::new(),
        rivals: Vec::new(),
        // There is no Job, so there is none to be taken for another.
        fingerprints: vec![Fingerprint { leg: route.first(), work: String::new() }],
        runs: Vec::new(),
        refused_step: None,
        progress: None,
        by_hand: true,
    }
}

/// A Job that has ended and left these Outcomes.
fn ended_run(
    announced: RunStatus,
    leg: Leg,
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
        leg,
        fingerprint: String::new(),
        differs: None,
        pod_differs: None,
        deadline: false,
        state: JobState::Complete { at: ended },
    }
}
