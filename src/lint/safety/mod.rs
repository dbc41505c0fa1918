//! What a release does to those who use the database: locks, losses, who may see rows, and an application that no
//! longer fits. PURE. squawk's rules by squawk's own linter; Sluice's own, one file each.

mod bounds;
mod drop_and_add;
mod new;
mod rls_off;
mod schema_and_data;
mod squawk;
mod text;
mod unbatched;
mod validated_at_once;

pub(super) use bounds::STACK;
use std::{collections::BTreeSet, ops::Range};

use squawk_syntax::ast::AstNode;
use text::{Text, column, table};

use super::{Objection, name::written};
use crate::migrations::Migration;

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
const OWN: [(&str, OwnRule); 5] = [
    ("row-level-security-off", rls_off::found),
    ("unbatched-change", unbatched::found),
    ("schema-and-data", schema_and_data::found),
    ("validated-at-once", validated_at_once::found),
    ("drop-and-add", drop_and_add::found),
];

/// What was read of a release.
#[derive(Default)]
pub(super) struct Safety<'a> {
    pub(super) objections: Vec<Objection<'a>>,
    /// What it makes, as it is written.
    pub(super) new: BTreeSet<String>,
}

/// Reads a release, file by file. `asked` says which rules matter.
pub(super) fn read<'a>(release: &[&'a Migration], asked: impl Fn(&str) -> bool) -> Safety<'a> {
    let mut safety = Safety::default();
    for migration in release.iter().filter(|migration| migration.script().is_ok()) {
        match bounds::kept(&migration.sql) {
            Ok(()) => safety.file(migration, &asked),
            Err(why) => safety.objections.extend(
                Objection::new("not-judged", migration, 0..0)
                    .map(|objection| Objection { name: Some(why.to_owned()), ..objection }),
            ),
        }
    }
    safety
}

impl<'a> Safety<'a> {
    fn file(&mut self, migration: &'a Migration, asked: &impl Fn(&str) -> bool) {
        let text = Text::read(migration);
        for (_, place) in &text.statements {
            new::note(&mut self.new, &text.sql()[place.clone()]);
        }
        let own = OWN.iter().filter(|(id, _)| asked(id));
        let own = own.flat_map(|(id, rule)| rule(&text).into_iter().map(|found| ((*id).to_owned(), found)));
        for (id, found) in squawk::found(&text, asked).into_iter().chain(own) {
            let stmt = text.statement_at(&found.place);
            let table = stmt.and_then(table);
            let target = stmt.and_then(|stmt| new::target(&stmt.syntax().text().to_string()));
            let objection = Objection::new(&id, migration, found.place);
            self.objections.extend(objection.map(|objection| Objection {
                object: target.or_else(|| table.as_ref().map(written)),
                table,
                column: found.column.or_else(|| stmt.and_then(column)),
                name: found.name,
                ..objection
            }));
        }
    }
}

#[cfg(test)]
pub(super) use squawk::rules as of_squawk;

#[cfg(test)]
mod tests {
    use super::{super::*, *};
    use crate::{api::Format, migrations::SourceTree};

    #[test]
    fn each_remark_names_its_place_and_has_the_statements_that_do_it_safely() {
        let sql = "-- why\n  ALTER TABLE \"Visit\" ALTER COLUMN note SET NOT NULL;";
        let migrations = vec![Migration::new("1_a".into(), "1_a/migration.sql".into(), sql)];
        let source = SourceTree { migrations, ..SourceTree::default() };
        let release: Vec<&Migration> = source.migrations.iter().collect();
        let found = remarks(&source, Format::Sql, &release, &Tables::default(), &Weights::default())
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
