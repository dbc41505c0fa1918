//! For how long one session has kept others from what was there before its transaction, poll by poll. PURE.
//!
//! A lock counts from the poll that sees it first until the poll that sees it no more.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{api::LockHold, sql::LockMode};

/// So many tables are named at most, those that were locked longest.
const NAMED: usize = 10;

/// A lock that a poll has seen.
#[derive(Clone, Debug)]
pub(super) struct SeenLock {
    /// The virtual transaction that holds it.
    pub(super) transaction: String,
    /// The relation, by its oid.
    pub(super) relation: i64,
    pub(super) mode: LockMode,
}

/// The table that has been locked for the longest time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LongestHold {
    pub(super) table: String,
    pub(super) mode: LockMode,
    pub(super) held: Duration,
    pub(super) relations: BTreeSet<i64>,
}

#[derive(Clone, Debug)]
struct Held {
    mode: LockMode,
    since: Instant,
    relations: BTreeSet<i64>,
}

/// What polls have seen so far.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// The virtual transaction that was seen last.
    transaction: Option<String>,
    /// The tables of relations that were locked in it; none for what the transaction itself made.
    tables: BTreeMap<i64, Option<String>>,
    held: BTreeMap<String, Held>,
    longest: BTreeMap<String, (Duration, LockMode)>,
}

impl Holds {
    /// The relations of which the table is to be told, before these locks are noted.
    pub(super) fn unknown(&mut self, locks: &[SeenLock]) -> Vec<i64> {
        // What one transaction made, the next one finds.
        let transaction = locks.first().map(|lock| lock.transaction.clone());
        if transaction.is_some() && transaction != self.transaction {
            self.tables.clear();
        }
        locks
            .iter()
            .map(|lock| lock.relation)
            .filter(|relation| !self.tables.contains_key(relation))
            .collect()
    }

    /// Of these relations, those have a table that was there before.
    pub(super) fn learn(&mut self, relations: &[i64], tables: Vec<(i64, String)>) {
        self.tables.extend(relations.iter().map(|relation| (*relation, None)));
        self.tables.extend(tables.into_iter().map(|(relation, table)| (relation, Some(table))));
    }

    /// Notes what a poll has seen: all locks that are held at this moment.
    pub(super) fn note(&mut self, locks: &[SeenLock], now: Instant) {
        let transaction = locks.first().map(|lock| lock.transaction.clone());
        if transaction != self.transaction {
            self.close(now, |_| true);
            self.transaction = transaction;
        }
        let mut seen: BTreeMap<String, (LockMode, BTreeSet<i64>)> = BTreeMap::new();
        for lock in locks {
            if let Some(Some(table)) = self.tables.get(&lock.relation) {
                let (mode, relations) =
                    seen.entry(table.clone()).or_insert_with(|| (lock.mode, BTreeSet::new()));
                *mode = lock.mode.max(*mode);
                relations.insert(lock.relation);
            }
        }
        self.close(now, |table| !seen.contains_key(table));
        for (table, (mode, relations)) in seen {
            let held = self.held.entry(table).or_insert_with(|| Held {
                mode,
                since: now,
                relations: BTreeSet::new(),
            });
            held.mode = mode.max(held.mode);
            held.relations.extend(relations);
        }
    }

    fn close(&mut self, now: Instant, ended: impl Fn(&str) -> bool) {
        let closed: Vec<String> = self.held.keys().filter(|table| ended(table)).cloned().collect();
        for table in closed {
            if let Some(held) = self.held.remove(&table) {
                let time = now.saturating_duration_since(held.since);
                let longest = self.longest.entry(table).or_insert((time, held.mode));
                *longest = (*longest).max((time, held.mode));
            }
        }
    }

    /// The virtual transaction that was seen last.
    pub(super) fn transaction(&self) -> Option<&str> {
        self.transaction.as_deref()
    }

    /// What is locked for longer than this, the longest one.
    pub(super) fn over(&self, limit: Duration, now: Instant) -> Option<LongestHold> {
        let (table, held) = self.held.iter().min_by_key(|(_, held)| held.since)?;
        let time = now.saturating_duration_since(held.since);
        (time >= limit).then(|| LongestHold {
            table: table.clone(),
            mode: held.mode,
            held: time,
            relations: held.relations.clone(),
        })
    }

    /// The longest time for each table, the longest first, a bounded number of them.
    pub(super) fn longest(&self) -> Vec<LockHold> {
        let mut all: Vec<_> = self.longest.iter().collect();
        all.sort_by_key(|(table, (time, _))| (std::cmp::Reverse(*time), table.as_str()));
        all.into_iter()
            .take(NAMED)
            .map(|(table, (time, mode))| LockHold {
                table: table.clone(),
                mode: mode.words().to_owned(),
                milliseconds: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(transaction: &str, relation: i64, mode: LockMode) -> SeenLock {
        SeenLock { transaction: transaction.to_owned(), relation, mode }
    }

    /// The tables are 1, its index 11, and 2; anything else is made by the transaction itself.
    fn poll(holds: &mut Holds, locks: &[SeenLock], now: Instant) {
        let unknown = holds.unknown(locks);
        let table = |relation: &i64| match relation {
            1 | 11 => Some((*relation, "public.visits".to_owned())),
            2 => Some((2, "public.rooms".to_owned())),
            _ => None,
        };
        let known = unknown.iter().filter_map(table).collect();
        holds.learn(&unknown, known);
        holds.note(locks, now);
    }

    fn told(holds: &Holds) -> Vec<(String, String, u64)> {
        holds.longest().into_iter().map(|hold| (hold.table, hold.mode, hold.milliseconds)).collect()
    }

    #[test]
    fn a_table_counts_from_its_first_lock_to_the_last_whatever_relation_of_it_is_locked() {
        let (start, mut holds) = (Instant::now(), Holds::default());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        poll(&mut holds, &[lock("3/1", 1, LockMode::Share)], at(0));
        poll(
            &mut holds,
            &[lock("3/1", 1, LockMode::Share), lock("3/1", 11, LockMode::AccessExclusive)],
            at(100),
        );
        assert_eq!(holds.over(Duration::from_millis(101), at(100)), None);
        let over = holds.over(Duration::from_millis(100), at(100)).expect("it is over");
        assert_eq!((over.table.as_str(), over.mode), ("public.visits", LockMode::AccessExclusive));
        assert_eq!((over.held, over.relations), (Duration::from_millis(100), BTreeSet::from([1, 11])));
        assert_eq!(told(&holds), [], "it is held still");
        poll(&mut holds, &[], at(120));
        assert_eq!(told(&holds), [("public.visits".to_owned(), "ACCESS EXCLUSIVE".to_owned(), 120)]);
        assert_eq!(holds.over(Duration::ZERO, at(500)), None);
    }

    #[test]
    fn each_transaction_counts_by_itself_and_the_longest_of_them_is_told() {
        let (start, mut holds) = (Instant::now(), Holds::default());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        poll(&mut holds, &[lock("3/1", 1, LockMode::Share), lock("3/1", 2, LockMode::Share)], at(0));
        poll(&mut holds, &[lock("3/2", 1, LockMode::Share)], at(40));
        assert_eq!(holds.over(Duration::from_millis(1), at(40)), None, "the second one has just begun");
        poll(&mut holds, &[], at(60));
        let share = "SHARE".to_owned();
        assert_eq!(
            told(&holds),
            [("public.rooms".to_owned(), share.clone(), 40), ("public.visits".to_owned(), share, 40)]
        );
    }

    #[test]
    fn what_the_transaction_made_keeps_no_session_waiting_until_the_next_transaction_locks_it() {
        let (start, mut holds) = (Instant::now(), Holds::default());
        poll(&mut holds, &[lock("3/1", 9, LockMode::AccessExclusive)], start);
        assert_eq!(holds.over(Duration::ZERO, start), None);
        assert_eq!(holds.unknown(&[lock("3/1", 9, LockMode::Share)]), [0_i64; 0]);
        assert_eq!(holds.unknown(&[lock("3/2", 9, LockMode::Share)]), [9], "it was there before this one");
    }

    #[test]
    fn few_tables_are_named_and_these_were_locked_longest() {
        let (start, mut holds) = (Instant::now(), Holds::default());
        let locks: Vec<_> = (0..30).map(|relation| lock("3/1", relation, LockMode::Share)).collect();
        let unknown = holds.unknown(&locks);
        holds.learn(&unknown, (0..30).map(|relation| (relation, format!("t{relation:02}"))).collect());
        for count in (0..=30).rev() {
            let at = start + Duration::from_millis(300 - 10 * count as u64);
            holds.note(&locks[..count], at);
        }
        let names: Vec<String> = holds.longest().into_iter().map(|hold| hold.table).collect();
        assert_eq!(names, (0..NAMED).map(|relation| format!("t{relation:02}")).collect::<Vec<_>>());
    }
}
