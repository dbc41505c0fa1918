//! What a release does to those who use the database: locks, losses, who may see rows, and an application that no
//! longer fits. PURE. squawk's rules by squawk's own linter; Sluice's own, one file each.

mod bounds;
mod drop_and_add;
mod made;
mod rls_off;
mod schema_and_data;
mod squawk;
mod text;
mod unbatched;
mod validated_at_once;

pub(super) use bounds::STACK;
use std::ops::Range;

use made::{Made, Target};
use squawk_syntax::ast;
use text::{Text, column, table};

use super::{Objection, Tables};
use crate::{
    migrations::Migration,
    sql::{Cursor, Name},
};

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

/// Reads a release, file by file. `asked` says which rules matter.
pub(super) fn read<'a>(
    release: &[&'a Migration],
    tables: &Tables,
    asked: impl Fn(&str) -> bool,
) -> Vec<Objection<'a>> {
    let (mut objections, mut made) = (Vec::new(), Made::beside(tables));
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

/// What a statement is about.
struct Subject {
    object: Option<String>,
    table: Option<Name>,
    /// The release has made all of it before.
    is_new: bool,
}

fn file<'a>(
    migration: &'a Migration,
    made: &mut Made<'_>,
    asked: &impl Fn(&str) -> bool,
) -> Vec<Objection<'a>> {
    let text = Text::read(migration);
    let subjects: Vec<Subject> =
        text.statements.iter().map(|(stmt, place)| subject(stmt, &text.sql()[place.clone()], made)).collect();
    let own = OWN.iter().filter(|(id, _)| asked(id));
    let own = own.flat_map(|(id, rule)| rule(&text).into_iter().map(|found| ((*id).to_owned(), found)));
    let found = squawk::found(&text, asked).into_iter().chain(own);
    let objection = |(id, found): (String, Found)| {
        let at = text.statement_at(&found.place);
        let subject = at.map(|at| &subjects[at]);
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

/// Reads what a statement is about, and notes what it makes.
fn subject(stmt: &ast::Stmt, sql: &str, made: &mut Made<'_>) -> Subject {
    let mut table = table(stmt);
    let mut targets = Target::all(sql);
    if let (true, Some(table)) = (targets.is_empty(), &table) {
        targets.push(Target::table(table.clone()));
    }
    let are_new = |made: &Made<'_>| !targets.is_empty() && targets.iter().all(|target| made.has(target));
    let old = targets.iter().find(|target| !made.has(target)).cloned();
    if let (2.., Some(old)) = (targets.len(), &old) {
        table = old.name_of_a_relation().cloned();
    }
    let object = old.as_ref().or(targets.first()).map(Target::written);
    let before = are_new(made);
    made.note(sql, &targets);
    let is_new = before || (Cursor::of(sql).at("CREATE") && are_new(made));
    Subject { object, table, is_new }
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
