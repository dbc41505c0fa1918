//! What a release does to those who use the database: locks, losses, who may see rows, and an application that no
//! longer fits. PURE. squawk's rules by squawk's own linter; Sluice's own, one file each.

mod bounds;
mod drop_and_add;
mod enum_value_used_at_once;
mod made;
mod nulls_left;
mod protected_table;
mod proven;
mod required;
mod rls_off;
mod rows_hidden;
mod schema_and_data;
mod squawk;
mod stmt;
mod subject;
mod text;
mod unbatched;
mod validated_at_once;

pub(super) use bounds::STACK;
use std::ops::Range;

use made::Made;
pub use required::required_columns;
use stmt::column;
use text::Text;

use super::{Objection, Tables};
use crate::migrations::{Migration, SourceTree};

/// What a rule of this shelf finds.
#[derive(Clone, Debug)]
struct Found {
    place: Range<usize>,
    column: Option<String>,
    name: Option<String>,
}

impl Found {
    const fn at(place: Range<usize>) -> Self {
        Self { place, column: None, name: None }
    }
}

type OwnRule = fn(&Text<'_>) -> Vec<Found>;

/// Sluice's own rules.
const OWN: [(&str, OwnRule); 9] = [
    ("row-level-security-off", rls_off::found),
    ("unbatched-change", unbatched::found),
    ("schema-and-data", schema_and_data::found),
    ("validated-at-once", validated_at_once::found),
    ("drop-and-add", drop_and_add::found),
    ("enum-value-used-at-once", enum_value_used_at_once::found),
    ("nulls-left", nulls_left::found),
    ("rows-hidden", rows_hidden::found),
    ("protected-table", protected_table::found),
];

/// Reads a release, file by file: what its source has before it may prove something. `asked` says which rules matter.
pub(super) fn read<'a>(
    source: &SourceTree,
    release: &[&'a Migration],
    tables: &'a Tables,
    asked: impl Fn(&str) -> bool,
) -> Vec<Objection<'a>> {
    let (mut objections, mut made) = (Vec::new(), Made::beside(tables));
    if !required_columns(release, tables).is_empty() {
        let is_pending = |migration: &Migration| release.iter().any(|own| own.name == migration.name);
        let before = source.migrations.iter().take_while(|migration| !is_pending(migration));
        for script in before.filter_map(|migration| migration.script().ok()) {
            for statement in &script.statements {
                made.note_proofs(statement.sql());
            }
        }
    }
    for migration in release.iter().filter(|migration| migration.script().is_ok()) {
        match bounds::kept(&migration.sql) {
            Ok(()) => objections.extend(file(migration, &mut made, &asked)),
            Err(why) => objections.extend(
                Objection::new("not-judged", migration, 0..0)
                    .map(|objection| Objection { name: Some(why.to_owned()), ..objection }),
            ),
        }
    }
    objections
}

fn file<'a>(
    migration: &'a Migration,
    made: &mut Made<'a>,
    asked: &impl Fn(&str) -> bool,
) -> Vec<Objection<'a>> {
    let text = Text::read(migration, made);
    let own = OWN.iter().filter(|(id, _)| asked(id));
    let own = own.flat_map(|(id, rule)| rule(&text).into_iter().map(|found| ((*id).to_owned(), found)));
    let found = squawk::found(&text, asked).into_iter().chain(own);
    let objection = |(id, found): (String, Found)| {
        let at = text.statement_at(&found.place);
        let subject = at.map(|at| &text.subjects[at]);
        if id == "adding-not-nullable-field" && subject.is_some_and(|subject| subject.is_proven) {
            return None;
        }
        let objection = Objection::new(&id, migration, found.place)?;
        Some(Objection {
            object: subject.and_then(|subject| subject.object.clone()),
            table: subject.and_then(|subject| subject.table.clone()),
            is_new: subject.is_some_and(|subject| subject.is_new),
            column: found.column.or_else(|| column(&text.statements[at?].0)),
            name: found.name,
            ..objection
        })
    };
    found.filter_map(objection).collect()
}

#[cfg(test)]
pub(super) use squawk::rules as of_squawk;

#[cfg(test)]
mod tests {
    use super::{super::*, *};
    use crate::api::Format;

    #[test]
    fn each_remark_names_its_place_and_has_the_statements_that_do_it_safely() {
        let sql = "-- why\n  ALTER TABLE \"Visit\" ALTER COLUMN note SET NOT NULL;";
        let migrations = vec![Migration::new("1_a".into(), "1_a/migration.sql".into(), sql)];
        let source = SourceTree { migrations, ..SourceTree::default() };
        let release: Vec<&Migration> = source.migrations.iter().collect();
        let found = remarks(
            &source,
            Format::Sql,
            &release,
            &Tables::default(),
            &Weights::default(),
            &Before::default(),
        )
        .expect("there are threads");
        let [remark] = &found[..] else { panic!("{found:#?}") };
        let line = remark.place.as_ref().map(|place| place.line);
        assert_eq!(
            (remark.rule.id.as_str(), remark.object.as_str(), line),
            ("adding-not-nullable-field", "\"Visit\"", Some(2))
        );
        let first = "ALTER TABLE \"Visit\" ADD CONSTRAINT note_is_there CHECK (note IS NOT NULL) NOT VALID;";
        assert!(remark.remedy.starts_with(first), "{}", remark.remedy);
    }

    #[test]
    fn each_rule_of_our_own_is_in_the_list() {
        for (id, _) in OWN {
            assert!(find(id).is_some(), "{id}");
        }
    }
}
