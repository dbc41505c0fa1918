//! Whether a release kept within `spec.before.rehearsal.limits`, and the line that says where it did not. PURE.

use std::time::Duration;

use bytesize::ByteSize;

use super::result::{Rehearsal, RehearsedStatement};
use crate::validate::RehearsalLimits;

/// What is over a limit, the lock first; none where nothing is.
pub(super) fn exceeded(rehearsal: &Rehearsal, limits: &RehearsalLimits) -> Option<String> {
    let over = [lock(rehearsal, limits), rewrite(rehearsal, limits), duration(rehearsal, limits)];
    let over: Vec<String> = over.into_iter().flatten().collect();
    (!over.is_empty()).then(|| over.join("; "))
}

fn lock(rehearsal: &Rehearsal, limits: &RehearsalLimits) -> Option<String> {
    let limit = limits.lock_held?;
    let (statement, lock) = rehearsal.longest_lock()?;
    (u128::from(lock.held_milliseconds) > limit.duration().as_millis()).then(|| {
        format!(
            "{} locks {} ({}) for {}, and spec.before.rehearsal.limits.lockHeld is {limit}",
            place(statement),
            lock.relation,
            lock.mode.words(),
            seconds(lock.held_milliseconds)
        )
    })
}

fn rewrite(rehearsal: &Rehearsal, limits: &RehearsalLimits) -> Option<String> {
    let limit = limits.rewrite?;
    let most = rehearsal.statements().max_by_key(|statement| statement.rewritten())?;
    let all = rehearsal.rewritten();
    (all > limit).then(|| {
        format!(
            "{} of existing tables and indexes are written anew, {} of them by {}, and \
                spec.before.rehearsal.limits.rewrite is {}",
            ByteSize::b(all),
            ByteSize::b(most.rewritten()),
            place(most),
            ByteSize::b(limit)
        )
    })
}

fn duration(rehearsal: &Rehearsal, limits: &RehearsalLimits) -> Option<String> {
    let limit = limits.duration?;
    let most = rehearsal.statements().max_by_key(|statement| statement.milliseconds)?;
    let all = rehearsal.milliseconds();
    (u128::from(all) > limit.duration().as_millis()).then(|| {
        format!(
            "the statements take {} on the copy, {} takes {} of them, and \
                spec.before.rehearsal.limits.duration is {limit}",
            seconds(all),
            place(most),
            seconds(most.milliseconds)
        )
    })
}

/// What the release did on the copy in one sentence, its worst lock included.
pub(super) fn summary(rehearsal: &Rehearsal) -> String {
    let held = rehearsal.longest_lock().map_or_else(
        || "it keeps no writer waiting".to_owned(),
        |(statement, lock)| {
            format!(
                "{} locks {} for longest, {} ({})",
                place(statement),
                lock.relation,
                seconds(lock.held_milliseconds),
                lock.mode.words()
            )
        },
    );
    let rewritten = match rehearsal.rewritten() {
        0 => String::new(),
        bytes => format!("; {} are written anew", ByteSize::b(bytes)),
    };
    let (statements, took) = (rehearsal.statements().count(), seconds(rehearsal.milliseconds()));
    format!("{statements} statement(s) took {took} on the {}; {held}{rewritten}", rehearsal.on.to_lowercase())
}

fn place(statement: &RehearsedStatement) -> String {
    format!("{}:{}", statement.place.file, statement.place.line)
}

fn seconds(milliseconds: u64) -> String {
    match milliseconds {
        0..=999 => format!("{milliseconds} ms"),
        _ => format!("{:.1} s", Duration::from_millis(milliseconds).as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::Span,
        sql::LockMode,
        stage::{RehearsedLock, RehearsedTransaction, RelationKind, Rewrite, StatementPlace},
    };

    /// A statement of this line that holds its lock for so long, and writes so much anew.
    fn statement(line: u32, (mode, held): (LockMode, u64), bytes: u64) -> RehearsedStatement {
        let place = StatementPlace {
            migration: "2_wider".into(),
            file: "2_wider/migration.sql".into(),
            line,
            statement: "ALTER TABLE visits".into(),
        };
        let (relation, kind) = ("public.visits".to_owned(), RelationKind::Table);
        let lock = RehearsedLock { relation: relation.clone(), kind, mode, held_milliseconds: held };
        RehearsedStatement {
            place,
            milliseconds: held,
            rows: 0,
            locks: vec![lock],
            rewrites: vec![Rewrite { relation, kind, bytes }],
        }
    }

    fn rehearsal(statements: Vec<RehearsedStatement>) -> Rehearsal {
        let milliseconds = statements.iter().map(|statement| statement.milliseconds).sum();
        let transaction = RehearsedTransaction {
            in_transaction: true,
            committed: true,
            milliseconds,
            commit_milliseconds: 0,
            statements,
        };
        Rehearsal { transactions: vec![transaction], ..Rehearsal::passed("Snapshot", String::new()) }
    }

    fn two() -> Rehearsal {
        rehearsal(vec![
            statement(3, (LockMode::AccessExclusive, 2000), 3 << 20),
            statement(7, (LockMode::RowExclusive, 9000), 5 << 20),
        ])
    }

    fn told(limits: RehearsalLimits) -> Option<String> {
        exceeded(&two(), &limits)
    }

    #[test]
    fn a_lock_may_be_held_for_as_long_as_the_limit_and_no_longer() {
        let lock_held = |millis| RehearsalLimits {
            lock_held: Some(Span::from_millis(millis)),
            ..RehearsalLimits::default()
        };
        assert_eq!(told(lock_held(2000)), None, "and what no writer waits for does not count");
        let over = "2_wider/migration.sql:3 locks public.visits (ACCESS EXCLUSIVE) for 2.0 s, and \
            spec.before.rehearsal.limits.lockHeld is 1s999ms";
        assert_eq!(told(lock_held(1999)).as_deref(), Some(over));
    }

    #[test]
    fn what_is_written_anew_counts_together() {
        let rewrite = |bytes| RehearsalLimits { rewrite: Some(bytes), ..RehearsalLimits::default() };
        assert_eq!(told(rewrite(8 << 20)), None);
        let over = told(rewrite((8 << 20) - 1)).expect("is over it");
        assert!(over.contains("8.0 MiB of existing tables") && over.contains("5.0 MiB"), "{over}");
        assert!(over.contains("by 2_wider/migration.sql:7"), "{over}");
    }

    #[test]
    fn all_statements_together_may_take_as_long_as_the_limit_and_no_longer() {
        let duration = |millis| RehearsalLimits {
            duration: Some(Span::from_millis(millis)),
            ..RehearsalLimits::default()
        };
        assert_eq!(told(duration(11_000)), None);
        let over = told(duration(10_999)).expect("is over it");
        assert!(over.contains("take 11.0 s") && over.contains("migration.sql:7 takes 9.0 s"), "{over}");
    }

    #[test]
    fn without_limits_nothing_is_over_one_and_of_several_each_is_told() {
        assert_eq!(told(RehearsalLimits::default()), None);
        let limits = RehearsalLimits {
            lock_held: Some(Span::from_millis(1)),
            rewrite: Some(1),
            duration: Some(Span::from_millis(1)),
        };
        assert_eq!(told(limits).map(|over| over.split("; ").count()), Some(3));
    }

    #[test]
    fn the_summary_has_the_lock_that_is_held_for_longest_and_says_where_there_is_none() {
        let expected = "2 statement(s) took 11.0 s on the snapshot; 2_wider/migration.sql:3 locks public.visits \
            for longest, 2.0 s (ACCESS EXCLUSIVE); 8.0 MiB are written anew";
        assert_eq!(summary(&two()), expected);
        let quiet = rehearsal(vec![statement(1, (LockMode::RowExclusive, 40), 0)]);
        assert_eq!(summary(&quiet), "1 statement(s) took 40 ms on the snapshot; it keeps no writer waiting");
    }
}
