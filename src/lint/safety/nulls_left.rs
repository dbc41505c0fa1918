//! SET NOT NULL of a column that has NULLs, in a release that changes no row of the table before.

use super::{Found, required::requires, text::Text};

pub(super) fn found(text: &Text<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for ((_, place), subject) in text.statements.iter().zip(&text.subjects) {
        let Some((table, columns)) = requires(&text.sql()[place.clone()]) else { continue };
        if subject.may_be_filled {
            continue;
        }
        for column in columns {
            let name = text.tables.nulls(&table, &column).map(ToOwned::to_owned);
            found.extend(name.map(|name| Found {
                column: Some(column),
                name: Some(name),
                ..Found::at(place.clone())
            }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::super::{Large, Preset, Tables, Weight, said};

    const REQUIRE: &str = "ALTER TABLE visits ADD COLUMN b numeric(4, 2), ALTER note SET NOT NULL;";

    fn of(files: &[&str]) -> Vec<Weight> {
        let nulls = [(("public".into(), "visits".into(), "note".into()), "5 rows".to_owned())];
        let tables = Tables::of([], "public", Large::default()).with_nulls(nulls);
        let said = said(files, &tables, Preset::Standard);
        said.into_iter().filter(|(id, ..)| id == "nulls-left").map(|(_, weight, _)| weight).collect()
    }

    #[test]
    fn a_column_with_nulls_is_named_until_the_release_fills_it_before() {
        assert_eq!(of(&[REQUIRE]), [Weight::Fail]);
        assert_eq!(of(&["ALTER TABLE visits ALTER COLUMN day SET NOT NULL;"]), []);
        let fill = "UPDATE visits SET note = '' WHERE note IS NULL;";
        assert_eq!(of(&[fill, REQUIRE]), []);
        assert_eq!(of(&["DO $$ BEGIN PERFORM fill(); END $$;", REQUIRE]), []);
        assert_eq!(of(&[REQUIRE, fill]), [Weight::Fail], "too late");
        assert_eq!(of(&["UPDATE patients SET note = '';", REQUIRE]), [Weight::Fail], "another table");
        let waiver = "-- sluice: allow nulls-left reason=\"a trigger fills it\"\n";
        assert_eq!(of(&[&format!("{waiver}{REQUIRE}")]), [Weight::Off]);
    }
}
