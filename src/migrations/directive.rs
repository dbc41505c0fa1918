//! Directives: SQL comments that say something about the file they stand in, so that the same folder still
//! works with Prisma.

use super::script::ScriptError;

/// What the directives of a file say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `-- sluice: no-transaction`: each statement runs alone.
    pub no_transaction: bool,
}

impl Directives {
    /// Reads one comment that begins its line. `line` says which, for the error.
    pub fn read(&mut self, comment: &str, line: impl FnOnce() -> u32) -> Result<(), ScriptError> {
        let text =
            comment.strip_prefix("--").map(str::trim_start).and_then(|rest| rest.strip_prefix("sluice:"));
        let Some(text) = text else { return Ok(()) };
        match text.split_whitespace().next() {
            Some("no-transaction") => self.no_transaction = true,
            // A waiver of a lint rule changes nothing about how the file runs.
            Some("allow") => {}
            _ => {
                return Err(ScriptError::UnknownDirective {
                    line: line(),
                    directive: text.trim().to_owned(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::split;

    #[test]
    fn a_directive_this_version_does_not_know_is_refused_not_ignored() {
        let sql = "SELECT 1;\n-- sluice: backfill key=id batch=10000\nUPDATE t SET a = 1;";
        assert_eq!(
            split(sql),
            Err(ScriptError::UnknownDirective { line: 2, directive: "backfill key=id batch=10000".into() })
        );
        assert!(split("-- sluice:\nSELECT 1").is_err());
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
