//! A rehearsal for a terminal: the worst statement first, and a line that sums up. PURE.

use comfy_table::{ContentArrangement, Table, presets};

use crate::{
    redact::bounded,
    stage::{Rehearsal, RehearsedLock, RehearsedStatement, RelationKind},
    visible::visible,
};

/// So many statements are shown; `-o json` has all.
const LISTED: usize = 40;
/// The most characters of a statement in its cell.
const SHOWN: usize = 80;

/// The page.
pub(in crate::cli) fn page(rehearsal: &Rehearsal) -> String {
    let mut text = String::new();
    let statements = rehearsal.worst_first();
    if !statements.is_empty() {
        let table = table(&statements[..statements.len().min(LISTED)]).to_string();
        text += &table.lines().map(|line| format!("{}\n", line.trim())).collect::<String>();
        if statements.len() > LISTED {
            text += &format!("and {} more; `-o json` has all\n", statements.len() - LISTED);
        }
        text += &format!("{}\n", sum(rehearsal, &statements));
    }
    for place in &rehearsal.left_out {
        let statement = visible(&place.statement);
        text += &format!("left out  {}:{}  {statement}\n", visible(&place.file), place.line);
    }
    for finding in &rehearsal.findings {
        text += &visible(&format!(
            "{:?}  {}  {}: {}; {}",
            finding.severity, finding.check, finding.object, finding.message, finding.remedy
        ));
        text.push('\n');
    }
    text + &format!("{:?}: {}\n", rehearsal.verdict, visible(&rehearsal.message))
}

fn table(statements: &[&RehearsedStatement]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["STATEMENT", "MS", "ROWS", "LOCKED AGAINST WRITERS", "REWRITTEN"]);
    for statement in statements {
        let place = &statement.place;
        let what = format!("{}:{}\n{}", place.file, place.line, bounded(&place.statement, SHOWN));
        let rows = if statement.rows == 0 { String::new() } else { statement.rows.to_string() };
        let cells = [what, statement.milliseconds.to_string(), rows, locks(statement), rewrites(statement)];
        table.add_row(cells.map(|cell| cell.lines().map(visible).collect::<Vec<_>>().join("\n")));
    }
    table
}

/// What writers wait for, the strongest lock of each relation. An index is locked with its table.
fn strong(statement: &RehearsedStatement) -> Vec<&RehearsedLock> {
    let is_strongest = |lock: &&RehearsedLock| {
        let mut same = statement.locks.iter().filter(|other| other.relation == lock.relation);
        same.all(|other| other.mode <= lock.mode)
    };
    let tables = statement.strong_locks().filter(|lock| lock.kind != RelationKind::Index);
    tables.filter(is_strongest).collect()
}

fn locks(statement: &RehearsedStatement) -> String {
    let told = strong(statement)
        .into_iter()
        .map(|lock| format!("{} {}, {} ms", lock.relation, lock.mode.words(), lock.held_milliseconds));
    told.collect::<Vec<_>>().join("\n")
}

fn rewrites(statement: &RehearsedStatement) -> String {
    let each = statement.rewrites.iter();
    each.map(|rewrite| format!("{}, {}", rewrite.relation, size(rewrite.bytes)))
        .collect::<Vec<_>>()
        .join("\n")
}

fn sum(rehearsal: &Rehearsal, statements: &[&RehearsedStatement]) -> String {
    let (took, rewritten) = (rehearsal.milliseconds(), rehearsal.rewritten());
    let strong = statements.iter().flat_map(|statement| strong(statement));
    let worst = strong.max_by_key(|lock| lock.held_milliseconds);
    let held = worst.map_or_else(
        || "no existing table is locked against writers".to_owned(),
        |lock| {
            format!(
                "{} is locked for longest, for {} ms ({})",
                visible(&lock.relation),
                lock.held_milliseconds,
                lock.mode.words()
            )
        },
    );
    format!(
        "\n{} statement(s) in {} transaction(s) on the {}, {took} ms after {} ms to prepare; {held}; {} rewritten",
        statements.len(),
        rehearsal.transactions.len(),
        rehearsal.on.to_lowercase(),
        rehearsal.prepared_milliseconds,
        size(rewritten)
    )
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=0x000F_FFFF => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::Reason,
        contract::Verdict,
        sql::LockMode,
        stage::{RehearsedTransaction, Rewrite, StatementPlace},
    };

    fn statement(line: u32, locks: &[(&str, RelationKind, LockMode)]) -> RehearsedStatement {
        let place = StatementPlace {
            migration: "2_wider".into(),
            file: "2_wider/migration.sql".into(),
            line,
            statement: "ALTER TABLE visits\u{1b}[31m".into(),
        };
        let lock = |(relation, kind, mode): &(&str, RelationKind, LockMode)| RehearsedLock {
            relation: (*relation).to_owned(),
            kind: *kind,
            mode: *mode,
            held_milliseconds: u64::from(line),
        };
        let rewrites =
            vec![Rewrite { relation: "public.visits".into(), kind: RelationKind::Table, bytes: 3 << 20 }];
        RehearsedStatement {
            place,
            milliseconds: 3,
            rows: 0,
            locks: locks.iter().map(lock).collect(),
            rewrites,
        }
    }

    #[test]
    fn a_page_tells_the_strongest_lock_of_each_table_and_lets_nothing_steer_the_terminal() {
        let (table, index) = (RelationKind::Table, RelationKind::Index);
        let statements = vec![
            statement(7, &[("public.rooms", table, LockMode::RowExclusive)]),
            statement(
                9,
                &[
                    ("public.visits", table, LockMode::AccessExclusive),
                    ("public.visits", table, LockMode::Share),
                    ("public.visits_pkey", index, LockMode::AccessExclusive),
                ],
            ),
        ];
        let transaction = RehearsedTransaction {
            in_transaction: true,
            committed: true,
            milliseconds: 20,
            commit_milliseconds: 0,
            statements,
        };
        let page = page(&Rehearsal {
            on: "Snapshot".into(),
            verdict: Verdict::Passed,
            reason: Reason::Rehearsed,
            message: "it ran".into(),
            prepared_milliseconds: 40,
            transactions: vec![transaction],
            left_out: Vec::new(),
            changes: Vec::new(),
            findings: Vec::new(),
            failure: None,
        });
        assert!(page.contains("public.visits ACCESS EXCLUSIVE, 9 ms"), "{page}");
        for hidden in ["visits_pkey", "SHARE", "ROW EXCLUSIVE", "\u{1b}"] {
            assert!(!page.contains(hidden), "{hidden:?} in\n{page}");
        }
        let sum = "2 statement(s) in 1 transaction(s) on the snapshot, 20 ms after 40 ms to prepare; \
            public.visits is locked for longest, for 9 ms (ACCESS EXCLUSIVE); 6 MiB rewritten\nPassed: it ran\n";
        assert!(page.ends_with(sum), "{page}");
    }
}
