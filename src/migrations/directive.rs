//! Directives: SQL comments that say something about the file they stand in, so that the same folder still works with Prisma.

use super::script::ScriptError;

/// What the directives of a file say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `-- sluice: no-transaction`: each statement runs alone.
    pub no_transaction: bool,
}

/// Reads the lines that begin with `-- sluice:`.
pub fn read(sql: &str) -> Result<Directives, ScriptError> {
    let mut directives = Directives::default();
    for (number, line) in sql.lines().enumerate() {
        let Some(text) = line.trim_start().strip_prefix("--").map(str::trim_start).and_then(|rest| rest.strip_prefix("sluice:")) else {
            continue;
        };
        match text.split_whitespace().next() {
            Some("no-transaction") => directives.no_transaction = true,
            // A waiver of a lint rule changes nothing about how the file runs.
            Some("allow") => {}
            _ => {
                let line = u32::try_from(number + 1).unwrap_or(u32::MAX);
                return Err(ScriptError::UnknownDirective { line, directive: text.trim().to_owned() });
            }
        }
    }
    Ok(directives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_this_version_does_not_know_is_refused_not_ignored() {
        let sql = "SELECT 1;\n-- sluice: backfill key=id batch=10000\nUPDATE t SET a = 1;";
        assert_eq!(read(sql), Err(ScriptError::UnknownDirective { line: 2, directive: "backfill key=id batch=10000".into() }));
    }

    #[test]
    fn other_comments_are_not_directives() {
        assert_eq!(read("-- sluice is nice\n-- no-transaction\n"), Ok(Directives::default()));
    }
}
