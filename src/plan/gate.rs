//! The gate: what is published, and who is satisfied. PURE.
//!
//! A history only grows, so it is decisive whether what a workload requires is among what is applied and
//! verified, never whether the newest migration is Ready. What is not known does not open anything.

use std::collections::{BTreeMap, BTreeSet};

use super::{database::is_another, run::judge::RunState, situation::Situation, step::Step};
use crate::{
    api::{ANNOTATION_REQUIRES, Reason, entry},
    contract::Stage,
    limits::GATE_VERSIONS,
};

/// Publishes what a run has just verified, before the status says Ready; and puts back what a user took out
/// of the gate.
pub fn publish(situation: &Situation) -> Option<Step> {
    let (verified, database) = just_verified(situation).or_else(|| settled(situation))?;
    let facts = situation.facts;
    if is_another(facts, database) {
        return None;
    }
    // A set has no order; Prisma's names begin with the time.
    let former: BTreeSet<&String> = facts.gate.iter().collect();
    let mut entries: Vec<String> = verified.into_iter().map(|version| entry(&facts.name, version)).collect();
    if entries.iter().all(|entry| former.contains(entry))
        && (database.is_none() || facts.gate_database.as_ref() == database)
    {
        return None;
    }
    entries.extend(former.into_iter().rev().cloned());
    let mut seen = BTreeSet::new();
    entries.retain(|entry| seen.insert(entry.clone()));
    entries.truncate(GATE_VERSIONS);
    Some(Step::PublishGate { entries, database: database.cloned() })
}

/// Versions, newest first, and the database that they are about.
type Verified<'a> = (Vec<&'a String>, Option<&'a String>);

/// What the run in hand verified. It need not be the run that the facts ask for now.
fn just_verified<'a>(situation: &'a Situation) -> Option<Verified<'a>> {
    let current = situation.runs.current.as_ref()?;
    let RunState::Passed(_) = &current.run_state else { return None };
    let outcome = current.outcome(Stage::Verify)?;
    let history = outcome.history.as_ref()?;
    // What workloads wait for comes first: it is never what a full gate loses.
    let required =
        outcome.required.iter().filter(|required| required.applied).map(|required| &required.version);
    Some((required.chain(&history.current).chain(&history.applied).collect(), history.database.as_ref()))
}

/// What the last run verified, as the status remembers it.
fn settled<'a>(situation: &'a Situation) -> Option<Verified<'a>> {
    let published = &situation.facts.published;
    let run = published.run.as_ref()?;
    let verified =
        run.finished_at.is_some() && run.reason.as_deref().map(Reason::named) == Some(Reason::Verified);
    verified.then(|| {
        (published.applied.iter().map(|applied| &applied.name).collect(), published.database.as_ref())
    })
}

/// What a Pod template requires: entries as the gate writes them.
pub fn requirements(annotations: &BTreeMap<String, String>) -> Vec<String> {
    annotations
        .iter()
        .filter_map(|(key, version)| Some(entry(key.strip_prefix(ANNOTATION_REQUIRES)?, version)))
        .collect()
}

/// Everything that is required is there. A gated workload that requires nothing is a typing mistake and
/// waits.
pub fn is_satisfied(annotations: &BTreeMap<String, String>, satisfied: &BTreeSet<String>) -> bool {
    let required = requirements(annotations);
    !required.is_empty() && required.iter().all(|entry| satisfied.contains(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_workload_goes_when_all_it_requires_is_there_and_older_versions_stay_good() {
        let satisfied: BTreeSet<String> =
            ["records@1_one", "records@2_two", "auth@7"].map(ToOwned::to_owned).into();
        for (requires, goes) in [
            (annotations(&[("requires.sluice.dev/records", "2_two")]), true),
            (annotations(&[("requires.sluice.dev/records", "1_one")]), true),
            (annotations(&[("requires.sluice.dev/records", "3_three")]), false),
            (
                annotations(&[("requires.sluice.dev/records", "2_two"), ("requires.sluice.dev/auth", "7")]),
                true,
            ),
            (
                annotations(&[("requires.sluice.dev/records", "2_two"), ("requires.sluice.dev/auth", "8")]),
                false,
            ),
            (annotations(&[("requires.sluice.dev/records", "")]), false),
            (annotations(&[("prometheus.io/scrape", "true")]), false),
            (annotations(&[]), false),
        ] {
            assert_eq!(is_satisfied(&requires, &satisfied), goes, "{requires:?}");
        }
    }

    #[test]
    fn an_empty_gate_lets_nobody_go() {
        assert!(!is_satisfied(&annotations(&[("requires.sluice.dev/records", "1_one")]), &BTreeSet::new()));
    }
}
