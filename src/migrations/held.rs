//! Which contracts are held, with every file after them: those whose expansion is too young, by the history. PURE.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{HistoryRow, SourceTree, contract::Contract};

/// Which contracts are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds<'a> {
    /// Those whose expansion is too young at this moment.
    At(Timestamp),
    /// All of them: nothing is to run.
    All,
    /// This one, or none: as the plan of the run has decided.
    Only(Option<&'a str>),
}

/// A migration that is held, and with it those after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its place in the source.
    pub at: usize,
    /// Its name.
    pub migration: String,
    /// What it says of itself.
    pub contract: Contract,
    /// Since when the expansion is applied; none where it is not yet.
    pub since: Option<Timestamp>,
    /// From when on it may run; none where that is not known.
    pub eligible_at: Option<Timestamp>,
    /// How many are held, it included.
    pub count: usize,
}

impl Held {
    /// What it waits for, in a sentence.
    pub fn message(&self) -> String {
        let Contract { of, min_age } = &self.contract;
        let more = match self.count {
            0 | 1 => String::new(),
            count => format!(", and {} after it", count - 1),
        };
        let name = &self.migration;
        match self.eligible_at {
            Some(at) => format!(
                "{name} is held until {}{more}: it is the contract of {of}, which has to be applied for {min_age}",
                whole_seconds(at)
            ),
            None => format!(
                "{name} is held{more}: it is the contract of {of}, which is not applied yet and has to be for {min_age}"
            ),
        }
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// The first migration that is held; an error names a contract of a migration that there is not.
pub(super) fn first_held(
    source: &SourceTree,
    applied: &BTreeMap<&str, &HistoryRow>,
    holds: Holds<'_>,
) -> Result<Option<Held>, String> {
    let is_open = |at: &usize| {
        let migration = &source.migrations[*at];
        migration.phase().is_none() && !applied.contains_key(migration.name.as_str())
    };
    let open: Vec<usize> = (0..source.migrations.len()).filter(is_open).collect();
    for (before, at) in open.iter().enumerate() {
        let migration = &source.migrations[*at];
        // What cannot be read is told where it is to be run.
        let Some(contract) = migration.script().ok().and_then(|script| script.contract.as_ref()) else {
            continue;
        };
        let is_before = source.migrations[..*at].iter().any(|earlier| earlier.name == contract.of);
        if !is_before && !applied.contains_key(contract.of.as_str()) {
            return Err(format!(
                "{}: it is the contract of {:?}, which is neither applied nor a migration before it: correct of=",
                migration.file, contract.of
            ));
        }
        let since = applied
            .get(contract.of.as_str())
            .and_then(|row| Timestamp::from_millisecond(row.finished_at).ok());
        let age = SignedDuration::try_from(contract.min_age.duration()).unwrap_or(SignedDuration::MAX);
        let eligible_at = since.map(|since| since.saturating_add(age).unwrap_or(Timestamp::MAX));
        let is_held = match holds {
            Holds::At(now) => eligible_at.is_none_or(|eligible_at| now < eligible_at),
            Holds::All => true,
            Holds::Only(name) => name == Some(migration.name.as_str()),
        };
        if is_held {
            let (name, count) = (migration.name.clone(), open.len() - before);
            let contract = contract.clone();
            return Ok(Some(Held { at: *at, migration: name, contract, since, eligible_at, count }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{History, Reason},
        migrations::{Comparison, Migration, Rules, compare},
    };

    const EXPAND: &str = "1_expand";
    const CONTRACT: &str = "-- sluice: contract of=1_expand min-age=2h\nALTER TABLE t DROP COLUMN a;";

    fn moment(second: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + second).expect("a moment")
    }

    fn source(files: &[(&str, &str)]) -> SourceTree {
        let migration = |(name, sql): &(&str, &str)| {
            Migration::new((*name).to_owned(), format!("{name}/migration.sql"), *sql)
        };
        SourceTree { migrations: files.iter().map(migration).collect(), ..SourceTree::default() }
    }

    /// Compares, with these applied at the moment 0.
    fn compared(files: &[(&str, &str)], applied: &[&str], holds: Holds<'_>) -> Comparison {
        let source = source(files);
        let row = |name: &&str| HistoryRow {
            id: (*name).to_owned(),
            checksum: source
                .migrations
                .iter()
                .find(|it| it.name == **name)
                .expect("is there")
                .checksum
                .clone(),
            name: (*name).to_owned(),
            started_at: String::new(),
            finished: true,
            rolled_back: false,
            resumable: false,
            finished_at: moment(0).as_millisecond(),
        };
        let rows: Vec<HistoryRow> = applied.iter().map(row).collect();
        let (history, texts) = (History::default(), BTreeMap::new());
        compare(&source, &rows, &Rules { target: None, history: &history, texts: &texts, holds })
    }

    const FILES: [(&str, &str); 4] =
        [(EXPAND, "SELECT 1;"), ("2_other", "SELECT 2;"), ("3_contract", CONTRACT), ("4_later", "SELECT 4;")];

    #[test]
    fn a_contract_and_everything_after_it_is_held_until_its_expansion_is_old_enough() {
        let at = |second| compared(&FILES, &[EXPAND], Holds::At(moment(second)));
        let early = at(7199);
        let held = early.held.clone().expect("is held");
        assert_eq!((early.pending, held.migration.as_str(), held.count), (vec![1], "3_contract", 2));
        assert_eq!((held.since, held.eligible_at), (Some(moment(0)), Some(moment(7200))));
        assert!(held.message().starts_with("3_contract is held until 2026-"), "{}", held.message());
        assert!(
            held.message().contains(", and 1 after it: it is the contract of 1_expand"),
            "{}",
            held.message()
        );
        let due = at(7200);
        assert_eq!((due.pending, due.held), (vec![1, 2, 3], None));
    }

    #[test]
    fn an_expansion_of_the_same_release_is_applied_first_and_its_contract_waits() {
        let first = compared(&FILES, &[], Holds::At(moment(9_000_000)));
        let held = first.held.expect("is held");
        assert_eq!((first.pending, held.since, held.eligible_at), (vec![0, 1], None, None));
        assert!(held.message().contains("which is not applied yet"), "{}", held.message());
    }

    #[test]
    fn what_the_plan_has_decided_holds_whatever_the_time_is_by_then() {
        let with = |holds| compared(&FILES, &[EXPAND], holds).pending;
        assert_eq!(with(Holds::Only(None)), [1, 2, 3]);
        assert_eq!(with(Holds::Only(Some("3_contract"))), [1]);
        assert_eq!(with(Holds::All), [1]);
        assert_eq!(with(Holds::Only(Some("gone"))), [1, 2, 3]);
    }

    #[test]
    fn what_is_applied_is_not_held() {
        let names = FILES.map(|(name, _)| name);
        let all = compared(&FILES, &names, Holds::All);
        assert_eq!((all.pending, all.held, all.objection), (vec![], None, None));
    }

    #[test]
    fn a_contract_of_nothing_is_refused_with_its_file() {
        for of in ["1_expant", "3_contract", "4_later"] {
            let sql = format!("-- sluice: contract of={of}\nSELECT 1;");
            let files = [FILES[0], ("3_contract", sql.as_str()), FILES[3]];
            let (reason, message) =
                compared(&files, &[EXPAND], Holds::At(moment(0))).objection.expect("is refused");
            assert_eq!(reason, Reason::SourceInvalid);
            assert!(message.contains("3_contract/migration.sql") && message.contains(of), "{message}");
        }
    }
}
