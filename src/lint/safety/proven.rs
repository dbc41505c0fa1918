//! Columns of which a CHECK constraint that was validated before proves that they hold no NULL: PostgreSQL then takes
//! SET NOT NULL without reading a row.

use std::collections::BTreeMap;

use crate::{
    lint::{TablePlace, Tables},
    sql::{Cursor, Name},
};

/// The CHECK constraints that were made up to here, by table and name.
#[derive(Default)]
pub(super) struct Proofs(BTreeMap<(TablePlace, String), Proof>);

struct Proof {
    columns: Vec<String>,
    is_valid: bool,
}

impl Proofs {
    /// Whether this column of a table is proven.
    pub(super) fn has(&self, table: &Name, column: &str, tables: &Tables) -> bool {
        let place = tables.place(table);
        self.0.iter().any(|((of, _), proof)| {
            *of == place && proof.is_valid && proof.columns.iter().any(|proven| proven == column)
        })
    }

    /// Notes what an ALTER TABLE adds, validates and drops. What drops a column or renames a thing takes its proofs
    /// away.
    pub(super) fn note(&mut self, sql: &str, tables: &Tables) {
        let mut cursor = Cursor::of(sql);
        if !cursor.eat(&["ALTER", "TABLE"]) {
            return;
        }
        cursor.eat(&["IF", "EXISTS"]);
        cursor.eat(&["ONLY"]);
        let Some(table) = cursor.name() else { return };
        let place = tables.place(&table);
        while cursor.peek().is_some() {
            self.action(&place, &mut cursor);
            while cursor.peek().is_some() && !cursor.eat_symbol(b',') {
                if cursor.parenthesised().is_none() {
                    cursor.advance();
                }
            }
        }
    }

    fn action(&mut self, place: &TablePlace, cursor: &mut Cursor<'_>) {
        if cursor.eat(&["ADD", "CONSTRAINT"]) {
            let name = cursor.name();
            if let (Some(name), true) = (name, cursor.eat(&["CHECK"]))
                && let Some(condition) = cursor.parenthesised()
            {
                cursor.eat(&["NO", "INHERIT"]);
                let is_valid = !cursor.eat(&["NOT", "VALID"]);
                let proof = Proof { columns: proven_by(condition), is_valid };
                self.0.insert((place.clone(), name.own().to_owned()), proof);
            }
        } else if cursor.eat(&["VALIDATE", "CONSTRAINT"]) {
            let name = cursor.name().map(|name| (place.clone(), name.own().to_owned()));
            if let Some(proof) = name.and_then(|name| self.0.get_mut(&name)) {
                proof.is_valid = true;
            }
        } else if cursor.eat(&["DROP", "CONSTRAINT"]) {
            cursor.eat(&["IF", "EXISTS"]);
            if let Some(name) = cursor.name() {
                self.0.remove(&(place.clone(), name.own().to_owned()));
            }
        } else if cursor.at("RENAME") || (cursor.at("DROP") && !cursor.mentions("CONSTRAINT")) {
            self.0.retain(|(of, _), _| of != place);
        }
    }
}

/// The columns that a condition is not true of where they are NULL: `column IS NOT NULL`, alone or joined by AND.
fn proven_by(condition: &str) -> Vec<String> {
    let mut cursor = Cursor::of(condition);
    let mut columns = Vec::new();
    loop {
        let mut part = cursor.clone();
        if let Some(column) = part.name()
            && part.eat(&["IS", "NOT", "NULL"])
            && (part.peek().is_none() || part.at("AND"))
            && column.0.len() == 1
        {
            columns.push(column.own().to_owned());
        }
        // To the next part, at the same depth; BETWEEN has an AND of its own, behind which no column stands alone.
        loop {
            if cursor.at("OR") {
                return Vec::new();
            }
            if cursor.peek().is_none() {
                return columns;
            }
            if cursor.eat(&["AND"]) {
                break;
            }
            if cursor.parenthesised().is_none() {
                cursor.advance();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Preset, Tables, said};

    const REQUIRE: &str = "ALTER TABLE visits ALTER COLUMN note SET NOT NULL;";

    /// Whether SET NOT NULL is said to read every row.
    fn reads(before: &[&str]) -> bool {
        let files: Vec<&str> = before.iter().copied().chain([REQUIRE]).collect();
        let said = said(&files, &Tables::default(), Preset::Standard);
        said.iter().any(|(id, ..)| id == "adding-not-nullable-field")
    }

    #[test]
    fn a_constraint_that_is_proven_spares_the_reading_and_no_other_does() {
        let add =
            "ALTER TABLE visits ADD CONSTRAINT c CHECK (note IS NOT NULL AND length(note) > 0) NOT VALID;";
        let validate = "ALTER TABLE public.visits VALIDATE CONSTRAINT c;";
        assert!(!reads(&[add, validate]));
        assert!(!reads(&["ALTER TABLE visits ADD day date, ADD CONSTRAINT c CHECK (note IS NOT NULL);"]));
        for before in [
            &[][..],
            &[add],
            &[add, validate, "ALTER TABLE visits DROP CONSTRAINT c;"],
            &[&add.replace("visits", "other"), validate],
            &[&add.replace(" AND ", " OR "), validate],
            &[&add.replace("note IS", "day IS"), validate],
            &[&add.replace("note IS NOT NULL", "(note IS NOT NULL) = false"), validate],
            &[add, validate, "ALTER TABLE visits RENAME COLUMN old TO note;"],
        ] {
            assert!(reads(before), "{before:?}");
        }
    }
}
