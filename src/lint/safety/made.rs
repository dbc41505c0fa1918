//! What a release has made itself, as far as it has come. Nobody uses it yet, so there is nothing to say about its
//! locks, its loss or its name.

use std::collections::BTreeSet;

use super::proven::Proofs;
use crate::{
    lint::{Tables, name::written},
    sql::{Cursor, Name},
};

/// Things that cannot bear the same name in one schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    /// Tables, views, indexes, sequences, types.
    Relation,
    /// Functions and procedures.
    Routine,
    /// Of the whole database.
    Schema,
    /// Of the whole database.
    Extension,
}

/// What stands before a name.
const KINDS: [(&[&str], Space); 11] = [
    (&["TABLE"], Space::Relation),
    (&["TYPE"], Space::Relation),
    (&["DOMAIN"], Space::Relation),
    (&["MATERIALIZED", "VIEW"], Space::Relation),
    (&["VIEW"], Space::Relation),
    (&["FUNCTION"], Space::Routine),
    (&["PROCEDURE"], Space::Routine),
    (&["SEQUENCE"], Space::Relation),
    (&["SCHEMA"], Space::Schema),
    (&["EXTENSION"], Space::Extension),
    (&["INDEX"], Space::Relation),
];

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    space: Space,
    name: Name,
}

type Place = (Space, String, String);

impl Target {
    /// A table.
    pub(super) const fn table(name: Name) -> Self {
        Self { space: Space::Relation, name }
    }

    /// What ALTER, DROP and TRUNCATE name: one thing, or several.
    pub(super) fn all(sql: &str) -> Vec<Self> {
        let mut cursor = Cursor::of(sql);
        let space = if cursor.eat(&["TRUNCATE"]) {
            cursor.eat(&["TABLE"]);
            Some(Space::Relation)
        } else {
            cursor.eat_any(&["ALTER", "DROP"]).and_then(|_| kind(&mut cursor))
        };
        let Some(space) = space else { return Vec::new() };
        let mut targets = Vec::new();
        loop {
            cursor.eat(&["ONLY"]);
            let Some(name) = cursor.name() else { break };
            targets.push(Self { space, name });
            // The arguments of a function.
            let _ = cursor.eat_symbol(b'*') || cursor.parenthesised().is_some();
            if !cursor.eat_symbol(b',') {
                break;
            }
        }
        targets
    }

    /// As PostgreSQL writes it.
    pub(super) fn written(&self) -> String {
        written(&self.name)
    }

    /// Its name, if that is one of a table, a view, an index, a sequence or a type.
    pub(super) fn name_of_a_relation(&self) -> Option<&Name> {
        (self.space == Space::Relation).then_some(&self.name)
    }

    fn place(&self, tables: &Tables) -> Place {
        match self.space {
            Space::Relation | Space::Routine => {
                let (schema, name) = tables.place(&self.name);
                (self.space, schema, name)
            }
            Space::Schema | Space::Extension => (self.space, String::new(), self.name.own().to_owned()),
        }
    }
}

/// Passes what kind of thing a statement is about, up to its name.
fn kind(cursor: &mut Cursor<'_>) -> Option<Space> {
    let (_, space) = KINDS.iter().find(|(words, _)| cursor.eat(words))?;
    cursor.eat(&["CONCURRENTLY"]);
    let _ = cursor.eat(&["IF", "NOT", "EXISTS"]) || cursor.eat(&["IF", "EXISTS"]);
    Some(*space)
}

/// What is new, and what was there before the release.
pub(super) struct Made<'t> {
    pub(super) tables: &'t Tables,
    new: BTreeSet<Place>,
    old: BTreeSet<Place>,
    /// What was there, and has another name by now.
    left: BTreeSet<Place>,
    /// Tables whose rows it has changed.
    filled: BTreeSet<Place>,
    /// It has run code, which may have changed rows of any table.
    ran_code: bool,
    proofs: Proofs,
}

impl<'t> Made<'t> {
    pub(super) fn beside(tables: &'t Tables) -> Self {
        Self {
            tables,
            new: BTreeSet::new(),
            old: BTreeSet::new(),
            left: BTreeSet::new(),
            filled: BTreeSet::new(),
            ran_code: false,
            proofs: Proofs::default(),
        }
    }

    /// Whether the release has made this, up to here.
    pub(super) fn has(&self, target: &Target) -> bool {
        self.new.contains(&target.place(self.tables))
    }

    /// Whether rows of a table may have been changed by the release, up to here.
    pub(super) fn may_have_filled(&self, table: &Name) -> bool {
        self.ran_code || self.filled.contains(&Target::table(table.clone()).place(self.tables))
    }

    /// Whether a constraint proves that a column holds no NULL.
    pub(super) fn proves(&self, table: &Name, column: &str) -> bool {
        self.proofs.has(table, column, self.tables)
    }

    /// Notes what a statement proves, also one of a migration before the release.
    pub(super) fn note_proofs(&mut self, sql: &str) {
        self.proofs.note(sql, self.tables);
    }

    /// Notes of which tables a statement changes rows, and whether it runs code.
    pub(super) fn fills(&mut self, changed: &[Target], runs_code: bool) {
        self.filled.extend(changed.iter().map(|target| target.place(self.tables)));
        self.ran_code |= runs_code;
    }

    /// Notes what a statement makes, moves and takes away; `targets` is what it is about. What it is about and the
    /// release has not made was there before, and stays so whatever is made under its name later.
    pub(super) fn note(&mut self, sql: &str, targets: &[Target]) {
        let mut cursor = Cursor::of(sql);
        if cursor.eat(&["CREATE"]) {
            cursor.eat_any(&["GLOBAL", "LOCAL", "UNLOGGED", "UNIQUE"]);
            cursor.eat_any(&["TEMPORARY", "TEMP"]);
            let space = kind(&mut cursor).filter(|_| !cursor.at("ON"));
            let made = space.and_then(|space| Some(Target { space, name: cursor.name()? }));
            let made = made.map(|made| made.place(self.tables));
            self.are_old(
                targets.iter().map(|target| target.place(self.tables)).filter(|at| Some(at) != made.as_ref()),
            );
            if let Some(made) = made {
                self.make(made);
            }
            return;
        }
        let places: Vec<Place> = targets.iter().map(|target| target.place(self.tables)).collect();
        self.are_old(places.iter().cloned());
        if cursor.eat(&["DROP"]) {
            self.new.retain(|place| !places.contains(place));
        } else if cursor.eat(&["ALTER"])
            && let [place] = &places[..]
            && kind(&mut cursor).is_some()
        {
            let _ = cursor.eat(&["ONLY"]);
            let _ = cursor.name();
            self.moves(place, &mut cursor);
        }
    }

    fn are_old(&mut self, places: impl Iterator<Item = Place>) {
        let old: Vec<Place> = places.filter(|place| !self.new.contains(place)).collect();
        self.old.extend(old);
    }

    /// Another name, or another schema: new or old it stays, and its place is free.
    fn moves(&mut self, place: &Place, cursor: &mut Cursor<'_>) {
        let (space, schema, name) = place.clone();
        let to = if cursor.eat(&["RENAME", "TO"]) {
            cursor.name().map(|name| (space, schema, name.own().to_owned()))
        } else if cursor.eat(&["SET", "SCHEMA"]) {
            cursor.name().map(|schema| (space, schema.own().to_owned(), name))
        } else {
            None
        };
        let Some(to) = to else { return };
        if self.new.remove(place) {
            self.make(to);
        } else {
            self.old.remove(place);
            self.left.insert(place.clone());
            self.new.remove(&to);
            self.old.insert(to);
        }
    }

    /// It is new, unless something of this name is or was there.
    fn make(&mut self, place: Place) {
        let (space, schema, name) = &place;
        let is_there =
            *space == Space::Relation && self.tables.has(schema, name) && !self.left.contains(&place);
        if !is_there && !self.old.contains(&place) {
            self.new.insert(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::{Large, Size};

    /// What is new after these statements.
    fn new(statements: &[&str]) -> Vec<String> {
        let visits = (("public".to_owned(), "known".to_owned()), Size { rows: 1, bytes: 1 });
        let tables = Tables::of([visits], "public", Large::default());
        let mut made = Made::beside(&tables);
        for sql in statements {
            made.note(sql, &Target::all(sql));
        }
        made.new.iter().map(|(_, schema, name)| format!("{schema}.{name}")).collect()
    }

    #[test]
    fn what_is_made_is_new_under_its_later_name_too_and_what_is_replaced_is_not() {
        let statements = [
            "CREATE TYPE \"Role_new\" AS ENUM ('a')",
            "ALTER TYPE \"Role\" RENAME TO \"Role_old\"",
            "ALTER TYPE \"Role_new\" RENAME TO \"Role\"",
            "CREATE UNLOGGED TABLE IF NOT EXISTS public.visits (id int)",
            "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)",
            "CREATE INDEX ON t (a)",
            "CREATE TABLE moved (a int)",
            "ALTER TABLE moved SET SCHEMA medical",
        ];
        assert_eq!(new(&statements), ["medical.moved", "public.Role", "public.i", "public.visits"]);
    }

    #[test]
    fn what_was_there_is_never_new_again() {
        for statements in [
            ["DROP TABLE visits", "CREATE TABLE visits (a int)"],
            ["ALTER TABLE visits ADD a int", "CREATE TABLE IF NOT EXISTS visits (a int)"],
            ["CREATE TABLE IF NOT EXISTS known (a int)", "SELECT 1"],
            ["TRUNCATE other, ONLY visits", "CREATE TABLE IF NOT EXISTS public.visits (a int)"],
            ["CREATE TABLE visits (a int)", "DROP TABLE visits"],
            ["DROP FUNCTION f(int), visits()", "CREATE FUNCTION visits() RETURNS int RETURN 1"],
        ] {
            assert_eq!(new(&statements), [""; 0], "{statements:?}");
        }
        let made_again = ["CREATE TABLE visits (a int)", "DROP TABLE visits", "CREATE TABLE visits (a int)"];
        assert_eq!(new(&made_again), ["public.visits"]);
        let swapped = ["ALTER TABLE known RENAME TO before", "CREATE TABLE known (a int)"];
        assert_eq!(new(&swapped), ["public.known"]);
    }

    #[test]
    fn everything_that_a_statement_is_about_is_named() {
        for (sql, names) in [
            ("DROP TYPE IF EXISTS \"Role_old\"", "\"Role_old\""),
            ("ALTER TABLE ONLY medical.visits ADD a int", "medical.visits"),
            ("DROP INDEX CONCURRENTLY i", "i"),
            ("DROP TABLE IF EXISTS a, \"B\".c CASCADE", "a \"B\".c"),
            ("TRUNCATE TABLE a *, ONLY b", "a b"),
            ("SELECT 1", ""),
        ] {
            let found: Vec<String> = Target::all(sql).iter().map(Target::written).collect();
            assert_eq!(found.join(" "), names, "{sql}");
        }
    }
}
