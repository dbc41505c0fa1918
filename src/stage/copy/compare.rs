//! Whether the empty copy is what the table is: both as the catalog has them, in the words by which drift is
//! told.

use super::{SCHEMA, Task};
use crate::{
    catalog::{self, Catalog, Key, Kind, Object},
    postgres::{CopySource, Session, SqlError, SqlErrorKind},
};

/// What is made of the copy when it takes the table's place: not compared before.
const PLACED: [&str; 2] = ["row-level security", "forced"];

/// Compares; an error names what differs.
pub(super) async fn with_table(
    session: &mut Session,
    task: &Task<'_>,
    source: &CopySource,
) -> Result<(), SqlError> {
    let scope = catalog::Scope {
        schemas: vec![source.stored_schema.clone(), SCHEMA.to_owned()],
        history_table: task.work.release.history_table.contract.clone(),
    };
    let all = catalog::read(session.trusted().await?, &scope).await?;
    let copy = part(&all, SCHEMA, &source.schema, &source.name);
    let table = part(&all, &source.schema, &source.schema, &source.name);
    // A sequence that a default names stays what it is; one of an identity is copied.
    let is_shared = |key: &Key| key.kind == Kind::Sequence && !copy.objects.contains_key(key);
    let objects = table.objects.into_iter().filter(|(key, _)| !is_shared(key)).collect();
    let differences = catalog::compare(&Catalog { objects }, &copy, &[]);
    if differences.is_empty() {
        return Ok(());
    }
    Err(SqlError::other(
        SqlErrorKind::Statement,
        format!(
            "{} cannot be copied: an empty copy of it differs from it, - is the table, + the \
                copy:\n{}remove the \
                directive, so that PostgreSQL rewrites the table under its lock",
            source.qualified(),
            catalog::text(&differences)
        ),
    ))
}

/// What belongs to this table in one schema, by the names that it has in the other. PURE.
fn part(all: &Catalog, schema: &str, called: &str, name: &str) -> Catalog {
    let table = format!("{schema}.{name}");
    let renamed = |text: &str| text.replace(&format!("{schema}."), &format!("{called}."));
    let belongs = |key: &Key, object: &Object| match key.kind {
        Kind::Table => key.name == table,
        Kind::Column | Kind::Index | Kind::Sequence => object.parent.as_ref() == Some(&table),
        Kind::Constraint => {
            let is_foreign =
                |(word, value): &(&str, String)| *word == "definition" && value.starts_with("FOREIGN KEY");
            object.parent.as_ref() == Some(&table) && !object.properties.iter().any(is_foreign)
        }
        _ => false,
    };
    let objects = all.objects.iter().filter(|(key, object)| belongs(key, object)).map(|(key, object)| {
        let properties = object.properties.iter().filter(|(word, _)| !PLACED.contains(word));
        let properties = properties.map(|(word, value)| (*word, renamed(value))).collect();
        let parent = object.parent.as_deref().map(renamed);
        (Key { kind: key.kind, name: renamed(&key.name) }, Object { parent, properties })
    });
    Catalog { objects: objects.collect() }
}
