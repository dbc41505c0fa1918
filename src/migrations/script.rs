//! A file, split into statements: which of them share a transaction, and what may not stand in a migration.

use std::{borrow::Cow, ops::Range, sync::Arc};

use super::{backfill::Backfill, contract::Contract, table_copy::TableCopy};
use crate::sql::{self, IndexBuild, Isolation, Reach, Verb};

/// A file, split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// In the order of the file.
    pub statements: Vec<Statement>,
    /// What was left out: `BEGIN`, `COMMIT` and the like, in bytes.
    pub marks: Vec<Range<usize>>,
    /// `-- sluice: no-transaction`: each statement is a step of its own.
    pub apart: bool,
    /// `-- sluice: contract`: the file waits until an expansion is old enough.
    pub contract: Option<Contract>,
    /// An earlier attempt ran some of its steps, so it goes on step by step, whatever it says by now.
    pub resumed: bool,
    pub(super) file: Arc<str>,
}

/// One statement of a file.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub(super) file: Arc<str>,
    /// Where in the file it begins, in bytes.
    pub start: usize,
    /// Where in the file it ends, in bytes, without its semicolon.
    pub end: usize,
    /// The line of the file it begins on, counted from 1.
    pub line: u32,
    /// What it needs of a transaction.
    pub kind: StatementKind,
    /// The command that it is.
    pub verb: Verb,
    /// How far it reaches.
    pub reach: Reach,
    /// It runs code that may commit before it ends.
    pub may_commit: bool,
    /// How many entries of the server's lock table it may need until the transaction ends.
    pub locks: u32,
    /// It may make a constraint that can be deferred.
    pub defers: bool,
    /// The transaction has to be committed before the next statement.
    pub commits: bool,
    /// The file commits here and goes on: where nothing depends on it, what is deferred is checked.
    pub ends: bool,
    /// The file says of which isolation level the transaction is that begins here.
    pub isolation: Option<Isolation>,
}

impl Statement {
    /// Its text, without comments around it and without its semicolon.
    pub fn sql(&self) -> &str {
        &self.file[self.start..self.end]
    }
}

/// What a statement needs of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Nothing special.
    Transactional,
    /// `ALTER TYPE … ADD VALUE`: the value cannot be used before the transaction has committed.
    AddEnumValue,
    /// `CREATE INDEX CONCURRENTLY`: outside a transaction, and its left-over is repaired.
    BuildIndex(Box<IndexBuild>),
    /// Runs outside a transaction.
    Autocommit {
        /// It says CONCURRENTLY: it may wait for long without making a session queue, so no limits apply.
        concurrently: bool,
    },
    /// `-- sluice: backfill`: an UPDATE, DELETE or INSERT … SELECT in batches, each a transaction.
    Backfill(Box<Backfill>),
    /// `-- sluice: copy`: an ALTER TABLE that is done of a copy of the table, which is then swapped with it.
    Copy(Box<TableCopy>),
    /// `CALL`, `DO`, and what is not known, where a statement runs alone: it may commit in its middle.
    Opaque,
}

impl StatementKind {
    /// Whether the statement runs outside a transaction.
    pub const fn runs_alone(&self) -> bool {
        matches!(self, Self::BuildIndex(_) | Self::Autocommit { .. } | Self::Opaque)
    }
}

/// A statement that a migration must not contain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// It would end the transaction that carries the history row.
    #[error(
        "line {line}: {statement} is not allowed in a migration: it would take back, or leave undecided, \
            what the history says is done; remove it"
    )]
    TransactionControl {
        /// Where.
        line: u32,
        /// Its first word.
        statement: String,
    },
    /// It would take back, or give up, what another file did in the same transaction.
    #[error(
        "line {line}: this file has made no savepoint {name:?} that PostgreSQL still has here, and a \
            migration can go back behind nothing but its own work: \
         make the savepoint in this file, before this line and after the last COMMIT, or remove the statement"
    )]
    UnknownSavepoint {
        /// Where.
        line: u32,
        /// Its name; empty where none could be read.
        name: String,
    },
    /// It needs a client that sends or takes data.
    #[error(
        "line {line}: COPY from STDIN or to STDOUT needs a client that sends or takes the data, and a \
            migration has none: use INSERT, or COPY from a file of the server"
    )]
    CopyOverTheConnection {
        /// Where.
        line: u32,
    },
    /// It would let go of the locks that keep other migration tools away.
    #[error(
        "line {line}: DISCARD ALL is not allowed in a migration: it gives up the lock that keeps other \
            migration tools away; Sluice puts settings back by itself"
    )]
    DiscardsTheSession {
        /// Where.
        line: u32,
    },
    /// A `-- sluice:` comment that this version does not know; ignoring it could change what the file means.
    #[error(
        "line {line}: the directive {directive:?} is not known to this version of Sluice; correct it, or use \
            a version that knows it"
    )]
    UnknownDirective {
        /// Where.
        line: u32,
        /// What it says.
        directive: String,
    },
    /// A `-- sluice:` comment that is known and cannot be followed where it stands, or as it is written.
    #[error("line {line}: the directive {directive:?} cannot be followed: {problem}")]
    InvalidDirective {
        /// Where.
        line: u32,
        /// What it says.
        directive: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Only psql understands it.
    #[error(
        "line {line}: {command:?} is a command of psql, which PostgreSQL does not know: write it in SQL, or \
            remove it"
    )]
    PsqlCommand {
        /// Where.
        line: u32,
        /// Its first word.
        command: String,
    },
    /// PostgreSQL cannot hold a text with it.
    #[error("line {line}: the file contains a NUL byte, which PostgreSQL takes in no text: remove it")]
    Nul {
        /// Where.
        line: u32,
    },
    /// No server can read it.
    #[error(
        "line {line}: the {what} that begins here is not closed, so PostgreSQL cannot read the file: close it"
    )]
    Unclosed {
        /// Where it begins.
        line: u32,
        /// A string, a comment, a parenthesis.
        what: &'static str,
    },
}

impl ScriptError {
    /// The line of the file, counted from 1.
    pub const fn line(&self) -> u32 {
        match self {
            Self::TransactionControl { line, .. }
            | Self::UnknownSavepoint { line, .. }
            | Self::CopyOverTheConnection { line }
            | Self::DiscardsTheSession { line }
            | Self::UnknownDirective { line, .. }
            | Self::InvalidDirective { line, .. }
            | Self::PsqlCommand { line, .. }
            | Self::Nul { line }
            | Self::Unclosed { line, .. } => *line,
        }
    }
}

impl Script {
    /// Whether every statement can share one transaction with other files.
    pub fn is_transactional(&self) -> bool {
        let shares =
            |kind: &StatementKind| matches!(kind, StatementKind::Transactional | StatementKind::AddEnumValue);
        let alone = self.statements.iter().any(|statement| !shares(&statement.kind));
        let cut = self.statements.iter().rev().skip(1).any(|statement| statement.commits);
        !alone && !cut && !self.apart && !self.resumed
    }

    /// Whether the statements after this one need its effect to be committed, or the file says that each is
    /// to be.
    pub fn must_commit_after(&self, at: usize) -> bool {
        self.statements[at].commits
    }

    /// These statements, apart where the file commits.
    pub fn parts(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut start = range.start;
        let ends = range
            .clone()
            .filter(move |at| self.statements[*at].ends && at + 1 < range.end)
            .chain([range.end.wrapping_sub(1)]);
        ends.map(move |end| std::mem::replace(&mut start, end + 1)..end + 1)
    }

    /// What these statements set with SET LOCAL, where the file commits behind them.
    pub fn local_settings(&self, range: Range<usize>) -> Vec<String> {
        let statements = &self.statements[range];
        let ends = statements.last().is_some_and(|last| last.ends);
        let set = statements.iter().filter(|statement| ends && statement.verb == Verb::Set);
        set.filter_map(|statement| sql::Statement::read(statement.sql()).local_setting).collect()
    }

    /// Whether the file adds a value to an enum.
    pub fn adds_enum_value(&self) -> bool {
        self.statements.iter().any(|statement| statement.kind == StatementKind::AddEnumValue)
    }

    /// The isolation level that its first transaction asks for.
    pub fn isolation(&self) -> Option<Isolation> {
        self.statements.first().and_then(|statement| statement.isolation)
    }

    /// The very text of these statements and of what stands between them, with blanks for what is left out,
    /// so that a place in it is one of the file; and where in the file it begins.
    pub fn text(&self, range: Range<usize>) -> (usize, Cow<'_, str>) {
        let Some((first, last)) = self.statements.get(range).and_then(|part| part.first().zip(part.last()))
        else {
            return (0, Cow::Borrowed(""));
        };
        let (start, text) = (first.start, &self.file[first.start..last.end]);
        let after = |place: usize| self.marks.partition_point(|mark| mark.start < place);
        let marks = &self.marks[after(first.start)..after(last.end)];
        if marks.is_empty() {
            return (start, Cow::Borrowed(text));
        }
        let (mut blanked, mut at) = (String::with_capacity(text.len()), 0);
        for mark in marks {
            let (begins, ends) = (mark.start - start, mark.end - start);
            blanked.push_str(&text[at..begins]);
            blanked.extend(text[begins..ends].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
            at = ends;
        }
        blanked.push_str(&text[at..]);
        (start, Cow::Owned(blanked))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::split, *};

    fn kinds(sql: &str) -> Vec<StatementKind> {
        split(sql).expect("splits").statements.into_iter().map(|statement| statement.kind).collect()
    }

    fn sqls(sql: &str) -> Vec<String> {
        split(sql).expect("splits").statements.iter().map(|statement| statement.sql().to_owned()).collect()
    }

    #[test]
    fn every_statement_has_its_line_and_its_text_without_comments_around_it() {
        let script =
            split("-- a; comment\nSELECT 1 ;\n/* b */ DO $$ BEGIN PERFORM 1; END $$;\n\n;SELECT 2 -- c")
                .expect("splits");
        let lines: Vec<_> =
            script.statements.iter().map(|statement| (statement.line, statement.sql())).collect();
        assert_eq!(lines, [(2, "SELECT 1"), (3, "DO $$ BEGIN PERFORM 1; END $$"), (5, "SELECT 2")]);
    }

    #[test]
    fn every_statement_that_postgresql_refuses_in_a_transaction_runs_alone() {
        for sql in [
            "CREATE INDEX CONCURRENTLY i ON t (a)",
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON s.t (a)",
            "DROP INDEX CONCURRENTLY i",
            "REINDEX INDEX CONCURRENTLY i",
            "REINDEX (CONCURRENTLY) TABLE t",
            "REINDEX SCHEMA s",
            "VACUUM t",
            "VACUUM FULL",
            "ALTER SYSTEM SET work_mem = '4MB'",
            "CREATE DATABASE d",
            "DROP DATABASE d",
            "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
            "CLUSTER",
        ] {
            let kinds = kinds(sql);
            assert!(kinds.len() == 1 && kinds[0].runs_alone(), "{sql}: {kinds:?}");
        }
    }

    #[test]
    fn everything_else_shares_a_transaction() {
        for sql in [
            "CREATE INDEX i ON t (a)",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
            "ALTER TABLE t DETACH PARTITION p",
            "ALTER TABLE t ADD COLUMN concurrently_built boolean",
            "SAVEPOINT a",
            "CREATE POLICY p ON t USING (true)",
        ] {
            assert_eq!(kinds(sql), [StatementKind::Transactional], "{sql}");
        }
    }

    #[test]
    fn an_enum_value_that_is_used_further_down_must_be_committed_first() {
        let used = split("ALTER TYPE mood ADD VALUE 'calm';\nUPDATE t SET m = 'calm';").expect("splits");
        assert!(!used.is_transactional() && used.must_commit_after(0));
        let unused =
            split("ALTER TYPE mood ADD VALUE 'calm';\nALTER TABLE t ADD COLUMN a int;").expect("splits");
        assert!(unused.is_transactional() && unused.adds_enum_value());
    }

    #[test]
    fn what_gives_up_the_locks_or_needs_a_client_is_refused_with_its_line() {
        assert_eq!(split("SELECT 1;\nDISCARD ALL;"), Err(ScriptError::DiscardsTheSession { line: 2 }));
        assert!(split("DISCARD TEMP;").is_ok());
        for sql in
            ["\nCOPY t FROM STDIN;", "\nCOPY t (a) FROM stdin;\n1\n\\.\n", "\nCOPY (SELECT 1) TO STDOUT;"]
        {
            assert_eq!(split(sql), Err(ScriptError::CopyOverTheConnection { line: 2 }), "{sql}");
        }
        for sql in [
            "COPY t FROM '/tmp/rows'",
            "copy stdin to '/tmp/x'",
            "COPY s.stdout (stdin) FROM PROGRAM 'stdin'",
            "COPY (SELECT stdin) TO 'x'",
        ] {
            assert!(split(sql).is_ok(), "{sql}");
        }
    }

    #[test]
    fn brackets_are_left_out_and_every_place_stays_where_it_is() {
        let sql = "BEGIN;\nCREATE TYPE a AS ENUM ('x');\nCOMMIT; -- done\nSTART TRANSACTION;\nDROP TYPE \
            é;\nEND WORK;\n";
        let script = split(sql).expect("splits");
        assert_eq!(sqls(sql), ["CREATE TYPE a AS ENUM ('x')", "DROP TYPE é"]);
        assert!(script.is_transactional() && !script.must_commit_after(0));
        let (start, text) = script.text(0..2);
        assert_eq!(
            (start, &*text),
            (7, "CREATE TYPE a AS ENUM ('x');\n      ; -- done\n                 ;\nDROP TYPE é")
        );
        assert_eq!(sqls("COMMIT;"), Vec::<String>::new());
    }

    #[test]
    fn a_commit_in_the_middle_cuts_where_something_depends_on_it() {
        let cuts = |sql: &str| {
            let script = split(sql).expect("splits");
            (0..script.statements.len()).filter(|at| script.must_commit_after(*at)).collect::<Vec<_>>()
        };
        assert_eq!(cuts("BEGIN; CREATE TABLE t (a int); COMMIT; SELECT 1;"), [0; 0]);
        assert_eq!(cuts("BEGIN; SET LOCAL search_path = a; SELECT 1; COMMIT; SELECT 2; SELECT 3;"), [1]);
        assert_eq!(cuts("SET LOCAL search_path = a; SELECT 1; COMMIT;"), [0; 0], "nothing comes after it");
        assert_eq!(cuts("ALTER TYPE m ADD VALUE 'b'; COMMIT; ALTER TABLE t ADD COLUMN a int;"), [0]);
        assert_eq!(
            cuts("BEGIN; CREATE TEMP TABLE t (a int) ON COMMIT DROP; COMMIT AND CHAIN; SELECT 1; COMMIT;"),
            [0]
        );
    }

    #[test]
    fn a_transaction_begins_with_the_isolation_level_that_the_file_asks_for() {
        let levels = |sql: &str| {
            let script = split(sql).expect("splits");
            script
                .statements
                .iter()
                .map(|statement| (statement.isolation, statement.commits))
                .collect::<Vec<_>>()
        };
        let serializable = Some(Isolation::Serializable);
        assert_eq!(
            levels("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1; SELECT 2"),
            [(serializable, false), (None, false)]
        );
        assert_eq!(
            levels("SET a.b = 1; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1"),
            [(serializable, false), (None, false)]
        );
        let chained =
            "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT AND CHAIN; SELECT 2; COMMIT; SELECT 3";
        assert_eq!(levels(chained), [(serializable, true), (serializable, true), (None, false)]);
        assert_eq!(
            levels("SELECT 1; COMMIT; BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 2"),
            [(None, true), (serializable, false)]
        );
        assert_eq!(
            levels("SET TRANSACTION READ ONLY; SELECT 1"),
            [(None, false)],
            "the row of the history is written in it, too"
        );
        assert_eq!(
            sqls("SELECT 1; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE").len(),
            2,
            "PostgreSQL says what is wrong with it"
        );
    }

    #[test]
    fn what_takes_back_or_leaves_undecided_is_refused_with_its_line() {
        for (sql, word) in [
            ("\nROLLBACK;", "ROLLBACK"),
            ("SELEKT 1;\nABORT;", "ABORT"),
            ("BEGIN;\nPREPARE TRANSACTION 'a';", "PREPARE"),
            ("\nCOMMIT PREPARED 'a';", "COMMIT"),
            ("\nBEGIN WORKS;", "BEGIN"),
        ] {
            assert_eq!(
                split(sql),
                Err(ScriptError::TransactionControl { line: 2, statement: word.into() }),
                "{sql}"
            );
        }
        assert_eq!(sqls("SAVEPOINT a; ROLLBACK TO a; DO $$ BEGIN COMMIT; END $$").len(), 3);
    }

    #[test]
    fn a_file_goes_back_to_no_savepoint_but_its_own() {
        for own in [
            "SAVEPOINT a; ROLLBACK TO A; ROLLBACK TO SAVEPOINT \"a\"; RELEASE a;",
            "SAVEPOINT a; SAVEPOINT b; SAVEPOINT a; RELEASE a; ROLLBACK TO a; SELECT 1;",
        ] {
            assert!(split(own).is_ok(), "{own}");
        }
        for (sql, name) in [
            ("\nROLLBACK TO s;", "s"),
            ("\nRELEASE SAVEPOINT s;", "s"),
            ("SAVEPOINT s; RELEASE s;\nROLLBACK TO s;", "s"),
            ("SAVEPOINT s; SAVEPOINT t; ROLLBACK TO s;\nROLLBACK TO t;", "t"),
            ("BEGIN; SAVEPOINT s; COMMIT;\nROLLBACK TO s;", "s"),
            ("SAVEPOINT s;\nROLLBACK TO 's';", ""),
        ] {
            let error = ScriptError::UnknownSavepoint { line: 2, name: name.into() };
            assert_eq!(split(sql), Err(error), "{sql}");
        }
    }

    #[test]
    fn what_no_server_can_read_is_refused_with_its_line() {
        for (sql, expected) in [
            ("SELECT 1;\n\\d t", ScriptError::PsqlCommand { line: 2, command: "\\d".into() }),
            ("SELECT\n'a", ScriptError::Unclosed { line: 2, what: "string" }),
            ("SELECT 1;\n\0", ScriptError::Nul { line: 2 }),
            ("\nSELECT (1;\nROLLBACK;", ScriptError::Unclosed { line: 2, what: "parenthesis" }),
        ] {
            assert_eq!(split(sql), Err(expected), "{sql}");
        }
    }

    #[test]
    fn one_statement_that_postgresql_will_refuse_costs_only_itself() {
        let script = split("SELECT 1;\nCREATE TABEL t (a int);\nVACUUM t").expect("is not refused");
        let lines: Vec<_> =
            script.statements.iter().map(|statement| (statement.line, statement.kind.runs_alone())).collect();
        assert_eq!(lines, [(1, false), (2, false), (3, true)]);
    }

    #[test]
    fn an_empty_file_has_no_statements() {
        assert_eq!(split("-- nothing\n;\n").expect("splits").statements, []);
    }

    #[test]
    fn the_directive_no_transaction_runs_every_statement_alone() {
        let script =
            split("-- sluice: no-transaction\nUPDATE t SET a = 1;\nCALL p();\nVACUUM t;").expect("splits");
        let kinds: Vec<_> = script.statements.iter().map(|statement| statement.kind.clone()).collect();
        let alone = StatementKind::Autocommit { concurrently: false };
        assert_eq!(kinds, [StatementKind::Transactional, StatementKind::Opaque, alone]);
        assert!(!script.is_transactional() && script.must_commit_after(0));
    }
}
