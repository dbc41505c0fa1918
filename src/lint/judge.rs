//! Weighs what the rules object to: by preset, by the size of the table, by waivers. PURE.

use std::collections::BTreeMap;

use super::{
    About, Kind, Objection, Place, Remark, Rule, Said, Tables, Weight, Weights, find, waiver::Waivers,
};
use crate::{migrations::Migration, sql::Name};

pub(super) struct Judge<'j, 'a> {
    pub(super) release: &'j [&'a Migration],
    pub(super) tables: &'j Tables,
    pub(super) weights: &'j Weights,
}

impl<'a> Judge<'_, 'a> {
    /// A remark for each objection that weighs something: what lies beside the migrations, then file by file.
    pub(super) fn remarks(&self, objections: Vec<Objection<'a>>) -> Vec<Remark> {
        let mut remarks = Vec::new();
        let mut of_files: BTreeMap<&str, Vec<Objection<'a>>> = BTreeMap::new();
        for objection in objections {
            match objection.about {
                About::Place(migration, _) => of_files.entry(&migration.name).or_default().push(objection),
                About::Source(_) => remarks.extend(self.remark(objection, &mut Waivers::default())),
            }
        }
        for migration in self.release {
            let own = of_files.remove(migration.name.as_str()).unwrap_or_default();
            remarks.extend(self.file(migration, own));
        }
        remarks
    }

    fn file(&self, migration: &'a Migration, objections: Vec<Objection<'a>>) -> Vec<Remark> {
        let mut waivers = Waivers::read(migration);
        let mut remarks: Vec<Remark> =
            objections.into_iter().filter_map(|objection| self.remark(objection, &mut waivers)).collect();
        let off = |id: &str| find(id).is_some_and(|rule| self.weights.of(rule) == Weight::Off);
        let about_waivers = waivers.objections(migration, off);
        let none = &mut Waivers::default();
        remarks.extend(about_waivers.into_iter().filter_map(|objection| self.remark(objection, none)));
        let start = |remark: &Remark| remark.place.as_ref().map(|place| place.span.start);
        remarks.sort_by(|a, b| (start(a), &a.rule.id).cmp(&(start(b), &b.rule.id)));
        remarks.dedup();
        remarks
    }

    fn remark(&self, objection: Objection<'_>, waivers: &mut Waivers) -> Option<Remark> {
        let Objection { rule, about, said, object, is_new, table, column, name } = objection;
        let weight = self.weight(rule, is_new, table.as_ref());
        let (beside, place, waived) = match about {
            About::Place(migration, span) => {
                let waived = waivers.reason(&rule.id, &span);
                (migration.name.clone(), Some(Place::of(&migration.file, &migration.sql, span)), waived)
            }
            About::Source(object) => (object, None, None),
        };
        // A waiver is used by what it waives, also where the table is new and nothing could be harmed.
        let weight = weight?;
        let own = || Said::by(rule, table.as_ref(), column.as_deref(), name.as_deref());
        let Said { message, remedy } = said.unwrap_or_else(own);
        let size =
            table.as_ref().filter(|_| rule.kind == Kind::Lock).and_then(|table| self.tables.said(table));
        Some(Remark {
            object: object.unwrap_or(beside),
            weight: if waived.is_some() { Weight::Off } else { weight },
            place,
            message: message + &size.map(|size| format!(" ({size})")).unwrap_or_default(),
            remedy,
            waived,
            rule,
            table,
        })
    }

    /// How much it weighs; none where there is nothing to object to.
    fn weight(&self, rule: &Rule, is_new: bool, table: Option<&Name>) -> Option<Weight> {
        let weight = self.weights.of(rule);
        if is_new && rule.kind.is_about_rows() {
            return None;
        }
        // A small table is locked for a moment only: worth knowing, and no reason to stop.
        let small = rule.kind == Kind::Lock && table.is_some_and(|table| !self.tables.is_large(table));
        Some(if small { weight.min(Weight::Warn) } else { weight }).filter(|weight| *weight > Weight::Off)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Large, Preset, Size, Tables, Weight, said};

    fn of(sql: &str, preset: Preset) -> Vec<(String, Weight)> {
        said(&[sql], &Tables::default(), preset).into_iter().map(|(id, weight, _)| (id, weight)).collect()
    }

    #[test]
    fn a_table_of_the_release_is_not_locked_against_anyone() {
        let index = "CREATE INDEX i ON visits (day);";
        assert_eq!(of(index, Preset::Standard), [("require-concurrent-index-creation".into(), Weight::Fail)]);
        let made = "CREATE TABLE visits (day date);";
        assert_eq!(said(&[made, index], &Tables::default(), Preset::Strict), []);
    }

    #[test]
    fn a_table_is_new_only_from_where_it_is_made_and_not_if_it_was_there_before() {
        let dropped = |files: &[&str]| super::super::times("ban-drop-table", files);
        let made = "CREATE TABLE visits (day date);";
        assert_eq!(dropped(&["DROP TABLE visits;", made]), 1);
        assert_eq!(dropped(&[made, "DROP TABLE visits;"]), 0);
        assert_eq!(dropped(&[made, "DROP TABLE visits, patients;"]), 1);
        let locked = |files: &[&str]| super::super::times("require-concurrent-index-creation", files);
        let index = "CREATE INDEX i ON visits (day);";
        assert_eq!(locked(&[made, index]), 0);
        assert_eq!(locked(&[index, made]), 1);
        assert_eq!(locked(&["DROP TABLE visits;", made, index]), 1);
        assert_eq!(locked(&["CREATE TABLE a.b (day date);", "CREATE INDEX i ON \"a.b\" (day);"]), 1);
        assert_eq!(locked(&["CREATE SCHEMA visits;", index]), 1);
    }

    #[test]
    fn a_small_table_is_a_warning_and_a_large_one_fails() {
        let sql = "CREATE INDEX i ON visits (day);";
        for (rows, bytes, weight) in
            [(80, 0, Weight::Warn), (847_600, 0, Weight::Fail), (80, 1 << 30, Weight::Fail)]
        {
            let size = (("public".to_owned(), "visits".to_owned()), Size { rows, bytes });
            let tables = Tables::of([size], "public", Large::default());
            assert_eq!(said(&[sql], &tables, Preset::Standard)[0].1, weight, "{rows} {bytes}");
        }
    }

    #[test]
    fn a_table_that_the_database_does_not_have_counts_as_large() {
        let tables = Tables::of([], "public", Large::default());
        assert_eq!(said(&["CREATE INDEX i ON visits (day);"], &tables, Preset::Standard)[0].1, Weight::Fail);
    }
}
