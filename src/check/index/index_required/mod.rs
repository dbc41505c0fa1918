//! The indexes that the manifest names are there, valid, and what was meant.

mod catalog;
mod term;

use sqlx::PgConnection;

use self::{
    catalog::{Index, Normal, Table},
    term::Term,
};
use crate::{
    api::{CheckId, Finding, RequiredIndex, Severity},
    check::{Check, index_migration},
    inspect::{Aspect, CheckError, Meta, Scope, sql},
};

const META: Meta = Meta {
    id: CheckId::IndexRequired,
    title: "Every index that the manifest requires exists, is valid and matches",
    condition: "`spec.verify.indexes.require` names an index, and the table does not exist, or has no valid \
        index with exactly these key columns in \
                this order, with the access method (B-tree unless another is written), the direction, NULLS \
                order, collation and operator \
                class where they are written (one that does what the default does where none is), the \
                uniqueness, the predicate and the \
                name that are asked for. Predicates and expressions are compared as PostgreSQL prints them.",
    effect: "Queries that were planned with the index read whole tables instead; a unique index that is \
        missing lets duplicates in.",
    remedy: "Create the index in a migration, or correct the manifest. The finding says what is there \
        instead.",
    severity: Severity::Error,
    aspect: Aspect::Index,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| !scope.indexes.require.is_empty(),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let required = &scope.indexes.require;
    if required.is_empty() {
        return Ok(Vec::new());
    }
    let tables = catalog::tables(connection, required, &scope.schemas).await?;
    let mut found = Vec::new();
    for expected in required {
        let Some(table) = find(&tables, expected, &scope.schemas) else {
            found.push(no_table(expected, &scope.schemas));
            continue;
        };
        let terms: Vec<_> = expected.columns.iter().map(|entry| term::parse(entry, &table.columns)).collect();
        if let Some(missing) = terms.iter().find_map(Term::missing) {
            found.push(no_column(expected, table, missing));
            continue;
        }
        let normal =
            catalog::normalise(connection, table, &terms, expected.predicate.as_deref(), &scope.schemas)
                .await?;
        found.extend(judge(expected, table, &terms, &normal));
    }
    Ok(found)
}

/// The table of a requirement: `schema.table`, or `table` in the first schema of the manifest that has it.
fn find<'a>(tables: &'a [Table], expected: &RequiredIndex, schemas: &[String]) -> Option<&'a Table> {
    let by_name =
        |schema: &String| tables.iter().find(|table| table.schema == *schema && table.name == expected.table);
    schemas
        .iter()
        .find_map(by_name)
        .or_else(|| tables.iter().find(|table| format!("{}.{}", table.schema, table.name) == expected.table))
}

fn no_table(expected: &RequiredIndex, schemas: &[String]) -> Finding {
    let message = format!(
        "an index is required on {:?}, and there is no such table in {}",
        expected.table,
        sql::list(schemas)
    );
    META.finding(
        &expected.table,
        message,
        "correct spec.verify.indexes.require; names are case-sensitive, and another schema is written \
            schema.table",
    )
}

fn no_column(expected: &RequiredIndex, table: &Table, missing: &str) -> Finding {
    let message = format!(
        "an index on ({}) is required, and the table has no column {missing:?}",
        expected.columns.join(", ")
    );
    META.finding(
        table.display(),
        message,
        format!("correct spec.verify.indexes.require; the columns are {}", sql::few(&table.columns, 20)),
    )
}

fn judge(expected: &RequiredIndex, table: &Table, terms: &[Term], normal: &Normal) -> Option<Finding> {
    if let Some(problem) = &normal.problem {
        let message = format!(
            "the index on ({}) that is required cannot be read by PostgreSQL: {problem}",
            expected.columns.join(", ")
        );
        return Some(META.finding(
            table.display(),
            message,
            "correct the predicate or the expression in spec.verify.indexes.require",
        ));
    }
    if table.indexes.iter().any(|index| matches(expected, terms, normal, index)) {
        return None;
    }
    let desired = describe_desired(expected);
    let near = nearest(expected, terms, normal, &table.indexes);
    let instead = match near.as_slice() {
        [] => "no index on these columns".to_owned(),
        near => {
            format!("instead {}", sql::few(&near.iter().map(|index| describe(index)).collect::<Vec<_>>(), 3))
        }
    };
    let message = format!("no valid index {desired}: there is {instead}");
    Some(META.finding(table.display(), message, index_migration::build(&create(expected, table, terms))))
}

fn matches(expected: &RequiredIndex, terms: &[Term], normal: &Normal, index: &Index) -> bool {
    index.valid
        && index.method == method(expected)
        && same_keys(terms, normal, index)
        && terms.iter().zip(&index.keys).all(|(term, key)| term.options_match(key))
        && expected.unique.is_none_or(|unique| unique == index.unique)
        && normal.predicate == index.predicate
        && expected.name.as_ref().is_none_or(|name| *name == index.name)
}

fn method(expected: &RequiredIndex) -> &str {
    expected.method.as_deref().unwrap_or("btree")
}

/// The same columns and expressions in the same order, whatever their options.
fn same_keys(terms: &[Term], normal: &Normal, index: &Index) -> bool {
    terms.len() == index.keys.len()
        && normal.keys.iter().zip(&index.keys).all(|(desired, key)| *desired == key.text)
}

/// What a person would want to see: the index of that name; else those on the same columns; else those that
/// begin with the same column.
fn nearest<'a>(
    expected: &RequiredIndex,
    terms: &[Term],
    normal: &Normal,
    indexes: &'a [Index],
) -> Vec<&'a Index> {
    let pick =
        |desired: &dyn Fn(&Index) -> bool| indexes.iter().filter(|index| desired(index)).collect::<Vec<_>>();
    let named = pick(&|index| expected.name.as_ref() == Some(&index.name));
    let same_columns = || {
        pick(&|index| {
            let mut texts: Vec<_> = index.keys.iter().map(|key| &key.text).collect();
            let mut desired: Vec<_> = normal.keys.iter().collect();
            texts.sort();
            desired.sort();
            same_keys(terms, normal, index) || texts == desired
        })
    };
    let same_start = || pick(&|index| index.keys.first().map(|key| &key.text) == normal.keys.first());
    [named]
        .into_iter()
        .chain(std::iter::once_with(same_columns))
        .chain(std::iter::once_with(same_start))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

fn describe_desired(expected: &RequiredIndex) -> String {
    let name = expected.name.as_ref().map_or(String::new(), |name| format!("{name} "));
    let unique = match expected.unique {
        Some(true) => "unique ",
        Some(false) => "non-unique ",
        None => "",
    };
    let predicate =
        expected.predicate.as_ref().map_or(String::new(), |predicate| format!(" where {predicate}"));
    let method = using(method(expected));
    format!("{unique}{name}{method}({}){predicate}", expected.columns.join(", "))
}

/// Nothing for the default method.
fn using(method: &str) -> String {
    if method == "btree" { String::new() } else { format!("using {method} ") }
}

fn describe(index: &Index) -> String {
    let keys: Vec<_> = index.keys.iter().map(catalog::Key::display).collect();
    let unique = if index.unique { "unique " } else { "" };
    let predicate = index.predicate.as_ref().map_or(String::new(), |predicate| format!(" where {predicate}"));
    let invalid = if index.valid { "" } else { ", which is not valid" };
    let method = using(&index.method);
    format!("{unique}{} {method}({}){predicate}{invalid}", index.name, keys.join(", "))
}

fn create(expected: &RequiredIndex, table: &Table, terms: &[Term]) -> String {
    let unique = if expected.unique == Some(true) { "UNIQUE " } else { "" };
    let name = expected.name.as_ref().map_or(String::new(), |name| format!("{} ", sql::identifier(name)));
    let columns: Vec<_> = terms.iter().map(Term::sql).collect();
    let predicate =
        expected.predicate.as_ref().map_or(String::new(), |predicate| format!(" WHERE {predicate}"));
    let (on, using) = (sql::qualified(&table.schema, &table.name), using(method(expected)).to_uppercase());
    format!("CREATE {unique}INDEX CONCURRENTLY {name}ON {on} {using}({}){predicate}", columns.join(", "))
}

#[cfg(test)]
mod tests {
    use super::{catalog::Key, *};

    fn index(columns: &[&str]) -> Index {
        let key = |column: &&str| {
            let (text, descending) =
                column.strip_suffix(" DESC").map_or((*column, false), |text| (text, true));
            Key {
                text: text.to_owned(),
                descending,
                nulls_first: descending,
                opclass: "text_ops".into(),
                default_opclass: true,
                collation: None,
            }
        };
        Index {
            name: "i".into(),
            method: "btree".into(),
            unique: false,
            valid: true,
            predicate: None,
            keys: columns.iter().map(key).collect(),
        }
    }

    fn found(expected: &RequiredIndex, indexes: Vec<Index>) -> Option<String> {
        let columns = ["clinicId", "lastName", "createdAt"].map(str::to_owned).to_vec();
        let table = Table { schema: "public".into(), name: "Patient".into(), columns, indexes };
        let terms: Vec<_> = expected.columns.iter().map(|entry| term::parse(entry, &table.columns)).collect();
        let keys = terms.iter().map(|term| term.text().to_owned()).collect();
        let normal = Normal { keys, predicate: expected.predicate.clone(), problem: None };
        judge(expected, &table, &terms, &normal).map(|finding| finding.message)
    }

    fn expected(columns: &[&str]) -> RequiredIndex {
        let columns = columns.iter().map(ToString::to_string).collect();
        RequiredIndex {
            table: "Patient".into(),
            columns,
            unique: None,
            method: None,
            predicate: None,
            name: None,
        }
    }

    #[test]
    fn the_index_that_was_asked_for_is_found_whatever_its_name() {
        assert_eq!(
            found(
                &expected(&["clinicId", "lastName"]),
                vec![index(&["clinicId"]), index(&["clinicId", "lastName"])]
            ),
            None
        );
    }

    #[test]
    fn the_order_of_columns_matters_and_what_is_there_instead_is_said() {
        let message =
            found(&expected(&["clinicId", "createdAt DESC"]), vec![index(&["createdAt", "clinicId"])]);
        assert_eq!(
            message.as_deref(),
            Some("no valid index (clinicId, createdAt DESC): there is instead i (createdAt, clinicId)")
        );
    }

    #[test]
    fn the_direction_matters_only_where_it_is_written() {
        let descending = || vec![index(&["clinicId", "createdAt DESC"])];
        assert_eq!(found(&expected(&["clinicId", "createdAt"]), descending()), None);
        assert_eq!(found(&expected(&["clinicId", "createdAt DESC"]), descending()), None);
        assert!(found(&expected(&["clinicId", "createdAt ASC"]), descending()).is_some());
        assert!(found(&expected(&["clinicId", "createdAt DESC NULLS LAST"]), descending()).is_some());
    }

    #[test]
    fn uniqueness_name_predicate_and_validity_are_part_of_it() {
        let one = || vec![index(&["clinicId"])];
        assert!(found(&RequiredIndex { unique: Some(true), ..expected(&["clinicId"]) }, one()).is_some());
        assert_eq!(found(&RequiredIndex { unique: Some(false), ..expected(&["clinicId"]) }, one()), None);
        assert!(
            found(&RequiredIndex { name: Some("other".into()), ..expected(&["clinicId"]) }, one()).is_some()
        );
        assert!(
            found(&RequiredIndex { predicate: Some("a".into()), ..expected(&["clinicId"]) }, one()).is_some()
        );
        let invalid = Index { valid: false, ..index(&["clinicId"]) };
        assert!(
            found(&expected(&["clinicId"]), vec![invalid])
                .is_some_and(|message| message.ends_with("i (clinicId), which is not valid"))
        );
        let partial = Index { predicate: Some("a".into()), ..index(&["clinicId"]) };
        assert!(
            found(&expected(&["clinicId"]), vec![partial]).is_some(),
            "an index of some rows is no index of all"
        );
    }

    #[test]
    fn an_index_of_another_method_or_operator_class_is_another_index() {
        let hash = || Index { method: "hash".into(), ..index(&["clinicId"]) };
        assert!(
            found(&expected(&["clinicId"]), vec![hash()])
                .is_some_and(|message| message.ends_with("i using hash (clinicId)"))
        );
        assert_eq!(
            found(&RequiredIndex { method: Some("hash".into()), ..expected(&["clinicId"]) }, vec![hash()]),
            None
        );
        let mut pattern = index(&["lastName"]);
        pattern.keys[0].opclass = "text_pattern_ops".into();
        pattern.keys[0].default_opclass = false;
        assert!(
            found(&expected(&["lastName"]), vec![pattern])
                .is_some_and(|message| message.ends_with("i (lastName text_pattern_ops)")),
            "it serves LIKE and not the order"
        );
    }

    #[test]
    fn an_index_with_more_columns_is_another_index() {
        let message =
            found(&expected(&["clinicId"]), vec![index(&["clinicId", "lastName"]), index(&["lastName"])]);
        assert_eq!(
            message.as_deref(),
            Some("no valid index (clinicId): there is instead i (clinicId, lastName)")
        );
        assert!(
            found(&expected(&["createdAt"]), vec![index(&["clinicId"])])
                .is_some_and(|message| message.ends_with("no index on these columns"))
        );
    }
}
