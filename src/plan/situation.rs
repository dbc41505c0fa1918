//! The facts as the sections of the plan read them. PURE.

use jiff::Timestamp;

use super::{
    database, digest,
    facts::Facts,
    record,
    run::{
        current::CurrentRun,
        facts::{Known, Remembered},
        state::Runs,
    },
};
use crate::{api::DatabaseMigrationStatus, validate::Source};

/// The facts, and what follows from them for every section alike.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    /// As gathered.
    pub facts: &'a Facts,
    /// The moment of the decision.
    pub now: Timestamp,
    /// How its runs stand.
    pub runs: Runs<'a>,
    /// What the status will say, without its conditions.
    pub status: DatabaseMigrationStatus,
}

impl<'a> Situation<'a> {
    /// Reads the facts.
    pub fn of(facts: &'a Facts, now: Timestamp) -> Self {
        let known = known(facts);
        let current = CurrentRun::of(&known).map(|current| database::the_same(facts, current));
        let runs = Runs::of(known, current, now);
        let status = record::status(facts, &runs);
        Self { facts, now, runs, status }
    }
}

/// What is known about the runs of a DatabaseMigration.
pub fn known(facts: &Facts) -> Known<'_> {
    let image = match facts.migration.as_ref().map(|migration| &migration.source) {
        Ok(Source::Image { reference, .. }) => Some(reference.as_str()),
        _ => None,
    };
    let published = &facts.published;
    Known {
        name: &facts.name,
        uid: &facts.uid,
        desired: digest::desired(facts).filter(|_| facts.migration.is_ok()),
        route: facts.route,
        fingerprints: &facts.fingerprints,
        image,
        runs: &facts.runs,
        published: Remembered {
            run: published.run.as_ref(),
            history: &published.history,
            blocked_by: &published.blocked_by,
        },
        progress: facts.progress.as_ref(),
        abort: facts.abort.as_deref(),
        paused: facts.paused,
        by_hand: facts.by_hand,
    }
}
