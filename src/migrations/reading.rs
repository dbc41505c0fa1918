//! One file is read into statements, each with its line and with what it needs of a transaction; what may not
//! stand in a migration is refused.

use std::{ops::Range, sync::Arc};

use super::{
    directive::Directives,
    script::{Script, ScriptError, Statement, StatementKind},
};
use crate::sql::{self, Control, EnumValue, Fault, Isolation, Needs, Savepoint, Verb};

/// Splits a file.
pub fn split(file: impl Into<Arc<str>>) -> Result<Script, ScriptError> {
    let file = file.into();
    let pieces = sql::split(&file);
    let mut directives = Directives::default();
    for remark in pieces.remarks {
        directives.read(&file[remark.clone()], remark.start, || Lines::of(&file).at(remark.start))?;
    }
    let contract = directives.contract(pieces.statements.first().map(|first| first.start))?;
    let mut lines = Lines::of(&file);
    let mut reading = Reading {
        only: pieces.statements.len() == 1,
        statements: Vec::with_capacity(pieces.statements.len()),
        apart: directives.no_transaction,
        ..Reading::default()
    };
    for range in pieces.statements {
        if let Some(fault) = pieces.fault.filter(|fault| fault.at() <= range.start) {
            return Err(unreadable(&file, fault));
        }
        let line = lines.at(range.start);
        let kind = directives.kind(&file[range.clone()], &range)?;
        reading.statement(&file, range, line, kind)?;
    }
    match pieces.fault {
        Some(fault) => Err(unreadable(&file, fault)),
        None => directives.end().map(|()| Script {
            statements: reading.statements,
            marks: reading.marks,
            apart: reading.apart,
            contract,
            resumed: false,
            file,
        }),
    }
}

fn unreadable(file: &str, fault: Fault) -> ScriptError {
    let line = Lines::of(file).at(fault.at());
    match fault {
        Fault::Unclosed(_, what) => ScriptError::Unclosed { line, what },
        Fault::Nul(_) => ScriptError::Nul { line },
        Fault::Backslash(at) => {
            let command = file[at..].split_whitespace().next().unwrap_or_default().chars().take(20).collect();
            ScriptError::PsqlCommand { line, command }
        }
    }
}

/// A file while its statements are read.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Default)]
struct Reading {
    statements: Vec<Statement>,
    marks: Vec<Range<usize>>,
    apart: bool,
    /// The file has no other statement, so that Prisma sends it outside of any transaction.
    only: bool,
    /// Where the statements begin that the file keeps in one transaction.
    begins: usize,
    isolation: Option<Isolation>,
    /// Only settings were changed in this transaction so far.
    untouched: bool,
    /// Something that ends with the transaction was done in it.
    ends: bool,
    /// Values that were added to an enum, and not committed yet.
    added: Vec<EnumValue>,
    /// What comes next needs what came before to be committed.
    cut: bool,
    /// The savepoints that the file has made and can go back to, the last one last.
    savepoints: Vec<String>,
}

impl Reading {
    fn statement(
        &mut self,
        file: &Arc<str>,
        range: Range<usize>,
        line: u32,
        kind: Option<StatementKind>,
    ) -> Result<(), ScriptError> {
        let sql = &file[range.clone()];
        let read = sql::Statement::read(sql);
        refuse(read.verb, line)?;
        let untouched = self.untouched || self.begins == self.statements.len();
        match read.control {
            Some(Control::Forbidden) => {
                return Err(ScriptError::TransactionControl { line, statement: first_word(sql) });
            }
            Some(Control::Commit { chain }) => self.commit(chain),
            Some(Control::Begin(isolation)) => self.isolate(isolation),
            Some(Control::Set(isolation)) if untouched || isolation.is_none() => self.isolate(isolation),
            Some(Control::Set(_)) | None => {
                self.savepoint(read.savepoint.as_ref(), line)?;
                self.add(file, range, line, read, kind);
                return Ok(());
            }
        }
        self.marks.push(range);
        Ok(())
    }

    /// The statements before it are committed where something depends on that. Otherwise the release stays
    /// one transaction.
    fn commit(&mut self, chain: bool) {
        self.cut |= self.ends || !self.added.is_empty() || self.isolation.is_some();
        self.statements.iter_mut().last().map(|last| last.ends = true).unwrap_or_default();
        self.begins = self.statements.len();
        (self.untouched, self.ends) = (false, false);
        self.savepoints.clear();
        if !chain {
            self.isolation = None;
        }
    }

    /// A file goes back to savepoints of its own, which PostgreSQL keeps until the next COMMIT; one of an
    /// earlier file is as little there as with Prisma.
    fn savepoint(&mut self, read: Option<&Savepoint>, line: u32) -> Result<(), ScriptError> {
        let (name, stays) = match read {
            None => return Ok(()),
            Some(Savepoint::Make(name)) => {
                self.savepoints.extend(name.clone());
                return Ok(());
            }
            Some(Savepoint::Release(name)) => (name, 0),
            Some(Savepoint::GoBack(name)) => (name, 1),
        };
        let found = name.as_ref().and_then(|name| self.savepoints.iter().rposition(|known| known == name));
        let Some(at) = found else {
            return Err(ScriptError::UnknownSavepoint { line, name: name.clone().unwrap_or_default() });
        };
        self.savepoints.truncate(at + stays);
        Ok(())
    }

    fn isolate(&mut self, isolation: Option<Isolation>) {
        let Some(isolation) = isolation else { return };
        self.isolation = Some(isolation);
        let (before, of_this) = self.statements.split_at_mut(self.begins);
        match of_this.first_mut() {
            // Only settings stand before it.
            Some(first) => {
                first.isolation = Some(isolation);
                before.iter_mut().last().map(|last| last.commits = true).unwrap_or_default();
            }
            None => self.cut = true,
        }
    }

    fn add(
        &mut self,
        file: &Arc<str>,
        range: Range<usize>,
        line: u32,
        read: sql::Statement,
        kind: Option<StatementKind>,
    ) {
        let sql = &file[range.clone()];
        self.cut |= self.added.iter().any(|value| value.may_be_used_by(sql));
        if std::mem::take(&mut self.cut)
            && let Some(last) = self.statements.last_mut()
        {
            last.commits = true;
            self.added.clear();
        }
        let first = self.begins == self.statements.len();
        self.untouched = read.sets && (first || self.untouched);
        self.ends |= read.ends;
        let kind = kind.unwrap_or_else(|| self.kind(read.needs));
        self.added.extend((kind == StatementKind::AddEnumValue).then(|| EnumValue::added_by(sql)));
        self.statements.push(Statement {
            file: file.clone(),
            start: range.start,
            end: range.end,
            line,
            kind,
            verb: read.verb,
            reach: read.reach,
            may_commit: read.may_commit,
            locks: read.locks,
            defers: read.defers,
            commits: self.apart,
            ends: false,
            isolation: self.isolation.filter(|_| first),
        });
    }

    /// Under `-- sluice: no-transaction` everything runs outside a transaction that PostgreSQL may refuse
    /// inside one. All else shares one with its journal entry, so that not even a crash repeats it.
    fn kind(&self, needs: Needs) -> StatementKind {
        match needs {
            Needs::Commit => StatementKind::AddEnumValue,
            Needs::BuildIndex(build) => StatementKind::BuildIndex(build),
            Needs::Outside { concurrently } => StatementKind::Autocommit { concurrently },
            Needs::Undecided if self.apart || self.only => StatementKind::Autocommit { concurrently: false },
            Needs::Opaque if self.apart => StatementKind::Opaque,
            Needs::Nothing | Needs::Undecided | Needs::Opaque => StatementKind::Transactional,
        }
    }
}

/// What no migration may contain, besides what ends transactions.
const fn refuse(verb: Verb, line: u32) -> Result<(), ScriptError> {
    match verb {
        Verb::CopyOverTheConnection => Err(ScriptError::CopyOverTheConnection { line }),
        Verb::DiscardAll => Err(ScriptError::DiscardsTheSession { line }),
        _ => Ok(()),
    }
}

fn first_word(sql: &str) -> String {
    sql.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_uppercase()
}

/// Counts the lines of a text as one goes on in it.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

impl<'a> Lines<'a> {
    const fn of(text: &'a str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// The line of a place that is not before the one that was asked for last.
    fn at(&mut self, offset: usize) -> u32 {
        let passed = self.text[self.at..offset].bytes().filter(|byte| *byte == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
        self.at = offset;
        self.line
    }
}
