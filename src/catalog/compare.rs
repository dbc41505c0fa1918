//! Two catalogs become a list of differences. PURE.

use std::collections::BTreeSet;

use super::{Catalog, Key, Kind, Object};

/// The property of a table that lists its columns in order. Another order alone is worth knowing and harms
/// no statement that names columns.
pub(super) const ORDER: &str = "columns";

/// One object that is not what the migrations make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub kind: Kind,
    /// Its qualified name.
    pub name: String,
    /// How it differs.
    pub change: Change,
}

/// How an object differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The migrations make it, the database does not have it: what it would be like.
    Missing(Vec<(&'static str, String)>),
    /// No migration makes it, the database has it: what it is like.
    Extra(Vec<(&'static str, String)>),
    /// It is there and is not the same.
    Different(Vec<Part>),
    /// The same columns in another order.
    Reordered(Part),
}

/// One property that differs, with both sides. `None` where a side has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which property.
    pub word: &'static str,
    /// As the migrations make it.
    pub expected: Option<String>,
    /// As the database has it.
    pub actual: Option<String>,
}

/// Compares. `ignore` holds names as findings show them, with `*` for any characters; what belongs to an
/// ignored object is ignored with it. What belongs to an object that is missing or extra goes without saying.
pub fn compare(expected: &Catalog, actual: &Catalog, ignore: &[String]) -> Vec<Difference> {
    let lone = |one: &Catalog, other: &Catalog| -> BTreeSet<String> {
        one.objects
            .keys()
            .filter(|key| key.kind != Kind::Grant && !other.objects.contains_key(*key))
            .map(|key| key.name.clone())
            .collect()
    };
    let (missing, extra) = (lone(expected, actual), lone(actual, expected));
    let ignored = |key: &Key, object: &Object| {
        let names = [Some(&key.name), object.parent.as_ref()];
        names.into_iter().flatten().any(|name| ignore.iter().any(|pattern| matches(pattern, name)))
    };
    let said = |object: &Object, lone: &BTreeSet<String>| {
        object.parent.as_ref().is_some_and(|parent| lone.contains(parent))
    };
    let mut differences = Vec::new();
    for (key, object) in expected.objects.iter().filter(|(key, object)| !ignored(key, object)) {
        let change = match actual.objects.get(key) {
            Some(other) => changed(object, other),
            None if said(object, &missing) => None,
            None => Some(Change::Missing(object.properties.clone())),
        };
        differences.extend(change.map(|change| Difference {
            kind: key.kind,
            name: key.name.clone(),
            change,
        }));
    }
    for (key, object) in actual.objects.iter().filter(|(key, _)| !expected.objects.contains_key(*key)) {
        if !ignored(key, object) && !said(object, &extra) {
            let change = Change::Extra(object.properties.clone());
            differences.push(Difference { kind: key.kind, name: key.name.clone(), change });
        }
    }
    differences.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    differences
}

fn changed(expected: &Object, actual: &Object) -> Option<Change> {
    let find = |object: &Object, word: &str| {
        object.properties.iter().find(|(known, _)| *known == word).map(|(_, value)| value.clone())
    };
    let words: Vec<&'static str> = expected.properties.iter().map(|(word, _)| *word).collect();
    let more = actual.properties.iter().map(|(word, _)| *word).filter(|word| !words.contains(word));
    let parts = words.iter().copied().chain(more).map(|word| Part {
        word,
        expected: find(expected, word),
        actual: find(actual, word),
    });
    let (order, parts): (Vec<Part>, Vec<Part>) =
        parts.filter(|part| part.expected != part.actual).partition(|part| part.word == ORDER);
    if !parts.is_empty() {
        return Some(Change::Different(parts));
    }
    // Other columns are told as columns.
    let sorted = |list: &Option<String>| {
        let mut names: Vec<String> =
            list.iter().flat_map(|list| list.split(", ")).map(ToOwned::to_owned).collect();
        names.sort();
        names
    };
    order.into_iter().find(|part| sorted(&part.expected) == sorted(&part.actual)).map(Change::Reordered)
}

/// A pattern with `*` for any characters. The pattern may write a name without the quotes that PostgreSQL
/// prints.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.replace('"', ""), name.replace('"', ""));
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind, name, parent, properties.
    type Row = (Kind, &'static str, Option<&'static str>, &'static [(&'static str, &'static str)]);

    fn catalog(objects: &[Row]) -> Catalog {
        let object = |(kind, name, parent, properties): &Row| {
            let properties = properties.iter().map(|(word, value)| (*word, (*value).to_owned())).collect();
            (
                Key { kind: *kind, name: (*name).to_owned() },
                Object { parent: parent.map(ToOwned::to_owned), properties },
            )
        };
        Catalog { objects: objects.iter().map(object).collect() }
    }

    const PATIENTS: Row = (
        Kind::Table,
        "public.patients",
        Some("public"),
        &[("row-level security", "enabled"), (ORDER, "id, name")],
    );
    const NAME: Row = (
        Kind::Column,
        "public.patients.name",
        Some("public.patients"),
        &[("type", "text"), ("default", "'x'")],
    );

    fn names(differences: &[Difference]) -> Vec<&str> {
        differences.iter().map(|difference| difference.name.as_str()).collect()
    }

    #[test]
    fn equal_catalogs_have_no_differences() {
        let one = catalog(&[PATIENTS, NAME]);
        assert_eq!(compare(&one, &one, &[]), []);
        assert_eq!(compare(&Catalog::default(), &Catalog::default(), &[]), []);
    }

    #[test]
    fn what_belongs_to_a_missing_or_extra_table_goes_without_saying() {
        let (whole, empty) = (catalog(&[PATIENTS, NAME]), Catalog::default());
        for (expected, actual) in [(&whole, &empty), (&empty, &whole)] {
            assert_eq!(names(&compare(expected, actual, &[])), ["public.patients"]);
        }
    }

    #[test]
    fn a_property_that_only_one_side_has_is_a_difference_with_both_sides() {
        let without = catalog(&[PATIENTS, (Kind::Column, NAME.1, NAME.2, &[("type", "text")])]);
        let found = compare(&catalog(&[PATIENTS, NAME]), &without, &[]);
        let part = Part { word: "default", expected: Some("'x'".to_owned()), actual: None };
        assert_eq!(found[0].change, Change::Different(vec![part.clone()]));
        let back = compare(&without, &catalog(&[PATIENTS, NAME]), &[]);
        assert_eq!(
            back[0].change,
            Change::Different(vec![Part { expected: None, actual: part.expected, ..part }])
        );
    }

    #[test]
    fn the_order_of_columns_alone_is_told_apart_and_other_columns_are_told_as_columns() {
        let turned = catalog(&[(
            Kind::Table,
            PATIENTS.1,
            PATIENTS.2,
            &[("row-level security", "enabled"), (ORDER, "name, id")],
        )]);
        let found = compare(&catalog(&[PATIENTS]), &turned, &[]);
        assert!(
            matches!(&found[0].change, Change::Reordered(part) if part.actual.as_deref() == Some("name, id")),
            "{found:?}"
        );
        let fewer = catalog(&[(
            Kind::Table,
            PATIENTS.1,
            PATIENTS.2,
            &[("row-level security", "enabled"), (ORDER, "id")],
        )]);
        assert_eq!(names(&compare(&catalog(&[PATIENTS, NAME]), &fewer, &[])), ["public.patients.name"]);
    }

    #[test]
    fn an_ignored_name_ignores_what_belongs_to_it_and_nothing_else() {
        let whole = catalog(&[PATIENTS, NAME, (Kind::Table, "public.\"Visit_p1\"", Some("public"), &[])]);
        let empty = Catalog::default();
        assert_eq!(names(&compare(&whole, &empty, &["public.patients".to_owned()])), ["public.\"Visit_p1\""]);
        assert_eq!(names(&compare(&whole, &empty, &["public.Visit_p*".to_owned()])), ["public.patients"]);
        assert_eq!(compare(&whole, &empty, &["*".to_owned()]), []);
        assert_eq!(compare(&whole, &empty, &["patients".to_owned()]).len(), 2, "a name is qualified");
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a.*", "a.b.c", true),
            ("*.c", "a.b.c", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c", false),
            ("ab*bc", "abc", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
