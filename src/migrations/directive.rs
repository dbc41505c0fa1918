//! Directives: SQL comments that say something about the file they stand in, so that the same folder still
//! works with Prisma.

use std::{collections::VecDeque, ops::Range};

use super::{
    backfill::Batches,
    contract::Contract,
    script::{ScriptError, StatementKind},
};

/// What the directives of a file say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `-- sluice: no-transaction`: each statement runs alone.
    pub no_transaction: bool,
    /// `-- sluice: backfill …` and `-- sluice: copy …`, in the order of the file.
    of_statements: VecDeque<OfOneStatement>,
    /// `-- sluice: contract …`, its words, where it stands, and in which line.
    contract: Option<(Contract, String, usize, u32)>,
}

/// A directive about the statement that follows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OfOneStatement {
    runs: Runs,
    batches: Batches,
    /// What it says.
    directive: String,
    /// Where it stands.
    at: usize,
    line: u32,
}

/// How the statement is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    InBatches,
    ByCopy,
}

impl OfOneStatement {
    /// What the statement is under it; an error says why it cannot be.
    fn kind(&self, sql: &str) -> Result<StatementKind, String> {
        let batches = self.batches.clone();
        match self.runs {
            Runs::InBatches => batches.of(sql).map(Box::new).map(StatementKind::Backfill),
            Runs::ByCopy => batches.of_copy(sql).map(Box::new).map(StatementKind::Copy),
        }
    }

    fn refused(self, problem: String) -> ScriptError {
        ScriptError::InvalidDirective { line: self.line, directive: self.directive, problem }
    }
}

impl Directives {
    /// Reads one comment that begins its line, at this byte. `line` says which, for the error.
    pub fn read(&mut self, comment: &str, at: usize, line: impl FnOnce() -> u32) -> Result<(), ScriptError> {
        let text =
            comment.strip_prefix("--").map(str::trim_start).and_then(|rest| rest.strip_prefix("sluice:"));
        let Some(text) = text.map(str::trim) else { return Ok(()) };
        let (word, said) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match word {
            "no-transaction" => self.no_transaction = true,
            // A waiver of a lint rule changes nothing about how the file runs.
            "allow" => {}
            "backfill" | "copy" => {
                let runs = if word == "copy" { Runs::ByCopy } else { Runs::InBatches };
                let (line, directive) = (line(), text.to_owned());
                let batches = match Batches::read(said) {
                    Ok(batches) => batches,
                    Err(problem) => {
                        return Err(ScriptError::InvalidDirective { line, directive, problem });
                    }
                };
                self.of_statements.push_back(OfOneStatement { runs, batches, directive, at, line });
            }
            "contract" => {
                let (line, directive) = (line(), text.to_owned());
                let read = match &self.contract {
                    Some(_) => Err("the file has one already: keep one".to_owned()),
                    None => Contract::read(said),
                };
                match read {
                    Ok(contract) => self.contract = Some((contract, directive, at, line)),
                    Err(problem) => return Err(ScriptError::InvalidDirective { line, directive, problem }),
                }
            }
            _ => {
                return Err(ScriptError::UnknownDirective { line: line(), directive: text.to_owned() });
            }
        }
        Ok(())
    }

    /// What a statement is, if a directive before it says how it runs. Statements are to come in the order of
    /// the file.
    pub(super) fn kind(
        &mut self,
        sql: &str,
        place: &Range<usize>,
    ) -> Result<Option<StatementKind>, ScriptError> {
        let Some(found) = self.of_statements.pop_front_if(|next| next.at < place.end) else {
            return Ok(None);
        };
        if found.at > place.start {
            let problem = "it stands inside of a statement: put it before the statement's first line";
            return Err(found.refused(problem.to_owned()));
        }
        if let Some(second) = self.of_statements.pop_front_if(|next| next.at < place.end) {
            return Err(second.refused("the statement has one already: keep one".to_owned()));
        }
        found.kind(sql).map(Some).map_err(|problem| found.refused(problem))
    }

    /// The contract that the file is, if it says so before its first statement, which begins at this byte.
    pub(super) fn contract(&mut self, first: Option<usize>) -> Result<Option<Contract>, ScriptError> {
        let Some((contract, directive, at, line)) = self.contract.take() else { return Ok(None) };
        if first.is_some_and(|first| at > first) {
            let problem = "it is about the whole file: put it at the head of the file".to_owned();
            return Err(ScriptError::InvalidDirective { line, directive, problem });
        }
        Ok(Some(contract))
    }

    /// Every directive was about a statement.
    pub(super) fn end(mut self) -> Result<(), ScriptError> {
        let left = self.of_statements.pop_front();
        left.map_or(Ok(()), |left| {
            let problem = "no statement follows it: put it before the one that it is about, or remove it";
            Err(left.refused(problem.to_owned()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::{StatementKind, split};

    #[test]
    fn a_directive_this_version_does_not_know_is_refused_not_ignored() {
        let sql = "SELECT 1;\n-- sluice: backfil key=id\nUPDATE t SET a = 1;";
        assert_eq!(
            split(sql),
            Err(ScriptError::UnknownDirective { line: 2, directive: "backfil key=id".into() })
        );
        assert!(split("-- sluice:\nSELECT 1").is_err());
    }

    const BACKFILL: &str = "-- sluice: backfill key=id batch=500";

    #[test]
    fn a_backfill_is_about_the_next_statement_and_no_other() {
        let sql =
            format!("UPDATE t SET a = 1;\n{BACKFILL}\n-- why\nUPDATE t SET b = 2;\nUPDATE t SET c = 3;");
        let script = split(sql).expect("splits");
        let batches = script.statements.iter().map(|statement| match &statement.kind {
            StatementKind::Backfill(backfill) => Some(backfill.batches.batch),
            _ => None,
        });
        assert_eq!(batches.collect::<Vec<_>>(), [None, Some(500), None]);
        assert!(!script.is_transactional());
    }

    #[test]
    fn a_backfill_that_fits_no_statement_or_says_what_cannot_be_read_is_refused_with_its_line() {
        let update = "UPDATE t SET a = 1;";
        for (sql, line, problem) in [
            (format!("{update}\n{BACKFILL}\n"), 2, "no statement follows it"),
            (format!("\n{BACKFILL}\nBEGIN; {update} COMMIT;"), 2, "it stands before no UPDATE"),
            (format!("{BACKFILL}\nCREATE TABLE t (id int);"), 1, "it stands before no UPDATE"),
            (format!("UPDATE t\n{BACKFILL}\nSET a = 1;"), 2, "inside of a statement"),
            (format!("{BACKFILL}\n{BACKFILL}\n{update}"), 2, "has one already"),
            (format!("{BACKFILL} pase=1s\n{update}"), 1, "it has no \"pase\""),
            (format!("{BACKFILL}\nUPDATE t SET id = 1;"), 1, "a column of the key"),
        ] {
            let error = split(sql.clone()).expect_err(&sql);
            assert_eq!(error.line(), line, "{sql}");
            assert!(error.to_string().contains(problem), "{sql}: {error}");
        }
    }

    #[test]
    fn a_copy_is_about_the_next_statement_too_and_only_about_one_that_changes_types() {
        let script =
            split("-- sluice: copy key=id batch=500\nALTER TABLE t ALTER id TYPE bigint;").expect("splits");
        assert!(matches!(&script.statements[0].kind, StatementKind::Copy(copy) if copy.batches.batch == 500));
        assert!(!script.is_transactional());
        for (sql, problem) in [
            ("-- sluice: copy key=id\nUPDATE t SET a = 1;", "before no ALTER TABLE"),
            ("-- sluice: copy key=id\nALTER TABLE t ADD COLUMN a int;", "something else"),
            ("-- sluice: copy\nALTER TABLE t ALTER a TYPE int;", "it names no key"),
            (
                "-- sluice: copy key=id\n-- sluice: backfill key=id\nALTER TABLE t ALTER a TYPE int;",
                "keep one",
            ),
        ] {
            let told = split(sql).expect_err(sql).to_string();
            assert!(told.contains(problem), "{sql}: {told}");
        }
    }

    #[test]
    fn other_comments_and_what_stands_in_strings_and_bodies_are_no_directives() {
        for sql in [
            "-- sluice is nice\n-- no-transaction\n",
            "SELECT '\n-- sluice: what';",
            "DO $$\n-- sluice: what\n$$;",
            "/*\n-- sluice: what\n*/",
            "SELECT 1; -- sluice: what",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC\n-- sluice: what\nSELECT 1; END;",
        ] {
            assert!(split(sql).is_ok_and(|script| !script.apart), "{sql}");
        }
    }
}
