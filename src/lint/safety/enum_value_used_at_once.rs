//! A value that a block adds to an enum and uses itself: PostgreSQL refuses that, and no COMMIT can stand between. Behind
//! `ALTER TYPE … ADD VALUE` as a statement of its own Sluice commits, so it may be used further down.

use squawk_syntax::ast;

use super::{Found, text::Text};
use crate::{
    lint::{name::written, portable::stands_in},
    sql::{self, Cursor, EnumValue},
};

pub(super) fn found(text: &Text<'_>) -> Vec<Found> {
    let blocks = text.statements.iter().filter(|(stmt, _)| matches!(stmt, ast::Stmt::Do(_)));
    let found = blocks.filter_map(|(_, place)| {
        let name = used_at_once(Cursor::of(&text.sql()[place.clone()]).body()?)?;
        Some(Found { name: Some(name), ..Found::at(place.clone()) })
    });
    found.collect()
}

/// The enum whose new value is used in the code that adds it.
fn used_at_once(code: &str) -> Option<String> {
    let mut cursor = Cursor::of(code);
    while cursor.passes("ALTER") {
        let mut type_of = cursor.clone();
        let Some(name) = type_of.eat(&["TYPE"]).then(|| type_of.name()).flatten() else { continue };
        if !type_of.eat(&["ADD", "VALUE"]) {
            continue;
        }
        // From the name of the type on: its statement, and those behind it.
        let rest = cursor.remaining();
        let statements = sql::split(rest).statements;
        let Some(adds) = statements.first() else { continue };
        let value = EnumValue::added_by(&format!("ALTER {}", &rest[adds.clone()]));
        let uses = |later: &std::ops::Range<usize>| stands_in(&value, &rest[later.clone()]);
        if !value.label.is_empty() && statements[1..].iter().any(uses) {
            return Some(written(&name));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::super::{Preset, Tables, Weight, said, times};

    const USED: &str = "DO $$ BEGIN ALTER TYPE \"Mood\" ADD VALUE IF NOT EXISTS 'calm'; UPDATE t SET m = 'calm' WHERE \
        id = 1; END $$;";

    #[test]
    fn a_block_that_uses_the_value_which_it_adds_fails_and_two_statements_do_not() {
        let rule = "enum-value-used-at-once";
        assert_eq!(times(rule, &[USED]), 1);
        assert_eq!(times(rule, &[&USED.replace("m = 'calm'", "m = 'odd'")]), 0);
        let two = "ALTER TYPE \"Mood\" ADD VALUE 'calm'; UPDATE t SET m = 'calm' WHERE id = 1;";
        assert_eq!(times(rule, &[two]), 0, "Sluice commits in between");
        let function = "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN ALTER TYPE mood ADD VALUE 'a'; \
            INSERT INTO t VALUES ('a'); END $$;";
        assert_eq!(times(rule, &[function]), 0, "it does not run yet");
        let waiver = "-- sluice: allow enum-value-used-at-once reason=\"it is there already\"\n";
        let waived = said(&[&format!("{waiver}{USED}")], &Tables::default(), Preset::Standard);
        assert!(waived.iter().any(|(id, weight, _)| id == rule && *weight == Weight::Off), "{waived:?}");
    }
}
