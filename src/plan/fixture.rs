//! Facts for the unit tests of this room: a new object whose source is there.

use std::collections::BTreeMap;

use super::facts::{Facts, Fingerprint, JobState, PolicyFact, Run, RunPod, SourceFact};
use crate::{
    api::{DatabaseMigrationStatus, Reason, SectionResult},
    contract::Purpose,
    validate::validate,
};

/// A new object, seen for the first time.
pub fn facts() -> Facts {
    let object: crate::api::DatabaseMigration = serde_json::from_value(serde_json::json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "DatabaseMigration",
        "metadata": {"name": "records", "namespace": "medical"},
        "spec": {
            "database": {"secretRef": {"name": "records-db"}},
            "migrations": {"configMaps": ["records-migrations"]},
            "snapshot": {"dump": {"volumeClaim": "records-snapshots"}},
        },
    }))
    .expect("a manifest");
    Facts {
        name: "records".into(),
        namespace: "medical".into(),
        uid: "0d1f".into(),
        generation: 1,
        deleting: false,
        published: DatabaseMigrationStatus { observed_generation: -1, ..Default::default() },
        policy: PolicyFact::NotNamed,
        migration: validate(&object),
        spec: "spec".into(),
        retry: None,
        abort: None,
        paused: false,
        source: SourceFact::Found { revision: "records-migrations@7".into() },
        dependencies: Vec::new(),
        rivals: Vec::new(),
        route: Purpose::Apply.route(),
        fingerprints: vec![Fingerprint { leg: Purpose::Apply.route().first(), work: "work".into() }],
        runs: Vec::new(),
        gate: Vec::new(),
        gate_database: None,
        required: Vec::new(),
        refused_step: None,
        progress: None,
        by_hand: false,
    }
}

/// A run that has just begun, with a Pod of which nothing is known.
pub fn run() -> Run {
    Run {
        job: "records-0123abcd-a1".into(),
        digest: "0123abcd".into(),
        attempt: 1,
        started: moment(0),
        deleting: false,
        purpose: Purpose::Apply,
        leg: Purpose::Apply.route().first(),
        fingerprint: "work".into(),
        differs: None,
        pod_differs: None,
        state: JobState::Active,
        deadline: false,
        pod: Some(RunPod {
            name: "records-0123abcd-a1-x".into(),
            address: None,
            unschedulable: None,
            stages: BTreeMap::new(),
        }),
    }
}

/// What a run that passed has found.
pub fn passed() -> Vec<SectionResult> {
    let results = [
        ("Planned", Reason::PlanReady),
        ("SnapshotReady", Reason::SnapshotTaken),
        ("Applied", Reason::Applied),
        ("Verified", Reason::Verified),
    ];
    let result = |(section, reason): (&str, Reason)| SectionResult {
        section: section.to_owned(),
        holds: Some(true),
        reason: reason.name().to_owned(),
        message: "a sentence".to_owned(),
    };
    results.map(result).into()
}

/// A moment of the tests' own time.
pub fn moment(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_780_000_000 + second).expect("a moment")
}
