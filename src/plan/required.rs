//! Versions that gated workloads, or other DatabaseMigrations by `dependsOn.minVersion`, require and the gate
//! does not have. An Outcome names only the newest versions of a long history, so the controller gives the
//! run these names, and the run answers for exactly these. PURE. A settled object whose history was not
//! queried yet gets a run that only verifies. A user who may create workloads or DatabaseMigrations may
//! invent requirements, so the number of names is bounded, and each answer that opens nothing doubles the
//! pause before the next query.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::facts::Facts;
use crate::{
    api::{DatabaseMigrationStatus, RequiredVersions, entry},
    contract::Required,
    limits::{REQUIRED_BYTES, REQUIRED_NAMES},
};

/// So many answers are remembered, and no more names are queried.
const REMEMBERED: usize = 50;
/// The pause after an answer that opened nothing; doubled each time.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// What is required and the gate lacks, in the order of their names. A longer name is no migration's.
fn lacking(facts: &Facts) -> BTreeSet<&String> {
    let in_gate = |version: &String| facts.gate.contains(&entry(&facts.name, version));
    facts
        .required
        .iter()
        .filter(|version| !version.is_empty() && version.len() <= 300 && !in_gate(version))
        .collect()
}

/// What the database did not have when a run queried it.
fn answered(status: &DatabaseMigrationStatus) -> &[String] {
    status.required.as_ref().map_or(&[], |required| &required.missing)
}

/// Lacking, and not queried yet. Once too many answers have to be remembered, nothing more is queried.
pub fn unasked<'a>(facts: &'a Facts, status: &DatabaseMigrationStatus) -> Vec<&'a String> {
    let known = answered(status);
    let room = REMEMBERED.saturating_sub(known.len());
    lacking(facts).into_iter().filter(|version| !known.contains(version)).take(room).collect()
}

/// What the next run has to answer: first what was not queried yet, then what has not been there so far.
pub fn asked(facts: &Facts, status: &DatabaseMigrationStatus) -> Vec<String> {
    let fresh = unasked(facts, status);
    let again = lacking(facts).into_iter().filter(|version| answered(status).contains(version));
    let mut left = REQUIRED_BYTES;
    let fits = |version: &&String| {
        left = left.saturating_sub(version.len());
        left > 0
    };
    fresh.into_iter().chain(again).take(REQUIRED_NAMES).take_while(fits).cloned().collect()
}

/// What is left of the pause after answers that opened nothing.
pub fn pause(status: &DatabaseMigrationStatus, now: Timestamp) -> Option<Duration> {
    let last = status.required.as_ref()?;
    let doubled =
        1_i32.checked_shl(last.in_vain.checked_sub(1)?).filter(|factor| *factor > 0).unwrap_or(i32::MAX);
    let pause = PAUSE.checked_mul(doubled).map_or(LONGEST_PAUSE, |pause| pause.min(LONGEST_PAUSE));
    let due = last.asked_at.0.saturating_add(pause).ok()?;
    Duration::try_from(due.duration_since(now)).ok().filter(|left| !left.is_zero())
}

/// Remembers what a run answered. Names that no workload requires any more are forgotten.
pub fn remember(facts: &Facts, status: &mut DatabaseMigrationStatus, answers: &[Required], at: Timestamp) {
    if answers.is_empty() {
        status.required = status.required.take().filter(|_| !lacking(facts).is_empty());
        return;
    }
    let before = status.required.take();
    let lacking = lacking(facts);
    let known =
        before.iter().flat_map(|before| &before.missing).chain(answers.iter().map(|answer| &answer.version));
    let is_missing = |version: &&String| {
        lacking.contains(version)
            && !answers.iter().any(|answer| answer.applied && answer.version == **version)
    };
    let missing: BTreeSet<String> = known.filter(is_missing).cloned().collect();
    let opened = answers.iter().any(|answer| answer.applied);
    status.required = Some(RequiredVersions {
        missing: missing.into_iter().take(REMEMBERED).collect(),
        asked_at: Time(at),
        in_vain: if opened { 0 } else { before.map_or(0, |before| before.in_vain).saturating_add(1) },
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::{facts, moment};

    fn requiring(versions: &[&str]) -> Facts {
        Facts { required: versions.iter().map(|version| (*version).to_owned()).collect(), ..facts() }
    }

    fn answer(version: &str, applied: bool) -> Required {
        Required { version: version.to_owned(), applied }
    }

    #[test]
    fn what_the_gate_has_is_not_asked_for_and_what_nobody_can_have_neither() {
        let mut facts = requiring(&["1_old", "2_new", "", &"x".repeat(400)]);
        facts.gate = vec![entry("records", "2_new")];
        assert_eq!(asked(&facts, &facts.published), ["1_old"]);
    }

    #[test]
    fn however_much_is_invented_a_question_is_short() {
        let names: Vec<String> = (0..200).map(|n| format!("{n:0>90}")).collect();
        let facts = requiring(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let asked = asked(&facts, &facts.published);
        assert!(
            (5..=REQUIRED_NAMES).contains(&asked.len())
                && asked.iter().map(String::len).sum::<usize>() <= REQUIRED_BYTES,
            "{}",
            asked.len()
        );
    }

    #[test]
    fn answers_are_remembered_for_as_long_as_somebody_requires_them() {
        let (facts, mut status) = (requiring(&["1_old", "typo"]), DatabaseMigrationStatus::default());
        remember(&facts, &mut status, &[answer("1_old", true), answer("typo", false)], moment(0));
        let required = status.required.clone().expect("is remembered");
        assert_eq!((required.missing, required.in_vain), (vec!["typo".to_owned()], 0));
        remember(&facts, &mut status, &[answer("typo", false)], moment(1));
        assert_eq!(status.required.as_ref().map(|required| required.in_vain), Some(1));
        remember(&requiring(&["other"]), &mut status, &[answer("other", false)], moment(2));
        assert_eq!(
            status.required.as_ref().map(|required| required.missing.clone()),
            Some(vec!["other".to_owned()])
        );
        remember(&requiring(&[]), &mut status, &[], moment(3));
        assert_eq!(status.required, None);
    }

    #[test]
    fn each_answer_that_opens_nothing_doubles_the_pause_up_to_an_hour() {
        let mut facts = requiring(&["typo"]);
        for (in_vain, seconds) in
            [(0, 0), (1, 60), (2, 120), (5, 960), (7, 3600), (40, 3600), (u32::MAX, 3600)]
        {
            facts.published.required =
                Some(RequiredVersions { missing: Vec::new(), asked_at: Time(moment(0)), in_vain });
            assert_eq!(
                pause(&facts.published, moment(0)).map_or(0, |left| left.as_secs()),
                seconds,
                "{in_vain}"
            );
        }
    }
}
