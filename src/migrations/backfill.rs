//! `-- sluice: backfill key=id batch=10000 pause=100ms max-lag=5s`: the UPDATE, DELETE or INSERT … SELECT
//! that follows runs in batches, each committed, along a key of its table. To Prisma it is a comment.

use crate::{
    api::Span,
    sql::{Cursor, Ranged},
};

/// The most rows of a batch, where the directive does not say.
const BATCH: u32 = 10_000;
/// The most that it may say.
const LARGEST: u32 = 1_000_000;
/// The most columns of a key, as PostgreSQL has it for an index.
const COLUMNS: usize = 32;

/// What a directive says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batches {
    /// The columns of the key, in its order, as PostgreSQL stores their names.
    pub key: Vec<String>,
    /// The most rows of a batch; 10,000 where it does not say.
    pub batch: u32,
    /// How long Sluice waits behind each batch; not at all where it does not say.
    pub pause: Span,
    /// How far a replica may be behind; any where it does not say.
    pub max_lag: Option<Span>,
}

/// A statement that runs in batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// Along which key, and how fast.
    pub batches: Batches,
    /// How it is run for the rows of a batch.
    pub ranged: Ranged,
}

impl Batches {
    /// Reads what stands behind the word `backfill`; an error says what is wrong, and what to do.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (mut key, mut batch, mut pause, mut max_lag) = (None, None, None, None);
        for word in words(text) {
            let (name, value) = word.split_once('=').ok_or_else(|| {
                format!(
                    "{word:?} is no NAME=VALUE: write key=, batch=, pause= or max-lag=, without blanks \
                    around ="
                )
            })?;
            match name {
                "key" => once(&mut key, name, self::key(value)?)?,
                "batch" => once(&mut batch, name, self::batch(value)?)?,
                "pause" => once(&mut pause, name, span(value)?)?,
                "max-lag" => once(&mut max_lag, name, lag(value)?)?,
                _ => return Err(format!("it has no {name:?}: write key=, batch=, pause= or max-lag=")),
            }
        }
        let key = key.ok_or(
            "it names no key: write key= and the columns of the primary key, or of a unique \
            index, for instance key=id",
        )?;
        let (batch, pause) = (batch.unwrap_or(BATCH), pause.unwrap_or(Span::from_millis(0)));
        Ok(Self { key, batch, pause, max_lag })
    }

    /// The key as a person writes it.
    pub fn shown(&self) -> String {
        self.key.join(", ")
    }

    /// Of this statement; an error says why not.
    pub(super) fn of(self, sql: &str) -> Result<Backfill, String> {
        let ranged = Ranged::read(sql)?;
        if let Some(column) = self.key.iter().find(|column| ranged.sets.contains(column)) {
            return Err(format!(
                "the statement sets {column:?}, a column of the key, so that rows would move between \
                    batches: use another key"
            ));
        }
        Ok(Backfill { batches: self, ranged })
    }
}

/// Apart at blanks, but not at those in a quoted name.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut in_quotes = false;
    let is_gap = move |c: char| {
        in_quotes ^= c == '"';
        c.is_whitespace() && !in_quotes
    };
    text.split(is_gap).filter(|word| !word.is_empty())
}

pub(super) fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("it says {name}= twice: keep one")),
    }
}

fn key(value: &str) -> Result<Vec<String>, String> {
    let wrong =
        || format!("key={value} names no columns: write key=id, or key=clinic_id,id for a key of several");
    let (mut columns, mut cursor) = (Vec::new(), Cursor::of(value));
    loop {
        let name = cursor.name().filter(|name| name.0.len() == 1).ok_or_else(wrong)?;
        columns.extend(name.0);
        if cursor.peek().is_none() {
            break;
        }
        if !cursor.eat_symbol(b',') {
            return Err(wrong());
        }
    }
    if let Some(twice) = (1..columns.len()).find(|at| columns[..*at].contains(&columns[*at])) {
        return Err(format!("key= names {:?} twice: keep one", columns[twice]));
    }
    if columns.len() > COLUMNS {
        return Err(format!("key= names more than {COLUMNS} columns, which no index has"));
    }
    Ok(columns)
}

fn batch(value: &str) -> Result<u32, String> {
    value.parse().ok().filter(|rows| (1..=LARGEST).contains(rows)).ok_or_else(|| {
        format!("batch={value} is no number of rows: write a whole number from 1 to {LARGEST}")
    })
}

fn span(value: &str) -> Result<Span, String> {
    value.parse().map_err(|error: crate::api::InvalidSpan| error.to_string())
}

fn lag(value: &str) -> Result<Span, String> {
    let lag = span(value)?;
    if lag.duration().is_zero() {
        return Err(format!(
            "max-lag={value} is no lag that a replica can keep: write more than 0s, for instance max-lag=5s"
        ));
    }
    Ok(lag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(key: &[&str]) -> Vec<String> {
        key.iter().map(|&column| column.to_owned()).collect()
    }

    #[test]
    fn a_directive_says_key_batch_pause_and_lag_and_has_defaults_for_all_but_the_key() {
        let all = Batches {
            key: columns(&["id"]),
            batch: 500,
            pause: Span::from_millis(100),
            max_lag: Some(Span::from_secs(5)),
        };
        assert_eq!(Batches::read(" max-lag=5s key=ID batch=500  pause=100ms"), Ok(all));
        let few = Batches {
            key: columns(&["clinic_id", "user Id"]),
            batch: 10_000,
            pause: Span::from_millis(0),
            max_lag: None,
        };
        assert_eq!(Batches::read("key=clinic_id,\"user Id\""), Ok(few));
    }

    #[test]
    fn what_does_not_parse_and_what_is_said_twice_is_named() {
        for (text, problem) in [
            ("", "it names no key"),
            ("batch=10", "it names no key"),
            ("key=", "key= names no columns"),
            ("key=a.b", "key=a.b names no columns"),
            ("key=a,", "key=a, names no columns"),
            ("key=id,ID", "\"id\" twice"),
            ("key=id key=id", "key= twice"),
            ("key=id batch=0", "batch=0 is no number of rows"),
            ("key=id batch=1e3", "batch=1e3 is no number of rows"),
            ("key=id batch=1000001", "from 1 to 1000000"),
            ("key=id pause=100", "\"100\" is not a length of time"),
            ("key=id max-lag=soon", "\"soon\" is not a length of time"),
            ("key=id max-lag=0s", "write more than 0s"),
            ("key=id lag=5s", "it has no \"lag\""),
            ("key=id fast", "\"fast\" is no NAME=VALUE"),
            ("key = id", "\"key\" is no NAME=VALUE"),
        ] {
            let told = Batches::read(text).expect_err(text);
            assert!(told.contains(problem), "{text}: {told}");
        }
    }

    #[test]
    fn a_key_that_the_statement_itself_changes_is_refused() {
        let by = |key| Batches::read(key).expect("reads").of("UPDATE t SET (a, id) = (1, id + 1)");
        assert!(by("key=id").expect_err("is refused").contains("sets \"id\""));
        assert_eq!(by("key=b").map(|backfill| backfill.ranged.sets), Ok(columns(&["a", "id"])));
    }
}
