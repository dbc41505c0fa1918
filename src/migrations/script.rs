//! One file becomes statements, each with its line and with what it asks of a transaction.
//!
//! The rules about transactions are PostgreSQL's: each statement listed in [`alone`] was seen to fail inside one.

use squawk_syntax::{
    SourceFile, SyntaxElement, SyntaxKind, SyntaxNode,
    ast::{self, AlterTypeAction, AstNode, ReindexTarget, Stmt},
};

use super::directive;

/// A file, split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// In the order of the file. One statement that is the whole file where it could not be split.
    pub statements: Vec<Statement>,
    /// Why the file was not split: the parser's first complaint. It then runs as one transactional string, and PostgreSQL judges it.
    pub unsplit: Option<String>,
    /// `-- sluice: no-transaction`: each statement is a step of its own.
    pub apart: bool,
    /// An earlier attempt ran some of its steps, so it goes on step by step, whatever it says by now.
    pub resumed: bool,
}

/// One statement of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The text, without leading comments and without the semicolon's trailing blanks.
    pub sql: String,
    /// Where in the file it begins, in bytes.
    pub start: usize,
    /// The line of the file it begins on, counted from 1.
    pub line: u32,
    /// What it asks of a transaction.
    pub kind: StatementKind,
    /// How many entries of the server's lock table it may need until the transaction ends.
    pub locks: u32,
}

/// What a statement asks of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Nothing special.
    Transactional,
    /// `ALTER TYPE … ADD VALUE`: the value cannot be used before the transaction has committed.
    AddEnumValue {
        /// The new value as it stands in the file, with its quotes.
        label: String,
    },
    /// `CREATE INDEX CONCURRENTLY`: outside a transaction, and its left-over is repaired.
    BuildIndex {
        /// The index's name as written, possibly qualified; none when PostgreSQL is to choose.
        index: Option<String>,
        /// The table as written.
        table: String,
    },
    /// Cannot run inside a transaction.
    Alone {
        /// It says CONCURRENTLY: it may wait for long without making anybody queue, so no limits apply.
        concurrently: bool,
    },
}

impl StatementKind {
    /// Whether the statement runs outside a transaction.
    pub const fn runs_alone(&self) -> bool {
        matches!(self, Self::BuildIndex { .. } | Self::Alone { .. })
    }
}

/// A statement that a migration must not contain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// It would end the transaction that carries the ledger row.
    #[error(
        "line {line}: {statement} is not allowed in a migration: the transaction, its ledger row and its verification belong together; remove it"
    )]
    TransactionControl {
        /// Where.
        line: u32,
        /// Its first word.
        statement: String,
    },
    /// It needs a client that sends or takes data.
    #[error(
        "line {line}: COPY from STDIN or to STDOUT needs a client that sends or takes the data, and a migration has none: use INSERT, or COPY from a file of the server"
    )]
    CopyOverTheConnection {
        /// Where.
        line: u32,
    },
    /// It would let go of the locks that keep other migration tools away.
    #[error(
        "line {line}: DISCARD ALL is not allowed in a migration: it gives up the lock that keeps other migration tools away; Sluice puts settings back by itself"
    )]
    DiscardsTheSession {
        /// Where.
        line: u32,
    },
    /// A `-- sluice:` comment that this version does not know; ignoring it could change what the file means.
    #[error("line {line}: the directive {directive:?} is not known to this version of Sluice; correct it, or use a version that knows it")]
    UnknownDirective {
        /// Where.
        line: u32,
        /// What it says.
        directive: String,
    },
}

/// Splits a file.
pub fn split(sql: &str) -> Result<Script, ScriptError> {
    let directives = directive::read(sql)?;
    let parse = SourceFile::parse(sql);
    let tree = parse.tree();
    let lines = Lines::of(sql);
    let mut statements = Vec::new();
    for stmt in tree.stmts().filter(|stmt| !matches!(stmt, Stmt::EmptyStmt(_))) {
        let range = stmt.syntax().text_range();
        let start = usize::from(range.start());
        let line = lines.at(start);
        refuse(&stmt, line)?;
        let kind = if directives.no_transaction { kind_apart(&stmt) } else { kind(&stmt) };
        let sql = sql[range].trim_end().to_owned();
        statements.push(Statement { locks: locks(&stmt, &sql), sql, start, line, kind });
    }
    let unsplit = parse.errors().first().map(|error| {
        let line = lines.at(error.range().start().into());
        format!("line {line}: {}", error.message())
    });
    if unsplit.is_some() {
        if let Some((start, statement)) = transaction_control_in_tokens(tree.syntax()) {
            return Err(ScriptError::TransactionControl { line: lines.at(start), statement });
        }
        statements = vec![Statement { sql: sql.to_owned(), start: 0, line: 1, kind: StatementKind::Transactional, locks: 20 }];
    }
    Ok(Script { statements, unsplit, apart: directives.no_transaction, resumed: false })
}

impl Script {
    /// Whether every statement can share one transaction with other files.
    pub fn is_transactional(&self) -> bool {
        let alone = self.statements.iter().any(|statement| statement.kind.runs_alone());
        !alone && !self.apart && !self.resumed && !self.uses_its_own_enum_value()
    }

    /// Whether a value is added to an enum and mentioned again further down, which PostgreSQL refuses in one transaction.
    pub fn uses_its_own_enum_value(&self) -> bool {
        (0..self.statements.len()).any(|at| self.value_is_used_after(at))
    }

    /// Whether the statements after this one need its effect to be committed, or the file says that each is to be.
    pub fn must_commit_after(&self, at: usize) -> bool {
        self.apart || self.value_is_used_after(at)
    }

    fn value_is_used_after(&self, at: usize) -> bool {
        match &self.statements[at].kind {
            StatementKind::AddEnumValue { label } => self.statements[at + 1..].iter().any(|later| later.sql.contains(label)),
            _ => false,
        }
    }

    /// Whether the file adds a value to an enum.
    pub fn adds_enum_value(&self) -> bool {
        self.statements.iter().any(|statement| matches!(statement.kind, StatementKind::AddEnumValue { .. }))
    }
}

/// What no migration may contain.
fn refuse(stmt: &Stmt, line: u32) -> Result<(), ScriptError> {
    let has = |kind| has_token(stmt.syntax(), kind);
    match stmt {
        Stmt::Begin(_) | Stmt::Commit(_) | Stmt::PrepareTransaction(_) => {
            Err(ScriptError::TransactionControl { line, statement: first_word(stmt) })
        }
        // ROLLBACK TO SAVEPOINT stays inside the transaction.
        Stmt::Rollback(_) if !has(SyntaxKind::TO_KW) => Err(ScriptError::TransactionControl { line, statement: first_word(stmt) }),
        Stmt::Copy(_) if has(SyntaxKind::STDIN_KW) || has(SyntaxKind::STDOUT_KW) => Err(ScriptError::CopyOverTheConnection { line }),
        Stmt::Discard(_) if has(SyntaxKind::ALL_KW) => Err(ScriptError::DiscardsTheSession { line }),
        _ => Ok(()),
    }
}

fn first_word(stmt: &Stmt) -> String {
    stmt.syntax().first_token().map(|token| token.text().to_uppercase()).unwrap_or_default()
}

/// A COMMIT must not slip through where the parser gave up: then the tokens decide, by what stands first in each statement.
fn transaction_control_in_tokens(file: &SyntaxNode) -> Option<(usize, String)> {
    let tokens: Vec<_> = file.descendants_with_tokens().filter_map(SyntaxElement::into_token).collect();
    let words: Vec<_> = tokens.iter().filter(|token| !matches!(token.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT)).collect();
    // The body of a function may be written as BEGIN ATOMIC …; END.
    let has_body = words.iter().any(|word| word.kind() == SyntaxKind::ATOMIC_KW);
    words.iter().enumerate().find_map(|(at, word)| {
        let begins = at == 0 || words[at - 1].kind() == SyntaxKind::SEMICOLON;
        let controls = match word.kind() {
            SyntaxKind::BEGIN_KW | SyntaxKind::START_KW | SyntaxKind::COMMIT_KW | SyntaxKind::ABORT_KW => true,
            SyntaxKind::END_KW => !has_body,
            SyntaxKind::ROLLBACK_KW => !words[at..].iter().take(4).any(|next| next.kind() == SyntaxKind::TO_KW),
            _ => false,
        };
        (begins && controls).then(|| (usize::from(word.text_range().start()), word.text().to_uppercase()))
    })
}

fn kind(stmt: &Stmt) -> StatementKind {
    match stmt {
        Stmt::CreateIndex(create) if create.concurrently_token().is_some() => build_index(create),
        Stmt::AlterType(alter) => match alter.action() {
            Some(AlterTypeAction::AddValue(add)) => {
                StatementKind::AddEnumValue { label: add.literal().map(|literal| literal.syntax().text().to_string()).unwrap_or_default() }
            }
            _ => StatementKind::Transactional,
        },
        other if alone(other) => StatementKind::Alone { concurrently: has_token(other.syntax(), SyntaxKind::CONCURRENTLY_KW) },
        _ => StatementKind::Transactional,
    }
}

/// The kind under `-- sluice: no-transaction`: only what may commit by itself really runs without a transaction of ours. All else
/// shares one with its journal entry, so that not even a crash repeats it.
fn kind_apart(stmt: &Stmt) -> StatementKind {
    match stmt {
        Stmt::Call(_) | Stmt::Do(_) => StatementKind::Alone { concurrently: false },
        _ => kind(stmt),
    }
}

fn build_index(create: &ast::CreateIndex) -> StatementKind {
    let text = |node: &squawk_syntax::SyntaxNode| node.text().to_string().trim().to_owned();
    StatementKind::BuildIndex {
        index: create.index().map(|index| text(index.syntax())).filter(|name| !name.is_empty()),
        table: create
            .table_relation_name()
            .map(|table| text(table.syntax()))
            .map(|table| table.strip_prefix("ONLY ").unwrap_or(&table).trim().to_owned())
            .unwrap_or_default(),
    }
}

/// The statements that PostgreSQL refuses inside a transaction block.
fn alone(stmt: &Stmt) -> bool {
    let concurrently = || has_token(stmt.syntax(), SyntaxKind::CONCURRENTLY_KW);
    match stmt {
        Stmt::DropIndex(_) | Stmt::AlterTable(_) => concurrently(),
        Stmt::Reindex(reindex) => {
            concurrently()
                || matches!(
                    reindex.reindex_target(),
                    Some(
                        ReindexTarget::ReindexTargetDatabase(_)
                            | ReindexTarget::ReindexTargetSchema(_)
                            | ReindexTarget::ReindexTargetSystem(_)
                    )
                )
        }
        Stmt::Vacuum(_)
        | Stmt::AlterSystem(_)
        | Stmt::CreateDatabase(_)
        | Stmt::DropDatabase(_)
        | Stmt::CreateTablespace(_)
        | Stmt::DropTablespace(_)
        | Stmt::CreateSubscription(_) => true,
        Stmt::Cluster(cluster) => cluster.table_name_ref().is_none(),
        Stmt::AlterDatabase(alter) => has_token(alter.syntax(), SyntaxKind::TABLESPACE_KW),
        _ => false,
    }
}

fn has_token(node: &squawk_syntax::SyntaxNode, kind: SyntaxKind) -> bool {
    node.descendants_with_tokens().any(|element| element.kind() == kind)
}

/// A cautious estimate: a table locks itself, its TOAST table and index and one index per key; everything else one or two relations.
fn locks(stmt: &Stmt, sql: &str) -> u32 {
    match stmt {
        Stmt::CreateTable(_) | Stmt::CreateTableAs(_) => {
            let upper = sql.to_uppercase();
            let keys = upper.matches("PRIMARY KEY").count() + upper.matches("UNIQUE").count() + upper.matches("REFERENCES").count();
            3 + u32::try_from(keys).unwrap_or(u32::MAX / 2)
        }
        Stmt::CreateIndex(_) | Stmt::AlterTable(_) => 2,
        _ => 1,
    }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    fn at(&self, offset: usize) -> u32 {
        u32::try_from(self.0.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<StatementKind> {
        split(sql).expect("splits").statements.into_iter().map(|statement| statement.kind).collect()
    }

    #[test]
    fn bodies_quotes_and_comments_do_not_split_a_statement() {
        let script = split(concat!(
            "-- a; comment\nCREATE TABLE t (v text DEFAULT E'\\'; --');\n",
            "DO $$ BEGIN PERFORM 1; END $$;\n/* a /* nested; */ ; */ SELECT $x$;$x$;\n",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END;\n",
        ))
        .expect("splits");
        assert_eq!(script.unsplit, None);
        let lines: Vec<_> = script.statements.iter().map(|statement| statement.line).collect();
        assert_eq!(lines, [2, 3, 4, 5]);
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
            "REINDEX INDEX i",
            "CLUSTER t USING i",
            "ALTER TABLE t DETACH PARTITION p",
            "ALTER TABLE t ADD COLUMN concurrently_built boolean",
            "SAVEPOINT a",
            "ROLLBACK TO SAVEPOINT a",
            "CREATE POLICY p ON t USING (true)",
        ] {
            assert_eq!(kinds(sql), [StatementKind::Transactional], "{sql}");
        }
    }

    #[test]
    fn a_concurrent_build_names_its_index_and_its_table() {
        let expected = StatementKind::BuildIndex { index: Some("\"i\"".into()), table: "clinical.\"patients\"".into() };
        assert_eq!(kinds("CREATE INDEX CONCURRENTLY \"i\" ON clinical.\"patients\" (a)"), [expected]);
        let unnamed = StatementKind::BuildIndex { index: None, table: "t".into() };
        assert_eq!(kinds("CREATE INDEX CONCURRENTLY ON ONLY t (a)"), [unnamed]);
    }

    #[test]
    fn an_enum_value_that_is_used_further_down_must_be_committed_first() {
        let used = split("ALTER TYPE mood ADD VALUE 'calm';\nUPDATE t SET m = 'calm';").expect("splits");
        assert!(!used.is_transactional() && used.must_commit_after(0));
        let unused = split("ALTER TYPE mood ADD VALUE 'calm';\nSELECT 1;").expect("splits");
        assert!(unused.is_transactional() && unused.adds_enum_value());
    }

    #[test]
    fn what_gives_up_the_locks_or_needs_a_client_is_refused_with_its_line() {
        assert_eq!(split("SELECT 1;\nDISCARD ALL;"), Err(ScriptError::DiscardsTheSession { line: 2 }));
        assert!(split("DISCARD TEMP;").is_ok());
        for sql in ["\nCOPY t FROM STDIN;", "\nCOPY t (a) FROM stdin;\n1\n\\.\n", "\nCOPY (SELECT 1) TO STDOUT;"] {
            assert_eq!(split(sql), Err(ScriptError::CopyOverTheConnection { line: 2 }), "{sql}");
        }
        assert!(split("COPY t FROM '/tmp/rows';").is_ok());
    }

    #[test]
    fn transaction_control_is_refused_where_the_parser_gives_up_too() {
        for sql in ["SELEKT 1 (;\nCOMMIT;", "SELECT 1 +;\n/* ; */ END", "CREATE TABEL t (a int);\nROLLBACK;"] {
            assert!(matches!(split(sql), Err(ScriptError::TransactionControl { line: 2, .. })), "{sql}: {:?}", split(sql));
        }
        for sql in ["CREATE TABEL t (a int);\nROLLBACK TO SAVEPOINT a;", "CREATE TABEL t (a int);\nDO $$ BEGIN COMMIT; END $$;"] {
            assert!(split(sql).is_ok_and(|script| script.unsplit.is_some()), "{sql}");
        }
    }

    #[test]
    fn transaction_control_is_refused_with_its_line() {
        for (sql, word) in
            [("SELECT 1;\nCOMMIT;", "COMMIT"), ("\nBEGIN;", "BEGIN"), ("\nSTART TRANSACTION;", "START"), ("\nROLLBACK;", "ROLLBACK")]
        {
            assert_eq!(split(sql), Err(ScriptError::TransactionControl { line: 2, statement: word.into() }), "{sql}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_parsed_is_one_transactional_string() {
        let script = split("SELECT 1;\nCREATE TABEL t (a int);").expect("is not refused");
        assert!(script.unsplit.is_some_and(|why| why.starts_with("line 2")));
        assert_eq!(script.statements.len(), 1);
    }

    #[test]
    fn an_empty_file_has_no_statements() {
        assert_eq!(split("-- nothing\n;\n").expect("splits").statements, []);
    }

    #[test]
    fn the_directive_no_transaction_runs_every_statement_alone() {
        let script = split("-- sluice: no-transaction\nUPDATE t SET a = 1;\nCALL p();\nVACUUM t;").expect("splits");
        let kinds: Vec<_> = script.statements.iter().map(|statement| statement.kind.clone()).collect();
        let alone = StatementKind::Alone { concurrently: false };
        assert_eq!(kinds, [StatementKind::Transactional, alone.clone(), alone]);
        assert!(!script.is_transactional() && script.must_commit_after(0));
    }
}
