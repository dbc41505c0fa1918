//! What a release executes, as SQL that can be read from top to bottom. PURE.

use crate::{
    migrations::{Group, Script, Step},
    redact,
    sql::{LockMode, table_locks},
    stage::Course,
    visible::visible,
};

/// Every transaction and every step of a release; `names` are those of its migrations, in order.
pub(super) fn written(course: &Course, names: &[&String]) -> String {
    let mut page = Page { text: String::new(), number: 0 };
    let name = |at: usize| names.get(at).map_or_else(String::new, |name| visible(name));
    for group in &course.groups {
        match group {
            Group::Transaction(members) => {
                page.heading("one transaction, with the rows of its migrations in the history");
                page.text += "BEGIN;\n";
                for at in members {
                    let script = &course.scripts[*at];
                    page.text += &format!("-- {}\n", name(*at));
                    page.statements(script, 0..script.statements.len(), "until COMMIT");
                }
                page.text += "COMMIT;\n";
            }
            Group::Stepwise { migration, steps } => {
                for (number, step) in steps.iter().enumerate() {
                    let place = format!("{}, step {} of {}", name(*migration), number + 1, steps.len());
                    page.step(&course.scripts[*migration], step, &place);
                }
            }
        }
    }
    page.text
}

struct Page {
    text: String,
    number: usize,
}

impl Page {
    fn heading(&mut self, what: &str) {
        self.number += 1;
        self.text += &format!("\n-- {}. {what}\n", self.number);
    }

    fn step(&mut self, script: &Script, step: &Step, place: &str) {
        match step {
            Step::Transactional(range) => {
                self.heading(&format!("{place}: a transaction, with its entry in the journal"));
                self.text += "BEGIN;\n";
                self.statements(script, range.clone(), "until COMMIT");
                self.text += "COMMIT;\n";
            }
            Step::Autocommit(at) => {
                self.heading(&format!("{place}: outside of a transaction"));
                self.statements(script, *at..*at + 1, "until it ends");
            }
            Step::Backfill(at) => {
                self.heading(&format!(
                    "{place}: in batches, each a transaction with its entry in the journal"
                ));
                self.statements(script, *at..*at + 1, "until the COMMIT of a batch");
            }
            Step::Copy(at) => {
                self.heading(&format!(
                    "{place}: by copy and swap, in batches; the lock is held for the moment of the swap alone"
                ));
                self.statements(script, *at..*at + 1, "until the COMMIT of the swap");
            }
        }
    }

    fn statements(&mut self, script: &Script, range: std::ops::Range<usize>, until: &str) {
        for statement in &script.statements[range] {
            for lock in table_locks(statement.sql()).iter().filter(|lock| lock.mode > LockMode::RowExclusive)
            {
                let others = match lock.mode {
                    mode if mode.is_strong() => format!("{} wait", mode.keeps_waiting()),
                    _ => "readers and writers go on".to_owned(),
                };
                let (mode, table) = (lock.mode.words(), visible(&lock.table));
                self.text += &format!("-- {mode} on {table}: {others} {until}\n");
            }
            let text = redact::own_text(statement.sql());
            let lines: Vec<String> = text.lines().map(visible).collect();
            self.text += &format!("{};\n", lines.join("\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::Atomicity,
        migrations::{plan_groups, split},
    };

    #[test]
    fn each_statement_stands_in_its_transaction_with_the_locks_that_keep_others_waiting() {
        let files = [
            "CREATE TABLE t (a int);\nALTER TABLE u ADD COLUMN b int; INSERT INTO u VALUES (1)",
            "CREATE ROLE app PASSWORD 'secret';",
            "CREATE INDEX CONCURRENTLY i ON u (b); ALTER TABLE u VALIDATE CONSTRAINT c;\n\
             -- sluice: backfill key=a\nUPDATE u SET b = 2;",
        ];
        let scripts: Vec<Script> = files.iter().map(|sql| split(*sql).expect("splits")).collect();
        let groups = plan_groups(&scripts, Atomicity::Release, 1000);
        let names: Vec<String> = ["1_a", "2_b", "3_\u{1b}[31mc"].map(str::to_owned).into();
        let text = written(&Course { scripts, groups }, &names.iter().collect::<Vec<_>>());
        assert_eq!(
            text,
            "
-- 1. one transaction, with the rows of its migrations in the history
BEGIN;
-- 1_a
CREATE TABLE t (a int);
-- ACCESS EXCLUSIVE on \"u\": readers and writers wait until COMMIT
ALTER TABLE u ADD COLUMN b int;
INSERT INTO u VALUES (1);
-- 2_b
CREATE ROLE app PASSWORD $1;
COMMIT;

-- 2. 3_\\u{1b}[31mc, step 1 of 3: outside of a transaction
-- SHARE UPDATE EXCLUSIVE on \"u\": readers and writers go on until it ends
CREATE INDEX CONCURRENTLY i ON u (b);

-- 3. 3_\\u{1b}[31mc, step 2 of 3: a transaction, with its entry in the journal
BEGIN;
-- SHARE UPDATE EXCLUSIVE on \"u\": readers and writers go on until COMMIT
ALTER TABLE u VALIDATE CONSTRAINT c;
COMMIT;

-- 4. 3_\\u{1b}[31mc, step 3 of 3: in batches, each a transaction with its entry in the journal
UPDATE u SET b = 2;
"
        );
    }
}
