//! A file as Prisma sends it: whole, in one simple query. PostgreSQL makes one transaction of it where it
//! holds more than one statement, and begins the next one behind each COMMIT.

use super::{About, Fault, Objection, line_of};
use crate::{
    migrations::Migration,
    sql::{self, Control, Cursor, Needs},
};

/// A file and its statements, those that begin and end transactions among them.
pub(super) struct File<'a> {
    pub(super) migration: &'a Migration,
    pub(super) statements: Vec<Sent<'a>>,
}

/// One statement of it.
pub(super) struct Sent<'a> {
    pub(super) sql: &'a str,
    /// Counted from 1.
    pub(super) line: u32,
    pub(super) control: Option<Control>,
    pub(super) needs: Needs,
    /// Which transaction of the file it is in, counted from 0.
    pub(super) transaction: usize,
    /// A BEGIN stands before it, and no COMMIT since.
    pub(super) bracketed: bool,
}

impl<'a> File<'a> {
    pub(super) fn read(migration: &'a Migration) -> Self {
        let mut statements = Vec::new();
        let (mut transaction, mut bracketed) = (0, false);
        let (mut line, mut counted) = (1, 0);
        for range in sql::split(&migration.sql).statements {
            line += lines(&migration.sql[counted..range.start]);
            counted = range.start;
            let sql = &migration.sql[range];
            let sql::Statement { control, needs, .. } = sql::Statement::read(sql);
            statements.push(Sent { sql, line, control, needs, transaction, bracketed });
            match control {
                Some(Control::Begin(_)) => bracketed = true,
                Some(Control::Commit { chain }) => {
                    transaction += 1;
                    bracketed &= chain;
                }
                _ => {}
            }
        }
        Self { migration, statements }
    }

    /// The line of `-- sluice: no-transaction`.
    pub(super) fn apart(&self) -> Option<u32> {
        self.migration.script().is_ok_and(|script| script.apart).then(|| {
            let directive = |line: &str| {
                line.trim_start().starts_with("--")
                    && line.contains("sluice:")
                    && line.contains("no-transaction")
            };
            let before = self.migration.sql.lines().take_while(|line| !directive(line)).count();
            u32::try_from(before).map_or(u32::MAX, |before| before + 1)
        })
    }

    /// An objection to a line of it, in these words.
    pub(super) fn objection(&self, rule: &str, fault: Fault) -> Option<Objection<'a>> {
        let Fault { line, message, remedy } = fault;
        let place = line_of(&self.migration.sql, line);
        Objection::in_words(rule, About::Place(self.migration, place), message, remedy)
    }
}

impl Sent<'_> {
    /// Whether it begins with one of these keywords.
    pub(super) fn begins(&self, keywords: &[&str]) -> bool {
        Cursor::of(self.sql).at_any(keywords)
    }
}

fn lines(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX)
}
