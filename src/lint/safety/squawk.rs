//! The rules of squawk, by squawk's own linter. PURE.

use squawk_linter::{Linter, LinterSettings, Rule};

use super::{Found, stmt::range_of, text::Text};

/// Every rule of squawk's.
pub(in crate::lint) fn rules() -> impl Iterator<Item = Rule> {
    enum_iterator::all::<Rule>()
}

/// What is said of an ALTER TABLE that keeps others waiting while it goes through the rows.
const OF_THE_LOCK: [&str; 2] = ["changing-column-type", "adding-not-nullable-field"];

/// What they find in a file. `asked` says which matter.
pub(super) fn found(text: &Text<'_>, asked: impl Fn(&str) -> bool) -> Vec<(String, Found)> {
    let apart = text.migration.script().is_ok_and(|script| script.apart);
    let mut linter = Linter::from(rules().filter(|rule| asked(&rule.to_string())).collect::<Vec<_>>());
    linter.settings = LinterSettings { assume_in_transaction: !apart, ..LinterSettings::default() };
    linter
        .lint(&text.tree, text.sql())
        .into_iter()
        .map(|violation| (violation.code.to_string(), Found::at(range_of(violation.text_range))))
        // squawk takes row-level security for a trigger; it has a rule of its own.
        .filter(|(id, found)| id != "ban-disable-trigger" || !text.is_about_row_security(&found.place))
        // It is done of a copy, which no other session uses.
        .filter(|(id, found)| !OF_THE_LOCK.contains(&id.as_str()) || !text.is_by_copy(&found.place))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::{Preset, Tables, said};

    #[test]
    fn another_type_is_no_objection_where_it_is_made_of_a_copy() {
        let of = |sql| said(&[sql], &Tables::default(), Preset::Standard).len();
        let alter = "ALTER TABLE t ALTER COLUMN a TYPE bigint;";
        let copied = format!("-- sluice: copy key=id\n{alter}");
        assert_eq!((of(alter), of(&copied), of(&format!("{copied}\n{alter}"))), (1, 0, 1));
    }
}
