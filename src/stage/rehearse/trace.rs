//! What each statement of a transaction locks and writes anew, of what was there before the transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::result::{RehearsedTransaction, RelationKind, Rewrite, Seen, StatementPlace, Taken};
use crate::{
    postgres::{
        FileOfRelation, HeldLock, KnownRelation, QueryError, Session, files, known_relations, locks_held,
    },
    sql::LockMode,
};

/// What is known of a transaction that is rehearsed.
pub(super) struct Trace {
    known: BTreeMap<i64, KnownRelation>,
    held: BTreeSet<HeldLock>,
    seen: Vec<Seen>,
}

/// A statement that ran.
pub(super) struct Ran {
    pub(super) place: StatementPlace,
    pub(super) took: Duration,
    pub(super) rows: u64,
}

impl Trace {
    /// Between [`Session::begin`] and the first statement, or before one that runs by itself.
    pub(super) async fn begin(session: &mut Session) -> Result<Self, QueryError> {
        let relations = known_relations(session.trusted().await?).await?;
        let known = relations.into_iter().map(|relation| (relation.oid, relation)).collect();
        Ok(Self { known, held: BTreeSet::new(), seen: Vec::new() })
    }

    /// After a statement of the transaction that is open.
    pub(super) async fn note(&mut self, session: &mut Session, ran: Ran) -> Result<(), QueryError> {
        let known = &self.known;
        let (held, files) = session
            .interject(async |connection| {
                let held = locks_held(connection).await?;
                let files = files(connection, &rewritable(&held, known)).await?;
                Ok((held, files))
            })
            .await?;
        self.add(ran, &held, &files);
        Ok(())
    }

    /// After one that ran by itself. It holds nothing any more: only that it could not have rewritten what it
    /// rewrote without ACCESS EXCLUSIVE is known of its locks.
    pub(super) async fn alone(
        mut self,
        session: &mut Session,
        ran: Ran,
    ) -> Result<RehearsedTransaction, QueryError> {
        let all: Vec<i64> = self.known.keys().copied().collect();
        let files = files(session.trusted().await?, &all).await?;
        let rewritten = files.iter().filter(|file| self.is_rewritten(file));
        let locks: Vec<HeldLock> = rewritten
            .map(|file| HeldLock {
                relation: file.relation,
                mode: LockMode::AccessExclusive.lock().to_owned(),
            })
            .collect();
        self.add(ran, &locks, &files);
        Ok(RehearsedTransaction::alone(self.seen.remove(0)))
    }

    /// What was seen, and how it ended.
    pub(super) fn end(self, closing: Duration, committed: bool) -> RehearsedTransaction {
        RehearsedTransaction::of(self.seen, closing, committed)
    }

    fn is_rewritten(&self, file: &FileOfRelation) -> bool {
        self.known.get(&file.relation).is_some_and(|known| known.file != 0 && known.file != file.file)
    }

    /// Of what is held after a statement, what was not held before it, and what no longer is. PURE.
    fn add(&mut self, ran: Ran, held: &[HeldLock], files: &[FileOfRelation]) {
        let held: BTreeSet<HeldLock> =
            held.iter().filter(|lock| self.known.contains_key(&lock.relation)).cloned().collect();
        let before = self.seen.len().checked_sub(1);
        for gone in self.held.difference(&held) {
            let (name, mode) = (&self.known[&gone.relation].name, mode(&gone.mode));
            let taken = self.seen.iter_mut().rev().flat_map(|seen| &mut seen.locks);
            let mut same =
                taken.filter(|lock| lock.relation == *name && lock.mode == mode && lock.until.is_none());
            if let Some(lock) = same.next() {
                lock.until = before;
            }
        }
        let locks = held.difference(&self.held).map(|lock| {
            let known = &self.known[&lock.relation];
            Taken {
                relation: known.name.clone(),
                kind: RelationKind::of_letter(&known.kind),
                mode: mode(&lock.mode),
                until: None,
            }
        });
        let locks = locks.collect();
        let mut rewrites = Vec::new();
        for file in files.iter().filter(|file| self.is_rewritten(file)) {
            let known = &self.known[&file.relation];
            rewrites.push(Rewrite {
                relation: known.name.clone(),
                kind: RelationKind::of_letter(&known.kind),
                bytes: u64::try_from(file.bytes).unwrap_or_default(),
            });
        }
        for file in files {
            if let Some(known) = self.known.get_mut(&file.relation) {
                known.file = file.file;
            }
        }
        self.held = held;
        self.seen.push(Seen { place: ran.place, took: ran.took, rows: ran.rows, locks, rewrites });
    }
}

/// A mode that no version of PostgreSQL had is taken for the strongest.
fn mode(lock: &str) -> LockMode {
    LockMode::of_lock(lock).unwrap_or(LockMode::AccessExclusive)
}

/// Nothing gets a new file without the strongest lock.
fn rewritable(held: &[HeldLock], known: &BTreeMap<i64, KnownRelation>) -> Vec<i64> {
    held.iter()
        .filter(|lock| lock.mode == LockMode::AccessExclusive.lock() && known.contains_key(&lock.relation))
        .map(|lock| lock.relation)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::result::RehearsedStatement, *};

    fn trace() -> Trace {
        let table = |oid, name: &str| {
            let relation =
                KnownRelation { oid, name: name.to_owned(), kind: "r".to_owned(), file: 100 + oid };
            (oid, relation)
        };
        Trace {
            known: BTreeMap::from([table(1, "public.a"), table(2, "public.b")]),
            held: BTreeSet::new(),
            seen: Vec::new(),
        }
    }

    fn ran(line: u32) -> Ran {
        let place =
            StatementPlace { migration: String::new(), file: String::new(), line, statement: String::new() };
        Ran { place, took: Duration::from_millis(100), rows: 0 }
    }

    fn lock(relation: i64, mode: &str) -> HeldLock {
        HeldLock { relation, mode: mode.to_owned() }
    }

    #[test]
    fn a_lock_is_of_the_statement_that_took_it_and_what_is_new_in_the_transaction_is_left_out() {
        let mut trace = trace();
        let (strong, weak) = (lock(1, "AccessExclusiveLock"), lock(2, "RowExclusiveLock"));
        let moved = FileOfRelation { relation: 1, file: 900, bytes: 8192 };
        trace.add(ran(1), std::slice::from_ref(&strong), std::slice::from_ref(&moved));
        trace.add(ran(2), &[strong.clone(), weak, lock(77, "AccessExclusiveLock")], &[moved]);
        trace.add(ran(3), &[strong], &[]);
        let ended = trace.end(Duration::ZERO, true);
        let told: Vec<Vec<(&str, u64)>> = ended
            .statements
            .iter()
            .map(|statement| {
                statement.locks.iter().map(|lock| (lock.relation.as_str(), lock.held_milliseconds)).collect()
            })
            .collect();
        assert_eq!(told, [vec![("public.a", 300)], vec![("public.b", 100)], vec![]]);
        let rewrites: Vec<u64> = ended.statements.iter().map(RehearsedStatement::rewritten).collect();
        assert_eq!(rewrites, [8192, 0, 0], "it is rewritten once");
    }
}
