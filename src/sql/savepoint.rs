//! Savepoints: what a file takes back must be its own work, because the files before it in the release are in
//! the same transaction.

use super::cursor::Cursor;

/// What a statement does with a savepoint, which it names. No name where PostgreSQL would find none either,
/// or one that cannot be read here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Savepoint {
    /// `SAVEPOINT`
    Make(Option<String>),
    /// `RELEASE`
    Release(Option<String>),
    /// `ROLLBACK TO`
    GoBack(Option<String>),
}

/// Reads one statement. None where it has nothing to do with a savepoint.
pub(super) fn savepoint(statement: &str) -> Option<Savepoint> {
    let mut cursor = Cursor::of(statement);
    match cursor.eat_any(&["SAVEPOINT", "RELEASE", "ROLLBACK"])? {
        "SAVEPOINT" => Some(Savepoint::Make(name(&mut cursor))),
        "RELEASE" => Some(Savepoint::Release(named(&mut cursor))),
        _ => {
            cursor.eat_any(&["WORK", "TRANSACTION"]);
            cursor.eat(&["TO"]).then(|| Savepoint::GoBack(named(&mut cursor)))
        }
    }
}

/// Behind the word SAVEPOINT, which may be left out and may be a name itself.
fn named(cursor: &mut Cursor<'_>) -> Option<String> {
    let before = cursor.clone();
    if cursor.eat(&["SAVEPOINT"]) && cursor.peek().is_none() {
        *cursor = before;
    }
    name(cursor)
}

fn name(cursor: &mut Cursor<'_>) -> Option<String> {
    cursor
        .name()
        .filter(|name| name.0.len() == 1 && cursor.peek().is_none())
        .map(|name| name.own().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn savepoints_are_named_however_they_are_written() {
        let name = |name: &str| Some(name.to_owned());
        for (sql, expected) in [
            ("SAVEPOINT a", Some(Savepoint::Make(name("a")))),
            ("savepoint /* why */ \"A b\"", Some(Savepoint::Make(name("A b")))),
            ("RELEASE A", Some(Savepoint::Release(name("a")))),
            ("RELEASE SAVEPOINT U&\"\\0061\"", Some(Savepoint::Release(name("a")))),
            ("RELEASE savepoint", Some(Savepoint::Release(name("savepoint")))),
            ("ROLLBACK TO a", Some(Savepoint::GoBack(name("a")))),
            ("ROLLBACK WORK TO SAVEPOINT a", Some(Savepoint::GoBack(name("a")))),
            ("rollback transaction to savepoint savepoint", Some(Savepoint::GoBack(name("savepoint")))),
            ("ROLLBACK TO 'a'", Some(Savepoint::GoBack(None))),
            ("ROLLBACK TO a b", Some(Savepoint::GoBack(None))),
            ("ROLLBACK", None),
            ("SELECT 1", None),
        ] {
            assert_eq!(savepoint(sql), expected, "{sql}");
        }
    }
}
