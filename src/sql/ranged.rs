//! A statement that changes the rows of one table, read so that it can be run for one range of them after the
//! other: where its condition stands, and where another can be joined to it. What could end with other rows
//! when it is run in ranges is refused.

use std::ops::Range;

use super::{
    cursor::{Cursor, Name},
    token::{Token, TokenKind, Tokens},
};

/// A statement that can be run for ranges of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranged {
    /// The table whose rows are divided into ranges: the one that UPDATE and DELETE change, the first that
    /// INSERT … SELECT reads.
    pub table: Name,
    /// What the statement calls this table, in quotes.
    pub called: String,
    /// The table that is changed.
    pub changes: Name,
    /// The columns that UPDATE sets.
    pub sets: Vec<String>,
    /// UPDATE sets a column that its condition wants to be NULL: a row that was changed must not match any
    /// more.
    pub fills: bool,
    /// The functions that the SELECT of an INSERT calls outside of subqueries. One that aggregates would do
    /// so for each range.
    pub calls: Vec<String>,
    /// Where the condition stands, in bytes.
    condition: Option<Range<usize>>,
    /// Where one is added, in bytes.
    end: usize,
}

const NOT_ONE: &str = "it stands before no UPDATE, DELETE or INSERT … SELECT: put it directly before the \
    statement that it is about, and write a WITH as a subquery in FROM or USING";
const ONLY: &str = "ONLY leaves out rows that the key may be about: name the table whose own rows you mean";
const RETURNING: &str = "RETURNING has no client that reads it: remove it";
const CURRENT_OF: &str = "WHERE CURRENT OF is about one row: name rows by their columns";
const MENTIONS: &str = "the statement also reads the table that it changes, so a batch would see what the \
    batches before it changed: read from a copy of the table, or run the statement whole";
const NO_TABLE: &str = "INSERT … SELECT has to read FROM a table first, whose key divides the rows: no \
    subquery, function, ONLY, LATERAL, TABLESAMPLE or list of new column names";
const OUTER: &str = "RIGHT JOIN and FULL JOIN make rows without a key of the first table, which would be in \
    no batch: write LEFT JOIN, with the table that has the key first";
const AS_A_WHOLE: &str = "DISTINCT, GROUP BY, HAVING, WINDOW, UNION, INTERSECT, EXCEPT, ORDER BY, LIMIT, \
    OFFSET, FETCH and FOR are about all rows at once: move them into a subquery that is joined, or run the \
    statement whole";

/// What divides all rows of a SELECT, or puts them in order.
const OF_ALL_ROWS: [&str; 11] =
    ["UNION", "INTERSECT", "EXCEPT", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH", "FOR"];
/// What may follow a table without an alias.
const BEHIND_A_TABLE: [&str; 10] =
    ["WHERE", "JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL", "ON", "TABLESAMPLE"];

impl Ranged {
    /// Reads one statement; an error says why it cannot be run in ranges, and what to do.
    pub fn read(sql: &str) -> Result<Self, &'static str> {
        let pieces = Pieces::of(sql);
        if pieces.is(0, "UPDATE") {
            pieces.update()
        } else if pieces.is(0, "DELETE") && pieces.is(1, "FROM") {
            pieces.delete()
        } else if pieces.is(0, "INSERT") && pieces.is(1, "INTO") {
            pieces.insert()
        } else {
            Err(NOT_ONE)
        }
    }

    /// The statement, about no other rows than those of a range.
    pub fn within(&self, sql: &str, range: &str) -> String {
        match &self.condition {
            Some(own) => {
                let (before, own, behind) = (&sql[..own.start], &sql[own.clone()], &sql[own.end..]);
                format!("{before}({own}) AND {range}{behind}")
            }
            None => format!("{} WHERE {range}{}", &sql[..self.end], &sql[self.end..]),
        }
    }

    /// Its own condition.
    pub fn condition<'a>(&self, sql: &'a str) -> Option<&'a str> {
        self.condition.clone().map(|range| &sql[range])
    }
}

/// A token that is no comment, and how deep in parentheses and brackets it stands.
struct Piece {
    token: Token,
    depth: usize,
}

/// A statement, token by token.
struct Pieces<'a> {
    sql: &'a str,
    all: Vec<Piece>,
}

impl<'a> Pieces<'a> {
    fn of(sql: &'a str) -> Self {
        let mut depth = 0_usize;
        let no_comment =
            |token: &Token| !matches!(token.kind, TokenKind::LineComment | TokenKind::BlockComment);
        let all = Tokens::of(sql).filter(no_comment).map(|token| {
            if matches!(token.kind, TokenKind::Symbol(b')' | b']')) {
                depth = depth.saturating_sub(1);
            }
            let piece = Piece { token, depth };
            if matches!(token.kind, TokenKind::Symbol(b'(' | b'[')) {
                depth += 1;
            }
            piece
        });
        Self { sql, all: all.collect() }
    }

    fn text(&self, at: usize) -> &'a str {
        self.all.get(at).map_or("", |piece| &self.sql[piece.token.start..piece.token.end])
    }

    fn is_word(&self, at: usize, word: &str) -> bool {
        self.all.get(at).is_some_and(|piece| piece.token.kind == TokenKind::Word)
            && self.text(at).eq_ignore_ascii_case(word)
    }

    /// Whether this keyword stands there. Behind a dot or AS it would be a name.
    fn is(&self, at: usize, keyword: &str) -> bool {
        let is_name = at > 0 && (self.is_symbol(at - 1, b'.') || self.is_word(at - 1, "AS"));
        !is_name && self.is_word(at, keyword)
    }

    fn is_any(&self, at: usize, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(at, keyword))
    }

    fn is_symbol(&self, at: usize, symbol: u8) -> bool {
        self.all.get(at).is_some_and(|piece| piece.token.kind == TokenKind::Symbol(symbol))
    }

    /// `FROM`, but not that of `IS DISTINCT FROM`.
    fn is_from(&self, at: usize) -> bool {
        self.is(at, "FROM") && !(at > 0 && self.is_word(at - 1, "DISTINCT"))
    }

    /// The first place outside of parentheses for which this holds.
    fn find(&self, from: usize, holds: impl Fn(usize) -> bool) -> Option<usize> {
        (from..self.all.len()).find(|at| self.all[*at].depth == 0 && holds(*at))
    }

    /// The name that begins there, and the place behind it.
    fn name(&self, at: usize) -> Option<(Name, usize)> {
        let start = self.all.get(at)?.token.start;
        let mut cursor = Cursor::of(&self.sql[start..]);
        let name = cursor.name()?;
        let next = cursor.peek().map_or(self.sql.len(), |token| start + token.start);
        Some((name, self.all.partition_point(|piece| piece.token.start < next)))
    }

    /// The table that is named there, what it is called, and the place behind it. `behind` ends it where it
    /// has no alias.
    fn table(&self, at: usize, behind: &[&str]) -> Option<(Name, String, usize)> {
        let (table, mut at) = self.name(at)?;
        if self.is_symbol(at, b'*') {
            at += 1;
        }
        let says_as = self.is_word(at, "AS");
        let alias =
            if says_as || !self.is_any(at, behind) { self.name(at + usize::from(says_as)) } else { None };
        let (called, at) = match alias {
            Some((alias, next)) => (alias.quoted(), next),
            None => (Name(vec![table.own().to_owned()]).quoted(), at),
        };
        Some((table, called, at))
    }

    fn update(&self) -> Result<Ranged, &'static str> {
        if self.is(1, "ONLY") {
            return Err(ONLY);
        }
        let (table, called, set) =
            self.table(1, &["SET"]).filter(|(.., at)| self.is(*at, "SET")).ok_or(NOT_ONE)?;
        let sets = self.sets(set + 1);
        let ranged = self.of_target(table, called, set + 1)?;
        let fills = self.find(set, |at| self.is(at, "WHERE")).is_some_and(|at| self.fills(at + 1, &sets));
        Ok(Ranged { sets, fills, ..ranged })
    }

    fn delete(&self) -> Result<Ranged, &'static str> {
        if self.is(2, "ONLY") {
            return Err(ONLY);
        }
        let (table, called, at) = self.table(2, &["USING", "WHERE", "RETURNING"]).ok_or(NOT_ONE)?;
        self.of_target(table, called, at)
    }

    /// UPDATE and DELETE, from behind their table on.
    fn of_target(&self, table: Name, called: String, from: usize) -> Result<Ranged, &'static str> {
        if self.find(from, |at| self.is(at, "RETURNING")).is_some() {
            return Err(RETURNING);
        }
        if self.reads(from, &table) {
            return Err(MENTIONS);
        }
        let own = self.find(from, |at| self.is(at, "WHERE"));
        if own.is_some_and(|at| self.is(at + 1, "CURRENT") && self.is(at + 2, "OF")) {
            return Err(CURRENT_OF);
        }
        let (condition, end) = self.condition(own, self.all.len());
        let changes = table.clone();
        Ok(Ranged { table, called, changes, sets: vec![], fills: false, calls: vec![], condition, end })
    }

    fn insert(&self) -> Result<Ranged, &'static str> {
        let (changes, ..) = self.name(2).ok_or(NOT_ONE)?;
        let select = self.find(2, |at| self.is_any(at, &["SELECT", "WITH", "VALUES"]));
        let select = select.filter(|at| self.is(*at, "SELECT")).ok_or(NOT_ONE)?;
        if self.is(select + 1, "DISTINCT") {
            return Err(AS_A_WHOLE);
        }
        let conflict = self.find(select, |at| {
            self.is(at, "ON") && self.is(at + 1, "CONFLICT") && !self.is_symbol(at + 2, b'.')
        });
        let returning = self.find(select, |at| self.is(at, "RETURNING"));
        if returning.is_some() {
            return Err(RETURNING);
        }
        let end = conflict.unwrap_or(self.all.len());
        if self.find(select, |at| at < end && self.is_any(at, &OF_ALL_ROWS)).is_some() {
            return Err(AS_A_WHOLE);
        }
        let from = self.find(select, |at| at < end && self.is_from(at)).ok_or(NO_TABLE)?;
        let (table, called) = self.source(from + 1, end)?;
        if self.reads(select, &changes) {
            return Err(MENTIONS);
        }
        let own = self.find(from, |at| at < end && self.is(at, "WHERE"));
        let (condition, end) = self.condition(own, end);
        let calls = self.calls(select + 1..from);
        Ok(Ranged { table, called, changes, sets: vec![], fills: false, calls, condition, end })
    }

    /// The first table of FROM, and what it is called.
    fn source(&self, at: usize, end: usize) -> Result<(Name, String), &'static str> {
        if self.is_any(at, &["ONLY", "LATERAL", "ROWS"]) {
            return Err(NO_TABLE);
        }
        let (table, called, next) = self.table(at, &BEHIND_A_TABLE).ok_or(NO_TABLE)?;
        if self.is_symbol(next, b'(') || self.is(next, "TABLESAMPLE") {
            return Err(NO_TABLE);
        }
        let is_outer = |at: usize| {
            at < end && self.is_any(at, &["RIGHT", "FULL"]) && self.is_any(at + 1, &["JOIN", "OUTER"])
        };
        if self.find(next, is_outer).is_some() { Err(OUTER) } else { Ok((table, called)) }
    }

    /// The place of a condition that begins behind a WHERE and ends before this place, and where one is
    /// added.
    fn condition(&self, own: Option<usize>, end: usize) -> (Option<Range<usize>>, usize) {
        let last = end.checked_sub(1).map_or(0, |last| self.all[last].token.end);
        let first = own.and_then(|own| self.all.get(own + 1)).map(|piece| piece.token.start);
        (first.filter(|first| *first < last).map(|first| first..last), last)
    }

    /// The columns that are set from here on.
    fn sets(&self, from: usize) -> Vec<String> {
        let end = self.find(from, |at| self.is_from(at) || self.is(at, "WHERE")).unwrap_or(self.all.len());
        let comma = |at: &usize| self.all[*at].depth == 0 && self.is_symbol(*at, b',');
        let begins = std::iter::once(from).chain((from..end).filter(comma).map(|at| at + 1));
        let mut sets = Vec::new();
        for begin in begins {
            let first = |at: usize| self.name(at).and_then(|(name, _)| name.0.into_iter().next());
            if !self.is_symbol(begin, b'(') {
                sets.extend(first(begin));
                continue;
            }
            let several = (begin + 1..end).take_while(|at| self.all[*at].depth > 0);
            let of_each = |at: &usize| self.is_symbol(at - 1, b'(') || self.is_symbol(at - 1, b',');
            sets.extend(several.filter(of_each).filter_map(first));
        }
        sets
    }

    /// Whether each row has to have NULL in one of these columns: the condition says so, joined with nothing
    /// but AND.
    fn fills(&self, from: usize, sets: &[String]) -> bool {
        let ends = |at: usize| at == self.all.len() || (self.all[at].depth == 0 && self.is(at, "AND"));
        let is_null = |at: usize| {
            let begins = at == from || ends(at - 1);
            let named = self.name(at).filter(|(name, _)| begins && sets.iter().any(|set| set == name.own()));
            named.is_some_and(|(_, next)| self.is(next, "IS") && self.is(next + 1, "NULL") && ends(next + 2))
        };
        self.find(from, |at| self.is(at, "OR")).is_none() && self.find(from, is_null).is_some()
    }

    /// What is called there, outside of subqueries.
    fn calls(&self, range: Range<usize>) -> Vec<String> {
        let (mut calls, mut subquery) = (Vec::new(), None);
        for at in range {
            let depth = self.all[at].depth;
            if subquery.is_some_and(|outside| depth > outside) {
                continue;
            }
            subquery = None;
            if self.is_symbol(at, b'(') && self.is_any(at + 1, &["SELECT", "WITH", "VALUES", "TABLE"]) {
                subquery = Some(depth);
            } else if self.is_symbol(at + 1, b'(') {
                calls.extend(self.name(at).map(|(name, _)| name.own().to_owned()));
            }
        }
        calls.sort_unstable();
        calls.dedup();
        calls
    }

    /// Whether a table of this name is read from here on, in whatever subquery.
    fn reads(&self, from: usize, table: &Name) -> bool {
        let same = |name: &Name| {
            let (ours, theirs) = (table.0.iter().rev(), name.0.iter().rev());
            ours.zip(theirs).all(|(ours, theirs)| ours == theirs)
        };
        // For each depth: whether a list of tables stands there, and whether its next table is expected.
        let mut lists = vec![(false, false)];
        for at in from..self.all.len() {
            let depth = self.all[at].depth;
            let inherited = lists.get(depth.saturating_sub(1)).is_some_and(|(_, expected)| *expected);
            while lists.len() > depth + 1 {
                lists.pop();
            }
            while lists.len() < depth + 1 {
                lists.push((inherited, inherited));
            }
            let (list, expected) = &mut lists[depth];
            if self.is_from(at) || self.is_any(at, &["USING", "JOIN", "TABLE"]) {
                (*list, *expected) = (true, true);
            } else if self.is_any(at, &["SELECT", "WHERE", "SET", "GROUP", "ORDER", "VALUES"]) {
                (*list, *expected) = (false, false);
            } else if self.is_symbol(at, b',') {
                *expected = *list;
            } else if *expected && !self.is_symbol(at, b'(') && !self.is_any(at, &["ONLY", "LATERAL"]) {
                *expected = false;
                if self.name(at).is_some_and(|(name, next)| same(&name) && !self.is_symbol(next, b'(')) {
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: &str = "k > $1";

    fn within(sql: &str) -> String {
        Ranged::read(sql).map_or_else(str::to_owned, |ranged| ranged.within(sql, RANGE))
    }

    #[test]
    fn the_range_is_joined_to_the_condition_of_the_statement_or_becomes_it() {
        for (sql, expected) in [
            ("UPDATE t SET a = 1", "UPDATE t SET a = 1 WHERE k > $1"),
            (
                "UPDATE t SET a = 1 WHERE a IS NULL OR b -- why\n = 2",
                "UPDATE t SET a = 1 WHERE (a IS NULL OR b -- why\n = 2) AND k > $1",
            ),
            (
                "update t set a = (select 1 from u where u.id = t.id) from v where v.id = t.v",
                "update t set a = (select 1 from u where u.id = t.id) from v where (v.id = t.v) AND k > $1",
            ),
            ("DELETE FROM t USING u", "DELETE FROM t USING u WHERE k > $1"),
            ("DELETE FROM t AS x WHERE 'where' = y", "DELETE FROM t AS x WHERE ('where' = y) AND k > $1"),
            ("INSERT INTO t SELECT a FROM s", "INSERT INTO t SELECT a FROM s WHERE k > $1"),
            (
                "INSERT INTO t (a) SELECT s.limit FROM s LEFT JOIN u ON true ON CONFLICT DO NOTHING",
                "INSERT INTO t (a) SELECT s.limit FROM s LEFT JOIN u ON true WHERE k > $1 ON CONFLICT DO \
                    NOTHING",
            ),
            (
                "INSERT INTO t (a) SELECT a FROM s x WHERE right(a, 1) = 'b' ON CONFLICT (a) DO UPDATE SET \
                    a = 1",
                "INSERT INTO t (a) SELECT a FROM s x WHERE (right(a, 1) = 'b') AND k > $1 ON CONFLICT (a) DO \
                    UPDATE SET a = 1",
            ),
        ] {
            assert_eq!(within(sql), expected);
        }
    }

    #[test]
    fn the_table_is_known_by_its_alias_or_its_own_name() {
        for (sql, table, called, changes) in [
            ("UPDATE clinic.Users SET a = 1", "\"clinic\".\"users\"", "\"users\"", "\"clinic\".\"users\""),
            ("UPDATE \"Users\" * AS \"U\" SET a = 1", "\"Users\"", "\"U\"", "\"Users\""),
            ("UPDATE users u SET a = 1 FROM b", "\"users\"", "\"u\"", "\"users\""),
            ("DELETE FROM users u USING b WHERE true", "\"users\"", "\"u\"", "\"users\""),
            ("INSERT INTO t AS x OVERRIDING SYSTEM VALUE SELECT 1 FROM c.s", "\"c\".\"s\"", "\"s\"", "\"t\""),
            ("INSERT INTO t SELECT 1 FROM s AS y, v", "\"s\"", "\"y\"", "\"t\""),
        ] {
            let ranged = Ranged::read(sql).expect(sql);
            let found = (ranged.table.quoted(), ranged.called.as_str(), ranged.changes.quoted());
            assert_eq!((found.0.as_str(), found.1, found.2.as_str()), (table, called, changes), "{sql}");
        }
    }

    #[test]
    fn what_could_end_with_other_rows_is_refused() {
        for (sql, problem) in [
            ("WITH x AS (SELECT 1) UPDATE t SET a = 1", NOT_ONE),
            ("SELECT 1", NOT_ONE),
            ("INSERT INTO t VALUES (1)", NOT_ONE),
            ("INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x", NOT_ONE),
            ("INSERT INTO t (SELECT 1 FROM s)", NOT_ONE),
            ("UPDATE ONLY t SET a = 1", ONLY),
            ("DELETE FROM ONLY t", ONLY),
            ("UPDATE t SET a = 1 RETURNING a", RETURNING),
            ("INSERT INTO t SELECT a FROM s RETURNING a", RETURNING),
            ("UPDATE t SET a = 1 WHERE CURRENT OF c", CURRENT_OF),
            ("UPDATE t SET a = (SELECT max(a) FROM t)", MENTIONS),
            ("UPDATE c.t SET a = x.a FROM u, t AS x WHERE x.id = t.parent", MENTIONS),
            ("DELETE FROM t WHERE EXISTS (SELECT FROM u JOIN (t x CROSS JOIN v) ON true)", MENTIONS),
            ("INSERT INTO t SELECT a FROM t", MENTIONS),
            ("INSERT INTO t SELECT a FROM s WHERE NOT EXISTS (SELECT FROM t WHERE t.a = s.a)", MENTIONS),
            ("INSERT INTO t SELECT DISTINCT a FROM s", AS_A_WHOLE),
            ("INSERT INTO t SELECT a FROM s GROUP BY a", AS_A_WHOLE),
            ("INSERT INTO t SELECT a FROM s UNION ALL SELECT a FROM u", AS_A_WHOLE),
            ("INSERT INTO t SELECT a FROM s ORDER BY a LIMIT 3", AS_A_WHOLE),
            ("INSERT INTO t SELECT a FROM generate_series(1, 3)", NO_TABLE),
            ("INSERT INTO t SELECT a FROM (SELECT 1) s", NO_TABLE),
            ("INSERT INTO t SELECT a FROM s x (a)", NO_TABLE),
            ("INSERT INTO t SELECT a FROM ONLY s", NO_TABLE),
            ("INSERT INTO t SELECT 1", NO_TABLE),
            ("INSERT INTO t SELECT a FROM s RIGHT JOIN u ON true", OUTER),
            ("INSERT INTO t SELECT a FROM s x FULL OUTER JOIN u ON true", OUTER),
        ] {
            assert_eq!(Ranged::read(sql), Err(problem), "{sql}");
        }
    }

    #[test]
    fn a_column_with_the_name_of_the_table_is_no_table() {
        for sql in [
            "UPDATE state SET state = 'a', other = state WHERE state IS DISTINCT FROM 'a'",
            "UPDATE t SET a = u.t FROM u, v WHERE u.id = t.id AND v.t = t.id",
            "UPDATE c.t SET a = 1 FROM d.t AS other WHERE other.id = t.id",
        ] {
            assert!(Ranged::read(sql).is_ok(), "{sql}");
        }
    }

    #[test]
    fn an_update_that_fills_what_is_null_says_so() {
        for (sql, sets, fills) in [
            ("UPDATE t SET a = b WHERE a IS NULL", vec!["a"], true),
            ("UPDATE t SET x = array[1, 2], \"A\" = b WHERE b = 1 AND t.\"A\" IS NULL", vec!["x", "A"], true),
            ("UPDATE t SET (a, b) = (SELECT 1, 2) WHERE (c = 1) AND b IS NULL", vec!["a", "b"], true),
            ("UPDATE t SET a = b WHERE a IS NULL OR b = 1", vec!["a"], false),
            ("UPDATE t SET a = b WHERE NOT a IS NULL", vec!["a"], false),
            ("UPDATE t SET a = b WHERE a IS NOT NULL", vec!["a"], false),
            ("UPDATE t SET a = b WHERE b IS NULL", vec!["a"], false),
            ("UPDATE t SET a = b", vec!["a"], false),
        ] {
            let ranged = Ranged::read(sql).expect(sql);
            assert_eq!(
                (ranged.sets, ranged.fills),
                (sets.into_iter().map(str::to_owned).collect(), fills),
                "{sql}"
            );
        }
    }

    #[test]
    fn what_a_select_calls_is_known_without_that_of_its_subqueries() {
        let sql = "INSERT INTO t SELECT coalesce(max(a), f (b)), (SELECT count(*) FROM u), x.\"G\"(1) FROM s";
        assert_eq!(Ranged::read(sql).expect("reads").calls, ["G", "coalesce", "f", "max"]);
    }
}
