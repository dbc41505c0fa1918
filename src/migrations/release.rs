//! What is pending becomes groups: as few transactions as PostgreSQL allows. PURE.
//!
//! A release is one transaction. It is cut only around files with statements that run alone or that ask for
//! an isolation level, after a new enum value, and before the server's lock table would overflow.

use std::ops::Range;

use super::{Script, Statement, StatementKind};
use crate::api::Atomicity;

/// A part of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// These migrations are one transaction, with their history rows.
    Transaction(Vec<usize>),
    /// This migration runs step by step; each finished step is journaled, so that a retry goes on where it
    /// stopped.
    Stepwise {
        /// Which.
        migration: usize,
        /// Its steps, in order.
        steps: Vec<Step>,
    },
}

/// A step of a migration that cannot be one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// These statements are one transaction.
    Transactional(Range<usize>),
    /// This statement runs outside a transaction.
    Autocommit(usize),
    /// This statement runs in batches, each a transaction.
    Backfill(usize),
    /// This ALTER TABLE is done by copy and swap.
    Copy(usize),
}

/// Groups the scripts of a release. `lock_budget` is how many entries of the lock table one transaction may
/// use.
pub fn plan_groups(scripts: &[Script], atomicity: Atomicity, lock_budget: u32) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut locks = 0;
    for (at, script) in scripts.iter().enumerate() {
        if !script.is_transactional() {
            close(&mut groups, &mut open);
            groups.push(Group::Stepwise { migration: at, steps: steps(script) });
            locks = 0;
            continue;
        }
        let isolated = script.isolation().is_some();
        let needs: u32 = script.statements.iter().map(|statement| statement.locks).sum();
        if !open.is_empty() && (isolated || locks + needs > lock_budget) {
            close(&mut groups, &mut open);
            locks = 0;
        }
        open.push(at);
        locks += needs;
        if atomicity == Atomicity::Migration || script.adds_enum_value() || isolated {
            close(&mut groups, &mut open);
            locks = 0;
        }
    }
    close(&mut groups, &mut open);
    groups
}

/// Where the last transaction of a release is: its group and, in one that goes step by step, the step. What
/// follows it are statements that run alone.
pub fn last_transaction(groups: &[Group]) -> Option<(usize, usize)> {
    groups.iter().enumerate().rev().find_map(|(number, group)| match group {
        Group::Transaction(_) => Some((number, 0)),
        Group::Stepwise { steps, .. } => {
            steps.iter().rposition(|step| matches!(step, Step::Transactional(_))).map(|step| (number, step))
        }
    })
}

fn close(groups: &mut Vec<Group>, open: &mut Vec<usize>) {
    if !open.is_empty() {
        groups.push(Group::Transaction(std::mem::take(open)));
    }
}

/// The steps of a file that cannot be one transaction.
pub fn steps(script: &Script) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut start = 0;
    for (at, Statement { kind, .. }) in script.statements.iter().enumerate() {
        let alone = match kind {
            StatementKind::Backfill(_) => Some(Step::Backfill(at)),
            StatementKind::Copy(_) => Some(Step::Copy(at)),
            kind => kind.runs_alone().then_some(Step::Autocommit(at)),
        };
        if let Some(step) = alone {
            if start < at {
                steps.push(Step::Transactional(start..at));
            }
            steps.push(step);
            start = at + 1;
        } else if script.must_commit_after(at) {
            steps.push(Step::Transactional(start..at + 1));
            start = at + 1;
        }
    }
    if start < script.statements.len() {
        steps.push(Step::Transactional(start..script.statements.len()));
    }
    steps
}

/// How a file runs, in the words of `plan` and of `lint`.
pub fn how(script: &Script) -> String {
    let steps = steps(script);
    if let [Step::Backfill(at)] = steps[..]
        && let StatementKind::Backfill(backfill) = &script.statements[at].kind
    {
        return format!("in batches by {}", backfill.batches.shown());
    }
    if let [Step::Copy(_)] = steps[..] {
        return "by copy and swap".to_owned();
    }
    let count = |is: fn(&Step) -> bool| steps.iter().filter(|step| is(step)).count();
    let alone = count(|step| matches!(step, Step::Autocommit(_)));
    let batched = count(|step| matches!(step, Step::Backfill(_) | Step::Copy(_)));
    match (steps.len(), alone, batched) {
        (1, 1, _) => "outside a transaction".to_owned(),
        (0 | 1, ..) => "in a transaction".to_owned(),
        _ if script.is_transactional() => "in a transaction".to_owned(),
        (transactions, 0, 0) => format!("in {transactions} transactions"),
        (steps, alone, 0) => format!("in {steps} steps, {alone} of them outside a transaction"),
        (steps, 0, batched) => format!("in {steps} steps, {batched} of them in batches"),
        (steps, alone, batched) => {
            format!("in {steps} steps, {alone} of them outside a transaction and {batched} in batches")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::split;

    fn groups(files: &[&str], atomicity: Atomicity, budget: u32) -> Vec<Group> {
        let scripts: Vec<_> = files.iter().map(|sql| split(*sql).expect("splits")).collect();
        plan_groups(&scripts, atomicity, budget)
    }

    #[test]
    fn a_release_is_one_transaction() {
        let groups = groups(&["SELECT 1;", "SELECT 2;", "SELECT 3;"], Atomicity::Release, 1000);
        assert_eq!(groups, [Group::Transaction(vec![0, 1, 2])]);
    }

    #[test]
    fn each_migration_is_one_where_the_manifest_says_so() {
        let groups = groups(&["SELECT 1;", "SELECT 2;"], Atomicity::Migration, 1000);
        assert_eq!(groups, [Group::Transaction(vec![0]), Group::Transaction(vec![1])]);
    }

    #[test]
    fn a_mixed_file_is_split_into_steps_and_cuts_the_release() {
        let mixed = "CREATE TABLE t (a int); CREATE INDEX CONCURRENTLY i ON t (a); SELECT 1; SELECT 2;";
        let groups = groups(&["SELECT 1;", mixed, "SELECT 2;"], Atomicity::Release, 1000);
        let steps = vec![Step::Transactional(0..1), Step::Autocommit(1), Step::Transactional(2..4)];
        assert_eq!(
            groups,
            [
                Group::Transaction(vec![0]),
                Group::Stepwise { migration: 1, steps },
                Group::Transaction(vec![2])
            ]
        );
    }

    #[test]
    fn the_last_transaction_may_be_a_step() {
        let last = |files: &[&str]| last_transaction(&groups(files, Atomicity::Migration, 1000));
        assert_eq!(last(&["SELECT 1;", "SELECT 2;"]), Some((1, 0)));
        assert_eq!(last(&["SELECT 1;", "VACUUM t;"]), Some((0, 0)));
        assert_eq!(last(&["SELECT 1;", "VACUUM t; SELECT 2; VACUUM t;"]), Some((1, 1)));
        assert_eq!(last(&["VACUUM t;"]), None);
    }

    #[test]
    fn each_statement_of_a_file_without_a_transaction_is_a_step() {
        let expected = Group::Stepwise {
            migration: 0,
            steps: vec![Step::Transactional(0..1), Step::Transactional(1..2)],
        };
        assert_eq!(
            groups(&["-- sluice: no-transaction\nSELECT 1;\nSELECT 2;"], Atomicity::Release, 1000),
            [expected]
        );
    }

    #[test]
    fn a_new_enum_value_is_committed_before_anything_can_use_it() {
        let groups = groups(&["ALTER TYPE m ADD VALUE 'x';", "SELECT 'x'::m;"], Atomicity::Release, 1000);
        assert_eq!(groups, [Group::Transaction(vec![0]), Group::Transaction(vec![1])]);
    }

    #[test]
    fn a_backfill_is_a_step_of_its_own_that_no_transaction_of_the_file_holds() {
        let file = "SELECT 1; SELECT 2;\n-- sluice: backfill key=id\nDELETE FROM t; SELECT 3;";
        let steps = vec![Step::Transactional(0..2), Step::Backfill(2), Step::Transactional(3..4)];
        assert_eq!(groups(&[file], Atomicity::Release, 1000), [Group::Stepwise { migration: 0, steps }]);
    }

    #[test]
    fn how_a_file_runs_is_told_by_what_its_steps_are() {
        for (sql, told) in [
            ("SELECT 1; SELECT 2;", "in a transaction"),
            ("ALTER TYPE m ADD VALUE 'x'; CREATE TABLE t (a text DEFAULT 'other');", "in a transaction"),
            ("ALTER TYPE m ADD VALUE 'x'; CREATE TABLE t (m m DEFAULT 'x');", "in 2 transactions"),
            ("VACUUM t;", "outside a transaction"),
            (
                "SELECT 1; CREATE INDEX CONCURRENTLY i ON t (a); SELECT 2;",
                "in 3 steps, 1 of them outside a transaction",
            ),
            ("-- sluice: no-transaction\nSELECT 1; SELECT 2;", "in 2 transactions"),
            ("-- sluice: backfill key=clinic,id\nDELETE FROM t;", "in batches by clinic, id"),
            ("SELECT 1;\n-- sluice: backfill key=id\nDELETE FROM t;", "in 2 steps, 1 of them in batches"),
            ("-- sluice: copy key=id\nALTER TABLE t ALTER a TYPE bigint;", "by copy and swap"),
            (
                "-- sluice: backfill key=id\nDELETE FROM t;\nVACUUM t;",
                "in 2 steps, 1 of them outside a transaction and 1 in batches",
            ),
            ("", "in a transaction"),
        ] {
            assert_eq!(how(&split(sql).expect("splits")), told, "{sql}");
        }
    }

    #[test]
    fn a_file_that_asks_for_an_isolation_level_is_a_transaction_of_its_own() {
        let isolated = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1;";
        let groups = groups(&["SELECT 1;", isolated, "SELECT 2;"], Atomicity::Release, 1000);
        assert_eq!(
            groups,
            [Group::Transaction(vec![0]), Group::Transaction(vec![1]), Group::Transaction(vec![2])]
        );
    }

    #[test]
    fn the_lock_table_does_not_overflow() {
        let file = "CREATE TABLE t (a int PRIMARY KEY);";
        assert_eq!(groups(&[file; 5], Atomicity::Release, 9).len(), 3);
        assert_eq!(groups(&[file], Atomicity::Release, 1).len(), 1, "a single file is never cut for locks");
    }
}
